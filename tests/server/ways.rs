//! Where answers and NOTIFY go: connections, NAT, proxies, IPv6 (RFC 3261, 18.2.2; RFC 3581; docs/adr/0004).

use std::net::{SocketAddr, TcpListener};

use rollcall::core::sip::Name;

use super::kit::{
    BOB, Dialog, Peer, Server, body, code, own_address, pidf, publish, published, shown, text,
};

fn note(text: &str) -> String {
    pidf(BOB, "t", "open", &format!("<note>{text}</note>"))
}

#[test]
fn ipv6_is_served_as_ipv4_is() {
    let server = Server::start();
    let mut peers = [
        Peer::udp(server.v6("udp")),
        Peer::tcp(server.v6("tcp")),
        server.by_udp(),
        server.by_tcp(),
    ];
    for peer in &mut peers {
        let dialog = Dialog::open(peer, BOB, 600, "");
        let via = dialog.ok.via().expect("a Via");
        let port = peer.local().port().to_string();
        assert_eq!(via.params.get("rport"), Some(&*port));
        assert_eq!(body(&peer.notify()), "");
        // Its Contact is where this peer reached it.
        let family = |text: &str| text.contains("[::1]");
        assert_eq!(
            family(&dialog.uri),
            peer.local().is_ipv6(),
            "{}",
            dialog.uri
        );
        assert_eq!(code(&dialog.ask(peer, 2, 600, "presence")), 200);
        peer.notify();
    }
    for publisher in 0..peers.len() {
        let told = format!("from {publisher}");
        let tuple = pidf(
            BOB,
            &format!("t{publisher}"),
            "open",
            &format!("<note>{told}</note>"),
        );
        published(&mut peers[publisher], BOB, "", &tuple);
        for peer in &mut peers {
            assert!(body(&peer.notify()).contains(&told));
        }
    }
    server.assert_well();
}

#[test]
fn a_watcher_on_a_connection_is_told_over_it_whatever_its_contact_says() {
    let server = Server::start();
    let (mut desk, mut phone) = (server.by_udp(), server.by_tcp());
    let contact = "sip:watcher@192.0.2.77:5060;transport=tcp";
    let head = format!("Event: presence\nContact: <{contact}>\nExpires: 600\n");
    assert_eq!(code(&phone.ask("SUBSCRIBE", BOB, &head, "")), 200);
    let first = phone.notify();
    assert_eq!(first.uri_text(), contact);
    assert_eq!(&*first.via().expect("a Via").transport, "TCP");
    published(&mut desk, BOB, "", &note("hello"));
    assert!(body(&phone.notify()).contains("hello"));
    assert_eq!(
        server
            .counters()
            .get("endpoint.transport.connections_opened"),
        None
    );
}

#[test]
fn a_watcher_whose_connection_is_gone_is_told_at_its_contact() {
    let server = Server::start();
    let (mut desk, mut phone) = (server.by_udp(), server.by_tcp());
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = listener.local_addr().expect("a bound socket");
    let head = format!("Event: presence\nContact: <sip:w@{at};transport=tcp>\nExpires: 600\n");
    assert_eq!(code(&phone.ask("SUBSCRIBE", BOB, &head, "")), 200);
    phone.notify();
    drop(phone);
    published(&mut desk, BOB, "", &note("are you there"));
    let (stream, _) = listener.accept().expect("the server connects");
    let notify = Peer::stream(stream).notify();
    assert!(body(&notify).contains("are you there"));
}

#[test]
fn a_watcher_behind_a_nat_is_told_where_its_request_came_from() {
    let server = Server::start();
    let (mut desk, mut phone) = (server.by_udp(), server.by_udp());
    // What a phone in a private network writes.
    let inside = "192.168.77.7:5062";
    let seen = phone.local().to_string();
    let head = format!("Event: presence\nContact: <sip:w@{inside}>\nExpires: 600\n");
    let request = phone
        .request("SUBSCRIBE", BOB, &head, "")
        .replace(&format!("UDP {seen}"), &format!("UDP {inside}"));
    phone.send(request);
    let ok = phone.response(1, "SUBSCRIBE");
    let via = text(&ok, Name::Via);
    assert!(via.contains("received=127.0.0.1"), "{via}");
    assert!(
        via.contains(&format!("rport={}", phone.local().port())),
        "{via}"
    );
    let first = phone.notify();
    assert_eq!(first.uri_text(), format!("sip:w@{inside}"));
    published(&mut desk, BOB, "", &note("through the NAT"));
    assert!(body(&phone.notify()).contains("through the NAT"));
}

#[test]
fn without_rport_a_response_goes_to_the_port_in_via_at_the_address_it_came_from() {
    let server = Server::start();
    let ip = own_address(9);
    let mut sender = Peer::udp_at(SocketAddr::new(ip, 0), server.udp);
    let mut receivers =
        [5060, 5099].map(|port| Peer::udp_at(SocketAddr::new(ip, port), server.udp));
    for (sent_by, receiver) in [
        ("host.invalid", 0),
        ("192.0.2.9:5060", 0),
        ("192.0.2.9:5099", 1),
    ] {
        let seen = format!("UDP {}", sender.local());
        let request = sender.request("OPTIONS", "sip:example.com", "", "");
        let request = request
            .replace(&seen, &format!("UDP {sent_by}"))
            .replace(";rport", "");
        sender.send(request);
        let answer = receivers[receiver].response(sender.count, "OPTIONS");
        assert!(text(&answer, Name::Via).contains(&format!("received={ip}")));
        // Nobody else is sent anything.
        sender.fence();
        assert_eq!(sender.rest(), [""; 0]);
    }
}

/// ```text
///   phone             proxy                      server
///     |                 | --- SUBSCRIBE ---------> |   Record-Route: proxy, outer
///     |                 | <-- 200 ---------------- |   Record-Route: proxy, outer
///     |                 | <-- NOTIFY ------------- |   Route: proxy, outer
/// ```
#[test]
fn a_subscription_through_proxies_is_told_along_its_route() {
    let server = Server::start();
    let (mut desk, mut proxy) = (server.by_udp(), server.by_udp());
    // The proxy sends from a port that it does not listen at.
    let mut sender = server.by_udp();
    let at = proxy.local();
    let routes = format!("<sip:{at};lr>, <sip:outer.invalid;lr>");
    let head = format!(
        "Via: SIP/2.0/UDP 192.0.2.5:5062;branch=z9hG4bKphone\nRecord-Route: {routes}\nEvent: presence\n\
         Contact: <sip:phone@192.0.2.5:5062>\nExpires: 600\n"
    );
    let ok = sender.ask("SUBSCRIBE", BOB, &head, "");
    assert_eq!(code(&ok), 200);
    let listed: Vec<String> = ok
        .values(Name::RecordRoute)
        .map(|v| v.into_owned())
        .collect();
    assert_eq!(listed.join(", "), routes);
    assert_eq!(ok.vias().expect("Vias").len(), 2);
    let notify = proxy.notify();
    assert_eq!(notify.uri_text(), "sip:phone@192.0.2.5:5062");
    let taken: Vec<String> = notify.values(Name::Route).map(|v| v.into_owned()).collect();
    assert_eq!(taken.join(", "), routes);
    published(&mut desk, BOB, "", &note("by proxy"));
    let next = proxy.notify();
    assert!(body(&next).contains("by proxy"));
    assert_eq!(shown(&next).1, 2);
    assert_eq!(sender.rest(), [""; 0]);
}

#[test]
fn a_phone_that_moves_is_told_where_its_refresh_came_from() {
    let server = Server::start();
    let (mut desk, mut home) = (server.by_udp(), server.by_udp());
    let dialog = Dialog::open(&mut home, BOB, 600, "");
    home.notify();
    let mut street = server.by_udp();
    assert_eq!(code(&dialog.ask(&mut street, 2, 600, "presence")), 200);
    assert_eq!(shown(&street.notify()).1, 2);
    published(&mut desk, BOB, "", &note("moved"));
    assert!(body(&street.notify()).contains("moved"));
    home.fence();
    assert_eq!(home.rest(), [""; 0]);
}

#[test]
fn a_state_that_fits_into_no_datagram_is_told_when_it_fits_again() {
    let server = Server::start();
    let (mut desk, mut mobile, mut phone) = (server.by_udp(), server.by_udp(), server.by_udp());
    Dialog::open(&mut phone, BOB, 600, "");
    phone.notify();
    let long = |id: &str| {
        pidf(
            BOB,
            id,
            "open",
            &format!("<note>{}</note>", "x".repeat(40_000)),
        )
    };
    published(&mut desk, BOB, "", &long("desk"));
    assert!(body(&phone.notify()).len() > 40_000);
    let etag = published(&mut mobile, BOB, "", &long("mobile"));
    phone.fence();
    assert_eq!(phone.rest(), [""; 0]);
    // Others are served as ever.
    let carol = "sip:carol@example.com";
    Dialog::open(&mut mobile, carol, 600, "");
    assert_eq!(body(&mobile.notify()), "");
    published(
        &mut mobile,
        BOB,
        &format!("SIP-If-Match: {etag}\n"),
        &pidf(BOB, "mobile", "closed", ""),
    );
    let told = body(&phone.notify());
    assert!(told.contains("closed") && told.len() > 40_000);
    server.assert_well();
}

/// A phone that is told to use this server as its outbound proxy names it in a Route (RFC 3261, 8.1.2), with or without
/// `lr`, by its address or its domain.
#[test]
fn a_preloaded_route_that_names_the_server_is_served_here() {
    let server = Server::start();
    let mut phone = server.by_udp();
    let here = server.udp;
    for (number, route) in (0u32..).zip([
        format!("<sip:{here};lr>"),
        format!("<sip:{here}>"),
        "<sip:example.com;lr>".to_owned(),
        format!("<sip:{here};transport=udp;lr>, <sip:example.com;lr>"),
    ]) {
        let head = format!("Route: {route}\n");
        let tag = published(&mut phone, BOB, &head, &note(&format!("round {number}")));
        let dialog = Dialog::open(&mut phone, BOB, 600, &head);
        let told = phone.notify();
        assert!(body(&told).contains(&format!("round {number}")), "{route}");
        assert!(
            !told.has(Name::Route),
            "a preloaded route is no route set of the dialog"
        );
        let next = phone.count + 1;
        let end = dialog.ask(&mut phone, next, 0, "presence");
        assert_eq!(code(&end), 200);
        phone.notify();
        let removal = format!("{head}SIP-If-Match: {tag}\nExpires: 0\n");
        assert_eq!(code(&publish(&mut phone, BOB, &removal, "")), 200);
    }
}

/// ```text
///   proxy -- SUBSCRIBE sip:bob@example.com ----> server    a spiral: the same dialog identifiers,
///   proxy -- SUBSCRIBE sip:carol@example.com --> server    another Request-URI, so no merged request
/// ```
#[test]
fn a_spiral_is_served_and_a_request_that_came_by_two_ways_is_not() {
    let server = Server::start();
    let mut phone = server.by_udp();
    let contact = super::kit::contact(&phone);
    let head = format!("Event: presence\nContact: {contact}\nExpires: 600\n");
    let request = phone.request("SUBSCRIBE", BOB, &head, "");
    phone.send(&request);
    assert_eq!(code(&phone.response(1, "SUBSCRIBE")), 200);
    phone.notify();
    let carol = "sip:carol@example.com";
    let spiral = request
        .replacen(BOB, carol, 1)
        .replacen("branch=z9hG4bK", "branch=z9hG4bKs", 1);
    phone.send(&spiral);
    assert_eq!(code(&phone.response(1, "SUBSCRIBE")), 200, "{spiral}");
    phone.notify();
    let merged = request.replacen("branch=z9hG4bK", "branch=z9hG4bKm", 1);
    phone.send(&merged);
    assert_eq!(code(&phone.response(1, "SUBSCRIBE")), 482);
}

/// Phones of one make that start in the same second may choose the same identifiers for everything.
#[test]
fn two_clients_with_the_same_identifiers_are_both_served() {
    let server = Server::start();
    let (mut one, mut two) = (server.by_udp(), server.by_udp());
    let head = "Event: presence\nContent-Type: application/pidf+xml\n";
    let request = one.request("PUBLISH", BOB, head, &note("one"));
    let (seen, other) = (one.local().to_string(), two.local().to_string());
    let twin = request.replace(&seen, &other).replace("one", "two");
    one.send(&request);
    two.send(&twin);
    let tags = [one.response(1, "PUBLISH"), two.response(1, "PUBLISH")].map(|answer| {
        assert_eq!(code(&answer), 200);
        text(&answer, Name::SipEtag)
    });
    assert_ne!(tags[0], tags[1]);
    let mut phone = server.by_udp();
    Dialog::open(&mut phone, BOB, 600, "");
    let told = body(&phone.notify());
    assert!(told.contains("one") && told.contains("two"), "{told}");
}
