//! Where a server may send, and whose addresses it believes.

use ipnet::IpNet;
use rollcall_core::egress::Egress;

use crate::config::Section;
use crate::config::kind::{List, Text};

pub(super) fn read(s: &mut Section<'_>) -> Egress {
    let default = Egress::default();
    Egress {
        allow: s.key(
            "allow",
            "Networks that NOTIFYs, responses and connections may go to; all when empty. Multicast, broadcast and unspecified \
             addresses, port 0 and this server's own addresses are never sent to.",
            NETWORKS,
            default.allow,
        ),
        deny: s.key(
            "deny",
            "Networks that nothing goes to. They go before allow: what is in both is denied. A SUBSCRIBE that would be answered \
             there gets 403.",
            NETWORKS,
            default.deny,
        ),
        unbounded: s.key(
            "unbounded",
            "Networks in which nobody can make up the address of a UDP datagram. Elsewhere an address draws no more than three \
             times the bytes that it sent until it has answered a NOTIFY, or a challenge.",
            NETWORKS,
            default.unbounded,
        ),
        proxies: s.key(
            "proxies",
            "Networks of proxies that speak for phones that are not asked for a password: NOTIFYs follow their route sets, and their \
             phones' contacts, to other addresses. Not needed for a proxy that adds Record-Route with its own address.",
            NETWORKS,
            default.proxies,
        ),
    }
}

const NETWORKS: List<Text<IpNet>> = List {
    least: 0,
    kind: NETWORK,
};

/// A network; an address alone is one of itself.
const NETWORK: Text<IpNet> = Text {
    allowed: "a network like \"192.0.2.0/24\", or an address",
    read: |text| {
        let net = text.parse::<IpNet>().ok();
        let net = net.or_else(|| {
            text.parse()
                .ok()
                .map(|ip: std::net::IpAddr| ip.to_canonical().into())
        });
        let net = net.ok_or("is no network")?;
        if net != net.trunc() {
            return Err(format!("is an address within the network {}", net.trunc()));
        }
        Ok(net)
    },
    write: IpNet::to_string,
};
