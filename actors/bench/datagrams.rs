//! A UDP socket towards the server, which sends what there is in as few calls as the kernel allows.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use bytes::Bytes;

use crate::transport::bundle::{self, Bundle};

/// How often a send is tried again when the socket's buffer is full, before its datagrams count as lost.
const TRIES: usize = 10_000;

/// What bursts need, in bytes: a thousand NOTIFYs arrive while one message is handled.
const BUFFER: usize = 8 * 1024 * 1024;

/// A socket that is connected to the server: so that a closed port is told, and since looking up a route costs. What the server sends
/// from another address is not seen.
#[derive(Debug)]
pub(super) struct Datagrams {
    pub socket: UdpSocket,
    /// What goes out with [`Datagrams::flush`].
    outbox: Vec<Bytes>,
    largest_in_bundle: usize,
}

impl Datagrams {
    /// Opens one, with a free port.
    pub(super) fn connect(target: SocketAddr) -> io::Result<Self> {
        let any: SocketAddr = if target.is_ipv4() {
            ([0, 0, 0, 0], 0).into()
        } else {
            ([0; 16], 0).into()
        };
        let socket = UdpSocket::bind(any)?;
        // From now on it has the address that packets to the target leave from.
        socket.connect(target)?;
        socket.set_nonblocking(true)?;
        with_room(&socket);
        Ok(Self {
            largest_in_bundle: bundle::largest(&socket),
            socket,
            outbox: Vec::new(),
        })
    }

    /// Sends, when [`Datagrams::flush`] is called.
    pub(super) fn queue(&mut self, message: &[u8]) {
        self.outbox.push(Bytes::copy_from_slice(message));
    }

    /// Sends what is queued. A full buffer is waited for a little; then what there was no room for is lost, as any datagram may be.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let mut rest = &self.outbox[..];
        while let [first, ..] = rest {
            let bundle = Bundle::of(rest, self.largest_in_bundle);
            let count = bundle.as_ref().map_or(1, Bundle::count);
            let sent = (0..TRIES).find_map(|_| {
                let sent = match &bundle {
                    Some(bundle) => bundle::send(&self.socket, bundle, None),
                    None => self.socket.send(first).map(drop),
                };
                let full = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
                let again = sent.as_ref().is_err_and(full);
                again.then(std::thread::yield_now);
                (!again).then_some(sent)
            });
            if let (Some(Err(error)), Some(bundle)) = (&sent, &bundle)
                && let Some(largest) = bundle::largest_after(error, bundle.size())
            {
                self.largest_in_bundle = largest;
                continue;
            }
            rest = &rest[count..];
            if let Some(Err(error)) = sent {
                self.outbox.clear();
                return Err(error);
            }
        }
        self.outbox.clear();
        Ok(())
    }

    /// The next one that has come.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(buffer)
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
