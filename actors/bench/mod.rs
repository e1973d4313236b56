//! `rollcall bench`: a load generator for any SIP presence server, over UDP or TCP.
//!
//! It must be cheaper for each operation than what it measures: one thread, a few sockets, messages prepared once (`template.rs`) and a
//! scanner (`scan.rs`) in place of the reader of the stack. So it also knows less: no proxies between it and the server, no passwords, and
//! NOTIFYs only from where requests go to.
//!
//! A run sets up what it needs, measures, and leaves what it made to expire. Presentities are named after the run, so that two runs don't
//! meet.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rollcall_core::exchange::Transport;

mod compare;
mod engine;
mod events;
mod floor;
mod messages;
mod process;
mod report;
mod rows;
mod scan;
mod schedule;
mod sockets;
mod streams;
mod template;

pub use compare::compare;
use engine::{Engine, Phase, Task};
pub use floor::Floor;
use process::{Processes, Used};
pub use report::Report;
use report::{Completeness, Latency, ServerUse};
pub use schedule::{Goal, Pace};

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

/// What is done, to whom.
#[derive(Clone, Debug)]
pub struct Options {
    /// What an operation is.
    pub load: Load,
    /// Where the server is.
    pub target: SocketAddr,
    /// How to reach it: UDP or TCP; others count as TCP.
    pub transport: Transport,
    /// The domain of the presentities.
    pub domain: String,
    /// A word of letters and digits that no other run has, for names and Call-IDs.
    pub run: String,
    /// How many presentities; each is published once before the measurement.
    pub presentities: u32,
    /// Subscriptions to each presentity, made before the measurement; of use to fan-out and refresh.
    pub watchers: u32,
    /// How operations follow each other.
    pub pace: Pace,
    /// When it is enough.
    pub goal: Goal,
    /// How long an operation may take, and how long the server may be silent.
    pub timeout: Duration,
    /// The lifetime asked for, in seconds; longer than the run.
    pub expires: u32,
    /// Sockets to send from.
    pub sockets: usize,
    /// Processes of the server, whose children count as well.
    pub processes: Vec<u32>,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub phase: &'static str,
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
pub fn run(options: &Options, mut told: impl FnMut(Progress)) -> Result<Report, BenchError> {
    let server = match &options.processes[..] {
        [] => None,
        ids => Some(Processes::with_children(ids).map_err(BenchError::Process)?),
    };
    let used = || server.as_ref().and_then(Processes::used);
    let before = used();
    let mut engine = Engine::open(options).map_err(|error| BenchError::Socket {
        target: options.target,
        error,
    })?;
    let presentities = u64::from(options.presentities);
    prepare(
        &mut engine,
        Task::Publish,
        "PUBLISH",
        presentities,
        &mut told,
    )?;
    let subscriptions = match options.load {
        Load::FanOut | Load::Refresh => presentities * u64::from(options.watchers),
        Load::Publish | Load::Subscribe => 0,
    };
    prepare(
        &mut engine,
        Task::Subscribe,
        "SUBSCRIBE",
        subscriptions,
        &mut told,
    )?;

    let task = match options.load {
        Load::Publish => Task::Publish,
        Load::FanOut => Task::FanOut,
        Load::Subscribe => Task::Subscribe,
        Load::Refresh => Task::Refresh,
    };
    let own = Processes::own();
    let (ready, own_start, start) = (used(), own.used(), Instant::now());
    let phase = engine.run(
        task,
        options.pace,
        options.goal,
        options.load.as_str(),
        &mut told,
    );
    let (seconds, after, own_end) = (start.elapsed().as_secs_f64(), used(), own.used());

    let done = phase.done;
    let each = |ns: u64| ns as f64 / 1000.0 / done.max(1) as f64;
    let server_use = before.zip(ready).zip(after);
    let is_fan_out = options.load == Load::FanOut;
    Ok(Report {
        load: options.load.as_str().to_owned(),
        server: format!("{}:{}", options.transport, options.target),
        presentities: options.presentities,
        subscriptions: u32::try_from(subscriptions).unwrap_or(u32::MAX),
        concurrency: match options.pace {
            Pace::Concurrency(concurrency) => Some(concurrency),
            Pace::Rate(_) => None,
        },
        rate: match options.pace {
            Pace::Concurrency(_) => None,
            Pace::Rate(rate) => Some(rate),
        },
        seconds,
        operations: done,
        operations_per_second: done as f64 / seconds,
        retransmissions: phase.retransmissions,
        notifies: phase.notifies,
        notifies_per_second: phase.notifies as f64 / seconds,
        repeated_notifies: phase.repeated,
        strays: phase.strays,
        latency: Latency::of(&phase.latency),
        notify_latency: is_fan_out.then(|| Latency::of(&phase.notify_latency)),
        completeness: is_fan_out.then(|| Completeness {
            watchers: subscriptions,
            behind: engine.behind(),
        }),
        server_use: server_use.map(|((before, ready), after)| {
            of_server([before, ready, after], done, phase.notifies)
        }),
        generator_us_per_operation: own_start
            .zip(own_end)
            .map(|(start, end)| each(end.cpu_ns.saturating_sub(start.cpu_ns))),
        failures: phase.failures,
        ended_early: phase.ended_early,
    })
}

/// One step of the set-up, in which nothing may fail.
fn prepare(
    engine: &mut Engine,
    task: Task,
    name: &'static str,
    count: u64,
    told: &mut impl FnMut(Progress),
) -> Result<(), BenchError> {
    let phase = engine.run(task, SET_UP, Goal::Operations(count), name, told);
    let Phase {
        failures,
        ended_early,
        ..
    } = phase;
    if failures.is_empty() && ended_early.is_none() {
        return Ok(());
    }
    let reason = ended_early.unwrap_or_else(|| sentence(&failures));
    Err(BenchError::SetUp {
        phase: name,
        reason,
    })
}

/// `3 × 404, 1 × timeout`
fn sentence(failures: &BTreeMap<String, u64>) -> String {
    let all = failures
        .iter()
        .map(|(why, count)| format!("{count} × {why}"));
    all.collect::<Vec<_>>().join(", ")
}

/// What the server used between the second and the third reading.
fn of_server([before, ready, after]: [Used; 3], operations: u64, notifies: u64) -> ServerUse {
    let ns = after.cpu_ns.saturating_sub(ready.cpu_ns);
    let us = ns as f64 / 1000.0;
    let user = after.user_ticks.saturating_sub(ready.user_ticks) as f64;
    let system = after.system_ticks.saturating_sub(ready.system_ticks) as f64;
    let each = us / operations.max(1) as f64;
    // Ticks are too coarse for the sum, but good enough to split it.
    let in_user = if user + system > 0.0 {
        user / (user + system)
    } else {
        0.0
    };
    ServerUse {
        us_per_operation: each,
        user_us_per_operation: each * in_user,
        system_us_per_operation: each * (1.0 - in_user),
        us_per_notify: (notifies > 0).then(|| us / notifies as f64),
        resident_before_kib: before.resident_kib,
        resident_ready_kib: ready.resident_kib,
        resident_after_kib: after.resident_kib,
        peak_kib: after.peak_kib,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_that_of_the_measurement_and_split_by_ticks() {
        let before = Used {
            resident_kib: 10,
            ..Used::default()
        };
        let ready = Used {
            cpu_ns: 1_000_000,
            user_ticks: 5,
            system_ticks: 5,
            resident_kib: 20,
            peak_kib: 25,
        };
        let after = Used {
            cpu_ns: 3_000_000,
            user_ticks: 6,
            system_ticks: 8,
            resident_kib: 30,
            peak_kib: 35,
        };
        let used = of_server([before, ready, after], 100, 400);
        assert_eq!(used.us_per_operation, 20.0);
        assert!((used.user_us_per_operation - 20.0 / 4.0).abs() < 1e-9);
        assert!((used.system_us_per_operation - 15.0).abs() < 1e-9);
        assert_eq!(used.us_per_notify, Some(5.0));
        let memory = (
            used.resident_before_kib,
            used.resident_ready_kib,
            used.resident_after_kib,
            used.peak_kib,
        );
        assert_eq!(memory, (10, 20, 30, 35));
    }

    #[test]
    fn a_run_without_operations_divides_by_nothing() {
        let used = of_server([Used::default(); 3], 0, 0);
        assert_eq!((used.us_per_operation, used.us_per_notify), (0.0, None));
    }
}
