//! Where the yardstick receives and sends: a UDP socket, or a TCP port with its connections.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use rollcall_core::exchange::Transport;

use crate::bench::datagrams;
use crate::bench::streams::Stream;

/// Whom a message came from, and where answers go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// The sender of a datagram.
    Address(SocketAddr),
    /// The number of a connection.
    Connection(usize),
}

#[derive(Debug)]
pub(super) enum Links {
    Datagrams(UdpSocket),
    Streams(Port),
}

/// A TCP port.
#[derive(Debug)]
pub(super) struct Port {
    listener: TcpListener,
    /// None for one that has ended. Numbers are not used again, since subscribers stay.
    connections: Vec<Option<Stream>>,
    /// Connections that may have something.
    ready: Vec<usize>,
}

impl Links {
    /// Listens. Errors are the system's.
    pub(super) fn bind(transport: Transport, address: SocketAddr) -> io::Result<Self> {
        if transport.is_reliable() {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            return Ok(Self::Streams(Port {
                listener,
                connections: Vec::new(),
                ready: Vec::new(),
            }));
        }
        let socket = UdpSocket::bind(address)?;
        datagrams::with_room(&socket);
        Ok(Self::Datagrams(socket))
    }

    /// Where it listens.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Datagrams(socket) => socket.local_addr(),
            Self::Streams(port) => port.listener.local_addr(),
        }
    }

    /// The next message, waited for. An error ends everything.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Peer)> {
        loop {
            let received = match self {
                Self::Datagrams(socket) => socket
                    .recv_from(buffer)
                    .map(|(length, source)| (length, Peer::Address(source))),
                Self::Streams(port) => port.receive(buffer),
            };
            match received {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Sends: a datagram at once, and in a connection when nothing more is there to be done. What can't be sent is lost, as any datagram may
    /// be, and what goes to a connection that has ended as well.
    pub(super) fn send(&mut self, peer: Peer, message: &[u8]) {
        match (self, peer) {
            (Self::Datagrams(socket), Peer::Address(address)) => {
                let _ = socket.send_to(message, address);
            }
            (Self::Streams(port), Peer::Connection(number)) => {
                if let Some(Some(stream)) = port.connections.get_mut(number) {
                    stream.queue(message);
                }
            }
            _ => {}
        }
    }
}

impl Port {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Peer)> {
        loop {
            while let Some(&number) = self.ready.last() {
                let connection = &mut self.connections[number];
                match connection.as_mut().map(|stream| stream.receive(buffer)) {
                    Some(Ok(Some(length))) => return Ok((length, Peer::Connection(number))),
                    Some(Err(_)) => *connection = None,
                    Some(Ok(None)) | None => {}
                }
                self.ready.pop();
            }
            for connection in &mut self.connections {
                if connection
                    .as_mut()
                    .is_some_and(|stream| stream.is_full() && stream.flush().is_err())
                {
                    *connection = None;
                }
            }
            self.wait()?;
        }
    }

    /// Waits until connections are ready, and takes new ones.
    fn wait(&mut self) -> io::Result<()> {
        poll(&self.listener, &self.connections, &mut self.ready)?;
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    self.ready.push(self.connections.len());
                    // One that is gone already is no reason to end.
                    self.connections.push(Stream::accepted(stream).ok());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Waits for the listener or for a connection; tells which connections to look at.
#[cfg(target_os = "linux")]
fn poll(
    listener: &TcpListener,
    connections: &[Option<Stream>],
    ready: &mut Vec<usize>,
) -> io::Result<()> {
    use std::os::fd::AsFd;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    let mut polled = vec![PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    let mut numbers = Vec::new();
    for (number, connection) in connections.iter().enumerate() {
        if let Some(stream) = connection {
            let room = if stream.is_full() {
                PollFlags::POLLOUT
            } else {
                PollFlags::empty()
            };
            polled.push(PollFd::new(stream.stream.as_fd(), PollFlags::POLLIN | room));
            numbers.push(number);
        }
    }
    poll(&mut polled, PollTimeout::NONE)?;
    let looked_at = polled[1..].iter().zip(numbers);
    ready
        .extend(looked_at.filter_map(|(one, number)| (one.any() != Some(false)).then_some(number)));
    Ok(())
}

/// Without poll all connections are looked at, after a millisecond.
#[cfg(not(target_os = "linux"))]
fn poll(
    _listener: &TcpListener,
    connections: &[Option<Stream>],
    ready: &mut Vec<usize>,
) -> io::Result<()> {
    std::thread::sleep(std::time::Duration::from_millis(1));
    ready.extend(0..connections.len());
    Ok(())
}
