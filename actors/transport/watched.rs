//! A stream of which it is known whether a unit of the layer below SIP has begun: see [`rollcall_core::room::Parts`].

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use rollcall_core::room::Parts;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Duplex, Stream};

/// Nothing is watched yet.
const OFF: u64 = u64::MAX;

/// What a watched stream has begun: for its reader, which has it in parts that show nothing of it.
#[derive(Clone, Debug)]
pub struct Begun(Arc<AtomicU64>);

impl Begun {
    /// Of a stream that is watched from its first byte on.
    pub fn at_once() -> Self {
        Self(Arc::new(AtomicU64::new(0)))
    }

    /// Of one that is watched when told.
    pub fn later() -> Self {
        Self(Arc::new(AtomicU64::new(OFF)))
    }

    /// From now on it is watched.
    pub fn start(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// The number of the unit that has begun.
    pub fn get(&self) -> Option<u32> {
        // Read and written by the one task of the connection.
        let number = self.0.load(Ordering::Relaxed).checked_sub(1)?;
        u32::try_from(number).ok()
    }

    fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed) != OFF
    }

    fn set(&self, number: Option<u32>) {
        let number = number.map_or(0, |number| u64::from(number) + 1);
        self.0.store(number, Ordering::Relaxed);
    }
}

/// The stream.
pub struct Watched<P> {
    stream: Stream,
    parts: P,
    begun: Begun,
}

impl<P: Parts> Watched<P> {
    /// Watches what is read of `stream`.
    pub fn new(stream: Stream, parts: P, begun: Begun) -> Self {
        Self {
            stream,
            parts,
            begun,
        }
    }
}

impl<P: Parts + Send + Unpin> Duplex for Watched<P> {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

impl<P: Parts + Unpin> AsyncRead for Watched<P> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        if this.begun.is_on() {
            this.parts.feed(&buf.filled()[before..]);
            this.begun.set(this.parts.begun());
        }
        Poll::Ready(Ok(()))
    }
}

impl<P: Parts + Unpin> AsyncWrite for Watched<P> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
