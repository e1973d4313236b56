//! What a service manager hears of a process (sd_notify), and what the process says of an actor that is stuck.
//!
//! ```text
//!   rollcall                                          the test, as systemd
//!     | -- STATUS=recovering…, EXTEND_TIMEOUT_USEC --> |
//!     | -- READY=1 ----------------------------------> |   all have their state
//!     | -- WATCHDOG=1 -------------------------------> |   again and again, unless an actor is stuck
//!     | -- STOPPING=1 -------------------------------> |
//! ```

use std::ffi::OsStr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Instant;

use crate::server::kit::Server;
use crate::support::LIMIT;
use crate::support::faults::Faults;
use crate::support::process::Process;

/// The service manager's end: what it has heard, assignment by assignment.
struct Systemd {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Systemd {
    /// Starts the program in this folder, with two seconds between signs of life.
    fn start(folder: &Path, arguments: &[&str], faults: &Faults) -> (Self, Process) {
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(LIMIT)).expect("a limit");
        let variables = [
            ("NOTIFY_SOCKET", path.as_os_str()),
            ("WATCHDOG_USEC", OsStr::new("2000000")),
            faults.variable(),
        ];
        let process = Process::rollcall_told(folder, arguments, &variables);
        let systemd = Self {
            socket,
            heard: Vec::new(),
        };
        (systemd, process)
    }

    /// What is heard up to the first assignment that the question says yes to, which is the last.
    fn until(&mut self, what: &str, yes: impl Fn(&str) -> bool) -> Vec<String> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(place) = self.heard.iter().position(|line| yes(line)) {
                return self.heard.drain(..=place).collect();
            }
            assert!(
                Instant::now() < deadline,
                "waited for {what}: {:?}",
                self.heard
            );
            let mut bytes = [0; 4096];
            let len = self.socket.recv(&mut bytes);
            let len =
                len.unwrap_or_else(|error| panic!("waited for {what}: {error}; {:?}", self.heard));
            let text = String::from_utf8_lossy(&bytes[..len]);
            self.heard.extend(text.lines().map(str::to_owned));
        }
    }

    fn until_it_is(&mut self, assignment: &str) -> Vec<String> {
        self.until(assignment, |line| line == assignment)
    }
}

#[test]
fn each_role_says_when_it_is_ready_that_it_lives_and_that_it_ends() {
    let server = ["server", "--listen", "udp:127.0.0.1:0"];
    let manager = ["manager", "--listen", "127.0.0.1:0"];
    let client = [
        "client",
        "--manager",
        "127.0.0.1:1",
        "--server",
        "sip:127.0.0.1:1",
        "--domain",
        "x",
    ];
    let all = [
        "run",
        "--listen",
        "udp:127.0.0.1:0",
        "--manager-listen",
        "127.0.0.1:0",
    ];
    for arguments in [&server[..], &manager, &client, &all] {
        let folder = tempfile::tempdir().expect("a folder");
        let faults = Faults::at(folder.path());
        let (mut systemd, mut process) = Systemd::start(folder.path(), arguments, &faults);
        let before = systemd.until_it_is("READY=1");
        assert!(
            before
                .iter()
                .any(|line| line.starts_with("EXTEND_TIMEOUT_USEC=")),
            "{before:?}"
        );
        assert!(
            before
                .iter()
                .any(|line| line.starts_with("STATUS=recovering")),
            "{before:?}"
        );
        assert!(!before.contains(&"WATCHDOG=1".to_owned()), "{before:?}");
        systemd.until_it_is("STATUS=serving");
        for _ in 0..3 {
            systemd.until_it_is("WATCHDOG=1");
        }
        process.signal("TERM");
        systemd.until_it_is("STOPPING=1");
        systemd.until_it_is("STATUS=stopping");
        assert!(process.ended().success(), "{arguments:?}");
    }
}

#[test]
fn a_shard_that_is_stuck_is_named_and_keeps_the_process_from_saying_that_it_lives() {
    let folder = tempfile::tempdir().expect("a folder");
    let faults = Faults::at(folder.path());
    let arguments = ["server", "--listen", "udp:127.0.0.1:0", "--shards", "2"];
    let (mut systemd, mut process) = Systemd::start(folder.path(), &arguments, &faults);
    systemd.until_it_is("WATCHDOG=1");
    faults.arm("stuck registry 1 4");
    let stuck = systemd.until("who is stuck", |line| {
        line.starts_with("STATUS=serving; stuck: ")
    });
    let named = stuck.last().expect("a status");
    // Its endpoint shares the thread, and is named with it or with the next tick.
    assert!(named.contains("registry of shard 1"), "{named}");
    assert!(!named.contains("shard 0"), "{named}");
    // In the time until it answers there is no sign of life.
    let meanwhile = systemd.until_it_is("STATUS=serving");
    assert!(
        !meanwhile.contains(&"WATCHDOG=1".to_owned()),
        "{meanwhile:?}"
    );
    systemd.until_it_is("WATCHDOG=1");
    process.wait_for("the line", |line| {
        line.contains("an actor is stuck")
            && line.contains("actor=\"registry of shard 1\"")
            && line.contains("seconds=1")
    });
    process.wait_for("the end of it", |line| {
        line.contains("an actor that was stuck answers again")
    });
    process.signal("TERM");
    assert!(process.ended().success());
}

#[test]
fn a_process_with_an_actor_that_is_stuck_for_ever_ends_when_it_is_told_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let faults = Faults::at(folder.path());
    let arguments = ["server", "--listen", "udp:127.0.0.1:0", "--shards", "2"];
    let (mut systemd, mut process) = Systemd::start(folder.path(), &arguments, &faults);
    systemd.until_it_is("READY=1");
    faults.arm("stuck registry 1 3600");
    systemd.until("who is stuck", |line| {
        line.starts_with("STATUS=serving; stuck: ")
    });
    process.signal("TERM");
    systemd.until_it_is("STOPPING=1");
    assert!(process.ended().success());
}

#[test]
fn a_reload_is_told_and_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let faults = Faults::at(folder.path());
    let arguments = ["server", "--listen", "udp:127.0.0.1:0"];
    let (mut systemd, process) = Systemd::start(folder.path(), &arguments, &faults);
    systemd.until_it_is("READY=1");
    process.signal("HUP");
    systemd.until_it_is("RELOADING=1");
    let rest = systemd.until_it_is("READY=1");
    let time = rest
        .iter()
        .find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    let time: u64 = time.and_then(|time| time.parse().ok()).expect("a time");
    assert!(time > 0);
}

#[test]
fn a_shard_without_its_state_is_told_in_the_status() {
    let folder = tempfile::tempdir().expect("a folder");
    let faults = Faults::at(folder.path());
    let arguments = [
        "server",
        "--listen",
        "udp:127.0.0.1:0",
        "--shards",
        "1",
        "--domain",
        "example.com",
    ];
    let (mut systemd, process) = Systemd::start(folder.path(), &arguments, &faults);
    let at = process.listening("udp");
    systemd.until_it_is("READY=1");
    faults.arm("fail reload 0 1");
    faults.arm("panic registry 0");
    let mut peer = crate::server::kit::Peer::udp(at);
    peer.ask("PUBLISH", "sip:bob@example.com", "Event: presence\n", "");
    systemd.until_it_is("STATUS=serving; without state: registry of shard 0");
    systemd.until_it_is("STATUS=serving");
}

/// A server that nobody waits to hear of says as little as before.
#[test]
fn without_a_service_manager_only_the_log_tells() {
    let server = Server::with(1, "");
    server.assert_well();
    assert!(
        !server
            .process
            .lines()
            .iter()
            .any(|line| line.contains("NOTIFY_SOCKET"))
    );
}
