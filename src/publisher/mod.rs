//! The event publication agent (RFC 3903, sections 4 and 5): keeps the state of many presentities published.
//!
//! One machine per presentity, at most one PUBLISH in flight for each (section 4), a window of many
//! presentities at once. Each machine is in flight, queued behind a full window, or has a timer; else it ends.
//!
//! ```text
//!             offer: state, no tag                 2xx + SIP-ETag
//!   (none) ───────── initial ────────> Flying ───────────────────> Published ──┐ 80-90 % of Expires
//!             offer: state, tag          │ ^ <──── refresh, If-Match ──────────┘
//!   Published ─────── modify ──────────> │ │
//!             offer: withdrawn           │ └── 412: drop the tag, initial once; 423: longer Expires
//!   Published ─────── Expires: 0 ──────> │
//!                                        ├── 408, 480, 5xx, timeout: back into the buffer, or Waiting
//!                                        ├── 401, 407: refused, and tried again slowly
//!                                        └── 4xx, 6xx: refused; what the server still has lapses
//! ```

mod answer;
mod machine;
mod request;
mod settle;
#[cfg(test)]
mod tests;
mod types;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use slab::Slab;

use crate::buffer::{Entry, EntryId, Outcome};
use crate::entropy::Entropy;
use crate::exchange::{self, Token};
use crate::manager;
use crate::time::Timestamp;
use machine::{Machine, State, Step};
pub use types::{Counters, Effect, Settings, Tag};

/// Whether the publisher is still taking states.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Running,
    /// Removing all publications, until the deadline.
    Closing {
        deadline: Timestamp,
    },
    Closed,
}

/// Place of a machine in the table.
type Key = usize;

/// The publication agent of one Presence Client.
#[derive(Debug)]
pub struct Publisher {
    settings: Settings,
    /// 16 hexadecimal digits that no other publisher has; part of the ids of what it publishes.
    name: String,
    entropy: Entropy,
    phase: Phase,
    machines: Slab<Machine>,
    by_aor: BTreeMap<String, Key>,
    /// One timer per machine at most, ordered by time, so that the next wake-up is the first.
    timers: BTreeSet<(Timestamp, Key)>,
    flights: FxHashMap<Token, Key>,
    /// Machines that want to send while the window is full, in order.
    queue: VecDeque<Key>,
    next_token: Token,
    /// The `Expires` to ask for: as configured, or as a 423 has raised it.
    expires: u32,
    /// The last request was lost without an answer.
    unreachable: bool,
    counters: Counters,
}

impl Publisher {
    /// A publisher of nothing.
    pub fn new(settings: Settings, mut entropy: Entropy) -> Self {
        Self {
            name: entropy.token(),
            expires: settings.expires.max(1),
            settings: Settings {
                window: settings.window.max(1),
                ..settings
            },
            entropy,
            phase: Phase::Running,
            machines: Slab::new(),
            by_aor: BTreeMap::new(),
            timers: BTreeSet::new(),
            flights: FxHashMap::default(),
            queue: VecDeque::new(),
            next_token: 0,
            unreachable: false,
            counters: Counters::default(),
        }
    }

    /// What tells this publisher from all others. Worth keeping over a restart: a publication whose entity-tag was lost
    /// with the last run is replaced under the same name, and lingers beside the new one under another.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes up the name of an earlier run.
    pub fn rename(&mut self, name: String) {
        self.name = name;
    }

    /// Takes up publications of an earlier run: they are modified when a state for them arrives, and not kept alive
    /// otherwise, because only the Manager knows whether they still hold.
    pub fn restore(&mut self, now: Timestamp, tags: impl IntoIterator<Item = Tag>) {
        for tag in tags {
            if tag.expires_at <= now || self.by_aor.contains_key(&tag.aor) {
                continue;
            }
            let at = tag.expires_at;
            let key = self.insert(tag.aor);
            self.machines[key].tag = Some(machine::Held {
                etag: tag.etag,
                expires_at: at,
                refresh_at: at,
            });
            self.rest(key, State::Lapsing { at });
        }
    }

    /// How many entries [`Publisher::offer`] may be given now.
    pub fn room(&self) -> usize {
        match self.phase {
            Phase::Running => self
                .settings
                .window
                .saturating_sub(self.flights.len() + self.queue.len()),
            Phase::Closing { .. } | Phase::Closed => 0,
        }
    }

    /// A state to publish, or to remove if it is withdrawn.
    pub fn offer(&mut self, now: Timestamp, entry: Entry, out: &mut Vec<Effect>) {
        if self.phase != Phase::Running {
            out.push(Effect::Done(entry.id, Outcome::Deferred { until: now }));
            return;
        }
        let step = if entry.presence.withdrawn {
            Step::Remove {
                entry: Some(entry.id),
            }
        } else {
            let body = manager::to_pidf(&entry.presence, &self.name, now);
            Step::Publish {
                entry: Some(entry.id),
                body,
            }
        };
        let key = match self.by_aor.get(&entry.aor) {
            Some(&key) => key,
            None => self.insert(entry.aor),
        };
        match &mut self.machines[key].state {
            State::Flying { next, .. } => {
                // The buffer hands out one entry per presentity; were there a second, the newer would win.
                if let Some(older) = next.replace(step).and_then(|step| step.entry()) {
                    out.push(Effect::Done(older, Outcome::Deferred { until: now }));
                }
            }
            State::Queued { step: queued } => {
                let older = std::mem::replace(queued, step);
                if let Some(older) = older.entry() {
                    out.push(Effect::Done(older, Outcome::Deferred { until: now }));
                }
            }
            State::Waiting {
                at, slow: false, ..
            } if *at > now => {
                out.push(Effect::Done(entry.id, Outcome::Deferred { until: *at }));
            }
            State::Waiting { .. }
            | State::Published { .. }
            | State::Lapsing { .. }
            | State::Resting { .. } => {
                self.begin(now, key, step, out);
            }
        }
    }

    /// How a request of ours ended.
    pub fn outcome(&mut self, now: Timestamp, outcome: exchange::Outcome, out: &mut Vec<Effect>) {
        let Some(key) = self.flights.remove(&outcome.token) else {
            return;
        };
        if let exchange::OutcomeResult::Response(response, _) = &outcome.result
            && let Ok(cseq) = response.cseq()
        {
            // Higher than ours if the endpoint had to send it again with credentials.
            let machine = &mut self.machines[key];
            machine.cseq = machine.cseq.max(cseq.number);
        }
        let state = std::mem::replace(&mut self.machines[key].state, State::Resting { at: now });
        if let State::Flying {
            step,
            conditional,
            next,
            ..
        } = state
        {
            let verdict = answer::read(outcome.result);
            self.settle(
                now,
                key,
                settle::Flight {
                    step,
                    conditional,
                    next,
                },
                verdict,
                out,
            );
        }
        self.pump(now, out);
        self.drained(out);
    }

    /// When [`Publisher::wake`] is next due.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let timer = self.timers.first().map(|(at, _)| *at);
        match self.phase {
            Phase::Running | Phase::Closed => timer,
            Phase::Closing { deadline } => Some(timer.map_or(deadline, |at| at.min(deadline))),
        }
    }

    /// Fires what is due.
    pub fn wake(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if let Phase::Closing { deadline } = self.phase
            && deadline <= now
        {
            self.abandon();
        }
        while let Some(&(at, key)) = self.timers.first()
            && at <= now
        {
            self.timers.pop_first();
            let state = std::mem::replace(&mut self.machines[key].state, State::Resting { at });
            match state {
                State::Published { .. } => self.begin(now, key, Step::Refresh, out),
                State::Waiting { step, .. } => self.begin(now, key, step, out),
                State::Lapsing { .. } => {
                    self.counters.lapsed += 1;
                    out.push(Effect::Forget(self.machines[key].aor.clone()));
                    self.end(key);
                }
                State::Resting { .. } => self.end(key),
                // These have no timer; were one left over, they go on as they are.
                State::Flying { .. } | State::Queued { .. } => self.machines[key].state = state,
            }
        }
        self.drained(out);
    }

    /// Ends in order: with a limit, all publications are removed at the server, and [`Effect::Drained`] comes when that is
    /// done or the time is over. Without one they are left as they are. States not yet published stay in the buffer.
    pub fn shutdown(&mut self, now: Timestamp, limit: Option<Duration>, out: &mut Vec<Effect>) {
        if self.phase != Phase::Running {
            return;
        }
        let Some(limit) = limit else {
            self.phase = Phase::Closing { deadline: now };
            self.abandon();
            self.drained(out);
            return;
        };
        self.phase = Phase::Closing {
            deadline: now + limit,
        };
        self.queue.clear();
        let keys: Vec<Key> = self.machines.iter().map(|(key, _)| key).collect();
        for key in keys {
            match &mut self.machines[key].state {
                State::Flying { next, .. } => {
                    if let Some(entry) = next.take().and_then(|step| step.entry()) {
                        out.push(Effect::Done(entry, Outcome::Deferred { until: now }));
                    }
                }
                State::Queued { step } => {
                    if let Some(entry) = step.entry() {
                        out.push(Effect::Done(entry, Outcome::Deferred { until: now }));
                    }
                    self.begin(now, key, Step::Remove { entry: None }, out);
                }
                State::Published { .. }
                | State::Waiting { .. }
                | State::Lapsing { .. }
                | State::Resting { .. } => {
                    self.begin(now, key, Step::Remove { entry: None }, out);
                }
            }
        }
        self.drained(out);
    }

    /// Presentities with a machine.
    pub fn len(&self) -> usize {
        self.machines.len()
    }

    /// Whether there is nothing published and nothing to do.
    pub fn is_empty(&self) -> bool {
        self.machines.is_empty()
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Presentities that the server has a publication of ours for.
    pub fn published(&self) -> usize {
        self.machines
            .iter()
            .filter(|(_, machine)| machine.tag.is_some())
            .count()
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn insert(&mut self, aor: String) -> Key {
        let machine = Machine::new(aor.clone(), &mut self.entropy);
        let key = self.machines.insert(machine);
        self.by_aor.insert(aor, key);
        key
    }

    /// The machine sends, or queues behind a full window.
    fn begin(&mut self, now: Timestamp, key: Key, step: Step, out: &mut Vec<Effect>) {
        self.disarm(key);
        if self.flights.len() < self.settings.window {
            self.send(now, key, step, out);
        } else {
            self.machines[key].state = State::Queued { step };
            self.queue.push_back(key);
        }
    }

    /// Sends what the window has room for.
    fn pump(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        while self.flights.len() < self.settings.window
            && let Some(key) = self.queue.pop_front()
        {
            let Some(machine) = self.machines.get_mut(key) else {
                continue;
            };
            match std::mem::replace(&mut machine.state, State::Resting { at: now }) {
                State::Queued { step } => self.send(now, key, step, out),
                other => machine.state = other,
            }
        }
    }

    fn send(&mut self, now: Timestamp, key: Key, step: Step, out: &mut Vec<Effect>) {
        let machine = &mut self.machines[key];
        if machine
            .tag
            .as_ref()
            .is_some_and(|tag| tag.expires_at <= now)
        {
            machine.tag = None;
        }
        let step = match (step, &machine.tag, &machine.body) {
            // It lapsed before it could be refreshed: publish it anew, with the whole state.
            (Step::Refresh, None, Some(body)) => Step::Publish {
                entry: None,
                body: body.clone(),
            },
            (Step::Refresh, None, None) => return self.end(key),
            (Step::Remove { entry }, None, _) => return self.removed(key, entry, out),
            (step, _, _) => step,
        };
        self.next_token += 1;
        let token = self.next_token;
        let conditional = machine.tag.is_some();
        let (expires, body) = match &step {
            Step::Publish { body, .. } => (self.expires, body.clone()),
            Step::Refresh => (self.expires, Bytes::new()),
            Step::Remove { .. } => (0, Bytes::new()),
        };
        match (&step, conditional) {
            (Step::Publish { .. }, false) => self.counters.initial += 1,
            (Step::Publish { .. }, true) => self.counters.modify += 1,
            (Step::Refresh, _) => self.counters.refresh += 1,
            (Step::Remove { .. }, _) => self.counters.remove += 1,
        }
        let request = request::publish(
            machine,
            token,
            expires,
            body,
            self.settings.server.as_deref(),
        );
        machine.state = State::Flying {
            step,
            conditional,
            next: None,
        };
        self.flights.insert(token, key);
        out.push(Effect::Send(request));
    }

    /// The machine rests in this state until its timer.
    fn rest(&mut self, key: Key, state: State) {
        self.disarm(key);
        if let Some(at) = state.timer() {
            self.timers.insert((at, key));
        }
        self.machines[key].state = state;
    }

    fn disarm(&mut self, key: Key) {
        if let Some(at) = self.machines[key].state.timer() {
            self.timers.remove(&(at, key));
        }
    }

    /// Nothing of ours is at the server, and somebody wanted that.
    fn removed(&mut self, key: Key, entry: Option<EntryId>, out: &mut Vec<Effect>) {
        out.push(Effect::Forget(self.machines[key].aor.clone()));
        if let Some(entry) = entry {
            out.push(Effect::Done(entry, Outcome::Published { etag: None }));
        }
        self.end(key);
    }

    fn end(&mut self, key: Key) {
        self.disarm(key);
        let machine = self.machines.remove(key);
        self.by_aor.remove(&machine.aor);
    }

    /// Every machine ends where it stands.
    fn abandon(&mut self) {
        self.machines.clear();
        self.by_aor.clear();
        self.timers.clear();
        self.flights.clear();
        self.queue.clear();
    }

    fn drained(&mut self, out: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Closing { .. }) && self.machines.is_empty() {
            self.phase = Phase::Closed;
            out.push(Effect::Drained);
        }
    }
}
