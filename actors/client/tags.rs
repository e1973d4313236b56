//! The tag journal: entity-tags in a small file, so that a client that was killed modifies its earlier publications
//! instead of starting new ones beside them.
//!
//! The first line is `publisher NAME`: under the same name, what was published and not written down is replaced too. Then
//! one line a change, `aor etag expires-at-in-ms`; a `-` for the tag takes the presentity out. Lines are appended with one
//! write per batch and without a sync: a tag that a power cut loses costs a publication that lapses by itself. The file is
//! compacted when it is opened, and when it has grown to many times what is alive. A line that makes no sense is skipped.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rollcall_core::publisher::Tag;
use rollcall_core::time::Timestamp;
use tracing::warn;

use crate::store::files;

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
    file: File,
    live: BTreeMap<String, (String, Timestamp)>,
    /// Lines in the file.
    lines: usize,
    pending: String,
    pending_lines: usize,
    counters: Counters,
}

impl Journal {
    /// Opens or makes the file and its folder, and gives the tags in it that have not lapsed. A new file keeps this
    /// publisher's name; one that has a name already keeps its own.
    pub fn open(path: &Path, name: &str, now: Timestamp) -> io::Result<(Self, Vec<Tag>)> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        files::file(path);
        let text = match fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut live = read(&text);
        live.retain(|_, (_, expires_at)| *expires_at > now);
        let name = named(&text).unwrap_or(name).to_owned();
        let file = compact(path, &name, &live)?;
        let tags = live
            .iter()
            .map(|(aor, (etag, expires_at))| Tag {
                aor: aor.clone(),
                etag: etag.clone(),
                expires_at: *expires_at,
            })
            .collect();
        let journal = Self {
            path: path.to_owned(),
            name,
            file,
            lines: live.len(),
            live,
            pending: String::new(),
            pending_lines: 0,
            counters: Counters::default(),
        };
        Ok((journal, tags))
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

    /// Writes what has changed. A failure is told once a batch, and the client goes on.
    pub fn write(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        self.counters.lines += self.pending_lines as u64;
        self.lines += self.pending_lines;
        self.pending_lines = 0;
        let written = self.file.write_all(self.pending.as_bytes());
        self.pending.clear();
        let result = written.and_then(|()| {
            if self.lines > self.live.len() * 4 + SLACK {
                self.file = compact(&self.path, &self.name, &self.live)?;
                self.lines = self.live.len();
                self.counters.compactions += 1;
            }
            Ok(())
        });
        if let Err(error) = result {
            self.counters.failures += 1;
            warn!(path = %self.path.display(), %error, "an entity-tag was not kept");
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

fn read(text: &str) -> BTreeMap<String, (String, Timestamp)> {
    let mut live = BTreeMap::new();
    // What stands behind the last line end was cut off in writing.
    for line in text
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
    {
        let mut words = line.split(' ');
        let (Some(aor), Some(etag), Some(millis), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let Ok(millis) = millis.parse() else { continue };
        if aor.is_empty() || etag.is_empty() {
            continue;
        }
        if etag == "-" {
            live.remove(aor);
        } else {
            live.insert(
                aor.to_owned(),
                (etag.to_owned(), Timestamp::from_millis(millis)),
            );
        }
    }
    live
}

/// Replaces the file by one with nothing but the live tags, and opens it for appending.
fn compact(
    path: &Path,
    name: &str,
    live: &BTreeMap<String, (String, Timestamp)>,
) -> io::Result<File> {
    let mut text = format!("publisher {name}\n");
    for (aor, (etag, expires_at)) in live {
        line(&mut text, aor, etag, *expires_at);
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    fs::write(&beside, text)?;
    fs::rename(&beside, path)?;
    OpenOptions::new().append(true).open(path)
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
        Journal::open(path, NAME, NOW).expect("a journal")
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
        journal.write();
        assert_eq!(opened(&path).1, [tag("sip:a@x", "e3", 3_000)]);
        let compacted = fs::read_to_string(&path).expect("a file");
        assert_eq!(compacted, "publisher 0123456789abcdef\nsip:a@x e3 3000\n");
    }

    #[test]
    fn the_name_of_the_first_run_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tags");
        let open = |name| Journal::open(&path, name, NOW).expect("a journal").0;
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
    }

    #[test]
    fn a_journal_that_only_grows_is_compacted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tags");
        let (mut journal, _) = opened(&path);
        for n in 0..5_000_u64 {
            journal.remember(tag("sip:a@x", &format!("e{n}"), 2_000));
            journal.write();
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
    fn a_folder_that_is_not_there_is_made_unless_a_file_is_in_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new/tags");
        assert_eq!(opened(&path).1, []);
        assert!(Journal::open(&path.join("tags"), NAME, NOW).is_err());
    }
}
