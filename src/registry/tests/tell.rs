//! NOTIFY: one in flight, the latest state wins, and what its answers do (RFC 6665, 4.2.2; RFC 3856, 6.10).
//!
//! ```text
//! publisher                registry                 alice
//!     | -- PUBLISH open ----> | -- NOTIFY open ------> |   (no answer yet)
//!     | -- PUBLISH busy ----> |                        |   nothing sent
//!     | -- PUBLISH away ----> |                        |   nothing sent
//!     |                       | <--------------- 200 - |
//!     |                       | -- NOTIFY away ------> |   once, the latest
//! ```

use std::time::Duration;

use crate::exchange::OutcomeResult;
use crate::registry::Settings;
use crate::registry::testing::{Desk, pidf};

const WITHIN: &str = "To: <sip:bob@example.com>;tag=our1";

/// A desk with a watcher that has been told of nothing yet.
fn watched() -> Desk {
    watched_with(Settings::default())
}

fn watched_with(settings: Settings) -> Desk {
    let mut desk = Desk::with(settings);
    desk.subscribe("");
    desk.answer("200 OK");
    desk.happened();
    desk
}

/// CSeq and state of the NOTIFYs among what was said, e.g. `2 open`.
fn notifies(desk: &mut Desk) -> Vec<String> {
    let said = desk.said();
    let notifies = said.iter().filter(|line| line.starts_with("NOTIFY"));
    notifies
        .map(|line| {
            let (_, rest) = line.split_once("CSeq: ").expect("a CSeq");
            let (cseq, rest) = rest.split_once(" NOTIFY").expect("a CSeq of NOTIFY");
            let (_, body) = rest.split_once(" = ").expect("a body");
            let end = if rest.contains("terminated") {
                " end"
            } else {
                ""
            };
            format!("{cseq} {body}{end}")
        })
        .collect()
}

#[test]
fn a_change_during_a_notify_is_sent_once_after_its_answer() {
    let mut desk = watched();
    desk.publish("", &pidf("open", "first"));
    assert_eq!(notifies(&mut desk), ["2 open first"]);
    desk.publish("SIP-If-Match: etag1", &pidf("open", "busy"));
    desk.publish("SIP-If-Match: etag2", &pidf("open", "away"));
    assert_eq!(notifies(&mut desk), Vec::<String>::new());
    desk.answer("200 OK");
    assert_eq!(notifies(&mut desk), ["3 open away"]);
    desk.answer("200 OK");
    assert_eq!(notifies(&mut desk), Vec::<String>::new());
    assert_eq!(desk.registry.counters().coalesced, 2);
}

#[test]
fn a_change_that_is_taken_back_during_a_notify_is_not_told() {
    let mut desk = watched();
    desk.publish("", &pidf("open", ""));
    desk.publish("SIP-If-Match: etag1", &pidf("open", ""));
    desk.answer("200 OK");
    assert_eq!(notifies(&mut desk), ["2 open"]);
}

#[test]
fn a_refresh_during_a_notify_gets_its_own_after_the_answer() {
    let mut desk = watched();
    desk.publish("", &pidf("open", ""));
    desk.subscribe(WITHIN);
    assert_eq!(notifies(&mut desk), ["2 open"]);
    desk.answer("200 OK");
    assert_eq!(notifies(&mut desk), ["3 open"]);
}

#[test]
fn an_end_during_a_notify_is_told_after_the_answer() {
    let mut desk = watched();
    desk.publish("", &pidf("open", ""));
    desk.subscribe(&format!("{WITHIN}|Expires: 0"));
    assert_eq!(notifies(&mut desk), ["2 open"]);
    desk.subscribe(WITHIN);
    assert_eq!(desk.said(), ["4: 481"]);
    desk.answer("200 OK");
    assert_eq!(notifies(&mut desk), ["3 open end"]);
    assert_eq!(desk.registry.snapshot(1).subscription_count, 0);
}

#[test]
fn every_watcher_is_told_and_one_that_fails_does_not_stop_the_others() {
    let mut desk = watched();
    for number in 2..=4 {
        desk.subscribe(&format!("Call-ID: call{number}"));
        desk.answer("200 OK");
    }
    desk.happened();
    desk.publish("", &pidf("open", ""));
    assert_eq!(notifies(&mut desk), ["2 open"; 4]);
    desk.answer("481 Gone");
    desk.ends(OutcomeResult::TransportError("refused".to_owned()));
    desk.answer("200 OK");
    desk.answer("500 Trouble");
    desk.happened();
    desk.publish("SIP-If-Match: etag1", &pidf("closed", ""));
    assert_eq!(notifies(&mut desk), ["3 closed", "3 closed"]);
    // The one that could not be reached is tried again.
    desk.pass(5_000);
    assert_eq!(notifies(&mut desk), ["3 closed"]);
    assert_eq!(desk.registry.snapshot(1).subscription_count, 3);
}

/// A crowd of watchers, each in a call of its own.
fn crowd(size: usize) -> Desk {
    let mut desk = Desk::new();
    for number in 0..size {
        desk.subscribe(&format!("Call-ID: call{number}"));
        desk.answer("200 OK");
    }
    desk.happened();
    desk
}

#[test]
fn a_crowd_is_told_in_portions() {
    let mut desk = crowd(600);
    desk.publish("", &pidf("open", ""));
    assert_eq!(notifies(&mut desk).len(), 256);
    desk.pass(1);
    assert_eq!(notifies(&mut desk).len(), 256);
    desk.pass(1);
    assert_eq!(notifies(&mut desk).len(), 88);
    while !desk.in_flight.is_empty() {
        desk.answer("200 OK");
    }
    desk.pass(1_000);
    assert_eq!(notifies(&mut desk), Vec::<String>::new());
}

#[test]
fn who_comes_goes_or_changes_while_a_crowd_is_told_makes_nobody_miss_the_latest_state() {
    let mut desk = crowd(600);
    desk.publish("", &pidf("open", "early"));
    // Some of the first portion leave, and the last ones, which were told, take their places.
    for _ in 0..100 {
        desk.answer("481 Gone");
    }
    desk.pass(1);
    desk.subscribe("Call-ID: late");
    desk.publish("SIP-If-Match: etag1", &pidf("open", "later"));
    for _ in 0..20 {
        desk.pass(1);
        while !desk.in_flight.is_empty() {
            desk.answer("200 OK");
        }
    }
    let mut last = std::collections::BTreeMap::new();
    for line in desk.said().iter().filter(|line| line.starts_with("NOTIFY")) {
        let (_, rest) = line.split_once("Call-ID: ").expect("a Call-ID");
        let (call, _) = rest.split_once(' ').expect("more");
        last.insert(call.to_owned(), line.ends_with("= open later"));
    }
    assert_eq!(last.len(), 601);
    assert_eq!(last.values().filter(|latest| **latest).count(), 501);
    assert_eq!(desk.registry.snapshot(1).subscription_count, 501);
}

#[test]
fn the_listed_failures_remove_the_subscription_without_a_word() {
    for status in [
        404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604,
    ] {
        let mut desk = watched();
        desk.publish("", &pidf("open", ""));
        desk.happened();
        desk.answer(&format!("{status} No"));
        assert_eq!(desk.happened(), ["store -subscription v2"], "{status}");
        assert_eq!(desk.registry.snapshot(1).subscription_count, 0);
    }
}

#[test]
fn other_failures_keep_it_and_do_not_repeat_what_was_refused() {
    for status in [400, 401, 403, 406, 486, 500, 503, 600, 603, 302] {
        let mut desk = watched();
        desk.publish("", &pidf("open", ""));
        desk.happened();
        desk.answer(&format!("{status} No"));
        assert_eq!(desk.happened(), Vec::<String>::new(), "{status}");
        desk.publish("SIP-If-Match: etag1", &pidf("closed", ""));
        assert_eq!(notifies(&mut desk), ["3 closed"], "{status}");
    }
}

#[test]
fn a_timeout_is_tolerated_once_with_another_try_and_the_next_one_is_the_end() {
    let mut desk = watched();
    desk.publish("", &pidf("open", ""));
    desk.happened();
    desk.ends(OutcomeResult::Timeout);
    assert_eq!(notifies(&mut desk), ["3 open"]);
    desk.answer("408 Request Timeout");
    assert_eq!(desk.happened(), ["store -subscription v2"]);
}

#[test]
fn an_answer_in_between_forgives_earlier_timeouts() {
    let mut desk = watched();
    desk.publish("", &pidf("open", ""));
    desk.ends(OutcomeResult::Timeout);
    desk.answer("200 OK");
    desk.publish("SIP-If-Match: etag1", &pidf("closed", ""));
    desk.happened();
    desk.ends(OutcomeResult::Timeout);
    assert_eq!(notifies(&mut desk), ["5 closed"]);
}

#[test]
fn a_busy_watcher_is_left_in_peace_until_the_time_it_named() {
    let mut desk = watched();
    desk.publish("", &pidf("open", ""));
    desk.happened();
    desk.answer("503 Busy\r\nRetry-After: 10");
    desk.publish("SIP-If-Match: etag1", &pidf("closed", ""));
    desk.pass(9_999);
    assert_eq!(notifies(&mut desk), Vec::<String>::new());
    desk.pass(1);
    assert_eq!(notifies(&mut desk), ["3 closed"]);
}

/// RFC 6665, 4.2.1.2: a NOTIFY at once, whatever pause is going on; and the pause is over with it.
#[test]
fn a_subscribe_is_followed_by_its_notify_even_while_one_is_put_off() {
    let busy: fn(&mut Desk) = |desk| desk.answer("503 Busy\r\nRetry-After: 3600");
    let unreachable: fn(&mut Desk) =
        |desk| desk.ends(OutcomeResult::TransportError("refused".to_owned()));
    for put_off in [busy, unreachable] {
        let mut desk = watched();
        desk.publish("", &pidf("open", ""));
        put_off(&mut desk);
        desk.happened();
        desk.pass(1_000);
        desk.subscribe(WITHIN);
        assert_eq!(notifies(&mut desk), ["3 open"]);
        desk.answer("200 OK");
        desk.publish("SIP-If-Match: etag1", &pidf("closed", ""));
        assert_eq!(notifies(&mut desk), ["4 closed"]);
        desk.answer("200 OK");
        desk.pass(10_000);
        assert_eq!(notifies(&mut desk), Vec::<String>::new());
    }
}

#[test]
fn an_answer_that_is_not_awaited_changes_nothing() {
    let mut desk = watched();
    desk.publish("", &pidf("open", ""));
    let sent = desk.in_flight.front().expect("a NOTIFY").clone();
    desk.answer("200 OK");
    desk.happened();
    desk.in_flight.push_back(sent);
    desk.answer("481 Gone");
    assert_eq!(desk.happened(), Vec::<String>::new());
    assert_eq!(desk.registry.snapshot(1).subscription_count, 1);
}

#[test]
fn the_end_of_the_last_publication_is_told() {
    let mut desk = watched();
    desk.publish("Expires: 60", &pidf("open", ""));
    desk.answer("200 OK");
    desk.happened();
    desk.pass(60_000);
    assert_eq!(notifies(&mut desk), ["3 nothing"]);
}

#[test]
fn publications_of_several_devices_are_composed() {
    let mut desk = watched();
    desk.publish("Expires: 60", &pidf("open", "desk"));
    desk.answer("200 OK");
    desk.publish("", &pidf("closed", "phone").replace("id=\"t\"", "id=\"u\""));
    desk.answer("200 OK");
    desk.pass(60_000);
    assert_eq!(
        notifies(&mut desk),
        ["2 open desk", "3 open desk,phone", "4 closed phone"]
    );
}

#[test]
fn something_timed_in_a_document_is_told_when_it_begins_and_ends() {
    let mut desk = watched();
    // The desk's clock starts at 1,000 s after 1970.
    let body = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
                xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"sip:bob@example.com\"><dm:person id=\"p\">\
                <r:activities from=\"1970-01-01T00:20:00Z\" until=\"1970-01-01T00:30:00Z\"><r:meeting/></r:activities>\
                </dm:person></presence>";
    desk.publish("", body);
    desk.answer("200 OK");
    assert_eq!(notifies(&mut desk), ["2 -"]);
    desk.pass(199_999);
    assert_eq!(notifies(&mut desk), Vec::<String>::new());
    desk.pass(1);
    desk.answer("200 OK");
    assert_eq!(notifies(&mut desk), ["3 - meeting"]);
    desk.pass(600_000);
    assert_eq!(notifies(&mut desk), ["4 -"]);
}

#[test]
fn with_pacing_the_first_change_is_told_at_once_and_later_ones_together() {
    let settings = Settings {
        pacing: Duration::from_secs(5),
        ..Settings::default()
    };
    let mut desk = watched_with(settings);
    desk.publish("", &pidf("open", "1"));
    desk.answer("200 OK");
    assert_eq!(notifies(&mut desk), ["2 open 1"]);
    desk.pass(1_000);
    desk.publish("SIP-If-Match: etag1", &pidf("open", "2"));
    desk.publish("SIP-If-Match: etag2", &pidf("open", "3"));
    desk.pass(3_999);
    assert_eq!(notifies(&mut desk), Vec::<String>::new());
    desk.pass(1);
    desk.answer("200 OK");
    assert_eq!(notifies(&mut desk), ["3 open 3"]);
    desk.pass(60_000);
    desk.publish("SIP-If-Match: etag3", &pidf("open", "4"));
    assert_eq!(notifies(&mut desk), ["4 open 4"]);
}

#[test]
fn pacing_does_not_hold_back_what_a_subscribe_asks_for_nor_forgets_the_others() {
    let settings = Settings {
        pacing: Duration::from_secs(5),
        ..Settings::default()
    };
    let mut desk = watched_with(settings);
    desk.publish("", &pidf("open", "1"));
    desk.answer("200 OK");
    desk.publish("SIP-If-Match: etag1", &pidf("open", "2"));
    desk.happened();
    desk.subscribe("Call-ID: call2");
    desk.answer("200 OK");
    assert_eq!(notifies(&mut desk), ["1 open 2"]);
    desk.pass(5_000);
    assert_eq!(notifies(&mut desk), ["3 open 2"]);
}

#[test]
fn nothing_is_composed_while_nobody_watches() {
    let mut desk = Desk::new();
    desk.publish("", &pidf("open", ""));
    desk.publish("SIP-If-Match: etag1", &pidf("closed", ""));
    assert_eq!(desk.registry.counters().composed, 0);
}
