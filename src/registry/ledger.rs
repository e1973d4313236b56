//! A shard's side of the [`Books`]: rows for those who have something here, and what this shard has added to the sums, which
//! goes out of them with it.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};

use hashbrown::HashTable;

use super::books::{Books, KINDS, Place, Total, What, add_within, take_token};
use super::rows::index;
use super::shares::{Over, Owner, Share, Shares};
use crate::slots::Slots;
use crate::time::Timestamp;

/// Memory of a shard that the sum does not show yet, at most, in bytes.
const PORTION: i64 = 64 * 1024;

/// Owners that are remembered for their rate alone.
const MOST_IDLE: usize = 65_536;

/// How long a change of [`Books::is_full`] is not told again, in milliseconds.
const PAUSE: u64 = 10_000;

/// The row of somebody who is not bounded.
pub(super) const NOBODY: u32 = u32::MAX;

/// Somebody who has something here.
#[derive(Debug)]
struct Account {
    fingerprint: u64,
    place: Option<Place>,
    share: Share,
    /// What this shard has for it.
    used: [u64; KINDS],
    /// Counts tokens where there is no place in the books.
    full_at: AtomicU64,
    /// Stands among the idle ones.
    idle: bool,
}

/// The rows, and what was added.
#[derive(Debug)]
pub(super) struct Ledger {
    books: Books,
    rows: Slots<Account>,
    by_fingerprint: HashTable<u32>,
    idle: VecDeque<u32>,
    presentities: u64,
    registered: u64,
    /// Bytes, and those of them that the sum does not show.
    memory: i64,
    untold: i64,
    limit: u64,
}

impl Ledger {
    /// Of a shard that has nothing. `limit`: bytes of memory of the node.
    pub fn new(books: Books, limit: u64) -> Self {
        Self {
            books,
            rows: Slots::new(),
            by_fingerprint: HashTable::new(),
            idle: VecDeque::new(),
            presentities: 0,
            registered: 0,
            memory: 0,
            untold: 0,
            limit,
        }
    }

    /// The row of an owner, made if there is none.
    pub fn open(&mut self, shares: &Shares, owner: Option<Owner>) -> u32 {
        let Some(owner) = owner else { return NOBODY };
        let fingerprint = self.books.fingerprint(&owner.name());
        let rows = &self.rows;
        let of = |row: &u32| rows.get(*row as usize).map_or(0, |row| row.fingerprint);
        let found = self
            .by_fingerprint
            .find(fingerprint, |row| of(row) == fingerprint);
        if let Some(row) = found {
            return *row;
        }
        let row = index(self.rows.insert(Account {
            fingerprint,
            place: self.books.take(fingerprint),
            share: shares.share(&owner),
            used: [0; KINDS],
            full_at: AtomicU64::new(0),
            idle: true,
        }));
        let rows = &self.rows;
        let of = |row: &u32| rows.get(*row as usize).map_or(0, |row| row.fingerprint);
        self.by_fingerprint.insert_unique(fingerprint, row, of);
        self.idle.push_back(row);
        row
    }

    /// Takes a token of somebody, or says after how many seconds there is one.
    pub fn ask(&mut self, now: Timestamp, row: u32) -> Result<(), u32> {
        let Some(account) = self.rows.get(row as usize) else {
            return Ok(());
        };
        let full_at = match account.place {
            Some(place) => self.books.full_at(place),
            None => &account.full_at,
        };
        let now = now.as_millis().saturating_mul(1000);
        let Share { rate, burst, .. } = account.share;
        take_token(full_at, now, rate, burst)
            .map_err(|wait| u32::try_from(wait.div_ceil(1_000_000)).unwrap_or(u32::MAX))
    }

    /// Somebody has more, if that is within its share and `beyond`: what it gives back for it.
    pub fn charge(&mut self, row: u32, what: What, more: u64, beyond: u64) -> Result<(), Over> {
        let Some(account) = self.rows.get_mut(row as usize) else {
            return Ok(());
        };
        let limit = account.share.of(what);
        let room = limit.saturating_add(beyond);
        let fits = match account.place {
            Some(place) => add_within(self.books.used(place, what), more, room),
            None => account.used[what as usize].saturating_add(more) <= room,
        };
        if !fits {
            return Err(Over::quota(what, limit));
        }
        account.used[what as usize] += more;
        Ok(())
    }

    /// Somebody has more, whatever its share: it was there before, or takes no more than what it replaces.
    pub fn load(&mut self, row: u32, what: What, more: u64) {
        if let Some(account) = self.rows.get_mut(row as usize) {
            account.used[what as usize] += more;
            if let Some(place) = account.place {
                self.books.used(place, what).fetch_add(more, AcqRel);
            }
        }
    }

    /// Somebody has less.
    pub fn credit(&mut self, row: u32, what: What, less: u64) {
        let Some(account) = self.rows.get_mut(row as usize) else {
            return;
        };
        let used = &mut account.used[what as usize];
        let less = less.min(*used);
        *used -= less;
        if let Some(place) = account.place {
            self.books.used(place, what).fetch_sub(less, AcqRel);
        }
        if account.used == [0; KINDS] && !account.idle {
            account.idle = true;
            self.idle.push_back(row);
        }
    }

    /// Forgets some of those that have nothing here and have not asked for a while. To be called once in a request.
    pub fn forget(&mut self, now: Timestamp) {
        let now = now.as_millis().saturating_mul(1000);
        for _ in 0..2 {
            let Some(row) = self.idle.pop_front() else {
                return;
            };
            let many = self.idle.len() >= MOST_IDLE;
            let Some(account) = self.rows.get_mut(row as usize) else {
                continue;
            };
            let full_at = match account.place {
                Some(place) => self.books.full_at(place),
                None => &account.full_at,
            };
            if account.used != [0; KINDS] {
                account.idle = false;
            } else if full_at.load(Relaxed) <= now || many {
                self.remove(row);
            } else {
                self.idle.push_back(row);
            }
        }
    }

    fn remove(&mut self, row: u32) {
        let Some(account) = self.rows.try_remove(row as usize) else {
            return;
        };
        let found = self
            .by_fingerprint
            .find_entry(account.fingerprint, |other| *other == row);
        if let Ok(entry) = found {
            entry.remove();
        }
        if let Some(place) = account.place {
            self.books.leave(place);
        }
    }

    /// A presentity has its first publication, if there is room in the node.
    pub fn add_presentity(&mut self, limit: u64) -> bool {
        let fits = add_within(self.books.total(Total::Presentities), 1, limit);
        self.presentities += u64::from(fits);
        fits
    }

    /// A presentity has no publication any more.
    pub fn remove_presentity(&mut self) {
        let one = self.presentities.min(1);
        self.presentities -= one;
        let total = self.books.total(Total::Presentities);
        total.fetch_sub(one, AcqRel);
    }

    /// An address of record has its first contact, if there is room in the node.
    pub fn add_registered(&mut self, limit: u64) -> bool {
        let fits = add_within(self.books.total(Total::Registered), 1, limit);
        self.registered += u64::from(fits);
        fits
    }

    /// An address of record has no contact any more.
    pub fn remove_registered(&mut self) {
        let one = self.registered.min(1);
        self.registered -= one;
        let total = self.books.total(Total::Registered);
        total.fetch_sub(one, AcqRel);
    }

    /// The rows take so many bytes more, or less.
    pub fn grow(&mut self, bytes: i64) {
        self.memory += bytes;
        self.untold += bytes;
        if self.untold.abs() >= PORTION {
            self.tell();
        }
    }

    fn tell(&mut self) {
        let memory = self.books.total(Total::Memory);
        // Each shard takes back at most what it has added, so the sum stays above zero.
        memory.fetch_add(self.untold as u64, AcqRel);
        self.untold = 0;
    }

    /// Bytes that the rows of the node take, as far as this shard knows.
    fn all(&self) -> u64 {
        self.books.memory().saturating_add_signed(self.untold)
    }

    /// Whether the node has room for so many bytes more.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.all().saturating_add(bytes as u64) <= self.limit
    }

    /// Whether new state is refused from now on, or taken again, where that is news for the log.
    pub fn news(&mut self, now: Timestamp, refused: bool) -> Option<bool> {
        let full = self.books.is_full();
        // Some room is needed before it is over, or it would be again at once.
        let low = self.limit - self.limit / 32;
        let turns = if full { self.all() <= low } else { refused };
        (turns && self.books.set_full(!full, now.as_millis(), PAUSE)).then_some(!full)
    }

    /// Accounts and addresses that have a row here.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Bytes that the rows of this shard take.
    pub fn memory(&self) -> u64 {
        u64::try_from(self.memory).unwrap_or(0)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        for (_, account) in self.rows.iter() {
            if let Some(place) = account.place {
                for what in [
                    What::Subscriptions,
                    What::Publications,
                    What::Bindings,
                    What::Bytes,
                ] {
                    let used = account.used[what as usize];
                    self.books.used(place, what).fetch_sub(used, AcqRel);
                }
                self.books.leave(place);
            }
        }
        let (presentities, registered) = (self.presentities, self.registered);
        let books = &self.books;
        books
            .total(Total::Presentities)
            .fetch_sub(presentities, AcqRel);
        books.total(Total::Registered).fetch_sub(registered, AcqRel);
        let told = self.memory - self.untold;
        books.total(Total::Memory).fetch_sub(told as u64, AcqRel);
    }
}
