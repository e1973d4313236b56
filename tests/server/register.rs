//! REGISTER (RFC 3261, 10; RFC 3327, 5626, 5627): bindings are kept, because Linphone publishes nothing before it is
//! registered; on request they are shown to watchers.

use rollcall::core::sip::{Message, Name};

use super::kit::{Dialog, Peer, Server, body, code, text};

const DOMAIN: &str = "sip:example.com";
const DESK: &str = "sip:bob@192.0.2.1:5060";
const MOBILE: &str = "sip:bob@192.0.2.2:5062;transport=tcp";

/// REGISTER of bob; `number` is its CSeq in the one Call-ID of its phone.
fn register(peer: &mut Peer, number: u32, head: &str) -> Message {
    let local = peer.local();
    let (serial, transport) = (peer.serial, peer.transport());
    peer.count = peer.count.max(number);
    let request = super::kit::wire(&format!(
        "REGISTER {DOMAIN} SIP/2.0
        Via: SIP/2.0/{transport} {local};branch=z9hG4bKr{serial}x{number};rport
        Max-Forwards: 70
        From: <sip:bob@example.com>;tag=r
        To: <sip:bob@example.com>
        Call-ID: r-{serial}@peer
        CSeq: {number} REGISTER
        {head}Content-Length: 0
        "
    ));
    peer.send(format!("{request}\r\n"));
    peer.response(number, "REGISTER")
}

/// The URIs that a 200 lists, sorted.
fn bound(answer: &Message) -> Vec<String> {
    assert_eq!(code(answer), 200, "{answer:?}");
    let contacts = answer.contacts().unwrap_or_default();
    let mut uris: Vec<String> = contacts
        .iter()
        .map(|contact| contact.uri.to_string())
        .collect();
    uris.sort();
    uris
}

#[test]
fn bindings_are_added_listed_refreshed_and_removed() {
    let server = Server::start();
    for mut phone in [server.by_udp(), server.by_tcp()] {
        assert_eq!(bound(&register(&mut phone, 1, "")), [""; 0]);
        let added = register(&mut phone, 2, &format!("Contact: <{DESK}>;expires=120\n"));
        assert_eq!(bound(&added), [DESK]);
        let expires = added.contacts().expect("contacts")[0].expires();
        assert_eq!(format!("{expires:?}"), "Some(120)");
        let second = register(
            &mut phone,
            3,
            &format!("Contact: <{MOBILE}>\nExpires: 300\n"),
        );
        assert_eq!(bound(&second), [DESK, MOBILE]);
        assert_eq!(bound(&register(&mut phone, 4, "")), [DESK, MOBILE]);
        let one = register(&mut phone, 5, &format!("Contact: <{DESK}>;expires=0\n"));
        assert_eq!(bound(&one), [MOBILE]);
        assert_eq!(
            bound(&register(&mut phone, 6, "Contact: *\nExpires: 0\n")),
            [""; 0]
        );
        assert_eq!(bound(&register(&mut phone, 7, "")), [""; 0]);
    }
    server.assert_well();
}

#[test]
fn what_cannot_be_bound_is_refused_by_the_status_that_says_why() {
    let server = Server::with(1, "[register]\nmin = \"1m\"\n");
    let mut phone = server.by_udp();
    register(&mut phone, 1, &format!("Contact: <{DESK}>\n"));
    for (number, head, status) in [
        (2, "Contact: *\nExpires: 60\n".to_owned(), 400),
        (3, "Contact: *\n".to_owned(), 400),
        (4, format!("Contact: *, <{DESK}>\nExpires: 0\n"), 400),
        (5, "Contact: <not a uri\n".to_owned(), 400),
        (6, format!("Contact: <{MOBILE}>;expires=59\n"), 423),
    ] {
        let answer = register(&mut phone, number, &head);
        assert_eq!(code(&answer), status, "{head}");
        if status == 423 {
            assert_eq!(text(&answer, Name::MinExpires), "60");
        }
    }
    let elsewhere = phone.ask("REGISTER", "sip:elsewhere.example", "", "");
    assert_eq!(code(&elsewhere), 404);
    // Nothing of it changed what is bound.
    assert_eq!(bound(&register(&mut phone, 20, "")), [DESK]);
}

#[test]
fn bindings_lapse_and_survive_a_power_cut_until_then() {
    let mut server = Server::on_disk(1, "[register]\nmin = \"1s\"\n");
    let mut phone = server.by_udp();
    register(&mut phone, 1, &format!("Contact: <{MOBILE}>;expires=600\n"));
    server.cut_power();
    assert_eq!(bound(&register(&mut phone, 2, "")), [MOBILE]);
    let both = register(&mut phone, 3, &format!("Contact: <{DESK}>;expires=1\n"));
    assert_eq!(bound(&both), [DESK, MOBILE]);
    let mut number = 3;
    crate::support::eventually("the end of a binding", || {
        number += 1;
        (bound(&register(&mut phone, number, "")) == [MOBILE]).then_some(())
    });
}

/// ```text
///   phone (registers)      server              watcher
///     | -- REGISTER --------> | -- NOTIFY, open --> |
///     | <-- 200, pub-gruu --- |                     |
///     | -- REGISTER, 0 -----> | -- NOTIFY, closed-> |
/// ```
#[test]
fn a_device_is_told_apart_by_its_instance_and_shown_as_open_while_it_is_registered() {
    let config = "[registrar]\ngruu = true\npresence = true\n[notify]\npacing = \"0s\"\n";
    let mut server = Server::on_disk(2, config);
    let mut watcher = server.by_udp();
    Dialog::open(&mut watcher, "sip:bob@example.com", 600, "");
    assert!(body(&watcher.notify()).contains("<basic>closed"));
    let mut phone = server.by_udp();
    let device = "+sip.instance=\"<urn:uuid:00000000-0000-4000-8000-000000000001>\";reg-id=1";
    let options = "Supported: path, outbound, gruu\nExpires: 600\n";
    let answer = register(
        &mut phone,
        1,
        &format!("Contact: <{DESK}>;{device}\n{options}"),
    );
    assert_eq!(bound(&answer), [DESK]);
    assert_eq!(text(&answer, Name::Require), "outbound");
    assert!(text(&answer, Name::Date).ends_with(" GMT"));
    let contact = text(&answer, Name::Contact);
    let gruu = "pub-gruu=\"sip:bob@example.com;gr=urn:uuid:00000000-0000-4000-8000-000000000001\"";
    assert!(contact.contains(gruu), "{contact}");
    assert!(body(&watcher.notify()).contains("<basic>open"));
    server.cut_power();
    assert!(body(&watcher.notify()).contains("<basic>open"));
    // The device has moved: the same flow, another contact.
    let moved = register(
        &mut phone,
        2,
        &format!("Contact: <{MOBILE}>;{device}\n{options}"),
    );
    assert_eq!(bound(&moved), [MOBILE]);
    let path = "Path: <sip:proxy.example.com;lr>\nSupported: path\n";
    let through = register(&mut phone, 3, path);
    assert_eq!(text(&through, Name::Path), "<sip:proxy.example.com;lr>");
    let unaware = register(&mut phone, 4, "Path: <sip:proxy.example.com;lr>\n");
    assert_eq!(code(&unaware), 420);
    assert_eq!(text(&unaware, Name::Unsupported), "path");
    assert_eq!(
        bound(&register(&mut phone, 5, "Contact: *\nExpires: 0\n")),
        [""; 0]
    );
    assert!(body(&watcher.notify()).contains("<basic>closed"));
}
