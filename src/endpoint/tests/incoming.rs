//! Requests and their server transactions.

use super::*;
use crate::sip::Head;

const DELIVERED: [&str; 1] = ["deliver 1@0 PUBLISH sip:bob@example.com"];
const OK: [&str; 1] = ["udp to 127.0.0.1:5062 SIP/2.0 200 OK"];
const NOTHING: [&str; 0] = [];

#[test]
fn a_request_is_delivered_once_and_its_answer_repeated_until_timer_j() {
    let mut bench = Bench::new();
    let first = bench.receive(udp(5062), PUBLISH);
    assert_eq!(show(&first), DELIVERED);
    assert_eq!(
        show(&bench.receive(udp(5062), PUBLISH)),
        NOTHING,
        "absorbed while the module works"
    );
    let answer = sent(&bench.reply(Reply::new(delivered(&first), StatusCode::OK)));
    for _ in 0..2 {
        assert_eq!(sent(&bench.receive(udp(5062), PUBLISH)), answer);
    }
    assert_eq!(bench.pass(31_999), []);
    assert_eq!(
        sent(&bench.receive(udp(5062), PUBLISH)),
        answer,
        "Timer J is 64*T1 = 32 s"
    );
    bench.pass(1);
    assert_eq!(bench.endpoint.transactions(), (0, 0));
    assert_eq!(
        show(&bench.receive(udp(5062), PUBLISH)),
        DELIVERED,
        "now it is a new one"
    );
    let counters = bench.counters();
    assert_eq!(
        (
            counters.retransmissions_absorbed,
            counters.retransmissions_answered
        ),
        (1, 3)
    );
    assert_eq!((counters.delivered, counters.responses_sent), (2, 1));
}

#[test]
fn over_a_reliable_transport_nothing_is_kept_for_retransmissions() {
    let mut bench = Bench::new();
    let text = PUBLISH.replace("UDP", "TCP");
    let first = bench.receive(tcp(40_000, 1), &text);
    let shown = show(&bench.reply(Reply::new(delivered(&first), StatusCode::OK)));
    assert_eq!(shown, ["tcp to 127.0.0.1:40000 SIP/2.0 200 OK"]);
    assert_eq!(bench.endpoint.transactions(), (0, 0));
    // The one timer for all that are with modules stays, and finds nothing.
    assert_eq!(bench.pass(32_000), []);
    assert_eq!(bench.endpoint.next_wake(), None);
}

#[test]
fn a_request_that_its_module_never_answers_is_forgotten_without_a_408() {
    let mut bench = Bench::new();
    let first = bench.receive(udp(5062), PUBLISH);
    assert_eq!(bench.endpoint.in_flight(), 1);
    assert_eq!(bench.pass(32_000), []);
    assert_eq!(
        (bench.endpoint.in_flight(), bench.endpoint.transactions()),
        (0, (0, 0))
    );
    assert_eq!(
        show(&bench.reply(Reply::new(delivered(&first), StatusCode::OK))),
        NOTHING
    );
    assert_eq!(
        (bench.counters().unanswered, bench.counters().late_replies),
        (1, 1)
    );
}

#[test]
fn a_second_reply_is_not_sent() {
    let mut bench = Bench::new();
    let transaction = delivered(&bench.receive(udp(5062), PUBLISH));
    assert_eq!(
        show(&bench.reply(Reply::new(transaction, StatusCode::OK))),
        OK
    );
    assert_eq!(
        show(&bench.reply(Reply::new(transaction, StatusCode::NOT_FOUND))),
        NOTHING
    );
    let elsewhere = TransactionId {
        shard: 1,
        ..delivered(&bench.receive(udp(5063), PUBLISH))
    };
    assert_eq!(
        show(&bench.reply(Reply::new(elsewhere, StatusCode::OK))),
        NOTHING
    );
    assert_eq!(bench.counters().late_replies, 2);
}

#[test]
fn a_reply_carries_what_the_module_gave() {
    let settings = Settings {
        server_name: Some("rollcall/test".into()),
        ..Settings::default()
    };
    let mut bench = Bench::with(settings, table());
    let recorded = PUBLISH.replace("Event:", "Record-Route: <sip:p1;lr>\r\nEvent:");
    let transaction = delivered(&bench.receive(udp(5062), &recorded));
    let mut head = Head::new();
    head.other("SIP-ETag", "e1");
    let reply = Reply {
        reason: Some("Fine".into()),
        to_tag: Some("00abc".into()),
        copy_record_route: true,
        ..Reply::new(transaction, StatusCode::OK).head(head.finish())
    };
    let response = sent(&bench.reply(reply));
    assert!(response.starts_with("SIP/2.0 200 Fine\r\n"), "{response}");
    for (name, value) in [
        ("Via", "SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bKa"),
        ("From", "<sip:bob@example.com>;tag=a1"),
        ("To", "<sip:bob@example.com>;tag=00abc"),
        ("Call-ID", "c1"),
        ("CSeq", "7 PUBLISH"),
        ("Record-Route", "<sip:p1;lr>"),
        ("Server", "rollcall/test"),
        ("SIP-ETag", "e1"),
        ("Content-Length", "0"),
    ] {
        assert_eq!(header(&response, name), Some(value));
    }
}

/// Two Twinkles that were started in the same second have branch, Call-ID, From tag and CSeq in common.
#[test]
fn two_clients_with_the_same_random_numbers_are_both_served() {
    let mut bench = Bench::new();
    let alice = PUBLISH.replace("5062", "5072").replace("bob", "alice");
    let bobs = delivered(&bench.receive(udp(5062), PUBLISH));
    let alices = bench.receive(udp(5072), &alice);
    assert_eq!(show(&alices), ["deliver 1@0 PUBLISH sip:alice@example.com"]);
    let shown = show(&bench.reply(Reply::new(delivered(&alices), StatusCode::OK)));
    assert_eq!(shown, ["udp to 127.0.0.1:5072 SIP/2.0 200 OK"]);
    assert_eq!(
        show(&bench.reply(Reply::new(bobs, StatusCode::NOT_FOUND))),
        ["udp to 127.0.0.1:5062 SIP/2.0 404 Not Found"]
    );
    assert_eq!(
        show(&bench.receive(udp(5072), &alice)),
        ["udp to 127.0.0.1:5072 SIP/2.0 200 OK"]
    );
}

#[test]
fn two_clients_behind_two_translators_may_even_write_the_same_via() {
    let mut bench = Bench::new();
    let behind = PUBLISH.replace("127.0.0.1:5062", "127.1.1.1:5060;rport");
    let alice = behind.replace("bob", "alice");
    let bobs = delivered(&bench.receive(udp(6001), &behind));
    let alices = delivered(&bench.receive(udp(6002), &alice));
    assert_eq!(
        show(&bench.reply(Reply::new(bobs, StatusCode::OK))),
        ["udp to 127.0.0.1:6001 SIP/2.0 200 OK"]
    );
    assert_eq!(
        show(&bench.reply(Reply::new(alices, StatusCode::OK))),
        ["udp to 127.0.0.1:6002 SIP/2.0 200 OK"]
    );
}

#[test]
fn a_request_that_comes_on_two_ways_is_served_once_and_refused_once() {
    let mut bench = Bench::new();
    bench.receive(udp(5062), PUBLISH);
    let twin = PUBLISH.replace("bKa", "bKb");
    assert_eq!(
        show(&bench.receive(udp(5062), &twin)),
        ["udp to 127.0.0.1:5062 SIP/2.0 482 Loop Detected"]
    );
    let by_proxy = |port: u16, branch| {
        let proxy = format!("Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{branch}\r\nVia:");
        PUBLISH.replace("c1", "c2").replace("Via:", &proxy)
    };
    assert_eq!(
        show(&bench.receive(udp(5071), &by_proxy(5071, "p1"))),
        DELIVERED
    );
    let shown = show(&bench.receive(udp(5072), &by_proxy(5072, "p2")));
    assert_eq!(
        shown,
        ["udp to 127.0.0.1:5072 SIP/2.0 482 Loop Detected"],
        "the lowest Via is the same"
    );
}

#[test]
fn what_differs_in_more_than_its_branch_is_not_merged() {
    let twin = PUBLISH.replace("bKa", "bKb");
    for other in [
        twin.replace("CSeq: 7", "CSeq: 8"),
        twin.replace("a1", "a2"),
        twin.replace("c1", "c2"),
        twin.replace("PUBLISH", "SUBSCRIBE"),
        twin.replace("PUBLISH sip:bob", "PUBLISH sip:alice"),
        twin.replace(
            "To: <sip:bob@example.com>",
            "To: <sip:bob@example.com>;tag=00x",
        ),
        twin.replace("127.0.0.1:5062", "127.0.0.1:5072"),
    ] {
        let mut bench = Bench::new();
        bench.receive(udp(5062), PUBLISH);
        let shown = show(&bench.receive(udp(5062), &other));
        assert!(
            shown.len() == 1 && shown[0].starts_with("deliver"),
            "{shown:?}\n{other}"
        );
    }
}

#[test]
fn a_request_may_come_again_once_its_transaction_is_over() {
    let mut bench = Bench::new();
    bench.receive(udp(5062), PUBLISH);
    bench.pass(32_000);
    assert_eq!(
        show(&bench.receive(udp(5062), &PUBLISH.replace("bKa", "bKb"))),
        DELIVERED
    );
}

#[test]
fn without_a_branch_of_this_century_retransmissions_are_still_known() {
    for branch in ["", ";branch=z9hG4bK", ";branch=1"] {
        let mut bench = Bench::new();
        let old = PUBLISH.replace(";branch=z9hG4bKa", branch);
        let transaction = delivered(&bench.receive(udp(5062), &old));
        assert_eq!(show(&bench.receive(udp(5062), &old)), NOTHING);
        assert_eq!(
            show(&bench.reply(Reply::new(transaction, StatusCode::OK))),
            OK
        );
        assert_eq!(show(&bench.receive(udp(5062), &old)), OK);
        assert_eq!(
            show(&bench.receive(udp(5062), &old.replace("CSeq: 7", "CSeq: 8"))),
            DELIVERED
        );
    }
}

#[test]
fn over_the_limit_requests_get_503_and_those_in_dialogs_later() {
    let mut bench = Bench::with(
        Settings {
            max_in_flight: 2,
            ..Settings::default()
        },
        table(),
    );
    let numbered = |number: u32, tag: &str| {
        PUBLISH
            .replace("bKa", &format!("bK{number}"))
            .replace("c1", &format!("c{number}"))
            .replace(
                "To: <sip:bob@example.com>",
                &format!("To: <sip:bob@example.com>{tag}"),
            )
    };
    let first = delivered(&bench.receive(udp(5062), &numbered(1, "")));
    assert_eq!(show(&bench.receive(udp(5062), &numbered(2, ""))), DELIVERED);
    let refused = sent(&bench.receive(udp(5062), &numbered(3, "")));
    assert!(
        refused.starts_with("SIP/2.0 503 Service Unavailable\r\n"),
        "{refused}"
    );
    assert_eq!(header(&refused, "Retry-After"), Some("5"));
    for number in [4, 5] {
        assert_eq!(
            show(&bench.receive(udp(5062), &numbered(number, ";tag=00b"))),
            DELIVERED
        );
    }
    let refused = sent(&bench.receive(udp(5062), &numbered(6, ";tag=00b")));
    assert!(refused.starts_with("SIP/2.0 503 "), "{refused}");
    assert_eq!(
        show(&bench.receive(udp(5062), &numbered(1, ""))),
        NOTHING,
        "retransmissions cost nothing"
    );
    for number in [4, 5] {
        bench.receive(udp(5062), &numbered(number, ";tag=00b"));
    }
    bench.reply(Reply::new(first, StatusCode::OK));
    assert_eq!(bench.endpoint.in_flight(), 3);
    assert_eq!(bench.counters().answered, BTreeMap::from([(503, 2)]));
}

#[test]
fn observers_see_what_passed_the_checks_and_own_nothing() {
    let mut bench = Bench::with(Settings::default(), table().observer(OBSERVER, "ladder"));
    assert_eq!(
        show(&bench.receive(udp(5062), PUBLISH)),
        ["observe 9 PUBLISH", DELIVERED[0]]
    );
    assert_eq!(show(&bench.receive(udp(5062), PUBLISH)), NOTHING);
    let shown = show(&bench.receive(udp(5062), &request("MESSAGE")));
    assert_eq!(
        shown,
        ["udp to 127.0.0.1:5062 SIP/2.0 405 Method Not Allowed"]
    );
}
