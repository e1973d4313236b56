//! What goes into the buffer and comes out of it.

use std::sync::Arc;

use crate::manager::{Ack, Nak, Presence};
use crate::time::Timestamp;

/// What happens when the buffer is full of distinct presentities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overflow {
    /// The Manager's socket is not read until there is room.
    #[default]
    Block,
    /// The oldest state that is not being published goes, with a NAK.
    Overwrite,
}

/// How large the buffer is, and what it does when that is not enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Presentities it holds at once; at least 1.
    pub capacity: usize,
    /// What to do with one more.
    pub overflow: Overflow,
    /// The domains to publish for, in lower case; every domain when empty.
    pub domains: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            capacity: 1024,
            overflow: Overflow::Block,
            domains: Vec::new(),
        }
    }
}

/// Names an entry; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(pub u64);

/// A state on its way to the Presence Server.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// To be given back to [`Buffer::done`](super::Buffer::done).
    pub id: EntryId,
    /// The presentity, in canonical form ([`Uri::address`](crate::sip::Uri::address)).
    pub aor: String,
    /// The state. Shared, because the buffer keeps it for another attempt.
    pub presence: Arc<Presence>,
}

/// How the publication of an [`Entry`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server has it, under this entity-tag; none after a removal.
    Published {
        /// The entity-tag (RFC 3903, 4.1).
        etag: Option<String>,
    },
    /// The server will not have it.
    Refused {
        /// The SIP status, 0 if there was no answer.
        code: u16,
        /// Why.
        reason: String,
    },
    /// It failed for a reason that passes: back into its slot, and not to be taken again before this time.
    Deferred {
        /// When another attempt makes sense.
        until: Timestamp,
    },
}

/// What the buffer wants done on the Manager's side, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// The state with this sequence number is published.
    Ack(Ack),
    /// The state with this sequence number will not be published.
    Nak(Nak),
    /// The session may read this many messages more.
    Credit(usize),
}

/// What the buffer has counted since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// States received.
    pub received: u64,
    /// States that replaced a waiting one of the same presentity.
    pub coalesced: u64,
    /// Messages the Manager sent again while they were still here.
    pub duplicates: u64,
    /// Waiting states overwritten because the buffer was full.
    pub overwritten: u64,
    /// States refused because the buffer was full and nothing could be overwritten.
    pub refused_full: u64,
    /// States refused because their entity is no presentity's URI.
    pub refused_entity: u64,
    /// States refused because they are of a domain that is not ours.
    pub refused_domain: u64,
    /// Entries handed to the publisher.
    pub taken: u64,
    /// Entries that came back for another attempt.
    pub deferred: u64,
    /// Sequence numbers acknowledged.
    pub acked: u64,
    /// Sequence numbers refused.
    pub naked: u64,
    /// Sequence numbers of an earlier run of the Manager, which nobody waits for any more.
    pub forgotten: u64,
    /// Superseded states that were refused because a single presentity had too many of them.
    pub superseded_refused: u64,
    /// The most presentities held at once.
    pub high_water: u64,
}
