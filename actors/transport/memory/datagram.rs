//! Datagram sockets and listeners of the memory network: handles of rows in its state.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;

use super::Shared;
use super::stream::{MemoryStream, Side};

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

    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for MemoryDatagram {
    fn drop(&mut self) {
        self.shared.lock().unbind(self.key);
    }
}

pub(in crate::transport) struct MemoryListener {
    pub(super) shared: Arc<Shared>,
    pub(super) key: usize,
    pub(super) addr: SocketAddr,
}

impl MemoryListener {
    pub async fn accept(&self) -> io::Result<(MemoryStream, SocketAddr)> {
        let id = poll_fn(|cx| {
            let mut state = self.shared.lock();
            let listening = &mut state.listeners[self.key];
            if listening.dead {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::NotConnected)));
            }
            if let Some(id) = listening.queue.pop_front() {
                return Poll::Ready(Ok(id));
            }
            listening.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await?;
        let stream = MemoryStream::of(&self.shared, id, Side::Server)?;
        let peer = stream.peer();
        Ok((stream, peer))
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        let mut tell = false;
        let mut state = self.shared.lock();
        for id in state.unlisten(self.key) {
            tell |= state.leave(id, Side::Server);
        }
        drop(state);
        self.shared.tell(tell);
    }
}
