//! The side towards the Manager: a shell over [`rollcall_core::buffer`].

use std::collections::VecDeque;

use actix::prelude::*;
use rollcall_core::buffer::{Buffer, Effect, Settings};
use rollcall_core::manager;
use tracing::{debug, info, warn};

use super::{Demand, Report, Take};
use crate::alarm::{Alarm, Sleeper};
use crate::clock::Clock;
use crate::fault::{self, Machine};
use crate::messages::{ManagerIncoming, ModuleInput, SessionId, TakeSnapshot, ToModule, ToSession};

/// So many ACKs and NAKs are kept for the next session while there is none; the Manager sends again what it misses.
const MOST_UNSENT: usize = 4096;

/// The circular buffer of a Presence Client, and the credit of the session that fills it.
#[derive(Debug)]
pub struct PublishBuffer {
    core: Buffer,
    clock: Clock,
    session: Option<(SessionId, Recipient<ToSession>)>,
    /// The Manager's run, as far as it was told.
    run: Option<String>,
    /// Answers that no session stood for.
    unsent: VecDeque<manager::Message>,
    unsent_dropped: u64,
    /// How much the publisher has asked for and not got, and where it lives.
    demand: usize,
    publisher: Option<Recipient<Take>>,
    alarm: Alarm,
}

impl PublishBuffer {
    /// An empty buffer.
    pub fn new(settings: Settings, clock: Clock) -> Self {
        Self {
            core: Buffer::new(settings),
            clock,
            session: None,
            run: None,
            unsent: VecDeque::new(),
            unsent_dropped: 0,
            demand: 0,
            publisher: None,
            alarm: Alarm::default(),
        }
    }

    fn incoming(&mut self, incoming: ManagerIncoming) {
        let ManagerIncoming {
            session,
            reply,
            message,
        } = incoming;
        match message {
            manager::Message::Welcome(welcome) => self.begin(session, reply, Some(welcome.run)),
            manager::Message::Presence(presence) => {
                if self
                    .session
                    .as_ref()
                    .is_none_or(|(known, _)| *known != session)
                {
                    self.begin(session, reply, None);
                }
                debug!(
                    presentity = presence.entity,
                    seq = presence.seq,
                    "state received"
                );
                let mut out = Vec::new();
                self.core.offer(*presence, &mut out);
                self.run_effects(out);
            }
            other => warn!(kind = ?other, "not for the publish buffer"),
        }
    }

    /// Another session: it gets the credit there is, and what its predecessor of the same run could not be told.
    fn begin(&mut self, session: SessionId, reply: Recipient<ToSession>, run: Option<String>) {
        info!(session = session.0, run, "session with the Manager");
        self.session = Some((session, reply));
        if run.is_none() || self.run != run {
            self.unsent.clear();
            self.run = run;
        }
        let mut out = Vec::new();
        self.core.session(self.run.as_deref(), &mut out);
        for message in std::mem::take(&mut self.unsent) {
            self.tell(message);
        }
        self.run_effects(out);
    }

    fn run_effects(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Ack(ack) => self.tell(manager::Message::Ack(ack)),
                Effect::Nak(nak) => {
                    debug!(
                        seq = nak.seq,
                        code = nak.code,
                        reason = nak.reason,
                        "state refused"
                    );
                    self.tell(manager::Message::Nak(nak));
                }
                Effect::Credit(credit) => {
                    if let Some((_, session)) = &self.session {
                        session.do_send(ToSession::Credit(credit));
                    }
                }
            }
        }
    }

    fn tell(&mut self, message: manager::Message) {
        match &self.session {
            Some((_, session)) if session.connected() => session.do_send(ToSession::Send(message)),
            Some(_) | None => {
                if self.unsent.len() >= MOST_UNSENT {
                    self.unsent.pop_front();
                    self.unsent_dropped += 1;
                }
                self.unsent.push_back(message);
            }
        }
    }

    /// Hands the publisher what it asked for, and sets the alarm.
    fn feed(&mut self, ctx: &mut Context<Self>) {
        if self.demand > 0
            && let Some(publisher) = &self.publisher
        {
            let mut entries = Vec::new();
            self.core.take(self.clock.now(), self.demand, &mut entries);
            if !entries.is_empty() {
                self.demand -= entries.len();
                publisher.do_send(Take(entries));
            }
        }
        self.alarm.set(self.core.next_wake(), self.clock, ctx);
    }
}

impl Actor for PublishBuffer {
    type Context = Context<Self>;
}

impl Sleeper for PublishBuffer {
    fn woken(&mut self, ctx: &mut Context<Self>) {
        self.core.wake(self.clock.now());
        self.feed(ctx);
    }
}

impl Handler<ToModule> for PublishBuffer {
    type Result = ();

    fn handle(&mut self, ToModule(inputs): ToModule, ctx: &mut Self::Context) {
        fault::point(Machine::Buffer, 0);
        for input in inputs {
            match input {
                ModuleInput::Manager(incoming) => self.incoming(incoming),
                // It claims no SIP method and sends no request.
                ModuleInput::Request(_)
                | ModuleInput::Outcome(_)
                | ModuleInput::ConnectionClosed(_)
                | ModuleInput::Observed { .. } => {}
            }
        }
        self.feed(ctx);
    }
}

impl Handler<Demand> for PublishBuffer {
    type Result = ();

    fn handle(&mut self, Demand { room, to }: Demand, ctx: &mut Self::Context) {
        self.demand += room;
        self.publisher = Some(to);
        self.feed(ctx);
    }
}

impl Handler<Report> for PublishBuffer {
    type Result = ();

    fn handle(&mut self, Report { done, recovered }: Report, ctx: &mut Self::Context) {
        if recovered {
            self.core.release_all();
        }
        let mut out = Vec::new();
        for (entry, outcome) in done {
            self.core.done(entry, outcome, &mut out);
        }
        self.run_effects(out);
        self.feed(ctx);
    }
}

impl Handler<TakeSnapshot> for PublishBuffer {
    type Result = MessageResult<TakeSnapshot>;

    fn handle(&mut self, _: TakeSnapshot, _: &mut Self::Context) -> Self::Result {
        MessageResult(serde_json::json!({
            "actor": "publish-buffer",
            "counters": self.core.counters(),
            "entries": self.core.len(),
            "ready": self.core.ready(),
            "in_flight": self.core.in_flight(),
            "demand": self.demand,
            "timers": self.alarm.live(),
            "unsent": self.unsent.len(),
            "unsent_dropped": self.unsent_dropped,
        }))
    }
}
