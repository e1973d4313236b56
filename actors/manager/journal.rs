//! A file in which the last word of each source outlives a restart of the Manager.
//!
//! It is a stream of `PRESENCE` documents, as sources send them: one for each source of each presentity. It is written
//! whole and put in place by a rename, so that a crash leaves the old one or the new one. What it is for is the word of
//! sources that do not come again by themselves, such as a script: a source that has its `ACK`, or the end of its session
//! after its last word, may go, for what it said stands here.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::BytesMut;
use rollcall_core::manager::{Frame, FrameFinder, Message, Presence, read, write};
use rollcall_core::time::Timestamp;

use crate::files::{Disk, LocalDisk, beside, keep_aside};
use crate::store::files;

/// What a journal held.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The words of the sources.
    pub presences: Vec<Presence>,
    /// What could not be read, in words.
    pub problems: Vec<String>,
    /// Where the file is kept as it was, when there are problems.
    pub kept: Option<PathBuf>,
}

/// Reads a journal; one that is not there is empty. What can't be read is left out, and the file is kept beside under
/// the name `….broken`, or the next that is free.
pub fn load(path: &Path, now: Timestamp) -> io::Result<Loaded> {
    let mut loaded = Loaded::default();
    files::file(path);
    let mut content = match fs::read(path) {
        Ok(content) => BytesMut::from(&content[..]),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(loaded),
        Err(error) => return Err(error),
    };
    let mut finder = FrameFinder::default();
    while let Some(frame) = finder.next(&mut content) {
        match frame {
            Frame::Document(document) => match read(&document, now) {
                Ok(Message::Presence(presence)) => loaded.presences.push(*presence),
                Ok(other) => loaded
                    .problems
                    .push(format!("{} is out of place", other.kind())),
                Err(error) => loaded.problems.push(error.to_string()),
            },
            Frame::Malformed(error) | Frame::Lost(error) => loaded.problems.push(error.to_string()),
        }
    }
    if finder.is_within() {
        loaded
            .problems
            .push("the last document is cut off".to_owned());
    }
    if !loaded.problems.is_empty() {
        loaded.kept = Some(keep_aside(path)?);
    }
    Ok(loaded)
}

/// The content of a journal.
pub fn encode(presences: impl Iterator<Item = Presence>) -> Vec<u8> {
    let mut content = Vec::new();
    for presence in presences {
        write(&Message::Presence(Box::new(presence)), &mut content);
    }
    content
}

/// Writes a journal from any thread: a write that comes late does not undo a later one.
#[derive(Debug)]
pub struct Keeper {
    path: PathBuf,
    /// Held while writing.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Locked as long as this is the keeper, so that no other process writes the journal.
    lock: Option<File>,
    /// The revision that stands in the file.
    written: Option<u64>,
    disk: Box<dyn Disk>,
}

impl Keeper {
    /// The only keeper of this file; makes its folder if there is none.
    pub fn new(path: PathBuf) -> io::Result<Self> {
        Self::on(Box::new(LocalDisk::default()), path)
    }

    /// The same with a disk of one's own.
    pub fn on(disk: Box<dyn Disk>, path: PathBuf) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let lock = File::create(beside(&path, ".lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let reason = "in use by another process; give each Manager a file of its own";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, reason));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(Self {
            path,
            state: Mutex::new(State {
                lock: Some(lock),
                written: None,
                disk,
            }),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the journal by this revision of it, unless a later one stands there.
    pub fn save(&self, revision: u64, content: &[u8]) -> io::Result<()> {
        // A writer that panicked has written nothing that counts.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.lock.is_none() || state.written.is_some_and(|written| written > revision) {
            return Ok(());
        }
        state.disk.replace(&self.path, content)?;
        state.written = Some(revision);
        Ok(())
    }

    /// Leaves the journal to another keeper, and writes nothing more.
    pub fn release(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lock = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::replace;

    const NOW: Timestamp = Timestamp::from_millis(1_795_424_400_000);

    fn presence(entity: &str) -> Presence {
        let source = Some("desk".to_owned());
        Presence {
            entity: entity.into(),
            source,
            idle_since: Some(NOW),
            ..Presence::default()
        }
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.xml");
        assert!(load(&path, NOW).expect("nothing yet").presences.is_empty());
        for presences in [
            vec![presence("sip:a@x")],
            vec![presence("sip:b@x"), presence("sip:a@x")],
        ] {
            replace(&path, &encode(presences.clone().into_iter())).expect("saved");
            let loaded = load(&path, NOW).expect("loaded");
            assert_eq!(loaded.presences, presences);
            assert!(loaded.problems.is_empty());
        }
    }

    #[test]
    fn a_write_that_comes_late_does_not_undo_a_later_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let keeper = Keeper::new(folder.path().join("state.xml")).expect("a keeper");
        for (revision, content) in [(2, "new"), (1, "old")] {
            keeper.save(revision, content.as_bytes()).expect("saved");
        }
        assert_eq!(fs::read(keeper.path()).expect("a file"), b"new");
    }

    #[test]
    fn a_journal_has_one_keeper() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new/state.xml");
        let keeper = Keeper::new(path.clone()).expect("a keeper");
        let error = Keeper::new(path.clone()).expect_err("it is locked");
        assert_eq!(
            error.to_string(),
            "in use by another process; give each Manager a file of its own"
        );
        drop(keeper);
        Keeper::new(path).expect("free again");
    }

    #[test]
    fn damage_costs_what_is_damaged_and_the_file_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.xml");
        let mut content = encode([presence("sip:a@x")].into_iter());
        content.extend_from_slice(b"<xml><type>PRESENCE</type></xml><xml><type>");
        content.extend(encode([presence("sip:b@x")].into_iter()));
        content.extend_from_slice(b"<xml><ty");
        fs::write(&path, &content).expect("written");
        let loaded = load(&path, NOW).expect("loaded");
        assert_eq!(loaded.presences, [presence("sip:a@x"), presence("sip:b@x")]);
        assert_eq!(
            loaded.problems,
            [
                "PRESENCE needs <entity>",
                "the document has no </xml> before the next one begins",
                "the last document is cut off",
            ]
        );
        let kept = folder.path().join("state.xml.broken");
        assert_eq!(loaded.kept, Some(kept.clone()));
        assert_eq!(fs::read(&kept).expect("kept"), content);
        // Another one does not take its place.
        let loaded = load(&path, NOW).expect("loaded");
        assert_eq!(loaded.kept, Some(folder.path().join("state.xml.broken.2")));
        assert_eq!(fs::read(&kept).expect("kept"), content);
    }
}
