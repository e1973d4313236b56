//! What a hub is told, what it wants done, and what it counts.

use std::time::Duration;

use super::super::message::Message;
use super::Peer;

/// What a hub is told at birth.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The Manager's name.
    pub id: String,
    /// Names this run: another at each start.
    pub run: String,
    /// For the `WELCOME`; the sessions keep it.
    pub heartbeat: Duration,
    /// How many messages to a Presence Client may be unanswered.
    pub unacknowledged: usize,
    /// How many messages of a source may be unanswered before it is not read any more.
    pub source_credit: usize,
    /// How many presentities may be known.
    pub presentities: usize,
    /// How long what a source said outlives its connection; for ever when `None`.
    pub forget_after: Option<Duration>,
}

impl Settings {
    /// The usual settings, for this name and run.
    pub fn new(id: &str, run: &str) -> Self {
        Self {
            id: id.to_owned(),
            run: run.to_owned(),
            heartbeat: Duration::from_secs(30),
            unacknowledged: 256,
            source_credit: 256,
            presentities: 100_000,
            forget_after: None,
        }
    }
}

/// What a hub wants done, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send this to a session.
    Send(Peer, Message),
    /// A session may read this many messages more.
    Credit(Peer, usize),
    /// Send this to a session and end it.
    Close(Peer, Message),
}

/// What a hub has counted. `accepted` = `acked` + `naked` + `abandoned` + those that wait.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Statements taken from sources, those without a `seq` included.
    pub statements: u64,
    /// Statements refused at once.
    pub refused: u64,
    /// Statements with a `seq` that were taken: each ends in one of the next three.
    pub accepted: u64,
    /// … answered by `ACK`.
    pub acked: u64,
    /// … answered by `NAK`.
    pub naked: u64,
    /// … whose source was gone before the answer.
    pub abandoned: u64,
    /// Changes of a merged state.
    pub changes: u64,
    /// Changes because something lapsed.
    pub lapsed: u64,
    /// `PRESENCE` messages to Presence Clients.
    pub told: u64,
    /// States that a Presence Client was not told because a newer one came first.
    pub coalesced: u64,
    /// Answers of Presence Clients to nothing that was asked.
    pub stray: u64,
}
