//! What an endpoint is told at birth, and what it wants done.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::ModuleId;
use crate::digest::{Authentication, Credentials, LoginFailures};
use crate::egress::{Barred, Egress};
use crate::exchange::{ConnectionId, Flow, Incoming, Outcome, Shard, Transport};
use crate::resolve::Wanted;
use crate::sip::Message;
use crate::transaction;

/// What an endpoint is told at birth.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which shard of its node this endpoint is.
    pub shard: Shard,
    /// How many shards the node has.
    pub shards: Shard,
    /// How requests to modules are authenticated; not at all when `None`.
    pub authentication: Option<Arc<Authentication>>,
    /// What challenges to our own requests are answered with; they are handed to the module when `None`.
    pub credentials: Option<Credentials>,
    /// Whether requests of ours follow a 3xx (RFC 3261, 8.1.3.4), which needs a copy of each until it has ended.
    pub follow_redirects: bool,
    /// Whether requests over TLS offer their connections for requests the other way (RFC 5923, 8.1): for nodes that show a
    /// certificate themselves.
    pub alias: bool,
    /// T1, T2, T4.
    pub timers: transaction::Timers,
    /// Server header of responses, if any.
    pub server_name: Option<String>,
    /// The longest request over UDP, in bytes. `None`: as RFC 3261, 18.1.1 has it where nothing is known of the path, and
    /// whatever a datagram can be on loopback.
    pub datagram: Option<usize>,
    /// Where may be sent to, and how much to strangers.
    pub egress: Arc<Egress>,
    /// User-Agent header of requests, if any.
    pub user_agent: Option<String>,
    /// How many requests may be with modules, unanswered. Over it a request gets 503 before any work is done for it;
    /// a request inside a dialog, which costs a subscriber more to lose, only over twice as many.
    pub max_in_flight: usize,
    /// Seconds in Retry-After of that 503.
    pub retry_after: u32,
    /// How many answered requests are remembered for their retransmissions, over UDP. Beyond that the oldest are
    /// forgotten before the 64*T1 of Timer J are over; a quarter of a kilobyte each.
    pub max_completed: usize,
}

impl Default for Settings {
    /// The only shard of a node.
    fn default() -> Self {
        Self {
            shard: 0,
            shards: 1,
            authentication: None,
            credentials: None,
            follow_redirects: false,
            alias: false,
            timers: transaction::Timers::default(),
            server_name: None,
            datagram: None,
            egress: Arc::default(),
            user_agent: None,
            max_in_flight: 10_000,
            retry_after: 5,
            max_completed: 262_144,
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
    /// Find the servers of a name (RFC 3263), then call [`super::Endpoint::located`].
    Locate {
        /// Given back with the answer.
        ticket: u64,
        /// What the URI says of it.
        wanted: Wanted,
    },
    /// Find a way to this place: pick a local socket or connect (or take a connection that stands), then call
    /// [`super::Endpoint::routed`].
    Route {
        /// Given back with the answer.
        ticket: u64,
        /// The transport, unless it is the usual one.
        transport: Option<Transport>,
        /// An address without brackets.
        host: String,
        /// The port, unless it is the default one.
        port: Option<u16>,
        /// The name by which the place was found, which a certificate must bear; without one it is the address.
        name: Option<String>,
    },
    /// The peer of this connection says that requests to it at this port of its address may take the connection as well
    /// (RFC 5923, 8.2), and has shown a certificate.
    Alias {
        /// Its connection.
        connection: ConnectionId,
        /// The port it is reached at.
        port: u16,
    },
    /// Logins have failed: somebody guesses, or has forgotten. Not given for each of many.
    LoginFailed(LoginFailures),
    /// A request for a module, which owes one [`crate::exchange::Reply`].
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
    /// A message for another shard's endpoint, to be given to its [`super::Endpoint::receive`].
    HandOver {
        /// Which.
        shard: Shard,
        /// Where the message came from.
        flow: Flow,
        /// The message as it came.
        bytes: Bytes,
    },
    /// Something was not sent, since nothing may go there: for the log.
    Barred {
        /// Where.
        place: SocketAddr,
        /// Why.
        why: Barred,
        /// The Request-URI of what led there: the target of a request of ours, or whom a stranger's request was for.
        whose: String,
    },
    /// Close this connection, after what was sent over it.
    Close {
        /// Which.
        connection: ConnectionId,
    },
}
