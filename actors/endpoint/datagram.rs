//! UDP: one task reads each socket in batches; the actor sends at once, and queues only while the kernel is full.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use rollcall_core::exchange::{ConnectionId, Flow, Transport};
use rollcall_core::stun;
use tokio::task::JoinHandle;

use super::{Endpoint, trace};
use crate::transport::{Datagram, Pool};

/// Datagrams read at one wake-up before the actor gets them.
pub(super) const BATCH: usize = 64;

/// Datagrams that wait while the kernel takes no more; beyond that they are dropped, as UDP may.
const BACKLOG: usize = 4096;

/// What one wake-up of a socket brought.
#[derive(Message)]
#[rtype(result = "()")]
struct Datagrams {
    port: usize,
    batch: Vec<(Bytes, SocketAddr)>,
    /// Places that ICMP says can't be reached.
    unreachable: Vec<SocketAddr>,
    errors: u64,
}

/// A UDP socket of this shard.
pub(super) struct Port {
    socket: Rc<Datagram>,
    pub bound: SocketAddr,
    reader: JoinHandle<()>,
    /// Datagrams that wait for room; while there are any, a task sends them.
    backlog: Rc<RefCell<VecDeque<(Bytes, SocketAddr)>>>,
    /// Datagrams that waited in vain.
    lost: Rc<Cell<u64>>,
}

impl Port {
    /// Starts to read a socket, the `port`th of the endpoint.
    pub fn open(
        socket: Datagram,
        bound: SocketAddr,
        port: usize,
        endpoint: Addr<Endpoint>,
    ) -> Self {
        let socket = Rc::new(socket);
        let reader = actix_rt::spawn(read(Rc::clone(&socket), port, endpoint));
        Self {
            socket,
            bound,
            reader,
            backlog: Rc::default(),
            lost: Rc::default(),
        }
    }

    /// Sends now or, if the kernel is full, soon. False if there was no more room to wait.
    pub fn send(&self, bytes: Bytes, to: SocketAddr) -> io::Result<bool> {
        let mut backlog = self.backlog.borrow_mut();
        if backlog.is_empty() {
            match self.socket.try_send_to(&bytes, to) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    actix_rt::spawn(drain(
                        Rc::clone(&self.socket),
                        Rc::clone(&self.backlog),
                        Rc::clone(&self.lost),
                    ));
                }
                result => return result.map(|()| true),
            }
        }
        if backlog.len() >= BACKLOG {
            return Ok(false);
        }
        backlog.push_back((bytes, to));
        Ok(true)
    }

    /// How many datagrams waited for the kernel and then could not be sent.
    pub fn lost(&self) -> u64 {
        self.lost.get()
    }

    /// Reads no more. What waits to be sent is still sent.
    pub fn close(&self) {
        self.reader.abort();
    }
}

async fn read(socket: Rc<Datagram>, port: usize, endpoint: Addr<Endpoint>) {
    let mut pool = Pool::new();
    while socket.readable().await.is_ok() {
        let mut batch = Vec::with_capacity(BATCH);
        let mut errors = 0;
        while batch.len() < BATCH {
            match socket.try_recv(&mut pool) {
                Ok(datagram) => batch.push(datagram),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    tracing::debug!(%error, "a datagram could not be received");
                    errors += 1;
                    break;
                }
            }
        }
        let unreachable: Vec<SocketAddr> = std::iter::from_fn(|| socket.try_unreachable())
            .take(BATCH)
            .collect();
        if batch.is_empty() && unreachable.is_empty() && errors == 0 {
            continue;
        }
        if errors > 0 && batch.is_empty() {
            // A socket that only fails must not keep the thread busy.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // One batch at a time: until it is handled, the rest waits in the kernel's bounded buffer.
        if endpoint
            .send(Datagrams {
                port,
                batch,
                unreachable,
                errors,
            })
            .await
            .is_err()
        {
            break;
        }
    }
}

async fn drain(
    socket: Rc<Datagram>,
    backlog: Rc<RefCell<VecDeque<(Bytes, SocketAddr)>>>,
    lost: Rc<Cell<u64>>,
) {
    while socket.writable().await.is_ok() {
        loop {
            let Some((bytes, to)) = backlog.borrow().front().cloned() else {
                return;
            };
            match socket.try_send_to(&bytes, to) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // A datagram that can't be sent is a lost one: its transaction will notice.
                sent => {
                    lost.set(lost.get() + u64::from(sent.is_err()));
                    drop(backlog.borrow_mut().pop_front());
                }
            }
        }
    }
}

/// Keep-alives over UDP that want no answer: nothing but line ends, blanks or zeros. RFC 5626 has STUN for this; many phones
/// send these.
fn is_keep_alive(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| matches!(b, b'\r' | b'\n' | b' ' | 0))
}

impl Handler<Datagrams> for Endpoint {
    type Result = ();

    fn handle(
        &mut self,
        Datagrams {
            port,
            batch,
            unreachable,
            errors,
        }: Datagrams,
        ctx: &mut Context<Self>,
    ) {
        self.counters.socket_errors += errors;
        self.counters.datagrams_received += batch.len() as u64;
        let Some(bound) = self.ports.get(port).map(|p| p.bound) else {
            return;
        };
        let now = self.clock.now();
        for (bytes, remote) in batch {
            if is_keep_alive(&bytes) {
                self.counters.keep_alives += 1;
                continue;
            }
            let flow = Flow {
                shard: self.shard,
                transport: Transport::Udp,
                local: self.locals.seen(Transport::Udp, bound, remote),
                remote,
                connection: ConnectionId(0),
            };
            if let Some(answer) = stun::answer(&bytes, remote) {
                self.counters.stun_requests += 1;
                self.send_datagram(flow, answer);
                continue;
            }
            trace::message("received", &flow, &bytes);
            self.receive(now, flow, bytes);
        }
        for remote in unreachable {
            self.counters.unreachable += 1;
            self.ask(|core, now, out| core.unreachable(now, remote, out));
        }
        self.settle(ctx);
    }
}

impl Endpoint {
    /// The socket that a flow goes out from: the one it came in by, or else any of its address family.
    pub(super) fn port_for(&mut self, flow: &Flow) -> Option<&Port> {
        let alike = |p: &Port| p.bound.is_ipv4() == flow.remote.is_ipv4();
        let exact = self.ports.iter().position(|p| {
            alike(p) && self.locals.seen(Transport::Udp, p.bound, flow.remote) == flow.local
        });
        let at = exact.or_else(|| self.ports.iter().position(alike))?;
        self.ports.get(at)
    }
}
