//! Promises of the circular buffer:
//!
//! - order of arrival is kept, and nobody starves;
//! - of one presentity only the newest state waits, and what it replaced ends with it;
//! - an entry leaves when its publication is finally answered, and not before;
//! - a full buffer gives no credit, or overwrites the oldest that waits;
//! - each sequence number ends in exactly one ACK or NAK.

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const LATER: Timestamp = Timestamp::from_millis(1_005_000);

fn state(entity: &str, seq: u64) -> Presence {
    Presence {
        seq: Some(seq),
        entity: entity.to_owned(),
        ..Presence::default()
    }
}

fn buffer(capacity: usize, overflow: Overflow) -> Buffer {
    let mut buffer = Buffer::new(Settings {
        capacity,
        overflow,
        ..Settings::default()
    });
    buffer.session(Some("run 1"), &mut Vec::new());
    buffer
}

fn offer(buffer: &mut Buffer, entity: &str, seq: u64) -> Vec<Effect> {
    let mut out = Vec::new();
    buffer.offer(state(entity, seq), &mut out);
    out
}

fn take(buffer: &mut Buffer, now: Timestamp, room: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    buffer.take(now, room, &mut entries);
    entries
}

/// The sequence numbers of the states taken.
fn seqs(entries: &[Entry]) -> Vec<u64> {
    entries
        .iter()
        .filter_map(|entry| entry.presence.seq)
        .collect()
}

fn done(buffer: &mut Buffer, entry: &Entry, outcome: Outcome) -> Vec<Effect> {
    let mut out = Vec::new();
    buffer.done(entry.id, outcome, &mut out);
    out
}

fn published(etag: &str) -> Outcome {
    Outcome::Published {
        etag: Some(etag.to_owned()),
    }
}

fn ack(seq: u64, etag: &str) -> Effect {
    Effect::Ack(Ack {
        seq,
        etag: Some(etag.to_owned()),
    })
}

fn nak(seq: u64, code: u16, reason: &str) -> Effect {
    Effect::Nak(Nak {
        seq,
        code,
        reason: reason.to_owned(),
    })
}

#[test]
fn entries_are_taken_in_the_order_in_which_they_came_and_as_many_as_there_is_room_for() {
    let mut buffer = buffer(64, Overflow::Block);
    for (seq, name) in ["sip:c@x", "sip:a@x", "sip:b@x"].iter().enumerate() {
        offer(&mut buffer, name, seq as u64);
    }
    assert_eq!(seqs(&take(&mut buffer, NOW, 2)), [0, 1]);
    assert_eq!(seqs(&take(&mut buffer, NOW, 2)), [2]);
    assert_eq!(seqs(&take(&mut buffer, NOW, 2)), []);
    assert_eq!((buffer.len(), buffer.in_flight()), (3, 3));
}

#[test]
fn a_newer_state_replaces_a_waiting_one_in_place_and_both_end_with_it() {
    let mut buffer = buffer(64, Overflow::Block);
    offer(&mut buffer, "sip:alice@x", 1);
    offer(&mut buffer, "sip:bob@x", 2);
    // The same presentity, written otherwise.
    offer(&mut buffer, "pres:alice@X;user=phone", 3);
    let entries = take(&mut buffer, NOW, 8);
    assert_eq!(seqs(&entries), [3, 2]);
    assert_eq!(entries[0].aor, "sip:alice@x");
    assert_eq!(
        done(&mut buffer, &entries[0], published("e1")),
        [ack(1, "e1"), ack(3, "e1")]
    );
    assert_eq!(buffer.counters().coalesced, 1);
}

#[test]
fn a_state_that_comes_while_its_presentity_is_being_published_waits_for_the_answer() {
    let mut buffer = buffer(64, Overflow::Block);
    offer(&mut buffer, "sip:alice@x", 1);
    let first = take(&mut buffer, NOW, 8);
    offer(&mut buffer, "sip:alice@x", 2);
    offer(&mut buffer, "sip:alice@x", 3);
    assert_eq!(take(&mut buffer, NOW, 8), []);
    assert_eq!(buffer.len(), 1);
    assert_eq!(
        done(&mut buffer, &first[0], published("e1")),
        [ack(1, "e1")]
    );
    let second = take(&mut buffer, NOW, 8);
    assert_eq!(seqs(&second), [3]);
    let refused = Outcome::Refused {
        code: 403,
        reason: "Forbidden".to_owned(),
    };
    assert_eq!(
        done(&mut buffer, &second[0], refused),
        [nak(2, 403, "Forbidden"), nak(3, 403, "Forbidden")]
    );
    assert!(buffer.is_empty());
}

#[test]
fn a_presentity_that_never_rests_goes_behind_the_others() {
    let mut buffer = buffer(64, Overflow::Block);
    offer(&mut buffer, "sip:hot@x", 1);
    offer(&mut buffer, "sip:cold@x", 2);
    let hot = take(&mut buffer, NOW, 1);
    offer(&mut buffer, "sip:hot@x", 3);
    done(&mut buffer, &hot[0], published("e1"));
    assert_eq!(seqs(&take(&mut buffer, NOW, 1)), [2]);
}

#[test]
fn an_outcome_is_taken_once() {
    let mut buffer = buffer(64, Overflow::Block);
    offer(&mut buffer, "sip:alice@x", 1);
    let entry = take(&mut buffer, NOW, 1).remove(0);
    assert_eq!(done(&mut buffer, &entry, published("e1")), [ack(1, "e1")]);
    assert_eq!(done(&mut buffer, &entry, published("e1")), []);
}

#[test]
fn a_full_buffer_that_blocks_gives_no_credit_until_an_entry_has_left() {
    let mut buffer = Buffer::new(Settings {
        capacity: 2,
        ..Settings::default()
    });
    let mut out = Vec::new();
    buffer.session(Some("run 1"), &mut out);
    assert_eq!(out, [Effect::Credit(2)]);
    assert_eq!(offer(&mut buffer, "sip:a@x", 1), []);
    assert_eq!(offer(&mut buffer, "sip:b@x", 2), []);
    assert_eq!(buffer.credit(), 0);
    let entries = take(&mut buffer, NOW, 1);
    assert_eq!(
        buffer.credit(),
        0,
        "an entry being published keeps its slot"
    );
    assert_eq!(
        done(&mut buffer, &entries[0], published("e1")),
        [ack(1, "e1"), Effect::Credit(1)]
    );
}

#[test]
fn a_state_that_replaced_another_gives_its_credit_back() {
    let mut buffer = buffer(2, Overflow::Block);
    assert_eq!(offer(&mut buffer, "sip:a@x", 1), []);
    assert_eq!(offer(&mut buffer, "sip:a@x", 2), [Effect::Credit(1)]);
}

#[test]
fn what_comes_without_credit_into_a_full_buffer_is_refused() {
    let mut buffer = buffer(1, Overflow::Block);
    offer(&mut buffer, "sip:a@x", 1);
    assert_eq!(
        offer(&mut buffer, "sip:b@x", 2),
        [nak(2, 0, "the publish buffer is full")]
    );
    assert_eq!(buffer.counters().refused_full, 1);
}

#[test]
fn a_full_buffer_that_overwrites_refuses_the_oldest_state_that_is_not_being_published() {
    let mut buffer = buffer(2, Overflow::Overwrite);
    offer(&mut buffer, "sip:a@x", 1);
    let a = take(&mut buffer, NOW, 1);
    offer(&mut buffer, "sip:b@x", 2);
    offer(&mut buffer, "sip:b@x", 3);
    let why = "overwritten in a full publish buffer";
    let lost: Vec<_> = offer(&mut buffer, "sip:c@x", 4)
        .into_iter()
        .filter(|effect| !matches!(effect, Effect::Credit(_)))
        .collect();
    assert_eq!(lost, [nak(2, 0, why), nak(3, 0, why)]);
    assert_eq!(seqs(&take(&mut buffer, NOW, 8)), [4]);
    assert_eq!(buffer.counters().overwritten, 1);
    let settled = done(&mut buffer, &a[0], published("e1"));
    assert_eq!(settled[0], ack(1, "e1"));
}

#[test]
fn a_buffer_that_overwrites_refuses_the_newcomer_when_all_are_being_published() {
    let mut buffer = buffer(1, Overflow::Overwrite);
    offer(&mut buffer, "sip:a@x", 1);
    take(&mut buffer, NOW, 1);
    let effects = offer(&mut buffer, "sip:b@x", 2);
    assert_eq!(effects[0], nak(2, 0, "the publish buffer is full"));
}

#[test]
fn a_deferred_entry_keeps_its_place_and_is_not_taken_before_its_time() {
    let mut buffer = buffer(64, Overflow::Block);
    offer(&mut buffer, "sip:a@x", 1);
    offer(&mut buffer, "sip:b@x", 2);
    let a = take(&mut buffer, NOW, 1);
    assert_eq!(
        done(&mut buffer, &a[0], Outcome::Deferred { until: LATER }),
        []
    );
    assert_eq!(buffer.next_wake(), Some(LATER));
    offer(&mut buffer, "sip:c@x", 3);
    assert_eq!(seqs(&take(&mut buffer, NOW, 1)), [2]);
    assert_eq!(seqs(&take(&mut buffer, LATER, 8)), [1, 3]);
    assert_eq!(buffer.next_wake(), None);
}

#[test]
fn a_newer_state_replaces_a_deferred_one_and_waits_as_long() {
    let mut buffer = buffer(64, Overflow::Block);
    offer(&mut buffer, "sip:a@x", 1);
    let entries = take(&mut buffer, NOW, 1);
    // One comes during the attempt, another after it has failed.
    offer(&mut buffer, "sip:a@x", 2);
    done(&mut buffer, &entries[0], Outcome::Deferred { until: LATER });
    offer(&mut buffer, "sip:a@x", 3);
    assert_eq!(take(&mut buffer, NOW, 8), []);
    let entries = take(&mut buffer, LATER, 8);
    assert_eq!(seqs(&entries), [3]);
    let settled = done(&mut buffer, &entries[0], published("e1"));
    assert_eq!(settled, [ack(1, "e1"), ack(2, "e1"), ack(3, "e1")]);
    assert_eq!(buffer.counters().coalesced, 2);
}

#[test]
fn deferred_entries_may_be_taken_at_once_when_the_server_answers_again() {
    let mut buffer = buffer(64, Overflow::Block);
    offer(&mut buffer, "sip:a@x", 1);
    let entries = take(&mut buffer, NOW, 1);
    done(&mut buffer, &entries[0], Outcome::Deferred { until: LATER });
    buffer.release_all();
    assert_eq!(buffer.next_wake(), None);
    assert_eq!(seqs(&take(&mut buffer, NOW, 1)), [1]);
}

#[test]
fn a_message_sent_again_after_a_reconnect_is_acknowledged_once() {
    let mut buffer = buffer(64, Overflow::Block);
    offer(&mut buffer, "sip:a@x", 1);
    offer(&mut buffer, "sip:b@x", 2);
    let a = take(&mut buffer, NOW, 1);
    buffer.session(Some("run 1"), &mut Vec::new());
    offer(&mut buffer, "sip:a@x", 1);
    offer(&mut buffer, "sip:b@x", 2);
    assert_eq!(buffer.counters().duplicates, 2);
    assert_eq!(done(&mut buffer, &a[0], published("e1")), [ack(1, "e1")]);
    let b = take(&mut buffer, NOW, 8);
    assert_eq!(seqs(&b), [2]);
    assert_eq!(done(&mut buffer, &b[0], published("e2")), [ack(2, "e2")]);
}

#[test]
fn numbers_of_an_earlier_run_of_the_manager_are_not_acknowledged_to_the_next() {
    let mut buffer = buffer(64, Overflow::Block);
    offer(&mut buffer, "sip:a@x", 1);
    let a = take(&mut buffer, NOW, 1);
    buffer.session(Some("run 2"), &mut Vec::new());
    // The new run counts from the start, too: this is another message.
    offer(&mut buffer, "sip:a@x", 1);
    assert_eq!(done(&mut buffer, &a[0], published("e1")), []);
    assert_eq!(buffer.counters().forgotten, 1);
    let a = take(&mut buffer, NOW, 1);
    assert_eq!(done(&mut buffer, &a[0], published("e2")), [ack(1, "e2")]);
}

#[test]
fn what_is_no_presentity_is_refused() {
    let mut buffer = buffer(64, Overflow::Block);
    let why = "the entity is not a sip, sips or pres URI";
    for (seq, entity) in ["", "tel:+1234", "alice", "sip:", "sip:a b@x", "im:alice@x"]
        .iter()
        .enumerate()
    {
        let effects = offer(&mut buffer, entity, seq as u64);
        assert_eq!(effects[0], nak(seq as u64, 0, why), "{entity}");
    }
    assert!(buffer.is_empty());
}

#[test]
fn a_state_without_a_number_is_published_and_not_acknowledged() {
    let mut buffer = buffer(64, Overflow::Block);
    let mut out = Vec::new();
    buffer.offer(
        Presence {
            entity: "sip:a@x".to_owned(),
            ..Presence::default()
        },
        &mut out,
    );
    let entries = take(&mut buffer, NOW, 1);
    assert_eq!(entries.len(), 1);
    assert_eq!(done(&mut buffer, &entries[0], published("e1")), []);
}

#[test]
fn a_presentity_that_changes_all_day_behind_a_dead_server_does_not_fill_the_memory() {
    let mut buffer = buffer(64, Overflow::Block);
    let most = slot::MOST_SEQS as u64;
    let mut out = Vec::new();
    for seq in 0..=most {
        buffer.offer(state("sip:a@x", seq), &mut out);
    }
    let entry = take(&mut buffer, NOW, 1).remove(0);
    buffer.done(entry.id, published("e1"), &mut out);
    out.retain(|effect| !matches!(effect, Effect::Credit(_)));
    assert_eq!(out.remove(0), nak(0, 0, "superseded by newer states"));
    assert!(out == (1..=most).map(|seq| ack(seq, "e1")).collect::<Vec<_>>());
}

#[test]
fn a_state_of_another_domain_is_refused() {
    let settings = Settings {
        domains: vec!["example.com".to_owned()],
        ..Settings::default()
    };
    let mut buffer = Buffer::new(settings);
    buffer.session(Some("run 1"), &mut Vec::new());
    assert_eq!(offer(&mut buffer, "sip:a@Example.COM", 1), []);
    let effects = offer(&mut buffer, "sip:a@example.org", 2);
    assert_eq!(
        effects,
        [nak(2, 0, "this client does not publish for example.org")]
    );
    assert_eq!(buffer.counters().refused_domain, 1);
}
