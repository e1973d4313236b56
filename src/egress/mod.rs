//! Where a node sends of its own accord, and how much to a place that has not answered yet (docs/adr/0015).
//!
//! Over UDP anybody can make up the address that a request comes from, and over any transport a Contact, a Record-Route or a
//! name may point anywhere. So there are places that nothing is ever sent to, a table for the operator, and a bound on what
//! one request may draw.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use crate::exchange::Transport;

/// Bytes that a place which has not answered may be sent, in bytes of the request that came from there: what QUIC allows
/// (RFC 9000, 8.1).
pub const AMPLIFICATION: usize = 3;

/// Where a node sends, and whom it takes at his word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Egress {
    /// Networks that may be sent to; all when empty.
    pub allow: Vec<IpNet>,
    /// Networks that may not. They go before `allow`.
    pub deny: Vec<IpNet>,
    /// Networks whose addresses nobody makes up: what their requests draw is not bounded.
    pub unbounded: Vec<IpNet>,
    /// Networks of proxies: their route sets and their phones' contacts are followed wherever they lead, and what their
    /// requests draw is not bounded.
    pub proxies: Vec<IpNet>,
}

impl Default for Egress {
    /// Anywhere. From loopback nobody makes up an address.
    fn default() -> Self {
        let loopback = [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            Ipv6Addr::LOCALHOST.into(),
        ];
        let [v4, v6] = loopback.map(IpNet::from);
        Self {
            allow: Vec::new(),
            deny: Vec::new(),
            unbounded: vec![IpNet::new_assert(v4.addr(), 8).trunc(), v6],
            proxies: Vec::new(),
        }
    }
}

/// What a machine is known by: whom we would talk to ourselves at, and who would be many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Where we listen, as sockets are bound: the address may be the unspecified one.
    pub bound: Vec<(Transport, SocketAddr)>,
    /// Addresses of the machine's interfaces.
    pub addresses: Vec<IpAddr>,
    /// Broadcast addresses of its networks.
    pub broadcasts: Vec<IpAddr>,
}

impl Machine {
    /// Whether we listen at a place. TLS and WebSockets are TCP there.
    pub fn is_ours(&self, transport: Transport, place: SocketAddr) -> bool {
        let ip = place.ip().to_canonical();
        let here = || ip.is_loopback() || self.addresses.contains(&ip);
        self.bound.iter().any(|(of, bound)| {
            bound.port() == place.port()
                && of.is_reliable() == transport.is_reliable()
                && match bound.ip().to_canonical() {
                    any if any.is_unspecified() => here(),
                    own => own == ip,
                }
        })
    }
}

/// Why nothing is sent to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Barred {
    /// No socket has port 0.
    #[error("port 0")]
    Port,
    /// `0.0.0.0` is this machine to most systems, and `::` as well.
    #[error("an unspecified address")]
    Unspecified,
    /// One datagram would become many.
    #[error("a multicast address")]
    Multicast,
    /// The same.
    #[error("the broadcast address")]
    Broadcast,
    /// A link-local address of IPv6 says nothing without its link.
    #[error("a link-local address without its link")]
    NoLink,
    /// We listen there: a loop.
    #[error("an address of this server")]
    Ours,
    /// The operator has denied its network.
    #[error("in egress.deny by {0}")]
    Denied(IpNet),
    /// The operator has allowed others.
    #[error("not in egress.allow")]
    NotAllowed,
}

impl Egress {
    /// Whether a place may be sent to. Our own addresses are not known here.
    pub fn judge(&self, place: SocketAddr) -> Result<(), Barred> {
        if place.port() == 0 {
            return Err(Barred::Port);
        }
        let ip = place.ip().to_canonical();
        match ip {
            // All of 0.0.0.0/8 is "this network", and no destination (RFC 6890, 2.2.2).
            IpAddr::V4(ip) if ip.octets()[0] == 0 => return Err(Barred::Unspecified),
            IpAddr::V4(ip) if ip.is_multicast() => return Err(Barred::Multicast),
            IpAddr::V4(ip) if ip.is_broadcast() => return Err(Barred::Broadcast),
            IpAddr::V4(_) => {}
            IpAddr::V6(ip) if ip.is_unspecified() => return Err(Barred::Unspecified),
            IpAddr::V6(ip) if ip.is_multicast() => return Err(Barred::Multicast),
            IpAddr::V6(ip) if ip.is_unicast_link_local() && link(place) == 0 => {
                return Err(Barred::NoLink);
            }
            IpAddr::V6(_) => {}
        }
        if let Some(net) = self.deny.iter().find(|net| net.contains(&ip)) {
            return Err(Barred::Denied(*net));
        }
        if !self.allow.is_empty() && !holds(&self.allow, ip) {
            return Err(Barred::NotAllowed);
        }
        Ok(())
    }

    /// Whether what requests from there draw is not bounded.
    pub fn is_unbounded(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        holds(&self.unbounded, ip) || holds(&self.proxies, ip)
    }

    /// Whether a peer may say where else requests go.
    pub fn is_proxy(&self, ip: IpAddr) -> bool {
        holds(&self.proxies, ip.to_canonical())
    }
}

fn holds(nets: &[IpNet], ip: IpAddr) -> bool {
    nets.iter().any(|net| net.contains(&ip))
}

fn link(place: SocketAddr) -> u32 {
    match place {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(place) => place.scope_id(),
    }
}

#[cfg(test)]
mod tests;
