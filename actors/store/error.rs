//! Why a store can't be used, in sentences that name the file and the way out.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};

use rollcall_core::registry::RecordError;

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
    /// Its files can't be opened.
    #[error("store file:{path} can't be opened: {source}")]
    Open {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something that was acknowledged is missing, or can't be read.
    #[error("store file:{path} is damaged: {what}. It is left as it is. {}", way_out(.path))]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// One record can't be read.
    #[error(
        "store file:{path}: {record} can't be read: {why}. A newer version may have written it: then start that one. {}",
        way_out(.path)
    )]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// The record, as far as its name can be read.
        record: String,
        /// What is wrong with it.
        why: RecordError,
    },
    /// The engine failed later.
    #[error("store failed: {0}")]
    Failed(String),
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
    /// A repair was ended before it was done.
    #[error(
        "store file:{0} is what a repair had written when it was ended: remove this folder, and repair again"
    )]
    Unfinished(PathBuf),
    /// There is a folder, but no store.
    #[error("file:{0} is no store: nothing that a server writes is in it")]
    NoStore(PathBuf),
    /// It has failed and is tried again.
    #[error("store does not work at present: {0}")]
    Down(String),
    /// The disk does not answer.
    #[error("store hangs: the disk has not answered for {0} s")]
    Hangs(u64),
    /// It was closed, or its thread is gone.
    #[error("store is closed")]
    Closed,
}

impl StoreError {
    /// A folder that something is wrong with.
    pub(super) fn damaged(path: &Path, what: &str) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            what: what.to_owned(),
        }
    }
}

/// What to do about a damaged folder.
fn way_out(path: &Path) -> String {
    let path = path.display();
    format!(
        "`rollcall store check {path}` says what is lost, and `rollcall store repair {path} --to NEW_FOLDER` writes what is left \
         to a new folder to start with; or start with a backup or an empty one"
    )
}

/// An error of the engine in words: it only prints its structures.
pub(super) fn words(error: &fjall::Error) -> String {
    match error {
        fjall::Error::Io(error) => error.to_string(),
        fjall::Error::Poisoned => {
            "a table could not be written (--log fjall=error shows why)".to_owned()
        }
        fjall::Error::InvalidVersion(_) => {
            "the file `version` is not what the engine writes there".to_owned()
        }
        fjall::Error::JournalRecovery(_)
        | fjall::Error::InvalidTrailer
        | fjall::Error::InvalidTag(_)
        | fjall::Error::Decompress(_) => format!("a journal can't be read ({error:?})"),
        fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            format!("a file in `keyspaces` can't be read: {error}")
        }
        fjall::Error::Storage(error) => format!("a file in `keyspaces` can't be read ({error:?})"),
        error => format!("{error:?}"),
    }
}

/// What a panic said.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!(
        "the engine does not understand it ({})",
        text.unwrap_or("panic")
    )
}
