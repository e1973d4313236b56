//! liblinphone registers, publishes and watches, by a small program of our own (tests/peers/linphone/driver.c).

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use super::{server_at, server_that_asks_at};
use crate::support::process::{Process, require};

/// The program, built once.
fn program() -> &'static Path {
    static BUILT: OnceLock<tempfile::TempDir> = OnceLock::new();
    static PROGRAM: OnceLock<std::path::PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        require("gcc", "gcc");
        let header = Path::new("/usr/include/linphone/core.h");
        assert!(
            header.is_file(),
            "liblinphone is missing: apt-get install liblinphone-dev (tests/run does it)"
        );
        let folder = BUILT.get_or_init(|| tempfile::tempdir().expect("a folder"));
        let program = folder.path().join("linphone-driver");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/linphone/driver.c");
        let built = Command::new("gcc")
            .args(["-O1", "-Wall", "-o"])
            .arg(&program)
            .arg(source)
            .args(["-llinphone", "-lbctoolbox", "-lmediastreamer", "-lortp"])
            .output()
            .expect("gcc runs");
        assert!(
            built.status.success(),
            "{}",
            String::from_utf8_lossy(&built.stderr)
        );
        program
    })
}

struct Linphone {
    process: Process,
    _folder: tempfile::TempDir,
}

impl Linphone {
    fn start(user: &str, server: &str, password: &str, target: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(program());
        command
            .arg(folder.path())
            .args([&format!("sip:{user}@example.com"), server, password, target])
            .env("HOME", folder.path());
        Self {
            process: Process::start("liblinphone", command),
            _folder: folder,
        }
    }
}

/// Two of them over this transport: one publishes, the other watches it.
fn meet(server: &Process, transport: &str, passwords: [&str; 2]) {
    let there = format!("sip:{};transport={transport}", server.listening(transport));
    let [bob, alice] = passwords;
    let mut watcher = Linphone::start("alice", &there, alice, "sip:bob@example.com");
    let well = |line: &str| line.starts_with("registration LinphoneRegistrationOk");
    watcher.process.wait_for("a registration", well);
    watcher.process.wait_for("the first state", |line| {
        line.starts_with("seen sip:bob@example.com closed")
    });
    let mut publisher = Linphone::start("bob", &there, bob, "sip:nobody@example.com");
    publisher.process.wait_for("a registration", well);
    watcher.process.wait_for("the published state", |line| {
        line.starts_with("seen sip:bob@example.com open")
    });
    publisher.process.say("busy");
    watcher.process.wait_for("the activity", |line| {
        line.to_lowercase().contains("bob@example.com open busy")
    });
    publisher.process.say("quit");
    publisher
        .process
        .wait_for("its end", |line| line == "ended");
    assert!(publisher.process.ended().success());
    watcher.process.say("quit");
    watcher.process.wait_for("its end", |line| line == "ended");
    assert!(watcher.process.ended().success());
}

#[test]
fn liblinphone_registers_publishes_and_watches() {
    let server = server_at(&["udp", "tcp"]);
    for transport in ["udp", "tcp"] {
        meet(&server, transport, ["", ""]);
    }
}

#[test]
fn liblinphone_logs_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let all = [("bob", "secret"), ("alice", "geheim")];
    let server = server_that_asks_at(folder.path(), &all, &["udp"]);
    meet(&server, "udp", ["secret", "geheim"]);
}
