//! Nonce counts: each may be used once (RFC 7616, 3.4, `nc`).

use std::collections::BTreeMap;

use crate::time::Timestamp;

/// How many nonces are remembered; the oldest go first, and their next use is stale. About 150 bytes each.
const MAX_NONCES: usize = 65_536;

/// Counts seen so far of one nonce: the highest, and which of the 64 up to it. Requests that overtake each other on the
/// way are no replays.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    highest: u32,
    seen: u64,
}

/// The nonces in use, by the time they were made and their text.
#[derive(Debug, Default)]
pub(super) struct Replays {
    windows: BTreeMap<(Timestamp, String), Window>,
    /// Nonces made before it are forgotten.
    forgotten: Option<Timestamp>,
}

impl Replays {
    /// Takes note of a count; false if it was there before, or may have been. `made` is when the nonce was made, `oldest`
    /// when the oldest one that still counts was.
    pub fn take(&mut self, made: Timestamp, nonce: &str, count: u32, oldest: Timestamp) -> bool {
        while let Some(first) = self.windows.first_entry() {
            if first.key().0 >= oldest {
                break;
            }
            first.remove();
        }
        let key = (made, nonce.to_owned());
        if !self.windows.contains_key(&key) {
            if self.forgotten.is_some_and(|at| made <= at) {
                return false;
            }
            if self.windows.len() >= MAX_NONCES
                && let Some(((at, _), _)) = self.windows.pop_first()
            {
                self.forgotten = Some(at);
            }
        }
        self.windows.entry(key).or_default().take(count)
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
