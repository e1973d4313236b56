//! The engine's keyspaces, each a folder of tables with a list of those that count.
//!
//! The engine deletes what it thinks is left over: tables that are in no list, and whole keyspaces without a list, or that its own
//! keyspace (number 0) does not name. So it is not let at a folder where that would be damage.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::manifest;
use super::table::Table;

/// Name of the folder.
pub(super) const FOLDER: &str = "keyspaces";
/// The engine's own: names of the others.
const OWN: u64 = 0;

/// A keyspace.
#[derive(Debug)]
pub(super) struct Keyspace {
    pub number: u64,
    path: PathBuf,
    /// Files, by their numbers.
    pub tables: BTreeMap<u64, PathBuf>,
    /// Those that count, or why nobody can say.
    list: Result<Vec<u64>, String>,
}

impl Keyspace {
    /// Those of a store's folder, in the order of their numbers.
    pub fn all(folder: &Path) -> io::Result<Vec<Self>> {
        let mut found = Vec::new();
        for (number, path) in numbered(&folder.join(FOLDER))? {
            if fs::metadata(&path)?.is_dir() {
                found.push(Self {
                    number,
                    tables: numbered(&path.join("tables"))?,
                    list: manifest::tables(&path),
                    path,
                });
            }
        }
        Ok(found)
    }

    /// The tables that count; all of them, if nobody can say which.
    pub fn counting(&self) -> impl Iterator<Item = (&u64, &PathBuf)> {
        let list = self.list.as_ref();
        let counts = move |number: &u64| list.map_or(true, |list| list.contains(number));
        self.tables.iter().filter(move |(number, _)| counts(number))
    }
}

/// A table. An error names the file.
pub(super) fn read(path: &Path) -> io::Result<Table> {
    let bytes = fs::read(path);
    let bytes = bytes
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    Ok(Table::read(&bytes))
}

/// What is wrong with the keyspaces as a whole, in words: what is in no table's inside.
pub(super) fn wrong(folder: &Path, keyspaces: &[Keyspace]) -> io::Result<Vec<String>> {
    let mut wrong = Vec::new();
    if !folder.join(FOLDER).exists() {
        wrong.push(format!("the folder `{FOLDER}` is gone"));
        return Ok(wrong);
    }
    wrong.extend(strays(&folder.join(FOLDER), true)?);
    for keyspace in keyspaces {
        let number = keyspace.number;
        wrong.extend(strays(&keyspace.path.join("tables"), false)?);
        match &keyspace.list {
            // Made, and nothing put into it, before the process ended.
            Err(_) if keyspace.tables.is_empty() && !keyspace.path.join("current").exists() => {}
            Err(why) => wrong.push(format!(
                "nobody can say which tables count in {FOLDER}/{number}: {why}"
            )),
            Ok(list) => {
                let gone = list
                    .iter()
                    .filter(|table| !keyspace.tables.contains_key(table));
                wrong.extend(
                    gone.map(|table| format!("the table {FOLDER}/{number}/tables/{table} is gone")),
                );
            }
        }
    }
    let Some(own) = keyspaces.iter().find(|keyspace| keyspace.number == OWN) else {
        if keyspaces.iter().any(|keyspace| !keyspace.tables.is_empty()) {
            wrong.push(format!("{FOLDER}/{OWN}, which names the others, is gone"));
        }
        return Ok(wrong);
    };
    let mut named = BTreeMap::new();
    for (_, path) in own.counting() {
        for entry in read(path)?.entries {
            // "n", the number, and the name as value.
            if let Some((b'n', number)) = entry.key.split_first()
                && let Ok(number) = number.try_into()
            {
                named.insert(u64::from_be_bytes(number), entry.value.is_some());
            }
        }
    }
    for keyspace in keyspaces {
        let number = keyspace.number;
        if number != OWN && !keyspace.tables.is_empty() && named.get(&number) != Some(&true) {
            wrong.push(format!(
                "{FOLDER}/{OWN} does not name the keyspace {number}, which has tables"
            ));
        }
    }
    for (number, _) in named.iter().filter(|(_, named)| **named) {
        let found = keyspaces.iter().find(|keyspace| keyspace.number == *number);
        if found.is_none_or(|found| found.list.is_err() && found.tables.is_empty()) {
            wrong.push(format!("the keyspace {FOLDER}/{number} is gone"));
        }
    }
    Ok(wrong)
}

/// Entries that are not named as the engine names them, in words. It passes over files among its folders, and hidden ones.
fn strays(folder: &Path, folders: bool) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut strays = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let kind = entry.file_type()?;
        let passed = match folders {
            true => kind.is_file(),
            false => name == ".DS_Store" || name.starts_with("._"),
        };
        if !passed && (name.parse::<u64>().is_err() || kind.is_dir() != folders) {
            let path = entry.path();
            strays.push(format!("{} is none of the engine's", path.display()));
        }
    }
    Ok(strays)
}

/// Entries of a folder whose names are numbers; none if there is no folder.
fn numbered(folder: &Path) -> io::Result<BTreeMap<u64, PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        entries => entries?,
    };
    let mut found = BTreeMap::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(number) = name.and_then(|name| name.parse().ok()) {
            found.insert(number, path);
        }
    }
    Ok(found)
}
