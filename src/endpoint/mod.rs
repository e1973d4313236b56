//! The heart of the stack as a value: checks, transactions, module table (RFC 3261, section 8.2).

mod counters;
mod modules;

use std::net::SocketAddr;

use bytes::Bytes;

pub use counters::Counters;
pub use modules::{
    Builder, ClaimConflict, Claimed, ModuleTable, Route, Sharding, shard_in, shard_of,
};

use crate::entropy::Entropy;
use crate::exchange::{ConnectionId, Flow, Incoming, Outcome, Outgoing, Reply, Shard, Transport};
use crate::sip::{FramingError, Message};
use crate::time::Timestamp;
use crate::transaction;

/// A module in the endpoint's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleId(pub u16);

/// What an endpoint is told at birth.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which shard of its node this endpoint is.
    pub shard: Shard,
    /// How many shards the node has.
    pub shards: Shard,
    /// T1, T2, T4.
    pub timers: transaction::Timers,
    /// Server header of responses, if any.
    pub server_name: Option<String>,
    /// User-Agent header of requests, if any.
    pub user_agent: Option<String>,
    /// How many requests may be with modules, unanswered. Over it a request gets 503 before any work is done for it;
    /// a request inside a dialog, which costs a subscriber more to lose, only over twice as many.
    pub max_in_flight: usize,
    /// Seconds in Retry-After of that 503.
    pub retry_after: u32,
}

impl Default for Settings {
    /// The only shard of a node.
    fn default() -> Self {
        Self {
            shard: 0,
            shards: 1,
            timers: transaction::Timers::default(),
            server_name: None,
            user_agent: None,
            max_in_flight: 10_000,
            retry_after: 5,
        }
    }
}

/// One instance of a module: whose request this was, or who gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The module.
    pub module: ModuleId,
    /// Its shard.
    pub shard: Shard,
}

/// What an endpoint wants done, in order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Put these bytes on the wire.
    Send {
        /// The way.
        flow: Flow,
        /// One whole message.
        bytes: Bytes,
    },
    /// Find a way to this place: resolve the name, pick a local socket or connect (or take a connection that stands),
    /// then call [`Endpoint::routed`].
    Route {
        /// Given back with the answer.
        ticket: u64,
        /// The transport, unless the name's own records should choose it (RFC 3263, 4.1).
        transport: Option<Transport>,
        /// A name, or an address without brackets.
        host: String,
        /// The port, unless it is the default one or the name's records should say.
        port: Option<u16>,
    },
    /// A request for a module, which owes one [`Reply`].
    Deliver {
        /// The instance that gets it.
        origin: Origin,
        /// The request.
        incoming: Incoming,
    },
    /// A request that an observer may look at; it owes nothing.
    Observe {
        /// The observer.
        module: ModuleId,
        /// Where the request came from.
        flow: Flow,
        /// The request.
        message: Message,
    },
    /// How a module's request ended.
    Outcome {
        /// The instance that sent it.
        origin: Origin,
        /// Its end.
        outcome: Outcome,
    },
    /// A message for another shard's endpoint, to be given to its [`Endpoint::receive`].
    HandOver {
        /// Which.
        shard: Shard,
        /// Where the message came from.
        flow: Flow,
        /// The message as it came.
        bytes: Bytes,
    },
    /// Close this connection, after what was sent over it.
    Close {
        /// Which.
        connection: ConnectionId,
    },
}

/// The endpoint of one shard.
#[derive(Debug)]
pub struct Endpoint {
    settings: Settings,
    modules: ModuleTable,
    counters: Counters,
}

#[expect(unused_variables, reason = "signatures first")]
impl Endpoint {
    /// An endpoint with these modules.
    pub fn new(settings: Settings, modules: ModuleTable, entropy: Entropy) -> Self {
        Self {
            settings,
            modules,
            counters: Counters::default(),
        }
    }

    /// Says at which addresses peers reach this node. The first of a transport and address family is the usual one.
    pub fn set_locals(&mut self, locals: Vec<(Transport, SocketAddr)>) {}

    /// Takes one datagram or one framed message.
    pub fn receive(&mut self, now: Timestamp, flow: Flow, bytes: Bytes, out: &mut Vec<Effect>) {}

    /// Takes the end of a stream that can't be framed any more: answers if an answer is possible, and closes.
    pub fn framing_error(
        &mut self,
        now: Timestamp,
        flow: Flow,
        error: &FramingError,
        out: &mut Vec<Effect>,
    ) {
    }

    /// Takes a module's answer.
    pub fn reply(&mut self, now: Timestamp, reply: Reply, out: &mut Vec<Effect>) {}

    /// Sends a module's request. Exactly one [`Effect::Outcome`] follows, now or later.
    pub fn send(
        &mut self,
        now: Timestamp,
        origin: Origin,
        outgoing: Outgoing,
        out: &mut Vec<Effect>,
    ) {
    }

    /// Takes the answer to an [`Effect::Route`]: the way, or in words why there is none.
    pub fn routed(
        &mut self,
        now: Timestamp,
        ticket: u64,
        way: Result<Flow, String>,
        out: &mut Vec<Effect>,
    ) {
    }

    /// Takes note that a connection is gone, and with it the requests that were sent over it.
    pub fn connection_closed(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        out: &mut Vec<Effect>,
    ) {
    }

    /// Takes note that the transport could not send over this flow; requests that went there have failed.
    pub fn send_failed(
        &mut self,
        now: Timestamp,
        flow: &Flow,
        reason: &str,
        out: &mut Vec<Effect>,
    ) {
    }

    /// Fires what is due.
    pub fn wake(&mut self, now: Timestamp, out: &mut Vec<Effect>) {}

    /// When [`Endpoint::wake`] has something to do.
    pub fn next_wake(&self) -> Option<Timestamp> {
        None
    }

    /// Who has claimed Manager messages of this type; case and white space around it do not matter.
    pub fn route_manager(&self, kind: &str) -> Option<ModuleId> {
        self.modules.manager(kind)
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The module table.
    pub fn modules(&self) -> &ModuleTable {
        &self.modules
    }
}
