//! What the shards of a node count together: how much of the node an account or an address has, and how much memory all
//! of it takes (docs/adr/0016).
//!
//! A table of atomics. A shard looks an owner up when it makes its own row for it, and from then on knows the place. Rows
//! are found by a fingerprint under a secret, in a bucket of their own; a word holds it with the number of shards that use the
//! row, so that a row is taken and given back by one exchange, and nobody waits for anybody.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};

use crate::entropy::Entropy;
use crate::keyed::Secret;

/// What is counted for an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Subscriptions, and watchers that wait for a decision.
    Subscriptions,
    /// Publications.
    Publications,
    /// Contacts of addresses of record.
    Bindings,
    /// Bytes of published documents.
    Bytes,
}

/// How many of [`What`] there are.
pub(super) const KINDS: usize = 4;

/// What is counted for the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Total {
    /// Presentities with publications.
    Presentities,
    /// Addresses of record with bindings.
    Registered,
    /// Bytes of memory.
    Memory,
}

/// Rows that one fingerprint may stand in.
const WAYS: usize = 16;
/// Rows that are made together, when the first of them is needed.
const PIECE: usize = 1024;
/// 262,144 owners at a time. One that finds no place is counted by each shard for itself.
const PIECES: usize = 256;
/// Bits of a word that count the shards.
const HOLDERS: u64 = 0xffff;

/// Shared by the shards of a node. Clones are the same books.
#[derive(Clone)]
pub struct Books(Arc<Table>);

struct Table {
    secret: Secret,
    pieces: Vec<OnceLock<Box<[Row]>>>,
    totals: [AtomicU64; 3],
    /// New state is refused for want of memory.
    full: AtomicBool,
    /// That was told.
    announced: AtomicBool,
    /// When it was told last, in milliseconds.
    told: AtomicU64,
}

#[derive(Default)]
struct Row {
    /// The fingerprint's upper 48 bits, and how many shards use the row; 0: nobody's.
    word: AtomicU64,
    used: [AtomicU64; KINDS],
    /// When the bucket of tokens is full again, in microseconds.
    full_at: AtomicU64,
}

/// The place of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Books {
    /// Empty ones, whose fingerprints nobody can foresee.
    pub fn new(entropy: &mut Entropy) -> Self {
        let zero = || AtomicU64::new(0);
        Self(Arc::new(Table {
            secret: Secret::draw(entropy),
            pieces: (0..PIECES).map(|_| OnceLock::new()).collect(),
            totals: [zero(), zero(), zero()],
            full: AtomicBool::new(false),
            announced: AtomicBool::new(false),
            told: zero(),
        }))
    }

    /// What stands for an owner.
    pub(super) fn fingerprint(&self, owner: &[u8]) -> u64 {
        self.0.secret.hash(owner)
    }

    /// The row of an owner, which counts one shard more; `None`: there is no room.
    pub(super) fn take(&self, fingerprint: u64) -> Option<Place> {
        // The lowest bits say where, the upper ones who; 0 is nobody.
        let first = fingerprint as usize % (PIECES * PIECE / WAYS) * WAYS;
        let name = (fingerprint & !HOLDERS).max(HOLDERS + 1);
        let mut way = 0;
        let mut free = None;
        loop {
            let Some(place) = (way < WAYS).then(|| Place((first + way) as u32)) else {
                // Not there: a free one is taken, unless another shard was quicker; then it is looked for again.
                let place: Place = free?;
                let word = &self.row(place).word;
                if word.compare_exchange(0, name | 1, AcqRel, Acquire).is_ok() {
                    return Some(place);
                }
                (way, free) = (0, None);
                continue;
            };
            let word = &self.row(place).word;
            let found = word.load(Acquire);
            if found == 0 {
                free = free.or(Some(place));
            } else if found & !HOLDERS == name {
                if word
                    .compare_exchange(found, found + 1, AcqRel, Acquire)
                    .is_ok()
                {
                    return Some(place);
                }
                continue;
            }
            way += 1;
        }
    }

    /// A shard less uses a row.
    pub(super) fn leave(&self, place: Place) {
        let row = self.row(place);
        let mut found = row.word.load(Acquire);
        loop {
            let last = found & HOLDERS <= 1;
            let next = if last { 0 } else { found - 1 };
            if last {
                // Whoever has the row next begins with nothing. All that was counted has been given back.
                row.full_at.store(0, Relaxed);
            }
            match row.word.compare_exchange(found, next, AcqRel, Acquire) {
                Ok(_) => return,
                Err(other) => found = other,
            }
        }
    }

    fn row(&self, place: Place) -> &Row {
        let (piece, at) = (place.0 as usize / PIECE, place.0 as usize % PIECE);
        let make = || (0..PIECE).map(|_| Row::default()).collect();
        &self.0.pieces[piece].get_or_init(make)[at]
    }

    /// How much an owner has.
    pub(super) fn used(&self, place: Place, what: What) -> &AtomicU64 {
        &self.row(place).used[what as usize]
    }

    /// When an owner's bucket is full again.
    pub(super) fn full_at(&self, place: Place) -> &AtomicU64 {
        &self.row(place).full_at
    }

    /// How much the node has.
    pub(super) fn total(&self, total: Total) -> &AtomicU64 {
        &self.0.totals[total as usize]
    }

    /// Memory that is counted, in bytes. Shards tell of it in portions.
    pub fn memory(&self) -> u64 {
        self.total(Total::Memory).load(Relaxed)
    }

    /// New state is refused, or taken again. Whether that is news, and none has been told within `pause` milliseconds.
    pub(super) fn set_full(&self, full: bool, now: u64, pause: u64) -> bool {
        if self.0.full.load(Relaxed) == full || self.0.full.swap(full, AcqRel) == full {
            return false;
        }
        // The end is told if the begin was.
        if !full {
            return self.0.announced.swap(false, AcqRel);
        }
        let told = self.0.told.load(Relaxed);
        if told != 0 && now < told.saturating_add(pause) {
            return false;
        }
        self.0.announced.store(true, Relaxed);
        self.0.told.store(now, Relaxed);
        true
    }

    /// Whether new state is refused.
    pub(super) fn is_full(&self) -> bool {
        self.0.full.load(Relaxed)
    }
}

impl Default for Books {
    /// For one registry alone.
    fn default() -> Self {
        Self::new(&mut Entropy::from_number(0))
    }
}

impl PartialEq for Books {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::fmt::Debug for Books {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Books")
    }
}

/// Adds, if the sum is within a limit.
pub(super) fn add_within(counter: &AtomicU64, more: u64, limit: u64) -> bool {
    let before = counter.fetch_add(more, AcqRel);
    if before.saturating_add(more) <= limit {
        return true;
    }
    counter.fetch_sub(more, AcqRel);
    false
}

/// Takes one of `burst` tokens, of which `rate` come back in a second; or says after how many microseconds there is one.
pub(super) fn take_token(full_at: &AtomicU64, now: u64, rate: u64, burst: u64) -> Result<(), u64> {
    let each = 1_000_000 / rate.max(1);
    let room = each.saturating_mul(burst);
    let mut found = full_at.load(Relaxed);
    loop {
        let next = found.max(now) + each;
        if next > now + room {
            return Err(next - now - room);
        }
        match full_at.compare_exchange(found, next, Relaxed, Relaxed) {
            Ok(_) => return Ok(()),
            Err(other) => found = other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_shards_have_one_row_for_an_owner_and_the_last_one_gives_it_back() {
        let books = Books::default();
        let alice = books.fingerprint(b"alice");
        let one = books.take(alice).expect("room");
        assert_eq!(books.take(alice), Some(one));
        assert!(add_within(books.used(one, What::Bytes), 7, 10));
        assert!(!add_within(books.used(one, What::Bytes), 4, 10));
        assert!(add_within(books.used(one, What::Bytes), 3, 10));
        let bob = books.take(books.fingerprint(b"bob")).expect("room");
        assert_ne!(bob, one);
        books.leave(one);
        assert_eq!(books.take(alice), Some(one));
        books.leave(one);
        books.leave(one);
        assert_eq!(books.row(one).word.load(Acquire), 0);
    }

    #[test]
    fn shards_that_come_at_once_count_together() {
        let books = Books::default();
        let owners: Vec<u64> = (0..200_u32)
            .map(|number| books.fingerprint(&number.to_be_bytes()))
            .collect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for owner in owners.iter().cycle().take(20_000) {
                        let place = books.take(*owner).expect("room");
                        assert!(add_within(books.used(place, What::Bytes), 1, 4));
                        books.used(place, What::Bytes).fetch_sub(1, AcqRel);
                        books.leave(place);
                    }
                });
            }
        });
        let taken = books.0.pieces.iter().filter_map(OnceLock::get).flatten();
        assert!(
            taken
                .map(|row| row.word.load(Acquire))
                .all(|word| word == 0)
        );
    }

    #[test]
    fn a_bucket_full_has_its_room_and_no_more() {
        let (all, none) = (WAYS, 3);
        let books = Books::default();
        // All of one bucket.
        let owner = |number: usize| (number as u64 + 1) << 32;
        let taken: Vec<_> = (0..all + none)
            .map(|number| books.take(owner(number)))
            .collect();
        assert_eq!(taken.iter().flatten().count(), all);
        books.leave(taken[4].expect("one"));
        assert_eq!(books.take(owner(all)), taken[4]);
    }

    #[test]
    fn tokens_come_back_at_their_rate() {
        let bucket = AtomicU64::new(0);
        let second = 1_000_000;
        for _ in 0..5 {
            assert_eq!(take_token(&bucket, second, 10, 5), Ok(()));
        }
        assert_eq!(take_token(&bucket, second, 10, 5), Err(100_000));
        assert_eq!(take_token(&bucket, second + 100_000, 10, 5), Ok(()));
        assert_eq!(take_token(&bucket, second + 100_000, 10, 5), Err(100_000));
        for _ in 0..5 {
            assert_eq!(take_token(&bucket, 9 * second, 10, 5), Ok(()));
        }
    }
}
