//! The examples, run as their head comments say, against real nodes.
//!
//! ```text
//!  tiny_manager ── XML ──> rollcall client ── PUBLISH ──> rollcall server ── NOTIFY ──> watch_one
//!                                      publish_one ── PUBLISH ──^
//! ```
//!
//! `own_module` has its own test in it: `cargo test --example own_module`.

use std::path::PathBuf;
use std::process::Command;

use crate::support::process::Process;

const SERVER: [&str; 9] = [
    "server",
    "--listen",
    "udp:127.0.0.1:0",
    "--domain",
    "example.com",
    "--store",
    "memory:",
    "--auth",
    "off",
];

/// An example with these arguments. Cargo builds examples with the tests, in the folder beside theirs.
fn example(name: &str, arguments: &[&str]) -> Process {
    let test = std::env::current_exe().expect("a test binary");
    let profile = test.ancestors().nth(2).expect("a target folder");
    let program: PathBuf = [profile, "examples".as_ref(), name.as_ref()]
        .iter()
        .collect();
    assert!(
        program.is_file(),
        "{} is missing: cargo build --examples",
        program.display()
    );
    let mut command = Command::new(program);
    command.args(arguments);
    Process::start(name, command)
}

fn server() -> (Process, String) {
    let server = Process::rollcall(&SERVER);
    let uri = format!("sip:{}", server.listening("udp"));
    (server, uri)
}

#[test]
fn watch_one_prints_what_publish_one_publishes_until_it_is_interrupted() {
    let (_server, uri) = server();
    let watcher = example("watch_one", &["sip:you@example.com", &uri]);
    watcher.wait_for("the first state", |line| {
        line == "sip:you@example.com closed"
    });

    let mut publisher = example("publish_one", &["sip:you@example.com", &uri]);
    publisher.wait_for("its entity-tag", |line| line.starts_with("entity-tag "));
    let (seen, _) = watcher.wait_for_from(0, "the published state", |line| {
        line == "sip:you@example.com open busy \"Reading an example\""
    });

    publisher.signal("INT");
    assert!(publisher.ended().success());
    watcher.wait_for_from(seen, "its removal", |line| {
        line == "sip:you@example.com closed"
    });
}

#[test]
fn what_tiny_manager_says_arrives_at_watch_one() {
    let (_server, uri) = server();
    let mut manager = example("tiny_manager", &["127.0.0.1:0", "sip:you@example.com"]);
    let address = manager.listening("manager").to_string();
    let _client = Process::rollcall(&[
        "client",
        "--manager",
        &address,
        "--server",
        &uri,
        "--domain",
        "example.com",
    ]);
    let watcher = example("watch_one", &["sip:you@example.com", &uri]);
    watcher.wait_for("the state", |line| {
        line == "sip:you@example.com open meeting"
    });

    manager.signal("TERM");
    assert!(manager.ended().success());
}
