//! The long forms under benches/endurance, as short as they go: that they run, look at what they say they do, and find what they are for.

use std::path::Path;
use std::process::{Command, Output};

/// Runs a part with these arguments and settings.
fn part(name: &str, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("benches/endurance")
        .join(name);
    Command::new("python3")
        .arg(script)
        .args(arguments)
        .env("ROLLCALL", env!("CARGO_BIN_EXE_rollcall"))
        .envs(settings.iter().copied())
        .output()
        .expect("python3 (Debian package python3; tests/run installs it)")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A load that a busy machine carries without optimisation.
const SMALL: [(&str, &str); 3] = [("RATE", "20"), ("WATCHERS", "3"), ("PERIOD", "2")];

#[test]
fn a_soak_tells_each_period_and_that_no_actor_gathers_timers() {
    // What an operation costs within two seconds on a busy machine says nothing, so the bar is out of reach.
    let settings = [SMALL.as_slice(), &[("BAR", "100000")]].concat();
    let output = part("soak", &["2"], &settings);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    for line in ["  1 of 2: memory:", "  2 of 2: memory:", "  2 of 2: file:"] {
        assert!(text.contains(line), "{text}");
    }
    assert_eq!(text.matches("timers of an actor: 1\n").count(), 4, "{text}");
    assert!(text.contains("soak: held: memory: "), "{text}");
}

#[test]
fn a_soak_fails_when_the_cost_has_changed_by_more_than_the_bar() {
    let settings = [SMALL.as_slice(), &[("BAR", "-1")]].concat();
    let output = part("soak", &["2"], &settings);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("soak: FAILED: "),
        "{}",
        said(&output)
    );
}

#[test]
fn a_part_that_there_is_not_is_refused_with_those_that_there_are() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/endure");
    let output = Command::new(script).arg("walk").output().expect("bash");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("there is no part walk; the parts are "),
        "{}",
        said(&output)
    );
    assert!(said(&output).contains("soak"), "{}", said(&output));
}
