//! Commits of which nobody knows whether they are stored ([`CommitOutcome::Indeterminate`]).
//!
//! Whoever asked for one has got 503, so what it would have done must not have happened: a PUBLISH that was refused, and yet
//! stored, would take the entity-tag away from its publisher. The store is asked again under the same number, until it
//! knows; what turns out to be stored is taken back.
//!
//! ```text
//!  Indeterminate ── 503 ──> doubtful ── asked again, by a timer or as the next request comes ──> not stored: done
//!                              ^ not known yet                      │ stored
//!                              └──────── 503 to those behind it     └─> the rows are stored as they are: done
//! ```

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::commit::{Held, Lock, RETRIED, RETRY};
use super::rows::Timer;
use super::store::{Change, Commit, CommitOutcome, OpId, Record, RecordKey, Version};
use super::{Effect, Registry};
use crate::sip::{Head, Name, StatusCode};
use crate::time::Timestamp;

/// A commit of which nobody knows whether it is stored.
#[derive(Debug)]
pub(super) struct Doubtful {
    changes: Vec<Change>,
    /// It is the one that takes another back.
    undoing: bool,
}

/// Those that are not being asked for right now.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    by_number: BTreeMap<u64, (Option<Lock>, Doubtful)>,
    by_lock: FxHashMap<Lock, u64>,
    /// [`Timer::Retry`] is set for them.
    timed: bool,
}

impl Doubts {
    /// The one that holds a lock.
    pub fn holding(&self, lock: Lock) -> Option<u64> {
        self.by_lock.get(&lock).copied()
    }
}

impl Registry {
    /// The changes that a request asked for.
    pub(super) fn changes_of(&self, held: &Held) -> Vec<Change> {
        match held {
            Held::Publish(publishing) => self.changes_of_publish(publishing),
            Held::Subscribe(subscribing) => self.changes_of_subscribe(subscribing),
            Held::Register(registering) => registering.changes.clone(),
            Held::Decide(deciding) => vec![deciding.change()],
            Held::Cleanup(_) | Held::Doubtful(_) | Held::Settled(_) => Vec::new(),
        }
    }

    /// A request was refused whose commit may be stored.
    pub(super) fn doubt(
        &mut self,
        now: Timestamp,
        op: OpId,
        lock: Option<Lock>,
        changes: Vec<Change>,
        out: &mut Vec<Effect>,
    ) {
        let doubtful = Doubtful {
            changes,
            undoing: false,
        };
        self.keep(now, op, lock, doubtful, out);
    }

    fn keep(
        &mut self,
        now: Timestamp,
        op: OpId,
        lock: Option<Lock>,
        doubtful: Doubtful,
        out: &mut Vec<Effect>,
    ) {
        if let Some(lock) = lock {
            self.turn_away_behind(lock, out);
            self.pending.doubts.by_lock.insert(lock, op.number);
        }
        let doubts = &mut self.pending.doubts;
        doubts.by_number.insert(op.number, (lock, doubtful));
        if !std::mem::replace(&mut doubts.timed, true) {
            self.wheel.insert(now + RETRY, Timer::Retry);
        }
    }

    /// Those who wait behind a lock don't wait for a store that does not know.
    fn turn_away_behind(&mut self, lock: Lock, out: &mut Vec<Effect>) {
        let queue = self.pending.locks.get_mut(&lock).map(std::mem::take);
        for incoming in queue.unwrap_or_default() {
            let mut head = Head::new();
            head.line(Name::RetryAfter, self.settings.retry_after);
            let why = "the store does not know yet what became of an earlier one";
            let status = StatusCode::SERVICE_UNAVAILABLE;
            self.refuse(&incoming, status, None, head, &why, out);
        }
    }

    /// Asks the store again, under the same number.
    pub(super) fn ask_again(&mut self, number: u64, out: &mut Vec<Effect>) {
        let pending = &mut self.pending;
        let Some((lock, doubtful)) = pending.doubts.by_number.remove(&number) else {
            return;
        };
        if let Some(lock) = lock {
            pending.doubts.by_lock.remove(&lock);
        }
        let op = OpId {
            shard: pending.shard,
            run: pending.run,
            number,
        };
        let changes = doubtful.changes.clone();
        let held = Held::Doubtful(Box::new(doubtful));
        pending.held.insert(number, (lock, held));
        out.push(Effect::Commit(Commit { op, changes }));
    }

    /// [`Timer::Retry`].
    pub(super) fn ask_all_again(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let doubts = &mut self.pending.doubts;
        doubts.timed = false;
        let numbers: Vec<u64> = doubts.by_number.keys().copied().take(RETRIED).collect();
        let all = numbers.len() == doubts.by_number.len();
        for number in numbers {
            self.ask_again(number, out);
        }
        if !all {
            self.pending.doubts.timed = true;
            self.wheel.insert(now + RETRY, Timer::Retry);
        }
    }

    /// The store has answered one that was asked for again, or the one that takes it back. Whether that is the end of it.
    pub(super) fn settle(
        &mut self,
        now: Timestamp,
        op: OpId,
        lock: Option<Lock>,
        doubtful: Doubtful,
        outcome: &CommitOutcome,
        out: &mut Vec<Effect>,
    ) -> bool {
        let stored = match outcome {
            CommitOutcome::Committed => true,
            CommitOutcome::Conflict(newer) => is_done(&doubtful.changes, newer),
            CommitOutcome::Overloaded
            | CommitOutcome::Unavailable
            | CommitOutcome::Indeterminate => {
                self.keep(now, op, lock, doubtful, out);
                return false;
            }
        };
        if doubtful.undoing {
            if stored {
                for change in &doubtful.changes {
                    self.set_version(&change.key, change.version());
                }
            }
            return true;
        }
        let undo = match stored {
            true => self.undo(&doubtful.changes),
            false => Vec::new(),
        };
        if undo.is_empty() {
            return true;
        }
        let undoing = Doubtful {
            changes: undo.clone(),
            undoing: true,
        };
        self.commit(lock, undo, Held::Doubtful(Box::new(undoing)), out);
        false
    }

    /// What makes the store's records as the rows are.
    fn undo(&self, changes: &[Change]) -> Vec<Change> {
        let undo = changes.iter().map(|change| Change {
            key: change.key.clone(),
            expect: change.record.as_ref().map(|_| change.version()),
            record: self.record_of(&change.key),
        });
        undo.filter(|change| change.expect.is_some() || change.record.is_some())
            .collect()
    }

    /// The record of a row.
    fn record_of(&self, key: &RecordKey) -> Option<Record> {
        match key {
            RecordKey::Binding { aor, .. } => {
                let row = *self.bindings.index.get(aor)?;
                let mut bindings = self.bindings.rows.get(row as usize)?.bindings.iter();
                let held = bindings.find(|held| held.record.key() == *key)?;
                Some(Record::Binding(held.record.clone()))
            }
            RecordKey::Publication { .. } => {
                let (row, index) = self.publication(key)?;
                let held = self.presentities.get(row)?.publications.get(index)?;
                Some(Record::Publication(held.record.clone()))
            }
            RecordKey::Watcher { aor, watcher } => {
                let (_, known) = self.authorizations.find(aor, watcher)?;
                Some(Record::Watcher(known.record.clone()))
            }
            RecordKey::Subscription { .. } => {
                let row = self.subscription(key)?;
                let held = self.subscriptions.get(row)?;
                let dialog = self.subscriptions.dialog(held.dialog)?;
                let presentity = self.presentities.get(held.presentity)?;
                let package = self.settings.packages[presentity.package].name.clone();
                let event_id = held.event_id().cloned();
                let aor = presentity.aor.clone();
                let fresh = self.fresh(held);
                let record = dialog.record(aor, package, event_id, held.expires_at, fresh);
                Some(Record::Subscription(record))
            }
            // Nobody waits for it: see `settled.rs`.
            RecordKey::Settled { .. } => None,
        }
    }

    fn set_version(&mut self, key: &RecordKey, version: Version) {
        match key {
            RecordKey::Binding { aor, .. } => {
                let row = self.bindings.index.get(aor).copied();
                let row = row.and_then(|row| self.bindings.rows.get_mut(row as usize));
                let mut bindings = row.into_iter().flat_map(|row| &mut row.bindings);
                if let Some(held) = bindings.find(|held| held.record.key() == *key) {
                    held.version = version;
                }
            }
            RecordKey::Publication { .. } => {
                if let Some((row, index)) = self.publication(key)
                    && let Some(presentity) = self.presentities.get_mut(row)
                {
                    presentity.publications[index].version = version;
                }
            }
            RecordKey::Watcher { aor, watcher } => {
                let row = self.authorizations.find(aor, watcher).map(|(row, _)| row);
                let known = row.and_then(|row| self.authorizations.rows.get_mut(row as usize));
                if let Some(known) = known {
                    known.version = version;
                }
            }
            RecordKey::Subscription { .. } => {
                let row = self.subscription(key);
                if let Some(held) = row.and_then(|row| self.subscriptions.get_mut(row)) {
                    held.version = version;
                }
            }
            RecordKey::Settled { .. } => {}
        }
    }

    /// The presentity's row of a publication, and its place there.
    fn publication(&self, key: &RecordKey) -> Option<(u32, usize)> {
        let RecordKey::Publication { aor, order } = key else {
            return None;
        };
        (0..self.settings.packages.len())
            .filter_map(|package| self.presentities.find(package, aor))
            .find_map(|row| {
                let mut held = self.presentities.get(row)?.publications.iter();
                let index = held.position(|held| held.record.order == *order)?;
                Some((row, index))
            })
    }

    /// The row of a subscription.
    fn subscription(&self, key: &RecordKey) -> Option<u32> {
        let RecordKey::Subscription { dialog, event } = key else {
            return None;
        };
        let dialog = self.subscriptions.dialog_by_tag(*dialog)?;
        let mut rows = self
            .subscriptions
            .dialog(dialog)?
            .subscriptions
            .rows()
            .iter();
        rows.find(|row| {
            self.subscriptions.get(**row).is_some_and(|held| {
                let presentity = self.presentities.get(held.presentity);
                presentity.is_some_and(|presentity| {
                    let package = &self.settings.packages[presentity.package].name;
                    let id = held.event_id().map(|id| &**id);
                    super::store::event_key(package, id) == *event
                })
            })
        })
        .copied()
    }
}

/// Whether records that stand in the way are these changes themselves.
fn is_done(changes: &[Change], newer: &[(RecordKey, Option<(Version, Record)>)]) -> bool {
    changes.iter().all(|change| {
        let found = newer.iter().find(|(key, _)| *key == change.key);
        found.is_some_and(|(_, stored)| match (stored, &change.record) {
            (None, None) => true,
            (Some((version, stored)), Some(record)) => {
                *version == change.version() && stored == record
            }
            (Some(_), None) | (None, Some(_)) => false,
        })
    })
}
