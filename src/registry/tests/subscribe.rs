//! SUBSCRIBE at the registry (RFC 6665, 4.2.1).

use crate::exchange::{Identity, Transport};
use crate::registry::testing::{Desk, flow, pidf};
use crate::registry::{Limits, Settings};

/// What all NOTIFYs of the desk's dialogs have in common.
fn notify(rest: &str) -> String {
    notify_in("our1", rest)
}

fn notify_in(tag: &str, rest: &str) -> String {
    format!(
        "NOTIFY sip:alice@127.0.0.1:5070 to 127.0.0.1:5070/udp | From: <sip:bob@example.com>;tag={tag} | \
         To: <sip:alice@example.com>;tag=a1 | Call-ID: call1 | Contact: <sip:127.0.0.1:5060;transport=udp> | {rest}"
    )
}

const OK: &str = "200 our1 rr | Expires: 3600 | Contact: <sip:127.0.0.1:5060;transport=udp>";
/// A request in the first dialog.
const WITHIN: &str = "To: <sip:bob@example.com>;tag=our1";

#[test]
fn a_subscription_is_stored_answered_and_told_the_state_at_once() {
    let mut desk = Desk::new();
    desk.publish("", &pidf("open", "here"));
    desk.happened();
    desk.subscribe("Expires: 600");
    assert_eq!(
        desk.happened(),
        [
            "store +subscription v1".to_owned(),
            "2: 200 our1 rr | Expires: 600 | Contact: <sip:127.0.0.1:5060;transport=udp>"
                .to_owned(),
            notify(
                "CSeq: 1 NOTIFY | Event: presence | Subscription-State: active;expires=600 = open here"
            ),
        ]
    );
}

#[test]
fn without_any_publication_the_notify_has_no_body() {
    let mut desk = Desk::new();
    desk.subscribe("");
    assert_eq!(
        desk.said(),
        [
            format!("1: {OK}"),
            notify(
                "CSeq: 1 NOTIFY | Event: presence | Subscription-State: active;expires=3600 = nothing"
            ),
        ]
    );
}

#[test]
fn without_any_publication_the_notify_can_be_made_to_say_closed() {
    let mut desk = Desk::with(Settings {
        offline_document: true,
        ..Settings::default()
    });
    desk.subscribe("");
    assert_eq!(
        desk.said()[1],
        notify(
            "CSeq: 1 NOTIFY | Event: presence | Subscription-State: active;expires=3600 = closed"
        )
    );
}

#[test]
fn a_refresh_extends_the_subscription_and_is_answered_by_a_notify() {
    let mut desk = Desk::new();
    desk.subscribe("Expires: 100");
    desk.answer("200 OK");
    desk.happened();
    desk.pass(99_999);
    desk.subscribe(&format!("{WITHIN}|Expires: 100"));
    desk.answer("200 OK");
    desk.pass(99_999);
    let state = "Event: presence | Subscription-State: ";
    assert_eq!(
        desk.happened(),
        [
            "store +subscription v2".to_owned(),
            format!("2: {}", OK.replace("3600", "100")),
            notify(&format!(
                "CSeq: 2 NOTIFY | {state}active;expires=100 = nothing"
            )),
        ]
    );
    desk.pass(1);
    assert_eq!(
        desk.happened(),
        [
            "store -subscription v3".to_owned(),
            notify(&format!(
                "CSeq: 3 NOTIFY | {state}terminated;reason=timeout = nothing"
            )),
        ]
    );
    assert_eq!(desk.registry.next_wake(), None);
    assert_eq!(desk.registry.snapshot(1).presentity_count, 0);
}

#[test]
fn a_refresh_that_asks_for_less_brings_the_end_forward() {
    let mut desk = Desk::new();
    desk.subscribe("Expires: 600");
    desk.answer("200 OK");
    desk.subscribe(&format!("{WITHIN}|Expires: 100"));
    desk.answer("200 OK");
    desk.happened();
    desk.pass(99_999);
    assert_eq!(desk.happened(), Vec::<String>::new());
    desk.pass(1);
    assert_eq!(desk.happened().len(), 2, "out of the store, and told");
    assert_eq!(desk.registry.next_wake(), None);
}

#[test]
fn the_end_told_counts_down_in_whole_seconds() {
    let mut desk = Desk::new();
    desk.subscribe("Expires: 100");
    desk.answer("200 OK");
    desk.happened();
    desk.pass(30_500);
    desk.publish("", &pidf("open", ""));
    assert!(desk.said()[1].contains("active;expires=70 = open"));
}

#[test]
fn an_unsubscribe_is_answered_and_told_the_last_state() {
    let mut desk = Desk::new();
    desk.publish("", &pidf("open", ""));
    desk.subscribe("");
    desk.answer("200 OK");
    desk.happened();
    desk.subscribe(&format!("{WITHIN}|Expires: 0"));
    assert_eq!(
        desk.happened(),
        [
            "store -subscription v2".to_owned(),
            format!("3: {}", OK.replace("3600", "0")),
            notify(
                "CSeq: 2 NOTIFY | Event: presence | Subscription-State: terminated;reason=timeout = open"
            ),
        ]
    );
    desk.answer("200 OK");
    desk.subscribe(WITHIN);
    assert_eq!(desk.happened(), ["4: 481"]);
}

#[test]
fn a_fetch_gets_the_state_once_and_leaves_nothing() {
    let mut desk = Desk::new();
    desk.publish("", &pidf("open", ""));
    desk.happened();
    desk.subscribe("Expires: 0");
    assert_eq!(
        desk.happened(),
        [
            format!("2: {}", OK.replace("3600", "0")),
            notify(
                "CSeq: 1 NOTIFY | Event: presence | Subscription-State: terminated;reason=timeout = open"
            ),
        ]
    );
    desk.answer("481 Unknown");
    assert_eq!(desk.happened(), Vec::<String>::new());
    assert_eq!(desk.registry.snapshot(1).subscription_count, 0);
}

#[test]
fn refusals_say_what_would_do() {
    let mut desk = Desk::new();
    desk.send(
        "SUBSCRIBE",
        "sip:bob@elsewhere.invalid",
        "Contact: <sip:a@127.0.0.1>",
        "",
    );
    desk.subscribe("Event: dialog");
    desk.subscribe("Event:");
    desk.subscribe("Accept: application/xpidf+xml, text/plain");
    desk.subscribe("Expires: 59");
    desk.send("SUBSCRIBE", "sip:bob@example.com", "", "");
    desk.subscribe("Contact: <sip:a@127.0.0.1>, <sip:b@127.0.0.1>");
    assert_eq!(
        desk.happened(),
        [
            "1: 404",
            "2: 489 | Allow-Events: presence",
            "3: 489 | Allow-Events: presence",
            "4: 406",
            "5: 423 | Min-Expires: 60",
            "6: 400",
            "7: 400"
        ]
    );
}

#[test]
fn accept_is_satisfied_by_the_type_itself_and_by_ranges() {
    let mut desk = Desk::new();
    for accept in ["application/pidf+xml", "text/plain, application/*", "*/*"] {
        desk.subscribe(&format!("Accept: {accept}"));
        let said = desk.said();
        assert!(said[0].contains(": 200 "), "{accept}: {said:?}");
    }
    desk.subscribe("Accept: text/*");
    assert_eq!(desk.said(), ["4: 406"]);
}

#[test]
fn a_dialog_that_is_not_ours_does_not_exist() {
    let mut desk = Desk::new();
    desk.subscribe("");
    desk.happened();
    let others = [
        "To: <sip:bob@example.com>;tag=03ffffffffffffffff",
        "To: <sip:bob@example.com>;tag=someone-else",
        "To: <sip:bob@example.com>;tag=our1|Call-ID: other",
        "To: <sip:bob@example.com>;tag=our1|From: <sip:alice@example.com>;tag=other",
    ];
    for lines in others {
        desk.subscribe(lines);
    }
    assert_eq!(desk.happened(), ["2: 481", "3: 481", "4: 481", "5: 481"]);
}

#[test]
fn a_lower_cseq_is_out_of_order_and_the_same_one_is_not() {
    let mut desk = Desk::new();
    desk.subscribe("CSeq: 10 SUBSCRIBE");
    desk.answer("200 OK");
    desk.happened();
    desk.subscribe(&format!("{WITHIN}|CSeq: 9 SUBSCRIBE"));
    desk.subscribe(&format!("{WITHIN}|CSeq: 10 SUBSCRIBE"));
    let said = desk.said();
    assert_eq!(said[..2], ["2: 500".to_owned(), format!("3: {OK}")]);
}

#[test]
fn a_refused_refresh_leaves_the_subscription_as_it_was() {
    let mut desk = Desk::new();
    desk.subscribe("Expires: 100");
    desk.answer("200 OK");
    desk.happened();
    desk.subscribe(&format!("{WITHIN}|Expires: 1"));
    assert_eq!(desk.happened(), ["2: 423 | Min-Expires: 60"]);
    desk.pass(99_999);
    assert_eq!(desk.happened(), Vec::<String>::new());
    desk.pass(1);
    assert_eq!(desk.said().len(), 1);
}

#[test]
fn the_route_set_is_kept_and_leads_the_notify() {
    let mut desk = Desk::new();
    // Anybody else is told where the request came from: see tests/egress.
    desk.identity = Identity::Trusted;
    let rr = "Record-Route: <sip:p1.example.com;lr>|Record-Route: <sip:p2.example.com;lr>";
    desk.subscribe(rr);
    let said = desk.said();
    assert_eq!(
        said[1],
        "NOTIFY sip:alice@127.0.0.1:5070 next hop within 65535 | Route: <sip:p1.example.com;lr> | Route: <sip:p2.example.com;lr> | \
         From: <sip:bob@example.com>;tag=our1 | To: <sip:alice@example.com>;tag=a1 | Call-ID: call1 | \
         Contact: <sip:127.0.0.1:5060;transport=udp> | CSeq: 1 NOTIFY | Event: presence | \
         Subscription-State: active;expires=3600 = nothing"
    );
    let sent = desk.in_flight.front().expect("a NOTIFY");
    assert_eq!(sent.first_route.as_deref(), Some("sip:p1.example.com;lr"));
}

#[test]
fn over_udp_behind_a_second_via_the_notify_goes_to_the_contact() {
    let mut desk = Desk::new();
    desk.subscribe("Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKother");
    assert!(desk.said()[1].starts_with("NOTIFY sip:alice@127.0.0.1:5070 next hop | From"));
}

#[test]
fn over_tcp_the_notify_takes_the_watchers_own_connection_and_follows_it() {
    let mut desk = Desk::new();
    let tcp = |remote| flow(remote, Transport::Tcp);
    let lines = "Contact: <sip:alice@127.0.0.1:5999;transport=tcp>";
    desk.send_over(
        tcp("127.0.0.1:40001"),
        "SUBSCRIBE",
        "sip:bob@example.com",
        lines,
        "",
    );
    desk.answer("200 OK");
    let said = desk.said();
    assert_eq!(
        said[0],
        "1: 200 our1 rr | Expires: 3600 | Contact: <sip:127.0.0.1:5060;transport=tcp>"
    );
    assert!(
        said[1].starts_with("NOTIFY sip:alice@127.0.0.1:5999;transport=tcp to 127.0.0.1:40001/tcp")
    );
    let lines = format!("{WITHIN}|{lines}");
    desk.send_over(
        tcp("127.0.0.1:40002"),
        "SUBSCRIBE",
        "sip:bob@example.com",
        &lines,
        "",
    );
    assert!(desk.said()[1].contains(" to 127.0.0.1:40002/tcp"));
}

#[test]
fn a_refresh_with_another_contact_moves_the_target_and_one_without_leaves_it() {
    let mut desk = Desk::new();
    desk.subscribe("");
    desk.answer("200 OK");
    desk.happened();
    desk.subscribe(&format!(
        "{WITHIN}|Contact: <sip:alice@127.0.0.1:6000?x=y>;expires=3"
    ));
    desk.answer("200 OK");
    desk.send("SUBSCRIBE", "sip:127.0.0.1:5060;transport=udp", WITHIN, "");
    let said = desk.said();
    assert!(
        said[1].starts_with("NOTIFY sip:alice@127.0.0.1:6000 to"),
        "{said:?}"
    );
    assert!(
        said[3].starts_with("NOTIFY sip:alice@127.0.0.1:6000 to"),
        "{said:?}"
    );
}

#[test]
fn the_contact_of_a_notify_answer_moves_the_target_too() {
    let mut desk = Desk::new();
    desk.subscribe("");
    desk.answer("200 OK\r\nContact: <sip:alice@127.0.0.1:6001>");
    desk.happened();
    desk.publish("", &pidf("open", ""));
    assert!(desk.said()[1].starts_with("NOTIFY sip:alice@127.0.0.1:6001 to"));
}

#[test]
fn two_subscriptions_in_one_dialog_are_told_apart_by_id_and_share_its_cseq() {
    let mut desk = Desk::new();
    desk.subscribe("Event: presence;id=1");
    desk.answer("200 OK");
    desk.subscribe(&format!("{WITHIN}|Event: presence;id=2"));
    desk.answer("200 OK");
    desk.happened();
    desk.publish("", &pidf("open", ""));
    let state = "Subscription-State: active;expires=3600 = open";
    let said = desk.said();
    assert_eq!(
        said[1],
        notify(&format!("CSeq: 3 NOTIFY | Event: presence;id=1 | {state}"))
    );
    assert_eq!(
        said[2],
        notify(&format!("CSeq: 4 NOTIFY | Event: presence;id=2 | {state}"))
    );
    desk.answer("200 OK");
    desk.answer("200 OK");
    desk.subscribe(&format!("{WITHIN}|Event: presence;id=1|Expires: 0"));
    desk.subscribe(&format!("{WITHIN}|Event: presence;id=1"));
    let said = desk.happened();
    assert_eq!(said[0], "store -subscription v2");
    assert!(said[2].contains("Event: presence;id=1 | Subscription-State: terminated"));
    // The dialog lives on with the other one, so id=1 may come again.
    assert_eq!(said[3], "store +subscription v1");
    assert_eq!(desk.registry.snapshot(1).subscription_count, 2);
}

#[test]
fn unsubscribing_an_id_that_is_not_there_is_481() {
    let mut desk = Desk::new();
    desk.subscribe("");
    desk.happened();
    desk.subscribe(&format!("{WITHIN}|Event: presence;id=9|Expires: 0"));
    assert_eq!(desk.happened(), ["2: 481"]);
}

#[test]
fn watchers_of_a_presentity_have_a_limit_and_a_fetch_is_still_served() {
    let limits = Limits {
        subscriptions: 1,
        ..Limits::default()
    };
    let mut desk = Desk::with(Settings {
        limits,
        ..Settings::default()
    });
    desk.subscribe("");
    desk.subscribe("Call-ID: call2");
    desk.subscribe("Call-ID: call3|Expires: 0");
    let said = desk.said();
    assert_eq!(said[2], "2: 403");
    assert!(said[3].starts_with("3: 200 "), "{said:?}");
}

/// The watcher would take the last NOTIFY of the old one for the end of the new one.
#[test]
fn a_subscription_that_is_ending_is_not_made_anew_in_its_dialog() {
    let mut desk = Desk::new();
    desk.subscribe("");
    desk.answer("200 OK");
    let second = format!("{WITHIN}|Event: presence;id=2");
    desk.subscribe(&format!("{second}|Expires: 60"));
    desk.pass(60_000);
    desk.happened();
    desk.subscribe(&second);
    assert_eq!(desk.said(), ["3: 481"]);
    desk.answer("200 OK");
    let said = desk.said();
    assert!(
        said[0].contains("Event: presence;id=2 | Subscription-State: terminated"),
        "{said:?}"
    );
    desk.subscribe(&second);
    assert!(desk.said()[0].starts_with("4: 200 "));
}
