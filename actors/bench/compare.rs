//! Two runs side by side.

use super::report::Report;

/// A value of a report, if it has it.
type Get = fn(&Report) -> Option<f64>;

/// What is compared, in the order of the table.
const ROWS: [(&str, Get); 18] = [
    ("operations", |of| Some(of.operations as f64)),
    ("operations a second", |of| Some(of.operations_per_second)),
    ("NOTIFYs a second", |of| {
        (of.notifies > 0).then_some(of.notifies_per_second)
    }),
    ("server CPU, µs an operation", |of| {
        of.server_use.map(|used| used.us_per_operation)
    }),
    ("  in user mode", |of| {
        of.server_use.map(|used| used.user_us_per_operation)
    }),
    ("  in the kernel", |of| {
        of.server_use.map(|used| used.system_us_per_operation)
    }),
    ("server CPU, µs a NOTIFY", |of| {
        of.server_use.and_then(|used| used.us_per_notify)
    }),
    ("generator CPU, µs an operation", |of| {
        of.generator_us_per_operation
    }),
    ("latency p50, µs", |of| Some(of.latency.p50_us as f64)),
    ("latency p99, µs", |of| Some(of.latency.p99_us as f64)),
    ("latency p99.9, µs", |of| Some(of.latency.p999_us as f64)),
    ("until NOTIFY p50, µs", |of| {
        of.notify_latency.map(|latency| latency.p50_us as f64)
    }),
    ("until NOTIFY p99, µs", |of| {
        of.notify_latency.map(|latency| latency.p99_us as f64)
    }),
    ("resident when set up, KiB", |of| {
        of.server_use.map(|used| used.resident_ready_kib as f64)
    }),
    ("resident at most, KiB", |of| {
        of.server_use.map(|used| used.peak_kib as f64)
    }),
    ("failures", |of| Some(of.failed() as f64)),
    ("watchers behind", |of| {
        of.completeness.map(|complete| complete.behind as f64)
    }),
    ("requests sent again", |of| Some(of.retransmissions as f64)),
];

/// A table in Markdown with the two and the second divided by the first; what neither has is left out. What was not done alike stands
/// above it, since ratios of different loads say little.
pub fn compare(names: [&str; 2], [a, b]: [&Report; 2]) -> String {
    let mut text = String::new();
    for (what, alike) in [
        ("load", a.load == b.load),
        ("presentities", a.presentities == b.presentities),
        ("subscriptions", a.subscriptions == b.subscriptions),
        ("concurrency", a.concurrency == b.concurrency),
        ("rate", a.rate == b.rate),
    ] {
        if !alike {
            text.push_str(&format!("Not alike: {what}.\n"));
        }
    }
    if !text.is_empty() {
        text.push('\n');
    }
    let [first, second] = names;
    text.push_str(&format!(
        "| {} | {first} | {second} | ratio |\n|---|---:|---:|---:|\n",
        a.load
    ));
    for (name, get) in ROWS {
        let (a, b) = (get(a), get(b));
        if a.is_none() && b.is_none() {
            continue;
        }
        let ratio = a.zip(b).filter(|(a, _)| *a != 0.0).map(|(a, b)| b / a);
        let ratio = ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        text.push_str(&format!(
            "| {name} | {} | {} | {ratio} |\n",
            cell(a),
            cell(b)
        ));
    }
    text.trim_end().to_owned()
}

/// Small numbers with a decimal, large ones without.
fn cell(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value.fract() == 0.0 || value >= 1000.0 => format!("{value:.0}"),
        Some(value) => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::{ServerUse, tests::report};

    #[test]
    fn the_table_divides_the_second_by_the_first() {
        let floor = report();
        let mut rollcall = report();
        rollcall.operations_per_second = 25.0;
        let used = floor.server_use.expect("it has it");
        rollcall.server_use = Some(ServerUse {
            us_per_operation: 30.0,
            ..used
        });
        let table = compare(["floor", "rollcall"], [&floor, &rollcall]);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[0], "| fan-out | floor | rollcall | ratio |");
        for line in [
            "| operations a second | 50 | 25 | 0.50 |",
            "| server CPU, µs an operation | 12 | 30 | 2.50 |",
            "| failures | 0 | 0 | - |",
        ] {
            assert!(lines.contains(&line), "{line}: {table}");
        }
    }

    #[test]
    fn what_neither_has_is_left_out_and_what_one_has_stands_alone() {
        let mut a = report();
        let mut b = report();
        (a.notify_latency, b.notify_latency) = (None, None);
        b.server_use = None;
        let table = compare(["a", "b"], [&a, &b]);
        assert!(!table.contains("until NOTIFY"), "{table}");
        assert!(
            table.contains("| server CPU, µs an operation | 12 | - | - |"),
            "{table}"
        );
    }

    #[test]
    fn runs_that_were_not_alike_are_told_so() {
        let a = report();
        let mut b = report();
        assert!(compare(["a", "b"], [&a, &b]).starts_with("| fan-out"));
        b.load = "publish".to_owned();
        (b.concurrency, b.rate) = (None, Some(100.0));
        let table = compare(["a", "b"], [&a, &b]);
        assert!(
            table.starts_with("Not alike: load.\nNot alike: concurrency.\nNot alike: rate.\n\n|"),
            "{table}"
        );
    }
}
