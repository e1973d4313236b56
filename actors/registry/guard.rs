//! The core behind a guard: after a panic the shard is rebuilt from the store, in a new epoch.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rollcall_core::endpoint::shard_of;
use rollcall_core::entropy::Entropy;
use rollcall_core::exchange::{Incoming, Outcome, Reply, Shard, TransactionId};
use rollcall_core::registry::{
    CommitOutcome, Decision, Effect, OpId, Record, Registry as Core, Settings, Snapshot, Version,
    WatcherRow,
};
use rollcall_core::sip::StatusCode;
use rollcall_core::time::Timestamp;

use crate::store::Store;

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
    settings: Settings,
    shard: Shard,
    shards: Shard,
    entropy: Entropy,
    store: Arc<dyn Store>,
    /// The requests that the core may have to answer for its present input. Kept, to be filled again without an allocation.
    in_hand: Vec<TransactionId>,
    panics: u64,
}

impl Guarded {
    pub fn new(
        settings: Settings,
        shard: Shard,
        shards: Shard,
        mut entropy: Entropy,
        store: Arc<dyn Store>,
    ) -> Self {
        let core = Core::new(settings.clone(), shard, entropy.fork(), store.epoch());
        Self {
            core,
            settings,
            shard,
            shards,
            entropy,
            store,
            in_hand: Vec::new(),
            panics: 0,
        }
    }

    /// Gives the core one input. If it panics, every request that it has not answered is answered 500, and a new core takes
    /// its place.
    pub fn ask(&mut self, now: Timestamp, input: Input, out: &mut Vec<Effect>) {
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
        let result = catch_unwind(AssertUnwindSafe(|| match input {
            Input::Load(records) => core.load(now, records, out),
            Input::Request(incoming) => core.request(now, incoming, out),
            Input::Outcome(outcome) => core.outcome(now, outcome, out),
            Input::Committed(op, outcome) => core.committed(now, op, outcome, out),
            Input::Decide(ticket, decision) => core.decide(now, ticket, decision, out),
            Input::Wake => core.wake(now, out),
            #[cfg(test)]
            Input::Panic => panic!("as a test wants it"),
            #[cfg(test)]
            Input::PanicAt(op, outcome) => {
                core.committed(now, op, outcome, out);
                out.truncate(1);
                panic!("as a test wants it");
            }
        }));
        if result.is_err() {
            // Answers were whole when they were given. Of the rest nobody knows what would have followed: what is stored
            // now, say, the new core would not know of.
            out.retain(|effect| matches!(effect, Effect::Reply(_)));
            let in_hand = std::mem::take(&mut self.in_hand);
            self.rebuild(now, in_hand, out);
        }
    }

    fn rebuild(&mut self, now: Timestamp, in_hand: Vec<TransactionId>, out: &mut Vec<Effect>) {
        self.panics += 1;
        tracing::error!(
            shard = self.shard,
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
        // A new epoch, since CSeq of the old one may have been used up to anywhere. Without a store the shard goes on
        // empty: watchers and publishers are told so by 481 and 412 and begin anew.
        let stored = self.store.advance_epoch().and_then(|_| self.store.load());
        let records = stored.unwrap_or_else(|error| {
            tracing::error!(shard = self.shard, %error, "the store can't be read");
            Vec::new()
        });
        let (shard, shards) = (self.shard, self.shards);
        let own = records
            .into_iter()
            .filter(|(_, record)| shard_of(record.aor(), shards) == shard);
        self.core = self.fresh();
        let core = &mut self.core;
        let before = out.len();
        if catch_unwind(AssertUnwindSafe(|| core.load(now, own, out))).is_err() {
            tracing::error!(
                shard = self.shard,
                "what is stored makes the core panic; it starts empty"
            );
            out.truncate(before);
            self.core = self.fresh();
        }
    }

    /// A core that knows nothing, in the store's present epoch.
    fn fresh(&mut self) -> Core {
        let (settings, entropy) = (self.settings.clone(), self.entropy.fork());
        Core::new(settings, self.shard, entropy, self.store.epoch())
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

    pub fn panics(&self) -> u64 {
        self.panics
    }
}
