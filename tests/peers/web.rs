//! Browsers' clients over WebSocket (RFC 7118), run in Node: JsSIP watches, SIP.js publishes and watches.

use std::path::Path;
use std::process::Command;

use super::{server_at, server_that_asks_at};
use crate::support::process::{Process, require};

/// A client of tests/peers/js with these arguments.
fn client(script: &str, arguments: &[&str]) -> Process {
    require("node", "nodejs");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/js");
    assert!(
        folder.join("node_modules").is_dir(),
        "jssip, sip.js and ws are missing: npm ci in tests/peers/js (tests/run does it)"
    );
    let mut command = Command::new("node");
    command.arg(script).args(arguments).current_dir(folder);
    Process::start(script, command)
}

/// A notification of this state.
fn tells(basic: &str) -> impl Fn(&str) -> bool {
    let element = format!("<basic>{basic}</basic>");
    move |line| line.starts_with("notify ") && line.contains(&element)
}

/// SIP.js publishes and watches itself, JsSIP watches it, until both have left.
fn meet(server: &Process, passwords: [&str; 2]) {
    let url = format!("ws://{}", server.listening("ws"));
    let [bob, alice] = passwords;
    let mut watcher = client(
        "jssip.mjs",
        &[&url, "sip:alice@example.com", alice, "sip:bob@example.com"],
    );
    watcher.wait_for("the first state", tells("closed"));
    let mut both = client(
        "sipjs.mjs",
        &[&url, "sip:bob@example.com", bob, "sip:bob@example.com"],
    );
    both.wait_for("the first state", tells("closed"));
    both.say("open");
    both.wait_for("its own state", tells("open"));
    let open = watcher.wait_for("the state", tells("open"));
    assert!(open.contains("<tuple id=\"web\">"), "{open}");
    both.say("gone");
    both.wait_for("the end of the publication", |line| {
        line == "publication Unpublished"
    });
    watcher.wait_for_from(open_at(&watcher), "the offline document", tells("closed"));
    both.say("quit");
    assert!(both.ended().success());
    watcher.say("quit");
    let end = watcher.wait_for("its end", |line| line.starts_with("terminated"));
    assert!(
        end.contains("timeout"),
        "an unsubscribe ends by timeout (RFC 6665, 4.1.3): {end}"
    );
    assert!(watcher.ended().success());
}

/// The number of lines up to the one that told `open`.
fn open_at(watcher: &Process) -> usize {
    let open = tells("open");
    watcher
        .lines()
        .iter()
        .position(|line| open(line))
        .map_or(0, |at| at + 1)
}

#[test]
fn jssip_watches_what_sip_js_publishes() {
    meet(&server_at(&["ws"]), ["", ""]);
}

#[test]
fn jssip_and_sip_js_log_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let all = [("bob", "secret"), ("alice", "geheim")];
    meet(
        &server_that_asks_at(folder.path(), &all, &["ws"]),
        ["secret", "geheim"],
    );
}
