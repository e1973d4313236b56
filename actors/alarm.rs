//! The one timer of an actor.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};

use actix::prelude::*;
use rollcall_core::time::Timestamp;
use tokio::time::Sleep;

use crate::clock::Clock;

/// An actor that is woken by its [`Alarm`].
pub trait Sleeper: Actor<Context = Context<Self>> {
    /// The time to which the alarm was set has come. The alarm is not set any more.
    fn woken(&mut self, ctx: &mut Context<Self>);
}

/// Wakes an actor when its core wants to be woken. One for the whole actor: actix looks at every pending future with each
/// message.
///
/// However often it is set, it has one future in the actor's context, and that only while it is set: an actor whose addresses
/// are all gone ends when its alarm has rung for the last time.
#[derive(Debug, Default)]
pub struct Alarm(Rc<Shared>);

/// What the alarm shares with its future.
#[derive(Debug, Default)]
struct Shared {
    at: Cell<Option<Timestamp>>,
    /// Made when the alarm is set for the first time, and moved from then on.
    sleep: RefCell<Option<Pin<Box<Sleep>>>>,
    /// The future is in the actor's context.
    running: Cell<bool>,
}

impl Alarm {
    /// Sets the alarm to this time, instead of the one before; or to none.
    pub fn set<A: Sleeper>(&self, at: Option<Timestamp>, clock: Clock, ctx: &mut Context<A>) {
        let shared = &self.0;
        if shared.at.replace(at) == at {
            return;
        }
        // A future that finds nothing set ends when it is polled, which is after each message.
        let Some(at) = at else { return };
        let deadline = clock.instant(at);
        match &mut *shared.sleep.borrow_mut() {
            Some(sleep) => sleep.as_mut().reset(deadline),
            none => *none = Some(Box::pin(tokio::time::sleep_until(deadline))),
        }
        if !shared.running.replace(true) {
            ctx.spawn(Ring(Rc::clone(shared)));
        }
    }

    /// Sees to it that the alarm rings at this time or earlier: it is only moved when it would be too late. For actors
    /// whose next time changes with each message, and for which waking early costs nothing.
    pub fn set_at_latest<A: Sleeper>(
        &self,
        at: Option<Timestamp>,
        clock: Clock,
        ctx: &mut Context<A>,
    ) {
        let Some(at) = at else { return };
        if self.0.at.get().is_none_or(|set| at < set) {
            self.set(Some(at), clock, ctx);
        }
    }

    /// How many futures it has in the actor's context: never more than one.
    pub fn live(&self) -> usize {
        Rc::strong_count(&self.0) - 1
    }
}

/// The future in the actor's context.
struct Ring(Rc<Shared>);

impl<A: Sleeper> ActorFuture<A> for Ring {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut A,
        ctx: &mut Context<A>,
        task: &mut std::task::Context<'_>,
    ) -> Poll<()> {
        let shared = &self.0;
        while shared.at.get().is_some() {
            if let Some(sleep) = &mut *shared.sleep.borrow_mut() {
                ready!(sleep.as_mut().poll(task));
            }
            shared.at.set(None);
            actor.woken(ctx);
        }
        Poll::Ready(())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.0.running.set(false);
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
    enum Told {
        Rang(Timestamp),
        Ended,
    }

    /// Sets the alarm to these times one after the other, in milliseconds; answered with the live futures.
    #[derive(Message)]
    #[rtype(result = "usize")]
    struct Set(Vec<Option<u64>>);

    /// Tells when its alarm rings, and when it ends.
    struct Clerk {
        at_latest: bool,
        clock: Clock,
        alarm: Alarm,
        told: Recipient<Told>,
    }

    impl Actor for Clerk {
        type Context = Context<Self>;

        fn stopped(&mut self, _: &mut Context<Self>) {
            self.told.do_send(Told::Ended);
        }
    }

    impl Sleeper for Clerk {
        fn woken(&mut self, _: &mut Context<Self>) {
            self.told.do_send(Told::Rang(self.clock.now()));
        }
    }

    impl Handler<Set> for Clerk {
        type Result = usize;

        fn handle(&mut self, Set(times): Set, ctx: &mut Context<Self>) -> usize {
            for at in times {
                let at = at.map(Timestamp::from_millis);
                if self.at_latest {
                    self.alarm.set_at_latest(at, self.clock, ctx);
                } else {
                    self.alarm.set(at, self.clock, ctx);
                }
            }
            self.alarm.live()
        }
    }

    /// A clerk at one second, and what it tells.
    fn clerk(at_latest: bool) -> (Addr<Clerk>, Probe<Told>) {
        let probe = Probe::start();
        let clerk = Clerk {
            at_latest,
            clock: Clock::starting_at(Timestamp::from_millis(1_000)),
            alarm: Alarm::default(),
            told: probe.recipient(),
        };
        (clerk.start(), probe)
    }

    /// When the alarm rings within an hour, in milliseconds.
    fn rings(set: &[Option<u64>], at_latest: bool) -> Vec<u64> {
        in_virtual_time(async {
            let (clerk, mut probe) = clerk(at_latest);
            let end = Instant::now() + Duration::from_secs(3600);
            clerk.do_send(Set(set.to_vec()));
            let mut rings = Vec::new();
            while let Some(Told::Rang(at)) = probe.next_within(end - Instant::now()).await {
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
        assert_eq!(rings(&[Some(5_000), None, Some(6_000)], false), [6_000]);
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

    /// Messages come when the time set before has just come, so that the old time and the new one meet.
    #[test]
    fn a_million_settings_leave_one_future() {
        in_virtual_time(async {
            let (clerk, mut probe) = clerk(false);
            let mut now = 1_000;
            for _ in 0..1_000 {
                tokio::time::advance(Duration::from_millis(10)).await;
                now += 10;
                let times = (0..1_000).map(|further| Some(now + 10 + further % 7));
                let mut times: Vec<_> = times.collect();
                times.push(Some(now + 10));
                let live = clerk.send(Set(times)).await.expect("it lives");
                assert_eq!(live, 1, "at {now}");
            }
            clerk.send(Set(vec![None])).await.expect("it lives");
            assert_eq!(
                clerk.send(Set(Vec::new())).await,
                Ok(0),
                "nothing is left when nothing is set"
            );
            // What was due before it was moved has rung, and nothing twice.
            let mut last = 0;
            while let Some(Told::Rang(at)) = probe.next_within(Duration::from_secs(60)).await {
                assert!(at.as_millis() > last, "{at:?} after {last}");
                last = at.as_millis();
            }
        });
    }

    #[test]
    fn an_actor_without_addresses_ends_when_it_has_rung() {
        in_virtual_time(async {
            let (clerk, mut probe) = clerk(false);
            clerk.send(Set(vec![Some(5_000)])).await.expect("it lives");
            drop(clerk);
            let rang = Told::Rang(Timestamp::from_millis(5_000));
            assert_eq!(
                [probe.next().await, probe.next().await],
                [rang, Told::Ended]
            );
        });
    }
}
