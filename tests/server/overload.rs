//! Limits: over them a request is refused before any work, and what was accepted is not lost.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rollcall::core::sip::{Message, Name};

use super::kit::{BOB, Dialog, Peer, Server, code, contact, pidf, publish, published, shown, text};
use crate::support::process::Process;

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
    // One that is watched alone takes none of their room.
    Dialog::open(&mut phone, dave, 60, "");
    phone.notify();
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

/// Room for as many connections, here and in the server, which inherits it.
fn descriptors(count: u64) {
    let got = rlimit::increase_nofile_limit(count).expect("a limit of the system");
    assert!(
        got >= count,
        "{got} descriptors are allowed; the test needs `ulimit -Hn {count}`"
    );
}

/// Waits until the server has accepted so many connections.
fn accepted(server: &Server, count: u64) {
    crate::support::eventually("all connections", || {
        let counters = server.counters();
        let accepted = counters.get("endpoint.transport.connections_accepted");
        (accepted.copied() >= Some(count)).then_some(())
    });
}

/// What a publisher and a watcher have of a server: a change is told within this time.
fn serves(server: &Server) -> Duration {
    let (mut desk, mut phone) = (server.by_tcp(), server.by_udp());
    Dialog::open(&mut phone, BOB, 600, "");
    phone.notify();
    let begun = Instant::now();
    let etag = published(&mut desk, BOB, "", &pidf(BOB, "t", "open", ""));
    phone.notify();
    let took = begun.elapsed();
    published(
        &mut desk,
        BOB,
        &format!("SIP-If-Match: {etag}\nExpires: 0\n"),
        "",
    );
    phone.notify();
    took
}

#[test]
fn ten_thousand_idle_connections_keep_nobody_waiting() {
    descriptors(11_000);
    let server = Server::with(2, "[limits]\nconnections = 11000\n");
    serves(&server);
    let before = server.resident();
    let idle: Vec<TcpStream> = (0..10_000)
        .map(|_| TcpStream::connect(server.tcp).expect("the server listens"))
        .collect();
    accepted(&server, 10_000);
    let each = (server.resident() - before) * 1024 / 10_000;
    assert!(each < 16 * 1024, "{each} bytes for each connection");
    let took = serves(&server);
    assert!(took < Duration::from_secs(2), "{took:?}");
    drop(idle);
    serves(&server);
    server.assert_well();
}

#[test]
fn a_thousand_half_sent_requests_keep_nobody_waiting_and_are_answered_when_the_rest_comes() {
    let server = Server::with(2, "");
    let mut halves: Vec<(Peer, String)> = (0..1000)
        .map(|number| {
            let mut peer = server.by_tcp();
            let uri = format!("sip:half{number}@example.com");
            let head = "Event: presence\nContent-Type: application/pidf+xml\n";
            let request = peer.request("PUBLISH", &uri, head, &pidf(&uri, "t", "open", ""));
            // Cut within the headers, or within the body.
            let cut = if number % 2 == 0 {
                40
            } else {
                request.len() - 40
            };
            peer.send(&request[..cut]);
            (peer, request[cut..].to_owned())
        })
        .collect();
    accepted(&server, 1000);
    let took = serves(&server);
    assert!(took < Duration::from_secs(2), "{took:?}");
    for (peer, rest) in &mut halves {
        peer.send(rest);
    }
    for (peer, _) in &mut halves {
        assert_eq!(code(&peer.response(1, "PUBLISH")), 200);
    }
    server.assert_well();
}

#[test]
fn a_low_limit_of_descriptors_is_raised_or_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = |limit: &str| {
        let server = "exec rollcall server --listen tcp:127.0.0.1:0 --store memory:";
        Process::shell(folder.path(), &format!("ulimit {limit}; {server}"))
    };
    let raised = start("-Sn 256");
    let mut peers: Vec<Peer> = (0..400)
        .map(|_| Peer::tcp(raised.listening("tcp")))
        .collect();
    for peer in &mut peers {
        peer.fence();
    }
    let told = start("-n 1000");
    told.wait_for("the warning", |line| {
        line.contains("the system allows 1000 file descriptors")
    });
}

#[test]
fn datagrams_that_the_kernel_drops_are_told_and_counted() {
    let server = Server::with(1, "");
    let (mut crowd, mut peer) = (server.by_udp(), server.by_udp());
    // More than its buffer holds, which is 8 MiB with what the kernel needs itself, while it sleeps.
    let filler = format!("X-Filler: {}\n", "x".repeat(1000));
    let request = crowd.request("OPTIONS", BOB, &filler, "");
    server.process.signal("STOP");
    for _ in 0..20_000 {
        crowd.send(&request);
    }
    server.process.signal("CONT");
    for wanted in [
        "the kernel drops datagrams",
        "no more datagrams are dropped",
    ] {
        let limit = Instant::now() + Duration::from_secs(30);
        let is_told = || {
            server
                .process
                .lines()
                .iter()
                .any(|line| line.contains(wanted))
        };
        while !is_told() {
            assert!(Instant::now() < limit, "not told: {wanted}");
            assert_eq!(code(&peer.ask("OPTIONS", BOB, "", "")), 200);
        }
    }
    let counters = server.counters();
    let dropped = counters["endpoint.transport.datagrams_overflowed"];
    let received = counters["endpoint.transport.datagrams_received"];
    assert!(dropped > 5_000 && dropped < 20_000, "{dropped}");
    assert!(received + dropped > 20_000, "{received} and {dropped}");
    server.assert_well();
}
