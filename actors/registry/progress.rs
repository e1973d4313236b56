//! How far a shard is with its watchers after a restart, for the log.

use std::time::Duration;

use rollcall_core::exchange::Shard;
use rollcall_core::registry::Resumption;
use rollcall_core::time::Timestamp;
use tracing::info;

use crate::clock::Clock;

/// How often it is told.
const EVERY: Duration = Duration::from_secs(5);

/// What was told last.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// When it began, and when it was told.
    since: Option<(Timestamp, Timestamp)>,
    done: bool,
    /// Subscriptions that the store had: others after a panic.
    total: usize,
}

impl Progress {
    /// Tells it every few seconds while watchers are left, and once at the end.
    pub fn look(&mut self, shard: Shard, clock: Clock, resumption: Resumption) {
        if resumption.total != self.total {
            *self = Self {
                total: resumption.total,
                ..Self::default()
            };
        }
        if self.done {
            return;
        }
        let now = clock.now();
        let (began, told) = *self.since.get_or_insert((now, now));
        let Resumption {
            total,
            left,
            told: notified,
            known,
        } = resumption;
        if left == 0 {
            self.done = true;
            if total > 0 {
                let took = now.since(began);
                info!(
                    shard,
                    subscriptions = total,
                    notified,
                    known,
                    ?took,
                    "watchers are up to date after the restart"
                );
            }
        } else if now.since(told) >= EVERY {
            self.since = Some((began, now));
            info!(
                shard,
                subscriptions = total,
                left,
                notified,
                known,
                "telling watchers after the restart"
            );
        }
    }
}
