//! Ways to places: the servers of names, streams opened or used again (RFC 3263, 4; RFC 3261, 18.1.1).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use actix::prelude::*;
use rollcall_core::exchange::{ConnectionId, Flow, Transport};
use rollcall_core::resolve::{Servers, Wanted};
use tokio::time::timeout;

use super::Endpoint;
use crate::resolve::Resolver;
use crate::transport::{Network, Stream, Tls, Wire};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Names looked up at once.
const MOST_NAMES: usize = 1024;

/// What is being looked for, and who waits for it: one look-up and one connect per place, however many wait.
#[derive(Default)]
pub(super) struct Routes {
    /// Made when the first name comes: most shards of a server never see one.
    resolver: Option<Resolver>,
    locating: BTreeMap<Wanted, Vec<u64>>,
    connecting: BTreeMap<Peer, Connecting>,
}

/// The other end of a connection to be: over TLS the host's name counts as well, since the certificate must bear it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Peer {
    transport: Transport,
    host: String,
    remote: SocketAddr,
}

/// A connection that is being opened.
struct Connecting {
    id: ConnectionId,
    tickets: Vec<u64>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Located {
    wanted: Wanted,
    result: Result<Servers, String>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Connected {
    /// Under which the tickets wait.
    peer: Peer,
    result: Result<Stream, String>,
}

async fn locate(
    resolver: Resolver,
    wanted: Wanted,
    ours: Vec<Transport>,
    endpoint: Addr<Endpoint>,
) {
    let result = resolver.locate(wanted.clone(), &ours).await;
    endpoint.do_send(Located { wanted, result });
}

async fn connect(network: Network, tls: Tls, peer: Peer, endpoint: Addr<Endpoint>) {
    let remote = peer.remote;
    let attempt = async {
        match network.connect(remote).await {
            Ok(stream) if peer.transport.is_secure() => tls.connect(stream, &peer.host).await,
            other => other,
        }
    };
    let result = match timeout(CONNECT, attempt).await {
        Ok(opened) => opened.map_err(|error| format!("{remote}: {error}")),
        Err(_) => Err(format!("{remote}: no connection in time")),
    };
    endpoint.do_send(Connected { peer, result });
}

impl Endpoint {
    /// Finds the servers of a name; the core gets them later.
    pub(super) fn locate(&mut self, ticket: u64, wanted: Wanted, ctx: &mut Context<Self>) {
        if let Some(waiting) = self.routes.locating.get_mut(&wanted) {
            waiting.push(ticket);
            return;
        }
        if self.routes.locating.len() >= MOST_NAMES {
            let reason = "too many names to resolve".to_owned();
            return self.tell_servers(vec![ticket], Err(reason));
        }
        let resolver = match &self.routes.resolver {
            Some(known) if !known.is_outdated() => known.clone(),
            Some(_) | None => Resolver::new(&self.network, &self.name_servers),
        };
        self.routes.resolver = Some(resolver.clone());
        // UDP is preferred, where we have it (RFC 3263, 4.1).
        let mut ours = vec![Transport::Tcp, Transport::Tls];
        if !self.ports.is_empty() {
            ours.insert(0, Transport::Udp);
        }
        actix_rt::spawn(locate(resolver, wanted.clone(), ours, ctx.address()));
        self.routes.locating.insert(wanted, vec![ticket]);
    }

    fn tell_servers(&mut self, tickets: Vec<u64>, result: Result<Servers, String>) {
        for ticket in tickets {
            let servers = result.as_ref().map_err(String::clone);
            let before = self.effects.len();
            self.ask(|core, now, out| core.located(now, ticket, servers, out));
            self.spans.routed(ticket, &self.effects[before..]);
        }
    }

    /// Finds a way to an address; the core gets it now or later. `name` is how the place was found.
    pub(super) fn route(
        &mut self,
        ticket: u64,
        transport: Option<Transport>,
        host: String,
        port: Option<u16>,
        name: Option<String>,
        ctx: &mut Context<Self>,
    ) {
        let usual = if self.ports.is_empty() {
            Transport::Tcp
        } else {
            Transport::Udp
        };
        let transport = transport.unwrap_or(usual);
        let port = port.unwrap_or(transport.default_port());
        let Ok(ip) = host.parse::<IpAddr>() else {
            return self.tell(vec![ticket], Err(format!("{host} is no address")));
        };
        let remote = SocketAddr::new(ip, port);
        match transport {
            Transport::Udp => {
                let way = self.datagram_way(remote);
                self.tell(vec![ticket], way);
            }
            Transport::Ws | Transport::Wss => {
                let reason = "a WebSocket can't be opened from here".to_owned();
                self.tell(vec![ticket], Err(reason));
            }
            Transport::Tcp | Transport::Tls => {
                let host = name.unwrap_or(host);
                self.stream_way(ticket, transport, remote, host, ctx);
            }
        }
    }

    /// Takes a connection that stands, or opens one.
    fn stream_way(
        &mut self,
        ticket: u64,
        transport: Transport,
        remote: SocketAddr,
        host: String,
        ctx: &mut Context<Self>,
    ) {
        if let Some(flow) = self.connections.to(transport, remote, &host) {
            return self.tell(vec![ticket], Ok(flow));
        }
        let host = if transport.is_secure() {
            host
        } else {
            String::new()
        };
        let peer = Peer {
            transport,
            host,
            remote,
        };
        if let Some(waiting) = self.routes.connecting.get_mut(&peer) {
            waiting.tickets.push(ticket);
            return;
        }
        let (now, id) = (self.clock.now(), self.connections.next_id());
        let place = self.connections.room.open(now, id, remote.ip());
        if let Err(full) = self.given(now, remote, place) {
            return self.tell(vec![ticket], Err(full.to_string()));
        }
        let tickets = vec![ticket];
        let connecting = Connecting { id, tickets };
        self.routes.connecting.insert(peer.clone(), connecting);
        let (network, tls) = (self.network.clone(), self.tls.clone());
        actix_rt::spawn(connect(network, tls, peer, ctx.address()));
    }

    fn datagram_way(&mut self, remote: SocketAddr) -> Result<Flow, String> {
        let port = self
            .ports
            .iter()
            .find(|p| p.bound.is_ipv4() == remote.is_ipv4());
        let Some(bound) = port.map(|p| p.bound) else {
            return Err("no UDP socket of that address family".to_owned());
        };
        Ok(Flow {
            shard: self.shard,
            transport: Transport::Udp,
            local: self.locals.seen(Transport::Udp, bound, remote),
            remote,
            connection: ConnectionId(0),
        })
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

impl Handler<Located> for Endpoint {
    type Result = ();

    fn handle(&mut self, Located { wanted, result }: Located, ctx: &mut Context<Self>) {
        let tickets = self.routes.locating.remove(&wanted).unwrap_or_default();
        self.tell_servers(tickets, result);
        self.settle(ctx);
    }
}

impl Handler<Connected> for Endpoint {
    type Result = ();

    fn handle(&mut self, Connected { peer, result }: Connected, ctx: &mut Context<Self>) {
        let Some(Connecting { id, tickets }) = self.routes.connecting.remove(&peer) else {
            return;
        };
        let remote = peer.remote;
        let way = result.and_then(|stream| {
            let local = stream.local_addr().map_err(|error| error.to_string())?;
            let local = self.locals.reachable(peer.transport, local, remote);
            let flow = Flow {
                shard: self.shard,
                transport: peer.transport,
                local,
                remote,
                connection: id,
            };
            self.counters.connections_opened += 1;
            let wire = Wire::Bytes(stream, None);
            self.connections.open(wire, flow, self.clock, ctx.address());
            self.connections.verified(id, peer.host);
            Ok(flow)
        });
        if way.is_err() {
            self.connections.room.leave(id);
        }
        self.tell(tickets, way);
        self.settle(ctx);
    }
}
