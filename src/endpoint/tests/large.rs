//! What is too large for a datagram (RFC 3261, 18.1.1).

use super::*;

const NOTHING: [&str; 0] = [];
const ROUTE: &str = "route 1 Some(Tcp) 127.0.0.1 Some(5062)";

/// A request whose message has this many bytes on the wire over UDP, to a peer on loopback.
fn of_length(bench: &mut Bench, token: Token, length: usize) -> Outgoing {
    let bare = notify(token, Destination::Flow(udp(5062)));
    let with_body = |body: usize| Outgoing {
        body: Bytes::from(vec![b'x'; body]),
        ..bare.clone()
    };
    let probe = bench.send(with_body(100));
    let head = match &probe[..] {
        [Effect::Send { bytes, .. }] => bytes.len() - 100,
        other => panic!("{other:?}"),
    };
    // Content-Length has a digit more from 1000 on.
    let body = length - head;
    with_body(if body > 1000 { body - 1 } else { body })
}

fn bench(datagram: Option<usize>) -> Bench {
    let settings = Settings {
        datagram,
        ..Settings::default()
    };
    Bench::with(settings, table())
}

fn transport(effects: &[Effect]) -> Vec<Transport> {
    let sent = effects.iter().filter_map(|effect| match effect {
        Effect::Send { flow, .. } => Some(flow.transport),
        _ => None,
    });
    sent.collect()
}

#[test]
fn what_is_longer_than_a_datagram_may_be_goes_over_tcp_with_a_via_that_says_so() {
    let mut bench = bench(Some(1300));
    let fits = of_length(&mut bench, 1, 1300);
    assert_eq!(transport(&bench.send(fits)), [Transport::Udp]);
    let large = of_length(&mut bench, 2, 1301);
    assert_eq!(show(&bench.send(large)), [ROUTE]);
    let effects = bench.routed(1, Ok(tcp(5062, 9)));
    assert_eq!(transport(&effects), [Transport::Tcp]);
    let text = sent(&effects);
    let via = header(&text, "Via").expect("a Via");
    assert!(
        via.starts_with("SIP/2.0/TCP 127.0.0.1:5060;branch="),
        "{via}"
    );
    assert!(!via.contains("rport"));
}

#[test]
fn a_peer_that_takes_no_connection_gets_a_datagram_and_is_not_asked_again_for_an_hour() {
    let mut bench = bench(Some(1300));
    let large = of_length(&mut bench, 1, 2000);
    assert_eq!(show(&bench.send(large.clone())), [ROUTE]);
    let effects = bench.routed(1, Err("connection refused".to_owned()));
    assert_eq!(transport(&effects), [Transport::Udp]);
    let counters = bench.counters();
    assert_eq!(
        (counters.requests_too_large, counters.datagrams_instead),
        (1, 1)
    );
    bench.pass(3_599_000);
    assert_eq!(transport(&bench.send(large.clone())), [Transport::Udp]);
    bench.pass(1_000);
    assert_eq!(
        show(&bench.send(large)),
        ["route 2 Some(Tcp) 127.0.0.1 Some(5062)"]
    );
}

#[test]
fn where_nothing_is_known_of_the_path_1300_bytes_fit_and_loopback_is_known() {
    let mut bench = bench(None);
    let large = of_length(&mut bench, 1, 1301);
    assert_eq!(transport(&bench.send(large.clone())), [Transport::Udp]);
    let remote = address("192.0.2.1:5062");
    let far = Outgoing {
        destination: Destination::Address(Transport::Udp, remote),
        ..large
    };
    let effects = bench.send(far);
    assert_eq!(show(&effects), ["route 1 Some(Tcp) 192.0.2.1 Some(5062)"]);
}

#[test]
fn what_no_datagram_can_carry_fails_without_a_connection() {
    let mut bench = bench(None);
    let whole = of_length(&mut bench, 1, 1300);
    let with_body = |length| Outgoing {
        body: Bytes::from(vec![b'x'; length]),
        ..whole.clone()
    };
    assert_eq!(transport(&bench.send(with_body(65_000))), [Transport::Udp]);
    assert_eq!(show(&bench.send(with_body(65_507))), [ROUTE]);
    assert_eq!(
        show(&bench.routed(1, Err("refused".into()))),
        ["outcome 1@0 1 error: refused"]
    );
    // Nobody is remembered for what could go no other way.
    assert_eq!(bench.counters().datagrams_instead, 0);
    let transaction = delivered(&bench.receive(udp(5062), PUBLISH));
    let mut reply = Reply::new(transaction, StatusCode::OK);
    reply.body = Bytes::from(vec![b'x'; 65_507]);
    assert_eq!(show(&bench.reply(reply)), NOTHING);
    assert_eq!(bench.counters().responses_lost, 1);
}
