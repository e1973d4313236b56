//! What a simulation says in the end, for people and for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::ledger::{Invariant, Ledger};
use super::observer::Observer;
use super::work::Work;
use super::world::Pictures;
use crate::config;
use crate::node::Simulated;
use crate::transport::memory::Statistics;

/// Broken invariants beyond this many are counted, not listed.
const MOST_VIOLATIONS: usize = 20;

/// What is counted of the publish buffers, in the order of the report, and in which words.
const BUFFER: [(&str, &str); 10] = [
    ("received", "states came from the Managers"),
    ("duplicates", "of them the Manager had sent before"),
    (
        "coalesced",
        "replaced an older state that was still waiting",
    ),
    ("overwritten", "were thrown out because the buffer was full"),
    ("refused_full", "were refused because the buffer was full"),
    ("taken", "were handed to the publisher"),
    ("deferred", "came back from it for another attempt"),
    ("acked", "were acknowledged to the Manager (ACK)"),
    ("naked", "were refused (NAK)"),
    (HIGH_WATER, "presentities waited at once at most"),
];
const HIGH_WATER: &str = "high_water";

/// Everything that a report is made of.
pub struct Found<'a> {
    pub settings: &'a config::Simulate,
    pub ledger: &'a Ledger,
    pub observer: &'a Observer,
    /// What the network did until all was settled.
    pub network: &'a Statistics,
    /// How much the world worked until then.
    pub work: Work,
    /// How many faults were planned.
    pub planned: usize,
    /// The actors when all was settled.
    pub present: &'a Pictures,
    /// The actors that crashes had ended by then.
    pub past: &'a Pictures,
}

/// Rows that the server still has, by kind.
pub fn rows(pictures: &Pictures) -> Vec<(&'static str, u64)> {
    [
        ("publications", "publication_count"),
        ("subscriptions", "subscription_count"),
        ("bindings", "binding_count"),
    ]
    .into_iter()
    .map(|(kind, count)| {
        let of = |picture: &Value| picture.get(count).and_then(Value::as_u64);
        let all = pictures.iter().flat_map(|(_, pictures)| pictures);
        (kind, all.filter_map(of).sum())
    })
    .collect()
}

impl Found<'_> {
    /// A counter of all actors of a kind, also of those that have crashed.
    fn counters(&self, actor: &str, counter: &str) -> impl Iterator<Item = u64> {
        self.present
            .iter()
            .chain(self.past)
            .flat_map(|(_, pictures)| pictures)
            .filter(move |picture| picture.get("actor").and_then(Value::as_str) == Some(actor))
            .filter_map(move |picture| picture.get("counters")?.get(counter)?.as_u64())
    }

    fn buffer(&self, counter: &str) -> u64 {
        let all = self.counters("publish-buffer", counter);
        if counter == HIGH_WATER {
            all.max().unwrap_or(0)
        } else {
            all.sum()
        }
    }

    fn broken(&self, invariant: Invariant) -> usize {
        let found = self.ledger.verdict().iter();
        found.filter(|found| found.invariant == invariant).count()
    }
}

/// The report.
pub fn of(found: &Found<'_>) -> Simulated {
    Simulated {
        passed: found.ledger.verdict().is_empty(),
        // Writing to a string does not fail.
        text: text(found).unwrap_or_default(),
        json: json(found),
    }
}

fn text(found: &Found<'_>) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    let Found {
        settings,
        ledger,
        observer,
        network,
        ..
    } = *found;
    writeln!(
        text,
        "Seed {}: {} people, {} subscriptions to them, {} in which they change, {} to settle",
        settings.seed,
        settings.presentities,
        settings.subscriptions,
        words(settings.duration),
        words(settings.settle),
    )?;

    writeln!(
        text,
        "\nOn the wire until all was settled, lost ones included"
    )?;
    writeln!(text, "  messages  sent again")?;
    for (kind, count) in observer.traffic().kinds() {
        writeln!(text, "{:>10}{:>12}  {kind}", count.messages, count.again)?;
    }

    writeln!(text, "\nWhat the network did to {} datagrams", network.sent)?;
    for (count, what) in [
        (network.lost, "lost by chance"),
        (network.duplicated, "delivered twice"),
        (network.reordered, "overtaken by later ones"),
        (network.partitioned, "swallowed by partitions"),
        (network.unreachable, "sent to hosts that were down"),
        (network.overflowed, "dropped by full sockets"),
        (
            network.broken,
            "Manager connections broken by crashes and partitions",
        ),
    ] {
        writeln!(text, "{count:>10}  {what}")?;
    }

    writeln!(text, "\nPublish buffers of the Presence Clients")?;
    for (counter, what) in BUFFER {
        writeln!(text, "{:>10}  {what}", found.buffer(counter))?;
    }

    let latency = ledger.latency();
    writeln!(
        text,
        "\nFrom a change at the source, by Manager and Presence Client, to the NOTIFY that shows it first to a watcher"
    )?;
    let quantile = |share| words(Duration::from_millis(latency.value_at_quantile(share)));
    writeln!(text, "{:>10}  half of them within it (p50)", quantile(0.5))?;
    writeln!(text, "{:>10}  99 of 100 (p99)", quantile(0.99))?;
    let slowest = words(Duration::from_millis(latency.max()));
    writeln!(text, "{slowest:>10}  the slowest, of {}", latency.len())?;

    match observer.ladder() {
        Some(ladder) if ladder.trim().is_empty() => writeln!(
            text,
            "\nNo ladder: no message was about that presentity; people are sip:person-1@example.com and so on."
        )?,
        Some(ladder) => writeln!(text, "\n{ladder}")?,
        None => {}
    }

    writeln!(text, "\nInvariants")?;
    for invariant in Invariant::ALL {
        let verdict = match found.broken(invariant) {
            0 => "held".to_owned(),
            1 => "BROKEN once".to_owned(),
            count => format!("BROKEN {count} times"),
        };
        writeln!(text, "  {verdict:<8}  {}", invariant.sentence())?;
    }
    for violation in ledger.verdict().iter().take(MOST_VIOLATIONS) {
        let at = violation.at as f64 / 1000.0;
        writeln!(text, "    at {at:.3} s: {}", violation.what)?;
    }
    let more = ledger.verdict().len().saturating_sub(MOST_VIOLATIONS);
    if more > 0 {
        writeln!(text, "    … and {more} more")?;
    }
    write!(text, "\nTrace digest {:016x}", observer.digest())?;
    Ok(text)
}

fn json(found: &Found<'_>) -> Value {
    let Found {
        settings,
        ledger,
        observer,
        network,
        work,
        planned,
        present,
        past,
    } = *found;
    let latency = ledger.latency();
    let invariants = Invariant::ALL
        .into_iter()
        .map(|invariant| json!({ "invariant": invariant, "broken": found.broken(invariant) }));
    let buffers = BUFFER
        .iter()
        .map(|(counter, _)| ((*counter).to_owned(), found.buffer(counter).into()));
    json!({
        "seed": settings.seed,
        "digest": format!("{:016x}", observer.digest()),
        "passed": ledger.verdict().is_empty(),
        "faults": planned,
        "work": work,
        "messages": observer.traffic().kinds(),
        "network": network,
        "buffers": buffers.collect::<serde_json::Map<_, _>>(),
        "latency_ms": {
            "p50": latency.value_at_quantile(0.5),
            "p99": latency.value_at_quantile(0.99),
            "max": latency.max(),
            "count": latency.len(),
        },
        "invariants": invariants.collect::<Vec<_>>(),
        "violations": ledger.verdict(),
        "nodes": present,
        "crashed_nodes": past,
    })
}

/// A time as people say it: `103 ms`, `11.6 s`, `1 min 32 s`, `1 h`.
fn words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..60 => {
            let tenths = time.subsec_millis() / 100;
            if tenths == 0 {
                format!("{seconds} s")
            } else {
                format!("{seconds}.{tenths} s")
            }
        }
        _ => [
            (seconds / 3600, "h"),
            (seconds / 60 % 60, "min"),
            (seconds % 60, "s"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect::<Vec<_>>()
        .join(" "),
    }
}

#[cfg(test)]
mod tests {
    use rollcall_core::entropy::Entropy;
    use rollcall_core::time::Timestamp;

    use super::super::disk::SimDisk;
    use super::super::promises::Promises;
    use super::*;

    #[test]
    fn times_are_said_in_words() {
        let said = [0, 103, 1_000, 11_650, 60_000, 92_000, 3_600_000, 5_430_000]
            .map(|millis| words(Duration::from_millis(millis)));
        assert_eq!(
            said,
            [
                "0 ms",
                "103 ms",
                "1 s",
                "11.6 s",
                "1 min",
                "1 min 32 s",
                "1 h",
                "1 h 30 min 30 s"
            ]
        );
    }

    #[test]
    fn the_report_counts_the_lives_before_a_crash_and_lists_what_was_broken() {
        let settings = config::defaults::<config::Simulate>();
        let start = Timestamp::from_millis(0);
        let mut ledger = Ledger::new(start);
        for row in 1..=25 {
            ledger.left_over(start, "subscriptions", row);
        }
        let picture = |received: u64, most: u64| {
            let counters = json!({ "received": received, "high_water": most });
            let picture = json!({ "actor": "publish-buffer", "counters": counters });
            vec![("client-1".to_owned(), vec![picture])]
        };
        let disk = SimDisk::new(Entropy::from_number(1));
        let promises = Promises::new([127, 0, 0, 1].into(), disk);
        let simulated = of(&Found {
            settings: &settings,
            ledger: &ledger,
            observer: &Observer::new(start, None, None, promises),
            network: &Statistics::default(),
            work: Work::default(),
            planned: 0,
            present: &picture(3, 2),
            past: &picture(4, 9),
        });
        assert!(!simulated.passed);
        assert_eq!(simulated.json["buffers"]["received"], 7);
        assert_eq!(simulated.json["buffers"]["high_water"], 9);
        for line in [
            "Seed 1: 1000 people, 5000 subscriptions to them, 1 h in which they change, 10 min to settle",
            "         7  states came from the Managers",
            "         9  presentities waited at once at most",
            "  BROKEN 25 times  nothing was left after everything expired",
            "    at 0.000 s: 20 subscriptions are left",
            "    … and 5 more",
        ] {
            assert!(
                simulated.text.lines().any(|found| found == line),
                "{line:?} in\n{}",
                simulated.text
            );
        }
    }
}
