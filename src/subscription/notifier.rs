//! When a NOTIFY may leave: one in flight per subscription, and the latest state wins.
//!
//! ```text
//!                 changed, demanded                     answered, nothing new
//!        ┌───────────── send ──────────────┐   ┌───────────────────────────────────┐
//!        │                                 v   │                                   v
//!     ┌──────┐                          ┌──────────┐ ── changed: seen by version ──┐
//!     │ Idle │ <────────────────────────│ Awaiting │ <─────── answered: send ──────┘
//!     └──────┘                          └──────────┘
//!        ^                                 │ 503 with Retry-After, not sent at all
//!        │      ┌─────────┐                │
//!        └──────│ Holding │ <──────────────┘          listed failure, N timeouts: the subscription is gone
//!       timer   └─────────┘ ── demanded: send ──> Awaiting
//! ```

use std::time::Duration;

use crate::exchange::{OutcomeResult, Token};
use crate::sip::StatusCode;
use crate::time::TimerKey;

/// How long to wait after a NOTIFY that could not be sent at all: a watcher that has lost its connection is about to
/// make a new one.
const AFTER_TRANSPORT_ERROR: Duration = Duration::from_secs(5);

/// Where the current NOTIFY is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flight {
    /// None is on its way.
    Idle,
    /// One is on its way.
    Awaiting {
        /// Its token.
        token: Token,
        /// Another must follow even if nothing changes: a SUBSCRIBE came meanwhile (RFC 6665, 4.2.1.2).
        again: bool,
    },
    /// One is due, but not before this timer.
    Holding {
        /// The registry's timer.
        timer: TimerKey,
    },
}

/// Why a subscription ends (RFC 6665, 4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// It expired, or the watcher ended it.
    Timeout,
    /// We ended it; the watcher should subscribe anew at once.
    Deactivated,
    /// The watcher was blocked, and should not try again.
    Rejected,
}

impl EndReason {
    /// As in Subscription-State.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Deactivated => "deactivated",
            Self::Rejected => "rejected",
        }
    }
}

/// Why a subscription is gone without a word (RFC 6665, 4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The watcher does not know it.
    Refused,
    /// The watcher does not answer.
    Unanswered,
}

impl Lost {
    /// For the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unanswered => "unanswered",
        }
    }
}

/// What follows from the end of a NOTIFY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not the NOTIFY that is waited for.
    Stale,
    /// Nothing to do.
    Rest,
    /// Send the latest state now.
    Send,
    /// Send the latest state after this time.
    Hold(Duration),
    /// The subscription is gone, without a word (RFC 6665, 4.2.2).
    Remove(Lost),
}

/// The sending side of one subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notifier {
    flight: Flight,
    /// Version of the state that the last NOTIFY carried.
    shown: u32,
    /// NOTIFYs without an answer, in a row.
    timeouts: u32,
    /// The subscription ends when the NOTIFY in flight is answered.
    ending: Option<EndReason>,
}

impl Default for Notifier {
    fn default() -> Self {
        Self {
            flight: Flight::Idle,
            shown: 0,
            timeouts: 0,
            ending: None,
        }
    }
}

impl Notifier {
    /// Where the current NOTIFY is.
    pub fn flight(&self) -> Flight {
        self.flight
    }

    /// Version of the state that the last NOTIFY carried; 0 before the first.
    pub fn shown(&self) -> u32 {
        self.shown
    }

    /// Why it ends, when it does so after the NOTIFY in flight.
    pub fn ending(&self) -> Option<EndReason> {
        self.ending
    }

    /// The state has this version now. Whether a NOTIFY leaves for it at once.
    pub fn changed(&self, version: u32) -> bool {
        match self.flight {
            Flight::Idle => self.shown != version,
            Flight::Awaiting { .. } | Flight::Holding { .. } => false,
        }
    }

    /// A SUBSCRIBE asks for a NOTIFY whether or not something changed. Whether it leaves at once.
    pub fn demanded(&mut self) -> bool {
        match &mut self.flight {
            Flight::Idle => true,
            Flight::Awaiting { again, .. } => {
                *again = true;
                false
            }
            // Whoever subscribes is there and wants to know now (RFC 6665, 4.2.1.2), whatever it said before.
            Flight::Holding { .. } => true,
        }
    }

    /// The subscription ends. Whether the last NOTIFY leaves at once; otherwise it does when the one in flight is
    /// answered, since it must not overtake it.
    pub fn end(&mut self, reason: EndReason) -> bool {
        match self.flight {
            Flight::Idle | Flight::Holding { .. } => true,
            Flight::Awaiting { .. } => {
                self.ending = Some(reason);
                false
            }
        }
    }

    /// A NOTIFY left.
    pub fn sent(&mut self, token: Token, version: u32) {
        self.flight = Flight::Awaiting {
            token,
            again: false,
        };
        self.shown = version;
    }

    /// The watcher knows this version of the state: it was told before a restart.
    pub fn knows(&mut self, version: u32) {
        self.shown = version;
    }

    /// Whether this is the NOTIFY on its way.
    pub fn awaits(&self, token: Token) -> bool {
        matches!(self.flight, Flight::Awaiting { token: awaited, .. } if awaited == token)
    }

    /// A NOTIFY left without the state, which follows when that is answered.
    pub fn sent_without_state(&mut self, token: Token) {
        self.flight = Flight::Awaiting { token, again: true };
    }

    /// The next NOTIFY waits for a timer.
    pub fn hold(&mut self, timer: TimerKey) {
        self.flight = Flight::Holding { timer };
    }

    /// The timer of [`Notifier::hold`] fired.
    pub fn released(&mut self) {
        self.flight = Flight::Idle;
    }

    /// A NOTIFY ended. `version` is that of the state now, `tolerated` how many in a row may go unanswered.
    pub fn answered(
        &mut self,
        token: Token,
        result: &OutcomeResult,
        version: u32,
        tolerated: u32,
    ) -> Verdict {
        let again = match self.flight {
            Flight::Awaiting {
                token: awaited,
                again,
            } if awaited == token => again,
            Flight::Idle | Flight::Awaiting { .. } | Flight::Holding { .. } => {
                return Verdict::Stale;
            }
        };
        self.flight = Flight::Idle;
        let more = again || self.ending.is_some() || self.shown != version;
        let next = |more| if more { Verdict::Send } else { Verdict::Rest };
        match Answer::of(result) {
            Answer::Taken => {
                self.timeouts = 0;
                next(more)
            }
            Answer::Refused => next(more),
            Answer::Later(pause) => Verdict::Hold(pause),
            Answer::Gone => Verdict::Remove(Lost::Refused),
            Answer::None | Answer::NotSent if self.timeouts >= tolerated => {
                Verdict::Remove(Lost::Unanswered)
            }
            // It may never have arrived, so the state is still to be told.
            Answer::None => {
                self.timeouts += 1;
                Verdict::Send
            }
            Answer::NotSent => {
                self.timeouts += 1;
                Verdict::Hold(AFTER_TRANSPORT_ERROR)
            }
        }
    }
}

/// What the end of a NOTIFY means.
enum Answer {
    /// 2xx.
    Taken,
    /// A failure that concerns this NOTIFY only.
    Refused,
    /// The watcher is busy and says until when.
    Later(Duration),
    /// The subscription does not exist for the watcher.
    Gone,
    /// No answer in time.
    None,
    /// It never left.
    NotSent,
}

impl Answer {
    fn of(result: &OutcomeResult) -> Self {
        let response = match result {
            OutcomeResult::Response(response, _) => response,
            OutcomeResult::Timeout => return Self::None,
            OutcomeResult::TransportError(_) => return Self::NotSent,
        };
        let status = response.status().map_or(0, StatusCode::code);
        match status {
            200..300 => Self::Taken,
            // The list of RFC 6665, 4.2.2.
            404 | 405 | 410 | 416 | 480..=485 | 489 | 501 | 604 => Self::Gone,
            408 => Self::None,
            503 => match response.retry_after() {
                Ok(Some(seconds)) => Self::Later(Duration::from_secs(u64::from(seconds.max(1)))),
                Ok(None) | Err(_) => Self::Refused,
            },
            _ => Self::Refused,
        }
    }
}

#[cfg(test)]
#[path = "notifier_tests.rs"]
mod tests;
