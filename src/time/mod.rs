//! Time as it is given to the core: points in time and timer tables.

mod wheel;

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

pub use wheel::{TimerKey, Wheel};

/// A point in time: milliseconds since the Unix epoch.
///
/// One type serves timers and stored expiries alike. Nodes derive it from a monotonic clock that was set to wall time
/// once at start, so that it never runs backwards; a simulation starts it wherever it likes.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// A point in time from milliseconds since the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long it takes from `earlier` to here; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Whole seconds from `now` until here, rounded up, as an `Expires` value is told; zero if it has passed.
    pub const fn seconds_from(self, now: Self) -> u32 {
        let seconds = self.0.saturating_sub(now.0).div_ceil(1000);
        if seconds > u32::MAX as u64 {
            u32::MAX
        } else {
            seconds as u32
        }
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(millis))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}
