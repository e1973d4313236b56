//! Opening and closing the sockets of a shard.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use rollcall_core::egress::Machine;
use rollcall_core::exchange::{ConnectionId, Flow, Transport};
use rollcall_core::room::{Fragments, Records};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::room::Shaking;
use super::{Endpoint, Listen, Port};
use crate::clock::Clock;
use crate::transport::watched::{Begun, Watched};
use crate::transport::{Datagram, Listener, Network, Stream, Tls, Wire, tls, web};
use crate::trouble::Seldom;

/// How long a listener pauses after it failed to accept, as when the process has no more descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// The same when room was made.
const SHORT_PAUSE: Duration = Duration::from_millis(10);

/// How long a new connection waits for a place to shake hands before somebody is asked to hurry again.
const IMPATIENCE: Duration = Duration::from_millis(200);

/// Connections of a listener that shake hands at once; the next ones wait in the kernel.
const MOST_HANDSHAKES: usize = 1024;

/// A listening socket's task.
pub(super) struct Accepting {
    task: JoinHandle<()>,
}

/// Somebody has connected; answered when the next one may come.
#[derive(Message)]
#[rtype(result = "()")]
struct Arrived {
    stream: Stream,
    remote: SocketAddr,
    gate: Gate,
    /// Among those who shake hands, if that is to be done.
    place: Option<OwnedSemaphorePermit>,
}

/// A stream that somebody opened to us, over which can be talked.
#[derive(Message)]
#[rtype(result = "()")]
struct Accepted {
    id: ConnectionId,
    transport: Transport,
    wire: Wire,
    /// Our end of the connection.
    local: Option<SocketAddr>,
    remote: SocketAddr,
    bound: SocketAddr,
    /// Whether the peer has shown a certificate that lets it speak for anybody.
    trusted: bool,
    /// The certificate it has shown.
    shown: Option<tls::Shown>,
}

enum Opened {
    Udp(Datagram),
    Tcp(Listener),
}

/// Binds as a shard does: together with the others, if there are others.
///
/// The kernel lets any process of ours share a shared port, also a second node by mistake. So the first shard looks
/// whether the port is free for one alone, before it shares it.
async fn open(network: Network, listen: Listen, first: bool, shared: bool) -> io::Result<Opened> {
    let Listen {
        transport, addr, ..
    } = listen;
    match transport {
        Transport::Udp => {
            if shared && first && addr.port() != 0 {
                drop(network.datagram(addr, false).await?);
            }
            Ok(Opened::Udp(network.datagram(addr, shared).await?))
        }
        _ if shared => {
            if first && addr.port() != 0 {
                drop(network.listen(addr).await?);
            }
            Ok(Opened::Tcp(network.listen_shared(addr).await?))
        }
        _ => Ok(Opened::Tcp(network.listen(addr).await?)),
    }
}

impl Handler<Listen> for Endpoint {
    type Result = ResponseActFuture<Self, io::Result<SocketAddr>>;

    fn handle(&mut self, listen: Listen, _: &mut Context<Self>) -> Self::Result {
        let opening = open(
            self.network.clone(),
            listen,
            self.shard == 0,
            self.shards > 1,
        );
        Box::pin(opening.into_actor(self).map(move |opened, endpoint, ctx| {
            let bound = match opened? {
                Opened::Udp(socket) => {
                    let bound = socket.local_addr()?;
                    let (number, offload) = (endpoint.ports.len(), endpoint.udp_offload);
                    let port = Port::open(socket, bound, number, ctx.address(), offload);
                    endpoint.ports.push(port);
                    bound
                }
                Opened::Tcp(listener) => {
                    let bound = listener.local_addr()?;
                    let gate = Gate {
                        transport: listen.transport,
                        bound,
                        tls: endpoint.tls.clone(),
                        clock: endpoint.clock,
                        endpoint: ctx.address(),
                    };
                    let task = actix_rt::spawn(accept(listener, gate));
                    endpoint.listeners.push(Accepting { task });
                    bound
                }
            };
            endpoint
                .locals
                .add(listen.transport, bound, listen.advertise);
            let locals = endpoint.locals.usual();
            endpoint.core.set_locals(locals);
            let (addresses, broadcasts) = endpoint.network.interfaces();
            endpoint.core.set_machine(Machine {
                bound: endpoint.locals.listening().collect(),
                addresses,
                broadcasts,
            });
            Ok(bound)
        }))
    }
}

/// A connection could not be accepted, most likely because the process has no more descriptors. Answered with whether
/// there may be one now.
#[derive(Message)]
#[rtype(result = "bool")]
struct AcceptFailed;

/// A connection waits for a place to shake hands.
#[derive(Message)]
#[rtype(result = "()")]
struct Hurry;

/// A connection was opened and nobody could talk over it.
#[derive(Message)]
#[rtype(result = "()")]
struct HandshakeFailed(ConnectionId);

/// What a listening socket's task does with a new connection.
#[derive(Clone)]
struct Gate {
    transport: Transport,
    bound: SocketAddr,
    tls: Tls,
    clock: Clock,
    endpoint: Addr<Endpoint>,
}

impl Gate {
    /// Whether nothing is to be done before SIP is spoken.
    fn is_open(&self) -> bool {
        self.transport == Transport::Tcp
    }

    /// Shakes hands, as the transport asks.
    async fn pass(
        &self,
        id: ConnectionId,
        stream: Stream,
        remote: SocketAddr,
    ) -> io::Result<Accepted> {
        let local = stream.local_addr().ok();
        let (stream, trusted, shown, record) = if self.transport.is_secure() {
            let record = Begun::at_once();
            let watched = Watched::new(stream, Records::default(), record.clone());
            let accepted = self.tls.accept(Box::new(watched)).await?;
            let tls::Accepted {
                stream,
                trusted,
                shown,
            } = accepted;
            (stream, trusted, shown, Some(record))
        } else {
            (stream, false, None, None)
        };
        let wire = match self.transport {
            Transport::Ws | Transport::Wss => {
                let message = Begun::later();
                let watched = Watched::new(stream, Fragments::default(), message.clone());
                let socket = web::accept(Box::new(watched)).await?;
                message.start();
                Wire::Web(Box::new(socket), message, record)
            }
            Transport::Udp | Transport::Tcp | Transport::Tls => Wire::Bytes(stream, record),
        };
        Ok(Accepted {
            id,
            transport: self.transport,
            wire,
            local,
            remote,
            bound: self.bound,
            trusted,
            shown,
        })
    }

    /// The same with a limit; who does not pass is only counted.
    async fn let_in(self, id: ConnectionId, stream: Stream, remote: SocketAddr, limit: Duration) {
        match timeout(limit, self.pass(id, stream, remote)).await {
            // The endpoint has ended: nobody wants the connection.
            Ok(Ok(accepted)) => drop(self.endpoint.send(accepted).await),
            Ok(Err(error)) => {
                tracing::debug!(%remote, %error, transport = %self.transport, "a handshake failed");
                self.endpoint.do_send(HandshakeFailed(id));
            }
            Err(_) => {
                tracing::debug!(%remote, transport = %self.transport, "a handshake took too long");
                self.endpoint.do_send(HandshakeFailed(id));
            }
        }
    }

    /// A place to shake hands. Who takes long over it makes way.
    async fn place(&self, places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        loop {
            if let Ok(place) = Arc::clone(places).try_acquire_owned() {
                return Some(place);
            }
            self.endpoint.send(Hurry).await.ok()?;
            let waiting = Arc::clone(places).acquire_owned();
            if let Ok(place) = timeout(IMPATIENCE, waiting).await {
                return place.ok();
            }
        }
    }
}

async fn accept(listener: Listener, gate: Gate) {
    let places = Arc::new(Semaphore::new(MOST_HANDSHAKES));
    let bound = gate.bound;
    let mut failures = Seldom::default();
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                let place = if gate.is_open() {
                    None
                } else {
                    match gate.place(&places).await {
                        None => return,
                        place => place,
                    }
                };
                let arrived = Arrived {
                    stream,
                    remote,
                    gate: gate.clone(),
                    place,
                };
                if gate.endpoint.send(arrived).await.is_err() {
                    return;
                }
            }
            // The host of a memory network has crashed.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return,
            // The peer has changed its mind: that is no trouble of ours.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                ) => {}
            Err(error) => {
                if let Some(times) = failures.again(gate.clock.now()) {
                    tracing::warn!(%error, %bound, times, "a connection could not be accepted");
                }
                let Ok(made) = gate.endpoint.send(AcceptFailed).await else {
                    return;
                };
                tokio::time::sleep(if made { SHORT_PAUSE } else { PAUSE }).await;
            }
        }
    }
}

impl Handler<Arrived> for Endpoint {
    type Result = ();

    fn handle(
        &mut self,
        Arrived {
            stream,
            remote,
            gate,
            place,
        }: Arrived,
        ctx: &mut Context<Self>,
    ) {
        let (now, id) = (self.clock.now(), self.connections.next_id());
        let entered = self.connections.room.enter(now, id, remote.ip());
        if self.given(now, remote, entered).is_ok() {
            if gate.is_open() {
                let accepted = Accepted {
                    id,
                    transport: gate.transport,
                    local: stream.local_addr().ok(),
                    wire: Wire::Bytes(stream, None),
                    remote,
                    bound: gate.bound,
                    trusted: false,
                    shown: None,
                };
                self.take(accepted, ctx);
            } else {
                let passing = gate.let_in(id, stream, remote, self.handshake);
                let task = actix_rt::spawn(async move {
                    passing.await;
                    drop(place);
                });
                let shaking = Shaking {
                    task,
                    remote,
                    since: now,
                };
                self.shaking.insert(id, shaking);
            }
        }
        self.settle(ctx);
    }
}

impl Handler<Hurry> for Endpoint {
    type Result = ();

    fn handle(&mut self, _: Hurry, _: &mut Context<Self>) {
        self.hurry();
    }
}

impl Handler<HandshakeFailed> for Endpoint {
    type Result = ();

    fn handle(&mut self, HandshakeFailed(id): HandshakeFailed, _: &mut Context<Self>) {
        if self.shaking.remove(&id).is_some() {
            self.counters.handshakes_failed += 1;
            self.connections.room.leave(id);
        }
    }
}

impl Handler<AcceptFailed> for Endpoint {
    type Result = bool;

    fn handle(&mut self, _: AcceptFailed, ctx: &mut Context<Self>) -> bool {
        self.counters.accept_errors += 1;
        let made = self.make_room();
        self.settle(ctx);
        made
    }
}

impl Handler<Accepted> for Endpoint {
    type Result = ();

    fn handle(&mut self, accepted: Accepted, ctx: &mut Context<Self>) {
        // It has gone for somebody else meanwhile.
        if self.shaking.remove(&accepted.id).is_some() {
            self.take(accepted, ctx);
        }
    }
}

impl Endpoint {
    /// Talks over a connection from now on.
    fn take(
        &mut self,
        Accepted {
            id,
            transport,
            wire,
            local,
            remote,
            bound,
            trusted,
            shown,
        }: Accepted,
        ctx: &mut Context<Self>,
    ) {
        self.counters.connections_accepted += 1;
        let advertised = self.locals.seen(transport, bound, remote);
        let local = match local {
            // Which of our addresses the peer took is known for sure.
            Some(local) if bound.ip().is_unspecified() && !self.locals.is_advertised(bound) => {
                local
            }
            _ => advertised,
        };
        let flow = Flow {
            shard: self.shard,
            transport,
            local,
            remote,
            connection: id,
        };
        self.connections.open(wire, flow, self.clock, ctx.address());
        if trusted {
            self.ask(|core, _, _| core.trust(&flow));
        }
        if let Some(shown) = shown {
            self.connections.shown(flow.connection, shown);
            self.ask(|core, _, _| core.certify(&flow));
        }
        tracing::debug!(%remote, %transport, connection = flow.connection.0, trusted, "connection accepted");
    }

    /// Opens no more, reads no more; what is queued is still sent.
    pub(super) fn close_all(&mut self) {
        for listener in self.listeners.drain(..) {
            listener.task.abort();
        }
        for port in self.ports.drain(..) {
            port.close();
        }
        for (_, shaking) in self.shaking.drain() {
            shaking.task.abort();
        }
        self.connections.close_all();
    }
}
