//! Reads all files of a folder, and says what they hold together.

use std::fs;
use std::io;
use std::path::Path;

use rollcall_core::registry::{Record, describe};

use super::merge::{Later, Latest, Merged};
use super::walk::{Piece, walk};
use super::{Damage, Finding, Progress, Step, Torn, Unreadable};
use crate::store::StoreError;
use crate::store::engine::FORMAT;
use crate::store::journal::{Batch, Journal};
use crate::store::preflight::{VERSION, VERSION_FILE};
use crate::store::proof::{Found, Mark, Proof, Tally, hash};
use crate::store::table::Gap;
use crate::store::tables::{self, Keyspace};
use crate::store::value::decode;

/// Names of records that are told of one damage.
const NAMED: usize = 50;
/// Openings that may have been counted without our knowing, when nothing sure says how often it was opened.
const UNSEEN: u64 = 64;

const UNREAD: &str = "groups of changes can't be read";

/// Records: keys and values.
type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// What is known of a folder while it is read.
struct Gathering<'a> {
    folder: &'a Path,
    progress: Progress<'a>,
    finding: Finding,
    merged: Merged,
    mark: Option<Mark>,
    /// Numbers of groups, and of their writes.
    groups: Vec<(u64, u64)>,
    last_seqno: u64,
    tally: Option<Tally>,
    /// The tables are all there, with all their blocks.
    tables: bool,
    /// Parts of tables that can't be read.
    gaps: Vec<Gap>,
    /// What stood in groups that can't be read: key and number of the write, and the place of the damage.
    touched: Vec<(usize, Vec<u8>, u64)>,
    read: (usize, usize),
}

/// Reads a folder.
pub(super) fn gather(
    folder: &Path,
    progress: Progress<'_>,
) -> Result<(Finding, Records), StoreError> {
    let failed = |source| StoreError::Open {
        path: folder.to_owned(),
        source,
    };
    let strays = Journal::strays(folder).map_err(failed)?;
    let journals = Journal::paths(folder).map_err(failed)?;
    let keyspaces = Keyspace::all(folder).map_err(failed)?;
    let files = journals.len() + keyspaces.iter().map(|one| one.tables.len()).sum::<usize>();
    let mut gathering = Gathering {
        folder,
        progress,
        finding: Finding {
            folder: folder.to_owned(),
            ..Finding::default()
        },
        merged: Merged::default(),
        mark: None,
        groups: Vec::new(),
        last_seqno: 0,
        tally: None,
        tables: true,
        gaps: Vec::new(),
        touched: Vec::new(),
        read: (0, files),
    };
    let found = Proof::look(folder).map_err(failed)?;
    let version = fs::read(folder.join(VERSION_FILE));
    if journals.is_empty()
        && !folder.join("keyspaces").exists()
        && version.is_err()
        && found == Found::Nothing
    {
        return Err(StoreError::NoStore(folder.to_owned()));
    }
    gathering.engine(version)?;
    for (name, what) in strays {
        gathering.damage(&name, None, what);
    }
    if journals.is_empty() {
        gathering.damage(".", None, "its journals are gone");
    }
    gathering.proof(found);
    gathering.keyspaces(&keyspaces).map_err(failed)?;
    for (index, path) in journals.iter().enumerate() {
        let last = index + 1 == journals.len();
        gathering.journal(path, last).map_err(failed)?;
    }
    gathering.finish()
}

impl Gathering<'_> {
    fn damage(&mut self, file: &str, place: Option<(usize, usize)>, what: impl Into<String>) {
        self.finding.damages.push(Damage {
            file: file.to_owned(),
            offset: place.map(|(start, _)| start as u64),
            bytes: place.map(|(start, end)| (end - start) as u64),
            what: what.into(),
            records: Vec::new(),
        });
    }

    fn name(&self, path: &Path) -> String {
        let name = path.strip_prefix(self.folder).unwrap_or(path);
        name.display().to_string()
    }

    fn tell(&mut self) {
        self.read.0 += 1;
        (self.progress)(Step::Read {
            files: self.read.0,
            of: self.read.1,
            entries: self.merged.entries,
        });
    }

    /// The engine's own files.
    fn engine(&mut self, version: io::Result<Vec<u8>>) -> Result<(), StoreError> {
        match version {
            Ok(version) if version == VERSION => {}
            Ok(version)
                if version.len() == 4
                    && version.starts_with(&VERSION[..3])
                    && (VERSION[3] + 1..16).contains(&version[3]) =>
            {
                return Err(StoreError::Format {
                    path: self.folder.to_owned(),
                    found: format!("{} of the engine", version[3]),
                    known: VERSION[3].into(),
                });
            }
            Ok(_) => self.damage(VERSION_FILE, None, "it is not what the engine writes there"),
            Err(error) => self.damage(VERSION_FILE, None, gone(&error)),
        }
        if let Err(error) = fs::metadata(self.folder.join("lock")) {
            self.damage("lock", None, gone(&error));
        }
        Ok(())
    }

    fn proof(&mut self, found: Found) {
        match found {
            Found::Mark(mark, _) => {
                self.mark = Some(mark);
                self.finding.acknowledged = Some(mark.tally.sequence);
                self.tally = Some(mark.tally);
            }
            Found::Damaged => self.damage("proof", None, "neither of its two places can be read"),
            // Whether it should be there shows later.
            Found::Nothing => {}
        }
    }

    fn keyspaces(&mut self, keyspaces: &[Keyspace]) -> io::Result<()> {
        for what in tables::wrong(self.folder, keyspaces)? {
            self.tables = false;
            self.damage("keyspaces", None, what);
        }
        for keyspace in keyspaces {
            for (_, path) in keyspace.counting() {
                let table = tables::read(path)?;
                let name = self.name(path);
                for gap in &table.gaps {
                    let what = match (gap.data, &gap.after, &gap.before) {
                        (false, _, _) => "what finds the records in it can't be read".to_owned(),
                        (true, None, None) => "none of its records can be read".to_owned(),
                        (true, after, before) => between(after.as_deref(), before.as_deref()),
                    };
                    self.damage(&name, Some((gap.start, gap.end)), what);
                    // The engine's own list of keyspaces has no records of ours.
                    if gap.data && keyspace.number != 0 {
                        self.tables = false;
                        self.gaps.push(gap.clone());
                    }
                }
                if keyspace.number != 0 {
                    for entry in table.entries {
                        self.merged.take(&entry.key, entry.seqno, entry.value, true);
                    }
                }
                self.tell();
            }
        }
        Ok(())
    }

    fn journal(&mut self, path: &Path, last: bool) -> io::Result<()> {
        let bytes = fs::read(path).map_err(|error| in_file(path, &error))?;
        let name = self.name(path);
        let pieces = walk(&bytes, self.mark.map(|mark| mark.tally));
        let count = pieces.len();
        for (index, piece) in pieces.into_iter().enumerate() {
            match piece {
                Piece::Whole(batch) => self.group(&name, &bytes, batch),
                Piece::Broken { start, end, .. } if last && index + 1 == count => {
                    self.finding.torn = Some(Torn {
                        file: name.clone(),
                        offset: start as u64,
                        bytes: (end - start) as u64,
                    });
                    if let Piece::Broken {
                        outline: Some(outline),
                        ..
                    } = &piece
                    {
                        self.touch(&bytes, outline);
                    }
                }
                Piece::Broken {
                    start,
                    end,
                    outline,
                } => {
                    if let Some(outline) = &outline {
                        self.touch(&bytes, outline);
                    }
                    self.damage(&name, Some((start, end)), UNREAD);
                }
            }
        }
        self.tell();
        Ok(())
    }

    /// What seems to stand in a group that can't be read, for the damage that is told next.
    fn touch(&mut self, bytes: &[u8], outline: &Batch) {
        let place = self.finding.damages.len();
        let keys = outline.items.iter().map(|item| item.key(bytes).to_vec());
        let keys = keys.map(|key| (place, key, outline.seqno));
        self.touched.extend(keys);
    }

    fn group(&mut self, name: &str, bytes: &[u8], batch: Batch) {
        let void = self.mark.filter(|mark| mark.void);
        if let (Some(void), Some(tally)) = (void, batch.tally)
            && tally.sequence > void.tally.sequence
        {
            self.finding.refused += 1;
            return;
        }
        if batch.seqno <= self.last_seqno && self.finding.groups > 0 {
            let what = "a group of changes stands twice, or out of its order";
            self.damage(name, Some((batch.start, batch.end)), what);
        }
        self.last_seqno = self.last_seqno.max(batch.seqno);
        self.finding.groups += 1;
        if let Some(tally) = batch.tally {
            self.groups.push((tally.sequence, batch.seqno));
            self.tally = self.tally.max_by_sequence(Some(tally));
        }
        // What has gone to tables counts as it is there, if all tables can be read: what was removed may be gone from them altogether.
        let flushed = if self.tables { self.merged.flushed } else { 0 };
        for item in &batch.items {
            let key = item.key(bytes);
            let ours = key == b"format" || key == b"epoch";
            if batch.seqno > flushed || ours {
                let value = (!item.removed).then(|| item.value(bytes)).flatten();
                self.merged.take(key, batch.seqno, value, false);
            }
        }
    }

    fn finish(mut self) -> Result<(Finding, Records), StoreError> {
        self.missing();
        self.formats()?;
        let records = self.judge();
        self.finding.epoch = self.epoch(&records);
        self.finding.whole = self.finding.damages.is_empty()
            && self.finding.missing.is_empty()
            && self.finding.unreadable.is_empty();
        Ok((self.finding, records))
    }

    fn formats(&mut self) -> Result<(), StoreError> {
        let format = self.merged.format();
        self.finding.format = format.flatten();
        if let Some(found) = format.filter(|found| found.is_none_or(|found| found > FORMAT)) {
            return Err(StoreError::Format {
                path: self.folder.to_owned(),
                found: found.map_or("?".to_owned(), |found| found.to_string()),
                known: FORMAT,
            });
        }
        self.tally = self.tally.max_by_sequence(self.merged.tally);
        let stored = self.merged.tally.is_some() || !self.groups.is_empty();
        if format.is_none() && (stored || self.mark.is_some()) {
            self.damage("keyspaces", None, "what says which format it has is gone");
        }
        if format == Some(Some(FORMAT)) && !stored {
            self.damage(
                "keyspaces",
                None,
                "what says how many records there are is gone",
            );
        }
        // The first group is written before the file.
        let groups = self.tally.map_or(0, |tally| tally.sequence);
        let told = self
            .finding
            .damages
            .iter()
            .any(|damage| damage.file == "proof");
        if self.mark.is_none() && groups > 1 && !told {
            self.damage("proof", None, "it is gone");
        }
        Ok(())
    }

    /// Groups that are nowhere, by their numbers.
    fn missing(&mut self) {
        self.groups.sort_unstable();
        let flushed = self.merged.tally.map_or(0, |tally| tally.sequence);
        // Groups up to the tally in a table have gone to tables, and their journals may be gone.
        let first = self.groups.first().map(|(first, _)| first - 1);
        let mut before = first.map_or(flushed, |first| first.min(flushed));
        for (sequence, _) in &self.groups {
            if *sequence > before + 1 {
                self.finding.missing.push((before + 1, sequence - 1));
            }
            before = before.max(*sequence);
        }
        before = before.max(flushed);
        self.finding.last = (before > 0).then_some(before);
        if let Some(acknowledged) = self.finding.acknowledged.filter(|last| *last > before) {
            self.finding.missing.push((before + 1, acknowledged));
            // What stands at the end is what is left of them.
            if let Some(torn) = self.finding.torn.take() {
                self.finding.damages.push(Damage {
                    file: torn.file,
                    offset: Some(torn.offset),
                    bytes: Some(torn.bytes),
                    what: UNREAD.to_owned(),
                    records: Vec::new(),
                });
            }
        }
        // Of an unfinished write nobody was told.
        let damages = self.finding.damages.len();
        self.touched.retain(|(place, _, _)| *place < damages);
    }

    /// What the records are worth.
    fn judge(&mut self) -> Records {
        let mut found = Tally::default();
        let mut hashes = Vec::new();
        for (key, latest) in &self.merged.records {
            if let Some(value) = &latest.value {
                let hash = hash(key, value);
                found.add(hash);
                hashes.push((hash, key));
            }
        }
        let same = |found: Tally, should: Tally| {
            (found.count, found.digest) == (should.count, should.digest)
        };
        let expected = self.tally;
        self.finding.expected = expected.map(|tally| tally.count);
        self.finding.proven = expected.is_some_and(|tally| same(found, tally));
        // One record too much, and without it the tally is right: its removal is what is missing.
        let extra = expected.filter(|_| !self.finding.proven).and_then(|tally| {
            let (_, key) = hashes.iter().find(|(hash, _)| {
                let mut less = found;
                less.take(*hash);
                same(less, tally)
            })?;
            Some((*key).clone())
        });
        if let Some(key) = extra
            && let Some(Latest {
                value: Some(value), ..
            }) = self.merged.records.remove(&key)
        {
            self.finding.removed = Some(described(&key, &value));
            self.finding.proven = true;
            found.take(hash(&key, &value));
        }
        let damaged = !self.finding.damages.is_empty() || !self.finding.missing.is_empty();
        if let Some(tally) = expected.filter(|_| !self.finding.proven && !damaged) {
            let what = match found.count == tally.count {
                true => "records have another content than was stored".to_owned(),
                false => format!(
                    "there are {} records where {} were stored",
                    found.count, tally.count
                ),
            };
            self.damage("keyspaces", None, what);
        }
        self.doubt();
        self.name_touched();
        self.sort_out()
    }

    /// Counts what may be older than what was acknowledged.
    fn doubt(&mut self) {
        if self.finding.proven {
            return;
        }
        let behind = |last: u64| self.groups.iter().find(|(sequence, _)| *sequence > last);
        let hole = self.finding.missing.iter();
        let hole = hole.map(|(_, last)| behind(*last).map_or(u64::MAX, |(_, seqno)| *seqno));
        let hole = hole.max().unwrap_or(0);
        let unsure = self.merged.records.iter().filter(|(key, latest)| {
            let gap = self.gaps.iter().any(|gap| gap.may_hold(key));
            let tables = latest.table && !self.tables;
            latest.value.is_some() && (latest.seqno < hole || gap || tables)
        });
        self.finding.doubtful = unsure.count() as u64;
    }

    /// Names what stood in groups that can't be read, and was not written again.
    fn name_touched(&mut self) {
        for (place, key, seqno) in std::mem::take(&mut self.touched) {
            let latest = self.merged.records.get(&key);
            if latest.is_some_and(|latest| latest.seqno > seqno) || self.finding.proven {
                continue;
            }
            let value = latest.and_then(|latest| latest.value.as_deref());
            let name = described(&key, value.unwrap_or_default());
            if let Some(damage) = self.finding.damages.get_mut(place)
                && damage.records.len() < NAMED
                && !matches!(&key[..], b"format" | b"epoch")
            {
                damage.records.push(name);
            }
        }
    }

    /// Those that can be understood, counted by kind.
    fn sort_out(&mut self) -> Records {
        let mut records = Vec::new();
        for (key, latest) in std::mem::take(&mut self.merged.records) {
            let Some(value) = latest.value else { continue };
            let counts = &mut self.finding.records;
            let count = match decode(&value) {
                Ok((_, Record::Publication(_))) => &mut counts.publications,
                Ok((_, Record::Subscription(_))) => &mut counts.subscriptions,
                Ok((_, Record::Binding(_))) => &mut counts.bindings,
                Ok((_, Record::Watcher(_))) => &mut counts.watchers,
                Ok((_, Record::Settled(_))) => &mut counts.settled,
                Err(why) => {
                    self.finding.unreadable.push(Unreadable {
                        record: described(&key, &value),
                        why: why.to_string(),
                    });
                    continue;
                }
            };
            *count += 1;
            records.push((key, value));
        }
        records
    }

    /// How often it was opened: at least so often that no entity-tag comes twice.
    fn epoch(&self, records: &Records) -> u64 {
        let stored = self.merged.epoch();
        if let Some(mark) = self.mark {
            return stored.max(mark.epoch);
        }
        if self.finding.damages.is_empty() && self.finding.missing.is_empty() {
            return stored;
        }
        let told = records
            .iter()
            .filter_map(|(_, value)| match decode(value).ok()?.1 {
                Record::Settled(settled) => Some(settled.order >> 40),
                Record::Subscription(subscription) => Some(subscription.epoch),
                _ => None,
            });
        stored.max(told.max().unwrap_or(0)) + UNSEEN
    }
}

/// A stored record in words.
fn described(key: &[u8], value: &[u8]) -> String {
    describe(key, value.get(8..).unwrap_or_default())
}

fn between(after: Option<&[u8]>, before: Option<&[u8]>) -> String {
    let name = |key: &[u8]| describe(key, &[]);
    match (after.map(name), before.map(name)) {
        (Some(after), Some(before)) => {
            format!("records between {after} and {before} can't be read")
        }
        (Some(after), None) => format!("records behind {after} can't be read"),
        (None, Some(before)) => format!("records before {before} can't be read"),
        (None, None) => "records can't be read".to_owned(),
    }
}

fn gone(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it is gone".to_owned(),
        _ => format!("it can't be read: {error}"),
    }
}

/// An error that names the file.
pub(super) fn in_file(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
