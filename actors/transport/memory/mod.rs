//! The memory network: hosts in one process, joined by links that delay, lose and duplicate.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Duplex;

/// A network of hosts within the process.
#[derive(Clone, Debug)]
pub struct MemoryNetwork {}

/// One host of a [`MemoryNetwork`].
#[derive(Clone, Debug)]
pub struct MemoryHost {}

fn unfinished<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl MemoryHost {
    pub(super) fn listen(&self, _: SocketAddr, _: bool) -> io::Result<MemoryListener> {
        unfinished()
    }

    pub(super) async fn connect(&self, _: SocketAddr) -> io::Result<MemoryStream> {
        unfinished()
    }

    pub(super) fn datagram(&self, _: SocketAddr, _: bool) -> io::Result<MemoryDatagram> {
        unfinished()
    }

    pub(super) fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        unfinished()
    }

    pub(super) fn local_towards(&self, _: SocketAddr) -> io::Result<IpAddr> {
        unfinished()
    }
}

pub(super) struct MemoryListener {
    addr: SocketAddr,
}

impl MemoryListener {
    pub(super) async fn accept(&self) -> io::Result<(MemoryStream, SocketAddr)> {
        unfinished()
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.addr
    }
}

pub(super) struct MemoryDatagram {
    addr: SocketAddr,
}

impl MemoryDatagram {
    pub(super) async fn readable(&self) -> io::Result<()> {
        unfinished()
    }

    pub(super) fn try_recv(&self) -> io::Result<(Bytes, SocketAddr)> {
        unfinished()
    }

    pub(super) fn try_send_to(&self, _: &Bytes, _: SocketAddr) -> io::Result<()> {
        unfinished()
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.addr
    }
}

pub(super) struct MemoryStream {}

impl Duplex for MemoryStream {}

impl AsyncRead for MemoryStream {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(unfinished())
    }
}

impl AsyncWrite for MemoryStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(unfinished())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
