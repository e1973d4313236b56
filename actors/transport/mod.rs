//! Networks: real sockets and the memory network of simulations behind one type.
//!
//! Everything that speaks UDP or TCP takes a [`Network`]: the same actors run over the kernel's sockets and, in virtual
//! time, over a [`memory::MemoryNetwork`] that delays, loses, duplicates, reorders and partitions.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

pub mod bundle;
pub mod codec;
mod dropped;
mod icmp;
pub mod memory;
mod merged;
pub mod pool;
mod real;
pub mod tls;
pub mod watched;
pub mod web;

pub use bundle::Bundle;
pub use memory::{MemoryHost, MemoryNetwork};
pub use pool::Pool;
pub use tls::Tls;

/// Where sockets come from.
#[derive(Clone, Debug)]
pub enum Network {
    /// The kernel's.
    Real,
    /// One host of a memory network.
    Memory(MemoryHost),
}

/// A stream of bytes in both directions that knows its two addresses.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {
    /// Our end.
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The peer's end.
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A pipe within the process has no addresses; tests of sessions use it.
impl Duplex for tokio::io::DuplexStream {}

/// A connected stream of any network.
pub type Stream = Box<dyn Duplex>;

/// What SIP comes and goes over on a connection.
pub enum Wire {
    /// A stream of bytes: TCP, or TLS over it, with the record that has begun.
    Bytes(Stream, Option<watched::Begun>),
    /// Whole messages: a WebSocket, with what has begun of a message, and of a record if it is over TLS.
    Web(Box<web::WebSocket>, watched::Begun, Option<watched::Begun>),
}

impl Network {
    /// Listens for streams at `addr`, for itself alone.
    pub async fn listen(&self, addr: SocketAddr) -> io::Result<Listener> {
        self.listen_as(addr, false)
    }

    /// Listens for streams at `addr` together with the other shards that do so: each new connection goes to one of them.
    pub async fn listen_shared(&self, addr: SocketAddr) -> io::Result<Listener> {
        self.listen_as(addr, true)
    }

    fn listen_as(&self, addr: SocketAddr, shared: bool) -> io::Result<Listener> {
        Ok(Listener(match self {
            Self::Real => AnyListener::Real(real::listen(addr, shared)?),
            Self::Memory(host) => AnyListener::Memory(host.listen(addr, shared)?),
        }))
    }

    /// Connects a stream to `to`. There is no time limit but the network's own: callers set theirs.
    pub async fn connect(&self, to: SocketAddr) -> io::Result<Stream> {
        match self {
            Self::Real => Ok(Box::new(real::connect(to).await?)),
            Self::Memory(host) => Ok(Box::new(host.connect(to).await?)),
        }
    }

    /// A datagram socket at `addr`. With `reuse_port` other sockets may share the address, and each peer sticks to one
    /// of them.
    pub async fn datagram(&self, addr: SocketAddr, reuse_port: bool) -> io::Result<Datagram> {
        Ok(Datagram(match self {
            Self::Real => AnyDatagram::Real(real::datagram(addr, reuse_port)?),
            Self::Memory(host) => AnyDatagram::Memory(host.datagram(addr, reuse_port)?),
        }))
    }

    /// The addresses of a host name or address literal (an IPv6 literal with or without brackets).
    pub async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let bare = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        match self {
            Self::Real => real::resolve(host, port).await,
            Self::Memory(memory) => memory.resolve(host, port),
        }
    }

    /// Addresses of this machine's interfaces, and broadcast addresses of its networks. A host in memory has none but those
    /// that it binds.
    pub fn interfaces(&self) -> (Vec<IpAddr>, Vec<IpAddr>) {
        match self {
            Self::Real => real::interfaces(),
            Self::Memory(_) => (Vec::new(), Vec::new()),
        }
    }

    /// The address of ours that `remote` sees when we send to it: the answer for a socket bound to the unspecified
    /// address. Nothing is sent.
    pub fn local_towards(&self, remote: SocketAddr) -> io::Result<IpAddr> {
        match self {
            Self::Real => real::local_towards(remote),
            Self::Memory(host) => host.local_towards(remote),
        }
    }
}

/// Accepts streams.
pub struct Listener(AnyListener);

enum AnyListener {
    Real(tokio::net::TcpListener),
    Memory(memory::MemoryListener),
}

impl Listener {
    /// Waits for the next stream: it, and the peer's address.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match &self.0 {
            AnyListener::Real(listener) => {
                let (stream, peer) = listener.accept().await?;
                // It fails only if the peer is gone already, which reading will show.
                let _ = stream.set_nodelay(true);
                Ok((Box::new(stream), peer))
            }
            AnyListener::Memory(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Box::new(stream), peer))
            }
        }
    }

    /// Where it listens, with the port that was given when port 0 was asked for.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            AnyListener::Real(listener) => listener.local_addr(),
            AnyListener::Memory(listener) => Ok(listener.local_addr()),
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listener")
            .field(&self.local_addr().ok())
            .finish()
    }
}

/// A datagram socket.
///
/// Reading is a drain loop: wait until [`readable`](Self::readable), then [`try_recv`](Self::try_recv) until it would
/// block. One task reads; any number may send.
pub struct Datagram(AnyDatagram);

enum AnyDatagram {
    Real(real::RealDatagram),
    Memory(memory::MemoryDatagram),
}

impl Datagram {
    /// Waits until there may be something to receive, or [something unreachable](Self::try_unreachable).
    pub async fn readable(&self) -> io::Result<()> {
        match &self.0 {
            AnyDatagram::Real(socket) => socket.readable().await,
            AnyDatagram::Memory(socket) => socket.readable().await,
        }
    }

    /// The next datagram and its sender, or [`io::ErrorKind::WouldBlock`]. Its memory is a slice of the pool's.
    pub fn try_recv(&self, pool: &mut Pool) -> io::Result<(Bytes, SocketAddr)> {
        match &self.0 {
            AnyDatagram::Real(socket) => socket.try_recv(pool),
            AnyDatagram::Memory(socket) => socket.try_recv(),
        }
    }

    /// Asks the kernel to hand several datagrams from one place over at once, where it can. From then on they are received by
    /// [`try_recv_some`](Self::try_recv_some) only.
    pub fn receive_merged(&self) {
        match &self.0 {
            AnyDatagram::Real(socket) => socket.receive_merged(),
            AnyDatagram::Memory(_) => {}
        }
    }

    /// Adds the next datagram and its sender, or several from one place in their order; or [`io::ErrorKind::WouldBlock`].
    pub fn try_recv_some(
        &self,
        pool: &mut Pool,
        received: &mut Vec<(Bytes, SocketAddr)>,
    ) -> io::Result<()> {
        match &self.0 {
            AnyDatagram::Real(socket) => socket.try_recv_some(pool, received),
            AnyDatagram::Memory(socket) => socket.try_recv().map(|one| received.push(one)),
        }
    }

    /// A place that can't be reached, as ICMP has said since this was asked last. A memory network has no ICMP.
    pub fn try_unreachable(&self) -> Option<SocketAddr> {
        match &self.0 {
            AnyDatagram::Real(socket) => socket.try_unreachable(),
            AnyDatagram::Memory(_) => None,
        }
    }

    /// Waits for the next datagram.
    pub async fn recv(&self, pool: &mut Pool) -> io::Result<(Bytes, SocketAddr)> {
        loop {
            self.readable().await?;
            match self.try_recv(pool) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }

    /// Sends now, or answers [`io::ErrorKind::WouldBlock`].
    pub fn try_send_to(&self, bytes: &Bytes, to: SocketAddr) -> io::Result<()> {
        match &self.0 {
            AnyDatagram::Real(socket) => socket.try_send_to(bytes, to),
            AnyDatagram::Memory(socket) => socket.try_send_to(bytes, to),
        }
    }

    /// The largest datagram that may go in a [`Bundle`], in bytes, as far as the socket knows; 0 if they all go alone.
    pub fn largest_in_bundle(&self) -> usize {
        match &self.0 {
            AnyDatagram::Real(socket) => socket.largest_in_bundle(),
            AnyDatagram::Memory(_) => bundle::MAX_BYTES,
        }
    }

    /// Sends all of a bundle now, or none: with [`io::ErrorKind::WouldBlock`], with an error of
    /// [`bundle::largest_after`] if single ones may go, or with one that those would meet as well.
    pub fn try_send_bundle(&self, bundle: &Bundle<'_>, to: SocketAddr) -> io::Result<()> {
        match &self.0 {
            AnyDatagram::Real(socket) => socket.try_send_bundle(bundle, to),
            AnyDatagram::Memory(socket) => socket.try_send_bundle(bundle, to),
        }
    }

    /// Waits until there may be room to send.
    pub async fn writable(&self) -> io::Result<()> {
        match &self.0 {
            AnyDatagram::Real(socket) => socket.writable().await,
            AnyDatagram::Memory(_) => Ok(()),
        }
    }

    /// Sends, waiting for room if need be.
    pub async fn send_to(&self, bytes: &Bytes, to: SocketAddr) -> io::Result<()> {
        loop {
            match self.try_send_to(bytes, to) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                result => return result,
            }
        }
    }

    /// How many datagrams the kernel dropped because the receive buffer was full, where it tells; a memory network drops none here.
    pub fn overflowed(&self) -> u64 {
        match &self.0 {
            AnyDatagram::Real(socket) => socket.overflowed(),
            AnyDatagram::Memory(_) => 0,
        }
    }

    /// Where it is bound, with the port that was given when port 0 was asked for.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            AnyDatagram::Real(socket) => socket.local_addr(),
            AnyDatagram::Memory(socket) => Ok(socket.local_addr()),
        }
    }
}

impl fmt::Debug for Datagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Datagram")
            .field(&self.local_addr().ok())
            .finish()
    }
}
