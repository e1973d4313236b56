//! A ping and its answer: a flag that the actor lowers, so that the watchdog waits for nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::prelude::*;

use crate::client::{PublishBuffer, Publisher};
use crate::endpoint::Endpoint;
use crate::fault::{self, Machine};
use crate::manager::source::calendar::CalendarActor;
use crate::manager::source::command::CommandActor;
use crate::manager::{Link, Manager};
use crate::registry::Registry;

/// Watchdog → actor: are you there? One at a time is under way to each.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Ping(pub Arc<Pulse>);

/// Where an actor answers.
#[derive(Debug, Default)]
pub struct Pulse {
    waiting: AtomicBool,
    complete: AtomicBool,
}

impl Pulse {
    /// The actor is there, and can do what it is for, or can't yet.
    pub fn answer(&self, complete: bool) {
        self.complete.store(complete, Ordering::Relaxed);
        self.waiting.store(false, Ordering::Release);
    }

    /// A ping is on its way.
    pub(super) fn ask(&self) {
        self.waiting.store(true, Ordering::Release);
    }

    /// The answer to the last ping, when it is there: whether the actor can do what it is for.
    pub(super) fn answered(&self) -> Option<bool> {
        (!self.waiting.load(Ordering::Acquire)).then(|| self.complete.load(Ordering::Relaxed))
    }
}

macro_rules! answers_pings {
    ($($actor:ty => $machine:expr),+ $(,)?) => {$(
        impl Handler<Ping> for $actor {
            type Result = ();

            fn handle(&mut self, Ping(pulse): Ping, _: &mut Self::Context) {
                fault::stuck($machine, 0);
                pulse.answer(true);
            }
        }
    )+};
}

answers_pings!(
    Manager => Machine::Hub,
    Link => Machine::Link,
    PublishBuffer => Machine::Buffer,
    Publisher => Machine::Publisher,
    CalendarActor => Machine::Source,
    CommandActor => Machine::Source,
);

impl Handler<Ping> for Registry {
    type Result = ();

    fn handle(&mut self, Ping(pulse): Ping, _: &mut Self::Context) {
        fault::stuck(Machine::Registry, self.shard());
        pulse.answer(self.is_complete());
    }
}

impl Handler<Ping> for Endpoint {
    type Result = ();

    fn handle(&mut self, Ping(pulse): Ping, _: &mut Self::Context) {
        fault::stuck(Machine::Endpoint, self.shard());
        pulse.answer(true);
    }
}
