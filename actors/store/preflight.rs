//! What is looked at before the engine opens a folder: it cuts its journals off at the first byte that it does not
//! understand, and what stood behind would be gone.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;

use super::StoreError;
use super::files;
use super::journal::{Batch, Journal};
use super::proof::{Found, Mark, Proof, Tally};
use super::tables::{self, Keyspace};

/// The engine's file that says which version wrote the folder, and what it says.
pub(super) const VERSION_FILE: &str = "version";
pub(super) const VERSION: &[u8] = b"FJL\x03";

/// Makes the folder if there is none; refuses it if something acknowledged is missing; cuts off what was never acknowledged.
/// Gives the proof, locked, and its mark.
pub(super) fn preflight(
    path: &Path,
    expected: Option<Tally>,
) -> Result<(Proof, Option<Mark>), StoreError> {
    let failed = |source| StoreError::Open {
        path: path.to_owned(),
        source,
    };
    files::folder(path).map_err(failed)?;
    let (proof, found) = Proof::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => StoreError::InUse(path.to_owned()),
        _ => failed(error),
    })?;
    let damaged = |what: &str| StoreError::damaged(path, what);
    let mark = match found {
        Found::Mark(mark, _) => Some(mark),
        Found::Nothing => None,
        Found::Damaged => return Err(damaged("the file `proof` can't be read")),
    };
    if let Some((name, what)) = Journal::strays(path).map_err(failed)?.first() {
        return Err(damaged(&format!("{name}: {what}")));
    }
    let journals = Journal::all(path).map_err(failed)?;
    match std::fs::read(path.join(VERSION_FILE)) {
        Ok(version) if version == VERSION => {}
        Ok(version)
            if version.len() == 4 && version.starts_with(&VERSION[..3]) && version[3] < 16 =>
        {
            let what = format!(
                "the engine's format is {}, this version reads 3",
                version[3]
            );
            return Err(damaged(&what));
        }
        Ok(_) => {
            return Err(damaged(
                "the file `version` is not what the engine writes there",
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // The engine would begin anew in it.
            if mark.is_some() || !journals.is_empty() || path.join("keyspaces").exists() {
                return Err(damaged("the file `version` is gone"));
            }
            return Ok((proof, mark));
        }
        Err(error) => return Err(failed(error)),
    }
    // The engine would make a new one.
    if journals.is_empty() {
        return Err(damaged("its journals are gone"));
    }
    let keyspaces = Keyspace::all(path).map_err(failed)?;
    if let Some(what) = tables::wrong(path, &keyspaces).map_err(failed)?.first() {
        return Err(damaged(what));
    }
    let acknowledged = expected.or(mark.map(|mark| mark.tally));
    // A process that is still here knows what it acknowledged; another left word.
    let void = expected.is_some() || mark.is_some_and(|mark| mark.void);
    if let Some(what) = hole(&journals, acknowledged) {
        return Err(damaged(&what));
    }
    cut(&journals, acknowledged.filter(|_| void)).map_err(failed)?;
    Ok((proof, mark))
}

/// What is missing in the journals, in words.
pub(super) fn hole(journals: &[Journal], acknowledged: Option<Tally>) -> Option<String> {
    let mut last: Option<Tally> = None;
    for (index, journal) in journals.iter().enumerate() {
        let name = journal.name();
        for batch in &journal.batches {
            let Some(tally) = batch.tally else { continue };
            let next = last.map(|last| last.sequence + 1);
            if next.is_some_and(|next| next != tally.sequence) {
                let next = next.unwrap_or_default();
                return Some(format!(
                    "groups of changes from number {next} on are missing before number {} in {name}",
                    tally.sequence
                ));
            }
            last = Some(tally);
        }
        let (end, rest) = (journal.end, journal.rest);
        if !journal.beyond.is_empty() {
            let more = journal.beyond.len();
            return Some(format!(
                "{name} can't be read at byte {end}, and {more} groups of changes stand behind that"
            ));
        }
        if rest > 0 && index + 1 < journals.len() {
            return Some(format!(
                "{name} can't be read from byte {end} on ({rest} bytes), and a later journal follows it"
            ));
        }
    }
    let (last, acknowledged) = (last?, acknowledged?);
    (last.sequence < acknowledged.sequence).then(|| {
        let name = journals.last().map(Journal::name).unwrap_or_default();
        format!(
            "the groups of changes {} to {} were acknowledged, and are not in {name}",
            last.sequence + 1,
            acknowledged.sequence
        )
    })
}

/// Cuts off an unfinished write, and what follows the last group that counts, if one is given.
fn cut(journals: &[Journal], last: Option<Tally>) -> io::Result<()> {
    let refused = |batch: &&Batch| {
        let sequence = batch.tally.map(|tally| tally.sequence);
        sequence > last.map(|last| last.sequence)
    };
    for journal in journals {
        let first = last.and_then(|_| journal.batches.iter().find(refused));
        let end = first.map_or(journal.end, |batch| batch.start);
        if first.is_none() && journal.rest == 0 {
            continue;
        }
        let file = OpenOptions::new().write(true).open(&journal.path)?;
        file.set_len(end as u64)?;
        file.sync_all()?;
        let bytes = journal.end + journal.rest - end;
        let groups = journal.batches.iter().filter(refused).count();
        let groups = if first.is_some() { groups } else { 0 };
        tracing::warn!(
            file = %journal.path.display(),
            bytes,
            groups,
            "the end of the store's journal was never acknowledged to anybody; it is dropped"
        );
    }
    Ok(())
}
