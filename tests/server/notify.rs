//! NOTIFY (RFC 6665, 4.2.2): one in flight, the latest state wins, and when a subscription is removed.

use std::time::{Duration, Instant};

use rollcall::core::sip::{Message, Name};

use super::kit::{
    BOB, Dialog, Peer, Server, body, branch, code, pidf, publish, published, shown, text,
};

fn note(text: &str) -> String {
    pidf(BOB, "t", "open", &format!("<note>{text}</note>"))
}

/// Publishes once more under the tag of before.
fn change(desk: &mut Peer, etag: &mut String, text: &str) {
    let condition = match &**etag {
        "" => String::new(),
        etag => format!("SIP-If-Match: {etag}\n"),
    };
    *etag = published(desk, BOB, &condition, &note(text));
}

fn cseq(message: &Message) -> u32 {
    message.cseq().expect("a CSeq").number
}

/// ```text
///   desk                server              phone
///     | -- PUBLISH 1 --> | -- NOTIFY 1 -----> |  (no answer yet)
///     | -- PUBLISH 2 --> |                    |
///     | -- PUBLISH 3 --> |                    |
///     |                  | <-- 200 ---------- |
///     |                  | -- NOTIFY 3 -----> |  once
/// ```
#[test]
fn changes_during_a_notify_are_told_once_after_its_answer_and_the_latest_wins() {
    let server = Server::start();
    for mut phone in [server.by_udp(), server.by_tcp()] {
        let mut desk = server.by_udp();
        Dialog::open(&mut phone, BOB, 600, "");
        phone.notify();
        let mut etag = String::new();
        change(&mut desk, &mut etag, "one");
        let first = phone.unanswered_notify();
        assert!(body(&first).contains("one"));
        change(&mut desk, &mut etag, "two");
        change(&mut desk, &mut etag, "three");
        phone.fence();
        assert_eq!(phone.rest(), [""; 0], "one in flight");
        phone.answer(&first, "200 OK", "");
        let next = phone.notify();
        assert_eq!((cseq(&next), body(&next).contains("three")), (3, true));
        change(&mut desk, &mut etag, "four");
        let last = phone.notify();
        assert_eq!(
            (cseq(&last), body(&last).contains("four")),
            (4, true),
            "nothing between"
        );
        desk.ask(
            "PUBLISH",
            BOB,
            &format!("Event: presence\nSIP-If-Match: {etag}\nExpires: 0\n"),
            "",
        );
    }
}

#[test]
fn cseq_grows_by_one_with_each_notify() {
    let server = Server::start();
    let (mut desk, mut phone) = (server.by_udp(), server.by_udp());
    let dialog = Dialog::open(&mut phone, BOB, 600, "");
    let mut numbers = vec![cseq(&phone.notify())];
    let mut etag = String::new();
    for round in 0..10 {
        change(&mut desk, &mut etag, &format!("round {round}"));
        numbers.push(cseq(&phone.notify()));
        if round % 3 == 0 {
            assert_eq!(
                code(&dialog.ask(&mut phone, 100 + round, 600, "presence")),
                200
            );
            numbers.push(cseq(&phone.notify()));
        }
    }
    let first = numbers[0];
    let expected: Vec<u32> = (first..first + 15).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn what_did_not_change_is_not_told() {
    let server = Server::start();
    let (mut desk, mut phone) = (server.by_udp(), server.by_udp());
    Dialog::open(&mut phone, BOB, 600, "");
    phone.notify();
    let mut etag = String::new();
    for text in ["same", "same", "same", "other"] {
        change(&mut desk, &mut etag, text);
    }
    assert!(body(&phone.notify()).contains("same"));
    let notify = phone.notify();
    assert_eq!((cseq(&notify), body(&notify).contains("other")), (3, true));
}

#[test]
fn the_answers_that_mean_gone_remove_the_subscription_and_others_do_not() {
    let server = Server::start();
    let mut desk = server.by_udp();
    let mut etag = String::new();
    let gone = [
        404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604,
    ];
    let kept = [400, 403, 406, 500, 503, 600];
    let mut dropped = 0;
    for status in gone.into_iter().chain(kept) {
        let mut phone = server.by_udp();
        let dialog = Dialog::open(&mut phone, BOB, 600, "");
        let first = phone.unanswered_notify();
        phone.answer(&first, &format!("{status} As Told"), "");
        if gone.contains(&status) {
            dropped += 1;
            crate::support::eventually("the end of the subscription", || {
                (server.counters().get("registry.dropped") == Some(&dropped)).then_some(())
            });
        }
        let after = code(&dialog.ask(&mut phone, 50, 600, "presence"));
        if gone.contains(&status) {
            assert_eq!(after, 481, "after {status}");
            change(&mut desk, &mut etag, &format!("after {status}"));
            phone.fence();
            assert_eq!(phone.rest(), [""; 0], "after {status}");
        } else {
            assert_eq!(after, 200, "after {status}");
            assert_eq!(cseq(&phone.notify()), 2, "after {status}");
            dialog.ask(&mut phone, 51, 0, "presence");
            phone.notify();
        }
    }
    server.assert_well();
}

#[test]
fn a_busy_watcher_is_told_again_when_it_said() {
    let server = Server::start();
    let (mut desk, mut phone) = (server.by_udp(), server.by_udp());
    Dialog::open(&mut phone, BOB, 600, "");
    let first = phone.unanswered_notify();
    phone.answer(&first, "503 Busy", "Retry-After: 1\n");
    let begun = Instant::now();
    phone.fence();
    let mut etag = String::new();
    change(&mut desk, &mut etag, "meanwhile");
    let next = phone.notify();
    assert!(
        begun.elapsed() >= Duration::from_millis(900),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!((cseq(&next), body(&next).contains("meanwhile")), (2, true));
}

#[test]
fn a_watcher_that_never_answers_is_forgotten_after_the_configured_number_of_timeouts() {
    let sections = "[timers]\nt1 = \"10ms\"\nt2 = \"40ms\"\nt4 = \"50ms\"\n[notify]\npacing = \"0s\"\noffline = false\ntimeouts = 2\n";
    let server = Server::with(1, sections);
    let mut phone = server.by_udp();
    let dialog = Dialog::open(&mut phone, BOB, 600, "");
    // Each is sent again and again under its own branch (Timer E), and given up after 64*T1 (Timer F).
    let (first, second) = (phone.unanswered_notify(), phone.unanswered_notify());
    assert_eq!((cseq(&first), cseq(&second)), (1, 2));
    assert_ne!(branch(&first), branch(&second));
    crate::support::eventually("the end of the subscription", || {
        (server.counters().get("registry.dropped") == Some(&1)).then_some(())
    });
    assert_eq!(code(&dialog.ask(&mut phone, 7, 600, "presence")), 481);
    assert_eq!(phone.rest(), [""; 0], "two and no more");
    let counters = server.counters();
    assert_eq!(counters.get("endpoint.core.timeouts"), Some(&2));
    assert!(counters["endpoint.core.requests_retransmitted"] > 2);
}

#[test]
fn a_subscription_that_is_not_refreshed_ends_on_the_second_and_says_so() {
    let server = Server::start();
    let (mut desk, mut phone) = (server.by_udp(), server.by_udp());
    published(&mut desk, BOB, "", &note("here"));
    let dialog = Dialog::open(&mut phone, BOB, 1, "");
    let begun = Instant::now();
    assert_eq!(shown(&phone.notify()).0, "active;expires=1");
    let (state, number, document) = shown(&phone.notify());
    let lived = begun.elapsed();
    assert_eq!((&*state, number), ("terminated;reason=timeout", 2));
    assert!(
        document.contains("here"),
        "the last NOTIFY carries the state"
    );
    assert!(lived >= Duration::from_millis(900), "{lived:?}");
    assert_eq!(code(&dialog.ask(&mut phone, 5, 600, "presence")), 481);
    assert_eq!(server.counters().get("registry.expired"), Some(&1));
}

#[test]
fn an_end_that_comes_during_a_notify_waits_for_its_answer() {
    let server = Server::start();
    let mut phone = server.by_udp();
    let dialog = Dialog::open(&mut phone, BOB, 600, "");
    let first = phone.unanswered_notify();
    assert_eq!(code(&dialog.ask(&mut phone, 2, 0, "presence")), 200);
    phone.fence();
    assert_eq!(phone.rest(), [""; 0]);
    phone.answer(&first, "200 OK", "");
    let (state, number, _) = shown(&phone.notify());
    assert_eq!((&*state, number), ("terminated;reason=timeout", 2));
}

#[test]
fn changes_of_one_presentity_are_gathered_for_as_long_as_is_configured() {
    let server = Server::with(1, "[notify]\npacing = \"1s\"\noffline = false\n");
    let (mut desk, mut phone) = (server.by_udp(), server.by_udp());
    Dialog::open(&mut phone, BOB, 600, "");
    phone.notify();
    let mut etag = String::new();
    change(&mut desk, &mut etag, "first");
    assert!(body(&phone.notify()).contains("first"), "told at once");
    let begun = Instant::now();
    for text in ["second", "third", "fourth"] {
        change(&mut desk, &mut etag, text);
    }
    let notify = phone.notify();
    assert!(
        begun.elapsed() >= Duration::from_millis(700),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!((cseq(&notify), body(&notify).contains("fourth")), (3, true));
    let answer = publish(&mut desk, BOB, "Expires: 0\n", "");
    assert!(answer.has(Name::SipEtag));
}

#[test]
fn without_publications_watchers_are_told_closed() {
    let server = Server::with(1, "[notify]\npacing = \"0s\"\n");
    let (mut desk, mut phone) = (server.by_udp(), server.by_udp());
    Dialog::open(&mut phone, BOB, 600, "");
    let is_offline = |notify: &Message| {
        assert_eq!(text(notify, Name::ContentType), "application/pidf+xml");
        let document = body(notify);
        assert!(
            document.contains(&format!("entity=\"{BOB}\"")),
            "{document}"
        );
        assert!(document.contains("<basic>closed</basic>"), "{document}");
    };
    is_offline(&phone.notify());
    let etag = published(&mut desk, BOB, "", &pidf(BOB, "t", "open", ""));
    assert!(body(&phone.notify()).contains("<basic>open</basic>"));
    published(
        &mut desk,
        BOB,
        &format!("SIP-If-Match: {etag}\nExpires: 0\n"),
        "",
    );
    is_offline(&phone.notify());
}

/// ```text
///   desk                server              phone, UDP            phone, UDP and TCP on one port
///     | -- PUBLISH ----> | -- TCP? refused -> |                      |
///     |                  | -- NOTIFY, UDP --> |                      |
///     |                  | -- TCP -------------------- connected --> |
///     |                  | -- NOTIFY, Via TCP ---------------------> |
/// ```
#[test]
fn a_large_notify_goes_over_tcp_or_over_udp_where_nobody_listens() {
    let server = Server::with(1, "[limits]\ndatagram = 1300\n");
    let mut desk = server.by_udp();
    let mut plain = server.by_udp();
    // A port that is free for both: the system gives one for UDP, which a connection of somebody may have by chance.
    let (mut both, listener) = std::iter::repeat_with(|| server.by_udp())
        .take(20)
        .find_map(|phone| Some((std::net::TcpListener::bind(phone.local()).ok()?, phone)))
        .map(|(listener, phone)| (phone, listener))
        .expect("a port that is free for UDP and TCP");
    for phone in [&mut plain, &mut both] {
        Dialog::open(phone, BOB, 600, "");
        phone.notify();
    }
    let long = "x".repeat(1500);
    published(&mut desk, BOB, "", &note(&long));
    let by_datagram = plain.notify();
    assert_eq!(&*by_datagram.via().expect("a Via").transport, "UDP");
    assert!(body(&by_datagram).contains(&long));
    let (stream, _) = listener.accept().expect("a connection");
    let mut connected = Peer::stream(stream);
    let by_stream = connected.notify();
    assert_eq!(&*by_stream.via().expect("a Via").transport, "TCP");
    assert!(body(&by_stream).contains(&long));
    let counters = server.counters();
    let count = |name: &str| counters[&format!("endpoint.core.{name}")];
    assert_eq!(
        (count("requests_too_large"), count("datagrams_instead")),
        (2, 1)
    );
    both.fence();
    assert_eq!(both.rest(), [""; 0], "it is told once");
}
