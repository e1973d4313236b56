//! Reads the keys of a section one by one, and keeps an account of what is wrong and of which keys there are.

use std::collections::BTreeMap;
use std::path::Path;

use super::kind::Kind;
use super::problem::{Place, Problem};
use super::value::{Table, Value, What};
use crate::secret::{self, Exposure};

/// A key as it is known: for the help, and for the test of the shipped files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// With its sections: `publish.min`.
    pub path: String,
    /// As it would be written in the file; an example when it must be given.
    pub written: String,
    /// It has no default.
    pub required: bool,
    /// Its section may come several times: `[[source.calendar]]`.
    pub repeated: bool,
    /// What is allowed, in words.
    pub allowed: String,
    /// What it is for.
    pub help: &'static str,
}

/// What came of reading: problems, warnings, and the keys that were asked for.
#[derive(Debug, Default)]
pub struct Report {
    /// The name of the file in problems.
    pub file: Option<String>,
    /// What must be changed.
    pub problems: Vec<Problem>,
    /// What is only noteworthy.
    pub warnings: Vec<Problem>,
    /// Every key that exists.
    pub keys: Vec<Key>,
    /// Only the keys are wanted: lists of sections are read once as if they had an empty entry.
    pub listing: bool,
}

/// One section while its keys are taken out; what is left at the end is unknown.
#[derive(Debug)]
pub struct Section<'a> {
    path: String,
    repeated: bool,
    table: Table,
    known: Vec<&'static str>,
    places: BTreeMap<&'static str, Place>,
    report: &'a mut Report,
}

impl<'a> Section<'a> {
    /// Reads a whole file, and complains about what is left over.
    pub fn root<T>(
        table: Table,
        report: &'a mut Report,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> T {
        Self::of((String::new(), false), table, report, read)
    }

    fn of<T>(
        (path, repeated): (String, bool),
        table: Table,
        report: &'a mut Report,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> T {
        let mut section = Section {
            path,
            repeated,
            table,
            known: Vec::new(),
            places: BTreeMap::new(),
            report,
        };
        let is = read(&mut section);
        section.finish();
        is
    }

    /// The value of a key, or its default.
    pub fn key<K: Kind>(
        &mut self,
        name: &'static str,
        help: &'static str,
        kind: K,
        default: K::Is,
    ) -> K::Is {
        let written = kind.write(&default);
        self.note(name, help, &kind, written, false);
        self.read(name, &kind).unwrap_or(default)
    }

    /// The value of a key that must be given, with an example as it would be written; `None` is reported already.
    pub fn required<K: Kind>(
        &mut self,
        name: &'static str,
        help: &'static str,
        kind: K,
        example: &str,
    ) -> Option<K::Is> {
        self.note(name, help, &kind, example.to_owned(), true);
        if !self.table.contains_key(name) && !self.report.listing {
            self.problem(
                name,
                format!("it is missing; allowed is {}", kind.allowed()),
            );
        }
        self.read(name, &kind)
    }

    fn note<K: Kind>(
        &mut self,
        name: &'static str,
        help: &'static str,
        kind: &K,
        written: String,
        required: bool,
    ) {
        self.known.push(name);
        let (path, allowed, repeated) = (self.path_of(name), kind.allowed(), self.repeated);
        self.report.keys.push(Key {
            path,
            written,
            required,
            repeated,
            allowed,
            help,
        });
    }

    fn read<K: Kind>(&mut self, name: &'static str, kind: &K) -> Option<K::Is> {
        let (_, value) = self.table.remove(name)?;
        self.places.insert(name, value.at.clone());
        match kind.read(&value) {
            Ok(is) => Some(is),
            Err(wrong) => {
                let sentence = format!("{}; allowed is {}", wrong.sentence, kind.allowed());
                self.push(wrong.at, name, sentence);
                None
            }
        }
    }

    /// Whether the key was written at all; ask after it was read.
    pub fn given(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// The values of a section within this one.
    pub fn section<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> T {
        self.known.push(name);
        let path = self.path_of(name);
        let table = match self.table.remove(name) {
            None => Table::new(),
            Some((
                _,
                Value {
                    what: What::Table(table),
                    ..
                },
            )) => table,
            Some((at, other)) => {
                let sentence = format!(
                    "{} is not allowed; allowed is a section [{path}]",
                    other.quoted()
                );
                self.push(at, name, sentence);
                Table::new()
            }
        };
        Section::of((path, self.repeated), table, self.report, read)
    }

    /// The values of a section that may come several times: `[[source.calendar]]`.
    pub fn sections<T>(
        &mut self,
        name: &'static str,
        mut read: impl FnMut(&mut Section<'_>) -> Option<T>,
    ) -> Vec<T> {
        self.known.push(name);
        let path = self.path_of(name);
        if self.report.listing {
            Section::of((path, true), Table::new(), self.report, |s| read(s));
            return Vec::new();
        }
        let values = match self.table.remove(name) {
            None => return Vec::new(),
            Some((
                _,
                Value {
                    what: What::List(values),
                    ..
                },
            )) => values,
            Some((_, one)) => vec![one],
        };
        let mut all = Vec::new();
        for value in values {
            if let What::Table(table) = value.what {
                all.extend(Section::of((path.clone(), true), table, self.report, |s| {
                    read(s)
                }));
            } else {
                let sentence = format!(
                    "{} is not allowed; allowed are sections [[{path}]]",
                    value.quoted()
                );
                self.push(value.at, name, sentence);
            }
        }
        all
    }

    /// A key of this section is wrong in itself or beside another one.
    pub fn problem(&mut self, name: &'static str, sentence: String) {
        let at = self.places.get(name).cloned().unwrap_or(Place::Nowhere);
        self.push(at, name, sentence);
    }

    /// A key of this section names a file with secrets: nobody else may write it, and not everybody should read it.
    pub fn check_secret(&mut self, name: &'static str, path: &Path) {
        match secret::exposure(path) {
            Exposure::Closed => {}
            Exposure::Readable(sentence) => self.warning(name, sentence),
            Exposure::Writable(sentence) => self.problem(name, sentence),
        }
    }

    /// A key of this section is allowed but worth a word.
    pub fn warning(&mut self, name: &'static str, sentence: String) {
        let place = self.places.get(name).cloned().unwrap_or(Place::Nowhere);
        let (file, key) = (self.report.file.clone(), self.path_of(name));
        self.report.warnings.push(Problem {
            place,
            file,
            key,
            sentence,
        });
    }

    fn push(&mut self, place: Place, name: &str, sentence: String) {
        let (file, key) = (self.report.file.clone(), self.path_of(name));
        self.report.problems.push(Problem {
            place,
            file,
            key,
            sentence,
        });
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    fn finish(mut self) {
        for (name, (at, _)) in std::mem::take(&mut self.table) {
            let near = self
                .known
                .iter()
                .map(|known| (strsim::damerau_levenshtein(known, &name), *known))
                .min()
                .filter(|(distance, known)| *distance <= 1 + known.len() / 3);
            let sentence = match near {
                Some((_, known)) => format!("there is no such key; did you mean {known:?}?"),
                None => format!("there is no such key; there are {}", self.known.join(", ")),
            };
            self.push(at, &name, sentence);
        }
    }
}
