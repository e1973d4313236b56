//! The tag journal: entity-tags in a small file, so that a client that was killed modifies its earlier publications
//! instead of starting new ones beside them.
//!
//! The first line is `publisher NAME`: under the same name, what was published and not written down is replaced too. Then
//! one line a change, `aor etag expires-at-in-ms`; a `-` for the tag takes the presentity out. Lines are appended with one
//! write per batch and without a sync: a tag that a power cut loses costs a publication that lapses by itself. The file is
//! compacted when it is opened, and when it has grown to many times what is alive. A line that makes no sense is skipped, and
//! the file is kept aside.
//!
//! After a write that failed nobody knows what stands at the end of the file, so the next one replaces it as a whole. It is
//! tried again after 1 to 30 s, and at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rollcall_core::publisher::Tag;
use rollcall_core::sip::Uri;
use rollcall_core::time::Timestamp;
use tracing::{error, info, warn};

use crate::files::{Disk, LocalDisk, keep_aside};
use crate::store::files;
use crate::trouble::{Over, Trouble};

/// Lines beyond four times the live ones that are let be.
const SLACK: usize = 1024;

/// What the journal has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Lines written.
    pub lines: u64,
    /// Times the file was compacted while in use.
    pub compactions: u64,
    /// Writes that failed.
    pub failures: u64,
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    /// The publisher's name.
    name: String,
    disk: Box<dyn Disk>,
    /// The file can't be written at present.
    trouble: Trouble,
    /// What stands at the path can't be read, and has not been put aside yet.
    unread: bool,
    /// The next try is waited for.
    waiting: bool,
    live: BTreeMap<String, (String, Timestamp)>,
    /// Lines in the file.
    lines: usize,
    pending: String,
    pending_lines: usize,
    counters: Counters,
}

impl Journal {
    /// Opens or makes the file and its folder, and gives the tags in it that have not lapsed. A new file keeps this
    /// publisher's name; one that has a name already keeps its own. What goes wrong is told, and tried again later.
    pub fn open(path: &Path, name: &str, now: Timestamp) -> (Self, Vec<Tag>) {
        Self::open_on(Box::new(LocalDisk::default()), path, name, now)
    }

    /// The same with a disk of one's own.
    fn open_on(disk: Box<dyn Disk>, path: &Path, name: &str, now: Timestamp) -> (Self, Vec<Tag>) {
        files::file(path);
        let (bytes, unread) = match fs::read(path) {
            Ok(bytes) => (bytes, false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), false),
            Err(error) => {
                error!(path = %path.display(), %error, "the file of entity-tags can't be read: publications begin anew");
                (Vec::new(), true)
            }
        };
        let text = String::from_utf8_lossy(&bytes);
        let (mut live, senseless) = read(&text);
        live.retain(|_, (_, expires_at)| *expires_at > now);
        let tags = live
            .iter()
            .map(|(aor, (etag, expires_at))| Tag {
                aor: aor.clone(),
                etag: etag.clone(),
                expires_at: *expires_at,
            })
            .collect();
        let mut journal = Self {
            path: path.to_owned(),
            name: named(&text).unwrap_or(name).to_owned(),
            disk,
            trouble: Trouble::default(),
            unread: unread || senseless > 0,
            waiting: false,
            lines: 0,
            live,
            pending: String::new(),
            pending_lines: 0,
            counters: Counters::default(),
        };
        if senseless > 0 {
            warn!(path = %path.display(), senseless, "lines of the file of entity-tags make no sense and are left out");
        }
        let result = journal.rewrite();
        journal.judge(result, now);
        (journal, tags)
    }

    /// The publisher's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A publication of ours has this tag now.
    pub fn remember(&mut self, tag: Tag) {
        line(&mut self.pending, &tag.aor, &tag.etag, tag.expires_at);
        self.pending_lines += 1;
        self.live.insert(tag.aor, (tag.etag, tag.expires_at));
    }

    /// There is none any more.
    pub fn forget(&mut self, aor: String) {
        if self.live.remove(&aor).is_some() {
            line(&mut self.pending, &aor, "-", Timestamp::from_millis(0));
            self.pending_lines += 1;
        }
    }

    /// Writes what has changed, unless the file is in trouble: then [`Journal::retry`] does.
    pub fn write(&mut self, now: Timestamp) {
        if self.pending.is_empty() {
            return;
        }
        self.counters.lines += self.pending_lines as u64;
        self.lines += self.pending_lines;
        self.pending_lines = 0;
        let pending = std::mem::take(&mut self.pending);
        if self.trouble.is_present() {
            return;
        }
        let result = self.disk.append(&self.path, pending.as_bytes());
        let result = result.and_then(|()| {
            if self.lines > self.live.len() * 4 + SLACK {
                self.rewrite()?;
                self.counters.compactions += 1;
            }
            Ok(())
        });
        self.judge(result, now);
    }

    /// How long until [`Journal::retry`] is due, if it is wanted and not waited for already.
    pub fn wants_retry(&mut self) -> Option<Duration> {
        if !self.trouble.is_present() || std::mem::replace(&mut self.waiting, true) {
            return None;
        }
        Some(self.trouble.pause())
    }

    /// Tries again to write what could not be written.
    pub fn retry(&mut self, now: Timestamp) {
        self.waiting = false;
        if self.trouble.is_present() {
            let result = self.rewrite();
            self.judge(result, now);
        }
    }

    /// Writes all that there is, at the end.
    pub fn finish(&mut self, now: Timestamp) {
        self.write(now);
        if !self.trouble.is_present() {
            return;
        }
        if let Err(error) = self.rewrite() {
            let (path, publications) = (self.path.display(), self.live.len());
            error!(%path, %error, publications, "the file of entity-tags could not be written at the end");
        }
    }

    /// Replaces the file by one with nothing but the live tags.
    fn rewrite(&mut self) -> io::Result<()> {
        if self.unread {
            if fs::exists(&self.path)? {
                let kept = keep_aside(&self.path)?;
                warn!(path = %self.path.display(), kept = %kept.display(), "the file of entity-tags is kept as it was");
            }
            self.unread = false;
        }
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut text = format!("publisher {}\n", self.name);
        for (aor, (etag, expires_at)) in &self.live {
            line(&mut text, aor, etag, *expires_at);
        }
        self.disk.replace(&self.path, text.as_bytes())?;
        self.lines = self.live.len();
        Ok(())
    }

    fn judge(&mut self, result: io::Result<()>, now: Timestamp) {
        let path = self.path.display();
        match result {
            Ok(()) => {
                if let Some(Over { failures, took }) = self.trouble.went_well(now) {
                    let seconds = took.as_secs();
                    info!(%path, failures, seconds, "the file of entity-tags is written again, with all of them");
                }
            }
            Err(error) => {
                self.counters.failures += 1;
                if let Some(failures) = self.trouble.failed(now) {
                    let (publications, pause) = (self.live.len(), self.trouble.pause().as_secs());
                    error!(
                        %path, %error, failures, publications, pause,
                        "entity-tags can't be written: if the client is killed now, it publishes anew beside what it has \
                         published; it is tried again"
                    );
                }
            }
        }
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

fn line(text: &mut String, aor: &str, etag: &str, expires_at: Timestamp) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{aor} {etag} {}", expires_at.as_millis());
}

/// The publisher's name, if it is one that may stand in an id.
fn named(text: &str) -> Option<&str> {
    let (first, _) = text.split_once('\n')?;
    let name = first.strip_prefix("publisher ")?;
    let whole = name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    whole.then_some(name)
}

/// The live tags, and how many lines make no sense.
fn read(text: &str) -> (BTreeMap<String, (String, Timestamp)>, usize) {
    let mut live = BTreeMap::new();
    let mut senseless = 0;
    // What stands behind the last line end was cut off in writing.
    let lines = text
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'));
    for (number, line) in lines.enumerate() {
        if number == 0 && line.starts_with("publisher ") {
            continue;
        }
        let mut words = line.split(' ');
        let (Some(aor), Some(etag), Some(millis), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            senseless += 1;
            continue;
        };
        let (Ok(millis), false) = (millis.parse(), aor.is_empty() || etag.is_empty()) else {
            senseless += 1;
            continue;
        };
        // An older version may have spelled it otherwise.
        let aor = Uri::parse(aor).map_or_else(|_| aor.to_owned(), |uri| uri.address());
        if etag == "-" {
            live.remove(&aor);
        } else {
            live.insert(aor, (etag.to_owned(), Timestamp::from_millis(millis)));
        }
    }
    (live, senseless)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000);
    const NAME: &str = "0123456789abcdef";

    fn tag(aor: &str, etag: &str, millis: u64) -> Tag {
        Tag {
            aor: aor.to_owned(),
            etag: etag.to_owned(),
            expires_at: Timestamp::from_millis(millis),
        }
    }

    fn opened(path: &Path) -> (Journal, Vec<Tag>) {
        Journal::open(path, NAME, NOW)
    }

    #[test]
    fn what_was_remembered_and_not_forgotten_is_there_after_opening_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tags");
        let (mut journal, tags) = opened(&path);
        assert_eq!(tags, []);
        journal.remember(tag("sip:a@x", "e1", 2_000));
        journal.remember(tag("sip:b@x", "e2", 2_000));
        journal.remember(tag("sip:a@x", "e3", 3_000));
        journal.remember(tag("sip:c@x", "e4", 1_000));
        journal.forget("sip:b@x".to_owned());
        journal.write(NOW);
        assert_eq!(opened(&path).1, [tag("sip:a@x", "e3", 3_000)]);
        let compacted = fs::read_to_string(&path).expect("a file");
        assert_eq!(compacted, "publisher 0123456789abcdef\nsip:a@x e3 3000\n");
    }

    #[test]
    fn the_name_of_the_first_run_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tags");
        let open = |name| Journal::open(&path, name, NOW).0;
        assert_eq!(open(NAME).name(), NAME);
        assert_eq!(open("fedcba9876543210").name(), NAME);
        fs::write(&path, "publisher nobody\n").expect("a file");
        assert_eq!(open("fedcba9876543210").name(), "fedcba9876543210");
    }

    #[test]
    fn lines_that_make_no_sense_or_were_cut_off_are_skipped() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tags");
        let text = b"nonsense\nsip:a@x e1 2000\nsip:b@x e2 soon\n\xff\xfe\n  5\nsip:c@x e3 9 9\nsip:a@x e9 30";
        fs::write(&path, text).expect("a file");
        assert_eq!(opened(&path).1, [tag("sip:a@x", "e1", 2_000)]);
        let kept = fs::read(folder.path().join("tags.broken")).expect("kept");
        assert_eq!(kept, text);
        // What is left makes sense.
        opened(&path);
        assert!(!folder.path().join("tags.broken.2").exists());
    }

    #[test]
    fn a_journal_that_only_grows_is_compacted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tags");
        let (mut journal, _) = opened(&path);
        for n in 0..5_000_u64 {
            journal.remember(tag("sip:a@x", &format!("e{n}"), 2_000));
            journal.write(NOW);
        }
        assert_eq!(
            journal.counters(),
            &Counters {
                lines: 5_000,
                compactions: 4,
                failures: 0
            }
        );
        assert!(fs::read_to_string(&path).expect("a file").lines().count() < 1_100);
        assert_eq!(opened(&path).1, [tag("sip:a@x", "e4999", 2_000)]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new/tags");
        assert_eq!(opened(&path).1, []);
        assert!(path.exists());
    }

    /// A file in the place of the folder, a folder in the place of the file.
    #[test]
    fn what_stands_in_the_way_is_told_and_tried_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        fs::write(&file, "").expect("a file");
        let path = file.join("tags");
        let (mut journal, _) = opened(&path);
        journal.remember(tag("sip:a@x", "e1", 2_000));
        journal.write(NOW);
        assert_eq!(journal.wants_retry(), Some(Duration::from_secs(1)));
        fs::remove_file(&file).expect("gone");
        journal.retry(NOW);
        assert_eq!(journal.wants_retry(), None);
        assert_eq!(opened(&path).1, [tag("sip:a@x", "e1", 2_000)]);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_kept_aside_and_never_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tags");
        // Reading it fails, as with EIO.
        fs::create_dir(&path).expect("a folder");
        fs::write(path.join("precious"), "").expect("a file");
        let (journal, tags) = opened(&path);
        assert_eq!((tags, journal.counters().failures), (Vec::new(), 0));
        assert!(folder.path().join("tags.broken/precious").exists());
        assert!(path.is_file());
    }

    #[test]
    fn what_could_not_be_written_is_written_later_as_a_whole() {
        use crate::files::failing::FailingDisk;

        let disk = FailingDisk::default();
        let path = Path::new("tags");
        let (mut journal, _) = Journal::open_on(Box::new(disk.clone()), path, NAME, NOW);
        disk.fail(true);
        journal.remember(tag("sip:a@x", "e1", 2_000));
        journal.write(NOW);
        // A part of the line stands there: what follows must not be written behind it.
        assert_eq!(disk.text(), "publisher 0123456789abcdef\nsip:a@x ");
        let pauses = [1, 2, 4].map(|pause| {
            journal.remember(tag("sip:b@x", "e2", 2_000 + pause));
            journal.write(NOW);
            let wanted = journal.wants_retry();
            assert_eq!(journal.wants_retry(), None, "one is waited for");
            journal.retry(NOW);
            (wanted, Some(Duration::from_secs(pause)))
        });
        for (wanted, expected) in pauses {
            assert_eq!(wanted, expected);
        }
        disk.fail(false);
        journal.write(NOW);
        journal.retry(NOW);
        let whole = "publisher 0123456789abcdef\nsip:a@x e1 2000\nsip:b@x e2 2004\n";
        assert_eq!(disk.text(), whole);
        journal.remember(tag("sip:c@x", "e3", 2_000));
        journal.write(NOW);
        assert_eq!(disk.text(), format!("{whole}sip:c@x e3 2000\n"));
        assert_eq!(journal.counters().failures, 4);
    }

    #[test]
    fn an_orderly_end_writes_what_could_not_be_written() {
        use crate::files::failing::FailingDisk;

        let disk = FailingDisk::default();
        disk.fail(true);
        let path = Path::new("tags");
        let (mut journal, _) = Journal::open_on(Box::new(disk.clone()), path, NAME, NOW);
        journal.remember(tag("sip:a@x", "e1", 2_000));
        journal.write(NOW);
        disk.fail(false);
        journal.finish(NOW);
        assert_eq!(disk.text(), "publisher 0123456789abcdef\nsip:a@x e1 2000\n");
    }
}
