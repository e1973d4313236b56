//! How many presentities and subscriptions a server holds, in how much memory, and what they cost while they are only kept alive.

use std::time::Duration;

use super::phase::Task;
use super::report::Report;
use super::session::{Session, Step};
use super::size::{Generator, Memory, SetUp, Size};
use super::{BenchError, Goal, Options, Pace, Progress};

/// How long the server may put off a request of the set-up with 503 and Retry-After.
const PATIENCE: Duration = Duration::from_secs(600);

/// What is set up, and what is done then.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// Subscriptions in all, spread over the presentities.
    pub subscriptions: u32,
    /// Whether each presentity gets a publication.
    pub published: bool,
    /// Requests of the set-up, and PUBLISHes afterwards, under way at a time.
    pub concurrency: usize,
    /// How long nothing is done after each step of the set-up, so that transactions end: Timer J of RFC 3261 takes 32 seconds.
    pub settle: Duration,
    /// How long subscriptions are refreshed.
    pub refreshing: Duration,
    /// Refreshes due a second; None: as many as there are subscriptions, divided by their lifetime.
    pub rate: Option<f64>,
    /// How many PUBLISHes then change a state; 0 for none.
    pub publishes: u64,
}

impl Capacity {
    /// Refreshes due a second.
    fn rate(&self, expires: u32) -> f64 {
        let due = f64::from(self.subscriptions) / f64::from(expires.max(1));
        self.rate.unwrap_or(due)
    }
}

/// Sets up, waits, keeps alive, changes, and reports. `told` is called each second.
pub fn capacity(
    options: &Options,
    what: Capacity,
    told: impl FnMut(Progress),
) -> Result<Size, BenchError> {
    let mut session = Session::open(options, told)?;
    session.engine.patience = Some(PATIENCE);
    let pace = Pace::Concurrency(what.concurrency);
    let presentities = if what.published {
        options.presentities
    } else {
        0
    };
    let publish = session.prepare(Task::Publish, "PUBLISH", pace, presentities.into())?;
    let published = session.used();
    if presentities > 0 {
        session.settle(what.settle)?;
    }
    let (between, own_before) = (session.used(), session.own());
    let count = u64::from(what.subscriptions);
    let subscribe = session.prepare(Task::Subscribe, "SUBSCRIBE", pace, count)?;
    let subscribed = session.used();
    if count > 0 {
        session.settle(what.settle)?;
    }
    let (settled, own_after) = (session.used(), session.own());

    // From now on a refusal is a failure: it is what is measured.
    session.engine.patience = None;
    let refresh = (count > 0 && !what.refreshing.is_zero()).then(|| {
        let rate = Pace::Rate(what.rate(options.expires));
        let goal = Goal::Duration(what.refreshing);
        session.measure("refresh", Task::Refresh, rate, goal)
    });
    let gone = |report: &Report| report.ended_early.is_some();
    let changes = presentities > 0 && what.publishes > 0 && !refresh.as_ref().is_some_and(gone);
    let publish_again = changes.then(|| {
        let goal = Goal::Operations(what.publishes);
        session.measure("publish", Task::Publish, pace, goal)
    });

    let memory = session.before().zip(published).zip(between);
    let memory = memory.zip(subscribed.zip(settled));
    Ok(Size {
        load: "capacity".to_owned(),
        server: format!("{}:{}", options.transport, options.target),
        presentities,
        subscriptions: what.subscriptions,
        publishing: set_up(&publish),
        subscribing: set_up(&subscribe),
        settle_seconds: what.settle.as_secs_f64(),
        memory: memory.map(|(((before, published), between), (subscribed, settled))| {
            let readings = [before, published, between, subscribed, settled];
            Memory::of(readings, presentities, what.subscriptions)
        }),
        refresh,
        publish: publish_again,
        generator: own_before
            .zip(own_after)
            .map(|(before, after)| Generator::of(before, after, what.subscriptions)),
    })
}

fn set_up(step: &Step) -> SetUp {
    SetUp {
        count: step.phase.done,
        seconds: step.seconds,
        per_second: if step.seconds > 0.0 {
            step.phase.done as f64 / step.seconds
        } else {
            0.0
        },
        retransmissions: step.phase.retransmissions,
        refused: step.phase.refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_million_subscriptions_of_an_hour_are_2778_refreshes_a_second() {
        let mut what = Capacity {
            subscriptions: 10_000_000,
            published: true,
            concurrency: 1,
            settle: Duration::ZERO,
            refreshing: Duration::ZERO,
            rate: None,
            publishes: 0,
        };
        assert_eq!(what.rate(3600).round(), 2778.0);
        what.rate = Some(5.0);
        assert_eq!(what.rate(3600), 5.0);
    }
}
