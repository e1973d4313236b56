//! What a simulation says in the end, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::ledger::{Invariant, Ledger};
use super::observer::Observer;
use crate::config;
use crate::node::Simulated;
use crate::transport::memory::Statistics;

/// Broken invariants beyond this many are counted, not listed.
const MOST_VIOLATIONS: usize = 20;

/// Pictures of actors, by node.
type Pictures = [(String, Vec<Value>)];

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
        (
            kind,
            pictures
                .iter()
                .flat_map(|(_, pictures)| pictures)
                .filter_map(of)
                .sum(),
        )
    })
    .collect()
}

/// The sum of a counter over all actors of a kind.
fn sum(pictures: &Pictures, actor: &str, counter: &str) -> u64 {
    pictures
        .iter()
        .flat_map(|(_, pictures)| pictures)
        .filter(|picture| picture.get("actor").and_then(Value::as_str) == Some(actor))
        .filter_map(|picture| picture.get("counters")?.get(counter)?.as_u64())
        .sum()
}

/// The report.
pub fn of(
    settings: &config::Simulate,
    ledger: &Ledger,
    observer: &Observer,
    network: &Statistics,
    pictures: &Pictures,
) -> Simulated {
    let broken = |invariant| {
        ledger
            .verdict()
            .iter()
            .filter(|found| found.invariant == invariant)
            .count()
    };
    let latency = ledger.latency();
    let digest = format!("{:016x}", observer.digest());
    let buffer: Vec<(&str, u64)> = [
        "received",
        "coalesced",
        "overwritten",
        "deferred",
        "acked",
        "naked",
        "high_water",
    ]
    .into_iter()
    .map(|counter| (counter, sum(pictures, "publish-buffer", counter)))
    .collect();

    let mut text = String::new();
    let _ = writeln!(
        text,
        "seed {}: {} presentities, {} subscriptions, {} s of life, {} s to settle",
        settings.seed,
        settings.presentities,
        settings.subscriptions,
        settings.duration.as_secs(),
        settings.settle.as_secs(),
    );
    let _ = writeln!(text, "\nMessages on the wire");
    for (kind, count) in observer.kinds() {
        let _ = writeln!(text, "  {count:>9}  {kind}");
    }
    let _ = writeln!(
        text,
        "\nNetwork: {} datagrams sent, {} delivered, {} lost, {} doubled, {} reordered, {} cut off by partitions, {} to hosts \
         that were down",
        network.sent,
        network.delivered,
        network.lost,
        network.duplicated,
        network.reordered,
        network.partitioned,
        network.unreachable,
    );
    let _ = write!(text, "Publish buffers:");
    for (counter, count) in &buffer {
        let _ = write!(text, " {counter} {count}");
    }
    let _ = writeln!(
        text,
        "\nFrom a Manager's event to the NOTIFY that shows it: p50 {} ms, p99 {} ms, slowest {} ms ({} shown)",
        latency.value_at_quantile(0.5),
        latency.value_at_quantile(0.99),
        latency.max(),
        latency.len(),
    );
    match observer.ladder() {
        Some(ladder) if ladder.trim().is_empty() => {
            let _ = writeln!(
                text,
                "\nNo ladder: no message was about that presentity; people are sip:person-1@example.com and so on."
            );
        }
        Some(ladder) => {
            let _ = writeln!(text, "\n{ladder}");
        }
        None => {}
    }
    let _ = writeln!(text, "\nInvariants");
    for invariant in Invariant::ALL {
        let verdict = match broken(invariant) {
            0 => "held".to_owned(),
            count => format!("BROKEN {count} times"),
        };
        let _ = writeln!(text, "  {verdict:<8}  {}", invariant.sentence());
    }
    for violation in ledger.verdict().iter().take(MOST_VIOLATIONS) {
        let _ = writeln!(
            text,
            "    at {:.3} s: {}",
            violation.at as f64 / 1000.0,
            violation.what
        );
    }
    let more = ledger.verdict().len().saturating_sub(MOST_VIOLATIONS);
    if more > 0 {
        let _ = writeln!(text, "    … and {more} more");
    }
    let _ = write!(text, "\nTrace digest {digest}");

    let json = json!({
        "seed": settings.seed,
        "digest": digest,
        "passed": ledger.verdict().is_empty(),
        "messages": observer.kinds(),
        "network": network,
        "buffers": buffer.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        "latency_ms": {
            "p50": latency.value_at_quantile(0.5),
            "p99": latency.value_at_quantile(0.99),
            "max": latency.max(),
            "count": latency.len(),
        },
        "invariants": Invariant::ALL.into_iter().map(|invariant| json!({
            "invariant": invariant,
            "broken": broken(invariant),
        })).collect::<Vec<_>>(),
        "violations": ledger.verdict(),
        "nodes": pictures,
    });
    Simulated {
        passed: ledger.verdict().is_empty(),
        text,
        json,
    }
}
