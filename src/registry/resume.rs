//! After a restart: who is told, and how fast.
//!
//! Told are the watchers of presentities that were not settled when the node ended, or whose state is another by now
//! (`settled.rs`). NOTIFYs are paced by what the network answers: a window of them is on its way, which grows by one with each answer
//! and shrinks by one with each that does not come in time.

use std::collections::VecDeque;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::rows::Timer;
use super::settled::digest;
use super::store::{StateDigest, SubscriptionRecord};
use super::{Effect, Registry};
use crate::exchange::Token;
use crate::subscription::{Dialog, EndReason, Flight, Notify, State, Told};
use crate::time::{TimerKey, Timestamp};
use crate::watcherinfo::Handling;

/// A node opens its sockets when its shards have their state. A NOTIFY before that would find no way out.
const SOCKETS_OPEN: Duration = Duration::from_millis(200);

/// NOTIFYs on their way at first, and at least.
const LEAST: usize = 64;

/// The most: all that a socket's buffer holds for sure, and fewer than would keep a PUBLISH waiting for a millisecond.
const MOST: usize = 1024;

/// How long a NOTIFY keeps its place in the window without an answer. Then the endpoint sends it again (T1; RFC 3261, 17.1.2.2).
const PATIENCE: Duration = Duration::from_millis(500);

/// Subscriptions looked at in one go. The shard has other things to do as well.
const PORTION: usize = 256;

/// The others follow after this.
const BETWEEN_PORTIONS: Duration = Duration::from_millis(1);

/// How far a shard is with its watchers after a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resumption {
    /// Subscriptions that the store had.
    pub total: usize,
    /// Those of them that are still to be looked at.
    pub left: usize,
    /// Watchers told.
    pub told: u64,
    /// Watchers that know the state already.
    pub known: u64,
}

/// A stored subscription until it is looked at.
#[derive(Debug)]
enum Waiting {
    /// It goes on.
    Subscription {
        row: u32,
        /// See [`SubscriptionRecord::fresh`].
        fresh: Option<u64>,
    },
    /// It can't go on here: its watcher is told so.
    Stranger(Box<SubscriptionRecord>),
}

/// What the store said of a settled presentity.
#[derive(Debug)]
struct Settled {
    order: u64,
    digest: StateDigest,
    /// The state is the same now.
    same: bool,
}

/// The subscriptions that are still to be looked at, and the NOTIFYs on their way.
#[derive(Debug, Default)]
pub(super) struct Resuming {
    waiting: VecDeque<Waiting>,
    /// By row of the presentity.
    settled: FxHashMap<u32, Settled>,
    /// When each left. In order of time in `left`, where those answered stay until their time.
    flying: FxHashMap<Token, Timestamp>,
    left: VecDeque<(Timestamp, Token)>,
    window: usize,
    timer: Option<TimerKey>,
    resumption: Resumption,
}

impl Resuming {
    /// Puts a subscription behind the others.
    pub fn push(&mut self, row: u32, fresh: Option<u64>) {
        self.waiting.push_back(Waiting::Subscription { row, fresh });
    }

    /// The same of one that can't go on here.
    pub fn push_stranger(&mut self, record: SubscriptionRecord) {
        self.waiting.push_back(Waiting::Stranger(Box::new(record)));
    }

    /// The store has a presentity as settled.
    pub fn settled(&mut self, row: u32, order: u64, digest: StateDigest) {
        let same = false;
        self.settled.insert(
            row,
            Settled {
                order,
                digest,
                same,
            },
        );
    }

    /// A presentity is not settled any more.
    pub fn forget(&mut self, row: u32) {
        self.settled.remove(&row);
    }

    fn room(&self) -> bool {
        self.flying.len() < self.window
    }

    /// Takes those out of the window that have been waited for long enough.
    fn give_up(&mut self, now: Timestamp) {
        while let Some(&(at, token)) = self.left.front() {
            if at + PATIENCE > now {
                break;
            }
            self.left.pop_front();
            if self.flying.remove(&token).is_some() {
                self.window = self.window.saturating_sub(1).max(LEAST);
            }
        }
    }
}

impl Registry {
    /// How far the shard is with its watchers after a restart.
    pub fn resumption(&self) -> Resumption {
        Resumption {
            left: self.resuming.waiting.len(),
            ..self.resuming.resumption
        }
    }

    /// All that the store had is loaded: watchers are told as soon as there are sockets.
    pub(super) fn begin_resuming(&mut self, now: Timestamp) {
        self.resuming.window = LEAST;
        self.resuming.resumption.total = self.resuming.waiting.len();
        if !self.resuming.waiting.is_empty() {
            let timer = self.wheel.insert(now + SOCKETS_OPEN, Timer::Recover);
            self.resuming.timer = Some(timer);
        }
    }

    /// [`Timer::Recover`].
    pub(super) fn recover(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        self.resuming.timer = None;
        self.resuming.give_up(now);
        for _ in 0..PORTION {
            if !self.resuming.room() {
                break;
            }
            let Some(waiting) = self.resuming.waiting.pop_front() else {
                // What is left of this goes with the last subscription.
                let resumption = self.resuming.resumption;
                self.resuming = Resuming {
                    resumption,
                    ..Resuming::default()
                };
                return;
            };
            let token = match waiting {
                Waiting::Subscription { row, fresh } => self.look_at(now, row, fresh, out),
                Waiting::Stranger(record) => self.turn_away(now, &record, out),
            };
            if let Some(token) = token {
                self.resuming.resumption.told += 1;
                self.resuming.flying.insert(token, now);
                self.resuming.left.push_back((now, token));
            }
        }
        // With a full window it is an answer that goes on, or the time of the oldest.
        let oldest = self.resuming.left.front().map(|(at, _)| *at + PATIENCE);
        let next = match oldest {
            Some(at) if !self.resuming.room() => at,
            _ => now + BETWEEN_PORTIONS,
        };
        self.resuming.timer = Some(self.wheel.insert(next, Timer::Recover));
    }

    /// A NOTIFY ended: perhaps one that the window waits for.
    pub(super) fn answered_after_restart(&mut self, now: Timestamp, token: Token) {
        if self.resuming.flying.remove(&token).is_none() {
            return;
        }
        let was_full = self.resuming.flying.len() + 1 >= self.resuming.window;
        self.resuming.window = (self.resuming.window + 1).min(MOST);
        if was_full && let Some(timer) = self.resuming.timer.take() {
            self.wheel.cancel(timer);
            let timer = self.wheel.insert(now, Timer::Recover);
            self.resuming.timer = Some(timer);
        }
    }

    /// Tells a watcher unless it knows the state. Gives the token of the NOTIFY, if one left.
    fn look_at(
        &mut self,
        now: Timestamp,
        row: u32,
        fresh: Option<u64>,
        out: &mut Vec<Effect>,
    ) -> Option<Token> {
        let subscription = self.subscriptions.get(row)?;
        // Told already, since the state changed or it subscribed meanwhile; or another has taken its row.
        let notifier = &subscription.notifier;
        if notifier.shown() != 0 || notifier.flight() != Flight::Idle {
            return None;
        }
        let (handling, presentity) = (subscription.handling, subscription.presentity);
        match handling {
            // Blocked since it was stored, by a decision or a new policy.
            Handling::Block => {
                self.expel(now, row, out);
                return None;
            }
            Handling::Allow => match self.knows_state(now, presentity, fresh, out) {
                Some(true) => {
                    self.is_known(row, presentity);
                    return None;
                }
                Some(false) => {}
                None => {
                    self.resuming.push(row, fresh);
                    return None;
                }
            },
            Handling::Confirm | Handling::PoliteBlock => {}
        }
        self.notify(now, row, out);
        self.may_settle(now, presentity);
        match self.subscriptions.get(row)?.notifier.flight() {
            Flight::Awaiting { token, .. } => Some(token),
            Flight::Idle | Flight::Holding { .. } => None,
        }
    }

    /// A watcher counts as told the present state.
    fn is_known(&mut self, row: u32, presentity: u32) {
        let version = self.presentities.get(presentity).map(|row| row.version);
        if let (Some(version), Some(subscription)) = (version, self.subscriptions.get_mut(row)) {
            subscription.notifier.knows(version);
            self.resuming.resumption.known += 1;
            self.counters.known += 1;
        }
    }

    /// Whether a watcher that was stored knows the state of a presentity. `None`: the state is large, and still being composed.
    fn knows_state(
        &mut self,
        now: Timestamp,
        row: u32,
        fresh: Option<u64>,
        out: &mut Vec<Effect>,
    ) -> Option<bool> {
        if !self.resuming.settled.contains_key(&row) {
            return Some(false);
        }
        if !self.compose(now, row, out) {
            return None;
        }
        let (presentity, settled) = (
            self.presentities.get(row),
            self.resuming.settled.get_mut(&row),
        );
        let (Some(presentity), Some(settled)) = (presentity, settled) else {
            return Some(false);
        };
        // Once for all its watchers.
        settled.same = settled.same || digest(presentity) == settled.digest;
        if !settled.same {
            self.unsettle(now, row, out);
            return Some(false);
        }
        Some(fresh.is_none_or(|fresh| fresh <= settled.order))
    }

    /// Ends a stored subscription that can't go on here: `deactivated` makes the watcher subscribe anew at once.
    fn turn_away(
        &mut self,
        now: Timestamp,
        record: &SubscriptionRecord,
        out: &mut Vec<Effect>,
    ) -> Option<Token> {
        self.counters.deactivated += 1;
        let mut dialog = Dialog::of(record)?;
        dialog.forget_connection();
        dialog.forget_contact();
        dialog.believe(&self.settings.egress);
        // No row has this number, so the answer finds nobody but the window.
        let token = self.token(u32::MAX);
        let notify = Notify {
            presentity: &record.aor,
            package: &record.package,
            event_id: record.event_id.as_deref(),
            state: State::Terminated(EndReason::Deactivated),
            content_type: "",
            body: &bytes::Bytes::new(),
        };
        match dialog.tell(now, self.epoch, token, &notify) {
            Told::Whole(outgoing) | Told::Part(outgoing) => {
                out.push(Effect::Send(outgoing));
                self.counters.notified += 1;
                Some(token)
            }
            Told::Nothing => {
                self.counters.notified_not += 1;
                None
            }
        }
    }
}
