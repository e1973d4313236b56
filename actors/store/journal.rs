//! A reader of the engine's journal that only reads, and is stricter than the engine's own, which takes any damage for the
//! end of the file, and cuts it off there.
//!
//! ```text
//! batch = 1 items:u32 seqno:u64  entry…  3 xxh3(entries):u64 "FJL" 3          (numbers little endian)
//! entry = 2 type:u8 compression:u8 keyspace:u64 key:u16 value:u32 stored:u32 bytes… bytes…
//!       | 4 keyspace:u64
//! ```

use std::io;
use std::path::{Path, PathBuf};

use memchr::memchr;
use xxhash_rust::xxh3::xxh3_64;

use super::proof::Tally;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: &[u8] = b"FJL\x03";
/// The key that a group's [`Tally`] is stored under, in a keyspace of its own.
pub(super) const TALLY_KEY: &[u8] = b"rollcall/tally";

/// A batch as it stands in a journal: a group of commits.
#[derive(Debug)]
pub(super) struct Batch {
    /// Where it begins and ends.
    pub start: usize,
    pub end: usize,
    /// The engine's own number.
    pub seqno: u64,
    /// Ours; `None`: written by a version that had none.
    pub tally: Option<Tally>,
    pub items: Vec<Item>,
}

/// A changed key.
#[derive(Debug)]
pub(super) struct Item {
    /// Offset and length in the file.
    key: (usize, usize),
    value: (usize, usize),
    /// Of the value, once it is unpacked.
    size: usize,
    packed: bool,
    pub removed: bool,
}

impl Item {
    pub fn key<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.key.0..self.key.0 + self.key.1]
    }

    /// The value; `None` if it can't be unpacked.
    pub fn value(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let stored = &bytes[self.value.0..self.value.0 + self.value.1];
        match self.packed {
            true => lz4_flex::decompress(stored, self.size).ok(),
            false => Some(stored.to_vec()),
        }
    }
}

/// A journal file.
#[derive(Debug)]
pub(super) struct Journal {
    pub path: PathBuf,
    /// Whole batches from the beginning on.
    pub batches: Vec<Batch>,
    /// Where the last of them ends.
    pub end: usize,
    /// Bytes behind it, up to the last that is not zero: an unfinished write, or damage.
    pub rest: usize,
    /// Whole batches behind something that is none: what is between them is damage, as nothing is written before the last
    /// batch is on disk.
    pub beyond: Vec<Batch>,
}

impl Journal {
    fn read(path: PathBuf) -> io::Result<Self> {
        let bytes = std::fs::read(&path)?;
        let mut batches: Vec<Batch> = Vec::new();
        let mut end = 0;
        while let Some(batch) = batch(&bytes, end) {
            let last = batches.last().map(|last| last.seqno);
            if last.is_some_and(|last| batch.seqno <= last) {
                break;
            }
            end = batch.end;
            batches.push(batch);
        }
        let rest = used(&bytes).saturating_sub(end);
        let beyond = beyond(&bytes, end, end + rest);
        Ok(Self {
            path,
            batches,
            end,
            rest,
            beyond,
        })
    }

    /// All of a folder, oldest first.
    pub fn all(folder: &Path) -> io::Result<Vec<Self>> {
        Self::paths(folder)?.into_iter().map(Self::read).collect()
    }

    /// Where they are, oldest first.
    pub fn paths(folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let number = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.strip_suffix(".jnl"))
                .and_then(|name| name.parse::<u64>().ok());
            found.extend(number.map(|number| (number, path)));
        }
        found.sort();
        Ok(found.into_iter().map(|(_, path)| path).collect())
    }

    /// What lies among them that the engine takes for one, and can't read: names, and why.
    pub fn strays(folder: &Path) -> io::Result<Vec<(String, &'static str)>> {
        let mut strays = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some((stem, end)) = name.rsplit_once('.') else {
                continue;
            };
            if !end.eq_ignore_ascii_case("jnl") {
                continue;
            }
            if end != "jnl" || stem.parse::<u64>().is_err() {
                strays.push((name, "it is not named as the engine names its journals"));
            } else if !entry.file_type()?.is_file() {
                strays.push((name, "it is no file, or a link to one"));
            }
        }
        Ok(strays)
    }

    /// The file's name.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

/// How far a file is used: up to the last byte that is not zero. The engine makes journals of 64 MiB, so whole pages are looked at.
pub(super) fn used(bytes: &[u8]) -> usize {
    const PAGE: [u8; 4096] = [0; 4096];
    let mut end = bytes.len();
    while bytes[..end].ends_with(&PAGE) {
        end -= PAGE.len();
    }
    let last = bytes[..end].iter().rposition(|byte| *byte != 0);
    last.map_or(0, |last| last + 1)
}

/// Batches between two places, wherever they begin.
fn beyond(bytes: &[u8], mut at: usize, end: usize) -> Vec<Batch> {
    let mut found = Vec::new();
    while let Some(offset) = bytes.get(at..end).and_then(|bytes| memchr(START, bytes)) {
        at += offset;
        match batch(bytes, at) {
            Some(batch) => {
                at = batch.end;
                found.push(batch);
            }
            None => at += 1,
        }
    }
    found
}

/// The whole batch that begins here.
pub(super) fn batch(bytes: &[u8], start: usize) -> Option<Batch> {
    let (batch, whole) = outline(bytes, start)?;
    whole.then_some(batch)
}

/// What seems to be a batch, and whether it is whole: its lengths fit together up to its end, but what they enclose may be damaged.
pub(super) fn outline(bytes: &[u8], start: usize) -> Option<(Batch, bool)> {
    let mut reader = Reader { bytes, at: start };
    let begins = reader.u8()? == START;
    let count = reader.u32()?;
    let seqno = reader.u64()?;
    let first = reader.at;
    let mut items = Vec::new();
    let mut tally = None;
    for _ in 0..count {
        match reader.u8()? {
            ITEM => {
                let item = reader.item()?;
                if item.key(bytes) == TALLY_KEY {
                    tally = item.value(bytes).and_then(|value| Tally::decode(&value));
                } else {
                    items.push(item);
                }
            }
            CLEAR => drop(reader.u64()?),
            _ => return None,
        }
    }
    let entries = &bytes[first..reader.at];
    let ends = (reader.u8()?, reader.u64()?, reader.take(4)?);
    let whole = begins && ends == (END, xxh3_64(entries), TRAILER);
    let batch = Batch {
        start,
        end: reader.at,
        seqno,
        tally,
        items,
    };
    Some((batch, whole))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    /// An item behind its first byte.
    fn item(&mut self) -> Option<Item> {
        let (kind, packing) = (self.u8()?, self.u8()?);
        // The keyspace: what it is shows by the key.
        self.u64()?;
        let key = self.take(2)?.try_into().ok().map(u16::from_le_bytes)?;
        let (size, stored) = (self.u32()? as usize, self.u32()? as usize);
        let key = (self.at, usize::from(key));
        self.take(key.1)?;
        let value = (self.at, stored);
        self.take(stored)?;
        let sound = kind <= 2 && packing <= 1 && (packing == 1 || size == stored);
        sound.then_some(Item {
            key,
            value,
            size,
            packed: packing == 1,
            removed: kind != 0,
        })
    }
}
