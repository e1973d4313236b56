//! Presentities whose watchers all know the state, so that after a restart nobody is told again what it knows.
//!
//! A presentity is settled when each of its watchers has answered a NOTIFY with the present state. Some time after that a
//! [`SettledRecord`] goes to the store, and with the next change it is taken out again. So what [`Registry::load`] finds settled was
//! so when the node ended, however it ended; the digest shows whether the state has changed since, by time alone or by another
//! version of this program (docs/adr/0019).

use std::collections::VecDeque;
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};
use sha2::{Digest as _, Sha256};

use super::commit::Held;
use super::rows::{Pace, Presentity, Subscription, Timer};
use super::settings::Compositor;
use super::store::{Change, Record, RecordKey, SettledRecord, StateDigest, Version};
use super::{Effect, Registry};
use crate::subscription::Flight;
use crate::time::Timestamp;

/// How long presentities gather before they are looked at: most NOTIFYs are answered by then.
const GATHER: Duration = Duration::from_millis(500);

/// Rows of presentities and subscriptions that are looked at in one go: a tenth of a millisecond, and so a bound on what is written.
const LOOKED_AT: usize = 2048;

/// Records in one commit.
const TOGETHER: usize = 64;

/// What is known of settled presentities.
#[derive(Debug, Default)]
pub(super) struct Settling {
    /// Version of the record that the store has, or is about to have, by row of the presentity.
    stored: FxHashMap<u32, Version>,
    /// How many of them the store has not answered.
    asked: usize,
    /// Rows of presentities that may have settled, each once.
    queue: VecDeque<u32>,
    queued: FxHashSet<u32>,
    /// [`Timer::Remember`] is set.
    armed: bool,
}

impl Settling {
    /// Whether the store has a record of this presentity, as far as the rows know.
    pub fn has(&self, row: u32) -> bool {
        self.stored.contains_key(&row)
    }

    /// How many such records the store has for certain.
    pub fn len(&self) -> usize {
        self.stored.len().saturating_sub(self.asked)
    }

    /// Takes over a record that the store has.
    pub fn take_over(&mut self, row: u32, version: Version) {
        self.stored.insert(row, version);
    }
}

impl Registry {
    /// The state of a presentity has changed, or how one of its watchers is treated: what is stored does not hold any more.
    pub(super) fn unsettle(&mut self, now: Timestamp, row: u32, out: &mut Vec<Effect>) {
        if !self.settings.remember_settled {
            return;
        }
        self.resuming.forget(row);
        if let Some(version) = self.settling.stored.remove(&row)
            && let Some(key) = self.settled_key(row)
        {
            let change = Change {
                key,
                expect: Some(version),
                record: None,
            };
            self.clean_up(vec![change], out);
        }
        self.may_settle(now, row);
    }

    /// The watchers of a presentity will have answered some time.
    pub(super) fn may_settle(&mut self, now: Timestamp, row: u32) {
        if !self.settings.remember_settled {
            return;
        }
        if self.settling.queued.insert(row) {
            self.settling.queue.push_back(row);
        }
        if !self.settling.armed {
            self.settling.armed = true;
            self.wheel.insert(now + GATHER, Timer::Remember);
        }
    }

    /// A presentity goes: nobody watches it, and nothing is published.
    pub(super) fn forget_settled(
        &mut self,
        row: u32,
        presentity: &Presentity,
        out: &mut Vec<Effect>,
    ) {
        if let Some(version) = self.settling.stored.remove(&row) {
            let change = Change {
                key: self.settled_key_of(presentity),
                expect: Some(version),
                record: None,
            };
            self.clean_up(vec![change], out);
        }
    }

    /// [`Timer::Remember`].
    pub(super) fn remember(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        self.settling.armed = false;
        self.remember_some(LOOKED_AT, out);
        if !self.settling.queue.is_empty() {
            self.settling.armed = true;
            self.wheel.insert(now + GATHER, Timer::Remember);
        }
    }

    /// Stores all that has settled by now, at an orderly end.
    pub fn remember_all(&mut self, out: &mut Vec<Effect>) {
        self.remember_some(usize::MAX, out);
    }

    fn remember_some(&mut self, most: usize, out: &mut Vec<Effect>) {
        let order = self.settled_order();
        let mut looked_at = 0;
        let mut changes = Vec::new();
        let mut rows = Vec::new();
        for _ in 0..self.settling.queue.len() {
            if looked_at >= most {
                break;
            }
            let Some(row) = self.settling.queue.pop_front() else {
                break;
            };
            let watchers = self
                .presentities
                .get(row)
                .map_or(0, |row| row.watchers.len());
            looked_at += 1 + watchers;
            if watchers > 0 && !self.is_settled(row) {
                self.settling.queue.push_back(row);
                continue;
            }
            self.settling.queued.remove(&row);
            if let Some(record) = self.settled_record(row, order) {
                let key = record.key();
                let expect = self.settling.stored.get(&row).copied();
                let change = Change {
                    key,
                    expect,
                    record: Some(Record::Settled(record)),
                };
                self.settling.stored.insert(row, change.version());
                changes.push(change);
                rows.push(row);
            }
            if changes.len() == TOGETHER {
                let (changes, rows) = (std::mem::take(&mut changes), std::mem::take(&mut rows));
                self.store_settled(changes, rows, out);
            }
        }
        if !changes.is_empty() {
            self.store_settled(changes, rows, out);
        }
    }

    fn store_settled(&mut self, changes: Vec<Change>, rows: Vec<u32>, out: &mut Vec<Effect>) {
        self.settling.asked += rows.len();
        self.commit(None, changes, Held::Settled(rows), out);
    }

    /// The store has answered. What it may hold of it, or of an earlier one, is taken out, and all is tried again with what settles
    /// meanwhile.
    pub(super) fn settled(
        &mut self,
        now: Timestamp,
        rows: Vec<u32>,
        stored: bool,
        out: &mut Vec<Effect>,
    ) {
        self.settling.asked -= rows.len();
        if stored {
            return;
        }
        for row in rows {
            self.unsettle(now, row, out);
        }
    }

    /// Whether each watcher has answered a NOTIFY with the present state.
    fn is_settled(&self, row: u32) -> bool {
        let Some(presentity) = self.presentities.get(row) else {
            return false;
        };
        let waits = matches!(presentity.pace, Pace::Closed { dirty: true, .. });
        let composing = presentity.stale || presentity.composing.is_some();
        if composing || waits || presentity.telling.is_some() {
            return false;
        }
        presentity.watchers.iter().all(|watcher| {
            self.subscriptions.get(*watcher).is_some_and(|held| {
                let shown = held.notifier.shown();
                let knows = shown == held.sees(presentity.version);
                // Who is told nothing of the state has nothing to know.
                let knows = knows || held.sees(1) == 0;
                held.notifier.flight() == Flight::Idle && knows && held.doomed.is_none()
            })
        })
    }

    /// What the store shall have of a settled presentity; nothing where there is nobody to tell, or the state is told anew to everybody.
    fn settled_record(&self, row: u32, order: u64) -> Option<SettledRecord> {
        let presentity = self.presentities.get(row)?;
        let package = &self.settings.packages[presentity.package];
        if presentity.watchers.is_empty() || package.compositor == Compositor::Watchers {
            return None;
        }
        Some(SettledRecord {
            aor: presentity.aor.clone(),
            package: package.name.clone(),
            order,
            digest: digest(presentity),
        })
    }

    fn settled_key(&self, row: u32) -> Option<RecordKey> {
        let presentity = self.presentities.get(row)?;
        Some(self.settled_key_of(presentity))
    }

    fn settled_key_of(&self, presentity: &Presentity) -> RecordKey {
        RecordKey::Settled {
            aor: presentity.aor.clone(),
            package: self.settings.packages[presentity.package].name.clone(),
        }
    }

    /// The order of all that is in the rows by now: a subscription of a later order is not among them.
    fn settled_order(&self) -> u64 {
        self.order_of(self.pending.oldest().saturating_sub(1))
    }

    /// The order of what is asked for now, later than all that was asked for before.
    pub(super) fn next_order(&self) -> u64 {
        self.order_of(self.pending.newest() + 1)
    }

    /// What is stored of a subscription: `None` once it has answered a NOTIFY, since then it has been told.
    pub(super) fn fresh(&self, subscription: &Subscription) -> Option<u64> {
        let notifier = &subscription.notifier;
        let told = notifier.shown() != 0 && notifier.flight() == Flight::Idle;
        (self.settings.remember_settled && !told).then(|| self.next_order())
    }

    /// Commits are ordered by the life of the node, then by their number: no clock is asked, since it may have been set back.
    fn order_of(&self, number: u64) -> u64 {
        const NUMBER_BITS: u32 = 40;
        self.epoch << NUMBER_BITS | number & ((1 << NUMBER_BITS) - 1)
    }
}

/// A digest of what watchers are shown.
pub(super) fn digest(presentity: &Presentity) -> StateDigest {
    let mut hash = Sha256::new();
    hash.update(presentity.content_type.as_bytes());
    hash.update([0]);
    hash.update(&presentity.body);
    let whole = hash.finalize();
    let mut digest = StateDigest::default();
    let len = digest.len();
    digest.copy_from_slice(&whole[..len]);
    digest
}
