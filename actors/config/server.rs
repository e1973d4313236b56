//! Settings of the Presence Server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use rollcall_core::registry::Registrar;
use rollcall_core::watcherinfo::Handling;

use super::address::{DOMAIN, IP, LISTEN, Listen};
use super::digest::Digest;
use super::kind::{List, OneOf, Optional, Span, Text, Truth, Whole, span_text as t, words};
use super::section::Section;
use super::{Dns, Settings, Timers, Tls};

/// What a Presence Server is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Where SIP is listened for.
    pub listen: Vec<Listen>,
    /// The domains whose presentities are kept here; every domain when empty.
    pub domains: Vec<String>,
    /// Where state is kept.
    pub store: Store,
    /// How many shards; one per core when `None`. See [`Server::shard_count`].
    pub shards: Option<u8>,
    /// Whether the kernel takes and gives datagrams of one place together.
    pub udp_offload: bool,
    /// How requests are authenticated.
    pub auth: Auth,
    /// What digest needs.
    pub digest: Digest,
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
    /// Bounds on what peers can make us keep or do.
    pub limits: ServerLimits,
}

/// Where state is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// Nowhere: it is gone with the process.
    Memory,
    /// In this folder.
    File(PathBuf),
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

/// Where the operator's commands reach a running server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Socket {
    /// In the folder of a `file:` store; nowhere with `memory:`.
    Auto,
    /// Nowhere.
    None,
    /// Here.
    At(PathBuf),
}

/// Bounds on what peers can make a server keep or do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Bytes of the body of a PUBLISH.
    pub body: usize,
    /// Presentities with state, in all shards.
    pub presentities: usize,
    /// Publications of one presentity.
    pub publications: usize,
    /// Subscriptions of one presentity.
    pub subscriptions: usize,
    /// Requests of a shard that are not answered yet; over it 503 with Retry-After.
    pub in_flight: usize,
    /// TCP connections.
    pub connections: usize,
    /// The longest request over UDP; `None` as the RFC has it.
    pub datagram: Option<usize>,
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
            digest: s.section("digest", Digest::read),
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

    /// A policy is only as good as what is known of watchers.
    fn check_watchers(&self, s: &mut Section<'_>) {
        if self.watchers.policy != Handling::Allow && !self.authenticates() {
            let sentence = "nobody is asked for a password, so a watcher is whoever it says it is";
            s.warning("watchers.policy", sentence.to_owned());
        }
    }

    /// What is encrypted needs a certificate.
    fn check_certificate(&self, s: &mut Section<'_>) {
        let secure = self
            .listen
            .iter()
            .find(|listen| listen.transport.is_secure());
        if let Some(listen) = secure.filter(|_| !self.tls.has_certificate()) {
            let sentence = format!(
                "{listen} needs a certificate: tls.certificate and tls.key, or tls.self_signed = true for trying out"
            );
            s.problem("listen", sentence);
        }
    }

    /// An address that strangers reach.
    fn open(&self) -> Option<&Listen> {
        let mut listen = self.listen.iter();
        listen.find(|listen| !listen.addr.ip().is_loopback())
    }

    /// Without authentication a server that strangers reach is somebody's decision, never a default; and with it, somebody
    /// must be able to log in.
    fn check_openness(&self, s: &mut Section<'_>) {
        let nobody = self.digest.users.is_none()
            && self.digest.accounts.is_empty()
            && self.digest.trusted.is_empty();
        if self.auth == Auth::Digest && nobody {
            let sentence = "digest needs digest.users, a file of accounts that rollcall user add writes, or digest.accounts";
            s.problem("auth", sentence.to_owned());
        }
        let Some(open) = self.open() else {
            return;
        };
        if self.auth == Auth::Off {
            let sentence = format!(
                "{open} is reachable from other machines and authentication is off: anybody there can publish and watch"
            );
            s.warning("listen", sentence);
        } else if self.auth == Auth::Auto && nobody {
            let sentence = format!(
                "{open} is reachable from other machines and nobody can log in; allowed are loopback addresses, or any \
                 with digest.users, a file of accounts, or with auth = \"off\" said explicitly"
            );
            s.problem("listen", sentence);
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

impl ServerLimits {
    fn read(s: &mut Section<'_>) -> Self {
        Self {
            body: s.key(
                "body",
                "Bytes of the body of a PUBLISH; more gets 413. Presence documents are a few hundred bytes.",
                Whole(1024..=1_048_576),
                65_536,
            ),
            presentities: s.key(
                "presentities",
                "Presentities with state; a new one beyond it gets 503.",
                Whole(1..=100_000_000),
                1_000_000,
            ),
            publications: s.key(
                "publications",
                "Publications of one presentity: a device each, and some that were forgotten.",
                Whole(1..=10_000),
                64,
            ),
            subscriptions: s.key(
                "subscriptions",
                "Subscriptions to one presentity: each change is told to all of them.",
                Whole(1..=10_000_000),
                10_000,
            ),
            in_flight: s.key(
                "in_flight",
                "Requests of a shard that wait for their answer; over it 503 with Retry-After before any work.",
                Whole(16..=1_000_000),
                4096,
            ),
            connections: s.key(
                "connections",
                "TCP connections at a time; the next one is closed at once.",
                Whole(1..=1_000_000),
                10_000,
            ),
            datagram: s.key(
                "datagram",
                "The longest NOTIFY over UDP, in bytes; longer ones go over TCP, and over UDP after all if the phone takes no \
                 connection. 1300 is what RFC 3261 asks for where the path is not known; on loopback it is.",
                Optional {
                    none: "auto",
                    meaning: "1300, and 65507 on loopback",
                    kind: Whole(500..=65_507),
                },
                None,
            ),
        }
    }
}

const SOCKET: Text<Socket> = Text {
    allowed: "a path, \"auto\", or \"\" for none",
    read: |text| {
        Ok(match text.trim() {
            "auto" => Socket::Auto,
            "" => Socket::None,
            path => Socket::At(PathBuf::from(path)),
        })
    },
    write: |socket| match socket {
        Socket::Auto => "auto".to_owned(),
        Socket::None => String::new(),
        Socket::At(path) => path.display().to_string(),
    },
};

const STORE: Text<Store> = Text {
    allowed: "\"memory:\" or \"file:FOLDER\"",
    read: |text| match text.split_once(':') {
        Some(("memory", "")) => Ok(Store::Memory),
        Some(("file", path)) if !path.trim().is_empty() => Ok(Store::File(PathBuf::from(path))),
        Some(("file", _)) => Err("names no folder".to_owned()),
        _ => Err("is no store".to_owned()),
    },
    write: |store| match store {
        Store::Memory => "memory:".to_owned(),
        Store::File(path) => format!("file:{}", path.display()),
    },
};
