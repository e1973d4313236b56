//! Our own proof of what is stored (docs/adr/0012), as the engine can't tell damage from an unfinished write.
//!
//! Each group is written with a [`Tally`] of all records as they are after it: a number, how many there are, and a digest of
//! them. The last group that was acknowledged stands a second time, with its tally, in the file `proof`. When the store is
//! opened, what the engine gives is counted again and compared with both.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Name of the file, in the store's folder.
pub(super) const FILE: &str = "proof";
/// Distance of the two places that are written in turns, so that a torn write leaves the one before: a sector each.
const SECTOR: u64 = 512;
const MAGIC: [u8; 8] = *b"rollcal1";
/// Bytes of a mark with its checksum.
const MARK: usize = 64;
/// How often the disk is asked to keep the file (`fdatasync`): after a power cut it may be older than the records by so much.
/// A process that is killed loses nothing of it.
const SYNC: Duration = Duration::from_secs(1);

/// What all records together are after a group. The digest is a sum, so that a group's changes are enough to go on with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Number of the group, counted from 1.
    pub sequence: u64,
    /// Records.
    pub count: u64,
    /// Sum of their hashes.
    pub digest: u64,
}

impl Tally {
    /// Counts a record in.
    pub fn add(&mut self, hash: u64) {
        self.count = self.count.wrapping_add(1);
        self.digest = self.digest.wrapping_add(hash);
    }

    /// Counts one out.
    pub fn take(&mut self, hash: u64) {
        self.count = self.count.wrapping_sub(1);
        self.digest = self.digest.wrapping_sub(hash);
    }

    pub fn encode(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.count.to_be_bytes());
        bytes[16..].copy_from_slice(&self.digest.to_be_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == 24).then(|| Self {
            sequence: number(&bytes[..8]),
            count: number(&bytes[8..16]),
            digest: number(&bytes[16..]),
        })
    }
}

/// Hash of a record as it is stored.
pub(super) fn hash(key: &[u8], value: &[u8]) -> u64 {
    xxh3_64_with_seed(value, xxh3_64(key))
}

fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_be_bytes)
}

/// What stands in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// The last group that was acknowledged.
    pub tally: Tally,
    /// The store's epoch.
    pub epoch: u64,
    /// What follows that group was refused to those who asked for it: it must not be found.
    pub void: bool,
}

impl Mark {
    fn encode(self, generation: u64) -> [u8; MARK] {
        let mut bytes = [0; MARK];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&generation.to_be_bytes());
        bytes[16..40].copy_from_slice(&self.tally.encode());
        bytes[40..48].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[48] = u8::from(self.void);
        let checksum = xxh3_64(&bytes[..56]);
        bytes[56..].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    /// With its generation.
    fn decode(bytes: &[u8; MARK]) -> Option<(u64, Self)> {
        let whole = bytes[..8] == MAGIC && number(&bytes[56..]) == xxh3_64(&bytes[..56]);
        let mark = Self {
            tally: Tally::decode(&bytes[16..40])?,
            epoch: number(&bytes[40..48]),
            void: bytes[48] != 0,
        };
        whole.then(|| (number(&bytes[8..16]), mark))
    }
}

/// What a file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing was ever written.
    Nothing,
    /// The newest mark, and whether the other place can be read, too.
    Mark(Mark, bool),
    /// Neither place can be read.
    Damaged,
}

/// The file `proof`, locked while it is open: one process writes a store.
#[derive(Debug)]
pub(super) struct Proof {
    file: File,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    generation: u64,
    mark: Mark,
    /// When it was last on disk for certain; `None`: it is.
    unsynced: Option<Instant>,
}

impl Proof {
    /// The path of the file in a store's folder.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join(FILE)
    }

    /// Opens or makes the file, and reads it. `WouldBlock`: another process has it.
    pub fn open(folder: &Path) -> io::Result<(Self, Found)> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(Self::path(folder))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let (generation, found) = read(&file)?;
        let mark = match found {
            Found::Mark(mark, _) => mark,
            Found::Nothing | Found::Damaged => Mark::default(),
        };
        let proof = Self {
            file,
            state: Mutex::new(State {
                generation,
                mark,
                unsynced: None,
            }),
        };
        Ok((proof, found))
    }

    /// Reads the file without taking it.
    pub fn look(folder: &Path) -> io::Result<Found> {
        match File::open(Self::path(folder)) {
            Ok(file) => Ok(read(&file)?.1),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Puts a mark in the place of the older one.
    pub fn write(&self, mark: Mark) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.put(&mut state, mark)
    }

    fn put(&self, state: &mut State, mark: Mark) -> io::Result<()> {
        let generation = state.generation + 1;
        let place = generation % 2 * SECTOR;
        self.file.write_all_at(&mark.encode(generation), place)?;
        state.generation = generation;
        state.mark = mark;
        state.unsynced.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Says that what follows the last acknowledged group was refused. Whether that is written; waits for nobody.
    pub fn void(&self) -> bool {
        let Ok(mut state) = self.state.try_lock() else {
            return false;
        };
        let mark = Mark {
            void: true,
            ..state.mark
        };
        self.put(&mut state, mark).is_ok()
    }

    /// What was written last.
    #[cfg(test)]
    pub fn mark(&self) -> Option<Mark> {
        self.state.lock().ok().map(|state| state.mark)
    }

    /// When the disk has to be asked next.
    pub fn due(&self) -> Option<Instant> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.unsynced.map(|since| since + SYNC)
    }

    /// Has the disk keep what was written.
    pub fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.file.sync_data()?;
        state.unsynced = None;
        Ok(())
    }
}

/// The generation and what is there.
fn read(file: &File) -> io::Result<(u64, Found)> {
    let mut marks = Vec::new();
    let mut written = false;
    for place in [0, SECTOR] {
        let mut bytes = [0; MARK];
        match file.read_exact_at(&mut bytes, place) {
            Ok(()) => {}
            // The second place is made by the second write.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
            Err(error) => return Err(error),
        }
        written |= bytes != [0; MARK];
        marks.extend(Mark::decode(&bytes));
    }
    let whole = marks.len() == 2;
    Ok(
        match marks.into_iter().max_by_key(|(generation, _)| *generation) {
            Some((generation, mark)) => (generation, Found::Mark(mark, whole)),
            None if written || file.metadata()?.len() > 0 => (0, Found::Damaged),
            None => (0, Found::Nothing),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(sequence: u64) -> Mark {
        let tally = Tally {
            sequence,
            count: 2,
            digest: 3,
        };
        Mark {
            tally,
            epoch: 4,
            void: false,
        }
    }

    #[test]
    fn the_newest_mark_is_found_and_a_damaged_one_leaves_the_one_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Proof::open(folder.path()).expect("a file");
        assert_eq!(open().1, Found::Nothing);
        for sequence in 1..=3 {
            open().0.write(mark(sequence)).expect("written");
        }
        assert_eq!(open().1, Found::Mark(mark(3), true));
        let path = Proof::path(folder.path());
        let sound = std::fs::read(&path).expect("a file");
        // Generation 3 is in the second place.
        for (place, rest) in [(512, 2), (0, 3)] {
            for byte in 0..MARK {
                let mut bytes = sound.clone();
                bytes[place + byte] ^= 1 << (byte % 8);
                std::fs::write(&path, bytes).expect("written");
                assert_eq!(open().1, Found::Mark(mark(rest), false));
            }
        }
        std::fs::write(&path, vec![7; 600]).expect("written");
        assert_eq!(open().1, Found::Damaged);
    }

    #[test]
    fn what_follows_can_be_declared_void_until_the_next_mark() {
        let folder = tempfile::tempdir().expect("a folder");
        let (proof, _) = Proof::open(folder.path()).expect("a file");
        proof.write(mark(1)).expect("written");
        assert!(proof.void());
        let void = Mark {
            void: true,
            ..mark(1)
        };
        assert_eq!(
            Proof::look(folder.path()).expect("read").clone(),
            Found::Mark(void, true)
        );
        proof.write(mark(2)).expect("written");
        assert_eq!(
            Proof::look(folder.path()).expect("read"),
            Found::Mark(mark(2), true)
        );
        let error = Proof::open(folder.path()).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
