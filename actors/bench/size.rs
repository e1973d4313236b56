//! What came of a measurement of capacity: for people, and as JSON for programs.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use super::process::Used;
use super::report::Report;

/// How much a server held, and what it cost. Times are in seconds, memory in KiB unless its name says bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Size {
    /// `capacity`.
    pub load: String,
    /// Whom it was done to, like `udp:127.0.0.1:5060`.
    pub server: String,
    /// Presentities with a publication.
    pub presentities: u32,
    /// Subscriptions in all.
    pub subscriptions: u32,
    /// How their publications were made.
    pub publishing: SetUp,
    /// How the subscriptions were made.
    pub subscribing: SetUp,
    /// How long nothing was done after each of the two.
    pub settle_seconds: f64,
    /// The server's memory, if its process is known.
    pub memory: Option<Memory>,
    /// What it costs to keep the subscriptions; None without any.
    pub refresh: Option<Report>,
    /// What a change of a state costs at this size; None if none was asked for.
    pub publish: Option<Report>,
    /// The memory of the load generator itself.
    pub generator: Option<Generator>,
}

/// How a step of the set-up went.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetUp {
    /// How many were made.
    pub count: u64,
    /// How long it took.
    pub seconds: f64,
    /// How many in a second.
    pub per_second: f64,
    /// Requests that were sent again.
    pub retransmissions: u64,
    /// Answers 503 whose Retry-After was waited for.
    pub refused: u64,
}

/// The server's resident memory, KiB, from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Before anything was sent.
    pub resident_before_kib: u64,
    /// When everything was published.
    pub resident_published_kib: u64,
    /// The same after the wait.
    pub resident_published_settled_kib: u64,
    /// When everything was subscribed to.
    pub resident_subscribed_kib: u64,
    /// The same after the wait.
    pub resident_settled_kib: u64,
    /// The most until then, since the server began.
    pub peak_kib: u64,
    /// What the publications have added for each presentity, after the wait; None without any.
    pub bytes_per_presentity: Option<f64>,
    /// What each subscription has added, after the wait; None without any.
    pub bytes_per_subscription: Option<f64>,
}

/// The load generator's own memory.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// Resident when everything was set up, KiB.
    pub resident_kib: u64,
    /// What each subscription has added; None without any.
    pub bytes_per_subscription: Option<f64>,
}

/// What each has added, in bytes; less than nothing if memory was given back. None without any.
fn each(before: Used, after: Used, count: u32) -> Option<f64> {
    let added = after.resident_kib as f64 - before.resident_kib as f64;
    (count > 0).then(|| added * 1024.0 / f64::from(count))
}

impl Memory {
    pub(super) fn of(readings: [Used; 5], presentities: u32, subscriptions: u32) -> Self {
        let [before, published, between, subscribed, settled] = readings;
        Self {
            resident_before_kib: before.resident_kib,
            resident_published_kib: published.resident_kib,
            resident_published_settled_kib: between.resident_kib,
            resident_subscribed_kib: subscribed.resident_kib,
            resident_settled_kib: settled.resident_kib,
            peak_kib: settled.peak_kib,
            bytes_per_presentity: each(before, between, presentities),
            bytes_per_subscription: each(between, settled, subscriptions),
        }
    }
}

impl Generator {
    pub(super) fn of(before: Used, after: Used, subscriptions: u32) -> Self {
        Self {
            resident_kib: after.resident_kib,
            bytes_per_subscription: each(before, after, subscriptions),
        }
    }
}

impl Size {
    /// Whether everything went well.
    pub fn is_good(&self) -> bool {
        let mut phases = self.refresh.iter().chain(&self.publish);
        phases.all(Report::is_good)
    }
}

impl Display for SetUp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            count,
            seconds,
            per_second,
            retransmissions,
            refused,
        } = self;
        write!(f, "{count} in {seconds:.2} s: {per_second:.0} a second")?;
        write!(
            f,
            "; {retransmissions} requests sent again, {refused} put off by 503"
        )
    }
}

impl Display for Size {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "capacity of {}, {} presentities, {} subscriptions",
            self.server, self.presentities, self.subscriptions
        )?;
        writeln!(f, "publications    {}", self.publishing)?;
        writeln!(f, "subscriptions   {}", self.subscribing)?;
        if let Some(memory) = &self.memory {
            writeln!(
                f,
                "server memory   {} KiB before, {} published, {} after {} s, {} subscribed to, {} after {} s, {} at most",
                memory.resident_before_kib,
                memory.resident_published_kib,
                memory.resident_published_settled_kib,
                self.settle_seconds,
                memory.resident_subscribed_kib,
                memory.resident_settled_kib,
                self.settle_seconds,
                memory.peak_kib
            )?;
            if let Some(bytes) = memory.bytes_per_presentity {
                writeln!(f, "                {bytes:.0} bytes a presentity")?;
            }
            if let Some(bytes) = memory.bytes_per_subscription {
                writeln!(f, "                {bytes:.0} bytes a subscription")?;
            }
        }
        if let Some(own) = &self.generator {
            write!(f, "generator       {} KiB", own.resident_kib)?;
            match own.bytes_per_subscription {
                Some(bytes) => writeln!(f, ", {bytes:.0} bytes a subscription")?,
                None => writeln!(f)?,
            }
        }
        let mut between = "\n";
        for report in self.refresh.iter().chain(&self.publish) {
            write!(f, "{between}{report}")?;
            between = "\n\n";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::tests::report;

    fn used(resident_kib: u64) -> Used {
        Used {
            resident_kib,
            peak_kib: 9999,
            ..Used::default()
        }
    }

    fn size() -> Size {
        let step = SetUp {
            count: 2048,
            seconds: 2.0,
            per_second: 1024.0,
            retransmissions: 3,
            refused: 4,
        };
        let readings = [1000, 2000, 1100, 5000, 1612].map(used);
        Size {
            load: "capacity".to_owned(),
            server: "udp:127.0.0.1:5060".to_owned(),
            presentities: 1024,
            subscriptions: 2048,
            publishing: step,
            subscribing: step,
            settle_seconds: 40.0,
            memory: Some(Memory::of(readings, 1024, 2048)),
            refresh: Some(report()),
            publish: Some(report()),
            generator: Some(Generator::of(used(10), used(210), 2048)),
        }
    }

    #[test]
    fn what_each_takes_is_what_was_added_when_all_has_settled() {
        let memory = size().memory.expect("memory");
        assert_eq!(memory.bytes_per_presentity, Some(100.0));
        assert_eq!(memory.bytes_per_subscription, Some(256.0));
        let none = Memory::of([used(2); 5], 0, 0);
        assert_eq!(
            (none.bytes_per_presentity, none.bytes_per_subscription),
            (None, None)
        );
        let less = Memory::of([used(3), used(3), used(3), used(3), used(1)], 0, 2);
        assert_eq!(less.bytes_per_subscription, Some(-1024.0));
    }

    #[test]
    fn people_are_told_everything_that_programs_are() {
        let text = size().to_string();
        for part in [
            "capacity of udp:127.0.0.1:5060, 1024 presentities, 2048 subscriptions\n",
            "publications    2048 in 2.00 s: 1024 a second; 3 requests sent again, 4 put off by 503\n",
            "server memory   1000 KiB before, 2000 published, 1100 after 40 s, 5000 subscribed to, 1612 after 40 s, 9999 at most\n",
            "100 bytes a presentity\n",
            "256 bytes a subscription\n",
            "generator       210 KiB, 100 bytes a subscription\n\nfan-out to ",
            "failures        none\n\nfan-out to ",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.ends_with("failures        none"), "{text}");
    }

    #[test]
    fn it_is_good_if_both_phases_are() {
        assert!(size().is_good());
        let bad = Report {
            ended_early: Some("it is gone".to_owned()),
            ..report()
        };
        let size = Size {
            publish: Some(bad),
            ..size()
        };
        assert!(!size.is_good());
    }

    #[test]
    fn json_gives_the_same_report_again() {
        let text = serde_json::to_string(&size()).expect("JSON");
        assert_eq!(
            serde_json::from_str::<Size>(&text).expect("a report"),
            size()
        );
    }
}
