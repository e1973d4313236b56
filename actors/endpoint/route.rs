//! Ways to places: names are resolved, streams opened or used again (RFC 3263, 4; RFC 3261, 18.1.1).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use actix::prelude::*;
use rollcall_core::exchange::{ConnectionId, Flow, Transport};
use tokio::time::timeout;

use super::Endpoint;
use crate::transport::{Network, Stream, Tls, Wire};

/// How long a name may take to resolve.
const RESOLVE: Duration = Duration::from_secs(5);

/// How long all addresses of a place together may take to connect.
const CONNECT: Duration = Duration::from_secs(5);

/// Names looked up at once. The system's resolver keeps a thread for each, also after we have given it up.
const MOST_NAMES: usize = 64;

type Place = (Transport, String, u16);

/// What is being looked for, and who waits for it: one look-up and one connect per place, however many wait.
#[derive(Default)]
pub(super) struct Routes {
    resolving: BTreeMap<Place, Vec<u64>>,
    connecting: BTreeMap<Peer, Vec<u64>>,
}

/// The other end of a connection to be: over TLS the host's name counts as well, since the certificate must bear it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Peer {
    transport: Transport,
    host: String,
    /// The first of its addresses.
    first: SocketAddr,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Resolved {
    place: Place,
    result: Result<Vec<SocketAddr>, String>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Connected {
    /// Under which the tickets wait.
    peer: Peer,
    result: Result<(Stream, SocketAddr), String>,
}

async fn resolve(network: Network, place: Place, endpoint: Addr<Endpoint>) {
    let result = match timeout(RESOLVE, network.resolve(&place.1, place.2)).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(format!("{} does not resolve: {error}", place.1)),
        Err(_) => Err(format!("{} does not resolve in time", place.1)),
    };
    endpoint.do_send(Resolved { place, result });
}

async fn connect(
    network: Network,
    tls: Tls,
    addrs: Vec<SocketAddr>,
    peer: Peer,
    endpoint: Addr<Endpoint>,
) {
    let first = peer.first;
    let attempts = async {
        let mut last = format!("{first}: no address");
        for addr in addrs {
            let opened = match network.connect(addr).await {
                Ok(stream) if peer.transport.is_secure() => tls.connect(stream, &peer.host).await,
                other => other,
            };
            match opened {
                Ok(stream) => return Ok((stream, addr)),
                Err(error) => last = format!("{addr}: {error}"),
            }
        }
        Err(last)
    };
    let result = timeout(CONNECT, attempts)
        .await
        .unwrap_or_else(|_| Err(format!("{first}: no connection in time")));
    endpoint.do_send(Connected { peer, result });
}

impl Endpoint {
    /// Finds a way; the core gets it now or later.
    pub(super) fn route(
        &mut self,
        ticket: u64,
        transport: Option<Transport>,
        host: String,
        port: Option<u16>,
        ctx: &mut Context<Self>,
    ) {
        // Without a transport parameter it is UDP, where we have it (RFC 3263, 4.1).
        let usual = if self.ports.is_empty() {
            Transport::Tcp
        } else {
            Transport::Udp
        };
        let transport = transport.unwrap_or(usual);
        let port = port.unwrap_or(transport.default_port());
        let bare = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(&host);
        if let Ok(ip) = bare.parse() {
            let way = Ok(vec![SocketAddr::new(ip, port)]);
            self.found(vec![ticket], transport, bare.to_owned(), way, ctx);
            return;
        }
        let place = (transport, host, port);
        if let Some(waiting) = self.routes.resolving.get_mut(&place) {
            waiting.push(ticket);
            return;
        }
        if self.routes.resolving.len() >= MOST_NAMES {
            self.tell(vec![ticket], Err("too many names to resolve".to_owned()));
            return;
        }
        actix_rt::spawn(resolve(self.network.clone(), place.clone(), ctx.address()));
        self.routes.resolving.insert(place, vec![ticket]);
    }

    fn found(
        &mut self,
        tickets: Vec<u64>,
        transport: Transport,
        host: String,
        result: Result<Vec<SocketAddr>, String>,
        ctx: &mut Context<Self>,
    ) {
        let addrs = match result {
            Ok(addrs) => addrs,
            Err(reason) => return self.tell(tickets, Err(reason)),
        };
        match transport {
            Transport::Udp => {
                let way = self.datagram_way(&addrs);
                self.tell(tickets, way);
            }
            Transport::Ws | Transport::Wss => {
                self.tell(
                    tickets,
                    Err("a WebSocket can't be opened from here".to_owned()),
                );
            }
            Transport::Tcp | Transport::Tls => {
                let open = |&addr: &SocketAddr| self.connections.to(transport, addr, &host);
                if let Some(flow) = addrs.iter().find_map(open) {
                    return self.tell(tickets, Ok(flow));
                }
                let Some(&first) = addrs.first() else {
                    return self.tell(tickets, Err("the name has no address".to_owned()));
                };
                let peer = Peer {
                    transport,
                    host: if transport.is_secure() {
                        host
                    } else {
                        String::new()
                    },
                    first,
                };
                if let Some(waiting) = self.routes.connecting.get_mut(&peer) {
                    waiting.extend(tickets);
                    return;
                }
                if self.connections.is_full(self.routes.connecting.len()) {
                    self.counters.connections_refused += 1;
                    return self.tell(tickets, Err("too many connections".to_owned()));
                }
                self.routes.connecting.insert(peer.clone(), tickets);
                let connecting = connect(
                    self.network.clone(),
                    self.tls.clone(),
                    addrs,
                    peer,
                    ctx.address(),
                );
                actix_rt::spawn(connecting);
            }
        }
    }

    fn datagram_way(&mut self, addrs: &[SocketAddr]) -> Result<Flow, String> {
        for &remote in addrs {
            let port = self
                .ports
                .iter()
                .find(|p| p.bound.is_ipv4() == remote.is_ipv4());
            let Some(bound) = port.map(|p| p.bound) else {
                continue;
            };
            let local = self.locals.seen(Transport::Udp, bound, remote);
            let connection = ConnectionId(0);
            return Ok(Flow {
                shard: self.shard,
                transport: Transport::Udp,
                local,
                remote,
                connection,
            });
        }
        Err("no UDP socket of that address family".to_owned())
    }

    fn tell(&mut self, tickets: Vec<u64>, way: Result<Flow, String>) {
        for ticket in tickets {
            let way = way.clone();
            let before = self.effects.len();
            self.ask(|core, now, out| core.routed(now, ticket, way, out));
            self.spans.routed(ticket, &self.effects[before..]);
        }
    }
}

impl Handler<Resolved> for Endpoint {
    type Result = ();

    fn handle(&mut self, Resolved { place, result }: Resolved, ctx: &mut Context<Self>) {
        let tickets = self.routes.resolving.remove(&place).unwrap_or_default();
        self.found(tickets, place.0, place.1, result, ctx);
        self.settle(ctx);
    }
}

impl Handler<Connected> for Endpoint {
    type Result = ();

    fn handle(&mut self, Connected { peer, result }: Connected, ctx: &mut Context<Self>) {
        let tickets = self.routes.connecting.remove(&peer).unwrap_or_default();
        let way = result.and_then(|(stream, remote)| {
            let local = stream.local_addr().map_err(|error| error.to_string())?;
            let local = self.locals.reachable(peer.transport, local, remote);
            let connection = ConnectionId(0);
            let flow = Flow {
                shard: self.shard,
                transport: peer.transport,
                local,
                remote,
                connection,
            };
            self.counters.connections_opened += 1;
            let flow = self
                .connections
                .open(Wire::Bytes(stream), flow, ctx.address());
            self.connections.verified(flow.connection, peer.host);
            Ok(flow)
        });
        self.tell(tickets, way);
        self.settle(ctx);
    }
}
