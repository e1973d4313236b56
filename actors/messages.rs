//! Messages between actors. What stands in them are the core's own values ([`rollcall_core::exchange`]).
//!
//! Traffic between endpoint and modules goes in batches: one actor message carries what one wake-up brought.

use actix::prelude::*;
use rollcall_core::endpoint::ModuleId;
use rollcall_core::exchange::{ConnectionId, Flow, Incoming, Outcome, Outgoing, Reply, Shard};
use rollcall_core::manager;
use rollcall_core::registry::{DecideError, Decision, WatcherRow};
use rollcall_core::sip::Message as SipMessage;

/// Endpoint → module: what came for it, in order.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ToModule(pub Vec<ModuleInput>);

/// One thing for a module.
#[derive(Debug)]
pub enum ModuleInput {
    /// A SIP request that the module has claimed; it owes one [`Reply`].
    Request(Incoming),
    /// A request that the module, an observer, may look at; it owes nothing.
    Observed {
        /// Where it came from.
        flow: Flow,
        /// The request.
        message: SipMessage,
    },
    /// The end of a request that the module sent.
    Outcome(Outcome),
    /// A connection is gone, and with it the flows over it.
    ConnectionClosed(ConnectionId),
    /// A Manager-protocol message that the module has claimed.
    Manager(ManagerIncoming),
}

/// Module → endpoint: answers and requests to send, in order.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FromModule {
    /// Which module speaks; outcomes of its requests go back to it.
    pub module: ModuleId,
    /// Which shard of the module.
    pub shard: Shard,
    /// What it wants.
    pub outputs: Vec<ModuleOutput>,
}

/// One thing a module wants from its endpoint.
#[derive(Debug)]
pub enum ModuleOutput {
    /// Answer a request.
    Reply(Reply),
    /// Send a request.
    Send(Outgoing),
}

/// Names a Manager-protocol session within its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// A Manager-protocol message as it came from a session; sent by the session to the endpoint, which routes it through
/// the module table.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ManagerIncoming {
    /// The session it came over.
    pub session: SessionId,
    /// The way back.
    pub reply: Recipient<ToSession>,
    /// The message.
    pub message: manager::Message,
}

/// Module → session.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum ToSession {
    /// Write this message.
    Send(manager::Message),
    /// The module can take this many more messages from the session (flow control: a session reads under credit only).
    Credit(usize),
    /// Write this message, then close.
    Close(manager::Message),
}

/// Registers a module's mailbox at the endpoint, one for each shard of the module.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Attach {
    /// The module.
    pub module: ModuleId,
    /// Its recipients, by shard.
    pub recipients: Vec<Recipient<ToModule>>,
}

/// Asks an actor for a serialisable picture of itself: an object with `actor`, `counters` and what else it has to show.
/// Tests, the log at shutdown and SIGUSR1 all use this one.
#[derive(Debug, Message)]
#[rtype(result = "serde_json::Value")]
pub struct TakeSnapshot;

/// Node → registry: the node ends in order. Answered when the registry has asked for all that is still to be stored.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Settle;

/// Operator → registry: a decision about a watcher. Answered when it is stored, with the number of live subscriptions
/// that are treated by it.
#[derive(Debug, Message)]
#[rtype(result = "Result<usize, DecideError>")]
pub struct Decide(pub Decision);

/// Operator → registry: who watches, waits, or was decided about.
#[derive(Debug, Message)]
#[rtype(result = "Vec<WatcherRow>")]
pub struct ListWatchers {
    /// Whose watchers; those of everybody in the shard when `None`.
    pub presentity: Option<String>,
    /// How many at most.
    pub limit: usize,
}
