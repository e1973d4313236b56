//! Our Presence Client against somebody else's presence server: Kamailio in memory mode.
//!
//! ```text
//!  source ── XML ──> rollcall manager ──> rollcall client ── PUBLISH ──> kamailio ── NOTIFY ──> a watcher by hand
//! ```
//!
//! - initial, modify, and remove at an orderly end, by UDP and TCP
//! - refresh before what Kamailio grants has passed, which is less than was asked for
//! - a Kamailio that has forgotten everything answers 412, and is told anew

use std::net::SocketAddr;

use rollcall::core::sip::Message;

use crate::support::eventually_or;
use crate::support::kamailio::Kamailio;
use crate::support::process::Process;
use crate::support::sip::{Client, body};
use crate::support::source::Source;

/// A Manager, and a Presence Client that publishes at Kamailio.
struct Ours {
    _manager: Process,
    manager_at: SocketAddr,
    client: Process,
}

impl Ours {
    fn start(kamailio: SocketAddr, transport: &str) -> Self {
        let manager = Process::rollcall(&["manager", "--listen", "127.0.0.1:0"]);
        let manager_at = manager.listening("manager");
        let server = format!("sip:{kamailio};transport={transport}");
        let client = Process::rollcall(&[
            "client",
            "--manager",
            &manager_at.to_string(),
            "--server",
            &server,
        ]);
        client.listening("udp");
        Self {
            _manager: manager,
            manager_at,
            client,
        }
    }

    /// The publisher's counters, as it shows them now.
    fn counters(&self) -> String {
        let from = self.client.lines().len();
        self.client.signal("USR1");
        let shown = self
            .client
            .wait_for_from(from, "counters", |line| line.starts_with("publisher:"));
        shown.1
    }

    /// Waits until the publisher has counted this often.
    fn has_counted(&self, name: &str, at_least: u64) {
        let prefix = format!("{name}=");
        eventually_or(
            &format!("{name} {at_least}"),
            || {
                let counters = self.counters();
                let mut words = counters.split(' ');
                let count: u64 = words
                    .find_map(|word| word.strip_prefix(&prefix))?
                    .parse()
                    .ok()?;
                (count >= at_least).then_some(())
            },
            || self.client.lines().join("\n"),
        );
    }
}

/// Subscribes, and takes the first NOTIFY.
fn watch(kamailio: SocketAddr, presentity: &str) -> (Client, Message) {
    let mut watcher = Client::new(kamailio);
    let answer = watcher.subscribe(presentity);
    assert!(answer.status().is_some_and(|status| status.is_success()));
    let first = watcher.notify();
    (watcher, first)
}

#[test]
fn our_client_publishes_modifies_and_removes_at_kamailio() {
    let kamailio = Kamailio::start(3600);
    for transport in ["udp", "tcp"] {
        let mut ours = Ours::start(kamailio.address, transport);
        let bob = format!("sip:bob-{transport}@{}", kamailio.address);
        let (mut watcher, _) = watch(kamailio.address, &bob);
        let mut source = Source::new(ours.manager_at);
        for (seq, note) in [(1, "first"), (2, "second")] {
            source.say(&bob, Some(seq), note);
            source.published();
            let told = body(&watcher.notify());
            assert!(
                told.contains(note) && told.contains("<basic>open</basic>"),
                "{told}"
            );
        }
        let counters = ours.counters();
        assert!(
            counters.contains(" initial=1") && counters.contains(" modify=1"),
            "{counters}"
        );
        // An orderly end takes the publication away; Kamailio shows that as a closed tuple.
        ours.client.signal("TERM");
        assert!(
            ours.client.ended().success(),
            "an orderly end: {:#?}",
            ours.client.lines()
        );
        let gone = body(&watcher.notify());
        assert!(!gone.contains("<basic>open</basic>"), "{gone}");
    }
}

#[test]
fn our_client_refreshes_before_what_kamailio_grants_has_passed() {
    // It is asked for an hour.
    let kamailio = Kamailio::start(4);
    let ours = Ours::start(kamailio.address, "udp");
    let bob = format!("sip:bob@{}", kamailio.address);
    let mut source = Source::new(ours.manager_at);
    source.say(&bob, Some(1), "for-long");
    source.published();
    // Three refreshes take longer than a grant.
    ours.has_counted("refresh", 3);
    // Its publication stands: a change modifies it. (The state itself can't be asked for: Kamailio's cache shows a
    // publication without its document after a refresh, whoever sent it.)
    source.say(&bob, Some(2), "still-there");
    source.published();
    let (_, state) = watch(kamailio.address, &bob);
    assert!(body(&state).contains("still-there"), "{}", body(&state));
    let counters = ours.counters();
    assert!(
        counters.contains(" initial=1")
            && counters.contains(" modify=1")
            && !counters.contains("unknown_tag"),
        "{counters}"
    );
}

#[test]
fn our_client_begins_anew_when_kamailio_has_forgotten_its_tag() {
    let mut kamailio = Kamailio::start(3600);
    let ours = Ours::start(kamailio.address, "udp");
    let bob = format!("sip:bob@{}", kamailio.address);
    let mut source = Source::new(ours.manager_at);
    source.say(&bob, Some(1), "before");
    source.published();
    kamailio.kill_and_restart();
    source.say(&bob, Some(2), "after");
    source.published();
    let (_, state) = watch(kamailio.address, &bob);
    assert!(body(&state).contains("after"), "{}", body(&state));
    let counters = ours.counters();
    assert!(
        counters.contains(" unknown_tag=1") && counters.contains(" initial=2"),
        "{counters}"
    );
}
