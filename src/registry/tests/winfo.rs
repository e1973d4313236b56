//! Watcher information (RFC 3857, 3858).

use std::time::Duration;

use crate::exchange::{Account, Identity, OutcomeResult};
use crate::registry::testing::Desk;
use crate::registry::{Package, Settings};
use crate::watcherinfo::Handling;

const ALICE: &str = "sip:alice@example.com";

fn desk(policy: Handling) -> Desk {
    Desk::with(Settings {
        policy,
        packages: vec![Package::presence(), Package::presence_winfo()],
        ..Settings::default()
    })
}

/// Bob watches his watchers. `lines` may put him into a dialog.
fn watch(desk: &mut Desk, lines: &str) {
    let lines = format!(
        "From: <sip:bob@example.com>;tag=b1|Call-ID: winfo|Event: presence.winfo|Contact: <sip:bob@127.0.0.1:5071>|{lines}"
    );
    desk.send("SUBSCRIBE", "sip:bob@example.com", &lines, "");
}

/// Documents that bob was sent.
fn documents(desk: &mut Desk) -> Vec<String> {
    let lines = desk.said().into_iter();
    let lines = lines.filter(|line| line.contains("Event: presence.winfo"));
    lines
        .filter_map(|line| Some(line.split_once(" = ")?.1.to_owned()))
        .collect()
}

/// All NOTIFYs on their way arrive.
fn settle(desk: &mut Desk) {
    while !desk.in_flight.is_empty() {
        desk.answer("200 OK");
    }
}

#[test]
fn everybody_is_told_after_a_subscribe_then_what_changes_with_versions_from_0_by_1() {
    let mut desk = desk(Handling::Allow);
    desk.subscribe("");
    settle(&mut desk);
    desk.said();
    watch(&mut desk, "");
    assert_eq!(
        desk.said(),
        [
            "2: 200 our2 rr | Expires: 3600 | Contact: <sip:127.0.0.1:5060;transport=udp>",
            "NOTIFY sip:bob@127.0.0.1:5071 to 127.0.0.1:5070/udp | From: <sip:bob@example.com>;tag=our2 | \
             To: <sip:bob@example.com>;tag=b1 | Call-ID: winfo | Contact: <sip:127.0.0.1:5060;transport=udp> | \
             CSeq: 1 NOTIFY | Event: presence.winfo | Subscription-State: active;expires=3600 = \
             0 full; id1 active subscribe sip:alice@example.com",
        ]
    );
    settle(&mut desk);
    desk.subscribe("From: <sip:carol@example.com>;tag=c|Call-ID: c|Expires: 60");
    settle(&mut desk);
    // A refresh is no change.
    desk.subscribe("From: <sip:carol@example.com>;tag=c|Call-ID: c|Expires: 60|To: <sip:bob@example.com>;tag=our3");
    settle(&mut desk);
    desk.pass(60_000);
    settle(&mut desk);
    watch(&mut desk, "To: <sip:bob@example.com>;tag=our2");
    settle(&mut desk);
    watch(&mut desk, "To: <sip:bob@example.com>;tag=our2|Expires: 0");
    assert_eq!(
        documents(&mut desk),
        [
            "1 partial; id2 active subscribe sip:carol@example.com",
            "2 partial; id2 terminated timeout sip:carol@example.com",
            "3 full; id1 active subscribe sip:alice@example.com",
            "4 full; id1 active subscribe sip:alice@example.com",
        ]
    );
    assert_eq!(desk.registry.snapshot(9).presentity_count, 1);
}

#[test]
fn a_watcher_is_pending_then_approved_or_waits() {
    let mut desk = desk(Handling::Confirm);
    watch(&mut desk, "");
    settle(&mut desk);
    desk.subscribe("Expires: 60");
    settle(&mut desk);
    desk.pass(60_000);
    settle(&mut desk);
    desk.subscribe("Call-ID: again");
    settle(&mut desk);
    desk.decide(ALICE, Some(Handling::Allow));
    settle(&mut desk);
    desk.decide(ALICE, Some(Handling::Block));
    settle(&mut desk);
    assert_eq!(
        documents(&mut desk),
        [
            "0 full",
            "1 partial; id1 pending subscribe sip:alice@example.com",
            "2 partial; id1 waiting timeout sip:alice@example.com",
            "3 partial; id1 terminated timeout sip:alice@example.com",
            "4 partial; id2 pending subscribe sip:alice@example.com",
            "5 partial; id2 active approved sip:alice@example.com",
            "6 partial; id2 terminated rejected sip:alice@example.com",
        ]
    );
}

#[test]
fn one_that_waits_is_in_the_full_state_also_after_a_restart_until_it_is_decided() {
    let mut desk = desk(Handling::Confirm);
    desk.subscribe("Expires: 0");
    settle(&mut desk);
    desk.restart();
    watch(&mut desk, "");
    settle(&mut desk);
    desk.decide(ALICE, Some(Handling::Block));
    settle(&mut desk);
    assert_eq!(
        documents(&mut desk),
        [
            "0 full; id1 waiting timeout sip:alice@example.com",
            "1 partial; id1 terminated rejected sip:alice@example.com",
        ]
    );
}

#[test]
fn changes_during_a_notify_in_flight_are_told_together_the_latest_of_each() {
    let mut desk = desk(Handling::Confirm);
    watch(&mut desk, "");
    desk.subscribe("");
    desk.decide(ALICE, Some(Handling::Allow));
    // The first in flight is bob's.
    desk.answer("200 OK");
    settle(&mut desk);
    assert_eq!(
        documents(&mut desk),
        [
            "0 full",
            "1 partial; id1 active approved sip:alice@example.com",
        ]
    );
}

#[test]
fn changes_are_gathered_for_the_time_of_pacing() {
    let mut desk = desk(Handling::Allow);
    desk.settings.pacing = Duration::from_secs(5);
    desk.restart();
    watch(&mut desk, "");
    settle(&mut desk);
    for number in 0..3 {
        desk.subscribe(&format!(
            "From: <sip:{number}@example.com>;tag=t|Call-ID: {number}"
        ));
        settle(&mut desk);
    }
    assert_eq!(
        documents(&mut desk)[1..],
        ["1 partial; id1 active subscribe sip:0@example.com"]
    );
    desk.pass(5_000);
    assert_eq!(
        documents(&mut desk),
        [
            "2 partial; id2 active subscribe sip:1@example.com; id3 active subscribe sip:2@example.com"
        ]
    );
}

#[test]
fn after_a_notify_that_may_be_lost_everything_is_told() {
    let mut desk = desk(Handling::Allow);
    desk.subscribe("");
    watch(&mut desk, "");
    settle(&mut desk);
    desk.subscribe("From: <sip:carol@example.com>;tag=c|Call-ID: c");
    documents(&mut desk);
    // Carol's, then bob's.
    desk.answer("200 OK");
    desk.ends(OutcomeResult::Timeout);
    assert_eq!(
        documents(&mut desk),
        [
            "2 full; id1 active subscribe sip:alice@example.com; id2 active subscribe sip:carol@example.com"
        ]
    );
}

#[test]
fn whoever_missed_more_than_is_kept_is_told_everything() {
    let mut desk = desk(Handling::Allow);
    watch(&mut desk, "");
    documents(&mut desk);
    let bob = desk.in_flight.pop_front().expect("bob's NOTIFY");
    for number in 0..300 {
        desk.subscribe(&format!(
            "From: <sip:{number}@example.com>;tag=t|Call-ID: {number}"
        ));
        settle(&mut desk);
    }
    desk.in_flight.push_front(bob);
    desk.answer("200 OK");
    let told = documents(&mut desk);
    assert_eq!(told.len(), 1);
    assert!(told[0].starts_with("1 full; "), "{}", &told[0][..60]);
    assert_eq!(told[0].matches("active").count(), 300);
}

#[test]
fn a_politely_blocked_watcher_is_active_to_the_presentity() {
    let mut desk = desk(Handling::PoliteBlock);
    desk.subscribe("");
    watch(&mut desk, "Expires: 0");
    assert_eq!(
        documents(&mut desk),
        ["0 full; id1 active subscribe sip:alice@example.com"]
    );
}

#[test]
fn only_the_presentity_watches_its_watchers_and_nobody_watches_those() {
    let mut desk = desk(Handling::Allow);
    desk.subscribe("Event: presence.winfo");
    desk.identity = Identity::User(Account::new("alice", "example.com"));
    watch(&mut desk, "");
    desk.identity = Identity::User(Account::new("bob", "Example.com"));
    watch(&mut desk, "");
    desk.subscribe("Event: presence.winfo.winfo");
    desk.publish("Event: presence.winfo", "x");
    let answers = desk.said().into_iter();
    let answers: Vec<String> = answers.filter(|line| !line.starts_with("NOTIFY")).collect();
    assert_eq!(
        answers,
        [
            "1: 403",
            "2: 403",
            "3: 200 our1 rr | Expires: 3600 | Contact: <sip:127.0.0.1:5060;transport=udp>",
            "4: 489 | Allow-Events: presence, presence.winfo",
            "5: 489 | Allow-Events: presence, presence.winfo",
        ]
    );
}

#[test]
fn after_a_restart_it_is_subscribed_to_anew_since_no_version_may_come_twice() {
    let mut desk = desk(Handling::Allow);
    watch(&mut desk, "");
    settle(&mut desk);
    desk.restart();
    desk.said();
    desk.pass(2_000);
    let said = desk.said();
    assert_eq!(said.len(), 1);
    assert!(
        said[0].ends_with("Subscription-State: terminated;reason=deactivated = nothing"),
        "{said:?}"
    );
    assert_eq!(desk.records.len(), 0);
}
