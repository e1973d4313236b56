//! Peers that fail, and ways that are bad: each costs its own, and nobody else anything.

use std::io::Read;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::mpsc;
use std::time::Instant;

use rollcall::core::sip::{Message, Name};

use super::kit::{BOB, Dialog, Peer, Server, body, code, pidf, published, text};
use crate::support::{LIMIT, eventually};

/// 64*T1 is a little more than a second.
const QUICK: &str = "[timers]\nt1 = \"20ms\"\nt2 = \"80ms\"\nt4 = \"100ms\"\n";

fn note(text: &str) -> String {
    pidf(BOB, "t", "open", &format!("<note>{text}</note>"))
}

/// Waits until so many subscriptions are left.
fn left(server: &Server, count: u64) {
    eventually(&format!("{count} subscriptions left"), || {
        let counters = server.counters();
        let now = counters.get("registry.subscription_count").copied();
        (now.unwrap_or(0) == count).then_some(())
    });
}

#[test]
fn a_phone_that_loses_power_is_forgotten_and_served_anew_when_it_is_back() {
    let server = Server::with(2, QUICK);
    let (mut desk, mut other) = (server.by_udp(), server.by_udp());
    Dialog::open(&mut other, BOB, 600, "");
    other.notify();
    let mut phone = server.by_udp();
    let dialog = Dialog::open(&mut phone, BOB, 600, "");
    phone.notify();
    drop(phone);
    // As many changes as NOTIFYs may go unanswered: the other one hears of each at once.
    let mut tag = published(&mut desk, BOB, "", &note("change 0"));
    assert!(body(&other.notify()).contains("change 0"));
    let deadline = Instant::now() + LIMIT;
    for number in 1.. {
        let counters = server.counters();
        if counters.get("registry.subscription_count") == Some(&1) {
            break;
        }
        assert!(Instant::now() < deadline, "it is still kept: {counters:?}");
        let change = format!("change {number}");
        let condition = format!("SIP-If-Match: {tag}\n");
        tag = published(&mut desk, BOB, &condition, &note(&change));
        assert!(body(&other.notify()).contains(&change));
    }
    // It is back, and knows nothing of before; its old dialog is gone.
    let mut phone = server.by_udp();
    assert_eq!(code(&dialog.ask(&mut phone, 9, 600, "presence")), 481);
    Dialog::open(&mut phone, BOB, 600, "");
    assert!(body(&phone.notify()).contains("change"));
    left(&server, 2);
}

#[test]
fn a_client_that_exits_without_unpublishing_is_shown_for_its_lifetime_and_no_longer() {
    let server = Server::with(1, "[publish]\nmin = \"1s\"\n");
    let mut watcher = server.by_udp();
    Dialog::open(&mut watcher, BOB, 600, "");
    watcher.notify();
    let mut client = server.by_tcp();
    let head = "Event: presence\nContent-Type: application/pidf+xml\nExpires: 1\n";
    let ok = client.ask("PUBLISH", BOB, head, &note("here"));
    assert_eq!((code(&ok), text(&ok, Name::Expires)), (200, "1".to_owned()));
    drop(client);
    assert!(body(&watcher.notify()).contains("here"));
    // Nobody asks: the end comes by itself.
    assert_eq!(body(&watcher.notify()), "");
}

#[test]
fn a_watcher_behind_a_dead_connection_costs_its_own_subscription_alone() {
    let server = Server::with(2, QUICK);
    let (mut desk, mut other) = (server.by_udp(), server.by_tcp());
    Dialog::open(&mut other, BOB, 600, "");
    other.notify();
    for number in 0..20 {
        let mut phone = server.by_tcp();
        // Nobody listens there, so there is no way to it but this connection, and that ends now.
        let head = "Event: presence\nContact: <sip:w@127.0.0.1:9;transport=tcp>\nExpires: 3\n";
        assert_eq!(
            code(&phone.ask("SUBSCRIBE", BOB, head, "")),
            200,
            "{number}"
        );
        phone.notify();
    }
    left(&server, 21);
    let mut tag = published(&mut desk, BOB, "", &note("change 0"));
    for number in 1..50 {
        assert!(body(&other.notify()).contains(&format!("change {}<", number - 1)));
        let change = note(&format!("change {number}"));
        tag = published(&mut desk, BOB, &format!("SIP-If-Match: {tag}\n"), &change);
    }
    assert!(body(&other.notify()).contains("change 49<"));
    // Failures are forgiven while a subscription lives, and it lives as long as was asked for.
    left(&server, 1);
    server.assert_well();
}

#[test]
fn a_slow_reader_among_fast_ones_keeps_nobody_waiting() {
    let server = Server::with(1, "");
    let mut desk = server.by_tcp();
    let mut slow = TcpStream::connect(server.tcp).expect("a connection");
    let own = slow.local_addr().expect("a connection");
    // Subscriptions enough that what is sent at a single change fills every buffer on the way, and nothing is read.
    for number in 0..400 {
        let uri = format!("sip:w@{own};transport=tcp");
        let request = format!(
            "SUBSCRIBE {BOB} SIP/2.0\r\nVia: SIP/2.0/TCP {own};branch=z9hG4bKs{number}\r\nMax-Forwards: 70\r\nFrom: <{uri}>;tag=s\
             \r\nTo: <{BOB}>\r\nCall-ID: slow{number}\r\nCSeq: 1 SUBSCRIBE\r\nContact: <{uri}>\r\nEvent: presence\r\nExpires: 600\
             \r\nContent-Length: 0\r\n\r\n"
        );
        std::io::Write::write_all(&mut slow, request.as_bytes()).expect("it is taken");
    }
    left(&server, 400);
    let mut fast: Vec<Peer> = (0..5).map(|_| server.by_tcp()).collect();
    for peer in &mut fast {
        Dialog::open(peer, BOB, 600, "");
        peer.notify();
    }
    let filler = "x".repeat(50_000);
    let mut tag = published(&mut desk, BOB, "", &note(&format!("0 {filler}")));
    for number in 0..5 {
        for peer in &mut fast {
            assert!(body(&peer.notify()).contains(&format!("<note>{number} ")));
        }
        let next = note(&format!("{} {filler}", number + 1));
        tag = published(&mut desk, BOB, &format!("SIP-If-Match: {tag}\n"), &next);
    }
    // Its first NOTIFYs were never answered; when they time out, or its queue is full, it is the only one that goes.
    let counters = server.counters();
    assert_eq!(
        counters.get("endpoint.transport.panics"),
        None,
        "{counters:?}"
    );
    server.assert_well();
    slow.shutdown(std::net::Shutdown::Write).expect("it stands");
    slow.set_read_timeout(Some(LIMIT)).expect("a socket");
    let mut some = [0; 12];
    slow.read_exact(&mut some)
        .expect("what was sent to it waits for it");
    assert_eq!(&some, b"SIP/2.0 200 ");
}

/// A way that sends each datagram twice, and of two that come together the second first.
struct BadWay {
    address: SocketAddr,
    _stop: mpsc::Sender<()>,
}

impl BadWay {
    fn to(server: SocketAddr) -> Self {
        let front = UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
        let address = front.local_addr().expect("a bound socket");
        let (stop, stopped) = mpsc::channel::<()>();
        front
            .set_read_timeout(Some(std::time::Duration::from_millis(20)))
            .expect("a socket");
        std::thread::spawn(move || {
            let mut client = None;
            let mut held: Option<(Vec<u8>, SocketAddr)> = None;
            let mut buffer = vec![0; 65_535];
            while stopped.try_recv() != Err(mpsc::TryRecvError::Disconnected) {
                let Ok((length, from)) = front.recv_from(&mut buffer) else {
                    // Nothing follows: what is held back goes at last.
                    if let Some((bytes, to)) = held.take() {
                        let _ = front.send_to(&bytes, to);
                    }
                    continue;
                };
                if from != server {
                    client = Some(from);
                }
                let Some(to) = (if from == server { client } else { Some(server) }) else {
                    continue;
                };
                let bytes = buffer[..length].to_vec();
                let _ = front.send_to(&bytes, to);
                // The one before it comes late, and for the second time.
                if let Some((late, to)) = held.replace((bytes, to)) {
                    let _ = front.send_to(&late, to);
                }
            }
        });
        Self {
            address,
            _stop: stop,
        }
    }
}

#[test]
fn a_way_that_doubles_and_reorders_changes_nothing() {
    let server = Server::with(1, QUICK);
    let way = BadWay::to(server.udp);
    let mut peer = Peer::udp(way.address);
    let mut witness = server.by_udp();
    Dialog::open(&mut witness, BOB, 600, "");
    witness.notify();
    let mut tag = String::new();
    for number in 0..20 {
        let condition = if tag.is_empty() {
            String::new()
        } else {
            format!("SIP-If-Match: {tag}\n")
        };
        let next = published(&mut peer, BOB, &condition, &note(&number.to_string()));
        assert_ne!(next, tag);
        tag = next;
        assert!(body(&witness.notify()).contains(&format!("<note>{number}</note>")));
    }
    let counters = server.counters();
    assert_eq!(
        counters.get("registry.publication_count"),
        Some(&1),
        "{counters:?}"
    );
}

#[test]
fn a_proxy_that_forks_makes_one_subscription() {
    let server = Server::start();
    let mut peer = server.by_udp();
    let own = peer.local();
    let subscribe = |branch: &str| {
        format!(
            "SUBSCRIBE {BOB} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{branch};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:w@example.com>;tag=f\r\nTo: <{BOB}>\r\nCall-ID: forked\r\nCSeq: 1 SUBSCRIBE\r\nContact: <sip:w@{own}>\r\n\
             Event: presence\r\nExpires: 600\r\nContent-Length: 0\r\n\r\n"
        )
    };
    peer.send(subscribe("left"));
    peer.send(subscribe("right"));
    let by = |branch: &'static str| {
        move |message: &Message| {
            !message.is_request() && message.via().is_ok_and(|via| via.branch() == Some(branch))
        }
    };
    assert_eq!(code(&peer.expect("an answer", by("z9hG4bKleft"))), 200);
    assert_eq!(code(&peer.expect("an answer", by("z9hG4bKright"))), 482);
    peer.notify();
    left(&server, 1);
}
