//! One run: the engine, the processes that it looks at, and what they have used from one moment to the next.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rollcall_core::exchange::Transport;

use super::engine::Engine;
use super::phase::{Phase, Task};
use super::process::{Processes, Used};
use super::report::{Completeness, Latency, Report, ServerUse};
use super::sockets::Wire;
use super::trust::Secure;
use super::{BenchError, Goal, Options, Pace, Progress};

/// A run under way.
pub(super) struct Session<'a, F> {
    options: &'a Options,
    pub engine: Engine,
    server: Option<Processes>,
    own: Processes,
    /// What the server had used when the run began.
    before: Option<Used>,
    told: F,
}

/// How a step of the set-up went.
pub(super) struct Step {
    pub phase: Phase,
    pub seconds: f64,
}

impl<'a, F: FnMut(Progress)> Session<'a, F> {
    /// Looks for the processes and opens sockets.
    pub(super) fn open(options: &'a Options, told: F) -> Result<Self, BenchError> {
        let server = match &options.processes[..] {
            [] => None,
            ids => Some(Processes::with_children(ids).map_err(BenchError::Process)?),
        };
        let before = server.as_ref().and_then(Processes::used);
        let wire = match options.transport {
            Transport::Udp => Wire::Datagrams,
            Transport::Tls => {
                let secure = Secure::new(&options.trust, &options.host);
                Wire::Tls(secure.map_err(BenchError::Certificate)?)
            }
            _ => Wire::Tcp,
        };
        let engine = Engine::open(options, wire).map_err(|error| BenchError::Socket {
            target: options.target,
            error,
        })?;
        Ok(Self {
            options,
            engine,
            server,
            own: Processes::own(),
            before,
            told,
        })
    }

    /// What the server had used when the run began.
    pub(super) fn before(&self) -> Option<Used> {
        self.before
    }

    /// What the server has used until now.
    pub(super) fn used(&self) -> Option<Used> {
        self.server.as_ref().and_then(Processes::used)
    }

    /// What the load generator has used until now.
    pub(super) fn own(&self) -> Option<Used> {
        self.own.used()
    }

    /// So many subscriptions to each presentity must be told of a change.
    pub(super) fn watched_by(&mut self, watchers: u32) {
        self.engine.watchers = watchers;
    }

    /// One step of the set-up, in which nothing may fail.
    pub(super) fn prepare(
        &mut self,
        task: Task,
        name: &'static str,
        pace: Pace,
        count: u64,
    ) -> Result<Step, BenchError> {
        let start = Instant::now();
        let goal = Goal::Operations(count);
        let phase = self.engine.run(task, pace, goal, name, &mut self.told);
        let seconds = start.elapsed().as_secs_f64();
        let reason = match &phase.ended_early {
            Some(why) => why.clone(),
            None if phase.failures.is_empty() => return Ok(Step { phase, seconds }),
            None => sentence(&phase.failures),
        };
        Err(BenchError::SetUp {
            phase: name,
            reason,
        })
    }

    /// Does nothing for so long but answer what comes, so that transactions end.
    pub(super) fn settle(&mut self, length: Duration) -> Result<(), BenchError> {
        let (pace, goal) = (Pace::Concurrency(1), Goal::Duration(length));
        let phase = self
            .engine
            .run(Task::Settle, pace, goal, "settling", &mut self.told);
        phase.ended_early.map_or(Ok(()), |reason| {
            Err(BenchError::SetUp {
                phase: "the wait for transactions to end",
                reason,
            })
        })
    }

    /// Does a task until the goal is reached, and reports it as this load.
    pub(super) fn measure(
        &mut self,
        load: &'static str,
        task: Task,
        pace: Pace,
        goal: Goal,
    ) -> Report {
        let subscriptions = self.engine.dialogs.len();
        let (ready, own_start, start) = (self.used(), self.own(), Instant::now());
        let phase = self.engine.run(task, pace, goal, load, &mut self.told);
        let seconds = start.elapsed().as_secs_f64();
        let (after, own_end) = (self.used(), self.own());
        let done = phase.done;
        let each = |ns: u64| ns as f64 / 1000.0 / done.max(1) as f64;
        let server_use = self.before.zip(ready).zip(after);
        let is_fan_out = task == Task::FanOut;
        let watchers = self.engine.dialogs.len() as u64;
        Report {
            load: load.to_owned(),
            server: format!("{}:{}", self.options.transport, self.options.target),
            presentities: self.options.presentities,
            subscriptions: u32::try_from(subscriptions).unwrap_or(u32::MAX),
            concurrency: match pace {
                Pace::Concurrency(concurrency) => Some(concurrency),
                Pace::Rate(_) | Pace::AtOnce => None,
            },
            rate: match pace {
                Pace::Concurrency(_) | Pace::AtOnce => None,
                Pace::Rate(rate) => Some(rate),
            },
            seconds,
            operations: done,
            operations_per_second: done as f64 / seconds,
            retransmissions: phase.retransmissions,
            refused: phase.refused,
            notifies: phase.notifies,
            notifies_per_second: phase.notifies as f64 / seconds,
            repeated_notifies: phase.repeated,
            strays: phase.strays,
            latency: Latency::of(&phase.latency),
            answer_latency: (task != Task::Publish).then(|| Latency::of(&phase.answer_latency)),
            notify_latency: is_fan_out.then(|| Latency::of(&phase.notify_latency)),
            completeness: (is_fan_out || task == Task::Return).then(|| Completeness {
                watchers,
                behind: self.engine.behind(),
            }),
            server_use: server_use.map(|((before, ready), after)| {
                of_server([before, ready, after], seconds, done, phase.notifies)
            }),
            generator_us_per_operation: own_start
                .zip(own_end)
                .map(|(start, end)| each(end.cpu_ns.saturating_sub(start.cpu_ns))),
            herd: None,
            failures: phase.failures,
            ended_early: phase.ended_early,
        }
    }
}

/// `3 × 404, 1 × timeout`
fn sentence(failures: &BTreeMap<String, u64>) -> String {
    let all = failures
        .iter()
        .map(|(why, count)| format!("{count} × {why}"));
    all.collect::<Vec<_>>().join(", ")
}

/// What the server used between the second and the third reading.
fn of_server(
    [before, ready, after]: [Used; 3],
    seconds: f64,
    operations: u64,
    notifies: u64,
) -> ServerUse {
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
        core_share: if seconds > 0.0 {
            us / 1e6 / seconds
        } else {
            0.0
        },
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
        let used = of_server([before, ready, after], 0.004, 100, 400);
        assert_eq!(used.us_per_operation, 20.0);
        assert!((used.user_us_per_operation - 20.0 / 4.0).abs() < 1e-9);
        assert!((used.system_us_per_operation - 15.0).abs() < 1e-9);
        assert_eq!(used.us_per_notify, Some(5.0));
        assert!((used.core_share - 0.5).abs() < 1e-9);
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
        let used = of_server([Used::default(); 3], 0.0, 0, 0);
        assert_eq!((used.us_per_operation, used.us_per_notify), (0.0, None));
        assert_eq!(used.core_share, 0.0);
    }
}
