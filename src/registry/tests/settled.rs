//! Who is told after a restart, and how fast (docs/adr/0019).

use std::time::Duration;

use crate::registry::testing::{Desk, StoreMood, pidf};
use crate::registry::{CommitOutcome, Settings};
use crate::watcherinfo::Handling;

/// A desk whose store remembers what has settled.
fn desk() -> Desk {
    Desk::with(Settings {
        domains: vec!["example.com".to_owned()],
        remember_settled: true,
        ..Settings::default()
    })
}

/// The same, with bob's state told to two watchers, answered and remembered.
fn settled() -> Desk {
    let mut desk = desk();
    desk.publish("Expires: 1000", &pidf("open", "here"));
    desk.subscribe("");
    desk.subscribe("Call-ID: call2");
    desk.answer("200 OK");
    desk.answer("200 OK");
    desk.happened();
    desk.pass(500);
    assert_eq!(desk.happened(), ["store +settled v1"]);
    desk
}

/// Call-IDs of the NOTIFYs, and who is told of what.
fn told(desk: &mut Desk) -> Vec<String> {
    let of = |line: String| {
        let (_, rest) = line.split_once("Call-ID: ").expect("a NOTIFY");
        let call = rest.split(' ').next().expect("a Call-ID").to_owned();
        let (_, body) = line.rsplit_once(" = ").expect("a body");
        format!("{call}: {body}")
    };
    let said = desk.said().into_iter();
    let notifies = said.filter(|line| line.starts_with("NOTIFY "));
    let mut told: Vec<String> = notifies.map(of).collect();
    told.sort();
    told
}

#[test]
fn who_knows_the_state_is_not_told_again() {
    let mut desk = settled();
    desk.restart();
    desk.pass(60_000);
    assert_eq!(desk.happened(), Vec::<String>::new());
    let resumption = desk.registry.resumption();
    assert_eq!(
        (
            resumption.total,
            resumption.left,
            resumption.told,
            resumption.known
        ),
        (2, 0, 0, 2)
    );
    // And hears of the next change as before.
    desk.publish("SIP-If-Match: etag1", &pidf("closed", "gone"));
    assert_eq!(
        told(&mut desk),
        ["call1: closed gone", "call2: closed gone"]
    );
}

#[test]
fn nothing_is_remembered_before_all_watchers_have_answered() {
    let mut desk = desk();
    desk.publish("", &pidf("open", "here"));
    desk.subscribe("");
    desk.subscribe("Call-ID: call2");
    desk.answer("200 OK");
    desk.happened();
    desk.pass(20_000);
    assert_eq!(desk.happened(), Vec::<String>::new());
    desk.restart();
    desk.pass(1_000);
    assert_eq!(told(&mut desk), ["call1: open here", "call2: open here"]);
}

#[test]
fn a_change_takes_back_what_is_remembered_so_that_a_state_that_comes_again_is_told() {
    let mut desk = settled();
    desk.publish("SIP-If-Match: etag1", &pidf("closed", "gone"));
    assert_eq!(
        desk.happened()[..3],
        [
            "store +publication v2",
            "2: 200 | Expires: 3600 | SIP-ETag: etag2",
            "store -settled v2",
        ]
        .map(|line| line.replace("2: 200", "4: 200"))
    );
    desk.answer("200 OK");
    desk.answer("200 OK");
    desk.publish("SIP-If-Match: etag2", &pidf("open", "here"));
    desk.happened();
    // The watchers have been told that it is closed, and not yet that it is open again.
    desk.restart();
    desk.pass(1_000);
    assert_eq!(told(&mut desk), ["call1: open here", "call2: open here"]);
}

#[test]
fn what_lapsed_while_nobody_was_there_is_told() {
    let mut desk = settled();
    desk.now = desk.now + Duration::from_secs(1_000);
    desk.restart();
    desk.happened();
    desk.pass(1_000);
    assert_eq!(told(&mut desk).len(), 2);
}

#[test]
fn a_watcher_that_came_later_is_told_and_the_others_are_not() {
    let mut desk = settled();
    desk.subscribe("Call-ID: call3");
    desk.happened();
    desk.restart();
    desk.pass(1_000);
    assert_eq!(told(&mut desk), ["call3: open here"]);
}

#[test]
fn a_watcher_whose_subscription_was_stored_while_others_settled_is_told() {
    let mut desk = settled();
    desk.mood = StoreMood::Slow;
    desk.subscribe("Call-ID: call3");
    desk.subscribe("Call-ID: call4");
    // The fourth is stored and answers; then the presentity settles without the third, which has no row yet.
    let third = desk.waiting.pop_front().expect("a commit");
    desk.store_answers(None);
    desk.answer("200 OK");
    desk.pass(1_000);
    while !desk.waiting.is_empty() {
        desk.store_answers(None);
    }
    desk.waiting.push_front(third);
    desk.store_answers(None);
    desk.happened();
    desk.restart();
    desk.pass(1_000);
    assert!(told(&mut desk).contains(&"call3: open here".to_owned()));
}

#[test]
fn a_watcher_that_was_let_in_is_told() {
    let mut desk = Desk::with(Settings {
        domains: vec!["example.com".to_owned()],
        remember_settled: true,
        policy: Handling::Confirm,
        ..Settings::default()
    });
    desk.publish("Expires: 1000", &pidf("open", "here"));
    desk.subscribe("");
    desk.answer("200 OK");
    desk.pass(1_000);
    desk.decide("sip:alice@example.com", Some(Handling::Allow));
    desk.happened();
    desk.restart();
    desk.pass(1_000);
    assert_eq!(told(&mut desk), ["call1: open here"]);
}

#[test]
fn what_the_store_did_not_take_is_taken_back_and_tried_again() {
    for outcome in [CommitOutcome::Overloaded, CommitOutcome::Indeterminate] {
        let mut desk = desk();
        desk.publish("Expires: 1000", &pidf("open", "here"));
        desk.subscribe("");
        desk.answer("200 OK");
        desk.mood = StoreMood::Failing(outcome);
        desk.happened();
        desk.pass(500);
        assert_eq!(desk.happened(), ["store +settled v1", "store -settled v2"]);
        desk.mood = StoreMood::Prompt;
        desk.strict = false;
        desk.pass(60_000);
        assert_eq!(desk.registry.snapshot(1).settled_count, 1);
        assert_eq!(desk.records.len(), 3);
    }
}

#[test]
fn an_orderly_end_remembers_what_has_settled_by_then() {
    let mut desk = desk();
    desk.publish("Expires: 1000", &pidf("open", "here"));
    desk.subscribe("");
    desk.answer("200 OK");
    desk.happened();
    desk.end();
    assert_eq!(desk.happened(), ["store +settled v1"]);
}

#[test]
fn nothing_is_left_of_a_presentity_that_goes() {
    let mut desk = settled();
    desk.now = desk.now + Duration::from_secs(4_000);
    desk.pass(0);
    while !desk.in_flight.is_empty() {
        desk.answer("200 OK");
    }
    desk.pass(1_000);
    assert!(desk.records.is_empty(), "{:?}", desk.records);
    assert_eq!(desk.registry.next_wake(), None);
}

/// A desk after a restart with so many watchers to be told.
fn crowd(watchers: usize) -> Desk {
    let mut desk = desk();
    desk.publish("Expires: 3000", &pidf("open", "here"));
    for number in 0..watchers {
        desk.subscribe(&format!("Call-ID: crowd{number}"));
    }
    desk.restart();
    desk.happened();
    desk
}

#[test]
fn as_many_are_told_at_a_time_as_answer() {
    let mut desk = crowd(1_000);
    desk.pass(200);
    assert_eq!(desk.in_flight.len(), 64);
    for more in 1..=10 {
        // Each answer lets one follow, and one more.
        desk.answer("200 OK");
        desk.pass(0);
        assert_eq!(desk.in_flight.len(), 64 + more);
    }
    // With answers at once it takes milliseconds.
    for _ in 0..100 {
        while !desk.in_flight.is_empty() {
            desk.answer("200 OK");
        }
        desk.pass(1);
    }
    assert_eq!(told(&mut desk).len(), 1_000);
    let resumption = desk.registry.resumption();
    assert_eq!((resumption.left, resumption.told), (0, 1_000));
}

#[test]
fn a_network_that_does_not_answer_gets_the_least_that_goes_on() {
    let mut desk = crowd(1_000);
    desk.pass(200);
    desk.pass(10_000);
    // Sixty-four each half second.
    assert_eq!(told(&mut desk).len(), 1_000);
}
