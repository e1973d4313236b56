//! The sockets towards the server, and the wait for them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::datagrams::Datagrams;
use super::streams::Stream;
use super::trust::Secure;

/// What goes between us and the server.
#[derive(Clone, Debug)]
pub(super) enum Wire {
    /// Datagrams, over UDP.
    Datagrams,
    /// A TCP connection for each socket.
    Tcp,
    /// A TLS connection for each socket.
    Tls(Secure),
}

#[derive(Debug)]
enum Link {
    Datagrams(Datagrams),
    Stream(Stream),
}

#[derive(Debug)]
struct Own {
    link: Link,
    /// As it stands in Via and Contact.
    address: Vec<u8>,
}

/// A few sockets, all of one kind.
#[derive(Debug)]
pub(super) struct Sockets {
    all: Vec<Own>,
}

impl Sockets {
    /// None of them.
    pub(super) fn none() -> Self {
        Self { all: Vec::new() }
    }

    /// Opens so many. A server that spreads its load by the source needs several.
    pub(super) fn open(target: SocketAddr, wire: &Wire, count: usize) -> io::Result<Self> {
        wake_in_time();
        let secure = match wire {
            Wire::Tls(secure) => Some(secure),
            Wire::Datagrams | Wire::Tcp => None,
        };
        let open = |_| {
            let (link, address) = if matches!(wire, Wire::Datagrams) {
                let datagrams = Datagrams::connect(target)?;
                let address = datagrams.socket.local_addr()?;
                (Link::Datagrams(datagrams), address)
            } else {
                let stream = Stream::connect(target, secure)?;
                let address = stream.stream.local_addr()?;
                (Link::Stream(stream), address)
            };
            let address = address.to_string().into_bytes();
            Ok(Own { link, address })
        };
        let all = (0..count.max(1)).map(open).collect::<io::Result<_>>()?;
        Ok(Self { all })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// Our address on the socket that serves this number.
    pub(super) fn own(&self, number: u32) -> &[u8] {
        &self.all[number as usize % self.all.len()].address
    }

    /// Sends on the socket that serves this number, with [`Sockets::flush`].
    pub(super) fn send(&mut self, number: u32, message: &[u8]) {
        let count = self.all.len();
        match &mut self.all[number as usize % count].link {
            Link::Datagrams(datagrams) => datagrams.queue(message),
            Link::Stream(stream) => stream.queue(message),
        }
    }

    /// Sends what is held back, several messages in one call.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        for own in &mut self.all {
            match &mut own.link {
                Link::Datagrams(datagrams) => datagrams.flush()?,
                Link::Stream(stream) if stream.is_full() => stream.flush()?,
                Link::Stream(_) => {}
            }
        }
        Ok(())
    }

    /// The next message that has come to the socket of this index; None when none has. An error of the kind `ConnectionRefused` says that
    /// the server's port is closed.
    pub(super) fn receive(&mut self, index: usize, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let received = match &mut self.all[index].link {
            Link::Datagrams(datagrams) => datagrams.receive(buffer),
            Link::Stream(stream) => return stream.receive(buffer),
        };
        match received {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits until something can be done, or for so long. Tells the indices of sockets to look at.
    #[cfg(target_os = "linux")]
    pub(super) fn wait(&self, limit: Duration, ready: &mut Vec<usize>) {
        use std::os::fd::AsFd;

        use nix::poll::{PollFd, PollFlags, ppoll};

        let mut limit = limit;
        let mut polled = Vec::with_capacity(self.all.len());
        for own in &self.all {
            let (socket, full) = match &own.link {
                Link::Datagrams(datagrams) => (datagrams.socket.as_fd(), false),
                Link::Stream(stream) => (stream.stream.as_fd(), stream.is_full()),
            };
            if own.has_more() {
                limit = Duration::ZERO;
            }
            let room = if full {
                PollFlags::POLLOUT
            } else {
                PollFlags::empty()
            };
            polled.push(PollFd::new(socket, PollFlags::POLLIN | room));
        }
        ready.clear();
        // An error is a signal: then nothing is ready, and the caller comes again.
        if ppoll(&mut polled, Some(limit.into()), None).is_ok() {
            for (index, (one, own)) in polled.iter().zip(&self.all).enumerate() {
                if one.any() != Some(false) || own.has_more() {
                    ready.push(index);
                }
            }
        }
    }

    /// Waits until something may have come: without ppoll a millisecond, and all sockets are looked at.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn wait(&self, limit: Duration, ready: &mut Vec<usize>) {
        if !self.all.iter().any(Own::has_more) {
            std::thread::sleep(limit.min(Duration::from_millis(1)));
        }
        ready.clear();
        ready.extend(0..self.all.len());
    }
}

impl Own {
    /// Whether something has been read and not taken.
    fn has_more(&self) -> bool {
        match &self.link {
            Link::Datagrams(_) => false,
            Link::Stream(stream) => stream.has_more(),
        }
    }
}

/// The system may wake a thread 50 microseconds late, to wake several at once; not this one. Where it can't be told, it may.
fn wake_in_time() {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_timerslack(1);
}
