//! Our own addresses, as peers see them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rollcall_core::exchange::Transport;
use rustc_hash::FxHashMap;

use crate::transport::Network;

/// Networks whose local address is remembered; then it begins anew.
const REMEMBERED: usize = 4096;

struct Listening {
    transport: Transport,
    bound: SocketAddr,
    advertise: Option<SocketAddr>,
}

/// Which address of ours a peer reaches us at.
pub(super) struct Locals {
    network: Network,
    listening: Vec<Listening>,
    /// Answers of the routing table for sockets bound to the unspecified address, by the peer's network.
    known: FxHashMap<IpAddr, IpAddr>,
}

impl Locals {
    pub fn new(network: Network) -> Self {
        Self {
            network,
            listening: Vec::new(),
            known: FxHashMap::default(),
        }
    }

    pub fn add(&mut self, transport: Transport, bound: SocketAddr, advertise: Option<SocketAddr>) {
        let advertise = advertise.map(|addr| match addr.port() {
            0 => SocketAddr::new(addr.ip(), bound.port()),
            _ => addr,
        });
        self.listening.push(Listening {
            transport,
            bound,
            advertise,
        });
    }

    pub fn listening(&self) -> impl Iterator<Item = (Transport, SocketAddr)> + '_ {
        self.listening.iter().map(|l| (l.transport, l.bound))
    }

    /// Whether a listening socket was given an address to be known by.
    pub fn is_advertised(&self, bound: SocketAddr) -> bool {
        self.listening
            .iter()
            .any(|l| l.transport.is_reliable() && l.bound == bound && l.advertise.is_some())
    }

    /// For the core: the addresses that stand in Via and Contact when the way to a peer is not yet known. A socket bound
    /// to the unspecified address is reached from the world and from this machine, by different addresses.
    pub fn usual(&mut self) -> Vec<(Transport, SocketAddr)> {
        let bound: Vec<_> = self.listening().collect();
        let mut usual = Vec::new();
        for (transport, bound) in bound {
            for remote in [somewhere(bound), loopback(bound)] {
                let local = (transport, self.seen(transport, bound, remote));
                if !usual.contains(&local) {
                    usual.push(local);
                }
            }
        }
        usual
    }

    /// The address of a socket of ours, bound there, as `remote` sees it. Never the unspecified one.
    pub fn seen(
        &mut self,
        transport: Transport,
        bound: SocketAddr,
        remote: SocketAddr,
    ) -> SocketAddr {
        let advertised = self
            .listening
            .iter()
            .find(|l| l.transport == transport && l.bound == bound);
        if let Some(addr) = advertised.and_then(|l| l.advertise) {
            return addr;
        }
        if !bound.ip().is_unspecified() {
            return bound;
        }
        SocketAddr::new(self.towards(remote), bound.port())
    }

    /// For a connection that we opened from `local`: the address we listen at for others, if there is one, since a peer
    /// can't connect to the port that a connection goes out from.
    pub fn reachable(
        &mut self,
        transport: Transport,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> SocketAddr {
        let fits = |bound: SocketAddr| {
            bound.is_ipv4() == local.is_ipv4()
                && (bound.ip().is_unspecified() || bound.ip() == local.ip())
        };
        let listening = self
            .listening
            .iter()
            .find(|l| l.transport == transport && fits(l.bound));
        match listening.map(|l| l.bound) {
            Some(bound) => self.seen(transport, bound, remote),
            None => local,
        }
    }

    fn towards(&mut self, remote: SocketAddr) -> IpAddr {
        let net = network_of(remote.ip());
        if let Some(&ip) = self.known.get(&net) {
            return ip;
        }
        // No route: whoever we talk to is on this machine.
        let ip = self
            .network
            .local_towards(remote)
            .unwrap_or(loopback(remote).ip());
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(net, ip);
        ip
    }
}

/// An address that is nobody's (RFC 5737, RFC 3849): the way there is the way to the world.
fn somewhere(like: SocketAddr) -> SocketAddr {
    match like {
        SocketAddr::V4(_) => (Ipv4Addr::new(192, 0, 2, 1), 5060).into(),
        SocketAddr::V6(_) => (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 5060).into(),
    }
}

fn loopback(like: SocketAddr) -> SocketAddr {
    match like {
        SocketAddr::V4(_) => (Ipv4Addr::LOCALHOST, 5060).into(),
        SocketAddr::V6(_) => (Ipv6Addr::LOCALHOST, 5060).into(),
    }
}

/// Peers of one /24 or /48 are reached alike.
fn network_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            Ipv4Addr::new(a, b, c, 0).into()
        }
        IpAddr::V6(ip) => {
            let [a, b, c, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()
        }
    }
}
