//! Bounds on what peers can make a server keep or do.

use std::time::Duration;

use rollcall_core::registry::Shares;

use super::shares::shares;
use crate::config::Section;
use crate::config::kind::{Optional, Span, Whole};
use crate::config::size::Size;

/// Bounds on what peers can make a server keep or do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Bytes of the body of a PUBLISH.
    pub body: usize,
    /// Bytes of all published bodies of one presentity.
    pub state: usize,
    /// Bytes of memory for the state of presentities; half of what the machine has when `None`.
    pub memory: Option<u64>,
    /// Bounds of each account and address.
    pub shares: Shares,
    /// Presentities with state, in all shards.
    pub presentities: usize,
    /// Publications of one presentity.
    pub publications: usize,
    /// Subscriptions of one presentity.
    pub subscriptions: usize,
    /// Requests of a shard that are not answered yet; over it 503 with Retry-After.
    pub in_flight: usize,
    /// TCP, TLS and WebSocket connections.
    pub connections: usize,
    /// How long one may be of no use.
    pub connection_idle: Duration,
    /// How long a message, or the handshakes, may take.
    pub message_time: Duration,
    /// Connections of one address; a quarter of all when `None`.
    pub source_connections: Option<usize>,
    /// The longest request over UDP; `None` as the RFC has it.
    pub datagram: Option<usize>,
}

impl ServerLimits {
    /// Connections that one address may have.
    pub fn share_of_connections(&self) -> usize {
        let share = self.source_connections;
        share.unwrap_or_else(|| self.connections.div_ceil(4))
    }

    pub(super) fn read(s: &mut Section<'_>) -> Self {
        let mut is = Self {
            body: s.key(
                "body",
                "Bytes of the body of a PUBLISH; more gets 413. Presence documents are a few hundred bytes.",
                Whole(1024..=1_048_576),
                65_536,
            ),
            state: s.key(
                "state",
                "Bytes of all published bodies of one presentity, which go to each of its watchers as one document; more gets \
                 413. The default takes 32 of the largest.",
                Whole(1024..=67_108_864),
                2_097_152,
            ),
            memory: s.key(
                "memory",
                "Bytes of memory for publications, subscriptions and bindings, in all shards; over it what is new gets 503 with \
                 Retry-After, and what exists goes on.",
                Optional {
                    none: "auto",
                    meaning: "half of the memory of the machine, or of its control group",
                    kind: Size(1 << 20..=1 << 50),
                },
                None,
            ),
            presentities: s.key(
                "presentities",
                "Presentities that somebody publishes for, and as many addresses of record with contacts; a new one beyond it \
                 gets 503.",
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
                "TCP, TLS and WebSocket connections at a time. The next one gets the place of an idle one of the address that has \
                 most, or is closed at once. Each takes a file descriptor.",
                Whole(1..=1_000_000),
                10_000,
            ),
            connection_idle: s.key(
                "connection_idle",
                "How long a connection stays open without a message when no request waits on it, and no subscription, \
                 registration or publication was made over it that still lives. Keep-alives alone are no messages.",
                Span::seconds(1, 86_400),
                Duration::from_secs(30),
            ),
            message_time: s.key(
                "message_time",
                "How long a message may take from its first byte to its last, and the TLS and WebSocket handshakes of a \
                 connection together. Then the connection is closed.",
                Span::seconds(1, 600),
                Duration::from_secs(10),
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
            shares: Shares::default(),
            source_connections: None,
        };
        (is.shares, is.source_connections) = shares(s);
        is
    }
}
