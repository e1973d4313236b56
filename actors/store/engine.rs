//! What the store's thread writes to: fjall in a folder, with our own proof beside it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use rollcall_core::registry::{Record, RecordError, Version, describe};
use rustc_hash::FxHashMap;

use super::error::words;
use super::files;
use super::journal::TALLY_KEY;
use super::pace::Pace;
use super::preflight::preflight;
use super::proof::{Mark, Proof, Tally, hash};
use super::value::{decode, number};
use super::{Share, StoreError};

/// State is in RAM and read once, so blocks need not stay.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// What gathers in memory before it goes to a table on disk, where each change of a publication takes another kilobyte: four times
/// as much was no cheaper, and each first touch of memory costs.
const MEMTABLE_BYTES: u64 = 16 * 1024 * 1024;
/// The same for tallies, of which only the last one is of use.
const TALLY_BYTES: u64 = 1024 * 1024;
/// Smallest that fjall takes: what is replayed after an unclean exit.
const JOURNAL_BYTES: u64 = 64 * 1024 * 1024;

/// Version of what stands in the folder. 1 had no tallies; it is taken over.
pub(super) const FORMAT: u64 = 2;
/// Records read between two looks at the clock.
const LOOK: usize = 256;
const FORMAT_KEY: &str = "format";
const EPOCH_KEY: &str = "epoch";

/// A key's change within a group.
#[derive(Debug)]
pub(super) struct Written {
    /// Hash of the record that was stored before the group.
    pub before: Option<u64>,
    /// The value as it becomes; `None`: removed.
    pub value: Option<Vec<u8>>,
}

/// The changes of a group.
pub(super) type Changes = FxHashMap<Vec<u8>, Written>;

/// Something that keeps groups of changes. After an error it is not used any more, but opened again.
pub(super) trait Engine: Send {
    /// Looks at a record's value.
    fn look(&self, key: &[u8], read: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StoreError>;

    /// Writes a group, and has it on disk when it returns. `tally`: of all records after it.
    fn write(&mut self, changes: &Changes, tally: Tally) -> Result<(), StoreError>;

    /// Every record. Compares them with the tally.
    fn load(&mut self) -> Result<Vec<(Version, Record)>, StoreError>;

    /// What reads the records of one shard, on any thread.
    fn reader(&self, share: Share) -> Reading;

    /// Begins a new epoch, and has it on disk.
    fn advance(&mut self, epoch: u64, tally: Tally) -> Result<(), StoreError>;

    /// The proof beside it.
    fn proof(&self) -> Option<Arc<Proof>>;
}

/// Reads records when it is called.
pub(super) type Reading = Box<dyn FnOnce() -> Result<Vec<(Version, Record)>, StoreError> + Send>;

/// What was opened.
pub(super) struct Opened {
    pub engine: Box<dyn Engine>,
    /// Of what is stored.
    pub tally: Tally,
    /// The epoch before this opening.
    pub epoch: u64,
}

/// Opens an engine, again and again.
pub(super) trait Opener: Send {
    /// `expected`: what is known to be stored, and all that may be found; nothing at the first time.
    fn open(&self, expected: Option<Tally>) -> Result<Opened, StoreError>;

    /// Whether the disk takes a file at present.
    fn probe(&self) -> std::io::Result<()>;
}

/// A folder.
#[derive(Clone, Debug)]
pub(super) struct Folder(pub PathBuf);

impl Opener for Folder {
    fn open(&self, expected: Option<Tally>) -> Result<Opened, StoreError> {
        // The engine trusts what it reads in places.
        let opening = AssertUnwindSafe(|| Fjall::open(&self.0, expected));
        catch_unwind(opening).unwrap_or_else(|panic| {
            Err(StoreError::damaged(
                &self.0,
                &super::error::panicked(&*panic),
            ))
        })
    }

    fn probe(&self) -> std::io::Result<()> {
        files::probe(&self.0)
    }
}

/// fjall in a folder.
struct Fjall {
    // Released last: as long as it is locked, nobody else opens the folder.
    database: Database,
    records: Keyspace,
    meta: Keyspace,
    tallies: Keyspace,
    path: PathBuf,
    tally: Tally,
    epoch: u64,
    /// What was read to be verified, for whoever asks for it before anything changes.
    loaded: Option<Vec<(Version, Record)>>,
    proof: Arc<Proof>,
}

impl Fjall {
    fn open(path: &Path, expected: Option<Tally>) -> Result<Opened, StoreError> {
        let (proof, mark) = preflight(path, expected)?;
        let database = database(path)?;
        let wrong = |error| StoreError::open(path, error);
        let keyspace = |name, memtable| {
            let options = || KeyspaceCreateOptions::default().max_memtable_size(memtable);
            database.keyspace(name, options).map_err(wrong)
        };
        let meta = keyspace("meta", TALLY_BYTES)?;
        let records = keyspace("records", MEMTABLE_BYTES)?;
        let tallies = keyspace("tallies", TALLY_BYTES)?;
        let format = meta.get(FORMAT_KEY).map_err(wrong)?;
        let format = format.as_deref().map(number);
        let stored = tallies.get(TALLY_KEY).map_err(wrong)?;
        let stored = stored.as_deref().and_then(Tally::decode);
        let epoch = meta.get(EPOCH_KEY).map_err(wrong)?;
        let epoch = epoch.as_deref().and_then(number).unwrap_or(0);
        let known = mark.unwrap_or_default();
        let mut engine = Self {
            database,
            records,
            meta,
            tallies,
            path: path.to_owned(),
            tally: stored.unwrap_or_default(),
            epoch: epoch.max(known.epoch),
            loaded: None,
            proof: Arc::new(proof),
        };
        match (format, stored, mark) {
            // New, or of the version before.
            (None | Some(Some(1)), None, None) => {
                let (records, found) = engine.read()?;
                engine.loaded = Some(records);
                engine.tally = found;
            }
            // The first group is written before the file.
            (Some(Some(FORMAT)), Some(stored), None) if stored.sequence > 1 => {
                return Err(StoreError::damaged(path, "the file `proof` is gone"));
            }
            (Some(Some(FORMAT)), Some(stored), _) => {
                if let Some(missing) = missing(stored, known, expected) {
                    return Err(StoreError::damaged(path, &missing));
                }
                let records = engine.load()?;
                engine.loaded = Some(records);
            }
            (Some(Some(FORMAT)) | None, _, _) => {
                let what = "what says how many records there are is gone";
                return Err(StoreError::damaged(path, what));
            }
            (Some(found), _, _) => {
                return Err(StoreError::Format {
                    path: path.to_owned(),
                    found: found.map_or("?".to_owned(), |found| found.to_string()),
                    known: FORMAT,
                });
            }
        }
        let (tally, epoch) = (engine.tally, engine.epoch);
        files::tighten(path);
        Ok(Opened {
            engine: Box::new(engine),
            tally,
            epoch,
        })
    }

    fn read(&self) -> Result<(Vec<(Version, Record)>, Tally), StoreError> {
        let wrong = |error| StoreError::open(&self.path, error);
        let mut found = Tally {
            sequence: self.tally.sequence,
            ..Tally::default()
        };
        let mut records = Vec::new();
        let mut pace = Pace::new();
        for entry in self.records.iter() {
            let (key, value) = entry.into_inner().map_err(wrong)?;
            found.add(hash(&key, &value));
            let record = decode(&value);
            records.push(record.map_err(|why| unreadable(&self.path, &key, &value, why))?);
            if records.len().is_multiple_of(LOOK) && pace.due() {
                // Before format 2 nothing says how many there are.
                let of = Some(self.tally.count).filter(|count| *count > 0);
                tracing::info!(records = records.len(), of, "reading the store");
            }
        }
        Ok((records, found))
    }
}

fn unreadable(path: &Path, key: &[u8], value: &[u8], why: RecordError) -> StoreError {
    StoreError::Unreadable {
        path: path.to_owned(),
        record: describe(key, value.get(8..).unwrap_or_default()),
        why,
    }
}

/// Reads what is stored for one shard. Of the rest nothing but its owner is looked at.
fn read_share(
    records: &Keyspace,
    share: Share,
    path: &Path,
) -> Result<Vec<(Version, Record)>, StoreError> {
    let mut own = Vec::new();
    let shard = share.shard;
    let mut pace = Pace::new();
    for (count, entry) in records.iter().enumerate() {
        let (key, value) = entry.into_inner().map_err(StoreError::failed)?;
        let owner = value
            .get(8..)
            .ok_or(RecordError::Truncated("version"))
            .and_then(Record::aor_in);
        let unreadable = |why| unreadable(path, &key, &value, why);
        if share.holds(owner.map_err(unreadable)?) {
            own.push(decode(&value).map_err(unreadable)?);
        }
        if count.is_multiple_of(LOOK) && pace.due() {
            tracing::info!(
                shard,
                records = own.len(),
                of_all = count,
                "reading the store for a shard"
            );
        }
    }
    Ok(own)
}

/// Which acknowledged groups are missing, in words.
fn missing(stored: Tally, known: Mark, expected: Option<Tally>) -> Option<String> {
    let last = expected.map_or(known.tally.sequence, |expected| expected.sequence);
    (stored.sequence < last).then(|| {
        let first = stored.sequence + 1;
        format!("the groups of changes {first} to {last} were acknowledged, and are not there")
    })
}

fn database(path: &Path) -> Result<Database, StoreError> {
    Database::builder(path)
        .cache_size(CACHE_BYTES)
        .max_journaling_size(JOURNAL_BYTES)
        // Flushing a few megabytes now and then is no work for more.
        .worker_threads(1)
        .open()
        .map_err(|error| StoreError::open(path, error))
}

impl Engine for Fjall {
    fn look(&self, key: &[u8], read: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StoreError> {
        let value = self.records.get(key).map_err(StoreError::failed)?;
        read(value.as_deref());
        Ok(())
    }

    fn write(&mut self, changes: &Changes, tally: Tally) -> Result<(), StoreError> {
        self.loaded = None;
        let mut batch = self
            .database
            .batch()
            .durability(Some(PersistMode::SyncData));
        for (key, written) in changes {
            match &written.value {
                Some(value) => batch.insert(&self.records, key.as_slice(), value.as_slice()),
                None => batch.remove(&self.records, key.as_slice()),
            }
        }
        batch.insert(&self.tallies, TALLY_KEY, tally.encode());
        batch.commit().map_err(StoreError::failed)?;
        self.tally = tally;
        // Behind the records: it must not prove what is not there.
        let mark = Mark {
            tally,
            epoch: self.epoch,
            void: false,
        };
        self.proof.write(mark).map_err(|error| {
            StoreError::Failed(format!("the file `proof` can't be written: {error}"))
        })
    }

    fn load(&mut self) -> Result<Vec<(Version, Record)>, StoreError> {
        if let Some(loaded) = self.loaded.take() {
            return Ok(loaded);
        }
        let (records, found) = self.read()?;
        if found != self.tally {
            let (there, should) = (found.count, self.tally.count);
            let what = match there == should {
                true => "records have another content than was stored".to_owned(),
                false => format!("there are {there} records where {should} were stored"),
            };
            return Err(StoreError::damaged(&self.path, &what));
        }
        Ok(records)
    }

    fn reader(&self, share: Share) -> Reading {
        let (records, path) = (self.records.clone(), self.path.clone());
        Box::new(move || read_share(&records, share, &path))
    }

    fn advance(&mut self, epoch: u64, tally: Tally) -> Result<(), StoreError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(&self.meta, FORMAT_KEY, FORMAT.to_be_bytes());
        batch.insert(&self.meta, EPOCH_KEY, epoch.to_be_bytes());
        batch.insert(&self.tallies, TALLY_KEY, tally.encode());
        batch.commit().map_err(StoreError::failed)?;
        self.epoch = epoch;
        self.tally = tally;
        let mark = Mark {
            tally,
            epoch,
            void: false,
        };
        let marked = self.proof.write(mark).and_then(|()| self.proof.sync());
        marked.map_err(|error| {
            StoreError::Failed(format!("the file `proof` can't be written: {error}"))
        })
    }

    fn proof(&self) -> Option<Arc<Proof>> {
        Some(self.proof.clone())
    }
}

impl StoreError {
    /// The engine can't open its files.
    pub(super) fn open(path: &Path, error: fjall::Error) -> Self {
        match error {
            fjall::Error::Locked => Self::InUse(path.to_owned()),
            fjall::Error::Io(source) if !is_damage(&source) => Self::Open {
                path: path.to_owned(),
                source,
            },
            error => Self::damaged(path, &words(&error)),
        }
    }

    /// The engine failed later.
    pub(super) fn failed(error: fjall::Error) -> Self {
        Self::Failed(words(&error))
    }
}

/// Whether an error of the system means that a file is not as it was left.
fn is_damage(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, NotFound, Other, UnexpectedEof};
    matches!(
        error.kind(),
        InvalidData | InvalidInput | NotFound | Other | UnexpectedEof
    )
}
