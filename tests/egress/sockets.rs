//! The same over real sockets: `rollcall server` that takes loopback for a network of strangers.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::time::Duration;

use crate::server::kit::{BOB, Server, body, pidf, published};

/// Timer F after 1.3 s; nobody's address is believed.
const STRICT: &str = "[egress]\nunbounded = []\n[timers]\nt1 = \"20ms\"\n";

/// Somebody who hears what comes and says nothing.
struct Victim(UdpSocket);

impl Victim {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        // Longer than Timer F: then nothing more comes by itself.
        socket
            .set_read_timeout(Some(Duration::from_millis(1800)))
            .expect("a limit");
        Self(socket)
    }

    /// Sends a SUBSCRIBE; its length.
    fn subscribe(&self, server: &Server, number: u32, lines: &str) -> usize {
        let at = self.0.local_addr().expect("a bound socket");
        let text = format!(
            "SUBSCRIBE {BOB} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bKv{number};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:eve@example.com>;tag=v{number}\r\nTo: <{BOB}>\r\nCall-ID: v{number}@{at}\r\nCSeq: 1 SUBSCRIBE\r\n\
             Contact: <sip:eve@{at}>\r\nEvent: presence\r\n{lines}Content-Length: 0\r\n\r\n"
        );
        self.0.send_to(text.as_bytes(), server.udp).expect("sent");
        text.len()
    }

    /// All that comes, by its first word, in bytes.
    fn heard(&self) -> BTreeMap<String, Vec<usize>> {
        let mut heard: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut buffer = [0; 65_536];
        while let Ok(length) = self.0.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]);
            let word = text.split(' ').next().unwrap_or_default().to_owned();
            heard.entry(word).or_default().push(length);
        }
        heard
    }
}

/// Bob is here, and says so at length.
fn note(text: &str) -> String {
    pidf(BOB, "desk", "open", &format!("<note>{text}</note>"))
}

#[test]
fn an_address_that_never_answers_hears_three_times_what_came_from_it() {
    let server = Server::with(2, STRICT);
    let mut desk = server.by_tcp();
    let large = "x".repeat(50_000);
    let mut tag = published(&mut desk, BOB, "", &note(&large));
    let victim = Victim::new();
    let mut sent = victim.subscribe(&server, 1, "Expires: 600\r\n");
    sent += victim.subscribe(&server, 2, "Expires: 0\r\n");
    for round in 0..3 {
        let lines = format!("SIP-If-Match: {tag}\n");
        tag = published(&mut desk, BOB, &lines, &note(&format!("{round}{large}")));
    }
    let heard = victim.heard();
    let all: usize = heard.values().flatten().sum();
    assert!(all <= 3 * sent, "{sent} bytes drew {heard:?}");
    assert_eq!(heard["SIP/2.0"].len(), 2);
    assert!((1..=4).contains(&heard["NOTIFY"].len()), "{heard:?}");
    // And nothing later.
    published(
        &mut desk,
        BOB,
        &format!("SIP-If-Match: {tag}\n"),
        &note("end"),
    );
    assert!(victim.heard().is_empty());
    server.assert_well();
}

#[test]
fn a_phone_that_answers_gets_a_large_state_by_udp() {
    let server = Server::with(2, STRICT);
    let mut desk = server.by_tcp();
    let large = "y".repeat(20_000);
    published(&mut desk, BOB, "", &note(&large));
    let mut phone = server.by_udp();
    crate::server::kit::Dialog::open(&mut phone, BOB, 600, "");
    assert_eq!(body(&phone.notify()), "");
    assert!(body(&phone.notify()).contains(&large));
    server.assert_well();
}

#[test]
fn a_record_route_and_a_second_via_send_nothing_to_another_address() {
    let server = Server::start();
    let mut desk = server.by_udp();
    let stranger = Victim::new();
    let other = UdpSocket::bind("127.0.0.2:0").expect("an address of loopback");
    other
        .set_read_timeout(Some(Duration::from_millis(300)))
        .expect("a limit");
    let listener = std::net::TcpListener::bind(other.local_addr().expect("a bound socket"))
        .expect("the same port");
    listener.set_nonblocking(true).expect("a mode");
    let at = other.local_addr().expect("a bound socket");
    for (number, lines) in (1..).zip([
        format!("Record-Route: <sip:{at};lr>\r\n"),
        format!("Record-Route: <sip:{at};transport=tcp;lr>\r\n"),
        format!("Via: SIP/2.0/UDP {at};branch=z9hG4bKother\r\nRecord-Route: <sip:{at}>\r\n"),
    ]) {
        stranger.subscribe(&server, number, &lines);
    }
    published(&mut desk, BOB, "", &note("told to nobody else"));
    assert!(other.recv(&mut [0; 2048]).is_err(), "a NOTIFY");
    assert!(listener.accept().is_err(), "a connection");
    server.assert_well();
}
