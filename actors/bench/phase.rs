//! What is done in a phase of a run, what is under way in it, and what came of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::messages::Request;

/// The longest latency that is told apart, in microseconds.
const LONGEST: u64 = 3_600_000_000;

/// What is done to each subject of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// To a presentity: a PUBLISH.
    Publish,
    /// To a presentity: a PUBLISH, and NOTIFYs to all that watch.
    FanOut,
    /// To a new dialog: a SUBSCRIBE.
    Subscribe,
    /// To a new dialog, whose watcher knows nothing: a SUBSCRIBE, until it has the state that the server has.
    Return,
    /// To a dialog: a SUBSCRIBE within it.
    Refresh,
    /// To nobody: what comes is answered.
    Settle,
}

impl Task {
    /// Whether its subjects are presentities; they are dialogs otherwise.
    pub(super) fn publishes(self) -> bool {
        matches!(self, Self::Publish | Self::FanOut)
    }
}

/// An operation under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// The number of the presentity or dialog; [`NONE`](super::rows::NONE) in a slot that is free.
    pub subject: u32,
    /// Which use of the slot this is; in the branch, so that late answers are told apart.
    pub generation: u32,
    /// Whether the final response has come.
    pub answered: bool,
    /// Whether a NOTIFY has come since the request was first sent.
    pub fresh: bool,
    /// Whether the server has refused it for now, so that it waits for `again` to be sent as a new request.
    pub refused: bool,
    pub request: Request,
    pub due: Instant,
    pub began: Instant,
    pub again: Instant,
    pub pause: Duration,
}

/// What came of a phase.
#[derive(Debug)]
pub(super) struct Phase {
    pub done: u64,
    pub failures: BTreeMap<String, u64>,
    pub ended_early: Option<String>,
    pub retransmissions: u64,
    /// Answers 503 that were honoured: the request was made anew after their Retry-After.
    pub refused: u64,
    pub notifies: u64,
    pub repeated: u64,
    pub strays: u64,
    pub latency: Histogram<u64>,
    /// Until the request was accepted.
    pub answer_latency: Histogram<u64>,
    pub notify_latency: Histogram<u64>,
}

impl Default for Phase {
    fn default() -> Self {
        // Two digits would do for percentiles; with three, ratios of two runs are not steps, and up to two milliseconds each is told.
        let histogram = || Histogram::new_with_bounds(1, LONGEST, 3).expect("good bounds");
        Self {
            done: 0,
            failures: BTreeMap::new(),
            ended_early: None,
            retransmissions: 0,
            refused: 0,
            notifies: 0,
            repeated: 0,
            strays: 0,
            latency: histogram(),
            answer_latency: histogram(),
            notify_latency: histogram(),
        }
    }
}

impl Phase {
    /// Counts so many operations as failed.
    pub(super) fn fail(&mut self, why: &str, count: u64) {
        *self.failures.entry(why.to_owned()).or_default() += count;
    }
}

/// Microseconds between the two, for a histogram.
pub(super) fn record(histogram: &mut Histogram<u64>, from: Instant, to: Instant) {
    let us = to.saturating_duration_since(from).as_micros();
    histogram.saturating_record(u64::try_from(us).unwrap_or(u64::MAX).max(1));
}
