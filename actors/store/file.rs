//! `file:PATH`: a folder on a local disk, with group commit.
//!
//! A shard hands the commits of a pass over together; the store's thread writes what is waiting as one group ([`worker`]). While
//! the disk works, the next group gathers; nobody waits for a timer. What waits is bounded: beyond that a commit is `Overloaded`
//! before anything is done. A second thread sees to it that nobody waits for a disk that does not answer ([`watch`]).
//!
//! [`worker`]: super::worker
//! [`watch`]: super::watch

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use actix::prelude::*;
use rollcall_core::exchange::Shard;
use rollcall_core::registry::{Commit, CommitOutcome, Record, Version};

use super::engine::{Folder, Opener};
use super::salvage::UNFINISHED;
use super::shared::{Request, Shared, locked};
use super::worker::Worker;
use super::{Committed, Counters, Health, Persistence, Reloaded, Share, Store, StoreError, watch};

/// Commits waiting for the thread.
const WAITING: usize = 16_384;

/// How long a question may take before whoever asks looks whether the disk hangs.
const PATIENCE: Duration = Duration::from_secs(1);

/// `file:PATH`.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    shared: Arc<Shared>,
    /// Asked for, and not handed over yet. Locked before the inbox.
    asked: Mutex<Vec<Commit>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl FileStore {
    /// Opens the folder, making it if there is none, and begins a new epoch.
    pub fn open(path: &Path, settings: Persistence) -> Result<Self, StoreError> {
        if path.join(UNFINISHED).exists() {
            return Err(StoreError::Unfinished(path.to_owned()));
        }
        let folder = Folder(path.to_owned());
        Self::on(path, Box::new(folder), settings)
    }

    /// Opens a store on any engine.
    pub(super) fn on(
        path: &Path,
        opener: Box<dyn Opener>,
        settings: Persistence,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::new(settings));
        let worker = Worker::open(opener, shared.clone())?;
        let thread = |name: &str, body: Box<dyn FnOnce() + Send>| {
            let built = std::thread::Builder::new().name(name.to_owned());
            built.spawn(body).map_err(|source| StoreError::Open {
                path: path.to_owned(),
                source,
            })
        };
        let watched = shared.clone();
        let threads = vec![
            thread("store", Box::new(move || worker.run()))?,
            thread("store-watch", Box::new(move || watch::watch(&watched)))?,
        ];
        Ok(Self {
            path: path.to_owned(),
            shared,
            asked: Mutex::default(),
            threads: Mutex::new(threads),
        })
    }

    /// Puts a request behind the others; gives it back when the store is closed.
    fn send(&self, request: Request) -> Result<(), Request> {
        let mut inbox = locked(&self.shared.inbox);
        if inbox.closed {
            return Err(request);
        }
        inbox.requests.push_back(request);
        drop(inbox);
        self.shared.wake.notify_one();
        Ok(())
    }
}

impl Store for FileStore {
    fn epoch(&self) -> u64 {
        self.shared.epoch.load(Ordering::Relaxed)
    }

    fn load(&self) -> Result<Vec<(Version, Record)>, StoreError> {
        self.hand_over();
        let (sender, answer) = channel();
        self.send(Request::Load(sender))
            .map_err(|_| StoreError::Closed)?;
        loop {
            match answer.recv_timeout(PATIENCE) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Disconnected) => return Err(StoreError::Closed),
                Err(RecvTimeoutError::Timeout) => {
                    // Reading much is not hanging, but takes less than four times the deadline.
                    let since = locked(&self.shared.health).hanging_since;
                    let hung = since.map(|since| since.elapsed());
                    let limit = self.shared.settings.deadline * 4;
                    if let Some(hung) = hung.filter(|hung| *hung > limit) {
                        return Err(StoreError::Hangs(hung.as_secs()));
                    }
                }
            }
        }
    }

    fn reload(&self, share: Share, answer: Reloaded) {
        self.hand_over();
        if let Err(Request::Reload(_, answer)) = self.send(Request::Reload(share, answer)) {
            answer(Err(StoreError::Closed));
        }
    }

    fn attach(&self, shard: Shard, outcomes: Recipient<Committed>) {
        locked(&self.shared.outcomes).insert(shard, outcomes);
    }

    fn commit(&self, commit: Commit) -> Option<CommitOutcome> {
        let mut asked = locked(&self.asked);
        if self.shared.is_down() {
            locked(&self.shared.counters).failed += 1;
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
        let commits = std::mem::take(&mut *asked);
        let ops: Vec<_> = commits.iter().map(|commit| commit.op).collect();
        if self.send(Request::Commits(commits)).is_err() {
            self.shared.waiting.fetch_sub(ops.len(), Ordering::Relaxed);
            let away = ops.into_iter().map(|op| (op, CommitOutcome::Unavailable));
            self.shared.tell(away);
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
        let threads = std::mem::take(&mut *locked(&self.threads));
        if threads.is_empty() {
            return;
        }
        // The thread ends after what is waiting.
        locked(&self.shared.inbox).closed = true;
        self.shared.down.store(true, Ordering::Relaxed);
        self.shared.wake.notify_one();
        if self.shared.wait_for_end(self.shared.settings.close_within) {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!(path = %self.path.display(), "a thread of the store had panicked");
                }
            }
        } else {
            let void = self.shared.declare_void();
            locked(&self.shared.health)
                .hanging_since
                .get_or_insert_with(std::time::Instant::now);
            tracing::error!(
                path = %self.path.display(),
                seconds = self.shared.settings.close_within.as_secs(),
                void,
                "the store could not be closed in order: the disk does not answer"
            );
        }
        locked(&self.shared.outcomes).clear();
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        self.close();
    }
}
