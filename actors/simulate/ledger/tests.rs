use super::*;

const BOB: &str = "sip:bob@example.com";

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn open(version: u64) -> Option<(u64, String)> {
    Some((version, "open".to_owned()))
}

fn ledger() -> Ledger {
    let mut ledger = Ledger::new(at(0));
    ledger.said(at(10), BOB, 1, "open".to_owned());
    ledger.said(at(20), BOB, 2, "open".to_owned());
    ledger
}

fn broken(ledger: &Ledger) -> Vec<Invariant> {
    ledger
        .verdict()
        .iter()
        .map(|violation| violation.invariant)
        .collect()
}

#[test]
fn a_watcher_that_was_shown_the_last_word_is_right() {
    let mut ledger = ledger();
    ledger.shown(at(15), 1, BOB, open(1));
    ledger.shown(at(25), 1, BOB, open(2));
    ledger.settle(at(30));
    assert_eq!(broken(&ledger), []);
    assert_eq!(ledger.latency().len(), 2);
    assert_eq!(ledger.latency().max(), 5);
}

#[test]
fn a_watcher_behind_the_last_word_breaks_convergence() {
    let mut ledger = ledger();
    ledger.watches(2, BOB);
    ledger.shown(at(15), 1, BOB, open(1));
    ledger.settle(at(30));
    assert_eq!(
        broken(&ledger),
        [Invariant::Convergence, Invariant::Convergence]
    );
}

#[test]
fn a_state_nobody_said_is_made_up() {
    let mut ledger = ledger();
    ledger.shown(at(25), 1, BOB, open(3));
    assert_eq!(broken(&ledger), [Invariant::NothingMadeUp]);
}

#[test]
fn a_version_that_is_shown_as_another_state_is_made_up() {
    let mut ledger = ledger();
    ledger.shown(at(25), 1, BOB, Some((2, "open busy".to_owned())));
    assert_eq!(broken(&ledger), [Invariant::NothingMadeUp]);
}

#[test]
fn a_watcher_that_is_shown_nothing_in_the_end_breaks_convergence() {
    let mut ledger = ledger();
    ledger.shown(at(25), 1, BOB, open(2));
    ledger.shown(at(26), 1, BOB, None);
    ledger.settle(at(30));
    assert_eq!(broken(&ledger), [Invariant::Convergence]);
}

#[test]
fn an_older_state_after_a_newer_one_is_seen() {
    let mut ledger = ledger();
    ledger.shown(at(25), 1, BOB, open(2));
    ledger.shown(at(26), 1, BOB, open(1));
    assert_eq!(broken(&ledger), [Invariant::VersionsGrow]);
}

#[test]
fn a_cseq_used_again_is_seen_but_a_retransmission_is_none() {
    let mut ledger = ledger();
    ledger.notify_sent(at(1), 10, "c", "t", 1, "a");
    ledger.notify_sent(at(2), 11, "c", "t", 1, "a");
    ledger.notify_sent(at(3), 12, "c", "t", 2, "b");
    ledger.settle(at(4));
    assert_eq!(broken(&ledger), []);
    ledger.notify_sent(at(5), 13, "c", "t", 2, "d");
    assert_eq!(broken(&ledger), [Invariant::CseqGrows]);
}

#[test]
fn a_cseq_that_falls_is_seen_whatever_order_the_network_delivers_in() {
    let mut ledger = ledger();
    ledger.notify_sent(at(1), 11, "c", "t", 2, "b");
    ledger.notify_sent(at(2), 10, "c", "t", 1, "a");
    ledger.settle(at(3));
    assert_eq!(broken(&ledger), []);
    ledger.notify_sent(at(4), 9, "c", "t", 3, "d");
    ledger.settle(at(5));
    assert_eq!(broken(&ledger), [Invariant::CseqGrows]);
}

#[test]
fn an_entity_tag_given_to_two_requests_is_seen() {
    let mut ledger = ledger();
    ledger.entity_tag(at(1), "x", "c", 1);
    ledger.entity_tag(at(2), "x", "c", 1);
    assert_eq!(broken(&ledger), []);
    ledger.entity_tag(at(3), "x", "c", 2);
    assert_eq!(broken(&ledger), [Invariant::EntityTagOnce]);
}

#[test]
fn each_message_of_a_source_is_answered_once() {
    let mut ledger = ledger();
    ledger.offered(1, 1, 1);
    ledger.offered(1, 1, 2);
    ledger.answered(at(5), 1, 1, 1);
    ledger.answered(at(6), 1, 1, 1);
    ledger.settle(at(7));
    assert_eq!(
        broken(&ledger),
        [Invariant::OneAnswer, Invariant::OneAnswer]
    );
}

#[test]
fn what_a_broken_session_did_not_answer_is_forgiven() {
    let mut ledger = ledger();
    ledger.offered(1, 1, 1);
    ledger.session_lost(1, 1);
    ledger.settle(at(7));
    assert_eq!(broken(&ledger), []);
}

#[test]
fn a_row_that_is_left_is_seen() {
    let mut ledger = ledger();
    ledger.left_over(at(9), "subscriptions", 0);
    assert_eq!(broken(&ledger), []);
    ledger.left_over(at(9), "publications", 3);
    assert_eq!(broken(&ledger), [Invariant::NothingLeft]);
}

#[test]
fn work_that_there_is_no_reason_for_is_a_breach() {
    let mut ledger = Ledger::new(Timestamp::from_millis(0));
    ledger.worked(Timestamp::from_millis(1), 10, 10);
    assert_eq!(ledger.verdict(), []);
    ledger.worked(Timestamp::from_millis(1), 11, 10);
    let broken = ledger.verdict().iter().map(|found| found.invariant);
    assert_eq!(broken.collect::<Vec<_>>(), [Invariant::BoundedWork]);
}
