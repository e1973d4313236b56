//! Twinkle publishes. It draws its random numbers from the second it was started in: two of them then send the same branch,
//! Call-ID, tags and CSeq, and only their addresses tell them apart (RFC 3261, 17.2.3).

use std::net::SocketAddr;
use std::process::Command;

use super::{server_at, server_that_asks_at};
use crate::support::process::{Process, require};
use crate::support::sip::{Client, body, code};

struct Twinkle {
    process: Process,
    folder: tempfile::TempDir,
}

impl Twinkle {
    fn start(user: &str, password: &str, server: SocketAddr) -> Self {
        require("twinkle", "twinkle");
        let folder = tempfile::tempdir().expect("a folder");
        let own = folder.path().join(".twinkle");
        std::fs::create_dir(&own).expect("a folder");
        let profile = format!(
            "user_name={user}\nuser_domain=example.com\nauth_name={user}\nauth_pass={password}\noutbound_proxy={server}\n\
             all_requests_to_proxy=yes\nregister_at_startup=no\npres_publish_startup=no\npres_publication_time=600\n"
        );
        std::fs::write(own.join(format!("{user}.cfg")), profile).expect("a file");
        let port =
            std::net::UdpSocket::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr());
        let port = port.expect("a free port").port();
        let system = format!("sip_port={port}\nrtp_port=28000\nvalidate_audio_dev=no\nmwi=no\n");
        std::fs::write(own.join("twinkle.sys"), system).expect("a file");
        let mut command = Command::new("twinkle");
        command
            .args(["-c", "--force", "-f", user])
            .env("HOME", folder.path())
            .current_dir(folder.path());
        let process = Process::start("twinkle", command);
        process.wait_for("its users", |line| line.contains("Local IP"));
        Self { process, folder }
    }

    /// Everything it has sent and received.
    fn log(&self) -> String {
        let log = self.folder.path().join(".twinkle/twinkle.log");
        String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned()
    }

    /// The Via of each PUBLISH that it sent, without what differs by address.
    fn branches(&self) -> Vec<String> {
        let log = self.log();
        let mut branches = Vec::new();
        for request in log.split("PUBLISH sip:").skip(1) {
            let via = request
                .lines()
                .find(|line| line.starts_with("Via:"))
                .unwrap_or_default();
            branches.extend(via.split("branch=").nth(1).map(str::to_owned));
        }
        branches
    }
}

/// A watcher of this user that has been told the first state.
fn watch(server: SocketAddr, user: &str) -> Client {
    let mut watcher = Client::new(server);
    assert_eq!(
        code(&watcher.subscribe(&format!("sip:{user}@example.com"))),
        200
    );
    watcher.notify();
    watcher
}

#[test]
fn two_twinkles_with_the_same_transaction_are_both_served() {
    let server = server_at(&["udp"]);
    let address = server.listening("udp");
    // The second changes now and then between two starts: then they draw other numbers, and both begin anew.
    for attempt in 1.. {
        let users = [format!("anna{attempt}"), format!("otto{attempt}")];
        let mut watchers = users.each_ref().map(|user| watch(address, user));
        let mut twinkles = users
            .each_ref()
            .map(|user| Twinkle::start(user, "", address));
        for twinkle in &mut twinkles {
            twinkle.process.say("presence -b online");
        }
        for watcher in &mut watchers {
            let told = body(&watcher.notify());
            assert!(told.contains("<basic>open</basic>"), "{told}");
        }
        let [anna, otto] = twinkles.each_ref().map(Twinkle::branches);
        if !anna.is_empty() && anna == otto {
            return;
        }
        assert!(attempt < 10, "they never sent the same: {anna:?} {otto:?}");
    }
}

/// It is not told to quit: now and then Twinkle then stops for ever, between the request that takes its publication back and
/// reading the answer.
#[test]
fn twinkle_logs_in_to_publish_and_to_change_what_it_published() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = server_that_asks_at(folder.path(), &[("anna", "secret")], &["udp"]);
    let address = server.listening("udp");
    let mut twinkle = Twinkle::start("anna", "secret", address);
    for (state, answers) in [("online", 1), ("offline", 2)] {
        twinkle.process.say(&format!("presence -b {state}"));
        crate::support::eventually_or(
            "an answer to its credentials",
            || (twinkle.log().matches("Publication successful").count() == answers).then_some(()),
            || twinkle.log(),
        );
    }
    let log = twinkle.log();
    assert!(log.contains("SIP/2.0 401 Unauthorized"), "{log}");
    assert!(log.contains("SIP-If-Match:"), "{log}");
    assert!(log.contains("<basic>closed</basic>"), "{log}");
}
