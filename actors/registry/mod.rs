//! The Registry actor: one shard of the Presence Server around [`rollcall_core::registry::Registry`].
//!
//! ```text
//!  Endpoint ── ToModule ──> Registry ── commit ──> Store
//!     ^                      │    ^                  │
//!     └───── FromModule ─────┘    └──── Committed ───┘
//! ```
//!
//! A handler gives the core its inputs in order, runs the effects, and sends each endpoint shard what is for it in one
//! message. The core runs behind a guard: after a panic the shard is rebuilt from the store.

mod composer;
mod guard;
mod progress;
mod recover;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;
use rollcall_core::endpoint::{ModuleId, Route};
use rollcall_core::entropy::Entropy;
use rollcall_core::exchange::{Destination, Outgoing, Shard};
use rollcall_core::registry::{
    CommitOutcome, DecideError, Effect, Note, Record, Settings, Version, WatcherRow,
};
use rollcall_core::sip::Method;
use rollcall_core::time::Timestamp;
use tokio::sync::oneshot;
use tracing::{debug, debug_span, info, warn};

use crate::alarm::{Alarm, Sleeper};
use crate::clock::Clock;
use crate::messages::{
    Decide, FromModule, ListWatchers, ModuleInput, ModuleOutput, Settle, TakeSnapshot, ToModule,
};
use crate::store::{Committed, Share, Store};

pub use composer::Composer;
use composer::{Compose, Done, compose};
use guard::{Guarded, Input};
use progress::Progress;
use recover::Recovery;

/// Presentities and bindings in a snapshot.
const SNAPSHOT_ROWS: usize = 1000;

/// What a Registry actor is made of.
pub struct Parts {
    /// Domains, limits, packages.
    pub settings: Settings,
    /// Which shard.
    pub shard: Shard,
    /// Of how many.
    pub shards: Shard,
    /// The module it is in the endpoint's table.
    pub module: ModuleId,
    /// The node's store.
    pub store: Arc<dyn Store>,
    /// What the store had for this shard when the node started: see [`crate::store::by_shard`]. `None`: it could not be read,
    /// so the shard asks for it until it gets it.
    pub records: Option<Vec<(Version, Record)>>,
    /// The node's endpoints, by shard.
    pub endpoints: Vec<Recipient<FromModule>>,
    /// The node's clock.
    pub clock: Clock,
    /// For tags and entity-tags.
    pub entropy: Entropy,
    /// Who composes large states; `None`, as in virtual time: this actor itself.
    pub composer: Option<Addr<Composer>>,
}

/// What the registry claims in the endpoint's module table, to be sharded by presentity.
pub fn claims(settings: &Settings) -> Vec<Route> {
    let mut claims = vec![Route::method(Method::Register)];
    for package in &settings.packages {
        if package.is_published() {
            claims.push(Route::package(Method::Publish, &package.name));
        }
        claims.push(Route::package(Method::Subscribe, &package.name));
    }
    claims
}

/// The Registry actor of one shard.
pub struct Registry {
    core: Guarded,
    shard: Shard,
    share: Share,
    module: ModuleId,
    store: Arc<dyn Store>,
    /// Given to the core when the actor starts.
    records: Option<Vec<(Version, Record)>>,
    recovery: Recovery,
    endpoints: Vec<Recipient<FromModule>>,
    clock: Clock,
    /// What the core is still to be told. Kept, as are `effects`, to be filled again without an allocation.
    inputs: Vec<Input>,
    /// What the core wants, in order.
    effects: Vec<Effect>,
    /// What goes to each endpoint when the handler is done.
    batches: Vec<Vec<ModuleOutput>>,
    /// Who waits for decisions to be stored, by ticket.
    deciding: BTreeMap<u64, oneshot::Sender<Result<usize, DecideError>>>,
    tickets: u64,
    alarm: Alarm,
    composer: Option<Addr<Composer>>,
    /// Where it answers.
    own: Option<Recipient<Done>>,
    progress: Progress,
}

impl Registry {
    /// An actor that takes over its records when it is started.
    pub fn new(parts: Parts) -> Self {
        let Parts {
            settings,
            shard,
            shards,
            module,
            store,
            records,
            endpoints,
            clock,
            entropy,
            composer,
        } = parts;
        Self {
            core: Guarded::new(settings, Share { shard, shards }, entropy, store.clone()),
            share: Share { shard, shards },
            recovery: Recovery::default(),
            shard,
            module,
            store,
            records,
            inputs: Vec::new(),
            effects: Vec::new(),
            batches: endpoints.iter().map(|_| Vec::new()).collect(),
            endpoints,
            clock,
            deciding: BTreeMap::new(),
            tickets: 0,
            alarm: Alarm::default(),
            composer,
            own: None,
            progress: Progress::default(),
        }
    }

    /// Which shard it is.
    pub(crate) fn shard(&self) -> Shard {
        self.shard
    }

    /// Whether it has its state.
    pub(crate) fn is_complete(&self) -> bool {
        self.core.is_complete()
    }

    /// Gives the core one input, and runs what it wants done, in order.
    fn feed(&mut self, now: Timestamp, input: Input) {
        let mut effects = std::mem::take(&mut self.effects);
        self.inputs.push(input);
        while let Some(input) = self.inputs.pop() {
            let panics = self.core.panics();
            self.core.ask(now, input, &mut effects);
            if self.core.panics() != panics {
                // The new core knows of no tickets; dropping them tells those who wait.
                self.deciding.clear();
            }
            let first = self.inputs.len();
            let mut answering = None;
            for effect in effects.drain(..) {
                match effect {
                    Effect::Reply(reply) => {
                        let shard = reply.transaction.shard;
                        answering = Some(shard);
                        self.put(shard, ModuleOutput::Reply(reply));
                    }
                    Effect::Send(outgoing) => {
                        let shard = self.endpoint_of(&outgoing, answering);
                        self.put(shard, ModuleOutput::Send(outgoing));
                    }
                    Effect::Commit(commit) => {
                        let op = commit.op;
                        if rollcall_core::sabotaged!(AnswerBeforeCommit) {
                            let now = CommitOutcome::Committed;
                            self.inputs.push(Input::Committed(op, now));
                        }
                        if let Some(outcome) = self.store.commit(commit) {
                            self.inputs.push(Input::Committed(op, outcome));
                        }
                    }
                    Effect::Compose(job) => match (&self.composer, &self.own) {
                        (Some(composer), Some(own)) => composer.do_send(Compose {
                            job,
                            to: own.clone(),
                        }),
                        (None, _) | (_, None) => self.inputs.push(Input::Composed(compose(&job))),
                    },
                    Effect::Decided(ticket, result) => {
                        if let Some(asker) = self.deciding.remove(&ticket) {
                            // Whoever asked may have gone away; the decision holds all the same.
                            let _ = asker.send(result);
                        }
                    }
                    Effect::Note(note) => log(self.shard, &note),
                    Effect::Memory {
                        refused,
                        used,
                        limit,
                    } => {
                        if refused {
                            warn!(
                                used,
                                limit,
                                "memory is used up: new state is refused, what exists goes on"
                            );
                        } else {
                            warn!(used, limit, "there is memory again: new state is taken");
                        }
                    }
                }
            }
            // The first answer is the next input.
            self.inputs[first..].reverse();
        }
        self.effects = effects;
    }

    /// Which shard's endpoint sends a NOTIFY: the one with the connection; the one that `answering` the subscriber is the
    /// task of, so that the NOTIFY leaves behind the 2xx (many clients take no other order well); else our own.
    fn endpoint_of(&self, outgoing: &Outgoing, answering: Option<Shard>) -> Shard {
        let flow = match outgoing.destination {
            Destination::Flow(flow) => Some(flow),
            Destination::Bounded(bounds) => bounds.flow,
            Destination::Address(..) | Destination::NextHop => None,
        };
        match flow {
            Some(flow) if flow.transport.is_reliable() || Some(flow.shard) == answering => {
                flow.shard
            }
            Some(_) => self.shard,
            None => answering.unwrap_or(self.shard),
        }
    }

    fn put(&mut self, shard: Shard, output: ModuleOutput) {
        // A flow of a shard that was there before a restart with fewer is gone; any endpoint finds the next hop.
        let own = usize::from(self.shard);
        let shard = usize::from(shard);
        let shard = if shard < self.batches.len() {
            shard
        } else {
            own
        };
        if let Some(batch) = self.batches.get_mut(shard) {
            batch.push(output);
        }
    }

    /// When the core is to be woken next.
    fn next_wake(&self) -> Option<Timestamp> {
        if rollcall_core::sabotaged!(NeverWake) {
            return None;
        }
        self.core.next_wake()
    }

    /// Sends what was gathered, and sets the timer.
    fn done(&mut self, ctx: &mut Context<Self>) {
        self.store.hand_over();
        for (batch, endpoint) in self.batches.iter_mut().zip(&self.endpoints) {
            if !batch.is_empty() {
                // The next one is likely to be as long.
                let next = Vec::with_capacity(batch.len());
                endpoint.do_send(FromModule {
                    module: self.module,
                    shard: self.shard,
                    outputs: std::mem::replace(batch, next),
                });
            }
        }
        self.alarm.set(self.next_wake(), self.clock, ctx);
        if self.core.is_complete() {
            let resumption = self.core.resumption();
            self.progress.look(self.shard, self.clock, resumption);
        } else {
            self.recover(ctx);
        }
    }
}

impl Actor for Registry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.store.attach(self.shard, ctx.address().recipient());
        self.own = Some(ctx.address().recipient());
        if let Some(records) = self.records.take() {
            let count = records.len();
            self.feed(self.clock.now(), Input::Load(records));
            info!(shard = self.shard, records = count, "registry started");
        }
        self.done(ctx);
    }
}

impl Sleeper for Registry {
    fn woken(&mut self, ctx: &mut Context<Self>) {
        self.feed(self.clock.now(), Input::Wake);
        self.done(ctx);
    }
}

impl Handler<ToModule> for Registry {
    type Result = ();

    fn handle(&mut self, ToModule(inputs): ToModule, ctx: &mut Self::Context) {
        // One look at the clock for the whole batch: it came together.
        let now = self.clock.now();
        for input in inputs {
            match input {
                ModuleInput::Request(incoming) => self.feed(now, Input::Request(incoming)),
                ModuleInput::Outcome(outcome) => self.feed(now, Input::Outcome(outcome)),
                // A NOTIFY for a connection that is gone finds another way at the endpoint, and the way of the next
                // SUBSCRIBE is taken over with it. The others this module has not asked for.
                ModuleInput::ConnectionClosed(_)
                | ModuleInput::Manager(_)
                | ModuleInput::Observed { .. } => {}
            }
        }
        self.done(ctx);
    }
}

impl Handler<Committed> for Registry {
    type Result = ();

    fn handle(&mut self, Committed(outcomes): Committed, ctx: &mut Self::Context) {
        let now = self.clock.now();
        for (op, outcome) in outcomes {
            self.feed(now, Input::Committed(op, outcome));
        }
        self.done(ctx);
    }
}

impl Handler<Done> for Registry {
    type Result = ();

    fn handle(&mut self, Done(composed): Done, ctx: &mut Self::Context) {
        self.feed(self.clock.now(), Input::Composed(composed));
        self.done(ctx);
    }
}

impl Handler<Settle> for Registry {
    type Result = ();

    fn handle(&mut self, _: Settle, ctx: &mut Self::Context) {
        self.feed(self.clock.now(), Input::Settle);
        self.done(ctx);
    }
}

impl Handler<Decide> for Registry {
    type Result = ResponseFuture<Result<usize, DecideError>>;

    fn handle(&mut self, Decide(decision): Decide, ctx: &mut Self::Context) -> Self::Result {
        self.tickets += 1;
        let (asker, answer) = oneshot::channel();
        self.deciding.insert(self.tickets, asker);
        self.feed(self.clock.now(), Input::Decide(self.tickets, decision));
        self.done(ctx);
        Box::pin(async move { answer.await.unwrap_or(Err(DecideError::NotStored)) })
    }
}

impl Handler<ListWatchers> for Registry {
    type Result = MessageResult<ListWatchers>;

    fn handle(&mut self, ask: ListWatchers, _: &mut Self::Context) -> Self::Result {
        let rows: Vec<WatcherRow> = self.core.watchers(ask.presentity.as_deref(), ask.limit);
        MessageResult(rows)
    }
}

impl Handler<TakeSnapshot> for Registry {
    type Result = MessageResult<TakeSnapshot>;

    fn handle(&mut self, _: TakeSnapshot, _: &mut Self::Context) -> Self::Result {
        let snapshot = self.core.snapshot(SNAPSHOT_ROWS);
        let mut value = serde_json::to_value(&snapshot).unwrap_or_default();
        value["actor"] = "registry".into();
        value["timers"] = self.alarm.live().into();
        value["panics"] = self.core.panics().into();
        value["complete"] = self.core.is_complete().into();
        value["turned_away"] = self.core.turned_away().into();
        value["reload_failures"] = self.recovery.failures().into();
        value["store"] = serde_json::to_value(self.store.counters()).unwrap_or_default();
        MessageResult(value)
    }
}

/// One span for each change, so that whoever filters or counts spans sees what changed, when and why.
fn log(shard: Shard, note: &Note) {
    match note {
        Note::Publication {
            presentity,
            etag,
            change,
        } => {
            let span = debug_span!("publication", shard, %presentity, %etag);
            debug!(parent: &span, "{change}");
        }
        Note::Subscription {
            presentity,
            call_id,
            change,
            reason,
        } => {
            let span = debug_span!("subscription", shard, %presentity, %call_id, reason);
            debug!(parent: &span, "{change}");
        }
        Note::Bindings { aor, contacts } => {
            let span = debug_span!("bindings", shard, presentity = %aor, contacts);
            debug!(parent: &span, "changed");
        }
        Note::Refused {
            call_id,
            status,
            reason,
        } => {
            debug!(shard, %call_id, status = status.code(), %reason, "request refused");
        }
    }
}
