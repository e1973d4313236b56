//! What rests on a commit waits for it (docs/adr/0006).

use crate::registry::testing::{Desk, StoreMood, pidf};
use crate::registry::{CommitOutcome, OpId, RecordKey};

fn slow() -> Desk {
    let mut desk = Desk::new();
    desk.mood = StoreMood::Slow;
    desk
}

const WITHIN: &str = "To: <sip:bob@example.com>;tag=our1";
const FAILURES: [CommitOutcome; 4] = [
    CommitOutcome::Overloaded,
    CommitOutcome::Unavailable,
    CommitOutcome::Indeterminate,
    CommitOutcome::Conflict(Vec::new()),
];

#[test]
fn neither_answer_nor_notify_leaves_before_the_commit() {
    let mut desk = slow();
    desk.subscribe("");
    assert_eq!(desk.happened(), ["store +subscription v1"]);
    desk.store_answers(None);
    assert_eq!(desk.said().len(), 2);
    desk.answer("200 OK");
    desk.publish("", &pidf("open", ""));
    assert_eq!(desk.happened(), ["store +publication v1"]);
    desk.store_answers(None);
    let said = desk.said();
    assert_eq!(said[0], "2: 200 | Expires: 3600 | SIP-ETag: etag1");
    assert!(said[1].ends_with("= open"), "{said:?}");
}

#[test]
fn publications_of_one_presentity_are_decided_one_after_the_other() {
    let mut desk = slow();
    desk.publish("", &pidf("open", ""));
    desk.store_answers(None);
    desk.happened();
    // Two publishers hold the same tag: the second one must lose, though the first is not stored yet.
    desk.publish("SIP-If-Match: etag1", &pidf("closed", ""));
    desk.publish("SIP-If-Match: etag1", "");
    desk.publish("", &pidf("open", "another"));
    assert_eq!(desk.happened(), ["store +publication v2"]);
    desk.store_answers(None);
    assert_eq!(
        desk.happened(),
        [
            "2: 200 | Expires: 3600 | SIP-ETag: etag2",
            "3: 412",
            "store +publication v1"
        ]
    );
    desk.store_answers(None);
    assert_eq!(
        desk.happened(),
        ["4: 200 | Expires: 3600 | SIP-ETag: etag3"]
    );
    assert_eq!(desk.registry.counters().queued, 2);
}

#[test]
fn what_is_not_stored_did_not_happen() {
    for failure in FAILURES {
        let mut desk = Desk::new();
        desk.publish("", &pidf("open", ""));
        desk.subscribe("");
        desk.answer("200 OK");
        desk.happened();
        desk.mood = StoreMood::Failing(failure.clone());
        desk.publish("SIP-If-Match: etag1", &pidf("closed", ""));
        desk.publish("", &pidf("closed", ""));
        desk.publish("SIP-If-Match: etag1|Expires: 0", "");
        desk.subscribe(&format!("{WITHIN}|Expires: 0"));
        desk.subscribe("Call-ID: call2");
        let unavailable = |number: u32| format!("{number}: 503 | Retry-After: 5");
        let expected: Vec<_> = (3..=7).map(unavailable).collect();
        assert_eq!(desk.said(), expected, "{failure:?}");
        desk.mood = StoreMood::Prompt;
        desk.publish("SIP-If-Match: etag1", "");
        assert_eq!(
            desk.said(),
            ["8: 200 | Expires: 3600 | SIP-ETag: etag2"],
            "{failure:?}"
        );
        let snapshot = desk.registry.snapshot(1);
        assert_eq!(
            (snapshot.publication_count, snapshot.subscription_count),
            (1, 1)
        );
    }
}

#[test]
fn a_queue_behind_a_failed_commit_is_decided_from_what_is_stored() {
    let mut desk = slow();
    desk.publish("", &pidf("open", ""));
    desk.store_answers(None);
    desk.happened();
    desk.publish("SIP-If-Match: etag1", &pidf("closed", ""));
    desk.publish("SIP-If-Match: etag1", "");
    desk.store_answers(Some(CommitOutcome::Unavailable));
    desk.store_answers(None);
    assert_eq!(
        desk.said(),
        [
            "2: 503 | Retry-After: 5",
            "3: 200 | Expires: 3600 | SIP-ETag: etag2"
        ]
    );
}

/// A store that hangs must not fill the memory with requests, one presentity at a time.
#[test]
fn a_queue_behind_a_commit_is_bounded_and_everybody_in_it_gets_one_answer() {
    let mut desk = slow();
    desk.subscribe("");
    desk.store_answers(None);
    desk.happened();
    for number in 2..=67 {
        desk.publish("", &pidf("open", &number.to_string()));
    }
    assert_eq!(
        desk.happened(),
        ["store +publication v1", "67: 503 | Retry-After: 5"]
    );
    desk.mood = StoreMood::Failing(CommitOutcome::Unavailable);
    desk.store_answers(Some(CommitOutcome::Unavailable));
    let expected: Vec<_> = (2..=66)
        .map(|number| format!("{number}: 503 | Retry-After: 5"))
        .collect();
    assert_eq!(desk.said(), expected);
    assert_eq!(desk.registry.unanswered(), []);
}

#[test]
fn a_crowd_of_watchers_does_not_wait_for_each_other() {
    let mut desk = slow();
    for number in 1..=3 {
        desk.subscribe(&format!("Call-ID: call{number}"));
    }
    assert_eq!(desk.happened(), ["store +subscription v1"; 3]);
    assert_eq!(desk.registry.counters().queued, 0);
}

#[test]
fn requests_in_one_dialog_wait_for_each_other() {
    let mut desk = slow();
    desk.subscribe("");
    desk.store_answers(None);
    desk.answer("200 OK");
    desk.happened();
    desk.subscribe(WITHIN);
    desk.subscribe(&format!("{WITHIN}|Expires: 0"));
    assert_eq!(desk.happened(), ["store +subscription v2"]);
    desk.store_answers(None);
    let happened = desk.happened();
    assert!(happened[0].starts_with("2: 200 "), "{happened:?}");
    assert_eq!(happened[2], "store -subscription v3");
}

#[test]
fn a_publication_that_lapses_while_its_refresh_is_being_stored_lives_on() {
    let mut desk = slow();
    desk.publish("Expires: 60", &pidf("open", ""));
    desk.store_answers(None);
    desk.pass(59_999);
    desk.publish("Expires: 60|SIP-If-Match: etag1", "");
    desk.happened();
    desk.pass(10);
    assert_eq!(desk.happened(), Vec::<String>::new());
    desk.store_answers(None);
    assert_eq!(desk.happened(), ["2: 200 | Expires: 60 | SIP-ETag: etag2"]);
    desk.pass(59_989);
    assert_eq!(desk.happened(), Vec::<String>::new());
    desk.pass(1);
    assert_eq!(desk.happened(), ["store -publication v3"]);
}

#[test]
fn a_publication_that_lapses_while_its_refresh_fails_is_gone_after_it() {
    let mut desk = slow();
    desk.publish("Expires: 60", &pidf("open", ""));
    desk.store_answers(None);
    desk.pass(59_999);
    desk.publish("Expires: 60|SIP-If-Match: etag1", "");
    desk.pass(10);
    desk.happened();
    desk.store_answers(Some(CommitOutcome::Overloaded));
    assert_eq!(
        desk.happened(),
        ["2: 503 | Retry-After: 5", "store -publication v2"]
    );
}

#[test]
fn a_subscription_that_ends_while_its_refresh_fails_is_told_so_after_it() {
    let mut desk = slow();
    desk.subscribe("Expires: 60");
    desk.store_answers(None);
    desk.answer("200 OK");
    desk.pass(59_999);
    desk.subscribe(&format!("{WITHIN}|Expires: 60"));
    desk.pass(10);
    desk.happened();
    desk.store_answers(Some(CommitOutcome::Overloaded));
    let happened = desk.happened();
    assert_eq!(
        happened[..2],
        ["2: 503 | Retry-After: 5", "store -subscription v2"]
    );
    assert!(happened[2].contains("terminated;reason=timeout"));
}

/// Were it ended at once, its row would be another's by the time the store answers.
#[test]
fn a_subscription_out_of_cseq_ends_after_the_refresh_that_is_being_stored() {
    let mut desk = slow();
    desk.subscribe("");
    desk.store_answers(None);
    desk.answer("200 OK");
    // As after two thousand restarts.
    desk.registry.epoch = 2_048;
    desk.subscribe(WITHIN);
    desk.publish("", &pidf("open", ""));
    desk.happened();
    let refresh = desk.waiting.pop_front().expect("a commit");
    desk.store_answers(None);
    assert_eq!(desk.said().len(), 1);
    desk.waiting.push_front(refresh);
    desk.store_answers(None);
    let said = desk.said();
    assert!(said[0].starts_with("2: 200 "), "{said:?}");
    assert_eq!(said.len(), 1);
    desk.pass(1_000);
    let happened = desk.happened();
    assert_eq!(happened[0], "store -subscription v3");
    assert!(
        happened[1].contains("terminated;reason=deactivated"),
        "{happened:?}"
    );
}

#[test]
fn a_watcher_that_refuses_during_its_refresh_is_removed_after_it() {
    let mut desk = slow();
    desk.subscribe("");
    desk.store_answers(None);
    desk.subscribe(WITHIN);
    desk.happened();
    desk.answer("481 Gone");
    assert_eq!(desk.happened(), Vec::<String>::new());
    desk.store_answers(None);
    let happened = desk.happened();
    assert!(happened[0].starts_with("2: 200 "), "{happened:?}");
    assert_eq!(happened[1..], ["store -subscription v3"], "and no NOTIFY");
    assert_eq!(desk.registry.snapshot(1).subscription_count, 0);
}

#[test]
fn a_removal_that_is_not_stored_is_tried_again_until_it_is() {
    let mut desk = Desk::new();
    desk.publish("Expires: 60", &pidf("open", ""));
    desk.mood = StoreMood::Failing(CommitOutcome::Unavailable);
    desk.pass(60_000);
    desk.happened();
    desk.pass(5_000);
    assert_eq!(desk.happened(), ["store -publication v2"]);
    desk.mood = StoreMood::Prompt;
    desk.pass(5_000);
    assert_eq!(desk.happened(), ["store -publication v2"]);
    assert!(desk.records.is_empty());
    assert_eq!(desk.registry.next_wake(), None);
}

#[test]
fn a_removal_that_is_tried_again_leaves_a_new_record_of_that_name_alone() {
    let mut desk = Desk::new();
    let lines = "Contact: <sip:bob@127.0.0.1:5070>|Expires: 60";
    desk.send("REGISTER", "sip:bob@example.com", lines, "");
    let (key, stored) = desk.records.first_key_value().expect("a binding");
    let conflict = CommitOutcome::Conflict(vec![(key.clone(), Some(stored.clone()))]);
    desk.mood = StoreMood::Failing(CommitOutcome::Unavailable);
    desk.pass(60_000);
    desk.mood = StoreMood::Slow;
    desk.send("REGISTER", "sip:bob@example.com", lines, "");
    // The old record is in the way, and is taken out; the client tries again, before the removal is tried again.
    desk.store_answers(Some(conflict));
    desk.store_answers(None);
    desk.mood = StoreMood::Prompt;
    desk.send("REGISTER", "sip:bob@example.com", lines, "");
    desk.happened();
    desk.pass(59_999);
    assert_eq!(desk.happened(), Vec::<String>::new());
    assert_eq!(desk.records.len(), 1);
}

#[test]
fn the_removal_of_one_of_two_subscriptions_in_a_dialog_is_tried_again() {
    let mut desk = Desk::new();
    desk.subscribe("Event: presence;id=1");
    desk.answer("200 OK");
    desk.subscribe(&format!("{WITHIN}|Event: presence;id=2"));
    desk.mood = StoreMood::Failing(CommitOutcome::Unavailable);
    desk.answer("481 Gone");
    desk.mood = StoreMood::Prompt;
    desk.happened();
    desk.pass(5_000);
    assert_eq!(desk.happened(), ["store -subscription v2"]);
    assert_eq!(desk.records.len(), 1);
}

#[test]
fn removals_that_were_not_stored_are_tried_again_in_portions() {
    let mut desk = Desk::new();
    for number in 0..1_500 {
        let uri = format!("sip:{number}@example.com");
        desk.send(
            "REGISTER",
            &uri,
            "Contact: <sip:bob@127.0.0.1>|Expires: 60",
            "",
        );
    }
    desk.mood = StoreMood::Failing(CommitOutcome::Unavailable);
    desk.pass(60_000);
    desk.mood = StoreMood::Prompt;
    desk.happened();
    desk.pass(5_000);
    assert_eq!((desk.happened().len(), desk.records.len()), (1_024, 476));
    desk.pass(5_000);
    assert_eq!((desk.happened().len(), desk.records.len()), (476, 0));
    assert_eq!(desk.registry.next_wake(), None);
}

#[test]
fn a_stray_record_that_stands_in_the_way_is_taken_out() {
    let mut desk = Desk::new();
    let lines = "Contact: <sip:bob@127.0.0.1:5070>|Expires: 60";
    desk.send("REGISTER", "sip:bob@example.com", lines, "");
    let (key, stored) = desk.records.first_key_value().expect("a binding");
    let conflict = CommitOutcome::Conflict(vec![(key.clone(), Some(stored.clone()))]);
    // The removal got lost, and nobody knows.
    desk.mood = StoreMood::Failing(CommitOutcome::Conflict(Vec::new()));
    desk.pass(60_000);
    desk.happened();
    desk.mood = StoreMood::Slow;
    desk.send("REGISTER", "sip:bob@example.com", lines, "");
    desk.store_answers(Some(conflict));
    assert_eq!(
        desk.happened(),
        [
            "store +binding v1",
            "2: 503 | Retry-After: 5",
            "store -binding v2"
        ]
    );
    desk.store_answers(None);
    assert!(desk.records.is_empty());
}

#[test]
fn an_outcome_of_another_life_is_not_taken_for_ours() {
    let mut desk = slow();
    desk.publish("", &pidf("open", ""));
    desk.happened();
    let op = desk.waiting[0].op;
    let mut out = Vec::new();
    let other = OpId {
        run: op.run ^ 1,
        ..op
    };
    desk.registry
        .committed(desk.now, other, CommitOutcome::Committed, &mut out);
    assert_eq!(out, []);
    desk.registry
        .committed(desk.now, op, CommitOutcome::Committed, &mut out);
    assert_eq!(out.len(), 1);
    desk.registry
        .committed(desk.now, op, CommitOutcome::Committed, &mut out);
    assert_eq!(out.len(), 1);
}

#[test]
fn requests_that_wait_are_known_by_their_transactions() {
    let mut desk = slow();
    desk.publish("", &pidf("open", ""));
    desk.publish("", &pidf("open", ""));
    desk.subscribe("");
    let mut waiting: Vec<u64> = desk
        .registry
        .unanswered()
        .iter()
        .map(|transaction| transaction.number)
        .collect();
    waiting.sort_unstable();
    assert_eq!(waiting, [1, 2, 3]);
}

#[test]
fn the_records_say_whose_they_are() {
    let mut desk = Desk::new();
    desk.publish("", &pidf("open", ""));
    desk.subscribe("Event: presence;id=4");
    let owners: Vec<_> = desk
        .records
        .values()
        .map(|(_, record)| record.aor())
        .collect();
    assert_eq!(owners, ["sip:bob@example.com"; 2]);
    assert!(desk.records.keys().any(|key| {
        matches!(key, RecordKey::Subscription { event, .. } if &**event == "presence;id=4")
    }));
}

/// A PUBLISH that was refused but stored must not take the entity-tag away from its publisher.
#[test]
fn what_was_refused_while_nobody_knew_is_taken_back_when_it_was_stored() {
    let mut desk = Desk::new();
    desk.publish("", &pidf("open", ""));
    desk.subscribe("");
    desk.answer("200 OK");
    desk.mood = StoreMood::Slow;
    desk.happened();
    desk.publish("SIP-If-Match: etag1", &pidf("closed", ""));
    desk.publish("SIP-If-Match: etag1", &pidf("closed", "behind it"));
    desk.subscribe(&format!("{WITHIN}|Expires: 0"));
    desk.subscribe("Call-ID: call2");
    assert_eq!(desk.waiting.len(), 3);
    let before = desk.records.clone();
    for _ in 0..3 {
        // It is stored, but the answer is not known.
        let commit = desk.waiting.front().cloned().expect("a commit");
        let mut out = Vec::new();
        desk.stores(&commit);
        desk.registry
            .committed(desk.now, commit.op, CommitOutcome::Indeterminate, &mut out);
        desk.waiting.pop_front();
        desk.take(out);
    }
    assert_ne!(desk.records, before);
    let said = desk.said();
    for number in 3..=6 {
        let refused = format!("{number}: 503 | Retry-After: 5");
        assert!(said.contains(&refused), "{said:?}");
    }
    // It is asked again under the same numbers.
    desk.mood = StoreMood::Prompt;
    desk.strict = false;
    desk.pass(5_000);
    // But for the CSeq of the refused SUBSCRIBE, which is used up.
    assert!(desk.records.keys().eq(before.keys()));
    let publication = before.keys().next().expect("a publication");
    assert_eq!(desk.records[publication].1, before[publication].1);
    desk.happened();
    desk.strict = true;
    desk.publish("SIP-If-Match: etag1", "");
    assert_eq!(desk.said(), ["7: 200 | Expires: 3600 | SIP-ETag: etag2"]);
    desk.subscribe(&format!("{WITHIN}|Expires: 0"));
    assert!(desk.said()[0].starts_with("8: 200 "));
}

#[test]
fn the_next_request_has_the_store_asked_again_and_waits_for_that_alone() {
    let mut desk = slow();
    desk.publish("", &pidf("open", ""));
    desk.store_answers(None);
    desk.publish("SIP-If-Match: etag1", "");
    let op = desk.waiting[0].op;
    desk.store_answers(Some(CommitOutcome::Indeterminate));
    desk.happened();
    desk.publish("SIP-If-Match: etag1", "");
    assert_eq!(desk.happened(), ["store +publication v2"]);
    assert_eq!(desk.waiting[0].op, op);
    // Still nobody knows.
    desk.store_answers(Some(CommitOutcome::Unavailable));
    assert_eq!(desk.happened(), ["3: 503 | Retry-After: 5"]);
    desk.publish("SIP-If-Match: etag1", "");
    desk.store_answers(None);
    // It is stored now, and taken back; then the request that waits is decided from the rows.
    desk.store_answers(None);
    desk.store_answers(None);
    assert_eq!(
        desk.happened(),
        [
            "store +publication v2",
            "store +publication v3",
            "store +publication v4",
            "4: 200 | Expires: 3600 | SIP-ETag: etag2"
        ]
    );
}
