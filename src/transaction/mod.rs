//! Non-INVITE client and server transactions (RFC 3261, section 17; RFC 4320).

use std::time::Duration;

/// The times from which all timers follow (RFC 3261, 17.1.1.1 and table 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Estimate of the round trip; first interval of Timer E.
    pub t1: Duration,
    /// Longest interval of Timer E.
    pub t2: Duration,
    /// How long a message stays in the network.
    pub t4: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
        }
    }
}

impl Timers {
    /// How long a client waits for a final response (Timer F), and a server repeats it (Timer J).
    pub fn lifetime(&self) -> Duration {
        self.t1 * 64
    }
}
