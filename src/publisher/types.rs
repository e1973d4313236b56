//! What the publisher is told, and what it wants.

use std::time::Duration;

use crate::buffer::{EntryId, Outcome};
use crate::exchange::Outgoing;
use crate::time::Timestamp;

/// How to publish.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// URI of the Presence Server that takes every PUBLISH (`sip:127.0.0.1:5060;transport=tcp`); without it a PUBLISH goes
    /// where its Request-URI says.
    pub server: Option<String>,
    /// The `Expires` to ask for, in seconds. Also how long a publication outlives a client that was killed.
    pub expires: u32,
    /// Requests in flight at once.
    pub window: usize,
    /// Delay before the first repetition after a passing failure; doubled with each.
    pub retry_first: Duration,
    /// The longest such delay.
    pub retry_most: Duration,
    /// Delay before a state is tried again that was refused for want of credentials, or a refresh that was refused.
    pub retry_slow: Duration,
    /// Passing failures in a row after which a state is refused; never if `None`.
    pub give_up: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            server: None,
            expires: 600,
            window: 64,
            retry_first: Duration::from_secs(1),
            retry_most: Duration::from_secs(60),
            retry_slow: Duration::from_secs(300),
            give_up: None,
        }
    }
}

/// What is known of a publication at the server: enough to modify or remove it after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The presentity, in canonical form.
    pub aor: String,
    /// Its entity-tag.
    pub etag: String,
    /// When the publication lapses at the server.
    pub expires_at: Timestamp,
}

/// What the publisher wants done, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send this request, and give its outcome to [`Publisher::outcome`](super::Publisher::outcome).
    Send(Outgoing),
    /// The publication of this entry ended so: for [`crate::buffer::Buffer::done`].
    Done(EntryId, Outcome),
    /// The server has a publication of ours under this tag: worth keeping over a restart.
    Remember(Tag),
    /// The server has no publication of ours for this presentity any more.
    Forget(String),
    /// The server answers again after it could not be reached: for [`crate::buffer::Buffer::release_all`].
    Recovered,
    /// After [`Publisher::shutdown`](super::Publisher::shutdown): nothing is left to wait for.
    Drained,
}

/// What the publisher has counted since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// PUBLISH requests with a body and without SIP-If-Match.
    pub initial: u64,
    /// PUBLISH requests with a body and SIP-If-Match.
    pub modify: u64,
    /// PUBLISH requests without a body.
    pub refresh: u64,
    /// PUBLISH requests with `Expires: 0`.
    pub remove: u64,
    /// 2xx answers.
    pub accepted: u64,
    /// 412 answers: the server did not know our entity-tag.
    pub unknown_tag: u64,
    /// 423 answers: we asked for too short a time.
    pub too_brief: u64,
    /// 401 and 407 answers.
    pub unauthorised: u64,
    /// Refusals for good.
    pub refused: u64,
    /// Answers that say "not now".
    pub not_now: u64,
    /// Requests without an answer.
    pub timeouts: u64,
    /// Requests that could not be sent.
    pub transport_errors: u64,
    /// States given up after too many passing failures.
    pub gave_up: u64,
    /// Publications left to lapse at the server.
    pub lapsed: u64,
    /// Times the server was reached again.
    pub recovered: u64,
}
