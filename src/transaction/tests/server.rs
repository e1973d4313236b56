//! Servers: what waits for an answer, what repeats it, and when it is forgotten.

use super::*;

/// A key by its text.
fn key(text: &str) -> TransactionKey {
    let message = Message::parse(Bytes::from_static(PUBLISH)).expect("a message");
    let via = Via::parse(&format!("SIP/2.0/UDP h;branch=z9hG4bK{text}")).expect("a Via");
    server_key(
        Secret::draw(&mut Entropy::from_number(1)),
        &mut Vec::new(),
        &message,
        &Method::Publish,
        &via,
        &flow(Transport::Udp),
    )
}

const PUBLISH: &[u8] =
    b"PUBLISH sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1\r\nContent-Length: 0\r\n\r\n";

fn serve_over(transport: Transport) -> (Servers, Wheel<Timer>, u64) {
    let (mut servers, mut wheel) = (Servers::new(2), Wheel::new());
    let pending = Pending {
        request: Message::parse(Bytes::from_static(PUBLISH)).expect("a message"),
        flow: flow(transport),
        patch: None,
        port: None,
        proven: false,
    };
    let number = servers.begin(
        at(0),
        &mut wheel,
        &TIMERS,
        key("one"),
        Some((1, 2)),
        pending,
    );
    (servers, wheel, number)
}

fn serve() -> (Servers, Wheel<Timer>, u64) {
    serve_over(Transport::Udp)
}

fn answer() -> Kept {
    Kept::new(
        StatusCode::OK,
        "t",
        Some("Fine"),
        true,
        b"A: b\r\n",
        b"body",
    )
}

#[test]
fn what_is_kept_of_a_response_is_all_of_it() {
    let kept = answer();
    assert_eq!(
        (kept.status, kept.copy_record_route),
        (StatusCode::OK, true)
    );
    assert_eq!((kept.to_tag(), kept.reason()), ("t", Some("Fine")));
    assert_eq!((kept.head(), kept.body()), (&b"A: b\r\n"[..], &b"body"[..]));
    let bare = Kept::new(StatusCode::OK, "", None, false, b"", b"");
    assert_eq!((bare.to_tag(), bare.reason()), ("", None));
    assert!(bare.head().is_empty() && bare.body().is_empty());
}

#[test]
fn a_server_waits_64_t1_for_its_module() {
    let (mut servers, mut wheel, number) = serve();
    assert_eq!(servers.find(key("one")), Some(Found::Trying));
    assert_eq!(servers.give_up(at(639), &mut wheel), 0);
    assert_eq!(
        servers.give_up(at(640), &mut wheel),
        1,
        "the module owed an answer"
    );
    assert_eq!(servers.give_up(at(640), &mut wheel), 0);
    assert!(servers.pending(number).is_none() && servers.find(key("one")).is_none());
    assert_eq!((servers.trying(), servers.len()), (0, 0));
}

#[test]
fn one_timer_waits_for_all_modules() {
    let (mut servers, mut wheel, first) = serve();
    let pending = servers.pending(first).cloned().expect("pending");
    for (now, name) in [(1, "two"), (2, "three")] {
        servers.begin(
            at(now),
            &mut wheel,
            &TIMERS,
            key(name),
            None,
            pending.clone(),
        );
    }
    servers.complete(at(3), &mut wheel, &TIMERS, first, answer());
    assert_eq!(wheel.pop(at(641)), Some((at(640), Timer::Unanswered)));
    assert_eq!(servers.give_up(at(641), &mut wheel), 1, "of the second");
    assert_eq!(
        armed(&mut wheel),
        [(642, Timer::Unanswered), (643, Timer::J)]
    );
    assert_eq!(servers.give_up(at(642), &mut wheel), 1);
    assert_eq!(armed(&mut wheel), []);
}

#[test]
fn a_server_on_udp_repeats_its_answer_until_timer_j() {
    let (mut servers, mut wheel, number) = serve();
    servers.complete(at(5), &mut wheel, &TIMERS, number, answer());
    assert_eq!(servers.find(key("one")), Some(Found::Completed(answer())));
    assert_eq!(
        armed(&mut wheel),
        [(640, Timer::Unanswered), (645, Timer::J)]
    );
    assert_eq!(
        servers.give_up(at(640), &mut wheel),
        0,
        "nobody owed anything"
    );
    servers.expire(at(644), &mut wheel);
    assert!(servers.find(key("one")).is_some());
    assert_eq!(armed(&mut wheel), [(645, Timer::J)]);
    servers.expire(at(645), &mut wheel);
    assert_eq!((servers.find(key("one")), servers.len()), (None, 0));
    assert_eq!(armed(&mut wheel), []);
}

#[test]
fn a_server_on_tcp_is_gone_with_its_answer() {
    let (mut servers, mut wheel, number) = serve_over(Transport::Tcp);
    servers.complete(at(5), &mut wheel, &TIMERS, number, answer());
    assert_eq!(
        (servers.find(key("one")), servers.trying(), servers.len()),
        (None, 0, 0)
    );
    assert_eq!(armed(&mut wheel), [(640, Timer::Unanswered)]);
    assert_eq!(servers.give_up(at(640), &mut wheel), 0);
}

#[test]
fn the_number_of_a_transaction_is_not_used_again() {
    let (mut servers, mut wheel, number) = serve();
    let pending = servers.pending(number).cloned().expect("pending");
    servers.give_up(at(640), &mut wheel);
    let next = servers.begin(at(641), &mut wheel, &TIMERS, key("one"), None, pending);
    assert_ne!(next, number);
    assert!(servers.pending(number).is_none() && servers.pending(next).is_some());
    servers.complete(at(642), &mut wheel, &TIMERS, number, answer());
    assert_eq!(
        servers.find(key("one")),
        Some(Found::Trying),
        "an old number does nothing"
    );
}

#[test]
fn a_request_is_merged_if_its_twin_lives_and_came_with_another_branch() {
    let (mut servers, mut wheel, _) = serve();
    assert!(servers.is_merged((1, 3)));
    assert!(!servers.is_merged((1, 2)), "the same branch");
    assert!(!servers.is_merged((2, 3)), "nothing in common");
    servers.give_up(at(640), &mut wheel);
    assert!(!servers.is_merged((1, 3)));
}

#[test]
fn of_too_many_answers_the_oldest_is_forgotten_early() {
    let (mut servers, mut wheel, first) = serve();
    let pending = servers.pending(first).cloned().expect("pending");
    let complete = |servers: &mut Servers, wheel: &mut Wheel<Timer>, number| {
        servers.complete(at(0), wheel, &TIMERS, number, answer())
    };
    assert_eq!(complete(&mut servers, &mut wheel, first), 0);
    let [second, third] = ["second", "third"]
        .map(|name| servers.begin(at(0), &mut wheel, &TIMERS, key(name), None, pending.clone()));
    assert_eq!(complete(&mut servers, &mut wheel, second), 0);
    assert_eq!(complete(&mut servers, &mut wheel, third), 1);
    assert_eq!(servers.find(key("one")), None);
    assert!(servers.find(key("second")).is_some() && servers.find(key("third")).is_some());
    servers.expire(at(640), &mut wheel);
    assert_eq!(servers.len(), 0);
}

#[test]
fn answered_requests_do_not_pile_up_behind_one_that_is_not() {
    let (mut servers, mut wheel, first) = serve();
    let pending = servers.pending(first).cloned().expect("pending");
    for request in 0..5000 {
        let key = key(&request.to_string());
        let number = servers.begin(at(1), &mut wheel, &TIMERS, key, None, pending.clone());
        servers.complete(at(1), &mut wheel, &TIMERS, number, answer());
    }
    assert!(servers.waiting() <= 1026, "{}", servers.waiting());
    assert_eq!(servers.give_up(at(640), &mut wheel), 1);
}

#[test]
fn what_a_crowd_took_is_given_back_when_it_is_gone() {
    let (mut servers, mut wheel) = (Servers::new(100_000), Wheel::new());
    let pending = serve().0.pending(1 << 32).cloned().expect("pending");
    for request in 0..20_000 {
        let key = key(&request.to_string());
        let merge = Some((request, 1));
        let number = servers.begin(at(1), &mut wheel, &TIMERS, key, merge, pending.clone());
        servers.complete(at(1), &mut wheel, &TIMERS, number, answer());
    }
    assert!(servers.room() >= 60_000);
    servers.expire(at(641), &mut wheel);
    assert!(
        servers.is_empty() && servers.room() < 10_000,
        "{}",
        servers.room()
    );
}
