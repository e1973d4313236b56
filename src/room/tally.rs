//! How many connections each address has, in all shards of a node.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;

/// Counts addresses. Asked when a connection opens and when it closes, never for a message.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<FxHashMap<IpAddr, usize>>>);

impl Tally {
    fn counts(&self) -> MutexGuard<'_, FxHashMap<IpAddr, usize>> {
        // Whoever panicked with it had changed one number, wholly.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more for this address, if that is not more than `most`.
    pub(super) fn take(&self, place: IpAddr, most: usize) -> bool {
        let mut counts = self.counts();
        let count = counts.entry(place).or_default();
        if *count >= most {
            return false;
        }
        *count += 1;
        true
    }

    /// One less.
    pub(super) fn give(&self, place: IpAddr) {
        let mut counts = self.counts();
        if let Some(count) = counts.get_mut(&place) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&place);
            }
        }
    }
}
