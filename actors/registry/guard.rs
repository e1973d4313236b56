//! The core behind a guard: after a panic a new one takes its place, which knows nothing until the store has given the shard
//! its state, in a new epoch. Until then nobody is told anything but to ask again: a core without its state would answer
//! SUBSCRIBE with an empty document and a refresh with 412.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rollcall_core::entropy::Entropy;
use rollcall_core::exchange::{Incoming, Outcome, Reply, TransactionId};
use rollcall_core::registry::{
    CommitOutcome, Composed, DecideError, Decision, Effect, OpId, Record, Registry as Core,
    Resumption, Settings, Snapshot, Version, WatcherRow,
};
use rollcall_core::sip::StatusCode;
use rollcall_core::time::Timestamp;

use crate::fault::{self, Machine};
use crate::store::{Share, Store};

/// Seconds after which a client that is turned away asks again: a shard that is rebuilt needs less.
const RETRY_AFTER: u32 = 2;

/// One input of the core.
#[derive(Debug)]
pub(super) enum Input {
    /// What the store has.
    Load(Vec<(Version, Record)>),
    /// A request.
    Request(Incoming),
    /// The end of a NOTIFY.
    Outcome(Outcome),
    /// The store's answer.
    Committed(OpId, CommitOutcome),
    /// A large state is composed.
    Composed(Composed),
    /// The node ends: what has settled is stored.
    Settle,
    /// Somebody decides about a watcher; answered with the ticket.
    Decide(u64, Decision),
    /// Time has passed.
    Wake,
    /// A fault, for the tests of this guard.
    #[cfg(test)]
    Panic,
    /// The same at the store's answer, with nothing but the first effect given.
    #[cfg(test)]
    PanicAt(OpId, CommitOutcome),
}

/// The core, and all that is needed to make it anew.
pub(super) struct Guarded {
    core: Core,
    /// The core has the shard's state.
    complete: bool,
    settings: Settings,
    share: Share,
    entropy: Entropy,
    store: Arc<dyn Store>,
    /// The requests that the core may have to answer for its present input. Kept, to be filled again without an allocation.
    in_hand: Vec<TransactionId>,
    panics: u64,
    turned_away: u64,
}

impl Guarded {
    /// A core without its state, which [`Input::Load`] brings.
    pub fn new(
        settings: Settings,
        share: Share,
        mut entropy: Entropy,
        store: Arc<dyn Store>,
    ) -> Self {
        let epoch = epoch(&*store);
        let core = Core::new(settings.clone(), share.shard, entropy.fork(), epoch);
        Self {
            core,
            complete: false,
            settings,
            share,
            entropy,
            store,
            in_hand: Vec::new(),
            panics: 0,
            turned_away: 0,
        }
    }

    /// Gives the core one input. If it panics, every request that it has not answered is answered 500, and a new core takes
    /// its place.
    pub fn ask(&mut self, now: Timestamp, input: Input, out: &mut Vec<Effect>) {
        if !self.complete {
            return self.ask_incomplete(now, input, out);
        }
        // What the core takes in hand may be in none of its lists when it panics.
        self.in_hand.clear();
        match &input {
            Input::Request(incoming) => self.in_hand.push(incoming.transaction),
            Input::Committed(op, _) => self.in_hand.extend(self.core.resting_on(*op)),
            _ => {}
        }
        // Asked each time, since a log may be switched on while the node runs.
        self.core
            .set_notes(tracing::enabled!(target: "rollcall::registry", tracing::Level::DEBUG));
        let core = &mut self.core;
        // Nothing of a core that panicked is used but the list of its unanswered requests, and that under guard too.
        let shard = self.share.shard;
        let result = catch_unwind(AssertUnwindSafe(|| {
            fault::point(Machine::Registry, shard);
            match input {
                // It has been loaded.
                Input::Load(_) => {}
                Input::Request(incoming) => core.request(now, incoming, out),
                Input::Outcome(outcome) => core.outcome(now, outcome, out),
                Input::Committed(op, outcome) => core.committed(now, op, outcome, out),
                Input::Composed(composed) => core.composed(now, composed, out),
                Input::Decide(ticket, decision) => core.decide(now, ticket, decision, out),
                Input::Settle => core.remember_all(out),
                Input::Wake => core.wake(now, out),
                #[cfg(test)]
                Input::Panic => panic!("as a test wants it"),
                #[cfg(test)]
                Input::PanicAt(op, outcome) => {
                    core.committed(now, op, outcome, out);
                    out.truncate(1);
                    panic!("as a test wants it");
                }
            }
        }));
        if result.is_err() {
            // Answers were whole when they were given. Of the rest nobody knows what would have followed: what is stored
            // now, say, the new core would not know of.
            out.retain(|effect| matches!(effect, Effect::Reply(_)));
            let in_hand = std::mem::take(&mut self.in_hand);
            self.replace(in_hand, out);
        }
    }

    /// Takes the shard's state in, and turns away what comes before.
    fn ask_incomplete(&mut self, now: Timestamp, input: Input, out: &mut Vec<Effect>) {
        match input {
            Input::Load(records) => self.load(now, records, out),
            Input::Request(incoming) => {
                self.turned_away += 1;
                let reply = Reply::unavailable(incoming.transaction, RETRY_AFTER);
                out.push(Effect::Reply(reply));
            }
            Input::Decide(ticket, _) => {
                out.push(Effect::Decided(ticket, Err(DecideError::NotStored)));
            }
            // Of what the core before this one did.
            Input::Outcome(_)
            | Input::Committed(..)
            | Input::Composed(_)
            | Input::Settle
            | Input::Wake => {}
            #[cfg(test)]
            Input::Panic | Input::PanicAt(..) => {}
        }
    }

    fn load(&mut self, now: Timestamp, records: Vec<(Version, Record)>, out: &mut Vec<Effect>) {
        self.core = self.fresh();
        let core = &mut self.core;
        let before = out.len();
        // The record that was looked at last, for the log.
        let mut last = None;
        let records = records
            .into_iter()
            .inspect(|(_, record)| last = Some(record.key()));
        if catch_unwind(AssertUnwindSafe(|| core.load(now, records, out))).is_ok() {
            self.complete = true;
            return;
        }
        self.panics += 1;
        tracing::error!(
            shard = self.share.shard,
            record = ?last,
            "what is stored makes the registry's core panic, at this record or behind it"
        );
        out.truncate(before);
        self.core = self.fresh();
    }

    fn replace(&mut self, in_hand: Vec<TransactionId>, out: &mut Vec<Effect>) {
        self.panics += 1;
        tracing::error!(
            shard = self.share.shard,
            "the registry's core panicked; it is rebuilt from the store"
        );
        let mut answered: BTreeSet<TransactionId> = out
            .iter()
            .filter_map(|effect| match effect {
                Effect::Reply(reply) => Some(reply.transaction),
                _ => None,
            })
            .collect();
        let core = &self.core;
        let waiting = catch_unwind(AssertUnwindSafe(|| core.unanswered())).unwrap_or_default();
        for transaction in in_hand.into_iter().chain(waiting) {
            if answered.insert(transaction) {
                out.push(Effect::Reply(Reply::new(
                    transaction,
                    StatusCode::SERVER_INTERNAL_ERROR,
                )));
            }
        }
        self.core = self.fresh();
        self.complete = false;
    }

    /// A core that knows nothing, in the store's present epoch.
    fn fresh(&mut self) -> Core {
        let (settings, entropy) = (self.settings.clone(), self.entropy.fork());
        Core::new(settings, self.share.shard, entropy, epoch(&*self.store))
    }

    /// Whether the core has the shard's state.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Requests that were answered 503 because it had not.
    pub fn turned_away(&self) -> u64 {
        self.turned_away
    }

    pub fn next_wake(&self) -> Option<Timestamp> {
        self.core.next_wake()
    }

    pub fn snapshot(&self, limit: usize) -> Snapshot {
        self.core.snapshot(limit)
    }

    pub fn watchers(&self, presentity: Option<&str>, limit: usize) -> Vec<WatcherRow> {
        self.core.watchers(presentity, limit)
    }

    pub fn resumption(&self) -> Resumption {
        self.core.resumption()
    }

    pub fn panics(&self) -> u64 {
        self.panics
    }
}

/// The store's epoch, which a new core begins with.
fn epoch(store: &dyn Store) -> u64 {
    if rollcall_core::sabotaged!(KeepEpoch) {
        1
    } else {
        store.epoch()
    }
}
