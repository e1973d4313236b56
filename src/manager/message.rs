//! The messages of the Manager protocol as values.

use crate::time::Timestamp;

/// One message: `<xml><type> … </type> … </xml>`.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// `PC`: a Presence Client says who it is.
    PresenceClient(Hello),
    /// `SOURCE`: a module that feeds presence says who it is.
    Source(Hello),
    /// `WELCOME`: the Manager answers a hello.
    Welcome(Welcome),
    /// `PRESENCE`: the state of one presentity.
    Presence(Box<Presence>),
    /// `ACK`: the state was published.
    Ack(Ack),
    /// `NAK`: the state was refused.
    Nak(Nak),
    /// `PING`: are you there?
    Ping,
    /// `PONG`: here.
    Pong,
    /// `ERROR`: what was wrong, in words.
    Error(String),
    /// `BYE`: an orderly end, with the reason if there is one.
    Bye(Option<String>),
    /// A type nobody here knows; the endpoint answers it with `ERROR` unless a module has claimed it.
    Other {
        /// The type as written, trimmed.
        kind: String,
        /// The whole document.
        document: String,
    },
}

impl Message {
    /// The `<type>` as it is written on the wire, in upper case; for [`Message::Other`] as it came.
    pub fn kind(&self) -> &str {
        match self {
            Self::PresenceClient(_) => "PC",
            Self::Source(_) => "SOURCE",
            Self::Welcome(_) => "WELCOME",
            Self::Presence(_) => "PRESENCE",
            Self::Ack(_) => "ACK",
            Self::Nak(_) => "NAK",
            Self::Ping => "PING",
            Self::Pong => "PONG",
            Self::Error(_) => "ERROR",
            Self::Bye(_) => "BYE",
            Self::Other { kind, .. } => kind,
        }
    }
}

/// What a peer says of itself. The literal `<xml><type> PC </type></xml>` gives an empty one, which is enough.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hello {
    /// The peer's name; the Manager makes one up from the address when it is missing.
    pub id: Option<String>,
    /// Protocol version; 1 when missing.
    pub version: Option<u32>,
    /// The `seq` up to which the peer has acknowledged everything, in an earlier session with the same Manager.
    pub last_seq: Option<u64>,
    /// The Manager's run that `last_seq` belongs to, from its `WELCOME`.
    pub run: Option<String>,
}

/// The Manager's answer to a hello.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Welcome {
    /// The Manager's name.
    pub id: String,
    /// Protocol version.
    pub version: u32,
    /// Names this run of the Manager: sequence numbers of different runs have nothing to do with each other.
    pub run: String,
    /// A `PING` comes at least this often, in seconds; silence of three times that ends the session.
    pub heartbeat: u32,
}

/// Whether somebody can be reached at all (RFC 3863, 4.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Basic {
    /// Reachable.
    Open,
    /// Not reachable.
    Closed,
}

impl Basic {
    /// As it is written: `open` or `closed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// Text for people, in a language if it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// RFC 5646 language tag.
    pub lang: Option<String>,
    /// The text.
    pub text: String,
}

/// The state of one presentity, as a source says it and as the Manager passes it on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Presence {
    /// Counted by the sender within its run; the Manager's is what a Presence Client acknowledges. A source may omit it,
    /// and then gets no acknowledgement.
    pub seq: Option<u64>,
    /// The presentity: a `sip:`, `sips:` or `pres:` URI.
    pub entity: String,
    /// Which source says so: `calendar`, `pbx`, …
    pub source: Option<String>,
    /// Reachable or not; `None` leaves it open.
    pub basic: Option<Basic>,
    /// RPID activities by element name: `busy`, `meeting`, `on-the-phone`, … (RFC 4480, 3.2).
    pub activities: Vec<String>,
    /// Notes, each with its language.
    pub notes: Vec<Note>,
    /// RPID mood by element name (RFC 4480, 3.5).
    pub mood: Option<String>,
    /// RPID place-type by element name (RFC 4480, 3.6).
    pub place: Option<String>,
    /// When this state began (RFC 4480, `from`).
    pub since: Option<Timestamp>,
    /// When it ends by itself (RFC 4480, `until`).
    pub until: Option<Timestamp>,
    /// Last user input, for `user-input idle` (RFC 4480, 3.14).
    pub idle_since: Option<Timestamp>,
    /// A whole PIDF document, passed through instead of all that stands above but `entity`.
    pub document: Option<String>,
    /// The source has nothing to say any more: its share of the state goes away.
    pub withdrawn: bool,
}

/// The state with this `seq` was published.
#[derive(Clone, Debug, PartialEq)]
pub struct Ack {
    /// Which message.
    pub seq: u64,
    /// The entity-tag the Presence Server gave, absent after a removal.
    pub etag: Option<String>,
}

/// The state with this `seq` was refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Nak {
    /// Which message.
    pub seq: u64,
    /// The SIP status, 0 when there was no answer or no request.
    pub code: u16,
    /// Why, in words.
    pub reason: String,
}
