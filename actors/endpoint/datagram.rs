//! UDP: one task reads each socket in batches; the actor sends at the end of a pass, and queues only while the kernel is full.

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
use crate::transport::bundle::{Bundle, largest_after};
use crate::transport::{Datagram, Pool};

/// Datagrams read at one wake-up before the actor gets them, and those that came with the last of them.
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
    /// The largest datagram that goes in a bundle, as far as is known: a way that takes only smaller ones makes it smaller.
    largest_in_bundle: usize,
}

/// What became of datagrams to one place.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Taken by the kernel, or waiting for it.
    pub sent: u64,
    /// Dropped: too many wait.
    pub dropped: u64,
    /// Refused by the kernel.
    pub failed: u64,
    /// Why, of the first that was.
    pub error: Option<io::Error>,
}

impl Port {
    /// Starts to read a socket, the `port`th of the endpoint. With `offload` datagrams of one place go and come together.
    pub fn open(
        socket: Datagram,
        bound: SocketAddr,
        port: usize,
        endpoint: Addr<Endpoint>,
        offload: bool,
    ) -> Self {
        if offload {
            socket.receive_merged();
        }
        let socket = Rc::new(socket);
        let reader = actix_rt::spawn(read(Rc::clone(&socket), port, endpoint));
        Self {
            largest_in_bundle: if offload {
                socket.largest_in_bundle()
            } else {
                0
            },
            socket,
            bound,
            reader,
            backlog: Rc::default(),
            lost: Rc::default(),
        }
    }

    /// Sends to one place in this order, now or, if the kernel is full, soon.
    pub fn send(&mut self, datagrams: &[Bytes], to: SocketAddr, so_far: &mut Sent) {
        let mut rest = datagrams;
        while let [first, ..] = rest {
            if !self.backlog.borrow().is_empty() {
                return self.wait(rest, to, so_far);
            }
            let bundle = Bundle::of(rest, self.largest_in_bundle);
            let (mut count, mut result) = match &bundle {
                Some(bundle) => (bundle.count(), self.socket.try_send_bundle(bundle, to)),
                None => (1, self.socket.try_send_to(first, to)),
            };
            if let (Some(bundle), Err(error)) = (&bundle, &result)
                && let Some(largest) = largest_after(error, bundle.size())
            {
                let size = bundle.size();
                tracing::debug!(%to, %error, size, "datagrams don't go together");
                (count, result) = (1, self.socket.try_send_to(first, to));
                // Unless it does not go alone either: then it is the place that is wrong, such as port 0.
                if result.is_ok() {
                    self.largest_in_bundle = largest;
                }
            }
            match result {
                Ok(()) => so_far.sent += count as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    actix_rt::spawn(drain(
                        Rc::clone(&self.socket),
                        Rc::clone(&self.backlog),
                        Rc::clone(&self.lost),
                    ));
                    return self.wait(rest, to, so_far);
                }
                Err(error) => {
                    so_far.failed += count as u64;
                    so_far.error.get_or_insert(error);
                }
            }
            rest = &rest[count..];
        }
    }

    /// Lets datagrams wait for the kernel, behind those that do.
    fn wait(&self, datagrams: &[Bytes], to: SocketAddr, so_far: &mut Sent) {
        let mut backlog = self.backlog.borrow_mut();
        let room = (BACKLOG - backlog.len()).min(datagrams.len());
        backlog.extend(datagrams[..room].iter().map(|bytes| (bytes.clone(), to)));
        so_far.sent += room as u64;
        so_far.dropped += (datagrams.len() - room) as u64;
    }

    /// How many datagrams waited for the kernel and then could not be sent.
    pub fn lost(&self) -> u64 {
        self.lost.get()
    }

    /// How many datagrams the kernel dropped because its buffer was full.
    pub fn overflowed(&self) -> u64 {
        self.socket.overflowed()
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
            match socket.try_recv_some(&mut pool, &mut batch) {
                Ok(()) => {}
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
        self.look_for_overflow(now, batch.len() >= BATCH);
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
                match self.core.get().judge(flow.transport, remote) {
                    Ok(()) => self.send_datagram(flow, answer),
                    Err(_) => self.counters.stun_barred += 1,
                }
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
    pub(super) fn port_for(&mut self, flow: &Flow) -> Option<&mut Port> {
        let alike = |p: &Port| p.bound.is_ipv4() == flow.remote.is_ipv4();
        let exact = self.ports.iter().position(|p| {
            alike(p) && self.locals.seen(Transport::Udp, p.bound, flow.remote) == flow.local
        });
        let at = exact.or_else(|| self.ports.iter().position(alike))?;
        self.ports.get_mut(at)
    }
}
