//! sipp as publisher and watcher, by scenarios of our own (tests/peers/*.xml): each step that fails ends sipp with an
//! error, so its exit code is the verdict.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{server, server_that_asks};
use crate::support::process::require;

/// Runs a scenario this many times, several at once.
fn sipp(scenario: &str, server: SocketAddr, transport: &str, calls: u32) -> Command {
    require("sipp", "sip-tester");
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/peers")
        .join(scenario);
    let mut command = Command::new("sipp");
    command
        .arg("-sf")
        .arg(path)
        .args([
            "-t",
            transport,
            "-i",
            "127.0.0.1",
            "-m",
            &calls.to_string(),
            "-r",
            "50",
            "-l",
            "20",
        ])
        .args([
            "-timeout",
            "60s",
            "-timeout_error",
            "-recv_timeout",
            "20000",
            "-nostdin",
            "-trace_err",
        ])
        .arg(server.to_string())
        .stdin(Stdio::null());
    command
}

fn passes(mut command: Command) {
    let folder = tempfile::tempdir().expect("a folder");
    let output = command
        .current_dir(folder.path())
        .output()
        .expect("sipp starts");
    if !output.status.success() {
        let errors: String = std::fs::read_dir(folder.path())
            .expect("the folder")
            .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path()).ok())
            .collect();
        panic!("sipp ended with {}:\n{errors}", output.status);
    }
}

#[test]
fn sipp_publishes_refreshes_modifies_and_removes() {
    let (_server, udp, tcp) = server();
    passes(sipp("publish.xml", udp, "u1", 100));
    passes(sipp("publish.xml", tcp, "t1", 100));
}

#[test]
fn sipp_is_refused_what_must_be_refused() {
    let (_server, udp, _) = server();
    passes(sipp("refused.xml", udp, "u1", 10));
}

#[test]
fn sipp_watches_what_it_publishes() {
    let (_server, udp, tcp) = server();
    passes(sipp("watch.xml", udp, "u1", 100));
    passes(sipp("watch.xml", tcp, "t1", 100));
}

#[test]
fn sipp_logs_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_server, udp, tcp) = server_that_asks(folder.path(), &[("bob", "secret")]);
    for (server, transport) in [(udp, "u1"), (tcp, "t1")] {
        let mut command = sipp("login.xml", server, transport, 100);
        command.args(["-au", "bob", "-ap", "secret"]);
        passes(command);
    }
}
