//! `rollcall bench`: a load generator for any SIP presence server, over UDP, TCP or TLS.
//!
//! It must be cheaper for each operation than what it measures: one thread, a few sockets, messages prepared once (`template.rs`) and a
//! scanner (`scan.rs`) in place of the reader of the stack. So it also knows less: no proxies between it and the server, no passwords, and
//! NOTIFYs only from where requests go to.
//!
//! A run (`session.rs`) sets up what it needs, measures, and leaves what it made to expire. Presentities are named after the run, so that two
//! runs don't meet.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rollcall_core::exchange::Transport;

mod capacity;
mod compare;
mod datagrams;
mod engine;
mod events;
mod floor;
mod herd;
mod messages;
mod phase;
mod process;
mod report;
mod rows;
mod scan;
mod schedule;
mod session;
mod size;
mod sockets;
mod streams;
mod template;
mod trust;

pub use capacity::{Capacity, capacity};
pub use compare::compare;
pub use floor::Floor;
pub use herd::{PowerCut, herd};
use phase::Task;
pub use report::Report;
pub use schedule::{Goal, Pace};
use session::Session;
pub use size::Size;
pub use trust::Trust;

/// How many requests of the set-up are under way at a time.
const SET_UP: Pace = Pace::Concurrency(32);

/// What an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// A PUBLISH that modifies (RFC 3903, 4.4), until its answer.
    Publish,
    /// The same with watchers, until its answer and all NOTIFYs with the new state.
    FanOut,
    /// A SUBSCRIBE that makes a subscription (RFC 6665, 4.1.2.1), until its answer and the first NOTIFY.
    Subscribe,
    /// A SUBSCRIBE that refreshes one (RFC 6665, 4.1.2.2), until its answer and the NOTIFY.
    Refresh,
}

impl Load {
    /// Its name on the command line and in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::FanOut => "fan-out",
            Self::Subscribe => "subscribe",
            Self::Refresh => "refresh",
        }
    }
}

/// To whom, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the server is.
    pub target: SocketAddr,
    /// How to reach it: UDP, TCP or TLS; others count as TCP.
    pub transport: Transport,
    /// The name or address that its certificate must have, over TLS.
    pub host: String,
    /// Whose certificate is believed, over TLS.
    pub trust: Trust,
    /// The domain of the presentities.
    pub domain: String,
    /// A word of letters and digits that no other run has, for names and Call-IDs.
    pub run: String,
    /// How many presentities; each is published once before the measurement.
    pub presentities: u32,
    /// How long an operation may take, and how long the server may be silent.
    pub timeout: Duration,
    /// The lifetime asked for, in seconds; longer than the run.
    pub expires: u32,
    /// Sockets to send from.
    pub sockets: usize,
    /// Whether to look for answers again and again instead of sleeping: waking up costs 50 microseconds or more, which count as the
    /// server's latency, and not sleeping costs a processor.
    pub busy: bool,
    /// Processes of the server, whose children count as well.
    pub processes: Vec<u32>,
}

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// What an operation is.
    pub load: Load,
    /// Subscriptions to each presentity, made before the measurement; of use to fan-out and refresh.
    pub watchers: u32,
    /// How operations follow each other.
    pub pace: Pace,
    /// When it is enough.
    pub goal: Goal,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub phase: &'static str,
    /// When it is enough.
    pub goal: Goal,
    /// For how long.
    pub elapsed: Duration,
    /// Operations that went well.
    pub done: u64,
    /// Operations that did not.
    pub failed: u64,
    /// Operations under way.
    pub under_way: usize,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Our own sockets.
    #[error("no socket towards {target}: {error}")]
    Socket {
        /// The server.
        target: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// What is needed to know the server, over TLS.
    #[error("{0}")]
    Certificate(String),
    /// A process that is to be measured.
    #[error("{0}")]
    Process(String),
    /// What is needed for the measurement could not be set up.
    #[error("{phase} before the measurement failed: {reason}")]
    SetUp {
        /// What was tried.
        phase: &'static str,
        /// Why it failed.
        reason: String,
    },
}

/// Sets up, measures, and reports. `told` is called each second.
pub fn run(
    options: &Options,
    course: Course,
    told: impl FnMut(Progress),
) -> Result<Report, BenchError> {
    let mut session = Session::open(options, told)?;
    let presentities = u64::from(options.presentities);
    session.prepare(Task::Publish, "PUBLISH", SET_UP, presentities)?;
    let subscriptions = match course.load {
        Load::FanOut | Load::Refresh => presentities * u64::from(course.watchers),
        Load::Publish | Load::Subscribe => 0,
    };
    session.prepare(Task::Subscribe, "SUBSCRIBE", SET_UP, subscriptions)?;
    session.watched_by(course.watchers);
    let task = match course.load {
        Load::Publish => Task::Publish,
        Load::FanOut => Task::FanOut,
        Load::Subscribe => Task::Subscribe,
        Load::Refresh => Task::Refresh,
    };
    Ok(session.measure(course.load.as_str(), task, course.pace, course.goal))
}
