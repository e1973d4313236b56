//! Blocks of the engine's tables, as they stand in a file. Nothing is trusted that a checksum does not prove.
//!
//! ```text
//! block   = "LSM" 3 type:u8 xxh3(data):u128 stored:u32 size:u32 xxh3(the header so far):u32 data…     (numbers little endian)
//! data    = entry… 255 index… trailer
//! trailer = interval:u8 step:u8 3×u32 hash:u32 13 unused, of which the last 4 are the number of entries
//! entry   = type:u8 seqno:v key:v bytes… [value:v bytes…]               each `interval`-th; v: seven bits a byte, low ones first
//!         | type:u8 seqno:v shared:v rest:v bytes… [value:v bytes…]     others: `shared` bytes are those of the last whole key
//! ```

use xxhash_rust::xxh3::xxh3_128;

const MAGIC: &[u8] = b"LSM\x03";
/// Bytes of a header.
pub(super) const HEADER: usize = 33;
/// Of which this many stand before its checksum.
const CHECKED: usize = 29;
/// Bytes of the trailer.
const TRAILER: usize = 31;
/// Stands behind the last entry.
const END: u8 = 255;
/// Nothing that we store is larger: a header that says so is none of ours.
const MOST: usize = 1 << 30;

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Index,
    Filter,
    Meta,
}

/// A block's header, which has proven itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub kind: Kind,
    checksum: u128,
    stored: usize,
    size: usize,
}

impl Header {
    /// The header that begins here.
    pub fn read(bytes: &[u8], at: usize) -> Option<Self> {
        let header = bytes.get(at..at.checked_add(HEADER)?)?;
        let number =
            |from: usize| Some(u32::from_le_bytes(header[from..from + 4].try_into().ok()?));
        let low = u32::try_from(xxh3_128(&header[..CHECKED]) & u128::from(u32::MAX)).ok()?;
        if !header.starts_with(MAGIC) || number(CHECKED)? != low {
            return None;
        }
        let kind = match header[4] {
            0 => Kind::Data,
            1 => Kind::Index,
            2 => Kind::Filter,
            3 => Kind::Meta,
            _ => return None,
        };
        let (stored, size) = (number(21)? as usize, number(25)? as usize);
        (size <= MOST).then_some(Self {
            kind,
            checksum: u128::from_le_bytes(header[5..21].try_into().ok()?),
            stored,
            size,
        })
    }

    /// Where a block with this header ends that begins here.
    pub fn end(self, at: usize) -> usize {
        at + HEADER + self.stored
    }

    /// What stands behind it, if that is what was written.
    pub fn data(self, bytes: &[u8], at: usize) -> Option<&[u8]> {
        let data = bytes.get(at + HEADER..self.end(at))?;
        (xxh3_128(data) == self.checksum).then_some(data)
    }
}

/// An entry of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub key: Vec<u8>,
    pub seqno: u64,
    /// `None`: removed.
    pub value: Option<Vec<u8>>,
}

/// The entries of a block of data; `None` if it is none.
pub(super) fn entries(header: Header, data: &[u8]) -> Option<Vec<Entry>> {
    if header.size == data.len()
        && let Some(entries) = parse(data)
    {
        return Some(entries);
    }
    parse(&lz4_flex::decompress(data, header.size).ok()?)
}

fn parse(data: &[u8]) -> Option<Vec<Entry>> {
    let trailer = data.get(data.len().checked_sub(TRAILER)?..)?;
    let interval = usize::from(trailer[0]).max(1);
    let count = u32::from_le_bytes(trailer[TRAILER - 4..].try_into().ok()?) as usize;
    let mut cursor = Cursor(data);
    let mut entries: Vec<Entry> = Vec::new();
    let mut base = Vec::new();
    loop {
        let kind = cursor.take(1)?[0];
        if kind == END {
            return (entries.len() == count).then_some(entries);
        }
        let seqno = cursor.number()?;
        let key = if entries.len().is_multiple_of(interval) {
            let len = cursor.length()?;
            base = cursor.take(len)?.to_vec();
            base.clone()
        } else {
            let (shared, rest) = (cursor.length()?, cursor.length()?);
            let mut key = base.get(..shared)?.to_vec();
            key.extend_from_slice(cursor.take(rest)?);
            key
        };
        let value = match kind {
            0 => {
                let len = cursor.length()?;
                Some(cursor.take(len)?.to_vec())
            }
            1 | 2 => None,
            _ => return None,
        };
        entries.push(Entry { key, seqno, value });
    }
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }
}
