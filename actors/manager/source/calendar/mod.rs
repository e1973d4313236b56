//! The calendar source: `.ics` files (RFC 5545) whose events are states.
//!
//! ```text
//!  file ── lines ──> components ── event, zone, recurrence ──> Calendar ── state_at(now) ──> Presence, next change
//! ```
//!
//! [`Calendar`] is a value: it is asked for the state at a time. The actor looks at the files every so often, wakes
//! exactly when a state changes, and tells the hub what is new. A file that can't be read leaves its last good state
//! in place and the other files alone.

use std::collections::BTreeMap;
use std::time::Duration;

use actix::prelude::*;
use rollcall_core::manager::Presence;
use rollcall_core::time::Timestamp;
use serde::Serialize;
use serde_json::json;
use tracing::{debug, info, warn};

use super::Stop;
use crate::clock::Clock;
use crate::config::CalendarSource;
use crate::manager::hub::FromSource;
use crate::messages::TakeSnapshot;

mod event;
mod lines;
mod recurrence;
mod shelf;
mod state;
mod value;
mod zone;

#[cfg(test)]
mod tests;

pub use lines::{Fault, IcsError};
pub use state::Calendar;

use shelf::{Shelf, Visit};

/// What a calendar source has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Files read because they were new or had changed.
    pub reads: u64,
    /// Files, or folders, that could not be used.
    pub errors: u64,
    /// States told to the hub.
    pub told: u64,
    /// Presentities withdrawn because their file is gone.
    pub withdrawn: u64,
}

/// Watches the files of one source.
pub struct CalendarActor {
    source: CalendarSource,
    clock: Clock,
    hub: Recipient<FromSource>,
    /// Away while a thread for blocking work has it; made anew if that thread fails.
    shelf: Option<Shelf>,
    told: BTreeMap<String, Presence>,
    next_look: Timestamp,
    next_change: Option<Timestamp>,
    files: usize,
    wrong: usize,
    counters: Counters,
}

impl CalendarActor {
    /// A source that tells `hub`.
    pub fn new(source: CalendarSource, clock: Clock, hub: Recipient<FromSource>) -> Self {
        Self {
            shelf: Some(Shelf::new(&source)),
            next_look: clock.now(),
            source,
            clock,
            hub,
            told: BTreeMap::new(),
            next_change: None,
            files: 0,
            wrong: 0,
            counters: Counters::default(),
        }
    }

    fn visit(&mut self, ctx: &mut Context<Self>) {
        let now = self.clock.now();
        let mut shelf = self
            .shelf
            .take()
            .unwrap_or_else(|| Shelf::new(&self.source));
        let look = now >= self.next_look;
        if look {
            self.next_look = now + self.source.refresh;
        }
        let work = tokio::task::spawn_blocking(move || {
            let visit = shelf.visit(now, look);
            (shelf, visit)
        });
        ctx.spawn(work.into_actor(self).map(|result, actor, ctx| {
            match result {
                Ok((shelf, visit)) => {
                    actor.shelf = Some(shelf);
                    actor.tell(visit);
                }
                Err(error) => {
                    actor.counters.errors += 1;
                    actor.next_change = None;
                    warn!(source = actor.source.name, %error, "a calendar could not be evaluated");
                }
            }
            actor.sleep(ctx);
        }));
    }

    fn sleep(&self, ctx: &mut Context<Self>) {
        let at = self
            .next_change
            .map_or(self.next_look, |change| change.min(self.next_look));
        // Whatever a calendar says, it is not evaluated more often than that.
        let at = at.max(self.clock.now() + Duration::from_millis(10));
        let sleep = tokio::time::sleep_until(self.clock.instant(at));
        ctx.spawn(
            sleep
                .into_actor(self)
                .map(|(), actor, ctx| actor.visit(ctx)),
        );
    }

    fn tell(&mut self, visit: Visit) {
        self.counters.reads += visit.reads;
        self.counters.errors += visit.errors.len() as u64;
        for error in &visit.errors {
            warn!(source = self.source.name, "{error}");
        }
        self.next_change = visit.next_change;
        (self.files, self.wrong) = (visit.files, visit.wrong);
        let gone: Vec<_> = self
            .told
            .keys()
            .filter(|entity| !visit.says.contains_key(*entity))
            .cloned()
            .collect();
        for entity in gone {
            self.told.remove(&entity);
            self.counters.withdrawn += 1;
            info!(
                source = self.source.name,
                presentity = entity,
                "its calendar is gone"
            );
            self.send(Presence {
                entity,
                withdrawn: true,
                ..Presence::default()
            });
        }
        for (entity, presence) in visit.says {
            if self.told.get(&entity) == Some(&presence) {
                continue;
            }
            self.counters.told += 1;
            debug!(
                source = self.source.name,
                presentity = entity,
                activities = ?presence.activities,
                "its calendar changes"
            );
            self.told.insert(entity, presence.clone());
            self.send(presence);
        }
    }

    fn send(&self, presence: Presence) {
        // Bounded by the number of files, each with one state; the hub keeps the newest only.
        self.hub.do_send(FromSource {
            source: self.source.name.clone(),
            presence,
        });
    }
}

impl Actor for CalendarActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.visit(ctx);
    }
}

impl Handler<Stop> for CalendarActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

impl Handler<TakeSnapshot> for CalendarActor {
    type Result = MessageResult<TakeSnapshot>;

    fn handle(&mut self, _: TakeSnapshot, _: &mut Self::Context) -> Self::Result {
        MessageResult(json!({
            "actor": "source",
            "kind": "calendar",
            "source": self.source.name,
            "files": self.files,
            "wrong": self.wrong,
            "presentities": self.told.len(),
            "next_change_in": self.next_change.map(|at| at.seconds_from(self.clock.now())),
            "counters": self.counters,
        }))
    }
}
