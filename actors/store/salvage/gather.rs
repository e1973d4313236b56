//! Reads all files of a folder, and says what they hold together.

use std::fs;
use std::io;
use std::path::Path;

use rollcall_core::registry::describe;

use super::merge::{Later, Merged};
use super::walk::{Piece, walk};
use super::{Damage, Finding, Progress, Step, Torn};
use crate::store::StoreError;
use crate::store::engine::FORMAT;
use crate::store::journal::{Batch, Journal};
use crate::store::preflight::{VERSION, VERSION_FILE};
use crate::store::proof::{Found, Mark, Proof, Tally};
use crate::store::table::Gap;
use crate::store::tables::{self, Keyspace};

const UNREAD: &str = "groups of changes can't be read";

/// Records: keys and values.
pub(super) type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// What is known of a folder while it is read.
pub(super) struct Gathering<'a> {
    folder: &'a Path,
    progress: Progress<'a>,
    pub(super) finding: Finding,
    pub(super) merged: Merged,
    pub(super) mark: Option<Mark>,
    /// Numbers of groups, and of their writes.
    pub(super) groups: Vec<(u64, u64)>,
    last_seqno: u64,
    pub(super) tally: Option<Tally>,
    /// The tables are all there, with all their blocks.
    pub(super) tables: bool,
    /// Parts of tables that can't be read.
    pub(super) gaps: Vec<Gap>,
    /// What stood in groups that can't be read: key and number of the write, and the place of the damage.
    pub(super) touched: Vec<(usize, Vec<u8>, u64)>,
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
    pub(super) fn damage(
        &mut self,
        file: &str,
        place: Option<(usize, usize)>,
        what: impl Into<String>,
    ) {
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
                let (start, bytes) = (torn.offset as usize, torn.bytes as usize);
                self.damage(&torn.file, Some((start, start + bytes)), UNREAD);
            }
        }
        // Of an unfinished write nobody was told.
        let damages = self.finding.damages.len();
        self.touched.retain(|(place, _, _)| *place < damages);
    }
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
