//! Settings of the Manager.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::address::ADDRESS;
use super::kind::{Optional, Span, Truth, Whole, words};
use super::section::Section;
use super::server::shares;
use super::source::{self, Source};
use super::{PATH, Settings};

/// What a Manager is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Manager {
    /// Where its peers connect.
    pub listen: SocketAddr,
    /// Its name towards peers.
    pub id: String,
    /// A `PING` goes at least this often; silence of three times that ends a session.
    pub heartbeat: Duration,
    /// Where the merged state outlives a restart; nowhere when `None`.
    pub state: Option<PathBuf>,
    /// How long the states of a source outlive its connection; for ever when `None`.
    pub linger: Option<Duration>,
    /// Its sources within the process.
    pub sources: Vec<Source>,
    /// Bounds on what peers can make it keep.
    pub limits: ManagerLimits,
}

/// Bounds on what peers can make a Manager keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManagerLimits {
    /// Connections at a time.
    pub connections: usize,
    /// Of one address; a quarter of all when `None`.
    pub source_connections: Option<usize>,
    /// Whether loopback addresses are bounded.
    pub loopback: bool,
    /// Presentities known.
    pub presentities: usize,
    /// Messages to a Presence Client that it has not acknowledged.
    pub unacknowledged: usize,
}

impl Settings for Manager {
    const ROLE: &'static str = "manager";
    const ABOUT: &'static str = "Settings of a Manager: rollcall manager --config manager.toml";

    fn read(s: &mut Section<'_>) -> Self {
        let is = Self {
            listen: s.key(
                "listen",
                "Where Presence Clients and sources connect. Loopback, so that nothing is open by accident; port 0 takes a \
                 free one.",
                ADDRESS,
                SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 7000),
            ),
            id: s.key("id", "Its name towards peers.", words("a name"), "manager".to_owned()),
            heartbeat: s.key(
                "heartbeat",
                "A PING goes at least this often; silence of three times that ends a session.",
                Span::seconds(1, 600),
                Duration::from_secs(30),
            ),
            state: s.key(
                "state",
                "A file in which what sources said outlives a restart: a script that has said its word and left does not \
                 come again.",
                Optional { none: "", meaning: "no file", kind: PATH },
                Some(PathBuf::from("rollcall-data/manager.xml")),
            ),
            linger: s.key(
                "linger",
                "How long the states of a source outlive its connection. For ever, so that a script may say its word and \
                 leave.",
                Optional { none: "forever", meaning: "no end", kind: Span::seconds(0, 30 * 86_400) },
                None,
            ),
            sources: s.section("source", source::read),
            limits: s.section("limits", |s| {
                let mut limits = ManagerLimits {
                connections: s.key(
                    "connections",
                    "Connections at a time; the next one gets the place of one that has said nothing yet, or is closed with an \
                     ERROR.",
                    Whole(1..=100_000),
                    1000,
                ),
                presentities: s.key(
                    "presentities",
                    "Presentities known; a new one beyond it gets an ERROR.",
                    Whole(1..=10_000_000),
                    100_000,
                ),
                unacknowledged: s.key(
                    "unacknowledged",
                    "Messages to a Presence Client that it has not acknowledged; further ones wait, newest state only.",
                    Whole(1..=100_000),
                    256,
                ),
                source_connections: None,
                loopback: false,
                };
                s.section("source", |s| {
                    limits.source_connections = shares::connections(s);
                    limits.loopback = s.key(
                        "loopback",
                        "Whether loopback addresses are bounded too. They are not, since sources and Presence Clients of one \
                         machine share them.",
                        Truth,
                        false,
                    );
                });
                limits
            }),
        };
        is.check_openness(s);
        is
    }
}

impl Manager {
    fn check_openness(&self, s: &mut Section<'_>) {
        if !self.listen.ip().is_loopback() {
            let sentence = format!(
                "{} is reachable from other machines, and Manager connections are not authenticated: anybody there can \
                 tell and read presence",
                self.listen
            );
            s.warning("listen", sentence);
        }
    }
}
