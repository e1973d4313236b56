//! Stores: `memory:` and `file:PATH` behind one trait.
//!
//! The registry's core decides and asks for a [`Commit`]; the store answers with its outcome, at once or later as a
//! [`Committed`] message. State lives in RAM and is read from the store once, at start. What an answer of `Committed`
//! promises: `file:` has it on disk (group commit with `fdatasync`), `memory:` has nothing.

mod file;
mod group;
mod health;
mod memory;
mod replay;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use actix::prelude::*;
use rollcall_core::endpoint::shard_of;
use rollcall_core::exchange::Shard;
use rollcall_core::registry::{Commit, CommitOutcome, OpId, Record, RecordError, Version};

pub use file::FileStore;
pub use health::Health;
pub use memory::{MemoryDisk, MemoryStore};

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
    /// Whether what belongs to this presentity or address of record is the shard's.
    pub fn holds(self, aor: &str) -> bool {
        shard_of(aor, self.shards) == self.shard
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
    /// Commits that the engine failed.
    pub failed: u64,
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
pub fn open(url: &StoreUrl) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match url {
        StoreUrl::Memory => Arc::new(MemoryStore::forgetful()),
        StoreUrl::File(path) => Arc::new(FileStore::open(path)?),
    })
}

/// Deals records out to the shards that own them.
pub fn by_shard(records: Vec<(Version, Record)>, shards: Shard) -> Vec<Vec<(Version, Record)>> {
    let mut dealt = vec![Vec::new(); usize::from(shards.max(1))];
    for (version, record) in records {
        dealt[usize::from(shard_of(record.aor(), shards))].push((version, record));
    }
    dealt
}

/// The root of an error, in words: the engine itself only prints its structures.
fn deepest(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => deepest(source),
        None => error.to_string(),
    }
}

/// Why a store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An engine of a later release.
    #[error("store {0:?}: redis is not supported yet; use `memory:` or `file:PATH`")]
    NotYet(String),
    /// No engine has this URL.
    #[error("store {0:?} is neither `memory:` nor `file:PATH`")]
    UnknownUrl(String),
    /// Another process has it open.
    #[error("store file:{0} is in use by another process")]
    InUse(PathBuf),
    /// The engine can't open its files.
    #[error("store file:{path} can't be opened: {}", deepest(source))]
    Open {
        /// The folder.
        path: PathBuf,
        /// What the engine says.
        source: fjall::Error,
    },
    /// The engine failed later.
    #[error("store failed: {}", deepest(.0))]
    Engine(#[from] fjall::Error),
    /// Written by another version of this program.
    #[error("store file:{path} has format {found}, this version reads {known}")]
    Format {
        /// The folder.
        path: PathBuf,
        /// What is written there.
        found: String,
        /// What would be right.
        known: u64,
    },
    /// A record can't be read.
    #[error("store holds a record that can't be read: {0}")]
    Record(#[from] RecordError),
    /// It was closed, or its thread is gone.
    #[error("store is closed")]
    Closed,
}
