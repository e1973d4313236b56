//! The node's clock: wall time that never runs backwards, and virtual time when the runtime is paused.

use std::time::{SystemTime, UNIX_EPOCH};

use rollcall_core::time::Timestamp;
use tokio::time::Instant;

/// Gives the present time to the core.
///
/// Set to wall time once, at birth; from there on it follows the runtime's monotonic clock. So a step of the system
/// clock moves no timer, and a paused runtime (simulation, actor tests) moves it in virtual time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Timestamp,
    born: Instant,
}

impl Clock {
    /// A clock set to the system's wall time.
    pub fn system() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let millis = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        Self::starting_at(Timestamp::from_millis(millis))
    }

    /// A clock that shows `start` now.
    pub fn starting_at(start: Timestamp) -> Self {
        Self {
            start,
            born: Instant::now(),
        }
    }

    /// The present time.
    pub fn now(&self) -> Timestamp {
        self.start + self.born.elapsed()
    }

    /// The runtime's instant at which this clock will show `at`.
    pub fn instant(&self, at: Timestamp) -> Instant {
        self.born + at.since(self.start)
    }
}
