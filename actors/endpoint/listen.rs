//! Opening and closing the sockets of a shard.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use rollcall_core::egress::Machine;
use rollcall_core::exchange::{ConnectionId, Flow, Transport};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Endpoint, Listen, Port};
use crate::transport::{Datagram, Listener, Network, Stream, Tls, Wire, tls, web};

/// How long a listener pauses after it failed to accept, as when the process has no more descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// How long the handshakes of a new connection may take together.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Connections of a listener that shake hands at once; the next ones wait in the kernel.
const MOST_HANDSHAKES: usize = 1024;

/// A listening socket's task.
pub(super) struct Accepting {
    task: JoinHandle<()>,
}

/// A stream that somebody opened to us.
#[derive(Message)]
#[rtype(result = "()")]
struct Accepted {
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

/// A connection could not be accepted; to be counted.
#[derive(Message)]
#[rtype(result = "()")]
struct AcceptFailed;

/// A connection was opened and nobody could talk over it; to be counted.
#[derive(Message)]
#[rtype(result = "()")]
struct HandshakeFailed;

/// What a listening socket's task does with a new connection.
#[derive(Clone)]
struct Gate {
    transport: Transport,
    bound: SocketAddr,
    tls: Tls,
    endpoint: Addr<Endpoint>,
}

impl Gate {
    /// Shakes hands, as the transport asks.
    async fn pass(&self, stream: Stream, remote: SocketAddr) -> io::Result<Accepted> {
        let local = stream.local_addr().ok();
        let (stream, trusted, shown) = if self.transport.is_secure() {
            let accepted = self.tls.accept(stream).await?;
            (accepted.stream, accepted.trusted, accepted.shown)
        } else {
            (stream, false, None)
        };
        let wire = match self.transport {
            Transport::Ws | Transport::Wss => Wire::Web(Box::new(web::accept(stream).await?)),
            Transport::Udp | Transport::Tcp | Transport::Tls => Wire::Bytes(stream),
        };
        Ok(Accepted {
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
    async fn let_in(self, stream: Stream, remote: SocketAddr) {
        match timeout(HANDSHAKE, self.pass(stream, remote)).await {
            // The endpoint has ended: nobody wants the connection.
            Ok(Ok(accepted)) => drop(self.endpoint.send(accepted).await),
            Ok(Err(error)) => {
                tracing::debug!(%remote, %error, transport = %self.transport, "a handshake failed");
                self.endpoint.do_send(HandshakeFailed);
            }
            Err(_) => {
                tracing::debug!(%remote, transport = %self.transport, "a handshake took too long");
                self.endpoint.do_send(HandshakeFailed);
            }
        }
    }
}

async fn accept(listener: Listener, gate: Gate) {
    let plain = gate.transport == Transport::Tcp;
    let places = Arc::new(Semaphore::new(MOST_HANDSHAKES));
    let bound = gate.bound;
    loop {
        match listener.accept().await {
            // Without a handshake there is nothing to wait for.
            Ok((stream, remote)) if plain => {
                let Ok(accepted) = gate.pass(stream, remote).await else {
                    continue;
                };
                if gate.endpoint.send(accepted).await.is_err() {
                    return;
                }
            }
            Ok((stream, remote)) => {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                    return;
                };
                let passing = gate.clone().let_in(stream, remote);
                actix_rt::spawn(async move {
                    passing.await;
                    drop(place);
                });
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
                tracing::warn!(%error, %bound, "a connection could not be accepted");
                gate.endpoint.do_send(AcceptFailed);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Handler<HandshakeFailed> for Endpoint {
    type Result = ();

    fn handle(&mut self, _: HandshakeFailed, _: &mut Context<Self>) {
        self.counters.handshakes_failed += 1;
    }
}

impl Handler<AcceptFailed> for Endpoint {
    type Result = ();

    fn handle(&mut self, _: AcceptFailed, _: &mut Context<Self>) {
        self.counters.accept_errors += 1;
    }
}

impl Handler<Accepted> for Endpoint {
    type Result = ();

    fn handle(
        &mut self,
        Accepted {
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
        if self.connections.is_full(0) {
            self.counters.connections_refused += 1;
            return;
        }
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
            connection: ConnectionId(0),
        };
        let flow = self.connections.open(wire, flow, ctx.address());
        if trusted {
            self.ask(|core, _, _| core.trust(&flow));
        }
        if let Some(shown) = shown {
            self.connections.shown(flow.connection, shown);
            self.ask(|core, _, _| core.certify(&flow));
        }
        tracing::debug!(%remote, %transport, connection = flow.connection.0, trusted, "connection accepted");
    }
}

impl Endpoint {
    /// Opens no more, reads no more; what is queued is still sent.
    pub(super) fn close_all(&mut self) {
        for listener in self.listeners.drain(..) {
            listener.task.abort();
        }
        for port in self.ports.drain(..) {
            port.close();
        }
        self.connections.close_all();
    }
}
