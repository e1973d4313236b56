//! Files and folders of the store: its owner's alone, whatever the umask.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Written to find out whether there is room again: a few groups of changes.
const PROBE: usize = 256 * 1024;
const PROBE_FILE: &str = "probe";

/// Makes a folder for its owner alone, with those above it; one that is there is narrowed, with a warning.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            narrow(path, found.permissions().mode(), FOLDER_MODE);
            Ok(())
        }
        Ok(_) => Err(io::ErrorKind::NotADirectory.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(path),
        Err(error) => Err(error),
    }
}

/// Takes from a file or folder what others may do with it, and says so. That it can't is said, too: the store works all the same.
fn narrow(path: &Path, found: u32, mode: u32) {
    if found & 0o077 == 0 {
        return;
    }
    let found = format!("{:o}", found & 0o7777);
    let done = fs::set_permissions(path, Permissions::from_mode(mode));
    match done {
        Ok(()) => tracing::warn!(
            path = %path.display(),
            found,
            now = format!("{mode:o}"),
            "others could read what is kept here; now only its owner may"
        ),
        Err(error) => tracing::warn!(
            path = %path.display(),
            found,
            %error,
            "others can read what is kept here, and that can't be changed"
        ),
    }
}

/// Narrows what an open store's folder holds. One warning for all files: there may be hundreds of tables.
pub(super) fn tighten(path: &Path) {
    let mut open = 0;
    let mut first = None;
    for (path, is_folder) in walk(path) {
        let Ok(found) = fs::symlink_metadata(&path) else {
            continue;
        };
        let mode = if is_folder { FOLDER_MODE } else { FILE_MODE };
        if found.permissions().mode() & 0o077 == 0 || found.file_type().is_symlink() {
            continue;
        }
        if fs::set_permissions(&path, Permissions::from_mode(mode)).is_ok() {
            open += 1;
            first.get_or_insert(path);
        }
    }
    if let Some(first) = first {
        tracing::warn!(
            files = open,
            first = %first.display(),
            "others could read files of the store; now only their owner may"
        );
    }
}

/// Everything in a folder and in those within it; whether it is a folder.
pub(super) fn walk(path: &Path) -> Vec<(PathBuf, bool)> {
    let mut found = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder {
                folders.push(entry.path());
            }
            found.push((entry.path(), is_folder));
        }
    }
    found
}

/// Whether the disk takes a file of some size at present.
pub(super) fn probe(folder: &Path) -> io::Result<()> {
    let path = folder.join(PROBE_FILE);
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE)
        .open(&path)
        .and_then(|mut file| {
            // Not zeros: some file systems keep none of those.
            file.write_all(&vec![1; PROBE])?;
            file.sync_data()
        });
    let removed = fs::remove_file(&path);
    written.and(removed)
}

/// A state file that is there and open to others is narrowed, with a warning; one that is not there is nothing to see to.
pub(crate) fn file(path: &Path) {
    if let Ok(found) = fs::metadata(path)
        && found.mode() & 0o077 != 0
    {
        narrow(path, found.mode(), FILE_MODE);
    }
}
