//! Nonce counts: each may be used once (RFC 7616, 3.4, `nc`).

use std::collections::BTreeMap;

use super::memory::Used;
use crate::time::Timestamp;

/// How many nonces a part of the memory has; the oldest go first, and their next use is stale. About 60 bytes each.
const MAX_NONCES: usize = 8192;

/// Counts seen so far of one nonce: the highest, and which of the 64 up to it. Requests that overtake each other on the
/// way are no replays.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    highest: u32,
    seen: u64,
    /// A hash of the user that it was answered for.
    user: u64,
}

/// The nonces in use, by the time they were made and the hashes of their texts.
#[derive(Debug, Default)]
pub(super) struct Replays {
    windows: BTreeMap<(Timestamp, u64), Window>,
    /// Nonces made before it are forgotten.
    forgotten: Option<Timestamp>,
}

impl Replays {
    /// Whether a nonce was answered rightly by this user before.
    pub fn knows(&self, used: Used) -> bool {
        let window = self.windows.get(&(used.made, used.nonce));
        window.is_some_and(|window| window.user == used.user)
    }

    /// Takes note of a count; false if it was there before, or may have been. `oldest` is when the oldest nonce that still
    /// counts was made.
    pub fn take(&mut self, used: Used, count: u32, oldest: Timestamp) -> bool {
        while let Some(first) = self.windows.first_entry() {
            if first.key().0 >= oldest {
                break;
            }
            first.remove();
        }
        let key = (used.made, used.nonce);
        if !self.windows.contains_key(&key) {
            if self.forgotten.is_some_and(|at| used.made <= at) {
                return false;
            }
            if self.windows.len() >= MAX_NONCES
                && let Some(((at, _), _)) = self.windows.pop_first()
            {
                self.forgotten = Some(at);
            }
        }
        let window = self.windows.entry(key).or_default();
        window.user = used.user;
        window.take(count)
    }
}

impl Window {
    fn take(&mut self, count: u32) -> bool {
        let ahead = count.saturating_sub(self.highest);
        if ahead > 0 || self.seen == 0 {
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = count;
            return true;
        }
        let bit = 1u64.checked_shl(self.highest - count).unwrap_or(0);
        let is_new = bit != 0 && self.seen & bit == 0;
        self.seen |= bit;
        is_new
    }
}
