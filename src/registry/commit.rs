//! Commits under way: what rests on them, and who waits behind them.

use std::collections::VecDeque;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::authorization::Deciding;
use super::publish::Publishing;
use super::register::Registering;
use super::rows::Timer;
use super::settle::{Doubtful, Doubts};
use super::store::{Change, Commit, CommitOutcome, OpId, event_key};
use super::subscribe::Subscribing;
use super::{Effect, Registry};
use crate::exchange::{Incoming, Shard, TransactionId};
use crate::sip::{Head, Name, StatusCode};
use crate::time::Timestamp;

/// After which the store is asked again for what nobody waits for.
pub(super) const RETRY: Duration = Duration::from_secs(5);

/// How many of these are tried at a time: a store that has been away for long must not be met with a million commits, nor
/// the shard stand still for them.
pub(super) const RETRIED: usize = 1024;

/// Requests that may wait behind one lock. A client has one request at a time on its way to a presentity or dialog (RFC
/// 3903, 4; RFC 3261, 8.1.3.5), so more than these are no ordinary crowd, or the store hangs.
const MOST_WAITING: usize = 64;

/// What is decided about one request at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Lock {
    /// PUBLISH, by presentity row (RFC 3903, 6: in order, each whole before the next).
    Presentity(u32),
    /// SUBSCRIBE within a dialog, by dialog row.
    Dialog(u32),
    /// REGISTER, by row of the address of record.
    Bindings(u32),
}

/// What rests on a commit.
#[derive(Debug)]
pub(super) enum Held {
    /// A PUBLISH.
    Publish(Box<Publishing>),
    /// A SUBSCRIBE.
    Subscribe(Box<Subscribing>),
    /// A REGISTER.
    Register(Box<Registering>),
    /// A decision about a watcher.
    Decide(Box<Deciding>),
    /// Nothing: the rows have changed already, as time or a watcher's refusal did it. Kept to be tried again.
    Cleanup(Vec<Change>),
    /// Nothing: whoever asked for it was refused, but it may be stored.
    Doubtful(Box<Doubtful>),
    /// Records of presentities that have settled, by row.
    Settled(Vec<u32>),
}

impl Held {
    fn transaction(&self) -> Option<TransactionId> {
        match self {
            Self::Publish(publishing) => Some(publishing.asker.transaction),
            Self::Subscribe(subscribing) => Some(subscribing.asker.transaction),
            Self::Register(registering) => Some(registering.incoming.transaction),
            Self::Decide(_) | Self::Cleanup(_) | Self::Doubtful(_) | Self::Settled(_) => None,
        }
    }
}

/// Commits under way.
#[derive(Debug)]
pub(super) struct Pending {
    pub shard: Shard,
    pub run: u64,
    /// Of the last commit.
    number: u64,
    /// By number. Hashed, as a table keeps its room while there are none, which is mostly.
    pub held: FxHashMap<u64, (Option<Lock>, Held)>,
    /// Requests waiting behind a lock, in order of arrival. A lock is held as long as it stands here.
    pub locks: FxHashMap<Lock, VecDeque<Incoming>>,
    /// Removals that the store did not take.
    refused: Vec<Change>,
    /// Commits of which nobody knows whether they are stored.
    pub doubts: Doubts,
}

impl Pending {
    pub fn new(shard: Shard, run: u64) -> Self {
        Self {
            shard,
            run,
            number: 0,
            held: FxHashMap::default(),
            locks: FxHashMap::default(),
            refused: Vec::new(),
            doubts: Doubts::default(),
        }
    }

    /// Names this registry among those that were rebuilt.
    pub fn run(&self) -> u64 {
        self.run
    }

    pub fn is_locked(&self, lock: Lock) -> bool {
        self.locks.contains_key(&lock)
    }

    pub fn unanswered(&self) -> Vec<TransactionId> {
        let held = self.held.values();
        let held = held.filter_map(|(_, held)| held.transaction());
        let waiting = self
            .locks
            .values()
            .flatten()
            .map(|incoming| incoming.transaction);
        held.chain(waiting).collect()
    }

    /// The request that waits for the outcome of a commit, and those that wait behind it.
    pub fn resting_on(&self, op: OpId) -> impl Iterator<Item = TransactionId> {
        let held = self.held.get(&op.number).filter(|_| op.run == self.run);
        let lock = held.and_then(|(lock, _)| *lock);
        let behind = lock.and_then(|lock| self.locks.get(&lock));
        let behind = behind.into_iter().flatten();
        held.and_then(|(_, held)| held.transaction())
            .into_iter()
            .chain(behind.map(|incoming| incoming.transaction))
    }

    /// Number of the last commit asked for; 0 before the first.
    pub fn newest(&self) -> u64 {
        self.number
    }

    /// Number of the oldest commit under way, or of the next one.
    pub fn oldest(&self) -> u64 {
        self.held.keys().copied().min().unwrap_or(self.number + 1)
    }

    /// How many commits are under way.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Keeps what rests on the next commit, whose number it gives.
    fn hold(&mut self, lock: Option<Lock>, held: Held) -> u64 {
        self.number += 1;
        self.held.insert(self.number, (lock, held));
        self.number
    }

    /// What rests on a commit, once.
    fn take(&mut self, op: OpId) -> Option<(Option<Lock>, Held)> {
        (op.run == self.run).then(|| self.held.remove(&op.number))?
    }
}

impl Registry {
    /// Puts a request behind the one that holds `lock`, if one does; gives it back otherwise.
    pub(super) fn enqueue(
        &mut self,
        lock: Lock,
        incoming: Incoming,
        out: &mut Vec<Effect>,
    ) -> Option<Incoming> {
        if crate::sabotaged!(ForgetLock) {
            return Some(incoming);
        }
        match self.pending.locks.get_mut(&lock) {
            None => return Some(incoming),
            Some(_) if crate::sabotaged!(DropQueued) => {}
            Some(queue) if queue.len() < MOST_WAITING => {
                self.counters.queued += 1;
                queue.push_back(incoming);
                if let Some(number) = self.pending.doubts.holding(lock) {
                    self.ask_again(number, out);
                }
            }
            Some(_) => {
                let mut head = Head::new();
                head.line(Name::RetryAfter, self.settings.retry_after);
                let why = "too many wait for the store already";
                let status = StatusCode::SERVICE_UNAVAILABLE;
                self.refuse(&incoming, status, None, head, &why, out);
            }
        }
        None
    }

    /// Asks for a commit; `held` happens when it is stored.
    pub(super) fn commit(
        &mut self,
        lock: Option<Lock>,
        changes: Vec<Change>,
        held: Held,
        out: &mut Vec<Effect>,
    ) {
        self.counters.commits += 1;
        let pending = &mut self.pending;
        let number = pending.hold(lock, held);
        if let Some(lock) = lock {
            pending.locks.entry(lock).or_default();
        }
        let op = OpId {
            shard: pending.shard,
            run: pending.run,
            number,
        };
        out.push(Effect::Commit(Commit { op, changes }));
    }

    /// Has the store follow the rows, which changed by themselves: mostly records that are gone from them.
    pub(super) fn clean_up(&mut self, changes: Vec<Change>, out: &mut Vec<Effect>) {
        if !changes.is_empty() {
            self.commit(None, changes.clone(), Held::Cleanup(changes), out);
        }
    }

    /// The store's answer to an [`Effect::Commit`].
    pub fn committed(
        &mut self,
        now: Timestamp,
        op: OpId,
        outcome: CommitOutcome,
        out: &mut Vec<Effect>,
    ) {
        let Some((lock, held)) = self.pending.take(op) else {
            return;
        };
        let mut stored = matches!(outcome, CommitOutcome::Committed);
        if crate::sabotaged!(IndeterminateAsCommitted) {
            stored |= matches!(outcome, CommitOutcome::Indeterminate);
        }
        if !stored {
            self.counters.failed_commits += 1;
        }
        let doubtful = match &outcome {
            CommitOutcome::Indeterminate => self.changes_of(&held),
            _ => Vec::new(),
        };
        match held {
            Held::Publish(publishing) => self.published(now, *publishing, stored, out),
            Held::Subscribe(subscribing) => self.subscribed(now, *subscribing, stored, out),
            Held::Register(registering) => self.registered(now, *registering, stored, out),
            Held::Decide(deciding) => self.decided(now, *deciding, stored, out),
            Held::Settled(rows) => self.settled(now, rows, stored, out),
            Held::Doubtful(doubtful) => {
                if !self.settle(now, op, lock, *doubtful, &outcome, out) {
                    return self.wake(now, out);
                }
            }
            Held::Cleanup(changes) => match &outcome {
                CommitOutcome::Committed => {}
                // The one record is gone or another than we thought, and what we don't know of it is seen to below.
                CommitOutcome::Conflict(_) if changes.len() == 1 => {}
                CommitOutcome::Conflict(_)
                | CommitOutcome::Overloaded
                | CommitOutcome::Unavailable
                | CommitOutcome::Indeterminate => self.put_off(now, changes),
            },
        }
        if !doubtful.is_empty() {
            self.doubt(now, op, lock, doubtful, out);
            return self.wake(now, out);
        }
        if let CommitOutcome::Conflict(newer) = outcome {
            // This shard is the only writer of its records, so a record it does not know of is one whose removal failed.
            let strays = newer.into_iter().filter_map(|(key, stored)| {
                let (version, _) = stored?;
                let change = Change {
                    key,
                    expect: Some(version),
                    record: None,
                };
                (!self.knows(&change)).then_some(change)
            });
            let strays: Vec<Change> = strays.collect();
            self.clean_up(strays, out);
        }
        if let Some(lock) = lock {
            self.unlock(now, lock, out);
        }
        self.wake(now, out);
    }

    /// Whether a record is the store's side of one of the rows.
    fn knows(&self, change: &Change) -> bool {
        match &change.key {
            super::RecordKey::Binding { aor, contact } => self.bindings.has(aor, contact),
            super::RecordKey::Watcher { aor, watcher } => self.authorizations.has(aor, watcher),
            super::RecordKey::Publication { aor, order } => (0..self.settings.packages.len())
                .filter_map(|package| self.presentities.find(package, aor))
                .filter_map(|row| self.presentities.get(row))
                .flat_map(|presentity| &presentity.publications)
                .any(|held| held.record.order == *order),
            super::RecordKey::Settled { aor, package } => {
                let package = self.settings.package(package).map(|(index, _)| index);
                let row = package.and_then(|package| self.presentities.find(package, aor));
                row.is_some_and(|row| self.settling.has(row))
            }
            super::RecordKey::Subscription { dialog, event } => {
                let dialog = self.subscriptions.dialog_by_tag(*dialog);
                dialog
                    .and_then(|row| self.subscriptions.dialog(row))
                    .into_iter()
                    .flat_map(|dialog| dialog.subscriptions.rows())
                    .filter_map(|row| self.subscriptions.get(*row))
                    // The record of one that is ending is on its way out.
                    .filter(|subscription| subscription.notifier.ending().is_none())
                    .any(|subscription| {
                        let presentity = self.presentities.get(subscription.presentity);
                        presentity.is_some_and(|presentity| {
                            let package = &self.settings.packages[presentity.package].name;
                            event_key(package, subscription.event_id().map(|id| &**id)) == *event
                        })
                    })
            }
        }
    }

    fn put_off(&mut self, now: Timestamp, changes: Vec<Change>) {
        if self.pending.refused.is_empty() {
            self.wheel.insert(now + RETRY, Timer::Retry);
        }
        self.pending.refused.extend(changes);
    }

    /// [`Timer::Retry`].
    pub(super) fn retry(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        self.ask_all_again(now, out);
        let mut changes = std::mem::take(&mut self.pending.refused);
        let later = changes.split_off(changes.len().min(RETRIED));
        // One by one: a record that is gone already must not keep the others.
        for change in changes {
            // A contact may have been bound again meanwhile; then the record of that name is another one, and stays. And a
            // watcher that was to wait may have been decided about.
            if self.knows(&change) == change.record.is_some() {
                self.clean_up(vec![change], out);
            }
        }
        if !later.is_empty() {
            self.put_off(now, later);
        }
    }

    /// Does what had to wait for the holder of the lock, then lets the next ones in.
    fn unlock(&mut self, now: Timestamp, lock: Lock, out: &mut Vec<Effect>) {
        let queue = self.pending.locks.remove(&lock).unwrap_or_default();
        match lock {
            Lock::Presentity(row) => self.lapse(now, row, out),
            Lock::Dialog(row) => self.settle_dialog(now, row, out),
            Lock::Bindings(row) => self.unbind(now, row, out),
        }
        // The first that asks for a commit takes the lock again, and the rest line up behind it in their order.
        for incoming in queue {
            self.dispatch(now, incoming, out);
        }
        match lock {
            Lock::Presentity(row) => self.release_presentity(row, out),
            Lock::Dialog(_) => {}
            Lock::Bindings(row) => self.release_bindings(row),
        }
    }
}
