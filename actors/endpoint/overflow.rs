//! Datagrams that the kernel drops because more come than are read: told, as nobody else would notice.

use std::time::Duration;

use rollcall_core::time::Timestamp;

use super::Endpoint;
use super::datagram::Port;
use crate::trouble::Trouble;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct Overflow {
    looked: Timestamp,
    /// Sockets have had as much as is read at a time since then.
    is_due: bool,
    /// How many had been dropped at the last look.
    dropped: u64,
    /// How many before they began to be.
    before: u64,
    trouble: Trouble,
}

impl Endpoint {
    /// Looks whether datagrams are dropped: at most once a second, when sockets have had as much as is read at a time, and until that is
    /// over. A line is logged for the first, every 10 s, and when a second has passed without.
    pub(super) fn look_for_overflow(&mut self, now: Timestamp, is_full: bool) {
        let known = &mut self.overflow;
        known.is_due |= is_full || known.trouble.is_present();
        if !known.is_due || now < known.looked + PERIOD {
            return;
        }
        (known.looked, known.is_due) = (now, false);
        let dropped = self.ports.iter().map(Port::overflowed).sum();
        let shard = self.shard;
        if dropped > known.dropped {
            if !known.trouble.is_present() {
                known.before = known.dropped;
            }
            known.dropped = dropped;
            if known.trouble.failed(now).is_some() {
                let dropped = dropped - known.before;
                tracing::warn!(
                    shard,
                    dropped,
                    "more comes than can be done: the kernel drops datagrams"
                );
            }
        } else if let Some(over) = known.trouble.went_well(now) {
            tracing::warn!(
                shard,
                dropped = dropped.saturating_sub(known.before),
                seconds = over.took.as_secs(),
                "no more datagrams are dropped"
            );
        }
    }
}
