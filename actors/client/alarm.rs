//! The one timer of an actor.

use actix::prelude::*;
use rollcall_core::time::Timestamp;

use crate::clock::Clock;

/// Wakes an actor when its core wants to be woken. One for the whole actor: actix looks at every pending timer with each
/// message.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    armed: Option<(Timestamp, SpawnHandle)>,
}

impl Alarm {
    /// Sets the alarm to this time, instead of the one before; `fire` is called then.
    pub fn set<A>(
        &mut self,
        at: Option<Timestamp>,
        clock: Clock,
        ctx: &mut Context<A>,
        fire: impl FnOnce(&mut A, &mut Context<A>) + 'static,
    ) where
        A: Actor<Context = Context<A>>,
    {
        if self.armed.map(|(armed, _)| armed) == at {
            return;
        }
        if let Some((_, handle)) = self.armed.take() {
            ctx.cancel_future(handle);
        }
        if let Some(at) = at {
            let handle = ctx.run_later(at.since(clock.now()), fire);
            self.armed = Some((at, handle));
        }
    }

    /// To be called first when the alarm fires.
    pub fn fired(&mut self) {
        self.armed = None;
    }
}
