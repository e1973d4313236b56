//! Settings of the Presence Server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use rollcall_core::digest::Guessing;
use rollcall_core::egress::Egress;
use rollcall_core::registry::Registrar;
use rollcall_core::watcherinfo::Handling;

mod checks;
mod egress;
mod guessing;
mod limits;
mod persistence;
mod places;
pub(super) mod shares;

use super::address::{DOMAIN, IP, LISTEN, Listen};
use super::digest::Digest;
use super::kind::{List, OneOf, Optional, Span, Truth, Whole, span_text as t, words};
use super::section::Section;
use super::{Dns, Settings, Timers, Tls};

pub use limits::ServerLimits;
pub use persistence::Persistence;
use places::{SOCKET, STORE};
pub use places::{Socket, Store};

/// What a Presence Server is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Where SIP is listened for.
    pub listen: Vec<Listen>,
    /// The domains whose presentities are kept here; every domain when empty.
    pub domains: Vec<String>,
    /// Where state is kept.
    pub store: Store,
    /// What is done when its disk fails.
    pub persistence: Persistence,
    /// How many shards; one per core when `None`. See [`Server::shard_count`].
    pub shards: Option<u8>,
    /// Whether the kernel takes and gives datagrams of one place together.
    pub udp_offload: bool,
    /// How requests are authenticated.
    pub auth: Auth,
    /// What digest needs.
    pub digest: Digest,
    /// How those are slowed down who guess passwords.
    pub guessing: Guessing,
    /// Our certificate, and whom we believe.
    pub tls: Tls,
    /// The address that peers reach us at, in place of the one we listen at.
    pub advertise: Option<IpAddr>,
    /// The Server header of responses; none when `None`.
    pub server_name: Option<String>,
    /// Lifetimes of publications.
    pub publish: Expiry,
    /// Lifetimes of subscriptions.
    pub subscribe: Expiry,
    /// Lifetimes of registrations.
    pub register: Expiry,
    /// What the registrar gives beyond bindings.
    pub registrar: Registrar,
    /// How watchers are told.
    pub notify: Notify,
    /// Who may watch.
    pub watchers: Watchers,
    /// The socket for the operator.
    pub control: Socket,
    /// Timers of transactions.
    pub timers: Timers,
    /// Who is asked for the servers of names.
    pub dns: Dns,
    /// Where may be sent to, and how much to strangers.
    pub egress: Egress,
    /// Bounds on what peers can make us keep or do.
    pub limits: ServerLimits,
}

/// How requests are authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// By digest as soon as the server listens beyond loopback, else not at all.
    Auto,
    /// By digest.
    Digest,
    /// Not at all.
    Off,
}

/// Bounds of a lifetime that a peer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The least: shorter ones are refused with 423.
    pub min: Duration,
    /// What is granted to those that ask for none.
    pub default: Duration,
    /// The most: longer ones are shortened.
    pub max: Duration,
}

/// How watchers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notify {
    /// The least time between two NOTIFYs of a subscription (RFC 3856, 6.10).
    pub pacing: Duration,
    /// How many NOTIFYs in a row may go unanswered before the subscription is removed (RFC 6665, 4.2.2).
    pub timeouts: u32,
    /// Whether watchers are told "closed" of a presentity without publications, rather than nothing.
    pub offline: bool,
}

/// Who may watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watchers {
    /// How those are treated about whom nobody has decided.
    pub policy: Handling,
    /// How long one that was not decided about is remembered after its subscription.
    pub keep_waiting: Duration,
}

impl Server {
    /// How many shards there shall be.
    pub fn shard_count(&self) -> u8 {
        let cores = || {
            std::thread::available_parallelism()
                .map_or(1, usize::from)
                .min(64)
        };
        self.shards
            .unwrap_or_else(|| u8::try_from(cores()).unwrap_or(64))
    }
}

impl Settings for Server {
    const ROLE: &'static str = "server";
    const ABOUT: &'static str =
        "Settings of a Presence Server: rollcall server --config server.toml";

    fn read(s: &mut Section<'_>) -> Self {
        let local = |port| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        let is = Self {
            listen: s.key(
                "listen",
                "Where SIP is listened for. Loopback, so that nothing is open by accident; port 0 takes a free one.",
                List { least: 1, kind: LISTEN },
                vec![Listen::udp(local(5060)), Listen::tcp(local(5060))],
            ),
            domains: s.key(
                "domain",
                "The domains whose presentities are kept here; others get 404. Empty means every domain, which is fine on \
                 loopback.",
                List { least: 0, kind: DOMAIN },
                Vec::new(),
            ),
            store: s.key(
                "store",
                "Where publications, subscriptions and bindings are kept. A folder, so that a restart loses nothing; \
                 memory: keeps nothing.",
                STORE,
                Store::File(PathBuf::from("rollcall-data/server")),
            ),
            shards: s.key(
                "shards",
                "Threads that share the presentities. One per core.",
                Optional { none: "auto", meaning: "one per core", kind: Whole(1..=64) },
                None,
            ),
            udp_offload: s.key(
                "udp_offload",
                "Whether the system may take and give datagrams of one place together (UDP segmentation and receive offload of \
                 Linux), which saves half of what they cost behind a proxy. Captures on this machine (tcpdump, sngrep, agents of \
                 Homer) may show such datagrams as one; false keeps them apart.",
                Truth,
                true,
            ),
            auth: s.key(
                "auth",
                "How requests are authenticated: by digest, off, or auto, which is digest as soon as the server listens beyond \
                 loopback. With off, whoever reaches the port may publish and watch.",
                OneOf(&[("auto", Auth::Auto), ("digest", Auth::Digest), ("off", Auth::Off)]),
                Auth::Auto,
            ),
            advertise: s.key(
                "advertise",
                "The address that peers reach this server at, when it differs from the one listened at (0.0.0.0, NAT).",
                Optional { none: "", meaning: "the address listened at", kind: IP },
                None,
            ),
            server_name: s.key(
                "server_name",
                "The Server header of responses. Short, without a version that would help an attacker.",
                Optional { none: "", meaning: "no header", kind: words("a product name") },
                Some("rollcall".to_owned()),
            ),
            control: s.key(
                "control",
                "The Unix socket through which rollcall watchers reaches this server; auto is the file control in the folder \
                 of a file: store, and none with memory:.",
                SOCKET,
                Socket::Auto,
            ),
            persistence: s.section("persistence", Persistence::read),
            digest: s.section("digest", Digest::read),
            guessing: s.section("guessing", guessing::read),
            tls: s.section("tls", Tls::read_server),
            publish: s.section("publish", |s| Expiry::read(s, 60, 3600, 24 * 3600)),
            subscribe: s.section("subscribe", |s| Expiry::read(s, 60, 3600, 24 * 3600)),
            register: s.section("register", |s| Expiry::read(s, 60, 3600, 24 * 3600)),
            registrar: s.section("registrar", |s| Registrar {
                gruu: s.key(
                    "gruu",
                    "Whether phones that support it get a public GRUU (RFC 5627): their address of record with their instance. \
                     Nothing is proxied here, so it is of use to those who subscribe to it.",
                    Truth,
                    false,
                ),
                presence: s.key(
                    "presence",
                    "Whether who is registered is shown as open, by a tuple of the lowest priority beside what is published: for \
                     phones that register and publish nothing.",
                    Truth,
                    false,
                ),
            }),
            notify: s.section("notify", |s| Notify {
                pacing: s.key(
                    "pacing",
                    "The least time between two NOTIFYs of a subscription: the first change goes at once, further ones \
                     are gathered. RFC 3856, 6.10 asks for 5 s.",
                    Span::seconds(0, 3600),
                    Duration::from_secs(5),
                ),
                timeouts: s.key(
                    "timeouts",
                    "How many NOTIFYs in a row may go unanswered before the subscription is removed. RFC 6665, 4.2.2 \
                     says one; phones on radio links need a few.",
                    Whole(1..=100),
                    3,
                ),
                offline: s.key(
                    "offline",
                    "What is told of a presentity without publications: a document that says closed, since many phones \
                     keep showing what was last published when a NOTIFY is empty; false sends an empty NOTIFY.",
                    Truth,
                    true,
                ),
            }),
            watchers: s.section("watchers", |s| Watchers {
                policy: s.key(
                    "policy",
                    "How watchers are treated about whom nobody has decided: allow; confirm, pending until rollcall watchers \
                     decides; block, refused with 403; polite-block, told that the presentity is offline.",
                    OneOf(&[
                        ("allow", Handling::Allow),
                        ("confirm", Handling::Confirm),
                        ("block", Handling::Block),
                        ("polite-block", Handling::PoliteBlock),
                    ]),
                    Handling::Allow,
                ),
                keep_waiting: s.key(
                    "keep_waiting",
                    "How long a watcher is remembered whose pending subscription ended before anybody decided about it.",
                    Span::seconds(60, 366 * 86_400),
                    Duration::from_secs(30 * 86_400),
                ),
            }),
            timers: s.section("timers", Timers::read),
            dns: s.section("dns", Dns::read),
            egress: s.section("egress", egress::read),
            limits: s.section("limits", ServerLimits::read),
        };
        is.check_watchers(s);
        is.check_openness(s);
        is.check_certificate(s);
        is
    }
}

impl Server {
    /// Whether requests are authenticated.
    pub fn authenticates(&self) -> bool {
        match self.auth {
            Auth::Off => false,
            Auth::Digest => true,
            Auth::Auto => self.open().is_some(),
        }
    }

    /// The path of the socket for the operator.
    pub fn control_path(&self) -> Option<PathBuf> {
        match (&self.control, &self.store) {
            (Socket::At(path), _) => Some(path.clone()),
            (Socket::Auto, Store::File(folder)) => Some(folder.join("control")),
            (Socket::Auto, Store::Memory) | (Socket::None, _) => None,
        }
    }
}

impl Expiry {
    fn read(s: &mut Section<'_>, min: u64, default: u64, max: u64) -> Self {
        let is = Self {
            min: s.key(
                "min",
                "The least lifetime: shorter ones are refused with 423, since each refresh costs.",
                Span::seconds(1, 30 * 86_400),
                Duration::from_secs(min),
            ),
            default: s.key(
                "default",
                "The lifetime of those that ask for none, as in the RFC.",
                Span::seconds(1, 30 * 86_400),
                Duration::from_secs(default),
            ),
            max: s.key(
                "max",
                "The longest lifetime granted: what is not refreshed is gone after it.",
                Span::seconds(1, 30 * 86_400),
                Duration::from_secs(max),
            ),
        };
        if is.min > is.default {
            let sentence = format!("{} is more than the default, {}", t(is.min), t(is.default));
            s.problem("min", sentence);
        }
        if is.default > is.max {
            let sentence = format!("{} is more than the max, {}", t(is.default), t(is.max));
            s.problem("default", sentence);
        }
        is
    }
}
