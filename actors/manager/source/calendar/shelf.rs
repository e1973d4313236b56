//! The calendar files of a source: read when they change, evaluated when asked. Blocking, so not for an actor's thread.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono_tz::Tz;
use rollcall_core::manager::Presence;
use rollcall_core::time::Timestamp;

use super::lines::MAX_LEN;
use super::state::Calendar;
use crate::config::{CalendarPath, CalendarSource, TimeZone, address};

/// The calendar of `demo:`.
const DEMO: &[u8] = include_bytes!("demo.ics");

/// The files of a source, with what was good of each last.
#[derive(Debug)]
pub(super) struct Shelf {
    path: CalendarPath,
    /// Whose calendar a file is; `{name}` stands for the file's name.
    template: String,
    zone: Tz,
    files: BTreeMap<PathBuf, Volume>,
    /// What is wrong with the folder, or the only file.
    error: Option<String>,
}

#[derive(Debug, Default)]
struct Volume {
    stamp: Option<Stamp>,
    good: Option<(String, Calendar)>,
    error: Option<String>,
}

/// A file with another stamp has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: SystemTime,
}

/// What came of looking at the files.
#[derive(Debug, Default)]
pub(super) struct Visit {
    /// The state of each presentity, by its name.
    pub says: BTreeMap<String, Presence>,
    /// When one of them may next change.
    pub next_change: Option<Timestamp>,
    /// What is wrong that was not so before, a sentence each with file and line.
    pub errors: Vec<String>,
    /// How many files were read.
    pub reads: u64,
    /// How many files there are, and how many of them are in error now.
    pub files: usize,
    /// How many of them are wrong in their present form.
    pub wrong: usize,
}

impl Shelf {
    pub fn new(source: &CalendarSource) -> Self {
        Self {
            path: source.path.clone(),
            template: source.presentity.clone(),
            zone: match source.timezone {
                TimeZone::Named(zone) => zone,
                TimeZone::System => system_zone(),
            },
            files: BTreeMap::new(),
            error: None,
        }
    }

    /// The states at `now`; with `look` the files are looked at for changes first.
    pub fn visit(&mut self, now: Timestamp, look: bool) -> Visit {
        let mut visit = Visit::default();
        if look {
            self.look(&mut visit);
        }
        for (_, volume) in self.files.iter_mut() {
            let Some((entity, calendar)) = &volume.good else {
                continue;
            };
            let (presence, change) = calendar.state_at(entity, now);
            visit.next_change = visit.next_change.into_iter().chain(change).min();
            visit.says.entry(entity.clone()).or_insert(presence);
        }
        visit.files = self.files.len();
        visit.wrong = self
            .files
            .values()
            .filter(|volume| volume.error.is_some())
            .count()
            + usize::from(self.error.is_some());
        visit
    }

    fn look(&mut self, visit: &mut Visit) {
        let path = match &self.path {
            CalendarPath::Demo => return self.look_at_demo(visit),
            CalendarPath::File(path) => path.clone(),
        };
        let found = match list(&path) {
            Ok(found) => found,
            Err(error) => {
                // What cannot be reached (a network drive, say) is not gone: the last good states stay.
                let sentence = format!("{}: can't be read: {error}", path.display());
                if self.error.as_ref() != Some(&sentence) {
                    visit.errors.push(sentence.clone());
                }
                self.error = Some(sentence);
                return;
            }
        };
        self.error = None;
        self.files.retain(|path, _| found.contains_key(path));
        let mut owners: BTreeMap<String, PathBuf> = BTreeMap::new();
        for (path, stamp) in found {
            let mut volume = self.files.remove(&path).unwrap_or_default();
            if volume.stamp.is_none() || volume.stamp != stamp {
                visit.reads += 1;
                let before = volume.error.take();
                match self.read(&path) {
                    Ok(good) => volume.good = Some(good),
                    Err(error) => {
                        if before.as_ref() != Some(&error) {
                            visit.errors.push(error.clone());
                        }
                        volume.error = Some(error);
                    }
                }
                volume.stamp = stamp;
            }
            if let Some((entity, _)) = &volume.good {
                if let Some(other) = owners.get(entity) {
                    let sentence = format!(
                        "{}: it is about {entity}, and so is {}, which counts",
                        path.display(),
                        other.display()
                    );
                    if volume.error.as_ref() != Some(&sentence) {
                        visit.errors.push(sentence.clone());
                    }
                    volume.error = Some(sentence);
                } else {
                    owners.insert(entity.clone(), path.clone());
                }
            }
            self.files.insert(path, volume);
        }
    }

    fn look_at_demo(&mut self, visit: &mut Visit) {
        if !self.files.is_empty() {
            return;
        }
        visit.reads += 1;
        let mut volume = Volume::default();
        match Calendar::read(DEMO, self.zone) {
            Ok(calendar) => volume.good = Some((self.template.replace("{name}", "demo"), calendar)),
            Err(error) => visit.errors.push(format!("demo:{error}")),
        }
        self.files.insert(PathBuf::from("demo:"), volume);
    }

    fn read(&self, path: &Path) -> Result<(String, Calendar), String> {
        let name = path.display();
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_LEN as u64 + 1).read_to_end(&mut bytes))
            .map_err(|error| format!("{name}: can't be read: {error}"))?;
        let calendar =
            Calendar::read(&bytes, self.zone).map_err(|error| format!("{name}:{error}"))?;
        let entity = self.entity(path, &calendar);
        match address::presentity(&entity) {
            Ok(entity) => Ok((entity, calendar)),
            Err(reason) => Err(format!("{name}: whose calendar is it? {entity:?} {reason}")),
        }
    }

    /// Whose calendar it is: what is configured, or where that leaves it open, what the file says or how it is named.
    fn entity(&self, path: &Path, calendar: &Calendar) -> String {
        if !self.template.contains("{name}") {
            return self.template.clone();
        }
        if let Some(presentity) = calendar.presentity() {
            return presentity.to_owned();
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if name.contains('@') {
            return format!("sip:{name}");
        }
        self.template.replace("{name}", &name)
    }
}

/// The files at a path, with their stamps.
fn list(path: &Path) -> io::Result<BTreeMap<PathBuf, Option<Stamp>>> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_dir() {
        return Ok(BTreeMap::from([(path.to_owned(), stamp(&metadata))]));
    }
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        let calendar = path
            .extension()
            .is_some_and(|ext| ext.eq_ignore_ascii_case("ics"));
        // A file that went away since is as good as never listed.
        if let Some(metadata) = std::fs::metadata(&path).ok().filter(|_| calendar)
            && metadata.is_file()
        {
            found.insert(path, stamp(&metadata));
        }
    }
    Ok(found)
}

/// `None` when the file has only just been written: it may be written again without a change of its time.
fn stamp(metadata: &std::fs::Metadata) -> Option<Stamp> {
    let modified = metadata.modified().ok()?;
    let settled = SystemTime::now()
        .duration_since(modified)
        .is_ok_and(|age| age > Duration::from_secs(2));
    settled.then_some(Stamp {
        len: metadata.len(),
        modified,
    })
}

fn system_zone() -> Tz {
    iana_time_zone::get_timezone()
        .ok()
        .and_then(|name| name.parse().ok())
        .unwrap_or(Tz::UTC)
}
