//! `rollcall bench`: each load against our own server and against the yardstick, with small numbers.
//!
//! - counts are those that were asked for, everybody has the last state, and programs get every field
//! - what goes wrong is counted by what it was, and is no success
//! - no wall-clock time is asserted

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::process::Process;

mod capacity;
mod herd;
mod latency;
mod wires;

/// The program with these arguments, not started yet.
fn bench(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command.arg("bench").args(arguments).stdin(Stdio::null());
    command
}

/// Runs it to its end; what it reports for programs.
fn report(arguments: &[&str]) -> (Output, Value) {
    let output = bench(arguments).arg("--json").output().expect("it runs");
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
    (output, report)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Our own server: watchers are told at once, so that each PUBLISH has its NOTIFYs.
fn server() -> Process {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("server.toml");
    let settings = "listen = [\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\"]\nstore = \"memory:\"\n[notify]\npacing = \"0s\"\n";
    std::fs::write(&config, settings).expect("a file");
    let server = Process::rollcall(&["server", "--config", config.to_str().expect("a plain path")]);
    // Its settings have been read once it listens, and the folder may go away.
    server.listening("udp");
    server
}

fn floor() -> Process {
    Process::rollcall(&["bench", "floor", "--listen", "udp:127.0.0.1:0"])
}

fn uri(server: &Process) -> String {
    format!("sip:{}", server.listening("udp"))
}

/// A load of 200 operations and the numbers that must come of it.
fn whole(server: &Process, load: &str, more: &[&str]) -> Value {
    let named = more.iter().position(|flag| *flag == "--transport");
    let kind = named.map_or("udp", |at| more[at + 1]);
    let (uri, pid) = (
        format!("sip:{}", server.listening(kind)),
        server.id().to_string(),
    );
    let mut arguments = vec![load, &*uri, "--pid", &*pid, "--presentities", "5"];
    if !more.contains(&"--operations") {
        arguments.extend(["--operations", "200"]);
    }
    arguments.extend(more);
    let (output, report) = report(&arguments);
    assert!(output.status.success(), "{arguments:?}: {report}");
    assert_eq!(report["load"], load);
    assert_eq!(
        report["failures"],
        Value::Object(serde_json::Map::new()),
        "{report}"
    );
    assert_eq!(report["ended_early"], Value::Null);
    assert_eq!(report["presentities"], 5);
    assert_eq!(report["latency"]["count"], report["operations"]);
    report
}

/// Every load against a server; the same numbers must come of any.
fn every_load(server: &Process) {
    every_load_by(server, "udp", &[]);
}

fn every_load_by(server: &Process, transport: &str, flags: &[&str]) {
    let whole = |server: &Process, load: &str, more: &[&str]| {
        let how = ["--transport", transport];
        let report = whole(server, load, &[more, &how, flags].concat());
        let prefix = format!("{transport}:127.0.0.1:");
        assert!(
            report["server"]
                .as_str()
                .is_some_and(|server| server.starts_with(&prefix)),
            "{report}"
        );
        report
    };
    let publish = whole(server, "publish", &[]);
    assert_eq!(publish["operations"], 200);
    assert_eq!(publish["notifies"], 0);
    assert_eq!(publish["completeness"], Value::Null);

    let fan_out = whole(
        server,
        "fan-out",
        &["--watchers", "3", "--concurrency", "4"],
    );
    assert_eq!(fan_out["operations"], 200);
    assert_eq!(fan_out["subscriptions"], 15);
    assert_eq!(fan_out["notifies"], 600);
    assert_eq!(fan_out["notify_latency"]["count"], 600);
    let complete: BTreeMap<String, u64> =
        serde_json::from_value(fan_out["completeness"].clone()).expect("numbers");
    let expected = [("watchers".to_owned(), 15), ("behind".to_owned(), 0)];
    assert_eq!(complete, BTreeMap::from(expected));

    let subscribe = whole(server, "subscribe", &[]);
    assert_eq!(subscribe["operations"], 200);
    assert_eq!(subscribe["notifies"], 200);

    let refresh = whole(server, "refresh", &["--watchers", "4"]);
    assert_eq!(refresh["operations"], 200);
    assert_eq!(refresh["subscriptions"], 20);
    assert_eq!(refresh["notifies"], 200);
}

#[test]
fn every_load_on_our_own_server_is_whole() {
    every_load(&server());
}

#[test]
fn every_load_on_the_yardstick_is_whole() {
    every_load(&floor());
}

#[test]
fn programs_get_every_field_and_people_the_same_numbers() {
    let server = floor();
    let report = whole(&server, "fan-out", &["--watchers", "2"]);
    let names: Vec<_> = report.as_object().expect("an object").keys().collect();
    for field in [
        "load",
        "server",
        "presentities",
        "subscriptions",
        "concurrency",
        "rate",
        "seconds",
        "operations",
        "operations_per_second",
        "failures",
        "ended_early",
        "retransmissions",
        "notifies",
        "notifies_per_second",
        "repeated_notifies",
        "strays",
        "latency",
        "answer_latency",
        "notify_latency",
        "refused",
        "herd",
        "completeness",
        "server_use",
        "generator_us_per_operation",
    ] {
        assert!(
            names.iter().any(|name| *name == field),
            "{field}: {names:?}"
        );
    }
    for field in ["p50_us", "p90_us", "p99_us", "p999_us", "max_us"] {
        assert!(
            report["latency"][field].as_u64() > Some(0),
            "{field}: {report}"
        );
    }
    for field in [
        "resident_before_kib",
        "resident_ready_kib",
        "resident_after_kib",
        "peak_kib",
    ] {
        assert!(
            report["server_use"][field].as_u64() > Some(0),
            "{field}: {report}"
        );
    }
    for field in ["us_per_operation", "us_per_notify"] {
        assert!(
            report["server_use"][field].as_f64() > Some(0.0),
            "{field}: {report}"
        );
    }
    assert!(
        report["generator_us_per_operation"].as_f64() > Some(0.0),
        "{report}"
    );

    let arguments = [
        "fan-out",
        &uri(&server),
        "--presentities",
        "5",
        "--watchers",
        "2",
        "--operations",
        "20",
    ];
    let output = bench(&arguments).output().expect("it runs");
    let told = text(&output.stdout);
    assert!(output.status.success(), "{told}");
    for part in [
        "operations      20 in ",
        "NOTIFYs         40:",
        "10 of 10 watchers have the last state",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(text(&output.stderr), "", "no progress where nobody looks");
}

#[test]
fn a_server_that_is_not_there_is_told_and_is_no_success() {
    let closed = UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
    let uri = format!("sip:{}", closed.local_addr().expect("a bound socket"));
    drop(closed);
    let output = bench(&["publish", &uri]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    let expected = format!(
        "rollcall: {uri} over udp: PUBLISH before the measurement failed: nothing listens at this address and port (any more)\n"
    );
    assert_eq!(text(&output.stderr), expected);
}

#[test]
fn a_server_that_says_nothing_is_told_after_the_limit() {
    let silent = UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
    let uri = format!("sip:{}", silent.local_addr().expect("a bound socket"));
    let output = bench(&["publish", &uri, "--timeout", "1"])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(
        told.contains("PUBLISH before the measurement failed: it has not said anything for 1 s"),
        "{told}"
    );
}

#[test]
fn a_server_that_refuses_is_told_by_status() {
    let server = Process::rollcall(&[
        "server",
        "--store",
        "memory:",
        "--listen",
        "udp:127.0.0.1:0",
        "--domain",
        "example.com",
    ]);
    let arguments = [
        "publish",
        &uri(&server),
        "--domain",
        "example.org",
        "--presentities",
        "3",
    ];
    let output = bench(&arguments).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(
        told.contains("PUBLISH before the measurement failed: 3 × 404"),
        "{told}"
    );
}

/// alice's load       a server by hand
///     | -- PUBLISH ------> |
///     | <---- 200 -------- |   the set-up
///     | -- PUBLISH ------> |   the measurement
///     | <---- 412 -------- |   and so on
#[test]
fn what_fails_in_the_measurement_is_counted_by_status() {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
    let uri = format!("sip:{}", socket.local_addr().expect("a bound socket"));
    // Ends with the test program.
    std::thread::spawn(move || {
        let mut datagram = [0; 65_535];
        while let Ok((length, source)) = socket.recv_from(&mut datagram) {
            let request = text(&datagram[..length]);
            let kept = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
            let kept = request
                .lines()
                .filter(|line| kept.iter().any(|name| line.starts_with(name)));
            let kept: String = kept.map(|line| format!("{line}\r\n")).collect();
            let start = if request.contains("SIP-If-Match") {
                "SIP/2.0 412 Conditional Request Failed\r\n"
            } else {
                "SIP/2.0 200 OK\r\nSIP-ETag: x\r\n"
            };
            let answer = format!("{start}{kept}Content-Length: 0\r\n\r\n");
            // The peer may have gone.
            let _ = socket.send_to(answer.as_bytes(), source);
        }
    });
    // After a 412 a publication begins anew, so that every second PUBLISH goes well.
    let arguments = ["publish", &uri, "--presentities", "1", "--operations", "10"];
    let (output, report) = report(&arguments);
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert_eq!(report["failures"], serde_json::json!({ "412": 5 }));
    assert_eq!(report["operations"], 5);
}

#[test]
fn a_server_that_is_killed_in_the_middle_is_told_as_failures() {
    let mut server = server();
    let (uri, pid) = (uri(&server), server.id().to_string());
    // Far more than it will live for.
    let arguments = [
        "publish",
        &uri,
        "--pid",
        &pid,
        "--operations",
        "1000000000",
        "--json",
    ];
    let mut command = bench(&arguments);
    let running = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let running = running.expect("it runs");
    // The set-up publishes; only the measurement modifies.
    crate::support::eventually("the measurement", || {
        server.signal("USR1");
        server
            .lines()
            .into_iter()
            .find(|line| line.contains(" modified="))
    });
    server.kill();
    let output = running.wait_with_output().expect("it ends");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(output.status.code(), Some(1), "{report}");
    let why = "nothing listens at this address and port (any more)";
    assert_eq!(report["ended_early"], why);
    let (done, lost) = (&report["operations"], &report["failures"]["server gone"]);
    let sum = done
        .as_u64()
        .zip(lost.as_u64())
        .map(|(done, lost)| done + lost);
    assert_eq!(sum, Some(1_000_000_000), "{report}");
    assert_eq!(
        report["server_use"],
        Value::Null,
        "nobody knows what it used"
    );
}

#[test]
fn a_process_that_is_not_there_is_told_before_anything_is_sent() {
    let server = floor();
    let arguments = ["publish", &uri(&server), "--pid", "4294967295"];
    let output = bench(&arguments).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).ends_with("there is no process 4294967295\n"));
}

#[test]
fn two_runs_are_compared_and_files_that_are_none_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = floor();
    let [first, second] = ["first", "second"].map(|name| {
        let (output, _) = report(&["publish", &uri(&server), "--operations", "50"]);
        let path = folder.path().join(format!("{name}.json"));
        std::fs::write(&path, output.stdout).expect("a file");
        path.to_str().expect("a plain path").to_owned()
    });
    let output = bench(&["compare", &first, &second])
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert!(
        table.starts_with("| publish | first | second | ratio |\n"),
        "{table}"
    );
    assert!(
        table.contains("\n| operations | 50 | 50 | 1.00 |\n"),
        "{table}"
    );

    let wrong = folder.path().join("wrong.json");
    std::fs::write(&wrong, "{}").expect("a file");
    let wrong = wrong.to_str().expect("a plain path");
    let output = bench(&["compare", &first, wrong])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(
        told.contains("wrong.json is no report of rollcall bench --json: missing field"),
        "{told}"
    );
}

#[test]
fn flags_that_mean_nothing_together_are_refused() {
    for (arguments, word) in [
        (
            &[
                "publish",
                "sip:127.0.0.1",
                "--rate",
                "5",
                "--concurrency",
                "5",
            ][..],
            "--concurrency",
        ),
        (
            &[
                "publish",
                "sip:127.0.0.1",
                "--operations",
                "5",
                "--duration",
                "5",
            ],
            "--duration",
        ),
        (&["publish", "sip:127.0.0.1", "--transport", "ws"], "udp"),
        (
            &["publish", "sip:127.0.0.1", "--rate", "0"],
            "allowed is a number",
        ),
        (
            &["publish", "sip:127.0.0.1", "--watchers", "5"],
            "--watchers",
        ),
        (
            &["floor", "--listen", "tls:127.0.0.1:5060"],
            "allowed is udp:ADDRESS:PORT or tcp:ADDRESS:PORT",
        ),
    ] {
        let output = bench(arguments).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            text(&output.stderr).contains(word),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
    }
}
