//! benches/render writes what benches/compare has measured into a page. (The measuring itself takes minutes, and a quiet machine.)

use std::path::Path;
use std::process::{Command, Output};

const PAGE: &str =
    "Before.\n<!-- figures of benches/compare -->\nold\n<!-- end of figures -->\nBehind.\n";

fn render(folder: &Path, page: &Path) -> Output {
    Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/render"))
        .args([folder, page])
        .output()
        .expect("python3 (Debian package python3)")
}

/// Writes what `rollcall bench --json` says, as far as it is looked at.
fn report(folder: &Path, name: &str, operation: f64, notify: f64) {
    let text = format!(
        "{{\"operations_per_second\":1000.0,\"failures\":{{}},\"notify_latency\":{{\"p50_us\":7,\"p99_us\":9}},\
         \"server_use\":{{\"us_per_operation\":{operation},\"us_per_notify\":{notify}}}}}"
    );
    std::fs::write(folder.join(name), text).expect("a report");
}

#[test]
fn the_medians_of_all_runs_stand_in_the_page_beside_their_bars() {
    let folder = tempfile::tempdir().expect("a folder");
    let runs = [(1, 2.0), (2, 9.0), (3, 4.0)];
    for (run, floor) in runs {
        for (server, times) in [("floor", 1.0), ("rollcall", 2.0), ("kamailio", 20.0)] {
            for load in [
                "publish",
                "fan-out",
                "fan-out-100",
                "subscribe",
                "refresh",
                "fan-out-apart",
                "subscribe-apart",
                "latency",
            ] {
                let name = format!("{load}-{server}-{run}.json");
                report(folder.path(), &name, floor * times, floor * times / 10.0);
            }
        }
    }
    let page = folder.path().join("page.md");
    std::fs::write(&page, PAGE).expect("a page");
    let output = render(folder.path(), &page);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = std::fs::read_to_string(&page).expect("the page");
    assert!(text.starts_with("Before.\n<!-- figures"), "{text}");
    assert!(
        text.ends_with("<!-- end of figures -->\nBehind.\n"),
        "{text}"
    );
    assert!(!text.contains("old"), "{text}");
    let line = "| 2.0 / **4.0** / 9.0 | 4.0 / **8.0** / 18.0 | 40.0 / **80.0** / 180.0 | 2.00 (≤ 2.5) | 10.0 times (≥ 8) |";
    assert!(text.contains(line), "{text}");
    // Without a bar only what was reached.
    assert!(text.contains("| 2.00 | 10.0 times |"), "{text}");
    assert!(text.contains("3 runs in turns"), "{text}");
    // What was not measured says so.
    assert!(
        text.contains("two shards, `memory:` | not measured"),
        "{text}"
    );
    let plot = std::fs::read_to_string(folder.path().join("performance.svg")).expect("a plot");
    assert_eq!(plot.matches("<rect").count(), 21, "{plot}");
}

#[test]
fn a_page_without_a_place_for_figures_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("page.md");
    std::fs::write(&page, "Nothing.\n").expect("a page");
    let output = render(folder.path(), &page);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no place for figures"), "{said}");
    assert_eq!(
        std::fs::read_to_string(&page).expect("the page"),
        "Nothing.\n"
    );
}
