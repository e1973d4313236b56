//! What came of a run: for people, and as JSON for programs and for `rollcall bench compare`.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The result of one run. Times are in microseconds, memory in KiB.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was done: `publish`, `fan-out`, `subscribe`, `refresh` or `herd`.
    pub load: String,
    /// Whom it was done to, like `udp:127.0.0.1:5060`.
    pub server: String,
    /// How many presentities took part.
    pub presentities: u32,
    /// Subscriptions there were when the measurement began.
    pub subscriptions: u32,
    /// Requests under way at a time, in a closed loop.
    pub concurrency: Option<usize>,
    /// Operations due a second, in an open loop.
    pub rate: Option<f64>,
    /// How long it took, in seconds, until the last answer.
    pub seconds: f64,
    /// Operations that went well.
    pub operations: u64,
    /// The same, a second.
    pub operations_per_second: f64,
    /// Operations that did not go well, by status of the response, or by what else was wrong.
    pub failures: BTreeMap<String, u64>,
    /// Why it ended before its time.
    pub ended_early: Option<String>,
    /// Requests that were sent again.
    pub retransmissions: u64,
    /// Answers 503 whose Retry-After was waited for.
    #[serde(default)]
    pub refused: u64,
    /// NOTIFYs that came, each counted once.
    pub notifies: u64,
    /// The same, a second.
    pub notifies_per_second: f64,
    /// NOTIFYs that came once more.
    pub repeated_notifies: u64,
    /// Messages that belong to nothing under way: late answers, most of all.
    pub strays: u64,
    /// From when an operation was due until all that belongs to it was there.
    pub latency: Latency,
    /// From when an operation was due until its request was accepted; None where that is all that belongs to it.
    #[serde(default)]
    pub answer_latency: Option<Latency>,
    /// From when a PUBLISH was due until each NOTIFY with its state (fan-out).
    pub notify_latency: Option<Latency>,
    /// Who was shown the last state (fan-out, herd).
    pub completeness: Option<Completeness>,
    /// What the server used, if its process is known.
    pub server_use: Option<ServerUse>,
    /// What the load generator itself used of a processor, for each operation.
    pub generator_us_per_operation: Option<f64>,
    /// Who came back, and when all were there (herd).
    #[serde(default)]
    pub herd: Option<Herd>,
}

/// Watchers that came back in one moment. Times count from that moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Herd {
    /// How many watchers.
    pub watchers: u32,
    /// How many presentities each watches.
    pub each: u32,
    /// How long it took before to connect anew, one connection after the other; None over UDP.
    pub reconnect_seconds: Option<f64>,
    /// When the last subscription was accepted; None if some never were.
    pub until_accepted_seconds: Option<f64>,
    /// When the last one had shown the current state as well; None if some never had.
    pub until_state_seconds: Option<f64>,
}

/// A distribution, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many values.
    pub count: u64,
    /// Half took no longer.
    pub p50_us: u64,
    /// Nine of ten took no longer.
    pub p90_us: u64,
    /// 99 of 100 took no longer.
    pub p99_us: u64,
    /// 999 of 1000 took no longer.
    pub p999_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// Watchers that know, and those that don't.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completeness {
    /// How many there are.
    pub watchers: u64,
    /// How many of them were not shown the last state that the server had accepted.
    pub behind: u64,
}

/// Processor time of the server during the measurement, and its memory.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerUse {
    /// User and system together, for each operation.
    pub us_per_operation: f64,
    /// The share of it in user mode; by clock ticks of 10 ms, so meaningless in a run of a few.
    pub user_us_per_operation: f64,
    /// The share in the kernel.
    pub system_us_per_operation: f64,
    /// Of the time of one processor; above 1 it took several.
    #[serde(default)]
    pub core_share: f64,
    /// The whole, for each NOTIFY; None if none came.
    pub us_per_notify: Option<f64>,
    /// Resident before anything was set up.
    pub resident_before_kib: u64,
    /// Resident when everything was set up, and the measurement began.
    pub resident_ready_kib: u64,
    /// Resident at the end.
    pub resident_after_kib: u64,
    /// The most that was resident since the server began.
    pub peak_kib: u64,
}

impl Latency {
    /// Of values in microseconds.
    pub(super) fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            p50_us: histogram.value_at_quantile(0.5),
            p90_us: histogram.value_at_quantile(0.9),
            p99_us: histogram.value_at_quantile(0.99),
            p999_us: histogram.value_at_quantile(0.999),
            max_us: histogram.max(),
        }
    }
}

impl Display for Latency {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "p50 {}, p90 {}, p99 {}, p99.9 {}, max {} µs",
            self.p50_us, self.p90_us, self.p99_us, self.p999_us, self.max_us
        )
    }
}

impl Display for Herd {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { watchers, each, .. } = self;
        write!(f, "back            {watchers} watchers of {each} each: ")?;
        let after = |seconds: Option<f64>| {
            seconds.map_or("never".to_owned(), |seconds| {
                format!("after {seconds:.3} s")
            })
        };
        let (accepted, state) = (self.until_accepted_seconds, self.until_state_seconds);
        let (accepted, state) = (after(accepted), after(state));
        write!(f, "all accepted {accepted}, all with the state {state}")?;
        match self.reconnect_seconds {
            Some(seconds) => write!(f, ", connected anew in {seconds:.3} s before"),
            None => Ok(()),
        }
    }
}

impl Report {
    /// How many operations failed.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Whether everything went well and everybody knows the last state.
    pub fn is_good(&self) -> bool {
        let complete = self.completeness.is_none_or(|of| of.behind == 0);
        self.failures.is_empty() && self.ended_early.is_none() && complete
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let pace = match (self.concurrency, self.rate) {
            (_, Some(rate)) => format!("{} a second", (rate * 100.0).round() / 100.0),
            (Some(concurrency), None) => format!("{concurrency} at a time"),
            (None, None) => "all at once".to_owned(),
        };
        writeln!(
            f,
            "{} to {}, {} presentities, {} subscriptions, {pace}",
            self.load, self.server, self.presentities, self.subscriptions
        )?;
        if let Some(why) = &self.ended_early {
            writeln!(f, "ended early     {why}")?;
        }
        let (done, rate) = (self.operations, self.operations_per_second);
        writeln!(
            f,
            "operations      {done} in {:.2} s: {rate:.0} a second",
            self.seconds
        )?;
        if let Some(herd) = &self.herd {
            writeln!(f, "{herd}")?;
        }
        writeln!(f, "latency         {}", self.latency)?;
        if let Some(latency) = &self.answer_latency {
            writeln!(f, "until accepted  {latency}")?;
        }
        if self.notifies > 0 {
            let rate = self.notifies_per_second;
            writeln!(f, "NOTIFYs         {}: {rate:.0} a second", self.notifies)?;
        }
        if let Some(latency) = &self.notify_latency {
            writeln!(f, "until NOTIFY    {latency}")?;
        }
        if let Some(of) = self.completeness {
            let know = of.watchers - of.behind;
            writeln!(
                f,
                "completeness    {know} of {} watchers have the last state",
                of.watchers
            )?;
        }
        if let Some(used) = &self.server_use {
            writeln!(
                f,
                "server CPU      {:.1} µs an operation (user {:.1}, system {:.1}), {:.2} of a core",
                used.us_per_operation,
                used.user_us_per_operation,
                used.system_us_per_operation,
                used.core_share
            )?;
            if let Some(each) = used.us_per_notify {
                writeln!(
                    f,
                    "                {each:.1} µs a NOTIFY, with all that caused it"
                )?;
            }
            writeln!(
                f,
                "server memory   {} KiB before, {} when set up, {} after, {} at most",
                used.resident_before_kib,
                used.resident_ready_kib,
                used.resident_after_kib,
                used.peak_kib
            )?;
        }
        if let Some(own) = self.generator_us_per_operation {
            writeln!(f, "generator CPU   {own:.1} µs an operation")?;
        }
        writeln!(
            f,
            "sent again      {} requests, {} put off by 503; {} NOTIFYs came again, {} strays",
            self.retransmissions, self.refused, self.repeated_notifies, self.strays
        )?;
        let failures = self.failures.iter();
        let failures: Vec<_> = failures
            .map(|(why, count)| format!("{count} × {why}"))
            .collect();
        let failures = if failures.is_empty() {
            "none".to_owned()
        } else {
            failures.join(", ")
        };
        write!(f, "failures        {failures}")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::bench) fn report() -> Report {
        Report {
            load: "fan-out".to_owned(),
            server: "udp:127.0.0.1:5060".to_owned(),
            presentities: 2,
            subscriptions: 4,
            concurrency: Some(8),
            rate: None,
            seconds: 2.0,
            operations: 100,
            operations_per_second: 50.0,
            failures: BTreeMap::new(),
            ended_early: None,
            retransmissions: 0,
            refused: 7,
            notifies: 200,
            notifies_per_second: 100.0,
            repeated_notifies: 0,
            strays: 0,
            latency: Latency {
                count: 100,
                p50_us: 10,
                p90_us: 20,
                p99_us: 30,
                p999_us: 40,
                max_us: 50,
            },
            answer_latency: Some(Latency {
                max_us: 45,
                ..Latency::default()
            }),
            notify_latency: Some(Latency::default()),
            completeness: Some(Completeness {
                watchers: 4,
                behind: 0,
            }),
            server_use: Some(ServerUse {
                us_per_operation: 12.0,
                user_us_per_operation: 4.0,
                system_us_per_operation: 8.0,
                core_share: 0.25,
                us_per_notify: Some(6.0),
                resident_before_kib: 1000,
                resident_ready_kib: 2000,
                resident_after_kib: 2100,
                peak_kib: 2200,
            }),
            generator_us_per_operation: Some(9.0),
            herd: Some(Herd {
                watchers: 2,
                each: 3,
                reconnect_seconds: Some(0.5),
                until_accepted_seconds: Some(1.25),
                until_state_seconds: None,
            }),
        }
    }

    #[test]
    fn a_run_is_good_only_without_failures_to_its_end_and_complete() {
        let good = report();
        assert!(good.is_good());
        let failed = Report {
            failures: BTreeMap::from([("412".to_owned(), 1)]),
            ..good.clone()
        };
        let early = Report {
            ended_early: Some("it is gone".to_owned()),
            ..good.clone()
        };
        let incomplete = Report {
            completeness: Some(Completeness {
                watchers: 4,
                behind: 1,
            }),
            ..good
        };
        assert_eq!(failed.failed(), 1);
        for bad in [failed, early, incomplete] {
            assert!(!bad.is_good(), "{bad}");
        }
    }

    #[test]
    fn people_are_told_everything_that_programs_are() {
        let failures = BTreeMap::from([("412".to_owned(), 2), ("timeout".to_owned(), 1)]);
        let text = Report {
            failures,
            ended_early: Some("it is gone".to_owned()),
            ..report()
        }
        .to_string();
        for part in [
            "fan-out to udp:127.0.0.1:5060, 2 presentities, 4 subscriptions, 8 at a time",
            "it is gone",
            "100 in 2.00 s: 50 a second",
            "p50 10, p90 20, p99 30, p99.9 40, max 50 µs",
            "back            2 watchers of 3 each: all accepted after 1.250 s, all with the state never, connected anew in 0.500 s before",
            "until accepted  p50 0, p90 0, p99 0, p99.9 0, max 45 µs",
            "sent again      0 requests, 7 put off by 503; 0 NOTIFYs came again, 0 strays",
            "200: 100 a second",
            "4 of 4 watchers",
            "12.0 µs an operation (user 4.0, system 8.0), 0.25 of a core",
            "6.0 µs a NOTIFY",
            "1000 KiB before, 2000 when set up, 2100 after, 2200 at most",
            "generator CPU   9.0 µs",
            "2 × 412, 1 × timeout",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn json_gives_the_same_report_again() {
        let text = serde_json::to_string(&report()).expect("JSON");
        assert_eq!(
            serde_json::from_str::<Report>(&text).expect("a report"),
            report()
        );
    }
}
