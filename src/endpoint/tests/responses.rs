//! Where responses of ours go (RFC 3261, 18.2; RFC 3581).

use super::*;

/// Where a PUBLISH with this top Via from port 5099 is answered, and how its Via comes back.
fn way(via: &str) -> (String, String) {
    let mut bench = Bench::new();
    let text = PUBLISH.replace("SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bKa", via);
    let transaction = delivered(&bench.receive(udp(5099), &text));
    let effects = bench.reply(Reply::new(transaction, StatusCode::OK));
    let via = header(&sent(&effects), "Via").map(str::to_owned);
    (show(&effects).remove(0), via.expect("a Via"))
}

#[test]
fn without_rport_a_response_goes_to_the_port_in_the_via() {
    let (to, via) = way("SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bKa");
    assert_eq!(to, "udp to 127.0.0.1:5062 SIP/2.0 200 OK");
    assert_eq!(via, "SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bKa");
    // From another address than ours: the usual port is the one that we listen at.
    let flow = Flow {
        remote: address("127.0.0.4:5099"),
        ..udp(0)
    };
    let request = request("OPTIONS").replace("127.0.0.1:5062", "127.0.0.4");
    let out = Bench::new().receive(flow, &request);
    assert_eq!(show(&out), ["udp to 127.0.0.4:5060 SIP/2.0 200 OK"]);
}

#[test]
fn with_rport_a_response_goes_to_the_source_and_both_are_told() {
    let (to, via) = way("SIP/2.0/UDP 127.0.0.1:5062;rport;branch=z9hG4bKa");
    assert_eq!(to, "udp to 127.0.0.1:5099 SIP/2.0 200 OK");
    assert!(
        via.contains(";rport=5099") && via.contains(";received=127.0.0.1"),
        "{via}"
    );
}

#[test]
fn a_host_that_is_not_the_source_gets_received_and_the_response_goes_to_the_source_address() {
    for host in ["127.9.9.9", "phone.example.com"] {
        let (to, via) = way(&format!("SIP/2.0/UDP {host}:5062;branch=z9hG4bKa"));
        assert_eq!(to, "udp to 127.0.0.1:5062 SIP/2.0 200 OK");
        assert!(
            via.contains(";received=127.0.0.1") && !via.contains("rport"),
            "{via}"
        );
    }
}

#[test]
fn maddr_does_not_choose_our_target() {
    let (to, _) = way("SIP/2.0/UDP 127.0.0.1:5062;maddr=127.8.8.8;branch=z9hG4bKa");
    assert_eq!(to, "udp to 127.0.0.1:5062 SIP/2.0 200 OK");
}

#[test]
fn a_response_goes_back_over_its_connection_whatever_the_via_says() {
    let mut bench = Bench::new();
    let text = PUBLISH.replace("SIP/2.0/UDP 127.0.0.1:5062", "SIP/2.0/TCP x.invalid");
    let transaction = delivered(&bench.receive(tcp(40_000, 1), &text));
    let shown = show(&bench.reply(Reply::new(transaction, StatusCode::OK)));
    assert_eq!(shown, ["tcp to 127.0.0.1:40000 SIP/2.0 200 OK"]);
}

#[test]
fn a_response_whose_connection_is_gone_takes_another_to_the_port_in_the_via() {
    let mut bench = Bench::new();
    let text = PUBLISH.replace("UDP", "TCP");
    let transaction = delivered(&bench.receive(tcp(40_000, 1), &text));
    assert_eq!(show(&bench.closed(1)), [""; 0]);
    let shown = show(&bench.reply(Reply::new(transaction, StatusCode::OK)));
    assert_eq!(shown, ["route 1 Some(Tcp) 127.0.0.1 Some(5062)"]);
    let shown = show(&bench.routed(1, Ok(tcp(5062, 2))));
    assert_eq!(shown, ["tcp to 127.0.0.1:5062 SIP/2.0 200 OK"]);
    assert_eq!(bench.counters().responses_rerouted, 1);
}

#[test]
fn a_response_that_finds_no_way_is_counted() {
    let mut bench = Bench::new();
    for (connection, number) in [(1, 1), (2, 2)] {
        let text = PUBLISH
            .replace("UDP", "TCP")
            .replace("bKa", &format!("bK{number}"))
            .replace("c1", &format!("c{number}"));
        let transaction = delivered(&bench.receive(tcp(40_000, connection), &text));
        bench.closed(connection);
        bench.reply(Reply::new(transaction, StatusCode::OK));
    }
    assert_eq!(show(&bench.routed(1, Err("refused".into()))), [""; 0]);
    assert_eq!(bench.pass(32_000), [], "the other one waited in vain");
    assert_eq!(bench.counters().responses_lost, 2);
    assert_eq!(bench.endpoint.next_wake(), None);
}

#[test]
fn a_stream_that_can_not_be_framed_is_answered_and_closed() {
    let mut bench = Bench::new();
    for (text, expected) in [
        (
            PUBLISH
                .replace("UDP", "TCP")
                .replace("Content-Length: 0", "Content-Length: -1"),
            &["tcp to 127.0.0.1:40000 SIP/2.0 400", "close 1"][..],
        ),
        (
            "GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            &["close 1"][..],
        ),
    ] {
        let error = crate::sip::Framer::new(65_536)
            .next(&mut bytes::BytesMut::from(text.as_bytes()))
            .expect_err("no frame");
        let mut out = Vec::new();
        bench
            .endpoint
            .framing_error(bench.now, tcp(40_000, 1), &error, &mut out);
        let shown = show(&out);
        assert_eq!(shown.len(), expected.len(), "{shown:?}");
        for (shown, expected) in shown.iter().zip(expected) {
            assert!(shown.starts_with(expected), "{shown}");
        }
    }
}
