//! The texts of a dialog, and the way to its watcher, in one allocation as long as they are.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use smallvec::SmallVec;

use crate::exchange::{ConnectionId, Flow, Transport};

/// What a [`Block`] is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    /// Header lines.
    pub head: &'a [u8],
    /// The remote target.
    pub target: &'a str,
    /// URI of the first Route; empty: none.
    pub first_route: &'a str,
    /// Address of the account that subscribed; empty: From says it.
    pub account: &'a str,
    /// The flow of the last SUBSCRIBE.
    pub flow: Flow,
}

/// The parts, one behind the other. A server has one for each subscription.
#[derive(Clone, Debug)]
pub(super) struct Block {
    bytes: Box<[u8]>,
    /// Where head, target, first route and account end. What follows is the flow.
    ends: [u16; 4],
}

impl Block {
    /// Puts the parts together; `None` if they are more than 64 KiB.
    pub fn new(parts: &Parts<'_>) -> Option<Self> {
        let texts = [
            parts.head,
            parts.target.as_bytes(),
            parts.first_route.as_bytes(),
            parts.account.as_bytes(),
        ];
        let mut flow = FlowBytes::new();
        push_flow(&mut flow, &parts.flow);
        // No more than it takes: allocators leave a piece as it is when less than half of it is given back.
        let length: usize = texts.iter().map(|text| text.len()).sum();
        let mut bytes = Vec::with_capacity(length + flow.len());
        let mut ends = [0; 4];
        for (text, end) in texts.into_iter().zip(&mut ends) {
            bytes.extend_from_slice(text);
            *end = u16::try_from(bytes.len()).ok()?;
        }
        bytes.extend_from_slice(&flow);
        Some(Self {
            bytes: bytes.into(),
            ends,
        })
    }

    /// All of them.
    pub fn parts(&self) -> Parts<'_> {
        Parts {
            head: self.head(),
            target: self.target(),
            first_route: self.text(1),
            account: self.text(2),
            flow: self.flow(),
        }
    }

    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Header lines.
    pub fn head(&self) -> &[u8] {
        &self.bytes[..usize::from(self.ends[0])]
    }

    pub fn target(&self) -> &str {
        self.text(0)
    }

    pub fn first_route(&self) -> Option<&str> {
        Some(self.text(1)).filter(|route| !route.is_empty())
    }

    pub fn account(&self) -> Option<&str> {
        Some(self.text(2)).filter(|account| !account.is_empty())
    }

    pub fn flow(&self) -> Flow {
        read_flow(&self.bytes[usize::from(self.ends[3])..])
    }

    fn text(&self, behind: usize) -> &str {
        let range = usize::from(self.ends[behind])..usize::from(self.ends[behind + 1]);
        // It was a text when it was put in.
        str::from_utf8(&self.bytes[range]).unwrap_or_default()
    }
}

/// Two addresses of IPv6 with all they have, and a connection.
const MOST_FLOW: usize = 2 + 2 * (1 + 16 + 2 + 8) + 8;

type FlowBytes = SmallVec<[u8; MOST_FLOW]>;

fn push_flow(out: &mut FlowBytes, flow: &Flow) {
    // Five of them.
    out.push(flow.transport as u8);
    out.push(flow.shard);
    push_address(out, flow.local);
    push_address(out, flow.remote);
    if flow.connection != ConnectionId::default() {
        out.extend_from_slice(&flow.connection.0.to_be_bytes());
    }
}

fn push_address(out: &mut FlowBytes, address: SocketAddr) {
    match address {
        SocketAddr::V4(address) => {
            out.push(4);
            out.extend_from_slice(&address.ip().octets());
        }
        SocketAddr::V6(address) => {
            out.push(6);
            out.extend_from_slice(&address.ip().octets());
            out.extend_from_slice(&address.flowinfo().to_be_bytes());
            out.extend_from_slice(&address.scope_id().to_be_bytes());
        }
    }
    out.extend_from_slice(&address.port().to_be_bytes());
}

/// What [`push_flow`] wrote.
fn read_flow(bytes: &[u8]) -> Flow {
    let mut rest = bytes;
    let [transport, shard] = take(&mut rest);
    let transport = Transport::ALL.into_iter().nth(usize::from(transport));
    Flow {
        transport: transport.unwrap_or(Transport::Udp),
        shard,
        local: read_address(&mut rest),
        remote: read_address(&mut rest),
        connection: ConnectionId(u64::from_be_bytes(take(&mut rest))),
    }
}

fn read_address(rest: &mut &[u8]) -> SocketAddr {
    let [family] = take(rest);
    if family == 4 {
        let ip = IpAddr::from(take::<4>(rest));
        return SocketAddr::new(ip, u16::from_be_bytes(take(rest)));
    }
    let ip = Ipv6Addr::from(take::<16>(rest));
    let (flowinfo, scope) = (
        u32::from_be_bytes(take(rest)),
        u32::from_be_bytes(take(rest)),
    );
    let port = u16::from_be_bytes(take(rest));
    SocketAddr::V6(SocketAddrV6::new(ip, port, flowinfo, scope))
}

/// Takes bytes off the front; zeros when there are none: a flow without a connection has left them out.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    match rest.split_first_chunk() {
        Some((first, after)) => {
            *rest = after;
            *first
        }
        None => [0; N],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let addresses = ["192.0.2.1:5060", "[fe80::1%3]:5061", "[::1]:1"]
            .map(|text| text.parse::<SocketAddr>().expect("an address"));
        for (index, transport) in Transport::ALL.into_iter().enumerate() {
            for local in addresses {
                for remote in addresses {
                    let flow = Flow {
                        shard: 7,
                        transport,
                        local,
                        remote,
                        connection: ConnectionId(index as u64 * 99),
                    };
                    let parts = Parts {
                        head: b"To: x\r\n",
                        target: "sip:a@b",
                        first_route: if index == 0 { "" } else { "sip:p;lr" },
                        account: "",
                        flow,
                    };
                    let block = Block::new(&parts).expect("it fits");
                    assert_eq!(block.flow(), flow);
                    assert_eq!((block.head(), block.target()), (parts.head, "sip:a@b"));
                    assert_eq!(block.first_route(), (index > 0).then_some("sip:p;lr"));
                    assert_eq!(block.account(), None);
                }
            }
        }
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let flow = "192.0.2.1:5060".parse().expect("an address");
        let parts = Parts {
            head: &[b'x'; 65_530],
            target: "sip:a@b",
            first_route: "",
            account: "",
            flow: Flow {
                shard: 0,
                transport: Transport::Udp,
                local: flow,
                remote: flow,
                connection: ConnectionId(0),
            },
        };
        assert!(Block::new(&parts).is_none());
    }
}
