//! Opening and closing the sockets of a shard.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use actix::prelude::*;
use rollcall_core::exchange::{ConnectionId, Flow, Transport};
use tokio::task::JoinHandle;

use super::{Endpoint, Listen, Port};
use crate::transport::{Datagram, Listener, Network, Stream};

/// How long a listener pauses after it failed to accept, as when the process has no more descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// A listening socket's task.
pub(super) struct Accepting {
    task: JoinHandle<()>,
}

/// A stream that somebody opened to us.
#[derive(Message)]
#[rtype(result = "()")]
struct Accepted {
    stream: Stream,
    remote: SocketAddr,
    bound: SocketAddr,
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
        Transport::Tcp if shared => {
            if first && addr.port() != 0 {
                drop(network.listen(addr).await?);
            }
            Ok(Opened::Tcp(network.listen_shared(addr).await?))
        }
        Transport::Tcp => Ok(Opened::Tcp(network.listen(addr).await?)),
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
                    let port = Port::open(socket, bound, endpoint.ports.len(), ctx.address());
                    endpoint.ports.push(port);
                    bound
                }
                Opened::Tcp(listener) => {
                    let bound = listener.local_addr()?;
                    let task = actix_rt::spawn(accept(listener, bound, ctx.address()));
                    endpoint.listeners.push(Accepting { task });
                    bound
                }
            };
            endpoint
                .locals
                .add(listen.transport, bound, listen.advertise);
            let locals = endpoint.locals.usual();
            endpoint.core.set_locals(locals);
            Ok(bound)
        }))
    }
}

/// A connection could not be accepted; to be counted.
#[derive(Message)]
#[rtype(result = "()")]
struct AcceptFailed;

async fn accept(listener: Listener, bound: SocketAddr, endpoint: Addr<Endpoint>) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                if endpoint
                    .send(Accepted {
                        stream,
                        remote,
                        bound,
                    })
                    .await
                    .is_err()
                {
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
                tracing::warn!(%error, %bound, "a connection could not be accepted");
                endpoint.do_send(AcceptFailed);
                tokio::time::sleep(PAUSE).await;
            }
        }
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
            stream,
            remote,
            bound,
        }: Accepted,
        ctx: &mut Context<Self>,
    ) {
        if self.connections.is_full(0) {
            self.counters.connections_refused += 1;
            return;
        }
        self.counters.connections_accepted += 1;
        let advertised = self.locals.seen(Transport::Tcp, bound, remote);
        let local = match stream.local_addr() {
            // Which of our addresses the peer took is known for sure.
            Ok(local) if bound.ip().is_unspecified() && !self.locals.is_advertised(bound) => local,
            _ => advertised,
        };
        let flow = Flow {
            shard: self.shard,
            transport: Transport::Tcp,
            local,
            remote,
            connection: ConnectionId(0),
        };
        let flow = self.connections.open(stream, flow, ctx.address());
        tracing::debug!(%remote, connection = flow.connection.0, "connection accepted");
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
