//! What is counted of an address, or of an account there.

use std::time::Duration;

/// Ports at an address where an account was right lately: a guesser behind the same NAT sends from another.
const PORTS: usize = 4;

/// So many at once, and then one in so many milliseconds.
#[derive(Clone, Copy)]
pub(super) struct Rate {
    pub burst: u64,
    pub every: u64,
}

impl Rate {
    /// Whether there is room for one more; `full` is when all that was taken is back.
    pub fn takes(self, now: u64, full: &mut u64) -> bool {
        let begin = (*full).max(now);
        let takes = begin - now <= (self.burst - 1) * self.every;
        if takes {
            *full = begin + self.every;
        }
        takes
    }
}

/// A row of the table. Times are milliseconds since the epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Row {
    /// Of the address, or of address and account. 0: the row is free.
    pub key: u64,
    pub failures: u32,
    pub last: u64,
    pub until: u64,
    pub known_until: u64,
    /// Of an account: where it was right. 0: nowhere.
    pub ports: [u16; PORTS],
    /// Of an address: accounts that have become known there, failures that were not told, and when it was told.
    pub accounts: u32,
    pub untold: u32,
    pub told: u64,
    /// See [`SPARED`].
    pub spared: u64,
}

impl Row {
    fn forgive(&mut self, now: u64, each: u64) {
        let passed = now.saturating_sub(self.last) / each.max(1);
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        if passed > 0 {
            self.failures = self.failures.saturating_sub(passed);
            self.last = now;
        }
    }

    /// One more, of which so many are free; after each so many of the longest waits without one, one is forgiven.
    pub fn fail(&mut self, now: u64, free: u32, longest: Duration, forgiven: u64) {
        let longest = millis(longest);
        self.forgive(now, longest.saturating_mul(forgiven));
        // Higher counts would not wait longer, but be forgiven later.
        self.failures = (self.failures + 1).min(free + 16);
        self.last = now;
        if let Some(beyond) = self.failures.checked_sub(free + 1) {
            self.until = now + (1000 << beyond).min(longest);
        }
    }

    pub const fn is_known(&self, now: u64) -> bool {
        self.known_until > now
    }

    pub fn was_right_at(&self, port: u16) -> bool {
        port != 0 && self.ports.contains(&port)
    }

    /// Takes note of a right password from this port.
    pub fn is_right_at(&mut self, port: u16) {
        if !self.was_right_at(port) {
            self.ports.rotate_right(1);
            self.ports[0] = port;
        }
    }

    /// Takes note of a wrong one: whoever is there now, it is not the owner's phone as it was.
    pub fn is_wrong_at(&mut self, port: u16) {
        for own in &mut self.ports {
            if *own == port {
                *own = 0;
            }
        }
    }

    /// What is worth least goes first.
    pub const fn worth(&self, now: u64) -> (bool, bool, u64) {
        let known = self.is_known(now);
        (
            self.key != 0,
            known,
            if known { self.known_until } else { self.last },
        )
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
