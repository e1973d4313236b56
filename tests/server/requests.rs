//! What the endpoint answers by itself, and malformed requests, at a running server (RFC 3261, 8.2).

use std::net::UdpSocket;
use std::time::Duration;

use rollcall::core::sip::Name;

use super::kit::{BOB, Dialog, Server, body, code, pidf, published, text};

#[test]
fn options_tells_what_is_served() {
    let server = Server::start();
    for mut peer in [server.by_udp(), server.by_tcp()] {
        // How one looks who is there after so many hops (RFC 3261, 11).
        let request = peer.request("OPTIONS", "sip:example.com", "", "");
        peer.send(request.replace("Max-Forwards: 70", "Max-Forwards: 0"));
        let answer = peer.response(1, "OPTIONS");
        assert_eq!(code(&answer), 200);
        let allow = text(&answer, Name::Allow);
        for method in ["PUBLISH", "SUBSCRIBE", "REGISTER", "OPTIONS"] {
            assert!(allow.contains(method), "{allow}");
        }
        assert_eq!(text(&answer, Name::AllowEvents), "presence, presence.winfo");
        assert_eq!(
            text(&answer, Name::Accept),
            "application/pidf+xml, application/pidf-diff+xml"
        );
        assert!(answer.to_tag().is_some());
    }
}

#[test]
fn what_is_not_served_is_refused_by_the_status_that_says_why() {
    let server = Server::start();
    let mut peer = server.by_udp();
    let document = pidf(BOB, "t", "open", "");
    let head = "Event: presence\nContent-Type: application/pidf+xml\n";
    let required = format!("{head}Require: timer, no-such-thing\n");
    let answer = peer.ask("PUBLISH", BOB, &required, &document);
    assert_eq!(code(&answer), 420);
    let unsupported = text(&answer, Name::Unsupported);
    assert!(unsupported.contains("no-such-thing"), "{unsupported}");

    for (method, status) in [
        ("INVITE", 405),
        ("BYE", 405),
        ("NOTIFY", 405),
        ("DANCE", 501),
    ] {
        let answer = peer.ask(method, BOB, "", "");
        assert_eq!(code(&answer), status, "{method}");
        assert!(text(&answer, Name::Allow).contains("PUBLISH"), "{method}");
    }
    assert_eq!(
        code(&peer.ask("PUBLISH", "tel:+15551234", head, &document)),
        416
    );
    assert_eq!(code(&peer.ask("CANCEL", BOB, "", "")), 481);

    // ACK is never answered, whatever it is about.
    let ack = peer.request("ACK", BOB, "", "");
    peer.send(ack);
    peer.fence();
    assert_eq!(peer.rest(), [""; 0]);
    assert_eq!(server.counters().get("registry.published"), None);
}

/// Hops are counted for those that forward; here the request has come to its end (RFC 4475, 3.3.11).
#[test]
fn a_request_without_hops_left_is_served() {
    let server = Server::start();
    let mut peer = server.by_udp();
    let head = "Event: presence\nContent-Type: application/pidf+xml\n";
    let request = peer.request("PUBLISH", BOB, head, &pidf(BOB, "t", "open", ""));
    peer.send(request.replace("Max-Forwards: 70", "Max-Forwards: 0"));
    assert_eq!(code(&peer.response(1, "PUBLISH")), 200);
}

#[test]
fn the_same_request_by_two_ways_is_482_the_second_time() {
    let server = Server::with(4, "");
    let mut peer = server.by_udp();
    let head = "Event: presence\nContent-Type: application/pidf+xml\n";
    let request = peer.request("PUBLISH", BOB, head, &pidf(BOB, "t", "open", ""));
    peer.send(&request);
    assert_eq!(code(&peer.response(1, "PUBLISH")), 200);
    peer.send(request.replace("branch=z9hG4bK", "branch=z9hG4bKother"));
    assert_eq!(code(&peer.response(1, "PUBLISH")), 482);
    assert_eq!(server.counters().get("registry.published"), Some(&1));
}

#[test]
fn a_version_that_is_not_two_gets_505() {
    let server = Server::start();
    let mut peer = server.by_udp();
    let request = peer.request("OPTIONS", "sip:example.com", "", "");
    peer.send(request.replacen("SIP/2.0", "SIP/3.0", 1));
    assert_eq!(code(&peer.response(1, "OPTIONS")), 505);
}

#[test]
fn malformed_requests_get_400_and_nothing_else_suffers() {
    let server = Server::start();
    let (mut desk, mut phone, mut stream) = (server.by_udp(), server.by_udp(), server.by_tcp());
    Dialog::open(&mut phone, BOB, 600, "");
    phone.notify();
    let mut etag = published(&mut desk, BOB, "", &pidf(BOB, "t", "open", ""));
    phone.notify();
    type Spoil = fn(&str) -> String;
    let spoilt: [(&str, Spoil); 12] = [
        ("no Call-ID", |text| without(text, "Call-ID:")),
        ("no From", |text| without(text, "From:")),
        ("no To", |text| without(text, "To:")),
        ("no CSeq", |text| without(text, "CSeq:")),
        ("other method in CSeq", |text| {
            text.replace(" PUBLISH\r\nEvent", " OPTIONS\r\nEvent")
        }),
        ("CSeq beyond 2^31", |text| {
            let number = text
                .split("CSeq: ")
                .nth(1)
                .and_then(|rest| rest.split(' ').next());
            text.replace(
                &format!("CSeq: {} ", number.expect("a number")),
                "CSeq: 4294967296 ",
            )
        }),
        ("open quote", |text| {
            text.replace("From: <", "From: \"peer <")
        }),
        ("open bracket", |text| text.replace(">;tag=f", ";tag=f")),
        ("two From", |text| {
            text.replace("To: <", "From: <sip:eve@example.com>;tag=e\r\nTo: <")
        }),
        ("two Call-IDs", |text| {
            text.replace("To: <", "Call-ID: other\r\nTo: <")
        }),
        ("nonsense Expires", |text| {
            text.replace("Event:", "Expires: -1\r\nEvent:")
        }),
        ("bad Request-URI", |text| {
            text.replacen("sip:bob@example.com", "sip:@@", 1)
        }),
    ];
    for (number, (what, spoil)) in spoilt.into_iter().enumerate() {
        for peer in [&mut desk, &mut stream] {
            let head = "Event: presence\nContent-Type: application/pidf+xml\n";
            let request = peer.request("PUBLISH", BOB, head, &pidf(BOB, "bad", "open", ""));
            let bad = spoil(&request);
            assert_ne!(bad, request, "{what}");
            peer.send(bad);
            let answer = peer.expect(what, |message| !message.is_request());
            assert_eq!(code(&answer), 400, "{what}: {answer:?}");
        }
        // The good one goes on, and its watcher sees nothing but it.
        let note = format!("<note>good {number}</note>");
        let condition = format!("SIP-If-Match: {etag}\n");
        etag = published(&mut desk, BOB, &condition, &pidf(BOB, "t", "open", &note));
        let shown = body(&phone.notify());
        assert!(
            shown.contains(&format!("good {number}")) && !shown.contains("bad"),
            "{shown}"
        );
    }
    server.assert_well();
}

#[test]
fn what_is_not_sip_is_dropped_and_nothing_else_suffers() {
    let server = Server::start();
    let mut peer = server.by_udp();
    for bytes in [
        &b"\0"[..],
        b"\r\n\r\n",
        b"hello\r\n\r\n",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"PUBLISH\r\n\r\n",
        &[0xff; 1500],
        &[b'A'; 60_000],
        b"<xml><type> PC </type></xml>",
        b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
    ] {
        peer.send(bytes);
        peer.fence();
        let rest = peer.rest();
        assert!(rest.is_empty(), "{bytes:?} was answered: {rest:?}");
        // On a stream nobody knows where the next message would begin.
        let mut stream = server.by_tcp();
        stream.send(bytes);
        if !bytes.starts_with(b"\r\n") && !matches!(bytes[0], 0 | 0xff | b'<') {
            continue;
        }
        drop(stream);
    }
    server.assert_well();
}

/// The request without the line that begins like this.
fn without(text: &str, start: &str) -> String {
    let lines = text.split_inclusive("\r\n");
    lines.filter(|line| !line.starts_with(start)).collect()
}

#[test]
fn bad_input_leaves_what_is_stored_as_it_was() {
    let mut server = Server::on_disk(2, "");
    let (mut desk, mut phone) = (server.by_udp(), server.by_udp());
    let dialog = Dialog::open(&mut phone, BOB, 600, "");
    phone.notify();
    let good = pidf(BOB, "t", "open", "<note>good</note>");
    let etag = published(&mut desk, BOB, "", &good);
    phone.notify();
    let condition = format!("Event: presence\nSIP-If-Match: {etag}\n");
    let typed = format!("{condition}Content-Type: application/pidf+xml\n");
    for (head, document, status) in [
        (&typed, "<presence", 400),
        (&typed, "<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", 400),
        (
            &format!("{condition}Content-Type: text/html\n"),
            "<html/>",
            415,
        ),
        (&format!("{typed}Expires: never\n"), &*good, 400),
        (&format!("{typed}Require: magic\n"), &*good, 420),
    ] {
        let answer = desk.ask("PUBLISH", BOB, head, document);
        assert_eq!(code(&answer), status, "{head}{document}");
    }
    assert_eq!(code(&dialog.ask(&mut phone, 2, 600, "dialog")), 489);
    server.cut_power();
    assert_eq!(body(&phone.notify()), good);
    published(&mut desk, BOB, &format!("SIP-If-Match: {etag}\n"), "");
    assert_eq!(code(&dialog.ask(&mut phone, 3, 600, "presence")), 200);
    assert_eq!(body(&phone.notify()), good);
    server.assert_well();
}

#[test]
fn a_stun_keep_alive_is_told_where_it_came_from() {
    let server = Server::start();
    for (local, to) in [("127.0.0.1:0", server.udp), ("[::1]:0", server.v6("udp"))] {
        let phone = UdpSocket::bind(local).expect("a socket");
        let limit = Some(Duration::from_secs(5));
        phone.set_read_timeout(limit).expect("a limit");
        let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
        request.extend(1..=12);
        phone.send_to(&request, to).expect("a datagram");
        let mut room = [0; 100];
        let (length, from) = phone.recv_from(&mut room).expect("an answer");
        let answer = &room[..length];
        assert_eq!(from, to);
        assert_eq!((&answer[..2], &answer[4..20]), (&[1, 1][..], &request[4..]));
        let port = u16::from_be_bytes([answer[26] ^ 0x21, answer[27] ^ 0x12]);
        assert_eq!(port, phone.local_addr().expect("an address").port());
    }
    assert_eq!(
        server.counters().get("endpoint.transport.stun_requests"),
        Some(&2)
    );
    server.assert_well();
}
