//! What the store's thread, its watch and those who ask share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix::prelude::*;
use rollcall_core::exchange::Shard;
use rollcall_core::registry::{Commit, CommitOutcome, OpId, Record, Version};

use super::proof::Proof;
use super::{Committed, Counters, Health, Persistence, Reloaded, Share, StoreError};

/// What those are told who wait for a group that the engine is writing: it may be stored yet.
pub(super) const UNKNOWN: CommitOutcome = CommitOutcome::Indeterminate;

/// Something that the thread is asked.
pub(super) enum Request {
    Commits(Vec<Commit>),
    Load(Sender<Result<Vec<(Version, Record)>, StoreError>>),
    Reload(Share, Reloaded),
}

/// What waits for the thread.
#[derive(Default)]
pub(super) struct Inbox {
    pub requests: VecDeque<Request>,
    pub closed: bool,
}

/// What the thread has in hand.
pub(super) struct Hand {
    pub since: Instant,
    /// Who waits for it.
    pub ops: Vec<OpId>,
    /// What they are told when it takes too long.
    pub late: CommitOutcome,
    /// Since when the engine is at it, so that time which passes is the disk's.
    pub busy: Option<Instant>,
    /// They were told.
    pub told: bool,
}

pub(super) struct Shared {
    pub settings: Persistence,
    pub epoch: AtomicU64,
    pub inbox: Mutex<Inbox>,
    pub wake: Condvar,
    /// Commits that the thread has not taken.
    pub waiting: AtomicUsize,
    /// Nothing is taken: the disk fails or hangs.
    pub down: AtomicBool,
    pub hand: Mutex<Option<Hand>>,
    pub health: Mutex<Health>,
    pub counters: Mutex<Counters>,
    pub outcomes: Mutex<BTreeMap<Shard, Recipient<Committed>>>,
    pub proof: Mutex<Option<Arc<Proof>>>,
    /// The thread has ended.
    pub ended: Mutex<bool>,
    pub end: Condvar,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub fn new(settings: Persistence) -> Self {
        Self {
            settings,
            epoch: AtomicU64::new(0),
            inbox: Mutex::default(),
            wake: Condvar::new(),
            waiting: AtomicUsize::new(0),
            down: AtomicBool::new(false),
            hand: Mutex::new(None),
            health: Mutex::default(),
            counters: Mutex::default(),
            outcomes: Mutex::default(),
            proof: Mutex::default(),
            ended: Mutex::new(false),
            end: Condvar::new(),
        }
    }

    pub fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// Has commits answered at once from now on, those that wait as well; `down` again: not any more.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
        if down {
            self.turn_away();
        }
    }

    /// Answers what waits for the thread: nothing of it was done.
    pub fn turn_away(&self) {
        let mut away = Vec::new();
        {
            let mut inbox = locked(&self.inbox);
            inbox.requests.retain_mut(|request| match request {
                Request::Commits(commits) => {
                    away.extend(commits.iter().map(|commit| commit.op));
                    false
                }
                Request::Load(_) | Request::Reload(..) => true,
            });
        }
        self.waiting.fetch_sub(away.len(), Ordering::Relaxed);
        locked(&self.counters).failed += away.len() as u64;
        self.tell(away.into_iter().map(|op| (op, CommitOutcome::Unavailable)));
    }

    /// Gives each shard its outcomes.
    pub fn tell(&self, answers: impl Iterator<Item = (OpId, CommitOutcome)>) {
        let mut by_shard: BTreeMap<Shard, Vec<_>> = BTreeMap::new();
        for (op, outcome) in answers {
            by_shard.entry(op.shard).or_default().push((op, outcome));
        }
        let outcomes = locked(&self.outcomes);
        for (shard, answers) in by_shard {
            if let Some(recipient) = outcomes.get(&shard) {
                recipient.do_send(Committed(answers));
            }
        }
    }

    /// Notes that something was carried out.
    pub fn succeeded(&self) {
        locked(&self.health).last_success = Some(Instant::now());
    }

    /// The thread takes something in hand.
    pub fn take_in_hand(&self, ops: Vec<OpId>) {
        let now = Instant::now();
        *locked(&self.hand) = Some(Hand {
            since: now,
            ops,
            late: UNKNOWN,
            busy: Some(now),
            told: false,
        });
    }

    /// The engine has failed at what is in hand, which is kept; `void`: it is certain that it is not stored.
    pub fn pause(&self, void: bool) {
        if let Some(hand) = locked(&self.hand).as_mut() {
            hand.busy = None;
            hand.late = if void {
                CommitOutcome::Unavailable
            } else {
                UNKNOWN
            };
        }
    }

    /// It is done with it. Whether those who wait were told already.
    pub fn put_down(&self) -> bool {
        let hand = locked(&self.hand).take();
        let told = hand.is_some_and(|hand| hand.told);
        if told {
            self.answers_again();
        }
        told
    }

    /// The disk has answered after all.
    fn answers_again(&self) {
        let since = locked(&self.health).hanging_since.take();
        if let Some(since) = since {
            let seconds = since.elapsed().as_secs();
            tracing::warn!(seconds, "the store's disk answers again");
            if locked(&self.health).failing_since.is_none() {
                locked(&self.health).reason.clear();
                self.set_down(false);
            }
        }
    }

    /// Leaves word that what the disk has in hand was refused, so that it is not found after a restart. Whether that is written.
    pub fn declare_void(&self) -> bool {
        let proof = locked(&self.proof).clone();
        proof.is_some_and(|proof| proof.void())
    }

    /// Waits until the thread has ended; false when that takes too long.
    pub fn wait_for_end(&self, limit: Duration) -> bool {
        let ended = locked(&self.ended);
        let waited = self.end.wait_timeout_while(ended, limit, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// What is behind the locks is replaced in single steps, so it is whole even if a thread died holding one.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
