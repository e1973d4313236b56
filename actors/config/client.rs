//! Settings of the Presence Client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use rollcall_core::digest::Credentials;

use super::address::{DOMAIN, HOST_PORT, HostPort, LISTEN, Listen, SIP_SERVER, SipServer};
use super::kind::{List, OneOf, Optional, Span, Truth, Whole, span_text as t, words};
use super::section::Section;
use super::{Dns, PATH, Settings, Timers, Tls, digest};

/// What a Presence Client is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// The Manager it gets its messages from.
    pub manager: HostPort,
    /// The Presence Server it publishes to.
    pub server: SipServer,
    /// The rest, which is the same when all roles are in one process.
    pub common: ClientCommon,
}

/// What a Presence Client is told wherever its Manager and its server are.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientCommon {
    /// The domains it publishes for; every domain when empty.
    pub domains: Vec<String>,
    /// Its name towards the Manager; made up from the host's when `None`.
    pub id: Option<String>,
    /// Where it listens for SIP; a free port in the server's address family when empty.
    pub listen: Vec<Listen>,
    /// What it asks as lifetime of publications.
    pub expires: Duration,
    /// How many PUBLISH requests, each for another presentity, are under way at a time.
    pub window: usize,
    /// Where entity-tags outlive a restart; nowhere when `None`.
    pub state: Option<PathBuf>,
    /// Whether an orderly shutdown removes the publications.
    pub unpublish_on_exit: bool,
    /// The circular buffer.
    pub buffer: Buffer,
    /// The link to the Manager.
    pub link: Link,
    /// Timers of transactions.
    pub timers: Timers,
    /// Who is asked for the servers of names.
    pub dns: Dns,
    /// What it answers challenges with.
    pub account: Option<Credentials>,
    /// Whom we believe when we connect by TLS, and what we show.
    pub tls: Tls,
}

/// The circular buffer between Manager and publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// How many presentities can wait.
    pub capacity: usize,
    /// What happens when one more comes.
    pub when_full: WhenFull,
}

/// What happens when the buffer is full of distinct presentities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The Manager's socket is not read until there is room.
    Block,
    /// The oldest goes, counted and refused to the Manager.
    Overwrite,
}

/// The link to the Manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The pause after the first failed connection.
    pub backoff_min: Duration,
    /// The longest pause; each is about twice the one before.
    pub backoff_max: Duration,
    /// How long a connection may take.
    pub connect_timeout: Duration,
}

impl Settings for Client {
    const ROLE: &'static str = "client";
    const ABOUT: &'static str =
        "Settings of a Presence Client: rollcall client --config client.toml";

    fn read(s: &mut Section<'_>) -> Self {
        Self {
            manager: s.key(
                "manager",
                "The Manager to connect to. The default is where a Manager listens by default.",
                HOST_PORT,
                HostPort {
                    host: "127.0.0.1".to_owned(),
                    port: 7000,
                },
            ),
            server: s.key(
                "server",
                "The Presence Server to publish to. Any server that knows PUBLISH will do.",
                SIP_SERVER,
                SipServer {
                    uri: "sip:127.0.0.1:5060".to_owned(),
                    host: "127.0.0.1".to_owned(),
                    port: Some(5060),
                    transport: None,
                },
            ),
            common: ClientCommon::read(s),
        }
    }
}

impl ClientCommon {
    /// Where to listen for SIP when nothing is configured, given an address of the server: a free UDP port of the same
    /// address family, on loopback if the server is.
    pub fn free_port_towards(server: IpAddr) -> Listen {
        let ip: IpAddr = match server {
            IpAddr::V4(v4) if v4.is_loopback() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(v6) if v6.is_loopback() => Ipv6Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        Listen::udp((ip, 0).into())
    }

    pub(super) fn read(s: &mut Section<'_>) -> Self {
        Self {
            domains: s.key(
                "domain",
                "The domains to publish for; messages about others are refused to the Manager. Empty means every domain.",
                List { least: 0, kind: DOMAIN },
                Vec::new(),
            ),
            id: s.key(
                "id",
                "Its name towards the Manager, in the Manager's log.",
                Optional { none: "", meaning: "a name made up from the host's", kind: words("a name") },
                None,
            ),
            listen: s.key(
                "listen",
                "Where SIP is listened for. Empty means a free UDP port in each address family of the server, on loopback \
                 if the server is.",
                List { least: 0, kind: LISTEN },
                Vec::new(),
            ),
            expires: s.key(
                "expires",
                "The lifetime asked for publications. If this client dies, they are shown that long.",
                Span::seconds(60, 86_400),
                Duration::from_secs(3600),
            ),
            window: s.key(
                "window",
                "PUBLISH requests under way at a time, each for another presentity. Enough to hide a round trip.",
                Whole(1..=10_000),
                64,
            ),
            state: s.key(
                "state",
                "A file in which entity-tags outlive a restart, so that publications are continued and not doubled.",
                Optional { none: "", meaning: "no file", kind: PATH },
                Some(PathBuf::from("rollcall-data/client.tags")),
            ),
            unpublish_on_exit: s.key(
                "unpublish_on_exit",
                "Whether an orderly shutdown removes the publications: nobody is left to keep them true.",
                Truth,
                true,
            ),
            buffer: s.section("buffer", |s| Buffer {
                capacity: s.key(
                    "capacity",
                    "How many presentities can wait for their PUBLISH; only the newest state of each is kept.",
                    Whole(1..=1_000_000),
                    1024,
                ),
                when_full: s.key(
                    "when_full",
                    "What happens when one more comes: block stops reading the Manager's socket, so that nothing is \
                     lost; overwrite refuses the oldest.",
                    OneOf(&[("block", WhenFull::Block), ("overwrite", WhenFull::Overwrite)]),
                    WhenFull::Block,
                ),
            }),
            link: s.section("link", Link::read),
            timers: s.section("timers", Timers::read),
            dns: s.section("dns", Dns::read),
            account: s.section("account", digest::account),
            tls: s.section("tls", Tls::read_client),
        }
    }
}

impl Link {
    fn read(s: &mut Section<'_>) -> Self {
        let span = || Span(Duration::from_millis(10)..=Duration::from_secs(3600));
        let is = Self {
            backoff_min: s.key(
                "backoff_min",
                "The pause after the first failed connection; short, since a restart is the usual reason.",
                span(),
                Duration::from_millis(500),
            ),
            backoff_max: s.key(
                "backoff_max",
                "The longest pause between attempts; each is about twice the one before.",
                span(),
                Duration::from_secs(30),
            ),
            connect_timeout: s.key(
                "connect_timeout",
                "How long a connection may take before it counts as failed.",
                span(),
                Duration::from_secs(10),
            ),
        };
        if is.backoff_min > is.backoff_max {
            let sentence = format!(
                "{} is more than backoff_max, {}",
                t(is.backoff_min),
                t(is.backoff_max)
            );
            s.problem("backoff_min", sentence);
        }
        is
    }
}
