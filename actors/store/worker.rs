//! The store's thread: takes what is waiting, writes it as one group, asks the disk once (`fdatasync`), then answers. When
//! that fails, it opens the engine again, until it works or there is no hope.
//!
//! ```text
//!  working ── a group fails ──> failing: the group is void, and kept
//!     ^                            │ after a pause that grows: does the disk take a file? what is there?
//!     └─── the kept group, or an empty one, is written ───┘      after [persistence] give_up: exit 1
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rollcall_core::registry::{Commit, CommitOutcome, OpId};

use crate::fault;

use super::engine::{Engine, Opened, Opener};
use super::error::panicked;
use super::group::{Gathered, Group};
use super::proof::Tally;
use super::replay::Replay;
use super::shared::{Request, Shared, UNKNOWN, locked};
use super::{Reloaded, STILL, Share, StoreError};

/// Commits in one group, and those that came with the last of them: keeps the batch, and so the pause, small.
const GROUP: usize = 1024;
/// The pauses between attempts to go on after a failure: the first, and the longest. Each doubles the one before.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What the thread owns.
pub(super) struct Worker {
    opener: Box<dyn Opener>,
    engine: Option<Box<dyn Engine>>,
    shared: Arc<Shared>,
    /// Of what was acknowledged.
    tally: Tally,
    epoch: u64,
    replay: Replay,
    failure: Option<Failure>,
    /// What was being written when something failed is marked as void on disk.
    void: bool,
}

/// Since when it does not work.
struct Failure {
    since: Instant,
    pause: Duration,
    next: Instant,
    attempts: u64,
    said: Instant,
    /// The group that failed.
    kept: Gathered,
}

impl Worker {
    /// Opens the engine, and begins a new epoch.
    pub fn open(opener: Box<dyn Opener>, shared: Arc<Shared>) -> Result<Self, StoreError> {
        let Opened {
            engine,
            tally,
            epoch,
        } = opener.open(None)?;
        *locked(&shared.proof) = engine.proof();
        let mut worker = Self {
            opener,
            engine: Some(engine),
            shared,
            tally,
            epoch,
            replay: Replay::default(),
            failure: None,
            void: true,
        };
        worker.advance()?;
        Ok(worker)
    }

    /// Counts an opening, and has it on disk before anybody uses the number.
    fn advance(&mut self) -> Result<(), StoreError> {
        let engine = self.engine.as_mut();
        let engine = engine.ok_or_else(|| down(&self.shared))?;
        let mut tally = self.tally;
        tally.sequence += 1;
        engine.advance(self.epoch + 1, tally)?;
        self.tally = tally;
        self.epoch += 1;
        self.shared.epoch.store(self.epoch, Ordering::Relaxed);
        Ok(())
    }

    /// Works until the store is closed and nothing is left to do.
    pub fn run(mut self) {
        let shared = self.shared.clone();
        let _ended = Ended(shared);
        while let Some((commits, question)) = self.next() {
            if !commits.is_empty() {
                self.carry_out(&commits);
            }
            // Whoever has gone away does not want the answer.
            match question {
                Some(Request::Load(answer)) => {
                    let loaded = self.asked(|worker| {
                        let engine = worker.engine.as_mut();
                        engine.ok_or_else(|| down(&worker.shared))?.load()
                    });
                    drop(answer.send(loaded));
                }
                Some(Request::Reload(share, answer)) => self.reload(share, answer),
                Some(Request::Commits(_)) | None => {}
            }
            self.look_after();
        }
        if let Some(engine) = self.engine.take() {
            let closed = engine.proof().map_or(Ok(()), |proof| proof.sync());
            locked(&self.shared.proof).take();
            if let Err(error) = closed {
                tracing::error!(%error, "the store could not be closed in order");
            }
        }
    }

    /// What is waiting, when there is something; nothing of both when it is time to look after itself; `None` when all is done.
    fn next(&self) -> Option<(Vec<Commit>, Option<Request>)> {
        let mut commits = Vec::new();
        let mut inbox = locked(&self.shared.inbox);
        loop {
            while let Some(request) = inbox.requests.pop_front() {
                match request {
                    Request::Commits(more) => {
                        self.shared.waiting.fetch_sub(more.len(), Ordering::Relaxed);
                        commits.extend(more);
                        if commits.len() >= GROUP {
                            return Some((commits, None));
                        }
                    }
                    other => return Some((commits, Some(other))),
                }
            }
            if !commits.is_empty() {
                return Some((commits, None));
            }
            if inbox.closed {
                return None;
            }
            let due = match (&self.failure, &self.engine) {
                (Some(failure), _) => Some(failure.next),
                (None, Some(engine)) => engine.proof().and_then(|proof| proof.due()),
                (None, None) => None,
            };
            let wake = &self.shared.wake;
            inbox = match due.map(|due| due.saturating_duration_since(Instant::now())) {
                None => wake.wait(inbox).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => return Some((commits, None)),
                Some(left) => {
                    let waited = wake.wait_timeout(inbox, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Carries out a question, under the watch's eyes.
    fn asked<T>(
        &mut self,
        question: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.shared.take_in_hand(Vec::new());
        let asking = AssertUnwindSafe(|| question(self));
        let answer =
            catch_unwind(asking).unwrap_or_else(|panic| Err(StoreError::Failed(panicked(&*panic))));
        self.shared.put_down();
        if let Err(StoreError::Failed(why)) = &answer {
            self.fail(why, Gathered::default());
        }
        answer
    }

    /// Reads a shard's records on a thread of its own, so that the commits of the others go on meanwhile. The shard itself
    /// asks for none before it has its answer.
    fn reload(&mut self, share: Share, answer: Reloaded) {
        if fault::fails(fault::Machine::Reload, share.shard) {
            return answer(Err(StoreError::Closed));
        }
        let reading = self.asked(|worker| {
            worker.advance()?;
            let engine = worker.engine.as_ref();
            Ok(engine.ok_or_else(|| down(&worker.shared))?.reader(share))
        });
        let reading = match reading {
            Ok(reading) => reading,
            Err(error) => return answer(Err(error)),
        };
        let thread = std::thread::Builder::new().name("store-reload".to_owned());
        // Where there is no thread to be had, the answer goes with the closure, and by that the shard knows.
        if let Err(error) = thread.spawn(move || answer(reading())) {
            tracing::error!(%error, "no thread to read the store with");
        }
    }

    /// Writes a group and tells each shard.
    fn carry_out(&mut self, commits: &[Commit]) {
        let Some(engine) = self.engine.as_mut() else {
            let ops = commits.iter().map(|commit| commit.op);
            self.shared
                .tell(ops.map(|op| (op, CommitOutcome::Unavailable)));
            locked(&self.shared.counters).failed += commits.len() as u64;
            return;
        };
        let ops: Vec<OpId> = commits.iter().map(|commit| commit.op).collect();
        self.shared.take_in_hand(ops);
        let mut counters = locked(&self.shared.counters).clone();
        let mut gathered = Gathered::default();
        let (replay, tally) = (&self.replay, self.tally);
        // The engine may panic at what it does not understand.
        let writing = AssertUnwindSafe(|| {
            let mut group = Group::new(&**engine, replay, &mut counters);
            for commit in commits {
                group.add(commit)?;
            }
            gathered = group.done();
            let tally = gathered.tally(tally);
            if !gathered.written.is_empty() {
                engine.write(&gathered.written, tally)?;
            }
            Ok(tally)
        });
        let result = catch_unwind(writing)
            .unwrap_or_else(|panic| Err(StoreError::Failed(panicked(&*panic))));
        match result {
            Ok(tally) => {
                counters.groups += 1;
                counters.largest_group = counters.largest_group.max(commits.len() as u64);
                self.note(counters);
                self.answer(gathered, tally);
            }
            Err(error) => {
                if gathered.answers.is_empty() {
                    // It could not even be read; nothing was written.
                    let ops = commits.iter().map(|commit| commit.op);
                    gathered.answers = ops.map(|op| (op, CommitOutcome::Unavailable)).collect();
                }
                self.fail(&error.to_string(), gathered);
            }
        }
    }

    fn note(&self, mut counters: super::Counters) {
        let mut shared = locked(&self.shared.counters);
        // These are counted by others meanwhile.
        counters.overloaded = shared.overloaded;
        counters.failed = shared.failed;
        *shared = counters;
    }

    /// A group is on disk.
    fn answer(&mut self, gathered: Gathered, tally: Tally) {
        let changes = gathered.written.len() as u64;
        if changes > 0 {
            self.tally = tally;
        }
        let committed =
            |(_, outcome): &&(OpId, CommitOutcome)| *outcome == CommitOutcome::Committed;
        let committed = gathered.answers.iter().filter(committed).count();
        {
            let mut counters = locked(&self.shared.counters);
            counters.changes += changes;
            counters.committed += committed as u64;
        }
        for (op, outcome) in &gathered.answers {
            self.replay.remember(*op, outcome);
        }
        self.shared.succeeded();
        if !self.shared.put_down() {
            self.shared.tell(gathered.answers.into_iter());
        }
    }

    /// Something has failed. The engine is not used any more; what it was writing is void.
    fn fail(&mut self, why: &str, kept: Gathered) {
        let now = Instant::now();
        let engine = self.engine.take();
        let void = engine.as_ref().and_then(|engine| engine.proof());
        self.void = void.is_none_or(|proof| proof.void());
        self.shared.pause(self.void);
        {
            let mut health = locked(&self.shared.health);
            health.failing_since.get_or_insert(now);
            health.hanging_since = None;
            health.reason = why.to_owned();
        }
        self.shared.set_down(true);
        locked(&self.shared.counters).failures += 1;
        tracing::error!(
            why,
            "the store can't write; publications and subscriptions are refused with 503 until it can"
        );
        self.let_go(engine);
        self.failure = Some(Failure {
            since: now,
            pause: PAUSE,
            next: now + PAUSE,
            attempts: 0,
            said: now,
            kept,
        });
    }

    /// An engine that has failed may panic at its end, too.
    fn let_go(&self, engine: Option<Box<dyn Engine>>) {
        locked(&self.shared.proof).take();
        // What it said, its thread's panic included, was told already.
        drop(catch_unwind(AssertUnwindSafe(|| drop(engine))));
    }

    /// Has the proof on disk when that is due; tries to go on after a failure when that is.
    fn look_after(&mut self) {
        let now = Instant::now();
        if self
            .failure
            .as_ref()
            .is_some_and(|failure| failure.next <= now)
        {
            return self.attempt();
        }
        let proof = self.engine.as_ref().and_then(|engine| engine.proof());
        let due = proof.filter(|proof| proof.due().is_some_and(|due| due <= now));
        let Some(proof) = due else { return };
        self.shared.take_in_hand(Vec::new());
        let synced = proof.sync();
        drop(proof);
        self.shared.put_down();
        if let Err(error) = synced {
            let why = format!("the file `proof` can't be written: {error}");
            self.fail(&why, Gathered::default());
        }
    }

    /// Opens the engine again, compares what is there with what was acknowledged, and writes the group that failed, or an empty one.
    fn attempt(&mut self) {
        let Some(mut failure) = self.failure.take() else {
            return;
        };
        let told = {
            let mut hand = locked(&self.shared.hand);
            match hand.as_mut().filter(|hand| !hand.told) {
                Some(hand) => {
                    hand.busy = Some(Instant::now());
                    hand.late = UNKNOWN;
                    false
                }
                None => true,
            }
        };
        if told {
            failure.kept = Gathered::default();
            // The attempt itself is watched.
            self.shared.take_in_hand(Vec::new());
        }
        let tally = failure.kept.tally(self.tally);
        let trying = AssertUnwindSafe(|| self.reopen(&failure.kept, tally));
        let result =
            catch_unwind(trying).unwrap_or_else(|panic| Err(StoreError::Failed(panicked(&*panic))));
        match result {
            Ok(engine) => self.recovered(engine, failure, tally),
            Err(error) => self.still_failing(&error.to_string(), failure),
        }
    }

    fn reopen(&mut self, kept: &Gathered, tally: Tally) -> Result<Box<dyn Engine>, StoreError> {
        let full = |error: std::io::Error| StoreError::Failed(error.to_string());
        self.opener.probe().map_err(full)?;
        let Opened {
            mut engine,
            tally: found,
            ..
        } = self.opener.open(Some(self.tally))?;
        if found != self.tally {
            let (number, should) = (found.sequence, self.tally.sequence);
            let why = format!(
                "it holds the state after group {number} of changes; {should} were acknowledged"
            );
            return Err(StoreError::Failed(why));
        }
        if let Err(error) = engine.write(&kept.written, tally) {
            self.void = engine.proof().is_none_or(|proof| proof.void());
            return Err(error);
        }
        Ok(engine)
    }

    fn recovered(&mut self, engine: Box<dyn Engine>, failure: Failure, tally: Tally) {
        let seconds = failure.since.elapsed().as_secs();
        *locked(&self.shared.proof) = engine.proof();
        self.engine = Some(engine);
        self.tally = tally;
        {
            let mut health = locked(&self.shared.health);
            health.failing_since = None;
            health.hanging_since = None;
            health.reason.clear();
        }
        tracing::warn!(
            seconds,
            attempts = failure.attempts + 1,
            "the store works again; nothing that was acknowledged is lost"
        );
        self.answer(failure.kept, tally);
        self.shared.set_down(false);
    }

    fn still_failing(&mut self, why: &str, mut failure: Failure) {
        let now = Instant::now();
        self.shared.pause(self.void);
        {
            let mut health = locked(&self.shared.health);
            health.hanging_since = None;
            health.reason = why.to_owned();
        }
        let seconds = failure.since.elapsed().as_secs();
        if failure.since.elapsed() >= self.shared.settings.give_up {
            let why = format!("the store has not worked for {seconds} s: {why}");
            (self.shared.settings.fatal)(&why);
        }
        failure.attempts += 1;
        if now.saturating_duration_since(failure.said) >= STILL {
            failure.said = now;
            tracing::error!(
                why,
                seconds,
                attempts = failure.attempts,
                "the store still fails"
            );
        }
        failure.pause = (failure.pause * 2).min(LONGEST_PAUSE);
        failure.next = now + failure.pause;
        self.failure = Some(failure);
    }
}

fn down(shared: &Shared) -> StoreError {
    StoreError::Down(locked(&shared.health).reason.clone())
}

/// Says that the thread has ended, however it did.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        // Nobody is there to answer any more.
        locked(&self.0.inbox).closed = true;
        self.0.turn_away();
        *locked(&self.0.ended) = true;
        self.0.end.notify_all();
    }
}
