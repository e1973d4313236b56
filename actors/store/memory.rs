//! `memory:`: answers at once and keeps nothing. And a disk made of memory, for simulations and tests: what is on it
//! survives the store, as if the process had been killed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::prelude::*;
use rollcall_core::exchange::Shard;
use rollcall_core::registry::{Commit, CommitOutcome, Record, RecordKey, Version};

use super::replay::Replay;
use super::{Committed, Counters, Reloaded, Share, Store, StoreError};

/// A disk made of memory: open it, lose the store, open it again.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    epoch: u64,
    records: BTreeMap<RecordKey, (Version, Record)>,
}

impl MemoryDisk {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens it, which begins a new epoch. Stores opened earlier must be gone: there is one writer.
    pub fn open(&self) -> MemoryStore {
        let mut disk = locked(&self.0);
        disk.epoch += 1;
        MemoryStore {
            disk: Some(self.0.clone()),
            state: Mutex::new(State {
                epoch: disk.epoch,
                ..State::default()
            }),
        }
    }

    /// How many records are on it.
    pub fn len(&self) -> usize {
        locked(&self.0).records.len()
    }

    /// Whether nothing is on it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// `memory:`.
#[derive(Debug)]
pub struct MemoryStore {
    /// None: nothing is kept.
    disk: Option<Arc<Mutex<Disk>>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    epoch: u64,
    closed: bool,
    replay: Replay,
    counters: Counters,
}

impl MemoryStore {
    /// A store that keeps nothing.
    pub fn forgetful() -> Self {
        Self {
            disk: None,
            state: Mutex::new(State {
                epoch: 1,
                ..State::default()
            }),
        }
    }
}

impl Store for MemoryStore {
    fn epoch(&self) -> u64 {
        locked(&self.state).epoch
    }

    fn load(&self) -> Result<Vec<(Version, Record)>, StoreError> {
        let Some(disk) = &self.disk else {
            return Ok(Vec::new());
        };
        Ok(locked(disk).records.values().cloned().collect())
    }

    fn reload(&self, share: Share, answer: Reloaded) {
        {
            let mut state = locked(&self.state);
            state.epoch += 1;
            if let Some(disk) = &self.disk {
                locked(disk).epoch = state.epoch;
            }
        }
        let records = self.load().map(|mut records| {
            records.retain(|(_, record)| share.holds(record.aor()));
            records
        });
        answer(records);
    }

    fn attach(&self, _shard: Shard, _outcomes: Recipient<Committed>) {
        // Every outcome is told at once.
    }

    fn commit(&self, commit: Commit) -> Option<CommitOutcome> {
        let mut state = locked(&self.state);
        if state.closed {
            return Some(CommitOutcome::Unavailable);
        }
        let Some(disk) = &self.disk else {
            state.counters.committed += 1;
            return Some(CommitOutcome::Committed);
        };
        if let Some(outcome) = state.replay.find(commit.op) {
            state.counters.replayed += 1;
            return Some(outcome);
        }
        let outcome = locked(disk).carry_out(&commit);
        match outcome {
            CommitOutcome::Committed => {
                state.counters.committed += 1;
                state.counters.changes += commit.changes.len() as u64;
                state.counters.groups += 1;
                state.counters.largest_group = 1;
            }
            _ => state.counters.conflicts += 1,
        }
        state.replay.remember(commit.op, &outcome);
        Some(outcome)
    }

    fn counters(&self) -> Counters {
        locked(&self.state).counters.clone()
    }

    fn close(&self) {
        locked(&self.state).closed = true;
    }
}

impl Disk {
    fn carry_out(&mut self, commit: &Commit) -> CommitOutcome {
        let version = |key: &RecordKey| self.records.get(key).map(|(version, _)| *version);
        let others: Vec<_> = commit
            .changes
            .iter()
            .filter(|change| version(&change.key) != change.expect)
            .map(|change| (change.key.clone(), self.records.get(&change.key).cloned()))
            .collect();
        if !others.is_empty() {
            return CommitOutcome::Conflict(others);
        }
        for change in &commit.changes {
            match &change.record {
                Some(record) => {
                    let entry = (change.version(), record.clone());
                    self.records.insert(change.key.clone(), entry);
                }
                None => {
                    self.records.remove(&change.key);
                }
            }
        }
        CommitOutcome::Committed
    }
}

/// What is behind the lock is changed in single steps, so it is whole even if a thread died holding it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
