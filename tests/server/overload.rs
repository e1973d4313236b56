//! Limits: over them a request is refused before any work, and what was accepted is not lost.

use std::collections::BTreeMap;

use rollcall::core::sip::{Message, Name};

use super::kit::{BOB, Dialog, Server, code, contact, pidf, publish, published, shown, text};

#[test]
fn over_the_limit_of_open_requests_503_and_retry_after_and_each_request_one_answer() {
    let server = Server::on_disk(1, "[limits]\nin_flight = 16\n");
    let mut peer = server.by_udp();
    let head = "Event: presence\nContent-Type: application/pidf+xml\n";
    let requests: Vec<String> = (0..48)
        .map(|number| {
            let uri = format!("sip:user{number}@example.com");
            peer.request("PUBLISH", &uri, head, &pidf(&uri, "t", "open", ""))
        })
        .collect();
    // It sleeps while they arrive, so that it finds them all at once.
    server.process.signal("STOP");
    for request in &requests {
        peer.send(request);
    }
    server.process.signal("CONT");
    let mut by_status: BTreeMap<u16, Vec<Message>> = BTreeMap::new();
    for number in 1..=48 {
        let answer = peer.response(number, "PUBLISH");
        by_status.entry(code(&answer)).or_default().push(answer);
    }
    let counts: Vec<(u16, usize)> = by_status
        .iter()
        .map(|(&code, all)| (code, all.len()))
        .collect();
    assert_eq!(counts, [(200, 16), (503, 32)]);
    for refused in &by_status[&503] {
        let pause: u32 = text(refused, Name::RetryAfter).parse().expect("seconds");
        assert!((1..=600).contains(&pause), "{pause}");
    }
    assert_eq!(server.counters().get("registry.published"), Some(&16));
    // It is over at once.
    published(&mut peer, BOB, "", &pidf(BOB, "t", "open", ""));
    server.assert_well();
}

#[test]
fn publications_and_subscriptions_of_a_presentity_are_bounded() {
    let sections = "[limits]\npublications = 2\nsubscriptions = 2\npresentities = 2\n";
    let server = Server::with(1, sections);
    let (mut desk, mut phone) = (server.by_udp(), server.by_udp());
    let document = |id: &str| pidf(BOB, id, "open", "");
    let etag = published(&mut desk, BOB, "", &document("a"));
    published(&mut desk, BOB, "", &document("b"));
    assert_eq!(code(&publish(&mut desk, BOB, "", &document("c"))), 403);
    let etag = published(
        &mut desk,
        BOB,
        &format!("SIP-If-Match: {etag}\n"),
        &document("d"),
    );
    published(
        &mut desk,
        BOB,
        &format!("SIP-If-Match: {etag}\nExpires: 0\n"),
        "",
    );
    published(&mut desk, BOB, "", &document("c"));
    let head = format!(
        "Event: presence\nContact: {}\nExpires: 60\n",
        contact(&phone)
    );
    let first = Dialog::open(&mut phone, BOB, 60, "");
    phone.notify();
    Dialog::open(&mut phone, BOB, 60, "");
    phone.notify();
    assert_eq!(code(&phone.ask("SUBSCRIBE", BOB, &head, "")), 403);
    assert_eq!(code(&first.ask(&mut phone, 50, 0, "presence")), 200);
    phone.notify();
    Dialog::open(&mut phone, BOB, 60, "");
    // Presentities.
    let carol = "sip:carol@example.com";
    published(&mut desk, carol, "", &pidf(carol, "t", "open", ""));
    let dave = "sip:dave@example.com";
    let full = publish(&mut desk, dave, "", &pidf(dave, "t", "open", ""));
    assert_eq!((code(&full), full.has(Name::RetryAfter)), (503, true));
    let full = phone.ask("SUBSCRIBE", dave, &head, "");
    assert_eq!((code(&full), full.has(Name::RetryAfter)), (503, true));
    server.assert_well();
}

#[test]
fn connections_over_the_limit_are_closed_and_the_others_go_on() {
    let server = Server::with(1, "[limits]\nconnections = 3\n");
    let mut phones: Vec<_> = (0..3).map(|_| server.by_tcp()).collect();
    for phone in &mut phones {
        Dialog::open(phone, BOB, 600, "");
        phone.notify();
    }
    server.by_tcp().expect_close();
    let mut desk = server.by_udp();
    published(&mut desk, BOB, "", &pidf(BOB, "t", "open", ""));
    for phone in &mut phones {
        assert_eq!(shown(&phone.notify()).1, 2);
    }
    // Room again when one leaves.
    phones.pop();
    crate::support::eventually("room for a connection", || {
        let mut next = server.by_tcp();
        let request = next.request("OPTIONS", "sip:example.com", "", "");
        next.send(request);
        next.try_response()
            .map(|answer| assert_eq!(code(&answer), 200))
    });
}
