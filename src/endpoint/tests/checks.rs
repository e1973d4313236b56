//! Each check of RFC 3261, 8.2, and what its failure is answered with.

use super::*;

/// What a request gets, when that is one response.
fn answer(text: &str) -> String {
    let mut bench = Bench::new();
    let text = sent(&bench.receive(udp(5062), text));
    assert_eq!(
        bench.endpoint.transactions(),
        (0, 0),
        "our own answers leave nothing behind"
    );
    text
}

fn status(text: &str) -> String {
    answer(text).lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_request_without_a_header_that_all_need_is_answered_400() {
    for name in ["From", "To", "Call-ID", "CSeq"] {
        let line = format!("{name}: {}\r\n", header(PUBLISH, name).expect("there"));
        let response = answer(&PUBLISH.replace(&line, ""));
        assert!(
            response.starts_with(&format!("SIP/2.0 400 Bad Request ({name}: ")),
            "{response}"
        );
    }
}

#[test]
fn a_request_with_a_malformed_header_that_all_need_is_answered_400() {
    for (good, bad) in [
        ("From: <sip:bob", "From: \"bob <sip:bob"),
        ("To: <sip:bob", "To: <<sip:bob"),
        ("CSeq: 7 ", "CSeq: seven "),
        ("CSeq: 7 ", "CSeq: 4294967296 "),
        ("Max-Forwards: 70", "Max-Forwards: many"),
        ("PUBLISH sip:bob@example.com", "PUBLISH sip:@"),
    ] {
        assert!(
            status(&PUBLISH.replace(good, bad)).starts_with("SIP/2.0 400 "),
            "{bad}"
        );
    }
}

#[test]
fn a_request_with_a_malformed_via_is_answered_400_at_its_source() {
    let mut bench = Bench::new();
    let effects = bench.receive(
        udp(5099),
        &PUBLISH.replace("SIP/2.0/UDP 127.0.0.1:5062", "nonsense"),
    );
    let shown = show(&effects);
    assert_eq!(shown.len(), 1);
    assert!(
        shown[0].starts_with("udp to 127.0.0.1:5099 SIP/2.0 400 "),
        "{shown:?}"
    );
}

#[test]
fn a_cseq_of_another_method_is_answered_400() {
    let text = PUBLISH.replace("CSeq: 7 PUBLISH", "CSeq: 7 SUBSCRIBE");
    assert_eq!(
        status(&text),
        "SIP/2.0 400 Bad Request (CSeq: not the method of the request)"
    );
}

#[test]
fn an_unknown_method_is_answered_501_with_allow_even_if_cseq_is_wrong_too() {
    for text in [
        request("NEWMETHOD"),
        request("NEWMETHOD").replace("7 NEWMETHOD", "7 INVITE"),
    ] {
        let response = answer(&text);
        assert!(
            response.starts_with("SIP/2.0 501 Not Implemented\r\n"),
            "{response}"
        );
        assert_eq!(
            header(&response, "Allow"),
            Some("OPTIONS, PUBLISH, REGISTER, SUBSCRIBE")
        );
    }
}

#[test]
fn methods_are_case_sensitive() {
    assert_eq!(status(&request("publish")), "SIP/2.0 501 Not Implemented");
}

#[test]
fn a_known_method_that_nobody_claimed_is_answered_405_with_allow() {
    for method in ["MESSAGE", "INVITE", "BYE", "NOTIFY"] {
        let response = answer(&request(method));
        assert!(
            response.starts_with("SIP/2.0 405 Method Not Allowed\r\n"),
            "{response}"
        );
        assert_eq!(
            header(&response, "Allow"),
            Some("OPTIONS, PUBLISH, REGISTER, SUBSCRIBE")
        );
    }
}

#[test]
fn an_event_package_that_nobody_claimed_or_none_at_all_is_answered_489_with_allow_events() {
    for text in [
        PUBLISH.replace("Event: presence", "Event: dialog"),
        PUBLISH.replace("Event: presence\r\n", ""),
        request("SUBSCRIBE").replace("Event: presence", "Event: presence.winfo"),
        request("SUBSCRIBE").replace("Event: presence\r\n", ""),
    ] {
        let response = answer(&text);
        assert!(
            response.starts_with("SIP/2.0 489 Bad Event\r\n"),
            "{response}"
        );
        assert_eq!(header(&response, "Allow-Events"), Some("presence"));
    }
}

#[test]
fn a_method_without_packages_needs_no_event() {
    let text = request("REGISTER").replace("Event: presence\r\n", "");
    assert_eq!(
        show(&Bench::new().receive(udp(5062), &text)),
        ["deliver 1@0 REGISTER sip:bob@example.com"]
    );
}

#[test]
fn an_event_package_is_found_behind_parameters() {
    let text = PUBLISH.replace("Event: presence", "o: presence;id=7");
    assert_eq!(
        show(&Bench::new().receive(udp(5062), &text)),
        ["deliver 1@0 PUBLISH sip:bob@example.com"]
    );
}

#[test]
fn a_request_uri_of_a_foreign_scheme_is_answered_416() {
    for uri in [
        "tel:+358501234567",
        "http://example.com",
        "soap.beep://127.0.0.1:3002",
        "im:bob@example.com",
    ] {
        let text = PUBLISH.replace("PUBLISH sip:bob@example.com", &format!("PUBLISH {uri}"));
        assert_eq!(status(&text), "SIP/2.0 416 Unsupported URI Scheme", "{uri}");
    }
}

#[test]
fn a_presentity_may_be_named_by_sip_sips_or_pres() {
    for uri in [
        "sip:bob@example.com",
        "sips:bob@example.com",
        "pres:bob@example.com",
    ] {
        let text = PUBLISH.replace("PUBLISH sip:bob@example.com", &format!("PUBLISH {uri}"));
        assert_eq!(
            show(&Bench::new().receive(udp(5062), &text)),
            [format!("deliver 1@0 PUBLISH {uri}")]
        );
    }
}

#[test]
fn a_request_without_hops_left_or_without_a_count_of_them_is_served_since_it_ends_here() {
    for hops in ["Max-Forwards: 0\r\n", ""] {
        let came = PUBLISH.replace("Max-Forwards: 70\r\n", hops);
        assert_eq!(
            show(&Bench::new().receive(udp(5062), &came)),
            ["deliver 1@0 PUBLISH sip:bob@example.com"],
            "{hops}"
        );
    }
    let spent = request("OPTIONS").replace("Max-Forwards: 70", "Max-Forwards: 0");
    assert_eq!(status(&spent), "SIP/2.0 200 OK");
    let word = PUBLISH.replace("Max-Forwards: 70", "Max-Forwards: many");
    assert!(
        status(&word).starts_with("SIP/2.0 400 "),
        "{}",
        status(&word)
    );
}

#[test]
fn extensions_that_no_module_understands_are_answered_420_and_listed() {
    let text = PUBLISH.replace(
        "Event:",
        "Require: eventlist, recipient-list-subscribe\r\nRequire: 100rel\r\nEvent:",
    );
    let response = answer(&text);
    assert!(
        response.starts_with("SIP/2.0 420 Bad Extension\r\n"),
        "{response}"
    );
    assert_eq!(
        header(&response, "Unsupported"),
        Some("eventlist, recipient-list-subscribe, 100rel")
    );
    let mut bench = Bench::with(
        Settings::default(),
        table().supports(&["eventlist", "recipient-list-subscribe", "100rel"]),
    );
    assert_eq!(
        show(&bench.receive(udp(5062), &text)),
        ["deliver 1@0 PUBLISH sip:bob@example.com"]
    );
}

#[test]
fn another_version_of_sip_is_answered_505() {
    assert_eq!(
        status(&PUBLISH.replacen("SIP/2.0", "SIP/7.0", 1)),
        "SIP/2.0 505 Version Not Supported"
    );
}

#[test]
fn options_is_answered_with_what_the_modules_can_do() {
    let mut bench = Bench::with(Settings::default(), table().supports(&["eventlist"]));
    let text = request("OPTIONS").replace("Event: presence\r\n", "");
    let response = sent(&bench.receive(udp(5062), &text));
    assert!(response.starts_with("SIP/2.0 200 OK\r\n"), "{response}");
    assert_eq!(
        header(&response, "Allow"),
        Some("OPTIONS, PUBLISH, REGISTER, SUBSCRIBE")
    );
    assert_eq!(header(&response, "Allow-Events"), Some("presence"));
    assert_eq!(header(&response, "Accept"), Some("application/pidf+xml"));
    assert_eq!(header(&response, "Supported"), Some("eventlist"));
}

#[test]
fn an_invite_is_refused_and_its_ack_never_answered() {
    let mut bench = Bench::new();
    let shown = show(&bench.receive(udp(5062), &request("INVITE")));
    assert_eq!(
        shown,
        ["udp to 127.0.0.1:5062 SIP/2.0 405 Method Not Allowed"]
    );
    assert_eq!(show(&bench.receive(udp(5062), &request("ACK"))), [""; 0]);
    let broken = request("ACK").replace("Call-ID: c1\r\n", "");
    assert_eq!(show(&bench.receive(udp(5062), &broken)), [""; 0]);
    assert_eq!(bench.counters().acks, 2);
}

#[test]
fn a_cancel_is_answered_200_if_there_is_something_to_cancel_and_481_if_not() {
    let mut bench = Bench::new();
    let shown = show(&bench.receive(udp(5062), &request("CANCEL")));
    assert_eq!(
        shown,
        ["udp to 127.0.0.1:5062 SIP/2.0 481 Call/Transaction Does Not Exist"]
    );
    let subscribe = bench.receive(udp(5062), &request("SUBSCRIBE"));
    assert_eq!(
        show(&bench.receive(udp(5062), &request("CANCEL"))),
        ["udp to 127.0.0.1:5062 SIP/2.0 200 OK"]
    );
    let other = request("CANCEL").replace("bKa", "bKb");
    let shown = show(&bench.receive(udp(5062), &other));
    assert_eq!(
        shown,
        ["udp to 127.0.0.1:5062 SIP/2.0 481 Call/Transaction Does Not Exist"]
    );
    let reply = Reply::new(delivered(&subscribe), StatusCode::OK);
    assert_eq!(
        show(&bench.reply(reply)),
        ["udp to 127.0.0.1:5062 SIP/2.0 200 OK"],
        "not cancelled"
    );
}

#[test]
fn what_has_no_way_back_is_dropped_and_counted() {
    let mut bench = Bench::new();
    for text in [
        "",
        "\r\n\r\n",
        "hello",
        "\0\0\0",
        "PUBLISH sip:bob@example.com SIP/2.0\r\n",
    ] {
        assert_eq!(show(&bench.receive(udp(5062), text)), [""; 0], "{text:?}");
    }
    assert_eq!(
        (bench.counters().received, bench.counters().unreadable),
        (5, 5)
    );
}

#[test]
fn the_same_wrong_request_gets_the_same_bytes_each_time() {
    let mut bench = Bench::new();
    let text = PUBLISH.replace("Event: presence", "Event: dialog");
    let first = sent(&bench.receive(udp(5062), &text));
    bench.pass(60_000);
    assert_eq!(sent(&bench.receive(udp(5062), &text)), first);
    let to = header(&first, "To").expect("To");
    assert!(to.starts_with("<sip:bob@example.com>;tag=00"), "{to}");
    assert_eq!(bench.counters().answered, BTreeMap::from([(489, 2)]));
}
