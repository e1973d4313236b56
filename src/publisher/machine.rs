//! The publication of one presentity.

use bytes::Bytes;

use crate::buffer::EntryId;
use crate::entropy::Entropy;
use crate::time::Timestamp;

/// The publication of one presentity: what the server has of it, and what comes next.
#[derive(Debug)]
pub(super) struct Machine {
    pub aor: String,
    /// One Call-ID for all requests of the machine; the server needs none, people who read traces do.
    pub call_id: String,
    pub from_tag: String,
    pub cseq: u32,
    /// What the server has.
    pub tag: Option<Held>,
    /// The state the server has accepted last, for a publication that must start anew (RFC 3903, section 5: 412).
    pub body: Option<Bytes>,
    pub state: State,
    /// Passing failures in a row.
    pub failures: u32,
}

/// A publication at the server.
#[derive(Debug)]
pub(super) struct Held {
    pub etag: String,
    pub expires_at: Timestamp,
    pub refresh_at: Timestamp,
}

/// Where a machine is. Each state has a timer, is in flight, or is queued behind those in flight.
#[derive(Debug)]
pub(super) enum State {
    /// A PUBLISH is on its way; `next` is what came meanwhile.
    Flying {
        step: Step,
        conditional: bool,
        next: Option<Step>,
    },
    /// To be sent when the window has room.
    Queued { step: Step },
    /// All is said; to be refreshed.
    Published { refresh_at: Timestamp },
    /// The last attempt failed, and no entry of the buffer stands behind it: tried again by ourselves. `slow` if a newer
    /// state need not wait for that.
    Waiting {
        at: Timestamp,
        step: Step,
        slow: bool,
    },
    /// The server still has something that is not to be kept alive.
    Lapsing { at: Timestamp },
    /// The server has nothing; only the count of failures is kept for a while.
    Resting { at: Timestamp },
}

impl State {
    /// When it is to be woken.
    pub fn timer(&self) -> Option<Timestamp> {
        match self {
            Self::Flying { .. } | Self::Queued { .. } => None,
            Self::Published { refresh_at: at }
            | Self::Waiting { at, .. }
            | Self::Lapsing { at }
            | Self::Resting { at } => Some(*at),
        }
    }
}

/// What a PUBLISH is for.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A state: initial, or modifying if there is an entity-tag (RFC 3903, 4.2 and 4.4).
    Publish { entry: Option<EntryId>, body: Bytes },
    /// The same state for longer (4.3).
    Refresh,
    /// No state any more (4.5).
    Remove { entry: Option<EntryId> },
}

impl Step {
    /// The entry of the buffer that waits for the outcome.
    pub fn entry(&self) -> Option<EntryId> {
        match self {
            Self::Publish { entry, .. } | Self::Remove { entry } => *entry,
            Self::Refresh => None,
        }
    }
}

impl Machine {
    pub fn new(aor: String, entropy: &mut Entropy) -> Self {
        Self {
            aor,
            call_id: entropy.token(),
            from_tag: entropy.token(),
            cseq: 0,
            tag: None,
            body: None,
            // Never seen: whoever makes a machine begins a step or lets it rest.
            state: State::Resting {
                at: Timestamp::from_millis(0),
            },
            failures: 0,
        }
    }
}
