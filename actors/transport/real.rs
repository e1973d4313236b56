//! The kernel's sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::Duplex;

/// What we ask of the kernel for bursts of datagrams; it gives what `net.core.rmem_max` allows.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

impl Duplex for TcpStream {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.peer_addr()
    }
}

fn socket(
    addr: SocketAddr,
    kind: Type,
    protocol: Protocol,
    reuse_port: bool,
) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
    if addr.is_ipv6() {
        // IPv4 has a socket of its own: mapped addresses would make one peer look like two.
        socket.set_only_v6(true)?;
    }
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

pub(super) fn datagram(addr: SocketAddr, reuse_port: bool) -> io::Result<UdpSocket> {
    // For a socket that may share, Linux also takes ports for free that another process of ours shares: then each gets
    // some of the other's datagrams. So a free port is looked for alone, and shared once it is ours.
    let late = reuse_port && addr.port() == 0;
    let socket = socket(addr, Type::DGRAM, Protocol::UDP, reuse_port && !late)?;
    // A smaller buffer only means that bursts are lost earlier.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    let _ = socket.set_send_buffer_size(RECEIVE_BUFFER);
    socket.bind(&addr.into())?;
    if late {
        socket.set_reuse_port(true)?;
    }
    UdpSocket::from_std(socket.into())
}

pub(super) fn listen(addr: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = socket(addr, Type::STREAM, Protocol::TCP, shared)?;
    // A restarted node takes its port back although old connections linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

pub(super) async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to).await?;
    // Messages are written whole: waiting for more only delays them.
    stream.set_nodelay(true)?;
    Ok(stream)
}

pub(super) async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
    if found.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("{host} has no address"),
        ));
    }
    Ok(found)
}

/// A connected datagram socket has a route and so a local address; nothing is sent.
pub(super) fn local_towards(remote: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let probe = std::net::UdpSocket::bind((any, 0))?;
    probe.connect(remote)?;
    Ok(probe.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[tokio::test]
    async fn a_free_port_to_share_is_nobody_elses() {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        // So many that the kernel would come upon a taken one, if it thought that it might.
        let sockets: Vec<UdpSocket> = (0..600)
            .map(|_| datagram(free, true).expect("a free port"))
            .collect();
        let port = |socket: &UdpSocket| socket.local_addr().expect("a bound socket").port();
        let ports: BTreeSet<u16> = sockets.iter().map(port).collect();
        assert_eq!(ports.len(), sockets.len());
        // And it can be shared.
        let shared = SocketAddr::from((Ipv4Addr::LOCALHOST, port(&sockets[0])));
        assert!(datagram(shared, true).is_ok());
        assert!(datagram(shared, false).is_err());
    }
}
