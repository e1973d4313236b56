//! Requests that are too large for a datagram: over TCP, or back over UDP where the peer takes no connection (RFC 3261,
//! 18.1.1).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::outgoing::Ticket;
use super::{Effect, Endpoint, MAX_DATAGRAM, Origin};
use crate::exchange::{Flow, Outgoing, Transport};
use crate::time::Timestamp;

/// Bytes of a request over UDP where nothing is known of the path: 200 less than what Ethernet carries.
pub(super) const UNKNOWN_PATH: usize = 1300;

/// How long a peer is remembered that takes no connection: to try it again costs its watchers seconds when a firewall
/// swallows the attempt.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// How many of them. Beyond that all are forgotten, and learned again.
const MOST_REMEMBERED: usize = 65_536;

/// Peers that take no connection.
#[derive(Debug, Default)]
pub(super) struct Streamless(BTreeMap<SocketAddr, Timestamp>);

impl Streamless {
    fn has(&mut self, now: Timestamp, peer: SocketAddr) -> bool {
        match self.0.get(&peer) {
            Some(until) if *until > now => true,
            Some(_) => {
                self.0.remove(&peer);
                false
            }
            None => false,
        }
    }

    fn note(&mut self, now: Timestamp, peer: SocketAddr) {
        if self.0.len() >= MOST_REMEMBERED {
            self.0.clear();
        }
        self.0.insert(peer, now + REMEMBERED);
    }
}

impl Endpoint {
    /// Whether a request of `length` bytes must not take this flow.
    pub(super) fn is_too_large(&mut self, now: Timestamp, flow: &Flow, length: usize) -> bool {
        if flow.transport != Transport::Udp {
            return false;
        }
        let fits = match self.settings.datagram {
            Some(bytes) => bytes.min(MAX_DATAGRAM),
            // Of loopback the path is known: it carries whatever a datagram can be.
            None if flow.remote.ip().is_loopback() => MAX_DATAGRAM,
            None => UNKNOWN_PATH,
        };
        length > fits && (length > MAX_DATAGRAM || !self.streamless.has(now, flow.remote))
    }

    /// Sends a request over a stream that was to take `flow`.
    pub(super) fn send_large(
        &mut self,
        now: Timestamp,
        origin: Origin,
        outgoing: Outgoing,
        flow: Flow,
        length: usize,
        out: &mut Vec<Effect>,
    ) {
        self.counters.requests_too_large += 1;
        let fallback = (length <= MAX_DATAGRAM).then_some(flow);
        let ticket = Ticket::large(origin, outgoing, fallback);
        let (host, port) = (flow.remote.ip().to_string(), flow.remote.port());
        let transport = Some(Transport::Tcp);
        self.ask(now, ticket, transport, host, Some(port), out);
    }

    /// The peer takes no connection, so the request goes by datagram after all.
    pub(super) fn send_large_by_datagram(
        &mut self,
        now: Timestamp,
        origin: Origin,
        outgoing: Outgoing,
        flow: Flow,
        out: &mut Vec<Effect>,
    ) {
        self.counters.datagrams_instead += 1;
        self.streamless.note(now, flow.remote);
        self.transmit(now, origin, outgoing, flow, out);
    }
}
