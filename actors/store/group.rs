//! One group of commits on its way to disk: versions are checked, changes gathered, answers kept until it is there.

use rollcall_core::registry::{Commit, CommitOutcome, OpId};
use rustc_hash::FxHashMap;

use super::engine::{Changes, Engine, Written};
use super::proof::{Tally, hash};
use super::replay::Replay;
use super::value::{decode, encode, version};
use super::{Counters, StoreError};

/// A group being gathered. Commits in it see what earlier ones of the group did.
pub(super) struct Group<'a> {
    engine: &'a dyn Engine,
    replay: &'a Replay,
    counters: &'a mut Counters,
    written: Changes,
    answers: Vec<(OpId, CommitOutcome)>,
    /// Places in `answers`.
    seen: FxHashMap<OpId, usize>,
}

/// A group that was gathered.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Values as they will be, by key.
    pub written: Changes,
    /// What each commit is answered when they are so.
    pub answers: Vec<(OpId, CommitOutcome)>,
}

impl Gathered {
    /// Of all records after it.
    pub fn tally(&self, before: Tally) -> Tally {
        let mut tally = before;
        tally.sequence += 1;
        for (key, written) in &self.written {
            if let Some(before) = written.before {
                tally.take(before);
            }
            if let Some(value) = &written.value {
                tally.add(hash(key, value));
            }
        }
        tally
    }
}

impl<'a> Group<'a> {
    pub fn new(engine: &'a dyn Engine, replay: &'a Replay, counters: &'a mut Counters) -> Self {
        Self {
            engine,
            replay,
            counters,
            written: Changes::default(),
            answers: Vec::new(),
            seen: FxHashMap::default(),
        }
    }

    /// Takes a commit in, or answers it already. An error: the engine can't be read, and nothing of the group is to be written.
    pub fn add(&mut self, commit: &Commit) -> Result<(), StoreError> {
        let outcome = self.outcome(commit)?;
        self.seen.entry(commit.op).or_insert(self.answers.len());
        self.answers.push((commit.op, outcome));
        Ok(())
    }

    fn outcome(&mut self, commit: &Commit) -> Result<CommitOutcome, StoreError> {
        let earlier = self
            .seen
            .get(&commit.op)
            .map(|place| self.answers[*place].1.clone());
        if let Some(outcome) = earlier.or_else(|| self.replay.find(commit.op)) {
            self.counters.replayed += 1;
            return Ok(outcome);
        }
        let mut others = Vec::new();
        let mut changes = Vec::with_capacity(commit.changes.len());
        for change in &commit.changes {
            let key = change.key.encode();
            let mut before = None;
            // What can't be read is shown as absent: it can't be decided from either.
            let mut other = None;
            let mut compare = |value: Option<&[u8]>| {
                if value.and_then(version) != change.expect {
                    other = Some(value.and_then(|value| decode(value).ok()));
                }
            };
            match self.written.get(&key) {
                Some(written) => {
                    compare(written.value.as_deref());
                    before = written.before;
                }
                None => self.engine.look(&key, &mut |value| {
                    compare(value);
                    before = value.map(|value| hash(&key, value));
                })?,
            }
            match other {
                Some(stored) => others.push((change.key.clone(), stored)),
                None => {
                    let version = change.version();
                    let record = change.record.as_ref();
                    let value = record.map(|record| encode(version, record));
                    changes.push((key, Written { before, value }));
                }
            }
        }
        if !others.is_empty() {
            self.counters.conflicts += 1;
            return Ok(CommitOutcome::Conflict(others));
        }
        self.written.extend(changes);
        Ok(CommitOutcome::Committed)
    }

    /// All that was gathered.
    pub fn done(self) -> Gathered {
        Gathered {
            written: self.written,
            answers: self.answers,
        }
    }
}
