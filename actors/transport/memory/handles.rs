//! Ends of streams and listeners of the memory network: handles of rows in its state.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Shared;
use super::stream::Side;
use crate::transport::Duplex;

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

/// One end of a stream.
pub(in crate::transport) struct MemoryStream {
    shared: Arc<Shared>,
    id: u64,
    side: Side,
    local: SocketAddr,
    peer: SocketAddr,
}

impl MemoryStream {
    /// The handle of an end that the state has.
    pub(super) fn of(shared: &Arc<Shared>, id: u64, side: Side) -> io::Result<Self> {
        let mut state = shared.lock();
        let connection = state
            .connections
            .get_mut(&id)
            .ok_or(io::ErrorKind::ConnectionReset)?;
        let (local, peer) = (connection.end(side).addr, connection.end(side.other()).addr);
        Ok(Self {
            shared: Arc::clone(shared),
            id,
            side,
            local,
            peer,
        })
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        let tell = self.shared.lock().leave(self.id, self.side);
        self.shared.tell(tell);
    }
}

impl Duplex for MemoryStream {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

impl AsyncRead for MemoryStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.shared.lock().read(self.id, self.side, buf, cx)
    }
}

impl AsyncWrite for MemoryStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (result, tell) = self.shared.lock().poll_write(self.id, self.side, bytes, cx);
        self.shared.tell(tell);
        result
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tell = self.shared.lock().shut(self.id, self.side);
        self.shared.tell(tell);
        Poll::Ready(Ok(()))
    }
}
