//! What ICMP says of datagrams that were sent (RFC 3261, 18.4), as far as the kernel tells it: on Linux.
//!
//! A socket that asks for it gets each error twice: as the error of its next call, whomever that is for, and in a queue
//! that names the place. Reading the queue takes the error away.

use std::io;
use std::net::SocketAddr;

use socket2::Socket;
use tokio::net::UdpSocket;

/// Asks for errors.
#[cfg(target_os = "linux")]
pub(super) fn ask(socket: &Socket, ipv6: bool) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};
    let asked = if ipv6 {
        setsockopt(socket, sockopt::Ipv6RecvErr, &true)
    } else {
        setsockopt(socket, sockopt::Ipv4RecvErr, &true)
    };
    asked.map_err(io::Error::from)
}

/// The next error in the queue: the place that can't be reached, or None if it is about something else. With an empty
/// queue [`io::ErrorKind::WouldBlock`].
#[cfg(target_os = "linux")]
pub(super) fn next(socket: &UdpSocket) -> io::Result<Option<SocketAddr>> {
    use std::os::fd::AsRawFd;

    use nix::cmsg_space;
    use nix::libc::{sock_extended_err, sockaddr_in6};
    use nix::sys::socket::{MsgFlags, SockaddrStorage, recvmsg};

    let mut room = cmsg_space!(sock_extended_err, sockaddr_in6);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    // Of the datagram itself nothing is wanted.
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut [], Some(&mut room), flags)?;
    let fatal = message.cmsgs()?.any(|of| is_fatal(&of));
    let Some(to) = message.address.filter(|_| fatal) else {
        return Ok(None);
    };
    Ok(address(&to))
}

/// An address as the kernel writes it.
#[cfg(target_os = "linux")]
pub(super) fn address(written: &nix::sys::socket::SockaddrStorage) -> Option<SocketAddr> {
    let v4 = written.as_sockaddr_in();
    let v6 = written.as_sockaddr_in6();
    v4.map(|&v4| SocketAddr::V4(v4.into()))
        .or_else(|| v6.map(|&v6| SocketAddr::V6(v6.into())))
}

/// Host, network, port or protocol unreachable. Others pass, such as a datagram that must be made smaller.
#[cfg(target_os = "linux")]
fn is_fatal(of: &nix::sys::socket::ControlMessageOwned) -> bool {
    use nix::libc::{SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6};
    use nix::sys::socket::ControlMessageOwned::{Ipv4RecvErr, Ipv6RecvErr};
    /// Destination unreachable: fragmentation needed (RFC 792).
    const TOO_BIG: u8 = 4;
    let error = match of {
        Ipv4RecvErr(error, _) | Ipv6RecvErr(error, _) => error,
        _ => return false,
    };
    match error.ee_origin {
        SO_EE_ORIGIN_ICMP => error.ee_type == 3 && error.ee_code != TOO_BIG,
        SO_EE_ORIGIN_ICMP6 => error.ee_type == 1,
        _ => false,
    }
}

/// Elsewhere nothing is told, and a timeout notices.
#[cfg(not(target_os = "linux"))]
pub(super) fn ask(_: &Socket, _: bool) -> io::Result<()> {
    Ok(())
}

/// None, ever.
#[cfg(not(target_os = "linux"))]
pub(super) fn next(_: &UdpSocket) -> io::Result<Option<SocketAddr>> {
    Err(io::ErrorKind::WouldBlock.into())
}
