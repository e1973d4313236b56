//! A table of the engine: blocks of data in the order of their keys, then an index, a filter, a line of text about itself, and a table of
//! contents. It is written once and never changed.
//!
//! A block whose header proves itself says where the next one begins, whatever is wrong with its data. Where a header is
//! damaged, the rest is found by looking for the next one, and taken only if from there on whole blocks lead up to the table of contents
//! without a gap: a document that somebody published may well look like blocks, but can't hold the end of the file.

use memchr::memmem;
use xxhash_rust::xxh3::xxh3_128;

use super::block::{Entry, Header, Kind, entries};

/// Stands between the filter and the last block, in a section of its own.
const TABLE_VERSION: u8 = 3;
/// Bytes of the file's last part: "SFA!" 1 0 xxh3(contents):u128 place:u64 length:u64.
const TAIL: usize = 38;

/// A part of a file that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub start: usize,
    pub end: usize,
    /// Records stood there, perhaps; else what helps to find them.
    pub data: bool,
    /// The last key before it, and the first behind.
    pub after: Option<Vec<u8>>,
    pub before: Option<Vec<u8>>,
}

impl Gap {
    /// Whether this key may have stood there.
    pub fn may_hold(&self, key: &[u8]) -> bool {
        let behind = self.after.as_deref().is_none_or(|after| after <= key);
        behind && self.before.as_deref().is_none_or(|before| key <= before)
    }
}

/// What is in a table.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub entries: Vec<Entry>,
    pub gaps: Vec<Gap>,
}

/// Where the table of contents begins, if it is as it was written.
pub(super) fn contents(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let tail = bytes.get(bytes.len().checked_sub(TAIL)?..)?;
    if !tail.starts_with(b"SFA!\x01\x00") {
        return None;
    }
    let number = |at: usize| Some(u64::from_le_bytes(tail[at..at + 8].try_into().ok()?));
    let place = usize::try_from(number(22)?).ok()?;
    let contents = bytes.get(place..bytes.len() - TAIL)?;
    let checksum = u128::from_le_bytes(tail[6..22].try_into().ok()?);
    let whole = number(30)? == contents.len() as u64 && xxh3_128(contents) == checksum;
    (whole && contents.starts_with(b"TOC!")).then_some((place, contents))
}

impl Table {
    pub fn read(bytes: &[u8]) -> Self {
        let contents = contents(bytes).map(|(place, _)| place);
        let end = contents.unwrap_or(bytes.len());
        let mut table = Self::default();
        let mut at = 0;
        let mut kinds = Vec::new();
        while at < end {
            let header = Header::read(bytes, at).filter(|header| header.end(at) <= end);
            let Some(header) = header else {
                // The one byte that is no block.
                if bytes[at] == TABLE_VERSION && starts(bytes, at + 1, Kind::Meta) {
                    at += 1;
                    continue;
                }
                let next = contents.and_then(|end| resume(bytes, at + 1, end));
                // What follows the blocks of data is of the engine alone.
                let data = !kinds.contains(&Kind::Index);
                table.lose(at, next.unwrap_or(end), data);
                match next {
                    Some(next) => at = next,
                    None => break,
                }
                continue;
            };
            kinds.push(header.kind);
            let next = header.end(at);
            let data = header.data(bytes, at);
            match (header.kind, data.and_then(|data| entries(header, data))) {
                (Kind::Data, Some(found)) => table.take(found),
                (Kind::Data, None) => table.lose(at, next, true),
                _ if data.is_none() => table.lose(at, next, false),
                _ => {}
            }
            at = next;
        }
        if contents.is_none() && table.gaps.is_empty() {
            let start = bytes.len().saturating_sub(TAIL);
            table.lose(start, bytes.len(), kinds.last() != Some(&Kind::Meta));
        }
        table
    }

    fn take(&mut self, found: Vec<Entry>) {
        if let (Some(first), Some(gap)) = (found.first(), self.gaps.last_mut()) {
            gap.before.get_or_insert_with(|| first.key.clone());
        }
        self.entries.extend(found);
    }

    fn lose(&mut self, start: usize, end: usize, data: bool) {
        self.gaps.push(Gap {
            start,
            end,
            data,
            after: self.entries.last().map(|entry| entry.key.clone()),
            before: None,
        });
    }
}

/// Whether a block of this kind begins here, and is whole.
fn starts(bytes: &[u8], at: usize, kind: Kind) -> bool {
    let header = Header::read(bytes, at).filter(|header| header.kind == kind);
    header.is_some_and(|header| header.data(bytes, at).is_some())
}

/// The next place from which whole blocks lead up to the table of contents.
fn resume(bytes: &[u8], from: usize, contents: usize) -> Option<usize> {
    let places = memmem::find_iter(&bytes[from..contents], b"LSM\x03").map(|place| from + place);
    for place in places {
        let mut at = place;
        while let Some(header) = Header::read(bytes, at)
            && header.data(bytes, at).is_some()
        {
            at = header.end(at);
            if bytes.get(at) == Some(&TABLE_VERSION) && starts(bytes, at + 1, Kind::Meta) {
                at += 1;
            }
        }
        if at == contents {
            return Some(place);
        }
    }
    None
}
