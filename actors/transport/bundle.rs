//! Datagrams to one place that go out by one call (UDP generic segmentation offload, `UDP_SEGMENT` of Linux).
//!
//! A call costs the kernel more than most messages cost us. It takes many datagrams in one buffer, and the size to cut it
//! by: all are of that size, but for the last, which may be shorter. So that messages of nearly one size can go
//! together, the shorter ones get blanks before the number of their Content-Length, where a header may have any number
//! of them (RFC 3261, 7.3.1 and 25.1).

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsFd;

use bytes::{Bytes, BytesMut};
use memchr::memmem;

/// Datagrams in a bundle: what every kernel that can do it takes.
pub const MOST: usize = 64;

/// Bytes in a bundle: those of one datagram over IPv4, which it is until it is cut.
pub const MAX_BYTES: usize = 65_507;

/// Blanks in one message: beyond this, or a quarter of it, it goes in another bundle.
const BLANKS: [u8; 256] = [b' '; 256];

/// Sizes of datagrams that go where larger ones don't: over Ethernet, and everywhere over IPv6.
const SMALLER: [usize; 2] = [1472, 1232];

#[cfg(target_os = "linux")]
pub(super) use nix::libc::{EINVAL, EIO, EMSGSIZE};

/// Elsewhere only the memory network takes bundles, and refuses them by the last of these.
#[cfg(not(target_os = "linux"))]
mod codes {
    pub const EINVAL: i32 = 22;
    pub const EIO: i32 = 5;
    pub const EMSGSIZE: i32 = 40;
}
#[cfg(not(target_os = "linux"))]
pub(super) use codes::{EINVAL, EIO, EMSGSIZE};

/// Datagrams of one size, as the kernel takes them.
#[derive(Debug)]
pub struct Bundle<'a> {
    count: usize,
    size: usize,
    slices: Vec<IoSlice<'a>>,
}

impl<'a> Bundle<'a> {
    /// As many as go together of those that these begin with, in their order; None if that is the first alone.
    /// None is larger than `largest`.
    pub fn of(datagrams: &'a [Bytes], largest: usize) -> Option<Self> {
        let (mut count, mut size, mut shortest) = (0, 0, usize::MAX);
        for datagram in datagrams.iter().take(MOST) {
            let long = datagram.len().max(size);
            let short = datagram.len().min(shortest);
            let blanks = BLANKS.len().min(long / 4);
            let fits = short > 0 && long <= largest && long * (count + 1) <= MAX_BYTES;
            if !fits || long - short > blanks {
                break;
            }
            (count, size, shortest) = (count + 1, long, short);
        }
        if count < 2 {
            return None;
        }
        let blanks = if shortest < size { 2 } else { 0 };
        let mut slices = Vec::with_capacity(count * (1 + blanks));
        for (at, datagram) in datagrams[..count].iter().enumerate() {
            let lacking = size - datagram.len();
            match place_of_blanks(datagram).filter(|_| lacking > 0 && at + 1 < count) {
                Some(place) => slices.extend([
                    IoSlice::new(&datagram[..place]),
                    IoSlice::new(&BLANKS[..lacking]),
                    IoSlice::new(&datagram[place..]),
                ]),
                None => {
                    slices.push(IoSlice::new(datagram));
                    if lacking > 0 {
                        // A shorter one is the last.
                        count = at + 1;
                        break;
                    }
                }
            }
        }
        (count > 1).then_some(Self {
            count,
            size,
            slices,
        })
    }

    /// How many they are; at least two.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The size of each, in bytes; the last may be shorter.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The datagrams that it makes.
    pub fn cut(&self) -> Vec<Bytes> {
        let bytes = self.slices.iter().flat_map(|slice| slice.iter().copied());
        let mut whole: BytesMut = bytes.collect();
        (0..self.count)
            .map(|_| whole.split_to(self.size.min(whole.len())).freeze())
            .collect()
    }
}

/// Where a message takes blanks: before the number of a Content-Length that is its last header, as all that we write have it.
fn place_of_blanks(message: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"\r\nContent-Length: ";
    let end = memmem::find(message, b"\r\n\r\n")?;
    let digits = message[..end]
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let place = end - digits;
    (digits > 0 && message[..place].ends_with(NAME)).then_some(place)
}

/// The largest size to try after a bundle of that size was refused for how it was sent; none other than 0 if it was not its size.
/// None for other errors, which single datagrams would meet as well.
pub fn largest_after(refused: &io::Error, size: usize) -> Option<usize> {
    match refused.raw_os_error()? {
        EINVAL | EMSGSIZE => Some(SMALLER.into_iter().find(|s| *s < size).unwrap_or(0)),
        EIO => Some(0),
        _ => None,
    }
}

/// The largest datagram that goes in a bundle by a socket, for all that is known; 0 if the kernel knows no bundles. An older one
/// would not refuse a bundle, but send it as one datagram.
#[cfg(target_os = "linux")]
pub(crate) fn largest(socket: &impl AsFd) -> usize {
    use nix::sys::socket::{getsockopt, sockopt};
    match getsockopt(socket, sockopt::UdpGsoSegment) {
        Ok(_) => MAX_BYTES,
        Err(_) => 0,
    }
}

/// Sends a bundle without waiting, to where the socket is connected unless a place is given. All of it or none.
#[cfg(target_os = "linux")]
pub(crate) fn send(
    socket: impl AsFd,
    bundle: &Bundle<'_>,
    to: Option<SocketAddr>,
) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};

    let size = u16::try_from(bundle.size).map_err(io::Error::other)?;
    let cut = [ControlMessage::UdpGsoSegments(&size)];
    let (socket, flags) = (socket.as_fd().as_raw_fd(), MsgFlags::MSG_DONTWAIT);
    let to = to.map(SockaddrStorage::from);
    sendmsg(socket, &bundle.slices, &cut, flags, to.as_ref())?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn largest(_: &impl AsFd) -> usize {
    0
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn send(_: impl AsFd, _: &Bundle<'_>, _: Option<SocketAddr>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use rollcall_core::sip::{Message, Name};

    /// Any other error.
    const EACCES: i32 = 13;

    use super::*;

    /// A message of so many bytes.
    fn message(size: usize) -> Bytes {
        let head = |body: usize| {
            format!(
                "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\n\
                Call-ID: c\r\nCSeq: 1 NOTIFY\r\nContent-Length: {body}\r\n\r\n"
            )
        };
        let body = (0..size)
            .find(|body| head(*body).len() + body >= size)
            .expect("a body");
        let text = head(body) + &"b".repeat(body);
        assert_eq!(text.len(), size);
        Bytes::from(text)
    }

    fn of(datagrams: &[Bytes]) -> (usize, usize) {
        Bundle::of(datagrams, MAX_BYTES).map_or((0, 0), |b| (b.count(), b.size()))
    }

    #[test]
    fn datagrams_of_one_size_go_together_as_they_are() {
        let all = vec![message(400); 5];
        let bundle = Bundle::of(&all, MAX_BYTES).expect("a bundle");
        assert_eq!((bundle.count(), bundle.size()), (5, 400));
        assert_eq!(bundle.cut(), all);
    }

    #[test]
    fn shorter_ones_get_blanks_in_content_length_and_mean_the_same() {
        let all = [300, 310, 299, 305].map(message);
        let bundle = Bundle::of(&all, MAX_BYTES).expect("a bundle");
        assert_eq!((bundle.count(), bundle.size()), (4, 310));
        let cut = bundle.cut();
        // The last one may be shorter.
        assert_eq!(
            cut.iter().map(Bytes::len).collect::<Vec<_>>(),
            [310, 310, 310, 305]
        );
        for (was, is) in all.iter().zip(cut) {
            let was = Message::parse(was.clone()).expect("a message");
            let is = Message::parse(is).expect("a message");
            assert_eq!(is.body(), was.body());
            for name in [Name::Via, Name::CSeq, Name::ContentLength] {
                assert_eq!(is.text(name), was.text(name));
            }
        }
    }

    #[test]
    fn one_that_has_no_place_for_blanks_is_the_last() {
        let header_after = "Content-Length: 0\r\nServer: x\r\n\r\n";
        let odd = [
            Bytes::from(vec![b'x'; 300]),
            Bytes::from(format!("SIP/2.0 200 {:a<250}\r\n{header_after}", "")),
        ];
        for odd in odd {
            let all = [message(310), odd.clone(), message(310)];
            let bundle = Bundle::of(&all, MAX_BYTES).expect("a bundle");
            assert_eq!(bundle.cut(), all[..2]);
            assert_eq!(of(&[odd, message(310)]), (0, 0));
        }
    }

    #[test]
    fn sizes_that_differ_too_much_go_apart() {
        assert_eq!(of(&[message(400), message(300)]), (2, 400));
        assert_eq!(of(&[message(400), message(299)]), (0, 0));
        assert_eq!(of(&[message(2000), message(1744)]), (2, 2000));
        assert_eq!(of(&[message(2000), message(1743)]), (0, 0));
        // Each with its neighbours, but not all together.
        assert_eq!(of(&[340, 400, 460].map(message)), (2, 400));
    }

    #[test]
    fn a_bundle_is_no_larger_than_the_kernel_takes() {
        assert_eq!(of(&vec![message(300); 100]), (64, 300));
        assert_eq!(of(&vec![message(1300); 64]), (50, 1300));
        assert_eq!(of(&vec![message(40_000); 2]), (0, 0));
        assert_eq!(of(&[]), (0, 0));
        assert_eq!(of(&[Bytes::new(), Bytes::new()]), (0, 0));
        let all = [1000, 1000, 1001, 1000].map(message);
        let small = Bundle::of(&all, 1000).expect("a bundle");
        assert_eq!(small.count(), 2);
        assert!(Bundle::of(&all, 999).is_none());
    }

    #[test]
    fn what_refuses_a_bundle_makes_them_smaller_and_nothing_else_does() {
        let after = |code, size| largest_after(&io::Error::from_raw_os_error(code), size);
        for code in [EINVAL, EMSGSIZE] {
            assert_eq!(after(code, 9000), Some(1472));
            assert_eq!(after(code, 1472), Some(1232));
            assert_eq!(after(code, 1232), Some(0));
        }
        assert_eq!(after(EIO, 9000), Some(0));
        assert_eq!(after(EACCES, 9000), None);
    }
}
