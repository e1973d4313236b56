//! The disk of the simulated server, and the store on it: group commit in virtual time, as `file:` does it, with a disk that is full,
//! fails, hangs or is slow when the plan says so, and that keeps no more over a crash than it has synced.
//!
//! ```text
//!  commit ──> waiting ──> one group: write, sync ──> synced ──> Committed
//!                 crash: lost     crash: lost or kept, as a whole
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use actix::prelude::*;
use rollcall_core::entropy::Entropy;
use rollcall_core::exchange::Shard;
use rollcall_core::registry::{Commit, CommitOutcome, OpId, Record, RecordKey, Version};

use crate::store::{Committed, Counters, Reloaded, Share, Store, StoreError};

/// Commits in one group at most: as the real store.
const GROUP: usize = 1024;
/// How long a write and its sync take, in milliseconds: from, and up to so much more.
const SYNC: (u64, u64) = (1, 8);
/// The same for a slow disk.
const SLOW_SYNC: (u64, u64) = (300, 2500);
/// How often a hung disk is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// What the disk does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// What it should.
    #[default]
    Good,
    /// Nothing can be written: there is no space.
    Full,
    /// Writes fail, and nobody knows what of them is there: who asks again is told when the disk is good again, or the next server finds it.
    Failing,
    /// Writes do not return.
    Hung,
    /// Writes take seconds.
    Slow,
}

/// The disk: survives the server.
#[derive(Clone, Debug)]
pub struct SimDisk(Arc<Mutex<Disk>>);

#[derive(Debug)]
struct Disk {
    entropy: Entropy,
    health: Health,
    epoch: u64,
    /// Counts the openings: a store of an earlier one writes nothing more.
    opened: u64,
    synced: BTreeMap<RecordKey, (Version, Record)>,
    /// Being written.
    group: Vec<Commit>,
    /// Commits that were decided from an old version, while no write had an unknown outcome: none, as the server is the only writer.
    conflicts: u64,
    /// Some write had, or was refused.
    has_failed: bool,
    /// Commits that were stored although nobody was told so.
    untold: BTreeSet<OpId>,
    /// Everything that was ever synced, as the wire names it.
    proofs: BTreeSet<Proof>,
}

/// A record as the answer to the request that made it names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// A publication, by its entity-tag.
    Publication(String),
    /// A subscription, by Call-ID and CSeq of the SUBSCRIBE.
    Subscription(String, u32),
    /// A binding, by Call-ID and CSeq of the REGISTER.
    Binding(String, u32),
}

impl SimDisk {
    /// An empty one.
    pub fn new(entropy: Entropy) -> Self {
        Self(Arc::new(Mutex::new(Disk {
            entropy,
            health: Health::Good,
            epoch: 0,
            opened: 0,
            synced: BTreeMap::new(),
            group: Vec::new(),
            conflicts: 0,
            has_failed: false,
            untold: BTreeSet::new(),
            proofs: BTreeSet::new(),
        })))
    }

    /// Opens it, which begins a new epoch.
    pub fn open(&self) -> SimStore {
        let mut disk = locked(&self.0);
        disk.epoch += 1;
        disk.opened += 1;
        SimStore(Arc::new(Inner {
            disk: self.0.clone(),
            opened: disk.opened,
            state: Mutex::new(State {
                epoch: disk.epoch,
                ..State::default()
            }),
        }))
    }

    /// The server has lost power: what was being written is there as a whole, or not at all.
    pub fn crash(&self) {
        let mut disk = locked(&self.0);
        disk.opened += 1;
        // The next server finds what is there.
        disk.untold.clear();
        let group = std::mem::take(&mut disk.group);
        if disk.entropy.chance(0.5) {
            disk.write(&group);
        }
    }

    /// From now on it does this.
    pub fn set(&self, health: Health) {
        locked(&self.0).health = health;
    }

    /// How many records are on it that end some time: all but decisions about watchers.
    pub fn len(&self) -> usize {
        let disk = locked(&self.0);
        let kept = |record: &Record| matches!(record, Record::Watcher(_));
        (disk.synced.values())
            .filter(|(_, record)| !kept(record))
            .count()
    }

    /// Commits that were decided from an old version of a record.
    pub fn conflicts(&self) -> u64 {
        locked(&self.0).conflicts
    }

    /// Whether this was ever synced.
    pub fn has_had(&self, proof: &Proof) -> bool {
        locked(&self.0).proofs.contains(proof)
    }
}

impl Disk {
    fn pause(&mut self, (least, more): (u64, u64)) -> Duration {
        Duration::from_millis(least + self.entropy.below(more))
    }

    /// Carries commits out, each whole or not at all.
    fn write(&mut self, group: &[Commit]) -> Vec<(OpId, CommitOutcome)> {
        let outcomes = group
            .iter()
            .map(|commit| (commit.op, self.carry_out(commit)));
        outcomes.collect()
    }

    fn carry_out(&mut self, commit: &Commit) -> CommitOutcome {
        if self.untold.contains(&commit.op) {
            return CommitOutcome::Committed;
        }
        let version = |key: &RecordKey| self.synced.get(key).map(|(version, _)| *version);
        let others: Vec<_> = commit
            .changes
            .iter()
            .filter(|change| version(&change.key) != change.expect)
            .map(|change| (change.key.clone(), self.synced.get(&change.key).cloned()))
            .collect();
        if !others.is_empty() {
            self.conflicts += u64::from(!self.has_failed);
            return CommitOutcome::Conflict(others);
        }
        for change in &commit.changes {
            match &change.record {
                Some(record) => {
                    self.proofs.extend(proof(record));
                    let entry = (change.version(), record.clone());
                    self.synced.insert(change.key.clone(), entry);
                }
                None => {
                    self.synced.remove(&change.key);
                }
            }
        }
        CommitOutcome::Committed
    }
}

fn proof(record: &Record) -> Option<Proof> {
    match record {
        Record::Publication(record) => Some(Proof::Publication(record.etag.to_string())),
        Record::Subscription(record) => {
            let call_id = String::from_utf8_lossy(record.call_id.of(&record.head)).into_owned();
            Some(Proof::Subscription(call_id, record.remote_cseq))
        }
        Record::Binding(record) => Some(Proof::Binding(record.call_id.to_string(), record.cseq)),
        _ => None,
    }
}

/// The store of one life of the server.
#[derive(Clone, Debug)]
pub struct SimStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    disk: Arc<Mutex<Disk>>,
    opened: u64,
    /// Locked before the disk.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    epoch: u64,
    closed: bool,
    asked: Vec<Commit>,
    waiting: VecDeque<Commit>,
    writing: bool,
    outcomes: BTreeMap<Shard, Recipient<Committed>>,
    counters: Counters,
}

impl Inner {
    /// Writes groups until nothing waits.
    async fn write(inner: Weak<Self>) {
        while let Some(pause) = inner.upgrade().and_then(|inner| inner.begin()) {
            tokio::time::sleep(pause).await;
            loop {
                let Some(inner) = inner.upgrade() else { return };
                if !inner.hangs() {
                    inner.end();
                    break;
                }
                drop(inner);
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    /// Takes the next group in hand, and says how long it takes.
    fn begin(&self) -> Option<Duration> {
        let mut state = locked(&self.state);
        let count = state.waiting.len().min(GROUP);
        let mut disk = locked(&self.disk);
        if count == 0 || disk.opened != self.opened {
            state.writing = false;
            return None;
        }
        disk.group = state.waiting.drain(..count).collect();
        let takes = match disk.health {
            Health::Slow => SLOW_SYNC,
            Health::Good | Health::Full | Health::Failing | Health::Hung => SYNC,
        };
        Some(disk.pause(takes))
    }

    fn hangs(&self) -> bool {
        let disk = locked(&self.disk);
        disk.health == Health::Hung && disk.opened == self.opened
    }

    /// The group is written, or not.
    fn end(&self) {
        let mut state = locked(&self.state);
        let outcomes = {
            let mut disk = locked(&self.disk);
            if disk.opened != self.opened {
                return;
            }
            let group = std::mem::take(&mut disk.group);
            let all = |outcome: CommitOutcome| {
                let ops = group.iter().map(|commit| (commit.op, outcome.clone()));
                ops.collect()
            };
            match disk.health {
                Health::Good | Health::Slow | Health::Hung => disk.write(&group),
                Health::Full => {
                    disk.has_failed = true;
                    all(CommitOutcome::Unavailable)
                }
                Health::Failing => {
                    disk.has_failed = true;
                    if disk.entropy.chance(0.5) {
                        let written = disk.write(&group).into_iter();
                        let stored =
                            written.filter(|(_, outcome)| *outcome == CommitOutcome::Committed);
                        disk.untold.extend(stored.map(|(op, _)| op));
                    }
                    all(CommitOutcome::Indeterminate)
                }
            }
        };
        state.counters.groups += 1;
        let mut answers: BTreeMap<Shard, Vec<_>> = BTreeMap::new();
        for (op, outcome) in outcomes {
            match &outcome {
                CommitOutcome::Committed => state.counters.committed += 1,
                CommitOutcome::Conflict(_) => state.counters.conflicts += 1,
                CommitOutcome::Overloaded
                | CommitOutcome::Unavailable
                | CommitOutcome::Indeterminate => state.counters.failed += 1,
            }
            answers.entry(op.shard).or_default().push((op, outcome));
        }
        for (shard, answers) in answers {
            if let Some(recipient) = state.outcomes.get(&shard) {
                recipient.do_send(Committed(answers));
            }
        }
    }
}

impl Store for SimStore {
    fn epoch(&self) -> u64 {
        locked(&self.0.state).epoch
    }

    fn reload(&self, share: Share, answer: Reloaded) {
        let records = {
            let mut state = locked(&self.0.state);
            let mut disk = locked(&self.0.disk);
            disk.epoch += 1;
            state.epoch = disk.epoch;
            let all = disk.synced.values();
            let own = all.filter(|(_, record)| share.holds(record.aor()));
            own.cloned().collect()
        };
        answer(Ok(records));
    }

    fn load(&self) -> Result<Vec<(Version, Record)>, StoreError> {
        Ok(locked(&self.0.disk).synced.values().cloned().collect())
    }

    fn attach(&self, shard: Shard, outcomes: Recipient<Committed>) {
        locked(&self.0.state).outcomes.insert(shard, outcomes);
    }

    fn commit(&self, commit: Commit) -> Option<CommitOutcome> {
        let mut state = locked(&self.0.state);
        if state.closed {
            return Some(CommitOutcome::Unavailable);
        }
        state.asked.push(commit);
        None
    }

    fn hand_over(&self) {
        let mut state = locked(&self.0.state);
        let asked = std::mem::take(&mut state.asked);
        state.waiting.extend(asked);
        if !state.waiting.is_empty() && !state.writing {
            state.writing = true;
            actix_rt::spawn(Inner::write(Arc::downgrade(&self.0)));
        }
    }

    fn counters(&self) -> Counters {
        locked(&self.0.state).counters.clone()
    }

    fn close(&self) {
        locked(&self.0.state).closed = true;
    }
}

/// What is behind the locks is changed in single steps, so it is whole even if a thread died holding one.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
