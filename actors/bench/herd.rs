//! A power cut: all watchers have lost what they knew, and subscribe anew in the same moment.

use std::time::{Duration, Instant};

use super::phase::Task;
use super::report::{Herd, Report};
use super::session::Session;
use super::{BenchError, Goal, Options, Pace, Progress};

/// Who comes back.
#[derive(Clone, Copy, Debug)]
pub struct PowerCut {
    /// How many watchers.
    pub watchers: u32,
    /// How many presentities each of them watches.
    pub each: u32,
    /// Requests of the set-up under way at a time.
    pub concurrency: usize,
    /// How long nothing is done before the power cut, so that transactions end.
    pub settle: Duration,
    /// How long after the power cut the server may put off a watcher with 503 and Retry-After.
    pub limit: Duration,
}

/// Sets up, cuts the power, and reports. `told` is called each second.
///
/// The server still has the subscriptions of before: nobody has ended them, and it can't know that nobody listens. Each is asked for once
/// more, with a Call-ID of its own, and counts as back when it was accepted and has shown the current state.
pub fn herd(
    options: &Options,
    what: PowerCut,
    told: impl FnMut(Progress),
) -> Result<Report, BenchError> {
    let mut session = Session::open(options, told)?;
    session.engine.patience = Some(what.limit);
    let pace = Pace::Concurrency(what.concurrency);
    let presentities = u64::from(options.presentities);
    let count = u64::from(what.watchers) * u64::from(what.each);
    session.prepare(Task::Publish, "PUBLISH", pace, presentities)?;
    session.prepare(Task::Subscribe, "SUBSCRIBE", pace, count)?;
    session.settle(what.settle)?;
    let start = Instant::now();
    let forgotten = session.engine.forget();
    forgotten.map_err(|error| BenchError::Socket {
        target: options.target,
        error,
    })?;
    let reconnecting = start.elapsed().as_secs_f64();
    let report = session.measure("herd", Task::Return, Pace::AtOnce, Goal::Operations(count));
    Ok(Report {
        subscriptions: u32::try_from(count).unwrap_or(u32::MAX),
        herd: Some(Herd {
            watchers: what.watchers,
            each: what.each,
            reconnect_seconds: options.transport.is_reliable().then_some(reconnecting),
            // Everything was due in the first moment.
            until_accepted_seconds: all(count, report.answer_latency),
            until_state_seconds: all(count, Some(report.latency)),
        }),
        ..report
    })
}

/// When the last one was there, in seconds; None if some never were.
fn all(count: u64, latency: Option<super::report::Latency>) -> Option<f64> {
    let whole = latency.filter(|latency| latency.count == count)?;
    Some(whole.max_us as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::super::report::Latency;
    use super::*;

    #[test]
    fn all_are_back_when_the_last_one_is_and_never_if_one_is_missing() {
        let latency = Latency {
            count: 3,
            max_us: 1_500_000,
            ..Latency::default()
        };
        assert_eq!(all(3, Some(latency)), Some(1.5));
        assert_eq!(all(4, Some(latency)), None);
        assert_eq!(all(0, None), None);
    }
}
