//! A few connected UDP sockets, and the wait for them.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// How often a send is tried again when the socket's buffer is full, before the datagram counts as lost.
const TRIES: usize = 10_000;

/// What bursts need: a thousand NOTIFYs arrive while one datagram is handled.
const BUFFER: usize = 8 * 1024 * 1024;

#[derive(Debug)]
struct Own {
    socket: UdpSocket,
    /// As it stands in Via and Contact.
    address: Vec<u8>,
}

/// Sockets that are connected to the server: so that a closed port is told, and since looking up a route costs. What the server sends from
/// another address is not seen.
#[derive(Debug)]
pub(super) struct Sockets {
    all: Vec<Own>,
}

impl Sockets {
    /// Opens so many. A server that spreads its load by the source of datagrams needs several.
    pub(super) fn open(target: SocketAddr, count: usize) -> io::Result<Self> {
        let any: SocketAddr = if target.is_ipv4() {
            ([0, 0, 0, 0], 0).into()
        } else {
            ([0; 16], 0).into()
        };
        let open = |_| {
            let socket = UdpSocket::bind(any)?;
            // The address that packets to the target leave from.
            socket.connect(target)?;
            socket.set_nonblocking(true)?;
            with_room(&socket);
            let address = socket.local_addr()?.to_string().into_bytes();
            Ok(Own { socket, address })
        };
        let all = (0..count.max(1)).map(open).collect::<io::Result<_>>()?;
        Ok(Self { all })
    }

    /// Our address on the socket that serves this number.
    pub(super) fn own(&self, number: u32) -> &[u8] {
        &self.all[number as usize % self.all.len()].address
    }

    /// Sends on the socket that serves this number. A full buffer is waited for a little; then the datagram is lost, as any may be.
    pub(super) fn send(&self, number: u32, datagram: &[u8]) -> io::Result<()> {
        let socket = &self.all[number as usize % self.all.len()].socket;
        for _ in 0..TRIES {
            match socket.send(datagram) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                result => return result.map(drop),
            }
        }
        Ok(())
    }

    /// What has come to the socket of this index; None when nothing has. An error of the kind `ConnectionRefused` says that the server's
    /// port is closed.
    pub(super) fn receive(&self, index: usize, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.all[index].socket.recv(buffer) {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits until something has come, or for so long. Tells the indices of sockets to look at.
    #[cfg(target_os = "linux")]
    pub(super) fn wait(&self, limit: Duration, ready: &mut Vec<usize>) {
        use std::os::fd::AsFd;

        use nix::poll::{PollFd, PollFlags, ppoll};

        let mut polled: Vec<_> = self
            .all
            .iter()
            .map(|own| PollFd::new(own.socket.as_fd(), PollFlags::POLLIN))
            .collect();
        ready.clear();
        // An error is a signal: then nothing is ready, and the caller comes again.
        if ppoll(&mut polled, Some(limit.into()), None).is_ok() {
            let any = |(index, one): (usize, &PollFd<'_>)| one.any()?.then_some(index);
            ready.extend(polled.iter().enumerate().filter_map(any));
        }
    }

    /// Waits until something may have come: without ppoll a millisecond, and all sockets are looked at.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn wait(&self, limit: Duration, ready: &mut Vec<usize>) {
        std::thread::sleep(limit.min(Duration::from_millis(1)));
        ready.clear();
        ready.extend(0..self.all.len());
    }
}

/// As much room for bursts as the system gives; less is no error.
pub(super) fn with_room(socket: &UdpSocket) {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::socket::{setsockopt, sockopt};
        let forced = setsockopt(socket, sockopt::RcvBufForce, &BUFFER)
            .and_then(|()| setsockopt(socket, sockopt::SndBufForce, &BUFFER));
        if forced.is_ok() {
            return;
        }
    }
    let socket = socket2::SockRef::from(socket);
    let _ = socket.set_recv_buffer_size(BUFFER);
    let _ = socket.set_send_buffer_size(BUFFER);
}
