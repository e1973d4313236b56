//! The side towards the Presence Server: a shell over [`rollcall_core::publisher`].

use std::path::PathBuf;

use actix::prelude::*;
use rollcall_core::buffer::Outcome;
use rollcall_core::endpoint::ModuleId;
use rollcall_core::entropy::Entropy;
use rollcall_core::publisher::{Effect, Publisher as Core, Settings};
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use super::tags::Journal;
use super::{Demand, Kept, PublishBuffer, Report, Shutdown, Take};
use crate::alarm::{Alarm, Sleeper};
use crate::clock::Clock;
use crate::fault::{self, Machine};
use crate::messages::{FromModule, ModuleInput, ModuleOutput, TakeSnapshot, ToModule};

/// Drains the buffer and keeps what it took published.
#[derive(Debug)]
pub struct Publisher {
    core: Core,
    module: ModuleId,
    clock: Clock,
    endpoint: Recipient<FromModule>,
    demand: Recipient<Demand>,
    report: Recipient<Report>,
    /// Asked for, and not yet taken.
    asked: usize,
    journal_path: Option<PathBuf>,
    journal: Option<Journal>,
    listener: Option<Recipient<Kept>>,
    /// Who waits for the end.
    waiting: Vec<oneshot::Sender<()>>,
    drained: bool,
    alarm: Alarm,
}

impl Publisher {
    /// A publisher between a buffer and an endpoint.
    pub fn new(
        settings: Settings,
        module: ModuleId,
        endpoint: Recipient<FromModule>,
        buffer: &Addr<PublishBuffer>,
        clock: Clock,
        entropy: Entropy,
    ) -> Self {
        Self::between(
            settings,
            module,
            endpoint,
            buffer.clone().recipient(),
            buffer.clone().recipient(),
            clock,
            entropy,
        )
    }

    /// The same with whoever plays the buffer.
    pub fn between(
        settings: Settings,
        module: ModuleId,
        endpoint: Recipient<FromModule>,
        demand: Recipient<Demand>,
        report: Recipient<Report>,
        clock: Clock,
        entropy: Entropy,
    ) -> Self {
        Self {
            core: Core::new(settings, entropy),
            module,
            clock,
            endpoint,
            demand,
            report,
            asked: 0,
            journal_path: None,
            journal: None,
            listener: None,
            waiting: Vec::new(),
            drained: false,
            alarm: Alarm::default(),
        }
    }

    /// Keeps entity-tags in this file, and takes up those that are in it.
    pub fn journal(mut self, path: Option<PathBuf>) -> Self {
        self.journal_path = path;
        self
    }

    /// Tells somebody of each success.
    pub fn listener(mut self, listener: Option<Recipient<Kept>>) -> Self {
        self.listener = listener;
        self
    }

    fn run(&mut self, effects: Vec<Effect>, ctx: &mut Context<Self>) {
        let mut outputs = Vec::new();
        let mut report = Report {
            done: Vec::new(),
            recovered: false,
        };
        for effect in effects {
            match effect {
                Effect::Send(request) => outputs.push(ModuleOutput::Send(request)),
                Effect::Done(entry, outcome) => {
                    match &outcome {
                        Outcome::Published { etag } => debug!(entry = entry.0, etag, "published"),
                        Outcome::Refused { code, reason } => {
                            warn!(entry = entry.0, code, reason, "refused")
                        }
                        Outcome::Deferred { until } => debug!(entry = entry.0, ?until, "deferred"),
                    }
                    report.done.push((entry, outcome));
                }
                Effect::Remember(tag) => {
                    if let Some(listener) = &self.listener {
                        listener.do_send(Kept(tag.clone()));
                    }
                    if let Some(journal) = &mut self.journal {
                        journal.remember(tag);
                    }
                }
                Effect::Forget(aor) => {
                    if let Some(journal) = &mut self.journal {
                        journal.forget(aor);
                    }
                }
                Effect::Recovered => {
                    info!("the presence server answers again");
                    report.recovered = true;
                }
                Effect::Drained => {
                    self.drained = true;
                    self.waiting.drain(..).for_each(|waiting| {
                        let _ = waiting.send(());
                    });
                }
            }
        }
        self.keep(ctx);
        if !outputs.is_empty() {
            self.endpoint.do_send(FromModule {
                module: self.module,
                shard: 0,
                outputs,
            });
        }
        if !report.done.is_empty() || report.recovered {
            self.report.do_send(report);
        }
        self.ask(ctx);
        self.alarm.set(self.core.next_wake(), self.clock, ctx);
    }

    /// Writes down what has changed, and sees to it that it is tried again when it fails.
    fn keep(&mut self, ctx: &mut Context<Self>) {
        let now = self.clock.now();
        let Some(journal) = &mut self.journal else {
            return;
        };
        if self.drained {
            journal.finish(now);
        } else {
            journal.write(now);
        }
        if let Some(pause) = journal.wants_retry() {
            ctx.run_later(pause, |publisher, ctx| {
                if let Some(journal) = &mut publisher.journal {
                    journal.retry(publisher.clock.now());
                }
                publisher.keep(ctx);
            });
        }
    }

    /// Asks for what the window has room for, beyond what was asked for already.
    fn ask(&mut self, ctx: &mut Context<Self>) {
        let room = self.core.room();
        if room > self.asked {
            let more = room - self.asked;
            self.asked = room;
            self.demand.do_send(Demand {
                room: more,
                to: ctx.address().recipient(),
            });
        }
    }
}

impl Actor for Publisher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(path) = self.journal_path.take() {
            let now = self.clock.now();
            let (journal, tags) = Journal::open(&path, self.core.name(), now);
            info!(path = %path.display(), publications = tags.len(), "took up earlier publications");
            self.core.rename(journal.name().to_owned());
            self.core.restore(now, tags);
            self.journal = Some(journal);
        }
        self.run(Vec::new(), ctx);
    }
}

impl Sleeper for Publisher {
    fn woken(&mut self, ctx: &mut Context<Self>) {
        let mut out = Vec::new();
        self.core.wake(self.clock.now(), &mut out);
        self.run(out, ctx);
    }
}

impl Handler<Take> for Publisher {
    type Result = ();

    fn handle(&mut self, Take(entries): Take, ctx: &mut Self::Context) {
        fault::point(Machine::Publisher, 0);
        self.asked = self.asked.saturating_sub(entries.len());
        let mut out = Vec::new();
        let now = self.clock.now();
        for entry in entries {
            self.core.offer(now, entry, &mut out);
        }
        self.run(out, ctx);
    }
}

impl Handler<ToModule> for Publisher {
    type Result = ();

    fn handle(&mut self, ToModule(inputs): ToModule, ctx: &mut Self::Context) {
        let mut out = Vec::new();
        let now = self.clock.now();
        for input in inputs {
            match input {
                ModuleInput::Outcome(outcome) => self.core.outcome(now, outcome, &mut out),
                // It claims nothing, and keeps no flow.
                ModuleInput::Request(_)
                | ModuleInput::ConnectionClosed(_)
                | ModuleInput::Manager(_)
                | ModuleInput::Observed { .. } => {}
            }
        }
        self.run(out, ctx);
    }
}

impl Handler<Shutdown> for Publisher {
    type Result = ResponseFuture<()>;

    fn handle(
        &mut self,
        Shutdown { unpublish }: Shutdown,
        ctx: &mut Self::Context,
    ) -> Self::Result {
        let (sender, receiver) = oneshot::channel();
        self.waiting.push(sender);
        let mut out = Vec::new();
        if self.drained {
            out.push(Effect::Drained);
        } else {
            self.core.shutdown(self.clock.now(), unpublish, &mut out);
        }
        self.run(out, ctx);
        Box::pin(async move {
            // The other end goes with the actor, and then there is nothing to wait for either.
            let _ = receiver.await;
        })
    }
}

impl Handler<TakeSnapshot> for Publisher {
    type Result = MessageResult<TakeSnapshot>;

    fn handle(&mut self, _: TakeSnapshot, _: &mut Self::Context) -> Self::Result {
        MessageResult(serde_json::json!({
            "actor": "publisher",
            "counters": self.core.counters(),
            "presentities": self.core.len(),
            "published": self.core.published(),
            "in_flight": self.core.in_flight(),
            "timers": self.alarm.live(),
            "journal": self.journal.as_ref().map(Journal::counters),
        }))
    }
}
