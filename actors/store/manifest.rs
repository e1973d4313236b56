//! Which tables count: the engine writes a list anew with each change, and leaves the file `current` to say which list holds. A
//! table that is in no list was merged into others, or never finished.

use std::fs;
use std::path::Path;

use super::table::contents;
use xxhash_rust::xxh3::xxh3_128;

/// The numbers of the tables that count; or why nobody can say.
pub(super) fn tables(folder: &Path) -> Result<Vec<u64>, String> {
    let current = fs::read(folder.join("current"))
        .map_err(|error| format!("`current` can't be read: {error}"))?;
    let (version, checksum) = number(&current)
        .zip(current.get(8..24))
        .filter(|_| current.len() == 25)
        .ok_or("`current` is not what the engine writes there")?;
    let name = format!("v{version}");
    let list = fs::read(folder.join(&name))
        .map_err(|error| format!("`{name}`, which `current` names, can't be read: {error}"))?;
    if xxh3_128(&list).to_le_bytes() != checksum {
        return Err(format!("`{name}` is not what `current` says"));
    }
    read(&list).ok_or_else(|| format!("`{name}` is not what the engine writes there"))
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?))
}

/// The numbers in a list.
///
/// ```text
/// contents = "TOC!" sections:u32 (place:u64 length:u64 name:u16 bytes…)…
/// tables   = levels:u8 (runs:u8 (tables:u32 (number:u64 0 checksum:u128 seqno:u64)…)…)…
/// ```
fn read(list: &[u8]) -> Option<Vec<u64>> {
    let (_, contents) = contents(list)?;
    let mut rest = contents.get(8..)?;
    let section = loop {
        let (place, length) = (number(rest)?, number(rest.get(8..)?)?);
        let name = usize::from(u16::from_le_bytes(rest.get(16..18)?.try_into().ok()?));
        if rest.get(18..18 + name)? == b"tables" {
            let place = usize::try_from(place).ok()?;
            break list.get(place..place.checked_add(usize::try_from(length).ok()?)?)?;
        }
        rest = rest.get(18 + name..)?;
    };
    let mut found = Vec::new();
    let (levels, mut rest) = section.split_first()?;
    for _ in 0..*levels {
        let (runs, after) = rest.split_first()?;
        rest = after;
        for _ in 0..*runs {
            let (count, after) = rest.split_at_checked(4)?;
            rest = after;
            for _ in 0..u32::from_le_bytes(count.try_into().ok()?) {
                found.push(number(rest)?);
                rest = rest.get(33..)?;
            }
        }
    }
    rest.is_empty().then_some(found)
}
