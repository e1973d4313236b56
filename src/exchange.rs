//! What modules and the endpoint hand each other: the values that cross between the heart of the stack and its modules.
//!
//! ```text
//!  transport ── bytes ──> endpoint ── Incoming ──> module (registry, …)
//!                            │  <──── Reply ─────────┘
//!                            │  <──── Outgoing ──── module (registry, publisher, watcher)
//!                            └────── Outcome ─────>
//! ```

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;

pub use crate::identity::{Account, Identity};
use crate::sip::{Head, Message, Method, Name, StatusCode};

/// Number of a shard within its node, from 0. Via branches and local tags begin with it (two hexadecimal digits), so
/// that responses and in-dialog requests find their owner without a table.
pub type Shard = u8;

/// Which transport a message goes over (RFC 3261, 18).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum Transport {
    /// One message a datagram, retransmitted by the transaction.
    Udp,
    /// A stream, framed by Content-Length.
    Tcp,
    /// The same, encrypted (RFC 3261, 26.2.1).
    Tls,
    /// One message a WebSocket message (RFC 7118).
    Ws,
    /// The same over TLS.
    Wss,
}

impl Transport {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss];

    /// Whether the transport itself delivers, so that transactions do not retransmit.
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// Whether it is encrypted.
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// Whether it is a stream in which Content-Length says where a message ends. A datagram and a WebSocket message end
    /// by themselves.
    pub const fn is_byte_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls)
    }

    /// Whether we open connections of this kind, or send datagrams. A WebSocket is opened by the browser at its other end
    /// alone (RFC 7118, 5.2.4).
    pub const fn can_be_opened(self) -> bool {
        !matches!(self, Self::Ws | Self::Wss)
    }

    /// The port where a URI names none (RFC 3261, 19.1.2; RFC 7118, 5.1).
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }

    /// As it stands in a Via header: `UDP`.
    pub const fn via(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// As it stands in a `transport` parameter: `udp`. There is one word for both WebSockets (RFC 7118, 5.1).
    pub const fn param(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws | Self::Wss => "ws",
        }
    }

    /// Its name in settings and in the log: `wss`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wss => "wss",
            other => other.param(),
        }
    }

    /// The transport of this name, in capitals or not.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|transport| transport.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A connection of a stream transport, unique within its node for the node's life; 0 stands for "no connection" (UDP).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct ConnectionId(pub u64);

/// The way a message came, which is also the way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Flow {
    /// The shard that owns the socket.
    pub shard: Shard,
    /// The transport.
    pub transport: Transport,
    /// Our end: an address that the peer can reach, never unspecified.
    pub local: SocketAddr,
    /// The peer's end as we see it.
    pub remote: SocketAddr,
    /// The connection, for stream transports.
    pub connection: ConnectionId,
}

/// Names a server transaction at its endpoint; given back with the [`Reply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId {
    /// The shard whose endpoint holds the transaction.
    pub shard: Shard,
    /// Counted by that endpoint, never used twice.
    pub number: u64,
}

/// A request that passed the endpoint's checks, for the module that claimed it.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// To be given back in the one [`Reply`].
    pub transaction: TransactionId,
    /// Where it came from.
    pub flow: Flow,
    /// Who sent it.
    pub identity: Identity,
    /// What is known of where it came from.
    pub source: Source,
    /// The request; From, To, Call-ID, CSeq and the top Via are present and well formed.
    pub message: Message,
}

/// What is known of the place that a request came from (docs/adr/0015).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its sender has shown that it is there: by a connection, by the answer to a challenge, or because nobody can make up
    /// that address.
    pub proven: bool,
    /// Whether it is a proxy that may say where else requests go.
    pub is_proxy: bool,
    /// Bytes that requests of ours may take because of this one, repetitions included, to a place that has not answered yet.
    /// It is known of SUBSCRIBE alone.
    pub room: u32,
}

impl Default for Source {
    /// Proven.
    fn default() -> Self {
        Self {
            proven: true,
            is_proxy: false,
            room: u32::MAX,
        }
    }
}

/// The final response of a module to an [`Incoming`] request.
///
/// The endpoint adds status line, every Via, From, To (with `to_tag`, or one of its own if the request has none and
/// none is given), Call-ID, CSeq and Content-Length; retransmissions of the request get the same bytes (RFC 3261, 17.2.2).
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Which request is answered.
    pub transaction: TransactionId,
    /// The status, with its standard reason phrase unless `reason` is given.
    pub status: StatusCode,
    /// A reason phrase that says more than the standard one.
    pub reason: Option<String>,
    /// The local tag of the dialog, when one is created.
    pub to_tag: Option<String>,
    /// Whether Record-Route headers of the request are copied (dialog-creating 2xx; RFC 3261, 12.1.1).
    pub copy_record_route: bool,
    /// Whole further header lines, each ended by CRLF: see [`crate::sip::Head`].
    pub head: Bytes,
    /// A body; its Content-Type stands in `head`.
    pub body: Bytes,
}

impl Reply {
    /// A bare response.
    pub fn new(transaction: TransactionId, status: StatusCode) -> Self {
        Self {
            transaction,
            status,
            reason: None,
            to_tag: None,
            copy_record_route: false,
            head: Bytes::new(),
            body: Bytes::new(),
        }
    }

    /// A 503 that says after how many seconds to ask again (RFC 3261, 21.5.4).
    pub fn unavailable(transaction: TransactionId, retry_after: u32) -> Self {
        let mut head = Head::new();
        head.line(Name::RetryAfter, retry_after);
        Self::new(transaction, StatusCode::SERVICE_UNAVAILABLE).head(Vec::from(head).into())
    }

    /// With further header lines.
    pub fn head(mut self, head: Bytes) -> Self {
        self.head = head;
        self
    }
}

/// Where an [`Outgoing`] request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Over this flow: the connection if it still stands, or to `remote` by datagram. If the connection is gone, as
    /// [`Destination::NextHop`].
    Flow(Flow),
    /// To this address.
    Address(Transport, SocketAddr),
    /// To the first Route, or else the Request-URI (RFC 3261, 8.1.2), resolved by the endpoint.
    NextHop,
    /// To a place that must not get everything, or that must not be left for another (docs/adr/0015).
    Bounded(Bounds),
}

/// The way of a request that may not go everywhere, or not at any length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// As [`Destination::Flow`]; without one as [`Destination::NextHop`].
    pub flow: Option<Flow>,
    /// Over this flow or not at all.
    pub alone: bool,
    /// Bytes that may go out by datagram, repetitions included; as many as it takes when `None`.
    pub room: Option<u32>,
}

impl Destination {
    /// [`Bounds::room`].
    pub const fn room(&self) -> Option<u32> {
        match self {
            Self::Bounded(bounds) => bounds.room,
            Self::Flow(_) | Self::Address(..) | Self::NextHop => None,
        }
    }
}

/// Chosen by the module that sends a request, given back in its [`Outcome`].
pub type Token = u64;

/// A request a module wants sent in a client transaction of its own.
///
/// The endpoint writes the request line, Via, Max-Forwards, then `head`, then Content-Length and `body`.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// Given back in the [`Outcome`].
    pub token: Token,
    /// The method.
    pub method: Method,
    /// The Request-URI.
    pub uri: String,
    /// First hop by `Route`, when there is one: its URI, for resolution. The header itself stands in `head`.
    pub first_route: Option<String>,
    /// Whole header lines, each ended by CRLF: Route, From, To, Call-ID, CSeq, Contact, Event, …: see
    /// [`crate::sip::Head`]. The text [`LOCAL_CONTACT`] in it is replaced by the address the request leaves from.
    pub head: Bytes,
    /// The body; its Content-Type stands in `head`.
    pub body: Bytes,
    /// Where to.
    pub destination: Destination,
}

/// Stands in [`Outgoing::head`] for `host:port;transport=…` of the flow that the endpoint picks, since only then our
/// own address is known. Used at most once in a head. A module that knows its flow writes the address itself.
pub const LOCAL_CONTACT: &str = "local.contact.invalid";

/// How an [`Outgoing`] request ended. Every request has exactly one outcome.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The token of the request.
    pub token: Token,
    /// Its end.
    pub result: OutcomeResult,
}

/// The end of a client transaction.
#[derive(Clone, Debug)]
pub enum OutcomeResult {
    /// A final response, and the flow it came over.
    Response(Message, Flow),
    /// Timer F fired (RFC 3261, 17.1.2.2).
    Timeout,
    /// The request could not be sent: refused, unreachable, or the name did not resolve. In words.
    TransportError(String),
}
