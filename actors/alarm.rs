//! The one timer of an actor.

use actix::fut::wrap_future;
use actix::prelude::*;
use rollcall_core::time::Timestamp;

use crate::clock::Clock;

/// Wakes an actor when its core wants to be woken. One for the whole actor: actix looks at every pending timer with each
/// message.
#[derive(Debug, Default)]
pub struct Alarm {
    armed: Option<(Timestamp, SpawnHandle)>,
}

impl Alarm {
    /// Sets the alarm to this time, instead of the one before; `fire` is called then, and first calls [`Alarm::fired`].
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
        let Some(at) = at else { return };
        let sleep = wrap_future(tokio::time::sleep_until(clock.instant(at)));
        let handle = ctx.spawn(sleep.map(|(), actor, ctx| fire(actor, ctx)));
        self.armed = Some((at, handle));
    }

    /// Sees to it that the alarm fires at this time or earlier: it is only moved when it would be too late. For actors
    /// whose next time changes with each message, and for which waking early costs nothing.
    pub fn set_at_latest<A>(
        &mut self,
        at: Option<Timestamp>,
        clock: Clock,
        ctx: &mut Context<A>,
        fire: impl FnOnce(&mut A, &mut Context<A>) + 'static,
    ) where
        A: Actor<Context = Context<A>>,
    {
        let Some(at) = at else { return };
        if self.armed.is_none_or(|(armed, _)| at < armed) {
            self.set(Some(at), clock, ctx, fire);
        }
    }

    /// To be called first when the alarm fires.
    pub fn fired(&mut self) {
        self.armed = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::testkit::{Probe, in_virtual_time};

    #[derive(Debug, PartialEq, Message)]
    #[rtype(result = "()")]
    struct Rang(Timestamp);

    /// Sets its alarm to these times one after the other, and tells when it rings.
    struct Sleeper {
        set: Vec<Option<u64>>,
        at_latest: bool,
        clock: Clock,
        alarm: Alarm,
        told: Recipient<Rang>,
    }

    impl Actor for Sleeper {
        type Context = Context<Self>;

        fn started(&mut self, ctx: &mut Self::Context) {
            for at in std::mem::take(&mut self.set) {
                let at = at.map(Timestamp::from_millis);
                let fire = |sleeper: &mut Self, _: &mut Context<Self>| {
                    sleeper.alarm.fired();
                    sleeper.told.do_send(Rang(sleeper.clock.now()));
                };
                if self.at_latest {
                    self.alarm.set_at_latest(at, self.clock, ctx, fire);
                } else {
                    self.alarm.set(at, self.clock, ctx, fire);
                }
            }
        }
    }

    /// When the alarm rings within an hour, in milliseconds.
    fn rings(set: &[Option<u64>], at_latest: bool) -> Vec<u64> {
        in_virtual_time(async {
            let mut probe = Probe::start();
            let sleeper = Sleeper {
                set: set.to_vec(),
                at_latest,
                clock: Clock::starting_at(Timestamp::from_millis(1_000)),
                alarm: Alarm::default(),
                told: probe.recipient(),
            };
            let end = Instant::now() + Duration::from_secs(3600);
            let _address = sleeper.start();
            let mut rings = Vec::new();
            while let Some(Rang(at)) = probe.next_within(end - Instant::now()).await {
                rings.push(at.as_millis());
            }
            rings
        })
    }

    #[test]
    fn only_the_last_time_set_counts() {
        assert_eq!(
            rings(&[Some(5_000), Some(3_000), Some(9_000)], false),
            [9_000]
        );
        assert_eq!(rings(&[Some(5_000), None], false), [] as [u64; 0]);
    }

    #[test]
    fn at_the_latest_the_earliest_time_set_counts() {
        assert_eq!(
            rings(&[Some(5_000), Some(3_000), Some(9_000), None], true),
            [3_000]
        );
    }

    #[test]
    fn a_time_that_has_passed_rings_at_once() {
        assert_eq!(rings(&[Some(500)], false), [1_000]);
    }
}
