//! Memory for received messages: one allocation holds what many receive calls bring.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::merged::Room;

/// The longest datagram there is: IP's length field is 16 bits.
pub const MAX_DATAGRAM: usize = 65_535;

/// Room for some 150 ordinary messages. A slab stays in memory as long as any slice of it is held, so whoever keeps a
/// part of a message for longer than a transaction copies it.
const SLAB: usize = 256 * 1024;

/// Slabs that wait for their slices to be dropped. More than these are left to the allocator.
const WAITING: usize = 8;

/// Slabs of memory that received bytes are written into and split off from, used again when all slices of one are gone.
#[derive(Debug, Default)]
pub struct Pool {
    current: Option<BytesMut>,
    waiting: VecDeque<BytesMut>,
    /// Where several datagrams at once are received.
    pub(super) room: Option<Room>,
}

impl Pool {
    /// An empty pool; it allocates when first asked for space.
    pub fn new() -> Self {
        Self::default()
    }

    /// A buffer with room for at least `room` bytes. What is written to it is had by [`take`](Self::take).
    pub fn space(&mut self, room: usize) -> &mut BytesMut {
        let fits = self.current.take().and_then(|mut slab| {
            if slab.capacity() - slab.len() >= room || slab.try_reclaim(room) {
                return Some(slab);
            }
            self.retire(slab);
            None
        });
        let slab = fits.unwrap_or_else(|| self.next_slab(room));
        self.current.insert(slab)
    }

    /// Splits off what was written since the last time.
    pub fn take(&mut self) -> Bytes {
        self.current
            .as_mut()
            .map(|slab| slab.split().freeze())
            .unwrap_or_default()
    }

    /// A copy of these in the pool's memory.
    pub(super) fn copy(&mut self, bytes: &[u8]) -> Bytes {
        self.space(bytes.len()).extend_from_slice(bytes);
        self.take()
    }

    fn next_slab(&mut self, room: usize) -> BytesMut {
        // The oldest is the likeliest to be free.
        if let Some(mut oldest) = self.waiting.pop_front() {
            if oldest.try_reclaim(SLAB.max(room)) {
                return oldest;
            }
            self.waiting.push_back(oldest);
        }
        BytesMut::with_capacity(SLAB.max(room))
    }

    fn retire(&mut self, slab: BytesMut) {
        if self.waiting.len() == WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(slab);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_share_a_slab_and_a_slab_is_used_again_when_they_are_gone() {
        let mut pool = Pool::new();
        pool.space(100).extend_from_slice(b"one");
        let one = pool.take();
        pool.space(100).extend_from_slice(b"two");
        let two = pool.take();
        assert_eq!((&one[..], &two[..]), (&b"one"[..], &b"two"[..]));
        assert_eq!(two.as_ptr() as usize, one.as_ptr() as usize + 3);

        let first = one.as_ptr();
        drop((one, two));
        let filled = pool.space(SLAB);
        filled.extend_from_slice(&vec![b'x'; SLAB]);
        assert_eq!(pool.take().as_ptr(), first);
    }

    #[test]
    fn a_slab_with_a_live_slice_is_left_alone() {
        let mut pool = Pool::new();
        pool.space(SLAB).extend_from_slice(&vec![b'a'; SLAB]);
        let held = pool.take();
        pool.space(SLAB).extend_from_slice(&vec![b'b'; SLAB]);
        let other = pool.take();
        assert!(held.iter().all(|&b| b == b'a') && other.iter().all(|&b| b == b'b'));
    }
}
