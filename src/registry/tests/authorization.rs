//! Who may watch whom (RFC 3856, 6.6.2; RFC 5025, 3.2.1).

use std::time::Duration;

use crate::exchange::{Account, Identity};
use crate::registry::testing::{Desk, StoreMood, pidf};
use crate::registry::{CommitOutcome, Settings};
use crate::watcherinfo::Handling;

const ALICE: &str = "sip:alice@example.com";

fn desk(policy: Handling) -> Desk {
    Desk::with(Settings {
        policy,
        offline_document: true,
        ..Settings::default()
    })
}

/// What was said, without what all lines of the dialog have in common.
fn said(desk: &mut Desk) -> Vec<String> {
    let lines = desk.said().into_iter().map(|line| {
        let Some((_, rest)) = line.split_once("Subscription-State: ") else {
            return line.split(" | ").next().unwrap_or_default().to_owned();
        };
        rest.to_owned()
    });
    lines.collect()
}

/// Watcher, status and decision of the list for whoever decides.
fn list(desk: &Desk) -> Vec<String> {
    let rows = desk.registry.watchers(None, 100);
    let line = |row: crate::registry::WatcherRow| {
        let status = row.status.unwrap_or("-");
        format!("{} {status} {}", row.watcher, row.decision.unwrap_or("-"))
    };
    rows.into_iter().map(line).collect()
}

#[test]
fn a_blocked_watcher_is_refused() {
    let mut desk = desk(Handling::Block);
    desk.subscribe("");
    desk.subscribe("Expires: 0");
    assert_eq!(said(&mut desk), ["1: 403", "2: 403"]);
    assert_eq!(desk.registry.counters().rejected, 2);
    assert_eq!(list(&desk), [""; 0]);
}

#[test]
fn whoever_watches_himself_is_never_asked() {
    let mut desk = desk(Handling::Block);
    desk.subscribe("From: <sip:bob@example.com>;tag=b1");
    assert_eq!(
        said(&mut desk),
        ["1: 200 our1 rr", "active;expires=3600 = closed"]
    );
}

#[test]
fn a_politely_blocked_watcher_sees_what_it_would_if_nothing_were_published() {
    let mut desk = desk(Handling::PoliteBlock);
    desk.publish("", &pidf("open", "here"));
    said(&mut desk);
    desk.subscribe("");
    desk.answer("200 OK");
    desk.publish("", &pidf("open", "there"));
    desk.subscribe("To: <sip:bob@example.com>;tag=our1");
    desk.answer("200 OK");
    desk.subscribe("Call-ID: fetch|Expires: 0");
    assert_eq!(
        said(&mut desk),
        [
            "2: 200 our1 rr",
            "active;expires=3600 = closed",
            "3: 200",
            "4: 200 our1 rr",
            "active;expires=3600 = closed",
            "5: 200 our2 rr",
            "terminated;reason=timeout = closed",
        ]
    );
}

#[test]
fn an_undecided_watcher_is_pending_and_told_nothing_until_it_is_allowed() {
    let mut desk = desk(Handling::Confirm);
    desk.publish("", &pidf("open", "here"));
    desk.subscribe("Expires: 600");
    desk.answer("200 OK");
    desk.publish("", &pidf("open", "there"));
    said(&mut desk);
    assert_eq!(list(&desk), ["sip:alice@example.com pending -"]);
    desk.decide(ALICE, Some(Handling::Allow));
    assert_eq!(
        said(&mut desk),
        ["active;expires=600 = open here,there", "decided 9: 1"]
    );
    assert_eq!(list(&desk), ["sip:alice@example.com active allow"]);
    desk.answer("200 OK");
    desk.publish("", &pidf("open", "again"));
    assert_eq!(
        said(&mut desk).last().map(String::as_str),
        Some("active;expires=600 = open again,here,there")
    );
}

#[test]
fn the_first_notify_of_a_pending_subscription_says_so_without_a_body() {
    let mut desk = desk(Handling::Confirm);
    desk.subscribe("Expires: 600");
    assert_eq!(
        said(&mut desk),
        ["1: 200 our1 rr", "pending;expires=600 = nothing"]
    );
    desk.answer("200 OK");
    desk.subscribe("To: <sip:bob@example.com>;tag=our1|Expires: 600");
    assert_eq!(
        said(&mut desk),
        ["2: 200 our1 rr", "pending;expires=600 = nothing"]
    );
    assert_eq!(desk.registry.counters().undecided, 1);
}

#[test]
fn a_decision_takes_hold_of_subscriptions_that_live() {
    let mut desk = desk(Handling::Allow);
    desk.publish("", &pidf("open", "here"));
    desk.subscribe("");
    desk.answer("200 OK");
    said(&mut desk);
    for (handling, state) in [
        (Some(Handling::PoliteBlock), "active;expires=3600 = closed"),
        (Some(Handling::Confirm), "pending;expires=3600 = nothing"),
        (None, "active;expires=3600 = open here"),
    ] {
        desk.decide(ALICE, handling);
        assert_eq!(said(&mut desk), [state, "decided 9: 1"]);
        desk.answer("200 OK");
    }
    desk.decide(ALICE, Some(Handling::Block));
    assert_eq!(
        said(&mut desk),
        ["terminated;reason=rejected = nothing", "decided 9: 1"]
    );
    desk.subscribe("Call-ID: again");
    assert_eq!(said(&mut desk), ["3: 403"]);
    assert_eq!(list(&desk), ["sip:alice@example.com - block"]);
    assert_eq!(desk.records.len(), 2, "a publication and a decision");
}

#[test]
fn a_decision_waits_for_the_notify_in_flight() {
    let mut desk = desk(Handling::Confirm);
    desk.publish("", &pidf("open", "here"));
    desk.subscribe("");
    said(&mut desk);
    desk.decide(ALICE, Some(Handling::Allow));
    assert_eq!(said(&mut desk), ["decided 9: 1"]);
    desk.answer("200 OK");
    assert_eq!(said(&mut desk), ["active;expires=3600 = open here"]);
    desk.decide(ALICE, Some(Handling::Block));
    assert_eq!(said(&mut desk), ["decided 9: 1"]);
    desk.answer("200 OK");
    assert_eq!(said(&mut desk), ["terminated;reason=rejected = nothing"]);
    assert!(desk.registry.snapshot(9).subscription_count == 0);
}

#[test]
fn a_decision_while_the_store_is_busy_with_the_subscription_holds_too() {
    let mut desk = desk(Handling::Allow);
    desk.mood = StoreMood::Slow;
    desk.subscribe("");
    desk.decide(ALICE, Some(Handling::Block));
    desk.store_answers(None);
    desk.store_answers(None);
    // It began before the decision was stored.
    assert_eq!(
        said(&mut desk),
        [
            "1: 200 our1 rr",
            "active;expires=3600 = closed",
            "decided 9: 1",
        ]
    );
    desk.answer("200 OK");
    assert_eq!(said(&mut desk), ["terminated;reason=rejected = nothing"]);

    desk.decide("sip:carol@example.com", Some(Handling::Block));
    desk.subscribe("From: <sip:carol@example.com>;tag=c|Call-ID: c");
    while !desk.waiting.is_empty() {
        desk.store_answers(None);
    }
    assert_eq!(
        said(&mut desk),
        [
            "decided 9: 0",
            "2: 200 our2 rr",
            "terminated;reason=rejected = nothing",
        ]
    );
}

#[test]
fn blocking_while_a_refresh_is_stored_ends_the_subscription_after_it() {
    let mut desk = desk(Handling::Allow);
    desk.subscribe("");
    desk.answer("200 OK");
    said(&mut desk);
    desk.mood = StoreMood::Slow;
    desk.subscribe("To: <sip:bob@example.com>;tag=our1");
    desk.decide(ALICE, Some(Handling::Block));
    let refresh = desk.waiting.pop_front().expect("the refresh");
    desk.store_answers(None);
    assert_eq!(said(&mut desk), ["decided 9: 1"]);
    desk.waiting.push_front(refresh);
    desk.store_answers(None);
    assert_eq!(
        said(&mut desk),
        ["2: 200 our1 rr", "terminated;reason=rejected = nothing"]
    );
    desk.store_answers(None);
    assert_eq!(desk.records.len(), 1, "the decision");
}

#[test]
fn a_decision_that_is_not_stored_changes_nothing() {
    let mut desk = desk(Handling::Confirm);
    desk.subscribe("");
    desk.answer("200 OK");
    said(&mut desk);
    desk.mood = StoreMood::Failing(CommitOutcome::Unavailable);
    desk.decide(ALICE, Some(Handling::Allow));
    assert_eq!(
        said(&mut desk),
        ["decided 9: the decision could not be stored: try again"]
    );
    assert_eq!(list(&desk), ["sip:alice@example.com pending -"]);
    desk.mood = StoreMood::Slow;
    desk.decide(ALICE, Some(Handling::Allow));
    desk.decide(ALICE, Some(Handling::Block));
    assert_eq!(
        said(&mut desk),
        ["decided 9: an earlier decision about this watcher is still being stored: try again"]
    );
}

#[test]
fn decisions_outlive_a_restart_and_take_hold_of_what_was_stored_before() {
    let mut desk = desk(Handling::Allow);
    desk.publish("", &pidf("open", "here"));
    desk.subscribe("");
    desk.answer("200 OK");
    desk.decide(ALICE, Some(Handling::PoliteBlock));
    desk.answer("200 OK");
    desk.restart();
    said(&mut desk);
    desk.pass(2_000);
    assert_eq!(said(&mut desk), ["active;expires=3600 = closed"]);
    assert_eq!(list(&desk), ["sip:alice@example.com active polite-block"]);
    // The policy of the new process holds for those about whom nobody decided.
    desk.subscribe("From: <sip:carol@example.com>;tag=c|Call-ID: c");
    desk.answer("200 OK");
    desk.settings.policy = Handling::Confirm;
    desk.restart();
    said(&mut desk);
    desk.pass(2_000);
    let mut lines = said(&mut desk);
    lines.sort();
    assert_eq!(
        lines,
        [
            "active;expires=3598 = closed",
            "pending;expires=3600 = nothing",
        ]
    );
}

#[test]
fn a_watcher_whose_pending_subscription_ended_waits_also_over_a_restart() {
    let mut desk = desk(Handling::Confirm);
    desk.subscribe("Expires: 60");
    desk.answer("200 OK");
    desk.pass(60_000);
    assert_eq!(list(&desk), ["sip:alice@example.com waiting -"]);
    desk.subscribe("From: <sip:carol@example.com>;tag=c|Call-ID: c|Expires: 0");
    desk.restart();
    let both = [
        "sip:alice@example.com waiting -",
        "sip:carol@example.com waiting -",
    ];
    assert_eq!(list(&desk), both);
    said(&mut desk);
    desk.decide(ALICE, Some(Handling::Allow));
    assert_eq!(said(&mut desk), ["decided 9: 0"]);
    desk.subscribe("Call-ID: later");
    assert_eq!(
        said(&mut desk),
        ["3: 200 our3 rr", "active;expires=3600 = closed"]
    );
}

#[test]
fn a_pending_subscription_that_ended_while_nobody_was_there_leaves_its_watcher_waiting() {
    let mut desk = desk(Handling::Confirm);
    desk.subscribe("Expires: 60");
    desk.now = desk.now + Duration::from_secs(61);
    desk.restart();
    assert_eq!(list(&desk), ["sip:alice@example.com waiting -"]);
}

#[test]
fn a_watcher_that_subscribes_again_waits_no_more_and_one_that_never_does_is_given_up() {
    let mut desk = desk(Handling::Confirm);
    desk.subscribe("Expires: 60");
    desk.answer("200 OK");
    desk.pass(60_000);
    desk.answer("200 OK");
    desk.subscribe("Call-ID: again|Expires: 60");
    desk.answer("200 OK");
    assert_eq!(list(&desk), ["sip:alice@example.com pending -"]);
    desk.pass(60_000 + 30 * 86_400_000 - 1);
    assert_eq!(list(&desk), ["sip:alice@example.com waiting -"]);
    desk.pass(1);
    assert_eq!(list(&desk), [""; 0]);
    assert_eq!(desk.records.len(), 0);
}

#[test]
fn waiting_is_stored_later_when_the_store_is_away() {
    let mut desk = desk(Handling::Confirm);
    desk.subscribe("Expires: 60");
    desk.answer("200 OK");
    desk.mood = StoreMood::Failing(CommitOutcome::Unavailable);
    desk.pass(60_000);
    assert_eq!(list(&desk), ["sip:alice@example.com waiting -"]);
    desk.mood = StoreMood::Prompt;
    desk.pass(5_000);
    desk.restart();
    assert_eq!(list(&desk), ["sip:alice@example.com waiting -"]);
}

#[test]
fn the_account_is_the_watcher_whatever_from_says() {
    let mut desk = desk(Handling::Confirm);
    desk.decide(ALICE, Some(Handling::Allow));
    desk.identity = Identity::User(Account::new("mallory", "example.com"));
    desk.subscribe("");
    assert_eq!(
        said(&mut desk),
        [
            "decided 9: 0",
            "1: 200 our1 rr",
            "pending;expires=3600 = nothing"
        ]
    );
    // Nobody else speaks in its dialog.
    desk.identity = Identity::User(Account::new("alice", "example.com"));
    desk.subscribe("To: <sip:bob@example.com>;tag=our1");
    assert_eq!(said(&mut desk), ["2: 403"]);
    desk.identity = Identity::User(Account::new("carol", "example.com"));
    desk.subscribe("Call-ID: c");
    assert_eq!(
        list(&desk),
        [
            "sip:alice@example.com - allow",
            "sip:carol@example.com pending -",
            "sip:mallory@example.com pending -",
        ]
    );
    // It stays the account's over a restart.
    desk.restart();
    assert_eq!(list(&desk).len(), 3);
}

#[test]
fn those_that_wait_are_bounded() {
    let mut desk = Desk::with(Settings {
        policy: Handling::Confirm,
        limits: crate::registry::Limits {
            watchers: 2,
            ..Default::default()
        },
        ..Settings::default()
    });
    for number in 0..4 {
        desk.subscribe(&format!(
            "From: <sip:{number}@example.com>;tag=t|Call-ID: {number}|Expires: 0"
        ));
    }
    assert_eq!(
        list(&desk),
        ["sip:0@example.com waiting -", "sip:1@example.com waiting -"]
    );
    said(&mut desk);
    desk.decide(ALICE, Some(Handling::Block));
    assert_eq!(
        said(&mut desk),
        ["decided 9: presentity has 2 decisions already"]
    );
}
