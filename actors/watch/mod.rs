//! The watcher: a SIP client that subscribes to the state of presentities and tells what it hears.
//!
//! A shell over [`rollcall_core::watcher`], and a module that claims NOTIFY of the package `presence`:
//!
//! ```text
//!  endpoint ── NOTIFY, Outcome ──> Watcher ── Watched ──> whoever prints it
//!           <── 200, SUBSCRIBE ──
//! ```

#[cfg(test)]
mod tests;

use std::time::Duration;

use actix::prelude::*;
use rollcall_core::endpoint::{ModuleId, Route};
use rollcall_core::entropy::Entropy;
use rollcall_core::exchange::Shard;
use rollcall_core::sip::Method;
use rollcall_core::watcher::{self, Effect, Settings, Watcher as Core};
use tokio::sync::oneshot;
use tracing::{debug, info};

use crate::alarm::{Alarm, Sleeper};
use crate::clock::Clock;
use crate::fault::{self, Machine};
use crate::messages::{FromModule, ModuleInput, ModuleOutput, TakeSnapshot, ToModule};

/// What a watcher claims in its endpoint's module table.
pub fn claims() -> [Route; 1] {
    [Route::package(Method::Notify, "presence")]
}

/// Watcher → whoever asked: something about a presentity.
#[derive(Clone, Debug, PartialEq, Message)]
#[rtype(result = "()")]
pub struct Watched(pub watcher::Watched);

/// Watches one more presentity.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Watch(pub String);

/// Watches one no more. [`watcher::News::Ended`] comes when the notifier knows.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Unwatch(pub String);

/// Unsubscribes everywhere. Answered when all notifiers know, or after this time.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Shutdown {
    /// How long that may take.
    pub limit: Duration,
}

/// Keeps subscriptions.
#[derive(Debug)]
pub struct Watcher {
    core: Core,
    module: ModuleId,
    shard: Shard,
    clock: Clock,
    endpoint: Recipient<FromModule>,
    listener: Recipient<Watched>,
    waiting: Vec<oneshot::Sender<()>>,
    alarm: Alarm,
}

impl Watcher {
    /// A watcher of nobody yet, which tells `listener` what it hears.
    pub fn new(
        settings: Settings,
        module: ModuleId,
        endpoint: Recipient<FromModule>,
        listener: Recipient<Watched>,
        clock: Clock,
        entropy: Entropy,
    ) -> Self {
        Self {
            shard: settings.shard,
            core: Core::new(settings, entropy),
            module,
            clock,
            endpoint,
            listener,
            waiting: Vec::new(),
            alarm: Alarm::default(),
        }
    }

    fn run(&mut self, effects: Vec<Effect>, ctx: &mut Context<Self>) {
        let mut outputs = Vec::new();
        for effect in effects {
            match effect {
                Effect::Send(request) => outputs.push(ModuleOutput::Send(request)),
                Effect::Reply(reply) => outputs.push(ModuleOutput::Reply(reply)),
                Effect::News(news) => {
                    self.log(&news);
                    self.listener.do_send(Watched(news));
                }
            }
        }
        if !outputs.is_empty() {
            let (module, shard) = (self.module, self.shard);
            self.endpoint.do_send(FromModule {
                module,
                shard,
                outputs,
            });
        }
        if self.core.is_empty() {
            for waiting in self.waiting.drain(..) {
                let _ = waiting.send(());
            }
        }
        self.alarm.set(self.core.next_wake(), self.clock, ctx);
    }

    fn log(&self, news: &watcher::Watched) {
        let presentity = &news.uri;
        match &news.news {
            watcher::News::Subscription { state, reason } => {
                info!(presentity, ?state, reason, "subscription")
            }
            watcher::News::State { summary, .. } => debug!(presentity, ?summary, "state"),
            watcher::News::Trouble {
                code,
                reason,
                again,
            } => info!(presentity, code, reason, ?again, "trouble"),
            watcher::News::Ended { reason } => info!(presentity, reason, "no longer watched"),
        }
    }
}

impl Actor for Watcher {
    type Context = Context<Self>;
}

impl Sleeper for Watcher {
    fn woken(&mut self, ctx: &mut Context<Self>) {
        let mut out = Vec::new();
        self.core.wake(self.clock.now(), &mut out);
        self.run(out, ctx);
    }
}

impl Handler<Watch> for Watcher {
    type Result = ();

    fn handle(&mut self, Watch(uri): Watch, ctx: &mut Self::Context) {
        let mut out = Vec::new();
        self.core.watch(self.clock.now(), &uri, &mut out);
        self.run(out, ctx);
    }
}

impl Handler<Unwatch> for Watcher {
    type Result = ();

    fn handle(&mut self, Unwatch(uri): Unwatch, ctx: &mut Self::Context) {
        let mut out = Vec::new();
        self.core.unwatch(self.clock.now(), &uri, &mut out);
        self.run(out, ctx);
    }
}

impl Handler<ToModule> for Watcher {
    type Result = ();

    fn handle(&mut self, ToModule(inputs): ToModule, ctx: &mut Self::Context) {
        fault::point(Machine::Watcher, 0);
        let mut out = Vec::new();
        let now = self.clock.now();
        for input in inputs {
            match input {
                ModuleInput::Request(incoming) => self.core.request(now, incoming, &mut out),
                ModuleInput::Outcome(outcome) => self.core.outcome(now, outcome, &mut out),
                ModuleInput::ConnectionClosed(connection) => {
                    self.core.connection_closed(now, connection);
                }
                ModuleInput::Manager(_) | ModuleInput::Observed { .. } => {}
            }
        }
        self.run(out, ctx);
    }
}

impl Handler<Shutdown> for Watcher {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Shutdown { limit }: Shutdown, ctx: &mut Self::Context) -> Self::Result {
        let (sender, receiver) = oneshot::channel();
        self.waiting.push(sender);
        let mut out = Vec::new();
        self.core.shutdown(self.clock.now(), &mut out);
        self.run(out, ctx);
        Box::pin(async move {
            // Either way there is nothing more to wait for.
            let _ = tokio::time::timeout(limit, receiver).await;
        })
    }
}

impl Handler<TakeSnapshot> for Watcher {
    type Result = MessageResult<TakeSnapshot>;

    fn handle(&mut self, _: TakeSnapshot, _: &mut Self::Context) -> Self::Result {
        MessageResult(serde_json::json!({
            "actor": "watcher",
            "counters": self.core.counters(),
            "watched": self.core.len(),
            "established": self.core.established(),
            "timers": self.alarm.live(),
        }))
    }
}
