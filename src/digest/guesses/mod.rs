//! Who guesses passwords, and how long such a one has to wait (docs/adr/0008).
//!
//! ```text
//!            wrong password                 right password
//!  (address, account) ── delay grows        known for a day: the delay is a second at most,
//!   address ──────────── delay grows        and its address is no reason to wait;
//!                                           none at all at the ports where it was right
//! ```
//!
//! A row of an address counts what fails under all names, so that one password tried with many names is seen. Failures of an account
//! that waits by itself are spared it, twenty a minute, so that phones with old passwords do not make others wait behind the same NAT.

mod row;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use row::{Rate, Row, millis};

use crate::keyed::Secret;
use crate::time::Timestamp;

/// How guessing is slowed down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guessing {
    /// Failures of an account from one address that cost no wait; four times as many of an address.
    pub free: u32,
    /// The longest wait; the first is a second, and each is twice as long as the one before. Zero: nobody waits.
    pub longest: Duration,
}

impl Default for Guessing {
    fn default() -> Self {
        Self {
            free: 5,
            longest: Duration::from_secs(60),
        }
    }
}

/// Failed logins from an address, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginFailures {
    /// The address.
    pub address: IpAddr,
    /// The user name of the last one, escaped as in a URI, and cut after 64 characters.
    pub user: String,
    /// How many there were since this was told the last time.
    pub failures: u32,
}

/// Rows in one place of the table. The hash of a name chooses the place.
const WAYS: usize = 8;
const PLACES: usize = 512;
/// After a right password an account is known at its address for so long.
const KNOWN: Duration = Duration::from_secs(86_400);
/// An account that is known at an address may fail so often before it waits, and then for so long at most.
const KNOWN_FREE: u32 = 50;
const KNOWN_LONGEST: Duration = Duration::from_secs(1);
/// An address may fail more often for each account that is known there, up to so many.
const FREE_PER_ACCOUNT: u32 = 5;
const MOST_ACCOUNTS: u32 = 100;
/// Failures of an address are told once in so long.
const TELL_EVERY: u64 = 10_000;
/// Lines of a part of the table: whoever has a whole network must not fill the disk.
const LINES: Rate = Rate {
    burst: 16,
    every: 1000,
};
/// Failures of accounts that wait by themselves which do not count for their address.
const SPARED: Rate = Rate {
    burst: 20,
    every: 3000,
};

/// After so many of the longest waits without another, a failure is forgiven: of an address, and of an account. The latter is
/// slower, so that old passwords that are tried again and again wait by themselves, and don't fill the count of their address.
const FORGIVEN: u64 = 2;
const FORGIVEN_LATE: u64 = 30;

/// A table of a fixed number of rows: what is older goes where there is no room, and what is known last.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    rows: Vec<[Row; WAYS]>,
    /// See [`LINES`].
    lines: u64,
}

/// Where a login comes from, and under which name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    address: u64,
    account: u64,
    port: u16,
}

impl Source {
    pub fn new(secret: Secret, address: SocketAddr, user: &str) -> Self {
        let network = network(address.ip());
        let account = [&network[..], b"\0", user.as_bytes()].concat();
        Self {
            address: secret.hash(&network) | 1,
            account: secret.hash(&account) | 1,
            port: address.port(),
        }
    }

    /// Which of so many tables has its rows: all of an address are in one.
    pub const fn part(self, parts: usize) -> usize {
        (self.address >> 32) as usize % parts
    }
}

/// What an address counts as: an IPv6 host has a /64 for itself.
fn network(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets()[..8].to_vec(),
    }
}

impl Guesses {
    /// How long a login has to wait before it is looked at; zero: not at all.
    pub fn wait(&self, now: Timestamp, source: Source, how: Guessing) -> Duration {
        let now = now.as_millis();
        if how.longest.is_zero() {
            return Duration::ZERO;
        }
        let account = self.find(source.account);
        let own = account.map_or(0, |row| row.until);
        let until = match account.filter(|row| row.is_known(now)) {
            Some(row) if row.was_right_at(source.port) => 0,
            Some(_) => own,
            None => own.max(self.find(source.address).map_or(0, |row| row.until)),
        };
        Duration::from_millis(until.saturating_sub(now))
    }

    /// A password was wrong. How many failures of the address are to be told now.
    pub fn failed(&mut self, now: Timestamp, source: Source, how: Guessing) -> Option<u32> {
        let now = now.as_millis();
        let account = self.open(now, source.account);
        let (known, free) = (account.is_known(now), how.free);
        account.is_wrong_at(source.port);
        if known {
            account.fail(
                now,
                KNOWN_FREE.max(free),
                KNOWN_LONGEST.min(how.longest),
                FORGIVEN,
            );
        } else {
            account.fail(now, free, how.longest, FORGIVEN_LATE);
        }
        let waits = account.failures > free;
        let mut lines = self.lines;
        let address = self.open(now, source.address);
        let is_spared = known || waits && SPARED.takes(now, &mut address.spared);
        if !is_spared {
            let free = free * 4 + address.accounts * FREE_PER_ACCOUNT;
            address.fail(now, free, how.longest, FORGIVEN);
        }
        address.untold = address.untold.saturating_add(1);
        if now < address.told + TELL_EVERY || !LINES.takes(now, &mut lines) {
            return None;
        }
        address.told = now;
        let failures = std::mem::take(&mut address.untold);
        self.lines = lines;
        Some(failures)
    }

    /// A password was right.
    pub fn succeeded(&mut self, now: Timestamp, source: Source) {
        let now = now.as_millis();
        let row = self.open(now, source.account);
        let is_new = !row.is_known(now);
        row.last = now;
        row.failures = 0;
        row.until = 0;
        row.known_until = now + millis(KNOWN);
        row.is_right_at(source.port);
        let address = self.open(now, source.address);
        if !address.is_known(now) {
            address.accounts = 0;
        }
        address.known_until = now + millis(KNOWN);
        if is_new {
            address.accounts = (address.accounts + 1).min(MOST_ACCOUNTS);
        }
    }

    fn find(&self, key: u64) -> Option<&Row> {
        let place = self.rows.get(place(key))?;
        place.iter().find(|row| row.key == key)
    }

    fn open(&mut self, now: u64, key: u64) -> &mut Row {
        if self.rows.is_empty() {
            self.rows = vec![[Row::default(); WAYS]; PLACES];
        }
        let rows = &mut self.rows[place(key)];
        let found = rows.iter().position(|row| row.key == key);
        let at = found.unwrap_or_else(|| {
            let least = rows
                .iter()
                .enumerate()
                .min_by_key(|(_, row)| row.worth(now));
            let at = least.map_or(0, |(at, _)| at);
            rows[at] = Row {
                key,
                last: now,
                ..Row::default()
            };
            at
        });
        &mut rows[at]
    }
}

const fn place(key: u64) -> usize {
    // The lowest bit is always set.
    (key >> 1) as usize % PLACES
}
