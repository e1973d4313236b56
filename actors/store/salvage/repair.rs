//! What can be read of a damaged folder, written to a new one.
//!
//! The old folder is only read. The new one grows under another name, with a file in it by which a server refuses it, is read again and compared,
//! and gets its name when the disk has all of it. So whenever this ends, either there is a whole new store, or none.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::{Finding, Progress, Salvage, Step, look};
use crate::store::StoreError;
use crate::store::engine::{Changes, Folder, Opened, Opener, Written};
use crate::store::files;
use crate::store::proof::{Tally, hash};

/// Stands in a folder that is being written.
pub(crate) const UNFINISHED: &str = "unfinished";
/// Records of a group.
const GROUP: usize = 1000;

/// Why nothing was repaired.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RepairError {
    /// The old folder can't be looked into.
    #[error("{0}")]
    Look(#[from] StoreError),
    /// There is something under the new name.
    #[error("{0} is there already, and nothing is written over it: give a name that is free")]
    Exists(PathBuf),
    /// An earlier repair was ended.
    #[error(
        "{0} is left of a repair that was ended, or of one that runs: remove it, and repair again"
    )]
    Left(PathBuf),
    /// Nothing can be written there.
    #[error("{path} can't be made: {why}")]
    Place { path: PathBuf, why: String },
    /// The new folder could not be written.
    #[error(
        "{path} can't be written: {why}. The old folder is as it was, and what was written is removed"
    )]
    Write { path: PathBuf, why: String },
}

/// What was done.
#[derive(Debug)]
pub(crate) struct Repaired {
    pub finding: Finding,
    /// Records in the new folder.
    pub kept: u64,
}

/// Writes all records of a folder that can be read and proven to a new one.
pub(crate) fn repair(
    folder: &Path,
    to: &Path,
    progress: Progress<'_>,
) -> Result<Repaired, RepairError> {
    if fs::symlink_metadata(to).is_ok() {
        return Err(RepairError::Exists(to.to_owned()));
    }
    let place = |why: String| RepairError::Place {
        path: to.to_owned(),
        why,
    };
    let name = to
        .file_name()
        .ok_or_else(|| place("it is no name of a folder".to_owned()))?;
    let parent = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let above = parent
        .canonicalize()
        .map_err(|error| place(error.to_string()))?;
    if folder
        .canonicalize()
        .is_ok_and(|folder| above.starts_with(folder))
    {
        return Err(place(
            "it is within the damaged folder, which stays as it is".to_owned(),
        ));
    }
    let salvage = look(folder, progress)?;
    let mut temporary = name.to_owned();
    temporary.push(".repairing");
    let temporary = parent.join(temporary);
    DirBuilder::new()
        .mode(0o700)
        .create(&temporary)
        .map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => RepairError::Left(temporary.clone()),
            _ => place(error.to_string()),
        })?;
    let written =
        write(&salvage, &temporary, progress).and_then(|()| finish(&temporary, parent, to));
    if let Err(why) = written {
        // It stays, as does the old one, if even that fails; its file says what it is.
        drop(fs::remove_dir_all(&temporary));
        return Err(RepairError::Write {
            path: to.to_owned(),
            why,
        });
    }
    Ok(Repaired {
        kept: salvage.records.len() as u64,
        finding: salvage.finding,
    })
}

/// Writes the records, and reads them again.
fn write(salvage: &Salvage, to: &Path, progress: Progress<'_>) -> Result<(), String> {
    let words = |error: StoreError| error.to_string();
    let marker = File::create_new(to.join(UNFINISHED)).and_then(|file| file.sync_all());
    marker.map_err(|error| error.to_string())?;
    let folder = Folder(to.to_owned());
    let Opened { mut engine, .. } = folder.open(None).map_err(words)?;
    let mut tally = Tally::default();
    let mut written = 0;
    for group in salvage.records.chunks(GROUP) {
        let mut changes = Changes::default();
        for (key, value) in group {
            tally.add(hash(key, value));
            let value = Some(value.clone());
            let change = Written {
                before: None,
                value,
            };
            changes.insert(key.clone(), change);
        }
        tally.sequence += 1;
        engine.write(&changes, tally).map_err(words)?;
        written += group.len();
        progress(Step::Written {
            records: written,
            of: salvage.records.len(),
        });
    }
    tally.sequence += 1;
    engine
        .advance(salvage.finding.epoch, tally)
        .map_err(words)?;
    drop(engine);
    let Opened {
        tally: again,
        epoch,
        ..
    } = folder.open(None).map_err(words)?;
    match again == tally && epoch == salvage.finding.epoch {
        true => Ok(()),
        false => Err("what was written is not what is there".to_owned()),
    }
}

/// Gives a folder its name when the disk has all of it.
fn finish(temporary: &Path, parent: &Path, to: &Path) -> Result<(), String> {
    let words = |error: io::Error| error.to_string();
    let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
    for (path, _) in files::walk(temporary) {
        sync(&path).map_err(words)?;
    }
    fs::remove_file(temporary.join(UNFINISHED)).map_err(words)?;
    sync(temporary).map_err(words)?;
    renameat2(
        AT_FDCWD,
        temporary,
        AT_FDCWD,
        to,
        RenameFlags::RENAME_NOREPLACE,
    )
    .map_err(|error| error.desc().to_owned())?;
    sync(parent).map_err(words)
}
