//! Datagrams from one place that the kernel hands over together (UDP generic receive offload, `UDP_GRO` of Linux): those that came in a
//! bundle from the same machine, and those that the network's driver found one behind the other.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::net::UdpSocket;

use super::pool::MAX_DATAGRAM;

/// What one call brought.
#[derive(Debug)]
pub(super) struct Merged {
    /// Bytes of all of them.
    pub length: usize,
    /// The size of each; the last may be shorter.
    pub size: usize,
    pub from: SocketAddr,
}

/// Memory for one call, used again and again.
pub(super) struct Room {
    pub bytes: Vec<u8>,
    #[cfg(target_os = "linux")]
    control: Vec<u8>,
}

impl Room {
    /// As much as one call may bring.
    pub fn new() -> Self {
        Self {
            bytes: vec![0; MAX_DATAGRAM],
            #[cfg(target_os = "linux")]
            control: nix::cmsg_space!(i32),
        }
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").finish_non_exhaustive()
    }
}

/// Asks for them; false where the kernel knows nothing of it.
#[cfg(target_os = "linux")]
pub(super) fn ask(socket: &UdpSocket) -> bool {
    use nix::sys::socket::{setsockopt, sockopt};
    setsockopt(socket, sockopt::UdpGroSegment, &true).is_ok()
}

/// What there is, or [`io::ErrorKind::WouldBlock`].
#[cfg(target_os = "linux")]
pub(super) fn receive(socket: &UdpSocket, room: &mut Room) -> io::Result<Merged> {
    use std::os::fd::AsRawFd;

    use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};

    let (fd, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
    let mut slices = [io::IoSliceMut::new(&mut room.bytes)];
    let message = recvmsg::<SockaddrStorage>(fd, &mut slices, Some(&mut room.control), flags)?;
    let size = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::UdpGroSegments(size) => usize::try_from(size).ok(),
        _ => None,
    });
    Ok(Merged {
        length: message.bytes,
        size: size.unwrap_or(message.bytes),
        from: message
            .address
            .as_ref()
            .and_then(super::icmp::address)
            .ok_or(io::ErrorKind::InvalidData)?,
    })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn ask(_: &UdpSocket) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
pub(super) fn receive(_: &UdpSocket, _: &mut Room) -> io::Result<Merged> {
    Err(io::ErrorKind::Unsupported.into())
}
