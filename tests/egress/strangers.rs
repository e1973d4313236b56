//! Strangers: requests under an address that somebody else has, and routes that lead to somebody else.

use ipnet::IpNet;
use rollcall::core::digest::{
    Algorithm, Answerer, Authentication, Credentials, Guessing, Memory, Users,
};
use rollcall::core::egress::Egress;
use rollcall::core::entropy::Entropy;
use rollcall::core::exchange::{ConnectionId, Flow, Transport};
use rollcall::core::sip::{Message, Name, StatusCode};

use super::world::{SERVER, World, udp};

const VICTIM: &str = "198.51.100.7:5060";
const WATCHER: &str = "203.0.113.5:5070";
const DESK: &str = "203.0.113.9:5080";

fn code(message: &Message) -> u16 {
    message.status().map_or(0, StatusCode::code)
}

/// A request as phones write it. `lines` end in CRLF.
fn request(method: &str, number: u32, at: &str, lines: &str, body: &str) -> String {
    format!(
        "{method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{number};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=a{number}\r\nTo: <sip:bob@example.com>\r\n\
         Call-ID: c{number}@{at}\r\nCSeq: {number} {method}\r\nContact: <sip:alice@{at}>\r\n{lines}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn subscribe(number: u32, at: &str, lines: &str) -> String {
    request(
        "SUBSCRIBE",
        number,
        at,
        &format!("Event: presence\r\n{lines}"),
        "",
    )
}

/// The shortest SUBSCRIBE there is.
fn short() -> String {
    "SUBSCRIBE sip:bob@example.com SIP/2.0\r\nv:SIP/2.0/UDP a;branch=z9hG4bKs\r\nf:<sip:a@b>;tag=1\r\nt:<sip:bob@example.com>\r\n\
     i:1\r\nCSeq:1 SUBSCRIBE\r\nm:<sip:a>\r\no:presence\r\n\r\n"
        .to_owned()
}

impl World {
    /// Bob's state has this length, about.
    fn publish(&mut self, number: u32, length: usize) {
        let body = format!(
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@example.com\"><tuple id=\"t\"><status>\
             <basic>open</basic></status><note>{number} {}</note></tuple></presence>",
            "x".repeat(length)
        );
        let condition = self
            .tag
            .take()
            .map_or(String::new(), |tag| format!("SIP-If-Match: {tag}\r\n"));
        let lines = format!("Event: presence\r\nContent-Type: application/pidf+xml\r\n{condition}");
        self.receive(DESK, &request("PUBLISH", number, DESK, &lines, &body));
        let answer = self.inbox(DESK).pop().expect("an answer");
        assert_eq!(code(&answer), 200);
        self.tag = answer.text(Name::SipEtag).map(|tag| tag.into_owned());
    }
}

#[test]
fn nobody_under_a_made_up_address_draws_more_than_three_times_his_bytes() {
    let within = |to: &str| to.to_owned();
    let polls = subscribe(7, VICTIM, "Expires: 0\r\n");
    let cases: Vec<(&str, Vec<String>)> = vec![
        (
            "a SUBSCRIBE",
            vec![subscribe(1, VICTIM, "Expires: 3600\r\n")],
        ),
        (
            "one that comes again and again",
            vec![subscribe(1, VICTIM, ""); 12],
        ),
        (
            "several",
            (1..20)
                .map(|n| subscribe(n, VICTIM, "Expires: 60\r\n"))
                .collect(),
        ),
        ("a poll", vec![polls.clone()]),
        ("polls", vec![polls; 5]),
        ("the shortest", vec![short(); 3]),
        (
            "a long one",
            vec![subscribe(
                1,
                VICTIM,
                &format!("X: {}\r\n", "y".repeat(3000)),
            )],
        ),
        (
            "two Vias",
            vec![subscribe(
                1,
                VICTIM,
                "Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx\r\n",
            )],
        ),
        ("OPTIONS", vec![request("OPTIONS", 1, VICTIM, "", ""); 2]),
        (
            "REGISTER",
            (1..30)
                .map(|n| {
                    let other = format!("Contact: <sip:alice{n}@{VICTIM}>\r\n");
                    request("REGISTER", n, VICTIM, "", "")
                        .replace(&format!("Contact: <sip:alice@{VICTIM}>\r\n"), &other)
                })
                .collect(),
        ),
        (
            "what is asked of a registrar",
            vec![
                request("REGISTER", 50, VICTIM, "", "")
                    .replace(&format!("Contact: <sip:alice@{VICTIM}>\r\n"), ""),
            ],
        ),
        (
            "nonsense",
            vec![within(
                "SUBSCRIBE sip:bob@example.com SIP/2.0\r\nv:SIP/2.0/UDP a\r\no:presence\r\n\r\n",
            )],
        ),
    ];
    for (what, requests) in cases {
        for length in [10, 700, 60_000] {
            let mut world = World::new();
            // Others have bound many contacts.
            for number in 100..120 {
                world.receive(
                    DESK,
                    &request("REGISTER", number, &format!("203.0.113.9:{number}"), "", ""),
                );
            }
            world.publish(200, length);
            for text in &requests {
                world.receive(VICTIM, text);
                world.assert_bounded(VICTIM, what);
            }
            for number in 201..206 {
                world.pass(1);
                world.publish(number, length);
            }
            world.pass(40);
            world.publish(206, length);
            world.pass(4000);
            world.assert_bounded(VICTIM, &format!("{what}, {length} bytes of state"));
            assert_eq!(world.wanted, [""; 0], "{what}");
        }
    }
}

#[test]
fn a_small_state_comes_at_once_and_a_large_one_when_the_first_notify_is_answered() {
    for (length, at_once) in [(10, true), (5000, false), (60_000, false)] {
        let mut world = World::new();
        world.publish(1, length);
        world.receive(
            WATCHER,
            &subscribe(
                2,
                WATCHER,
                "User-Agent: a phone of some maker\r\nExpires: 600\r\n",
            ),
        );
        let first = world.notifies(WATCHER);
        assert_eq!(first.len(), 1);
        assert_eq!(!first[0].body().is_empty(), at_once, "{length}");
        assert!(!first[0].has(Name::ContentType) || at_once);
        world.answer(WATCHER, &first[0]);
        let mut shown = first;
        if !at_once {
            shown = world.notifies(WATCHER);
            assert_eq!(shown.len(), 1, "{length}");
            world.answer(WATCHER, &shown[0]);
        }
        assert!(shown[0].body().len() > length, "all of it");
        // From now on it is a watcher like others: each change at once, and again until it is answered.
        world.publish(3, length);
        let changed = world.notifies(WATCHER);
        assert_eq!(changed.len(), 1);
        assert!(changed[0].body().len() > length);
        world.pass(31);
        assert!(world.notifies(WATCHER).len() >= 8);
    }
}

#[test]
fn a_poll_is_answered_with_a_large_state_when_its_first_notify_is() {
    let mut world = World::new();
    world.publish(1, 5000);
    world.receive(WATCHER, &subscribe(2, WATCHER, "Expires: 0\r\n"));
    let state = |message: &Message| {
        message
            .text(Name::SubscriptionState)
            .unwrap_or_default()
            .into_owned()
    };
    let first = world.notifies(WATCHER);
    assert_eq!(
        first.iter().map(state).collect::<Vec<_>>(),
        ["active;expires=0"]
    );
    assert!(first[0].body().is_empty());
    world.answer(WATCHER, &first[0]);
    let last = world.notifies(WATCHER);
    assert_eq!(
        last.iter().map(state).collect::<Vec<_>>(),
        ["terminated;reason=timeout"]
    );
    assert!(last[0].body().len() > 5000);
    world.answer(WATCHER, &last[0]);
    world.publish(3, 10);
    world.pass(100);
    assert!(world.inbox(WATCHER).is_empty(), "nothing is left of it");
}

#[test]
fn an_answer_from_elsewhere_proves_nothing() {
    let mut world = World::new();
    world.publish(1, 60_000);
    world.receive(VICTIM, &subscribe(2, VICTIM, ""));
    let first = world.notifies(VICTIM);
    world.answer(WATCHER, &first[0]);
    world.publish(3, 60_000);
    world.pass(4000);
    world.assert_bounded(VICTIM, "an answer that came from another address");
}

#[test]
fn a_subscription_that_is_moved_to_a_made_up_address_must_be_answered_there() {
    let mut world = World::new();
    world.publish(1, 60_000);
    world.receive(WATCHER, &subscribe(2, WATCHER, ""));
    let ok = world.inbox(WATCHER);
    let (to, first) = (ok[0].text(Name::To).expect("a To").into_owned(), &ok[1]);
    world.answer(WATCHER, first);
    let whole = world.notifies(WATCHER);
    world.answer(WATCHER, &whole[0]);
    let refresh = subscribe(2, VICTIM, "")
        .replace(&format!("c2@{VICTIM}"), &format!("c2@{WATCHER}"))
        .replace("To: <sip:bob@example.com>", &format!("To: {to}"));
    for number in 3..30 {
        let again = refresh
            .replace("CSeq: 2", &format!("CSeq: {number}"))
            .replace("z9hG4bK2", &format!("z9hG4bKr{number}"));
        world.receive(VICTIM, &again);
        world.publish(number, 60_000);
        world.pass(1);
        world.assert_bounded(VICTIM, "a refresh from there");
    }
    world.pass(4000);
    assert!(world.sent.contains_key(&super::world::place(VICTIM).ip()));
    world.assert_bounded(VICTIM, "refreshes from there");
}

/// Whoever subscribes says by Record-Route, Contact and Via where NOTIFYs go: not to others.
#[test]
fn routes_of_strangers_lead_to_nobody_else() {
    for lines in [
        format!("Via: SIP/2.0/UDP {VICTIM};branch=z9hG4bKx\r\n"),
        format!("Record-Route: <sip:{VICTIM};lr>\r\n"),
        format!("Record-Route: <sip:{VICTIM};transport=tcp;lr>\r\n"),
        format!(
            "Record-Route: <sip:203.0.113.5;maddr={};lr>\r\n",
            "198.51.100.7"
        ),
        "Record-Route: <sip:victim.example.com;lr>\r\n".to_owned(),
        format!(
            "Record-Route: <sip:{VICTIM};lr>, <sip:{WATCHER};lr>\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKx\r\n"
        ),
    ] {
        let tcp = Flow {
            transport: Transport::Tcp,
            connection: ConnectionId(9),
            ..udp(WATCHER)
        };
        for flow in [udp(WATCHER), tcp] {
            let mut world = World::new();
            world.publish(1, 10);
            let mut text = subscribe(2, WATCHER, &lines);
            text = text.replace(
                &format!("Contact: <sip:alice@{WATCHER}>"),
                &format!("Contact: <sip:alice@{VICTIM}>"),
            );
            world.receive_over(flow, &text);
            let heard = world.inbox(WATCHER);
            assert_eq!(heard.len(), 2, "{lines}");
            assert_eq!(code(&heard[0]), 200);
            if flow.transport == Transport::Udp {
                world.answer(WATCHER, &heard[1]);
            } else {
                world.close(&flow);
            }
            for number in 3..6 {
                world.publish(number, 10);
                world.pass(10);
            }
            world.pass(100);
            assert!(world.inbox(VICTIM).is_empty(), "{lines}");
            assert_eq!(world.wanted, [""; 0], "{lines}");
        }
    }
}

#[test]
fn a_route_through_the_proxy_that_sent_the_request_is_followed() {
    // It sends from a port that it does not listen at.
    let mut world = World::new();
    world.publish(1, 10);
    let proxy = "203.0.113.5:5060";
    let lines =
        format!("Via: SIP/2.0/UDP {VICTIM};branch=z9hG4bKx\r\nRecord-Route: <sip:{proxy};lr>\r\n");
    world.receive(WATCHER, &subscribe(2, WATCHER, &lines));
    let told = world.notifies(proxy);
    assert_eq!(told.len(), 1);
    assert_eq!(
        told[0].text(Name::Route).as_deref(),
        Some("<sip:203.0.113.5:5060;lr>")
    );
}

#[test]
fn proxies_that_the_operator_names_may_say_where_else_and_bounds_hold_there() {
    let net: IpNet = "203.0.113.5/32".parse().expect("a network");
    let egress = Egress {
        proxies: vec![net],
        ..Egress::default()
    };
    let mut world = World::with(egress, None);
    world.publish(1, 60_000);
    let text = subscribe(2, WATCHER, &format!("Record-Route: <sip:{VICTIM};lr>\r\n"));
    world.receive(WATCHER, &text);
    let first = world.notifies(VICTIM);
    assert_eq!(first.len(), 1);
    assert!(first[0].body().is_empty());
    world.publish(3, 60_000);
    world.pass(4000);
    let sent = world.sent[&super::world::place(VICTIM).ip()];
    assert!(sent <= 3 * text.len(), "{sent}");
}

#[test]
fn a_subscribe_that_leads_where_nothing_goes_is_refused_in_words() {
    let net = |text: &str| text.parse().expect("a network");
    let egress = Egress {
        deny: vec![net("198.51.100.0/24")],
        ..Egress::default()
    };
    for (host, why) in [
        ("224.0.0.1", "a multicast address"),
        ("0.0.0.0", "an unspecified address"),
        ("[::ffff:0.0.0.0]", "an unspecified address"),
        ("255.255.255.255", "the broadcast address"),
        (SERVER, "an address of this server"),
        ("198.51.100.7", "in egress.deny by 198.51.100.0/24"),
        ("203.0.113.5:0", "port 0"),
    ] {
        let mut world = World::with(egress.clone(), None);
        let text = subscribe(2, WATCHER, &format!("Record-Route: <sip:{host};lr>\r\n"));
        world.receive(WATCHER, &text);
        let heard = world.inbox(WATCHER);
        assert_eq!(heard.iter().map(code).collect::<Vec<_>>(), [403], "{host}");
        let text = String::from_utf8(heard[0].raw().to_vec()).expect("text");
        assert!(text.contains(why), "{host}: {text}");
        assert_eq!(world.sent.len(), 1);
    }
}

fn asking() -> Authentication {
    let mut users = Users::default();
    users.add("alice", "example.com", "secret");
    Authentication {
        realm: "example.com".to_owned(),
        users,
        offered: vec![Algorithm::Sha256, Algorithm::Md5],
        nonce_life: std::time::Duration::from_secs(300),
        host: Some("example.com".to_owned()),
        publishers: Vec::new(),
        trusted: vec!["203.0.113.9".parse().expect("an address")],
        key: [7; 32],
        guessing: Guessing::default(),
        memory: std::sync::Arc::new(Memory::new(&mut Entropy::from_number(3))),
    }
}

/// A SUBSCRIBE with the answer to the challenge that the watcher got for another.
fn authorized(world: &mut World, number: u32, at: &str) -> String {
    world.receive(WATCHER, &subscribe(number, WATCHER, ""));
    let challenge = world.inbox(WATCHER).remove(0);
    assert_eq!(code(&challenge), 401);
    let credentials = Credentials {
        user: "alice".to_owned(),
        password: "secret".to_owned(),
    };
    let mut answerer = Answerer::new(&challenge, &credentials, None).expect("a challenge");
    let (name, value) = answerer.authorize(
        "SUBSCRIBE",
        "sip:bob@example.com",
        &mut Entropy::from_number(3),
    );
    subscribe(number + 1, at, &format!("{}: {value}\r\n", name.as_str()))
}

#[test]
fn who_answers_a_challenge_is_where_it_was_sent_to_and_nowhere_else() {
    let mut world = World::with(Egress::default(), Some(asking()));
    world.publish(1, 900);
    let text = authorized(&mut world, 10, WATCHER);
    world.receive(WATCHER, &text);
    let told = world.notifies(WATCHER);
    assert!(told[0].body().len() > 900, "at once");
    world.pass(31);
    assert!(world.notifies(WATCHER).len() >= 8, "and again");
    // The same account in the name of another address.
    let text = authorized(&mut world, 20, VICTIM);
    world.receive(VICTIM, &text);
    assert!(world.notifies(VICTIM).is_empty());
    for number in 30..33 {
        world.publish(number, 60_000);
        world.pass(5);
    }
    world.pass(4000);
    world.assert_bounded(VICTIM, "credentials of somebody elsewhere");
}
