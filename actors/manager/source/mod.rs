//! Sources within the Manager's process: calendars and commands. Each is one actor that tells the hub what it knows.
//!
//! ```text
//!  .ics files ── CalendarActor ──┐
//!                                ├── FromSource ──> Manager (hub)
//!  command ───── CommandActor ───┘
//! ```

use actix::prelude::*;

use super::hub::FromSource;
use crate::clock::Clock;
use crate::config::Source;
use crate::messages::TakeSnapshot;
use crate::watchdog::Ping;

pub mod calendar;
pub mod command;

/// Ends a source. What it told stays, until the hub's own rules take it away.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Stop;

/// A source that runs.
#[derive(Clone, Debug)]
pub struct Running {
    /// Its name.
    pub name: String,
    /// Ends it.
    pub stop: Recipient<Stop>,
    /// Shows what it does.
    pub snapshot: Recipient<TakeSnapshot>,
    /// Says that it is there.
    pub ping: Recipient<Ping>,
}

/// Starts a source on the present arbiter; it tells `hub` from now on.
pub fn start(source: Source, clock: Clock, hub: Recipient<FromSource>) -> Running {
    match source {
        Source::Calendar(calendar) => {
            let name = calendar.name.clone();
            let actor = calendar::CalendarActor::new(calendar, clock, hub).start();
            Running {
                name,
                stop: actor.clone().recipient(),
                snapshot: actor.clone().recipient(),
                ping: actor.recipient(),
            }
        }
        Source::Command(command) => {
            let name = command.name.clone();
            let actor = command::CommandActor::new(command, clock, hub).start();
            Running {
                name,
                stop: actor.clone().recipient(),
                snapshot: actor.clone().recipient(),
                ping: actor.recipient(),
            }
        }
    }
}
