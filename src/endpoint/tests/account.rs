//! Requests of ours that are challenged, and requests to modules that we challenge.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::digest::{Authentication, Credentials, Users};

/// An endpoint with an account, for its requests, and with accounts, for others'.
fn bench() -> Bench {
    let mut users = Users::default();
    assert!(users.add("bob", "example.com", "secret"));
    let settings = Settings {
        credentials: Some(Credentials {
            user: "bob".to_owned(),
            password: "secret".to_owned(),
        }),
        authentication: Some(Arc::new(Authentication {
            realm: "example.com".to_owned(),
            users,
            offered: vec![crate::digest::Algorithm::Sha256],
            nonce_life: Duration::from_secs(300),
            host: Some("example.com".to_owned()),
            publishers: Vec::new(),
            trusted: vec!["192.0.2.9".parse().expect("an address")],
            key: [1; 32],
            guessing: crate::digest::Guessing::default(),
            memory: Arc::new(crate::digest::Memory::new(&mut Entropy::from_number(3))),
        })),
        ..Settings::default()
    };
    Bench::with(settings, table())
}

fn publish(token: Token) -> Outgoing {
    let mut head = crate::sip::Head::new();
    head.line(crate::sip::Name::From, "<sip:bob@example.com>;tag=b");
    head.line(crate::sip::Name::To, "<sip:bob@example.com>");
    head.line(crate::sip::Name::CallId, "c1");
    head.line(crate::sip::Name::CSeq, "4 PUBLISH");
    head.line(crate::sip::Name::Event, "presence");
    Outgoing {
        token,
        method: Method::Publish,
        uri: "sip:bob@example.com".to_owned(),
        first_route: Some("sip:127.0.0.1:5062".to_owned()),
        head: head.finish(),
        body: Bytes::new(),
        destination: Destination::NextHop,
    }
}

const CHALLENGE: &str = "401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"";

#[test]
fn a_challenged_request_goes_out_again_and_its_module_sees_one_answer() {
    let mut bench = bench();
    let first = sent(&bench.send(publish(1)));
    assert_eq!(header(&first, "Authorization"), None);
    let second = sent(&bench.receive(udp(5062), &response(&first, CHALLENGE)));
    let credentials = header(&second, "Authorization")
        .expect("credentials")
        .to_owned();
    assert!(
        credentials.contains("nonce=\"n1\"") && credentials.contains("nc=00000001"),
        "{credentials}"
    );
    assert_eq!(header(&second, "CSeq"), Some("5 PUBLISH"));
    assert_ne!(header(&first, "Via"), header(&second, "Via"));
    let end = bench.receive(udp(5062), &response(&second, "200 OK"));
    assert_eq!(show(&end), ["outcome 1@0 1 200"]);
    // What follows is not challenged: the nonce is used again, under the next count.
    let third = sent(&bench.send(publish(2)));
    let credentials = header(&third, "Authorization").expect("credentials");
    assert!(credentials.contains("nc=00000002"), "{credentials}");
    assert_eq!(bench.counters().credentials_sent, 1);
}

#[test]
fn credentials_that_are_refused_are_not_sent_for_ever() {
    let mut bench = bench();
    let first = sent(&bench.send(publish(1)));
    let second = sent(&bench.receive(udp(5062), &response(&first, CHALLENGE)));
    let end = bench.receive(udp(5062), &response(&second, CHALLENGE));
    assert_eq!(show(&end), ["outcome 1@0 1 401"]);
    // The next request is tried without them, and a server that calls every nonce stale is believed once.
    let stale = format!("{CHALLENGE}, stale=true");
    let mut last = sent(&bench.send(publish(2)));
    assert_eq!(header(&last, "Authorization"), None);
    for _ in 0..2 {
        last = sent(&bench.receive(udp(5062), &response(&last, &stale)));
    }
    let end = bench.receive(udp(5062), &response(&last, &stale));
    assert_eq!(show(&end), ["outcome 1@0 2 401"]);
}

#[test]
fn what_cannot_be_answered_is_the_module_s() {
    let mut bench = bench();
    for challenge in [
        "401 Unauthorized",
        "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"r\"",
        "407 Proxy Authentication Required\r\nProxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth-int\"",
    ] {
        let first = sent(&bench.send(publish(1)));
        let end = bench.receive(udp(5062), &response(&first, challenge));
        let status = &challenge[..3];
        assert_eq!(show(&end), [format!("outcome 1@0 1 {status}")]);
    }
}

#[test]
fn a_request_to_a_module_is_challenged_and_one_to_the_endpoint_is_not() {
    let mut bench = bench();
    let challenge = sent(&bench.receive(udp(5062), PUBLISH));
    assert!(
        challenge.starts_with("SIP/2.0 401 Unauthorized\r\n"),
        "{challenge}"
    );
    assert!(
        header(&challenge, "WWW-Authenticate").is_some(),
        "{challenge}"
    );
    let again = sent(&bench.receive(udp(5062), &request("OPTIONS")));
    assert!(again.starts_with("SIP/2.0 200 OK\r\n"), "{again}");
    let trusted = Flow {
        remote: address("192.0.2.9:5062"),
        ..udp(5062)
    };
    delivered(&bench.receive(trusted, PUBLISH));
    assert_eq!(bench.counters().challenged, 1);
}
