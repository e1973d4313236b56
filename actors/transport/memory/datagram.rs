//! Datagrams of the memory network: what happens to them, and the handles of sockets.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use tokio::time::Instant;

use super::Shared;
use super::hosts::chosen;
use super::link::{Carrier, Fate};
use super::state::{Event, HostId, SOCKET_QUEUE, State};
use crate::transport::{Bundle, bundle};

/// How many usual delays a datagram takes that is held back.
const HELD_BACK: u32 = 4;

pub(in crate::transport) struct MemoryDatagram {
    pub(super) shared: Arc<Shared>,
    pub(super) key: usize,
    pub(super) addr: SocketAddr,
}

impl MemoryDatagram {
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| {
            let mut state = self.shared.lock();
            let socket = &mut state.sockets[self.key];
            if socket.dead {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            }
            if !socket.queue.is_empty() {
                return Poll::Ready(Ok(()));
            }
            socket.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    pub fn try_recv(&self) -> io::Result<(Bytes, SocketAddr)> {
        let mut state = self.shared.lock();
        let socket = &mut state.sockets[self.key];
        if socket.dead {
            return Err(io::ErrorKind::NotConnected.into());
        }
        socket
            .queue
            .pop_front()
            .ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    pub fn try_send_to(&self, bytes: &Bytes, to: SocketAddr) -> io::Result<()> {
        let tell = self.shared.lock().send(self.key, bytes, to)?;
        self.shared.tell(tell);
        Ok(())
    }

    /// As a kernel does: it cuts what it gets by the size, or refuses it.
    pub fn try_send_bundle(&self, bundle: &Bundle<'_>, to: SocketAddr) -> io::Result<()> {
        {
            let mut state = self.shared.lock();
            let largest = state.largest_in_bundle(self.key, to);
            if largest.is_some_and(|largest| bundle.size() > largest) {
                return Err(io::Error::from_raw_os_error(bundle::EMSGSIZE));
            }
            state.statistics.bundles += 1;
        }
        bundle
            .cut()
            .iter()
            .try_for_each(|bytes| self.try_send_to(bytes, to))
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for MemoryDatagram {
    fn drop(&mut self) {
        self.shared.lock().unbind(self.key);
    }
}

impl State {
    fn largest_in_bundle(&self, key: usize, to: SocketAddr) -> Option<usize> {
        let from = self.sockets[key].host;
        let to = self.host_at(from, to.ip())?;
        self.link(from, to).largest_in_bundle
    }

    /// Sends a datagram. True if the pump must be told.
    pub fn send(&mut self, key: usize, bytes: &Bytes, to: SocketAddr) -> io::Result<bool> {
        let socket = &self.sockets[key];
        if socket.dead {
            return Err(io::ErrorKind::NotConnected.into());
        }
        if bytes.len() > 65_507 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "message too long for a datagram",
            ));
        }
        let (from_host, from) = (socket.host, socket.addr);
        self.statistics.sent += 1;
        let number = self.statistics.sent;
        let Some(to_host) = self.host_at(from_host, to.ip()) else {
            self.statistics.unreachable += 1;
            self.observe(
                (from, to),
                Carrier::Datagram,
                Fate::Unreachable,
                number,
                bytes,
            );
            return Ok(false);
        };
        self.observe((from, to), Carrier::Datagram, Fate::Sent, number, bytes);
        let link = self.link(from_host, to_host);
        if self.entropy.chance(link.loss) {
            self.statistics.lost += 1;
            self.observe((from, to), Carrier::Datagram, Fate::Lost, number, bytes);
            return Ok(false);
        }
        let copies = if self.entropy.chance(link.duplicate) {
            2
        } else {
            1
        };
        self.statistics.duplicated += copies - 1;
        let now = Instant::now();
        let mut tell = false;
        for _ in 0..copies {
            let mut at = now + self.latency(link);
            if self.entropy.chance(link.reorder) {
                at += HELD_BACK * (link.delay + link.jitter);
            }
            let event = Event::Datagram {
                from_host,
                from,
                to_host,
                to,
                number,
                bytes: bytes.clone(),
            };
            tell |= self.schedule(at, event);
        }
        Ok(tell)
    }

    /// A datagram is there.
    pub fn arrive(
        &mut self,
        (from_host, from): (HostId, SocketAddr),
        (to_host, to): (HostId, SocketAddr),
        number: u64,
        bytes: Bytes,
    ) {
        let fate = if self.is_blocked(from_host, to_host) {
            self.statistics.partitioned += 1;
            Fate::Partitioned
        } else {
            let receiver = self
                .bound
                .get(&(to_host, to))
                .and_then(|there| chosen(there, from));
            match receiver.map(|key| &mut self.sockets[key]) {
                None => {
                    self.statistics.unreachable += 1;
                    Fate::Unreachable
                }
                Some(socket) if socket.queue.len() >= SOCKET_QUEUE => {
                    self.statistics.overflowed += 1;
                    Fate::Overflowed
                }
                Some(socket) => {
                    socket.queue.push_back((bytes.clone(), from));
                    if let Some(waker) = socket.waker.take() {
                        waker.wake();
                    }
                    self.statistics.delivered += 1;
                    let latest = self.latest.entry((from_host, to_host)).or_default();
                    self.statistics.reordered += u64::from(number < *latest);
                    *latest = number.max(*latest);
                    Fate::Delivered
                }
            }
        };
        self.observe((from, to), Carrier::Datagram, fate, number, &bytes);
    }
}
