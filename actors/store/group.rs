//! One group of commits on its way to disk: versions are checked, changes gathered, answers sorted by shard.

use std::collections::BTreeMap;

use fjall::{Database, Keyspace, PersistMode};
use rollcall_core::exchange::Shard;
use rollcall_core::registry::{Commit, CommitOutcome, OpId};
use rustc_hash::FxHashMap;

use super::Counters;
use super::file::{decode, encode, version};
use super::replay::Replay;

/// A group being gathered. Commits in it see what earlier ones of the group did.
pub(super) struct Group<'a> {
    records: &'a Keyspace,
    replay: &'a mut Replay,
    counters: &'a mut Counters,
    /// Values as they will be, by key; `None`: removed.
    written: FxHashMap<Vec<u8>, Option<Vec<u8>>>,
    answers: Vec<(OpId, CommitOutcome)>,
    /// Places in `answers`.
    seen: FxHashMap<OpId, usize>,
}

impl<'a> Group<'a> {
    pub fn new(records: &'a Keyspace, replay: &'a mut Replay, counters: &'a mut Counters) -> Self {
        Self {
            records,
            replay,
            counters,
            written: FxHashMap::default(),
            answers: Vec::new(),
            seen: FxHashMap::default(),
        }
    }

    /// Takes a commit in, or answers it already.
    pub fn add(&mut self, commit: Commit) {
        let outcome = self.outcome(&commit);
        self.seen.entry(commit.op).or_insert(self.answers.len());
        self.answers.push((commit.op, outcome));
    }

    fn outcome(&mut self, commit: &Commit) -> CommitOutcome {
        let earlier = self
            .seen
            .get(&commit.op)
            .map(|place| self.answers[*place].1.clone());
        if let Some(outcome) = earlier.or_else(|| self.replay.find(commit.op)) {
            self.counters.replayed += 1;
            return outcome;
        }
        let mut others = Vec::new();
        let mut changes = Vec::with_capacity(commit.changes.len());
        for change in &commit.changes {
            let key = change.key.encode();
            // What can't be read is shown as absent: it can't be decided from either.
            let other = |value: Option<&[u8]>| {
                let differs = value.and_then(version) != change.expect;
                differs.then(|| value.and_then(|value| decode(value).ok()))
            };
            match self.look(&key, other) {
                Ok(None) => {
                    let version = change.version();
                    let record = change.record.as_ref();
                    changes.push((key, record.map(|record| encode(version, record))));
                }
                Ok(Some(stored)) => others.push((change.key.clone(), stored)),
                Err(error) => {
                    tracing::error!(%error, "the store can't be read");
                    self.counters.failed += 1;
                    return CommitOutcome::Unavailable;
                }
            }
        }
        if !others.is_empty() {
            self.counters.conflicts += 1;
            return CommitOutcome::Conflict(others);
        }
        self.written.extend(changes);
        CommitOutcome::Committed
    }

    /// Looks at the value that a key has by now.
    fn look<T>(&self, key: &[u8], read: impl FnOnce(Option<&[u8]>) -> T) -> fjall::Result<T> {
        if let Some(value) = self.written.get(key) {
            return Ok(read(value.as_deref()));
        }
        Ok(read(self.records.get(key)?.as_deref()))
    }

    /// Writes the group as one batch, and gives the answers by shard.
    pub fn write(self, database: &Database) -> BTreeMap<Shard, Vec<(OpId, CommitOutcome)>> {
        let mut batch = database.batch().durability(Some(PersistMode::SyncData));
        let changes = self.written.len() as u64;
        for (key, value) in self.written {
            match value {
                Some(value) => batch.insert(self.records, key, value),
                None => batch.remove(self.records, key),
            }
        }
        let failure = match batch.commit() {
            Ok(()) => {
                self.counters.changes += changes;
                None
            }
            Err(error) => {
                tracing::error!(%error, "the store can't write");
                Some(match error {
                    // An earlier write failed; the engine takes no other.
                    fjall::Error::Poisoned => CommitOutcome::Unavailable,
                    _ => CommitOutcome::Indeterminate,
                })
            }
        };
        let mut answers: BTreeMap<Shard, Vec<_>> = BTreeMap::new();
        for (op, outcome) in self.answers {
            let outcome = match (outcome, &failure) {
                (CommitOutcome::Committed, Some(failure)) => {
                    self.counters.failed += 1;
                    failure.clone()
                }
                (CommitOutcome::Committed, None) => {
                    self.counters.committed += 1;
                    CommitOutcome::Committed
                }
                (refused, _) => refused,
            };
            self.replay.remember(op, &outcome);
            answers.entry(op.shard).or_default().push((op, outcome));
        }
        answers
    }
}
