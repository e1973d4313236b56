//! Requests that are redirected (RFC 3261, 8.1.3.4).

use super::*;

fn bench() -> Bench {
    let settings = Settings {
        follow_redirects: true,
        ..Settings::default()
    };
    Bench::with(settings, table())
}

fn publish(uri: &str) -> Outgoing {
    Outgoing {
        method: Method::Publish,
        uri: uri.to_owned(),
        head: Bytes::from_static(
            b"From: <sip:bob@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: c1\r\nCSeq: 4 PUBLISH\r\n",
        ),
        ..notify(1, Destination::NextHop)
    }
}

fn moved(contacts: &str) -> String {
    format!("302 Moved Temporarily\r\nContact: {contacts}")
}

const HOME: &str = "sip:bob@127.0.0.1:5062";

#[test]
fn a_redirected_request_goes_to_the_best_contact_under_the_next_cseq() {
    let mut bench = bench();
    let first = sent(&bench.send(publish(HOME)));
    let contacts =
        "<sip:b@127.0.0.1:5063>;q=0.5, <sip:a@127.0.0.1:5064;method=PUBLISH?x=y>;q=0.9, <tel:1>";
    let effects = bench.receive(udp(5062), &response(&first, &moved(contacts)));
    assert_eq!(
        show(&effects),
        ["udp to 127.0.0.1:5064 PUBLISH sip:a@127.0.0.1:5064 SIP/2.0"]
    );
    let second = sent(&effects);
    assert_eq!(header(&second, "CSeq"), Some("5 PUBLISH"));
    for name in ["From", "To", "Call-ID"] {
        assert_eq!(header(&first, name), header(&second, name));
    }
    let end = bench.receive(udp(5064), &response(&second, "200 OK"));
    assert_eq!(show(&end), ["outcome 1@0 1 200"]);
    assert_eq!(bench.counters().redirected, 1);
}

#[test]
fn a_place_that_has_nothing_gives_way_to_the_next_and_no_place_is_tried_twice() {
    let mut bench = bench();
    let first = sent(&bench.send(publish(HOME)));
    let contacts = "<sip:a@127.0.0.1:5063>, <sip:b@127.0.0.1:5064>;q=0.1";
    let second = sent(&bench.receive(udp(5062), &response(&first, &moved(contacts))));
    let third = sent(&bench.receive(udp(5063), &response(&second, "404 Not Found")));
    assert!(
        third.starts_with("PUBLISH sip:b@127.0.0.1:5064 "),
        "{third}"
    );
    // Back to where it came from: the end.
    let back = moved(&format!("<{HOME}>, <sip:a@127.0.0.1:5063>"));
    let end = bench.receive(udp(5064), &response(&third, &back));
    assert_eq!(show(&end), ["outcome 1@0 1 302"]);
}

#[test]
fn a_request_is_sent_on_five_times_at_most() {
    let mut bench = bench();
    let mut last = sent(&bench.send(publish(HOME)));
    for port in 6001..6006 {
        let to = moved(&format!("<sip:b@127.0.0.1:{port}>"));
        last = sent(&bench.receive(udp(5062), &response(&last, &to)));
    }
    let end = bench.receive(
        udp(5062),
        &response(&last, &moved("<sip:b@127.0.0.1:6006>")),
    );
    assert_eq!(show(&end), ["outcome 1@0 1 302"]);
}

#[test]
fn a_request_over_tls_follows_to_tls_alone() {
    let mut bench = bench();
    let effects = bench.send(publish("sips:bob@127.0.0.1"));
    assert_eq!(show(&effects), ["route 1 Some(Tls) 127.0.0.1 None"]);
    let way = Flow {
        transport: Transport::Tls,
        ..tcp(5061, 3)
    };
    let first = sent(&bench.routed(1, Ok(way)));
    let contacts = moved("<sip:a@127.0.0.1:5063>, <sip:b@127.0.0.1:5064;transport=tls>;q=0.1");
    let effects = bench.receive(way, &response(&first, &contacts));
    assert_eq!(show(&effects), ["route 2 Some(Tls) 127.0.0.1 Some(5064)"]);
}

#[test]
fn a_request_within_a_dialog_and_one_of_a_server_are_not_sent_on() {
    let contact = moved("<sip:a@127.0.0.1:5063>");
    let mut client = bench();
    let within = Outgoing {
        uri: HOME.to_owned(),
        ..notify(1, Destination::NextHop)
    };
    let first = sent(&client.send(within.clone()));
    let end = client.receive(udp(5062), &response(&first, &contact));
    assert_eq!(show(&end), ["outcome 1@0 1 302"]);
    let mut server = Bench::new();
    let first = sent(&server.send(publish(HOME)));
    let end = server.receive(udp(5062), &response(&first, &contact));
    assert_eq!(show(&end), ["outcome 1@0 1 302"]);
}
