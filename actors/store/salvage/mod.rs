//! `rollcall store check` and `repair`: what stands in a folder, read without the engine, which would change it, and without trust in more
//! than checksums prove.
//!
//! Everything that the engine writes has the number of its write: in its journals as in its tables. Of each key the entry with the
//! highest number counts, wherever it stands. What the result lacks shows by the tally (docs/adr/0012).

mod gather;
mod judge;
mod merge;
mod repair;
mod report;
mod walk;

use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::StoreError;

pub(crate) use repair::{RepairError, UNFINISHED, repair};

/// What stands in a folder.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Finding {
    /// The folder.
    pub folder: PathBuf,
    /// Nothing is damaged.
    pub whole: bool,
    /// Version of what stands in it; `None`: it does not say.
    pub format: Option<u64>,
    /// How often it was opened.
    pub epoch: u64,
    /// Groups of changes in the journals that can be read.
    pub groups: u64,
    /// The number of the last group that can be read.
    pub last: Option<u64>,
    /// The last acknowledged group, as the file `proof` says.
    pub acknowledged: Option<u64>,
    /// The end of the last journal, if it is an unfinished write.
    pub torn: Option<Torn>,
    /// Groups behind the last acknowledged one that were refused to those who asked for them.
    pub refused: u64,
    /// Numbers of groups that are not there: first and last.
    pub missing: Vec<(u64, u64)>,
    /// What is damaged.
    pub damages: Vec<Damage>,
    /// Records that can't be understood.
    pub unreadable: Vec<Unreadable>,
    /// Records that can be read.
    pub records: Counts,
    /// How many there were after the last group, by its tally.
    pub expected: Option<u64>,
    /// The records are all that were there, by count and digest.
    pub proven: bool,
    /// Of the records that can be read, those that missing groups may have changed or removed.
    pub doubtful: u64,
    /// Left out, as the tally proves that it was removed.
    pub removed: Option<String>,
}

/// An unfinished write, which nobody was told of.
#[derive(Debug, Serialize)]
pub(crate) struct Torn {
    pub file: String,
    pub offset: u64,
    pub bytes: u64,
}

/// Something that is not as it was written.
#[derive(Debug, Serialize)]
pub(crate) struct Damage {
    /// The file, in the folder.
    pub file: String,
    pub offset: Option<u64>,
    pub bytes: Option<u64>,
    pub what: String,
    /// Records that stood there, as far as their names can be read.
    pub records: Vec<String>,
}

/// A record that can't be understood.
#[derive(Debug, Serialize)]
pub(crate) struct Unreadable {
    pub record: String,
    pub why: String,
}

/// Records by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    pub publications: u64,
    pub subscriptions: u64,
    pub bindings: u64,
    /// What is known of watchers' rights.
    pub watchers: u64,
    /// That all watchers of a presentity know its state.
    pub settled: u64,
}

impl Counts {
    pub fn all(self) -> u64 {
        self.publications + self.subscriptions + self.bindings + self.watchers + self.settled
    }
}

/// How far a long work is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Files read, of how many, and entries in them.
    Read {
        files: usize,
        of: usize,
        entries: u64,
    },
    /// Records written, of how many.
    Written { records: usize, of: usize },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { files, of, entries } => {
                write!(f, "{files} of {of} files read, {entries} entries in them")
            }
            Self::Written { records, of } => write!(f, "{records} of {of} records written"),
        }
    }
}

/// Who is told.
pub(crate) type Progress<'a> = &'a mut dyn FnMut(Step);

/// What was read. As long as it lives no server opens the folder.
#[derive(Debug)]
pub(crate) struct Salvage {
    pub finding: Finding,
    /// Keys and values that can be read, in the order of the keys.
    pub(super) records: Vec<(Vec<u8>, Vec<u8>)>,
    _locks: Vec<File>,
}

/// Looks into a folder, and changes nothing in it. Reads whole files and keeps all records in memory: as much as a server does. An error: there is
/// nothing to look into, or it may not be looked into.
pub(crate) fn look(folder: &Path, progress: Progress<'_>) -> Result<Salvage, StoreError> {
    let failed = |source| StoreError::Open {
        path: folder.to_owned(),
        source,
    };
    if !std::fs::metadata(folder).map_err(failed)?.is_dir() {
        return Err(failed(io::ErrorKind::NotADirectory.into()));
    }
    let mut locks = Vec::new();
    // Ours, and the engine's: a version before ours takes only that.
    for name in [super::proof::FILE, "lock"] {
        let file = match File::open(folder.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => locks.push(file),
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse(folder.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    let (finding, records) = gather::gather(folder, progress)?;
    Ok(Salvage {
        finding,
        records,
        _locks: locks,
    })
}
