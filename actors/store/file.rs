//! `file:PATH`: fjall on a thread of its own, with group commit.
//!
//! The thread takes what is waiting, writes it as one batch, asks the disk once (`fdatasync`), then answers. While the
//! disk works, the next group gathers; nobody waits for a timer. A shard hands the commits of a pass over together, so that
//! the thread does not wake for the first of them alone. What waits is bounded: beyond that a commit is `Overloaded` before
//! anything is done.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
#[cfg(test)]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use actix::prelude::*;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use rollcall_core::exchange::Shard;
use rollcall_core::registry::{Commit, CommitOutcome, OpId, Record, RecordError, Version};

use super::group::Group;
use super::replay::Replay;
use super::{Committed, Counters, Health, Reloaded, Share, Store, StoreError};

/// Commits waiting for the thread.
const WAITING: usize = 16_384;
/// Commits in one group, and those that came with the last of them: keeps the batch, and so the pause, small.
const GROUP: usize = 1024;
/// State is in RAM and read once, so blocks need not stay.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// What gathers in memory before it goes to a table on disk, where each change of a publication takes another kilobyte: four times
/// as much was no cheaper, and each first touch of memory costs.
const MEMTABLE_BYTES: u64 = 16 * 1024 * 1024;
/// Smallest that fjall takes: what is replayed after an unclean exit.
const JOURNAL_BYTES: u64 = 64 * 1024 * 1024;

/// Version of what stands in the folder.
const FORMAT: u64 = 1;
const FORMAT_KEY: &str = "format";
const EPOCH_KEY: &str = "epoch";

/// `file:PATH`.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    shared: Arc<Shared>,
    /// Asked for, and not handed over yet. Locked before `requests`.
    asked: Mutex<Vec<Commit>>,
    requests: Mutex<Option<Sender<Request>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the thread shares with the rest.
#[derive(Debug, Default)]
struct Shared {
    /// Commits that the thread has not taken.
    waiting: AtomicUsize,
    outcomes: Mutex<BTreeMap<Shard, Recipient<Committed>>>,
    epoch: AtomicU64,
    counters: Mutex<Counters>,
    health: Mutex<Health>,
    /// The next group panics.
    #[cfg(test)]
    fault: AtomicBool,
}

enum Request {
    Commits(Vec<Commit>),
    Load(Sender<Result<Vec<(Version, Record)>, StoreError>>),
    Reload(Share, Reloaded),
}

impl FileStore {
    /// Opens the folder, making it if there is none, and begins a new epoch.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let engine = Engine::open(path)?;
        let shared = Arc::new(Shared {
            epoch: AtomicU64::new(engine.epoch),
            ..Shared::default()
        });
        let (requests, receiver) = channel();
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn({
                let shared = shared.clone();
                move || engine.run(&receiver, &shared)
            })
            .map_err(|error| StoreError::Open {
                path: path.to_owned(),
                source: error.into(),
            })?;
        Ok(Self {
            path: path.to_owned(),
            shared,
            asked: Mutex::default(),
            requests: Mutex::new(Some(requests)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Makes the engine panic at the next group.
    #[cfg(test)]
    pub(super) fn fail(&self) {
        self.shared.fault.store(true, Ordering::Relaxed);
    }

    /// Sends the thread a request, behind what was asked for before; gives it back if there is no thread.
    fn put(&self, request: Request) -> Result<(), Request> {
        self.hand_over();
        match locked(&self.requests).clone() {
            Some(requests) => requests.send(request).map_err(|unsent| unsent.0),
            None => Err(request),
        }
    }
}

impl Store for FileStore {
    fn epoch(&self) -> u64 {
        self.shared.epoch.load(Ordering::Relaxed)
    }

    fn load(&self) -> Result<Vec<(Version, Record)>, StoreError> {
        let (sender, answer) = channel();
        self.put(Request::Load(sender))
            .map_err(|_| StoreError::Closed)?;
        answer.recv().map_err(|_| StoreError::Closed)?
    }

    fn reload(&self, share: Share, answer: Reloaded) {
        if let Err(Request::Reload(_, answer)) = self.put(Request::Reload(share, answer)) {
            answer(Err(StoreError::Closed));
        }
    }

    fn attach(&self, shard: Shard, outcomes: Recipient<Committed>) {
        locked(&self.shared.outcomes).insert(shard, outcomes);
    }

    fn commit(&self, commit: Commit) -> Option<CommitOutcome> {
        let mut asked = locked(&self.asked);
        if locked(&self.requests).is_none() {
            return Some(CommitOutcome::Unavailable);
        }
        if self.shared.waiting.load(Ordering::Relaxed) >= WAITING {
            locked(&self.shared.counters).overloaded += 1;
            return Some(CommitOutcome::Overloaded);
        }
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        asked.push(commit);
        None
    }

    fn hand_over(&self) {
        let mut asked = locked(&self.asked);
        if asked.is_empty() {
            return;
        }
        let request = Request::Commits(std::mem::take(&mut asked));
        let requests = locked(&self.requests).clone();
        let left = match requests {
            Some(requests) => requests.send(request).err().map(|unsent| unsent.0),
            None => Some(request),
        };
        // Its thread is gone.
        if let Some(Request::Commits(commits)) = left {
            let mut answers: BTreeMap<Shard, Vec<_>> = BTreeMap::new();
            for op in commits.iter().map(|commit| commit.op) {
                let answers = answers.entry(op.shard).or_default();
                answers.push((op, CommitOutcome::Unavailable));
            }
            tell(answers, &self.shared);
        }
    }

    fn counters(&self) -> Counters {
        locked(&self.shared.counters).clone()
    }

    fn health(&self) -> Health {
        locked(&self.shared.health).clone()
    }

    fn close(&self) {
        self.hand_over();
        // The thread ends when the last sender is gone, after what is waiting.
        locked(&self.requests).take();
        let thread = locked(&self.thread).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(path = %self.path.display(), "the store's thread had panicked");
        }
        locked(&self.shared.outcomes).clear();
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        self.close();
    }
}

/// What the thread owns.
struct Engine {
    database: Database,
    records: Keyspace,
    meta: Keyspace,
    epoch: u64,
    replay: Replay,
    /// It has panicked.
    broken: bool,
}

impl Engine {
    fn open(path: &Path) -> Result<Self, StoreError> {
        let wrong = |source| match source {
            fjall::Error::Locked => StoreError::InUse(path.to_owned()),
            source => StoreError::Open {
                path: path.to_owned(),
                source,
            },
        };
        let database = Database::builder(path)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
            // Flushing a few megabytes now and then is no work for more.
            .worker_threads(1)
            .open()
            .map_err(wrong)?;
        let meta = database
            .keyspace("meta", KeyspaceCreateOptions::default)
            .map_err(wrong)?;
        let records = database
            .keyspace("records", || {
                KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES)
            })
            .map_err(wrong)?;
        match meta.get(FORMAT_KEY)? {
            None => meta.insert(FORMAT_KEY, FORMAT.to_be_bytes())?,
            Some(found) if number(&found) == Some(FORMAT) => {}
            Some(found) => {
                let found = number(&found).map_or("?".to_owned(), |found| found.to_string());
                return Err(StoreError::Format {
                    path: path.to_owned(),
                    found,
                    known: FORMAT,
                });
            }
        }
        let mut engine = Self {
            database,
            records,
            meta,
            epoch: 0,
            replay: Replay::default(),
            broken: false,
        };
        engine.epoch = engine.next_epoch()?;
        Ok(engine)
    }

    /// Counts an opening, and has it on disk before anybody uses the number.
    fn next_epoch(&self) -> Result<u64, StoreError> {
        let last = self
            .meta
            .get(EPOCH_KEY)?
            .and_then(|value| number(&value))
            .unwrap_or(0);
        self.meta.insert(EPOCH_KEY, (last + 1).to_be_bytes())?;
        self.database.persist(PersistMode::SyncAll)?;
        Ok(last + 1)
    }

    fn load(&self) -> Result<Vec<(Version, Record)>, StoreError> {
        let mut records = Vec::new();
        for entry in self.records.iter() {
            records.push(decode(&entry.value()?)?);
        }
        Ok(records)
    }

    /// Reads a shard's records on a thread of its own, so that the commits of the others go on meanwhile. The shard itself
    /// asks for none before it has its answer.
    fn reload(&self, share: Share, answer: Reloaded, shared: &Shared) {
        match self.next_epoch() {
            Ok(epoch) => shared.epoch.store(epoch, Ordering::Relaxed),
            Err(error) => return answer(Err(error)),
        }
        let records = self.records.clone();
        let reading = std::thread::Builder::new().name("store-reload".to_owned());
        // Where there is no thread to be had, the answer goes with the closure, and by that the shard knows.
        if let Err(error) = reading.spawn(move || answer(read_share(&records, share))) {
            tracing::error!(%error, "no thread to read the store with");
        }
    }

    fn run(mut self, requests: &Receiver<Request>, shared: &Shared) {
        let mut waiting = Vec::new();
        while let Ok(first) = requests.recv() {
            let mut question = None;
            let mut next = Some(first);
            while let Some(request) = next.take() {
                match request {
                    Request::Commits(commits) => {
                        shared.waiting.fetch_sub(commits.len(), Ordering::Relaxed);
                        waiting.extend(commits);
                    }
                    other => question = Some(other),
                }
                if question.is_some() || waiting.len() >= GROUP {
                    break;
                }
                next = requests.try_recv().ok();
            }
            self.guarded(std::mem::take(&mut waiting), shared);
            // Whoever has gone away does not want the answer.
            match question {
                Some(Request::Load(answer)) => drop(answer.send(self.load())),
                Some(Request::Reload(share, answer)) => self.reload(share, answer, shared),
                Some(Request::Commits(_)) | None => {}
            }
        }
        if let Err(error) = self.database.persist(PersistMode::SyncAll) {
            tracing::error!(%error, "the store could not be closed in order");
        }
    }

    /// Writes a group. If the engine panics at it, nobody knows what is stored: that is told to those who wait, and
    /// the engine is not trusted with any more.
    fn guarded(&mut self, commits: Vec<Commit>, shared: &Shared) {
        let ops: Vec<OpId> = commits.iter().map(|commit| commit.op).collect();
        let outcome = if self.broken {
            CommitOutcome::Unavailable
        } else {
            let writing = AssertUnwindSafe(|| self.commit_group(commits, shared));
            if catch_unwind(writing).is_ok() {
                return;
            }
            tracing::error!("the store's engine panicked; it takes nothing more until a restart");
            self.broken = true;
            CommitOutcome::Indeterminate
        };
        locked(&shared.counters).failed += ops.len() as u64;
        let mut answers: BTreeMap<Shard, Vec<_>> = BTreeMap::new();
        for op in ops {
            let answers = answers.entry(op.shard).or_default();
            answers.push((op, outcome.clone()));
        }
        tell(answers, shared);
    }

    /// Writes a group and tells each shard.
    fn commit_group(&mut self, commits: Vec<Commit>, shared: &Shared) {
        if commits.is_empty() {
            return;
        }
        #[cfg(test)]
        if shared.fault.swap(false, Ordering::Relaxed) {
            panic!("as a test wants it");
        }
        let mut counters = locked(&shared.counters).clone();
        let size = commits.len() as u64;
        let mut group = Group::new(&self.records, &mut self.replay, &mut counters);
        for commit in commits {
            group.add(commit);
        }
        let answers = group.write(&self.database);
        locked(&shared.health).last_success = Some(Instant::now());
        counters.groups += 1;
        counters.largest_group = counters.largest_group.max(size);
        {
            // `overloaded` is counted by others meanwhile.
            let mut shared = locked(&shared.counters);
            counters.overloaded = shared.overloaded;
            *shared = counters;
        }
        tell(answers, shared);
    }
}

fn tell(answers: BTreeMap<Shard, Vec<(OpId, CommitOutcome)>>, shared: &Shared) {
    let outcomes = locked(&shared.outcomes);
    for (shard, answers) in answers {
        if let Some(recipient) = outcomes.get(&shard) {
            recipient.do_send(Committed(answers));
        }
    }
}

/// A stored value: version, then the record.
pub(super) fn encode(version: Version, record: &Record) -> Vec<u8> {
    // Room for a usual document.
    let mut value = Vec::with_capacity(1536);
    value.extend_from_slice(&version.to_be_bytes());
    record.encode_to(&mut value);
    value
}

/// The version of a stored value.
pub(super) fn version(value: &[u8]) -> Option<Version> {
    number(value.get(..8)?)
}

/// Reads a stored value.
pub(super) fn decode(value: &[u8]) -> Result<(Version, Record), StoreError> {
    let truncated = RecordError::Truncated("version");
    let version = version(value).ok_or(truncated)?;
    // A copy, so that the record does not keep the engine's block.
    let record = Record::decode(bytes::Bytes::copy_from_slice(&value[8..]))?;
    Ok((version, record))
}

/// Reads what is stored for one shard. Of the rest nothing but its owner is looked at.
fn read_share(records: &Keyspace, share: Share) -> Result<Vec<(Version, Record)>, StoreError> {
    let mut own = Vec::new();
    for entry in records.iter() {
        let value = entry.value()?;
        let truncated = || RecordError::Truncated("version");
        if share.holds(Record::aor_in(value.get(8..).ok_or_else(truncated)?)?) {
            own.push(decode(&value)?);
        }
    }
    Ok(own)
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// What is behind the locks is replaced in single steps, so it is whole even if a thread died holding one.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
