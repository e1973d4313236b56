//! Requests of modules and their client transactions.

use super::*;

const NOTHING: [&str; 0] = [];
const SENT: &str = "udp to 127.0.0.1:5062 NOTIFY sip:alice@127.0.0.1:5062 SIP/2.0";

#[test]
fn a_request_to_an_address_leaves_at_once_with_via_and_contact_of_ours() {
    let settings = Settings {
        user_agent: Some("rollcall/test".into()),
        ..Settings::default()
    };
    let mut bench = Bench::with(settings, table());
    let effects = bench.send(notify(1, Destination::NextHop));
    assert_eq!(show(&effects), [SENT]);
    let text = sent(&effects);
    let via = header(&text, "Via").expect("a Via");
    let branch = via
        .strip_prefix("SIP/2.0/UDP 127.0.0.1:5060;branch=")
        .and_then(|via| via.strip_suffix(";rport"));
    assert_eq!(
        branch
            .and_then(crate::transaction::branch_of_ours)
            .map(|(shard, _)| shard),
        Some(0),
        "{via}"
    );
    for (name, value) in [
        ("Max-Forwards", "70"),
        ("From", "<sip:bob@example.com>;tag=00b1"),
        ("CSeq", "1 NOTIFY"),
        ("Contact", "<sip:127.0.0.1:5060;transport=udp>"),
        ("User-Agent", "rollcall/test"),
        ("Content-Length", "0"),
    ] {
        assert_eq!(header(&text, name), Some(value));
    }
}

#[test]
fn an_ipv6_address_stands_in_brackets() {
    let mut bench = Bench::new();
    let remote = address("[::1]:5062");
    let effects = bench.send(notify(1, Destination::Address(Transport::Udp, remote)));
    let text = sent(&effects);
    assert!(
        header(&text, "Via").is_some_and(|via| via.starts_with("SIP/2.0/UDP [::1]:5060;branch=")),
        "{text}"
    );
    assert_eq!(
        header(&text, "Contact"),
        Some("<sip:[::1]:5060;transport=udp>")
    );
}

/// E at 0.5, then 1, 2 and 4 s apart; F at 32 s (RFC 3261, 17.1.2.2).
#[test]
fn a_request_without_an_answer_is_repeated_ever_more_slowly_and_given_up() {
    let mut bench = Bench::new();
    let request = bench.send(notify(1, Destination::NextHop));
    let expected: Vec<_> = [
        500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
    ]
    .into_iter()
    .map(|time| (time, SENT.to_owned()))
    .chain([(32_000, "outcome 1@0 1 timeout".to_owned())])
    .collect();
    assert_eq!(bench.pass(100_000), expected);
    let late = bench.receive(udp(5062), &response(&sent(&request), "200 OK"));
    assert_eq!(show(&late), NOTHING);
    let counters = bench.counters();
    assert_eq!(
        (
            counters.requests_retransmitted,
            counters.timeouts,
            counters.stray_responses
        ),
        (10, 1, 1)
    );
}

#[test]
fn after_a_provisional_response_a_request_is_repeated_every_t2() {
    let mut bench = Bench::new();
    let request = sent(&bench.send(notify(1, Destination::NextHop)));
    bench.pass(100);
    assert_eq!(
        show(&bench.receive(udp(5062), &response(&request, "100 Trying"))),
        NOTHING
    );
    let expected = [400, 4_400, 8_400].map(|time| (time, SENT.to_owned()));
    assert_eq!(bench.pass(8_400), expected);
    let shown = show(&bench.receive(udp(5062), &response(&request, "200 OK")));
    assert_eq!(shown, ["outcome 1@0 1 200"]);
}

#[test]
fn a_final_response_ends_a_request_and_its_repetitions_are_absorbed_until_timer_k() {
    let mut bench = Bench::new();
    let request = sent(&bench.send(notify(1, Destination::NextHop)));
    let answer = response(&request, "481 Subscription does not exist");
    assert_eq!(
        show(&bench.receive(udp(5062), &answer)),
        ["outcome 1@0 1 481"]
    );
    assert_eq!(bench.pass(4_999), []);
    assert_eq!(show(&bench.receive(udp(5062), &answer)), NOTHING);
    assert_eq!(
        (
            bench.counters().repeated_responses,
            bench.endpoint.transactions()
        ),
        (1, (0, 1))
    );
    bench.pass(1);
    assert_eq!(bench.endpoint.transactions(), (0, 0), "Timer K is T4 = 5 s");
    assert_eq!(show(&bench.receive(udp(5062), &answer)), NOTHING);
    assert_eq!(bench.counters().stray_responses, 1);
}

#[test]
fn over_a_connection_nothing_is_repeated_and_nothing_is_kept() {
    let mut bench = Bench::new();
    bench.receive(tcp(40_000, 1), "\r\n");
    let effects = bench.send(notify(1, Destination::Flow(tcp(40_000, 1))));
    assert_eq!(
        show(&effects),
        ["tcp to 127.0.0.1:40000 NOTIFY sip:alice@127.0.0.1:5062 SIP/2.0"]
    );
    let request = sent(&effects);
    assert!(
        header(&request, "Via").is_some_and(|via| !via.contains("rport")),
        "{request}"
    );
    assert_eq!(
        header(&request, "Contact"),
        Some("<sip:127.0.0.1:5060;transport=tcp>")
    );
    assert_eq!(bench.pass(31_999), []);
    let shown = show(&bench.receive(tcp(40_000, 1), &response(&request, "200 OK")));
    assert_eq!(shown, ["outcome 1@0 1 200"]);
    assert_eq!(
        (bench.endpoint.transactions(), bench.endpoint.next_wake()),
        ((0, 0), None)
    );
    bench.send(notify(2, Destination::Flow(tcp(40_000, 1))));
    assert_eq!(
        bench.pass(32_000),
        [(32_000, "outcome 1@0 2 timeout".to_owned())]
    );
}

#[test]
fn a_response_must_be_to_the_method_of_its_request() {
    let mut bench = Bench::new();
    let request = sent(&bench.send(notify(1, Destination::NextHop)));
    let other = response(&request, "200 OK").replace("1 NOTIFY", "1 SUBSCRIBE");
    assert_eq!(show(&bench.receive(udp(5062), &other)), NOTHING);
    let several = response(&request, "200 OK").replace(
        "From:",
        "Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKx\r\nFrom:",
    );
    assert_eq!(show(&bench.receive(udp(5062), &several)), NOTHING);
    let without = response(&request, "200 OK").replace("CSeq: 1 NOTIFY\r\n", "");
    assert_eq!(show(&bench.receive(udp(5062), &without)), NOTHING);
    assert_eq!(
        (
            bench.counters().stray_responses,
            bench.counters().malformed_responses
        ),
        (1, 2)
    );
}

#[test]
fn a_response_may_come_from_anywhere_as_long_as_it_knows_the_branch() {
    let mut bench = Bench::new();
    let request = sent(&bench.send(notify(1, Destination::NextHop)));
    assert_eq!(
        show(&bench.receive(udp(7_777), &response(&request, "200 OK"))),
        ["outcome 1@0 1 200"]
    );
}

#[test]
fn a_closed_connection_ends_its_requests_at_once_and_no_others() {
    let mut bench = Bench::new();
    for connection in [1, 2] {
        bench.receive(tcp(40_000, connection), "\r\n");
    }
    bench.send(notify(1, Destination::Flow(tcp(40_000, 1))));
    bench.send(notify(2, Destination::Flow(tcp(40_000, 2))));
    bench.send(notify(3, Destination::Flow(tcp(40_000, 1))));
    assert_eq!(
        show(&bench.closed(1)),
        [
            "outcome 1@0 1 error: connection closed",
            "outcome 1@0 3 error: connection closed"
        ]
    );
    assert_eq!(
        bench.pass(32_000),
        [(32_000, "outcome 1@0 2 timeout".to_owned())]
    );
    assert_eq!(bench.counters().transport_errors, 2);
}

#[test]
fn a_failed_send_ends_the_requests_to_that_place_at_once() {
    let mut bench = Bench::new();
    bench.send(notify(1, Destination::NextHop));
    bench.send(notify(
        2,
        Destination::Address(Transport::Udp, address("127.0.0.1:5063")),
    ));
    let mut out = Vec::new();
    bench
        .endpoint
        .send_failed(bench.now, &udp(5063), "unreachable", &mut out);
    assert_eq!(show(&out), ["outcome 1@0 2 error: unreachable"]);
    assert_eq!(bench.endpoint.transactions(), (0, 1));
}

#[test]
fn a_connection_that_could_not_be_sent_over_is_not_tried_again() {
    let mut bench = Bench::new();
    bench.receive(tcp(40_000, 1), "\r\n");
    let mut out = Vec::new();
    bench
        .endpoint
        .send_failed(bench.now, &tcp(40_000, 1), "gone", &mut out);
    assert_eq!(
        show(&bench.send(notify(1, Destination::Flow(tcp(40_000, 1))))),
        [SENT]
    );
}

#[test]
fn a_flow_whose_connection_is_gone_gives_way_to_the_next_hop() {
    let mut bench = Bench::new();
    bench.receive(tcp(40_000, 1), "\r\n");
    bench.closed(1);
    assert_eq!(
        show(&bench.send(notify(1, Destination::Flow(tcp(40_000, 1))))),
        [SENT]
    );
    // An id from an earlier life of the node, given to somebody else since.
    bench.receive(tcp(40_001, 2), "\r\n");
    assert_eq!(
        show(&bench.send(notify(2, Destination::Flow(tcp(40_000, 2))))),
        [SENT]
    );
    assert_eq!(bench.counters().flows_lost, 2);
}

/// From an earlier life of the node, or through a socket that listens on every network of the machine.
#[test]
fn a_flow_by_datagram_leaves_from_the_address_that_the_peer_knows_if_it_is_still_ours() {
    let mut bench = Bench::new();
    let flow = Flow {
        local: address("127.0.0.2:5060"),
        ..udp(5062)
    };
    let before = Flow { shard: 3, ..flow };
    assert_eq!(
        show(&bench.send(notify(1, Destination::Flow(before)))),
        ["route 1 Some(Udp) 127.0.0.1 Some(5062)"]
    );
    bench.receive(flow, &request("OPTIONS"));
    let effects = bench.send(notify(2, Destination::Flow(before)));
    assert!(
        matches!(&effects[..], [Effect::Send { flow: way, .. }] if *way == flow),
        "{effects:?}"
    );
    let text = sent(&effects);
    assert_eq!(
        header(&text, "Contact"),
        Some("<sip:127.0.0.2:5060;transport=udp>")
    );
}

#[test]
fn names_and_streams_are_left_to_the_transport() {
    let mut bench = Bench::new();
    let mut to = |uri: &str, route: Option<&str>| {
        let outgoing = Outgoing {
            uri: uri.to_owned(),
            first_route: route.map(str::to_owned),
            ..notify(1, Destination::NextHop)
        };
        show(&bench.send(outgoing))
    };
    assert_eq!(
        to("sip:alice@example.com", None),
        ["locate 1 sip None example.com None"]
    );
    assert_eq!(
        to("sip:alice@example.com:5070;transport=TCP", None),
        ["locate 2 sip Some(Tcp) example.com Some(5070)"]
    );
    assert_eq!(
        to("sip:alice@[::1]:5070;transport=tcp", None),
        ["route 3 Some(Tcp) ::1 Some(5070)"]
    );
    assert_eq!(
        to("sip:alice@example.com;transport=udp", None),
        ["locate 4 sip Some(Udp) example.com None"]
    );
    assert_eq!(
        to("sip:alice@example.com", Some("sip:p1.example.com:5061;lr")),
        ["locate 5 sip None p1.example.com Some(5061)"]
    );
    assert_eq!(
        to("sip:alice@example.com;maddr=127.0.0.3", None),
        ["udp to 127.0.0.3:5060 NOTIFY sip:alice@example.com;maddr=127.0.0.3 SIP/2.0"]
    );
    assert_eq!(
        to("sips:alice@example.com", None),
        ["locate 6 sips None example.com None"]
    );
    assert_eq!(
        to("sip:alice@127.0.0.1;transport=tls", None),
        ["route 7 Some(Tls) 127.0.0.1 None"]
    );
    assert_eq!(
        to("sips:alice@example.com;transport=udp", None),
        ["outcome 1@0 1 error: no transport udp"]
    );
    assert_eq!(
        to("tel:+358501234567", None),
        ["outcome 1@0 1 error: no transport for scheme tel"]
    );
    assert_eq!(
        to("sip:alice@example.com;transport=ws", None),
        ["outcome 1@0 1 error: no transport ws"]
    );
    assert_eq!(
        to("nonsense", None),
        ["outcome 1@0 1 error: next hop is not a URI: nonsense"]
    );
    assert_eq!(bench.counters().transport_errors, 4);
}

#[test]
fn the_way_that_the_transport_found_is_taken() {
    let mut bench = Bench::new();
    let to = Destination::Address(Transport::Tcp, address("127.0.0.1:5062"));
    assert_eq!(
        show(&bench.send(notify(1, to))),
        ["route 1 Some(Tcp) 127.0.0.1 Some(5062)"]
    );
    let effects = bench.routed(
        1,
        Ok(Flow {
            local: address("127.0.0.1:41000"),
            ..tcp(5062, 8)
        }),
    );
    assert_eq!(
        show(&effects),
        ["tcp to 127.0.0.1:5062 NOTIFY sip:alice@127.0.0.1:5062 SIP/2.0"]
    );
    let text = sent(&effects);
    assert_eq!(
        header(&text, "Contact"),
        Some("<sip:127.0.0.1:5060;transport=tcp>"),
        "where we listen"
    );
    assert_eq!(show(&bench.routed(1, Ok(tcp(5062, 8)))), NOTHING);
    assert_eq!(bench.counters().routes_unasked, 1);
    let again = bench.send(notify(2, Destination::Flow(tcp(5062, 8))));
    assert_eq!(
        show(&again),
        ["tcp to 127.0.0.1:5062 NOTIFY sip:alice@127.0.0.1:5062 SIP/2.0"]
    );
}

#[test]
fn a_request_that_finds_no_way_ends_at_once_or_with_timer_f() {
    let mut bench = Bench::new();
    let to = Destination::Address(Transport::Tcp, address("127.0.0.1:5062"));
    bench.send(notify(1, to));
    bench.send(notify(2, to));
    assert_eq!(
        show(&bench.routed(1, Err("refused".into()))),
        ["outcome 1@0 1 error: refused"]
    );
    assert_eq!(
        bench.pass(40_000),
        [(32_000, "outcome 1@0 2 timeout".to_owned())]
    );
    assert_eq!(show(&bench.routed(2, Ok(tcp(5062, 8)))), NOTHING);
}

#[test]
fn without_an_address_of_ours_the_transport_is_asked() {
    let mut bench = Bench::new();
    bench
        .endpoint
        .set_locals(vec![(Transport::Udp, address("[::1]:5060"))]);
    assert_eq!(
        show(&bench.send(notify(1, Destination::NextHop))),
        ["route 1 None 127.0.0.1 Some(5062)"]
    );
    assert_eq!(
        show(&bench.send(notify(2, Destination::Flow(udp(5062))))),
        ["route 2 Some(Udp) 127.0.0.1 Some(5062)"]
    );
}
