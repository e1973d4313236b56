//! The kernel's sockets.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Notify;

use super::merged::{self, Merged, Room};
use super::pool::{MAX_DATAGRAM, Pool};
use super::{Bundle, Duplex, bundle, dropped, icmp};

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

/// Times that a call is made again which fails for what another datagram has met.
const TRIES: usize = 8;

/// Places that can't be reached and were not asked for yet; more are forgotten, and timeouts notice them.
const MOST_UNREACHABLE: usize = 1024;

/// A datagram socket that also hears what ICMP says of its datagrams.
pub(super) struct RealDatagram {
    socket: UdpSocket,
    unreachable: Mutex<VecDeque<SocketAddr>>,
    /// Wakes who waits to read, when sending has come upon such a place first.
    noted: Notify,
    largest_in_bundle: usize,
    /// Several datagrams may come at once.
    merges: AtomicBool,
}

impl RealDatagram {
    /// Waits for a datagram, or for an error.
    pub async fn readable(&self) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::ERROR;
        tokio::select! {
            biased;
            ready = self.socket.ready(interest) => ready.map(|_| ()),
            () = self.noted.notified() => Ok(()),
        }
    }

    pub async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }

    pub fn try_recv(&self, pool: &mut Pool) -> io::Result<(Bytes, SocketAddr)> {
        self.heed(|socket| {
            let (_, from) = socket.try_recv_buf_from(pool.space(MAX_DATAGRAM))?;
            Ok((pool.take(), from))
        })
    }

    pub fn receive_merged(&self) {
        self.merges
            .store(merged::ask(&self.socket), Ordering::Relaxed);
    }

    pub fn try_recv_some(
        &self,
        pool: &mut Pool,
        received: &mut Vec<(Bytes, SocketAddr)>,
    ) -> io::Result<()> {
        if !self.merges.load(Ordering::Relaxed) {
            return self.try_recv(pool).map(|one| received.push(one));
        }
        let mut room = pool.room.take().unwrap_or_else(Room::new);
        let result = self.heed(|socket| {
            socket.try_io(Interest::READABLE, || merged::receive(socket, &mut room))
        });
        if let Ok(Merged { length, size, from }) = result {
            let mut rest = pool.copy(&room.bytes[..length]);
            while rest.len() > size {
                received.push((rest.split_to(size), from));
            }
            received.push((rest, from));
        }
        pool.room = Some(room);
        result.map(drop)
    }

    pub fn try_send_to(&self, bytes: &Bytes, to: SocketAddr) -> io::Result<()> {
        self.heed(|socket| socket.try_send_to(bytes, to).map(|_| ()))
    }

    pub fn largest_in_bundle(&self) -> usize {
        self.largest_in_bundle
    }

    pub fn try_send_bundle(&self, bundle: &Bundle<'_>, to: SocketAddr) -> io::Result<()> {
        self.heed(|socket| {
            socket.try_io(Interest::WRITABLE, || {
                bundle::send(socket, bundle, Some(to))
            })
        })
    }

    /// A place that can't be reached, each once for each time that ICMP said so.
    pub fn try_unreachable(&self) -> Option<SocketAddr> {
        self.note_ready();
        self.places().pop_front()
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// How many datagrams the kernel dropped because the buffer was full; those of a bundle count as one.
    pub fn overflowed(&self) -> u64 {
        dropped::count(&self.socket)
    }

    /// Does something, and does it again if it failed for what an earlier datagram has met: errors of ICMP come up in
    /// whatever is called next.
    fn heed<T>(&self, mut call: impl FnMut(&UdpSocket) -> io::Result<T>) -> io::Result<T> {
        for _ in 1..TRIES {
            match call(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.note_ready();
                    return Err(error);
                }
                Err(error) => {
                    if !self.note() {
                        return Err(error);
                    }
                    self.noted.notify_one();
                }
                Ok(done) => return Ok(done),
            }
        }
        call(&self.socket)
    }

    /// Empties the queue of errors if it is said to have any, so that nobody is woken for them again.
    fn note_ready(&self) {
        let _ = self.socket.try_io(Interest::ERROR, || {
            self.note();
            Err::<(), _>(io::ErrorKind::WouldBlock.into())
        });
    }

    /// Empties the queue of errors. Whether there were any.
    fn note(&self) -> bool {
        let mut any = false;
        while let Ok(place) = icmp::next(&self.socket) {
            any = true;
            let mut places = self.places();
            if places.len() < MOST_UNREACHABLE {
                places.extend(place);
            }
        }
        any
    }

    fn places(&self) -> MutexGuard<'_, VecDeque<SocketAddr>> {
        self.unreachable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn datagram(addr: SocketAddr, reuse_port: bool) -> io::Result<RealDatagram> {
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
    icmp::ask(&socket, addr.is_ipv6())?;
    Ok(RealDatagram {
        largest_in_bundle: bundle::largest(&socket),
        merges: AtomicBool::new(false),
        socket: UdpSocket::from_std(socket.into())?,
        unreachable: Mutex::default(),
        noted: Notify::new(),
    })
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

/// Addresses of the interfaces, and broadcast addresses of their networks; none that can't be read.
pub(super) fn interfaces() -> (Vec<IpAddr>, Vec<IpAddr>) {
    let ip = |address: nix::sys::socket::SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::from(v4.ip()));
        v4.or_else(|| Some(address.as_sockaddr_in6()?.ip().into()))
    };
    let found: Vec<_> = nix::ifaddrs::getifaddrs().into_iter().flatten().collect();
    (
        found.iter().filter_map(|own| ip(own.address?)).collect(),
        found.iter().filter_map(|own| ip(own.broadcast?)).collect(),
    )
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

    use futures_util::FutureExt;
    use tokio::time::timeout;

    use super::*;
    use crate::testkit::{LIMIT, in_real_time};

    async fn timely<T>(what: impl Future<Output = T>) -> T {
        timeout(LIMIT, what).await.expect("in time")
    }

    /// Receives so many, and says in how many calls.
    async fn calls_until(
        socket: &RealDatagram,
        pool: &mut Pool,
        count: usize,
        received: &mut Vec<(Bytes, SocketAddr)>,
    ) -> usize {
        let mut calls = 0;
        while received.len() < count {
            timely(socket.readable()).await.expect("a datagram");
            calls += usize::from(socket.try_recv_some(pool, received).is_ok());
        }
        calls
    }

    #[tokio::test]
    async fn a_free_port_to_share_is_nobody_elses() {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        // So many that the kernel would come upon a taken one, if it thought that it might.
        let sockets: Vec<RealDatagram> = (0..600)
            .map(|_| datagram(free, true).expect("a free port"))
            .collect();
        let port = |socket: &RealDatagram| socket.local_addr().expect("a bound socket").port();
        let ports: BTreeSet<u16> = sockets.iter().map(port).collect();
        assert_eq!(ports.len(), sockets.len());
        // And it can be shared.
        let shared = SocketAddr::from((Ipv4Addr::LOCALHOST, port(&sockets[0])));
        assert!(datagram(shared, true).is_ok());
        assert!(datagram(shared, false).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_closed_port_is_told_by_its_address_and_others_do_not_suffer_for_it() {
        in_real_time(async {
            let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let socket = datagram(free, false).expect("a free port");
            let other = datagram(free, false).expect("a free port");
            let there = other.local_addr().expect("a bound socket");
            let closed = datagram(free, false).expect("a free port");
            let nobody = closed.local_addr().expect("a bound socket");
            drop(closed);
            let hello = Bytes::from_static(b"hello");
            socket.writable().await.expect("room");
            for _ in 0..20 {
                socket.try_send_to(&hello, nobody).expect("not told here");
                socket.try_send_to(&hello, there).expect("another place");
            }
            let told = async {
                loop {
                    socket.readable().await.expect("an error to read");
                    if let Some(place) = socket.try_unreachable() {
                        return place;
                    }
                }
            };
            assert_eq!(timely(told).await, nobody);
            let mut pool = Pool::new();
            let own = socket.local_addr().expect("a bound socket");
            for _ in 0..20 {
                other.readable().await.expect("a datagram");
                let received = other.try_recv(&mut pool).expect("a datagram");
                assert_eq!(received, (hello.clone(), own));
            }
            while let Some(place) = socket.try_unreachable() {
                assert_eq!(place, nobody);
            }
            // Nothing is left that would wake it again and again.
            let woken = || socket.readable().now_or_never().is_some();
            assert!((0..3).any(|_| !woken()), "it can't wait any more");
        });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_bundle_arrives_as_its_datagrams_and_tells_of_a_closed_port_as_they_would() {
        in_real_time(async {
            for free in [
                SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
            ] {
                let socket = datagram(free, false).expect("a free port");
                let own = socket.local_addr().expect("a bound socket");
                let other = datagram(free, false).expect("a free port");
                let there = other.local_addr().expect("a bound socket");
                let closed = datagram(free, false).expect("a free port");
                let nobody = closed.local_addr().expect("a bound socket");
                drop(closed);
                assert!(socket.largest_in_bundle() > 0, "a kernel older than 4.18?");
                let text = |n: usize| {
                    let body = "b".repeat(500 + n % 3);
                    let size = body.len();
                    format!("NOTIFY sip:{n:02} SIP/2.0\r\nContent-Length: {size}\r\n\r\n{body}")
                };
                let all: Vec<Bytes> = (0..60).map(|n| text(n).into()).collect();
                let bundle = Bundle::of(&all, socket.largest_in_bundle()).expect("a bundle");
                assert_eq!(bundle.count(), all.len());
                let cut = bundle.cut();
                socket.writable().await.expect("room");
                let mut pool = Pool::new();
                let mut received = Vec::new();
                for round in 0..4 {
                    if round == 2 {
                        other.receive_merged();
                    }
                    socket
                        .try_send_bundle(&bundle, nobody)
                        .expect("not told here");
                    socket
                        .try_send_bundle(&bundle, there)
                        .expect("another place");
                    let calls = calls_until(&other, &mut pool, cut.len(), &mut received).await;
                    assert_eq!(calls, if round < 2 { cut.len() } else { 1 });
                    for (is, sent) in received.drain(..).zip(&cut) {
                        assert_eq!(is, (sent.clone(), own));
                    }
                }
                timely(socket.readable()).await.expect("an error to read");
                assert_eq!(socket.try_unreachable(), Some(nobody));
            }
        });
    }

    #[test]
    fn what_comes_alone_comes_as_it_is_where_several_may_come_at_once() {
        in_real_time(async {
            let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let sockets = [(); 3].map(|()| datagram(free, false).expect("a free port"));
            let [one, another, there] = &sockets;
            there.receive_merged();
            let to = there.local_addr().expect("a bound socket");
            let sizes = [0, 1, 1472, 40_000, 65_507, 0, 300, 300, 300];
            let datagrams = sizes.map(|size| Bytes::from(vec![b'x'; size]));
            let mut expected = Vec::new();
            for bytes in datagrams {
                for socket in [one, another] {
                    socket.writable().await.expect("room");
                    socket.try_send_to(&bytes, to).expect("sent");
                    expected.push((bytes.clone(), socket.local_addr().expect("bound")));
                }
            }
            let mut received = Vec::new();
            calls_until(there, &mut Pool::new(), expected.len(), &mut received).await;
            assert_eq!(received, expected);
        });
    }
}
