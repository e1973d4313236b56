//! Stores: `memory:` and `file:PATH` behind one trait.
//!
//! The registry's core decides and asks for a [`Commit`]; the store answers with its outcome, at once or later as a
//! [`Committed`] message. State lives in RAM and is read from the store once, at start. What an answer of `Committed`
//! promises: `file:` has it on disk (group commit with `fdatasync`), `memory:` has nothing.

mod block;
mod engine;
mod error;
mod file;
pub(crate) mod files;
mod group;
mod health;
mod journal;
mod manifest;
mod memory;
mod pace;
mod preflight;
mod proof;
mod replay;
pub(crate) mod salvage;
mod shared;
mod table;
mod tables;
#[cfg(test)]
mod tests;
mod value;
mod watch;
mod worker;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use rollcall_core::endpoint::shard_of;
use rollcall_core::exchange::Shard;
use rollcall_core::registry::{Commit, CommitOutcome, OpId, Record, Version};
use rollcall_core::sip::normal_name;

pub use error::StoreError;
pub use file::FileStore;
pub use health::Health;
pub use memory::{MemoryDisk, MemoryStore};
pub(crate) use pace::Pace;

/// What a node keeps its state in.
pub trait Store: fmt::Debug + Send + Sync {
    /// How often this store was opened: goes into entity-tags and the upper bits of CSeq.
    fn epoch(&self) -> u64;

    /// Every record, as it is after all commits that were asked for before. Waits for them.
    fn load(&self) -> Result<Vec<(Version, Record)>, StoreError>;

    /// Begins a new epoch without opening anew, then reads the records of one shard, as they are after all commits that it
    /// asked for before. For a shard that is rebuilt while the node lives: nobody waits, the shard is answered once, from
    /// any thread or at once.
    fn reload(&self, share: Share, answer: Reloaded);

    /// Where the outcomes of a shard's commits go.
    fn attach(&self, shard: Shard, outcomes: Recipient<Committed>);

    /// Asks for a commit. `None`: the outcome comes as a [`Committed`] message, some time after [`Store::hand_over`]. Commits of a
    /// shard are carried out in the order in which they are asked for.
    fn commit(&self, commit: Commit) -> Option<CommitOutcome>;

    /// Ends a pass: what was asked for since the last one is carried out now, together.
    fn hand_over(&self) {}

    /// What it has done so far.
    fn counters(&self) -> Counters;

    /// How it does. Waits for nothing, also while a disk hangs.
    fn health(&self) -> Health {
        Health::default()
    }

    /// Carries out what was asked for, then releases what the store holds. Commits after it are `Unavailable`.
    fn close(&self);
}

/// What is done with the records that [`Store::reload`] has read. Whoever waits must also learn of it when it is dropped: what
/// reads may panic.
pub type Reloaded = Box<dyn FnOnce(Result<Vec<(Version, Record)>, StoreError>) + Send>;

/// One of the shards among which a node's records are dealt out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which.
    pub shard: Shard,
    /// Of how many.
    pub shards: Shard,
}

impl Share {
    /// Whether what belongs to this presentity or address of record, however an earlier version spelled it, is the shard's.
    pub fn holds(self, aor: &str) -> bool {
        shard_of(&normal_name(aor), self.shards) == self.shard
    }
}

/// Store → registry: outcomes of commits, in order.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Committed(pub Vec<(OpId, CommitOutcome)>);

/// What a store has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Commits carried out.
    pub committed: u64,
    /// Records written or removed.
    pub changes: u64,
    /// Group commits: one write to disk each.
    pub groups: u64,
    /// Commits of the largest group.
    pub largest_group: u64,
    /// Commits refused because a record had another version.
    pub conflicts: u64,
    /// Commits that came a second time and were answered as the first.
    pub replayed: u64,
    /// Commits turned away because too many were waiting.
    pub overloaded: u64,
    /// Commits refused as the disk failed or did not answer.
    pub failed: u64,
    /// How often the disk failed.
    pub failures: u64,
}

/// How often a trouble that goes on is spoken of.
const STILL: Duration = Duration::from_secs(10);

/// How a store bears a disk that fails.
#[derive(Clone, Copy, Debug)]
pub struct Persistence {
    /// How long a commit may take before whoever waits for it is refused.
    pub deadline: Duration,
    /// How long the disk may fail or hang before [`Persistence::fatal`] is called.
    pub give_up: Duration,
    /// How long closing may take.
    pub close_within: Duration,
    /// Ends the process, after it has said why.
    pub fatal: fn(&str),
}

impl Default for Persistence {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            give_up: Duration::from_secs(300),
            close_within: Duration::from_secs(10),
            fatal: |why| {
                tracing::error!(why, "gave up; what was acknowledged is on disk");
                std::process::exit(1);
            },
        }
    }
}

/// Which store, as it is written in the config: `memory:` or `file:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// Nothing is kept.
    Memory,
    /// A folder of its own on a local disk.
    File(PathBuf),
}

impl FromStr for StoreUrl {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("file", path)) if !path.is_empty() => {
                // `file:///var/lib/rollcall` is how others write it.
                let path = path
                    .strip_prefix("//")
                    .filter(|path| path.starts_with('/'))
                    .unwrap_or(path);
                Ok(Self::File(path.into()))
            }
            Some(("redis" | "rediss", _)) => Err(StoreError::NotYet(text.to_owned())),
            _ => Err(StoreError::UnknownUrl(text.to_owned())),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// Opens a store. Takes as long as the engine needs to look through its log.
pub fn open(url: &StoreUrl, settings: Persistence) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match url {
        StoreUrl::Memory => Arc::new(MemoryStore::forgetful()),
        StoreUrl::File(path) => Arc::new(FileStore::open(path, settings)?),
    })
}

/// Deals records out to the shards that own them.
pub fn by_shard(records: Vec<(Version, Record)>, shards: Shard) -> Vec<Vec<(Version, Record)>> {
    let mut dealt = vec![Vec::new(); usize::from(shards.max(1))];
    for (version, record) in records {
        dealt[usize::from(shard_of(&record.owner(), shards))].push((version, record));
    }
    dealt
}
