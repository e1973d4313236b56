//! What goes wrong with SUBSCRIBE (RFC 6665, 4.1.2) and NOTIFY (4.1.3).

use super::*;

#[test]
fn a_notify_of_an_unknown_subscription_gets_481() {
    let mut world = World::subscribed();
    let text = format!(
        "NOTIFY sip:watcher@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
         From: <{ALICE}>;tag=n\r\nTo: <sip:bob@example.com>;tag=00\r\nCall-ID: strange\r\nCSeq: 1 NOTIFY\r\n\
         Event: presence\r\nSubscription-State: active\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(world.receive(&text), ["answer 481"]);
    assert_eq!(world.watcher.counters().unknown, 1);
}

#[test]
fn a_notify_for_another_event_id_or_package_gets_481() {
    let mut world = World::subscribed();
    let first = world.first.clone().expect("a subscription");
    let (to, call_id) = (
        first.text(Name::From).expect("From"),
        first.call_id().expect("Call-ID"),
    );
    for event in ["presence;id=7", "dialog"] {
        let text = format!(
            "NOTIFY sip:watcher@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
             Max-Forwards: 70\r\nFrom: <{ALICE}>;tag=n\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: 9 NOTIFY\r\n\
             Event: {event}\r\nSubscription-State: active\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(world.receive(&text), ["answer 481"], "{event}");
    }
}

#[test]
fn a_notify_without_its_state_gets_400_and_changes_nothing() {
    let mut world = World::subscribed();
    assert_eq!(world.notify_as("n", 2, "", BUSY), ["answer 400"]);
    let told = ["answer 200", "state Some(Open) busy"];
    assert_eq!(
        world.notify_as("n", 2, "Subscription-State: active;expires=3600\r\n", BUSY),
        told
    );
}

#[test]
fn a_notify_out_of_order_gets_500_and_one_seen_before_gets_200() {
    let mut world = World::subscribed();
    let state = "Subscription-State: active;expires=3600\r\n";
    assert_eq!(world.notify_as("n", 5, state, BUSY).len(), 2);
    assert_eq!(world.notify_as("n", 4, state, BUSY), ["answer 500"]);
    assert_eq!(world.notify_as("n", 5, state, BUSY), ["answer 200"]);
}

#[test]
fn a_body_that_is_no_pidf_is_told_as_it_came() {
    let mut world = World::subscribed();
    assert_eq!(
        world.notify("active;expires=3600", "<nonsense"),
        ["answer 200", "unread 9 of application/pidf+xml"]
    );
    assert_eq!(world.watcher.counters().unreadable, 1);
}

#[test]
fn an_accepted_subscription_without_a_notify_has_failed_after_timer_n() {
    let mut world = World::new();
    world.watch();
    world.accept(3600);
    let (took, told) = world.next_timer();
    assert_eq!(took, 32);
    assert_eq!(
        told,
        ["trouble 0 the subscription was accepted, and no NOTIFY came, again in 0"]
    );
    assert_eq!(
        world.next_timer().1,
        ["SUBSCRIBE sip:alice@example.com anew for 3600"]
    );
}

#[test]
fn passing_failures_are_repeated_ever_more_seldom_and_never_given_up() {
    for status in [
        "408 Request Timeout",
        "480 Temporarily Unavailable",
        "500 Oops",
        "503 Busy",
        "504 Time-out",
    ] {
        let mut world = World::new();
        world.watch();
        for least in [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
            world.answer(status, "");
            let before = world.now;
            assert_eq!(
                world.next_timer().1,
                ["SUBSCRIBE sip:alice@example.com anew for 3600"]
            );
            let waited = world.now.since(before).as_millis();
            assert!((least..=least * 2).contains(&waited), "{status}: {waited}");
        }
    }
}

#[test]
fn a_retry_after_is_heeded() {
    let mut world = World::new();
    world.watch();
    let told = ["trouble 503 Service Unavailable, again in 20"];
    assert_eq!(
        world.answer("503 Service Unavailable", "Retry-After: 20\r\n"),
        told
    );
    // Also of a server that looks at no password from here for a while.
    let mut world = World::new();
    world.watch();
    assert_eq!(
        world.answer("403 Forbidden", "Retry-After: 20\r\n"),
        ["trouble 403 Forbidden, again in 20"]
    );
}

#[test]
fn a_refused_subscription_is_tried_again_slowly() {
    for status in [
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "489 Bad Event",
        "603 Decline",
    ] {
        let mut world = World::new();
        world.watch();
        assert_eq!(
            world.answer(status, ""),
            [format!("trouble {status}, again in 300")]
        );
        assert_eq!(
            world.next_timer().1,
            ["SUBSCRIBE sip:alice@example.com anew for 3600"]
        );
    }
}

#[test]
fn a_423_asks_for_longer_at_once_but_only_if_that_is_news() {
    let mut world = World::new();
    world.watch();
    let told = ["SUBSCRIBE sip:alice@example.com anew for 7200"];
    assert_eq!(
        world.answer("423 Interval Too Brief", "Min-Expires: 7200\r\n"),
        told
    );
    let told = ["trouble 423 Interval Too Brief, again in 0"];
    assert_eq!(
        world.answer("423 Interval Too Brief", "Min-Expires: 7200\r\n"),
        told
    );
}

#[test]
fn a_refresh_answered_481_starts_a_new_subscription_at_once_and_then_with_a_back_off() {
    let mut world = World::subscribed();
    world.next_timer();
    let old = world.first.clone();
    assert_eq!(
        world.answer("481 Call/Transaction Does Not Exist", ""),
        ["SUBSCRIBE sip:alice@example.com anew for 3600"]
    );
    let new = world.first.clone().expect("a subscription");
    assert_ne!(old.expect("one before").call_id().ok(), new.call_id().ok());
    world.accept(1);
    world.notify("active;expires=1", BUSY);
    // It lapses before it is refreshed: nothing to refresh then.
    assert_eq!(
        world.next_timer().1,
        ["SUBSCRIBE sip:alice@example.com anew for 3600"]
    );
    world.accept(10);
    world.notify("active;expires=10", BUSY);
    world.next_timer();
    let told = world.answer("481 Call/Transaction Does Not Exist", "");
    assert!(told[0].starts_with("trouble 481"), "{told:?}");
}

#[test]
fn a_refresh_that_finds_nobody_leaves_the_subscription_until_it_expires() {
    let mut world = World::subscribed();
    let (mut passed, _) = world.next_timer();
    loop {
        let told = world.time_out();
        assert!(told[0].starts_with("trouble 408 no answer"), "{told:?}");
        let (took, told) = world.next_timer();
        passed += took + 1;
        if told == ["SUBSCRIBE sip:alice@example.com anew for 3600"] {
            break;
        }
        assert_eq!(told, ["SUBSCRIBE sip:n@192.0.2.1 in dialog for 3600"]);
        // Meanwhile it still stands.
        assert_eq!(
            world.notify("active", BUSY),
            ["answer 200", "state Some(Open) busy"]
        );
        assert!(passed < 3700);
    }
    assert!(passed >= 3500, "{passed}");
}

#[test]
fn a_terminated_subscription_is_renewed_as_its_reason_asks() {
    let cases = [
        (
            "deactivated",
            "SUBSCRIBE sip:alice@example.com anew for 3600",
        ),
        ("timeout", "SUBSCRIBE sip:alice@example.com anew for 3600"),
        (
            "deactivated;retry-after=9",
            "trouble 0 subscription terminated: deactivated, again in 9",
        ),
        (
            "probation;retry-after=30",
            "trouble 0 subscription terminated: probation, again in 30",
        ),
        (
            "probation",
            "trouble 0 subscription terminated: probation, again in 0",
        ),
        (
            "giveup",
            "trouble 0 subscription terminated: giveup, again in 0",
        ),
        (
            "strange",
            "trouble 0 subscription terminated: strange, again in 0",
        ),
        ("rejected", "ended: rejected"),
        ("noresource", "ended: noresource"),
        ("invariant", "ended: invariant"),
    ];
    for (reason, then) in cases {
        let mut world = World::subscribed();
        world.now = world.now + Duration::from_secs(60);
        let told = world.notify(&format!("terminated;reason={reason}"), "");
        assert_eq!(told[0], "answer 200", "{reason}");
        assert_eq!(told[2..], [then], "{reason}");
    }
}

#[test]
fn a_notifier_that_deactivates_at_once_what_it_accepts_is_not_asked_in_a_circle() {
    let mut world = World::subscribed();
    let told = world.notify("terminated;reason=deactivated", "");
    assert_eq!(told[2], "SUBSCRIBE sip:alice@example.com anew for 3600");
    world.accept(3600);
    let told = world.notify("terminated;reason=deactivated", "");
    assert!(told[2].starts_with("trouble 0"), "{told:?}");
    assert!(world.request.is_none());
}

#[test]
fn a_notify_that_terminates_during_a_refresh_makes_its_answer_void() {
    let mut world = World::subscribed();
    world.next_timer();
    let refresh = world.request.take().expect("a request");
    let told = world.notify("terminated;reason=deactivated", "");
    assert_eq!(told[2], "SUBSCRIBE sip:alice@example.com anew for 3600");
    assert_eq!(world.end(refresh.token, OutcomeResult::Timeout), [""; 0]);
}

#[test]
fn what_an_old_subscription_still_sends_gets_481() {
    let mut world = World::subscribed();
    let old = world.first.clone();
    world.now = world.now + Duration::from_secs(60);
    world.notify("terminated;reason=deactivated", "");
    world.first = old;
    assert_eq!(
        world.notify_as("n", 9, "Subscription-State: active\r\n", BUSY),
        ["answer 481"]
    );
}

#[test]
fn a_subscription_is_refreshed_soon_when_the_connection_it_was_heard_over_is_gone() {
    let mut world = World::new();
    world.watch();
    world.flow.transport = Transport::Tcp;
    world.flow.connection = ConnectionId(7);
    world.accept(3600);
    world.notify("active;expires=3600", BUSY);
    let planned = world.watcher.next_wake();
    world.watcher.connection_closed(world.now, ConnectionId(6));
    assert_eq!(world.watcher.next_wake(), planned, "it is not that one");
    world.watcher.connection_closed(world.now, ConnectionId(7));
    let (took, told) = world.next_timer();
    assert!(took <= 1, "{took}");
    assert_eq!(told, ["SUBSCRIBE sip:n@192.0.2.1 in dialog for 3600"]);
    // Nobody there yet: it is tried again.
    let refused = OutcomeResult::TransportError("connection refused".to_owned());
    let token = world.request.take().expect("a request").token;
    assert!(world.end(token, refused)[0].starts_with("trouble"));
    let (took, told) = world.next_timer();
    assert!(took <= 2, "{took}");
    assert_eq!(told, ["SUBSCRIBE sip:n@192.0.2.1 in dialog for 3600"]);
    // Over another connection it goes on as ever, and the old one means nothing any more.
    world.flow.connection = ConnectionId(8);
    world.accept(3600);
    world.notify("active;expires=3600", BUSY);
    let planned = world.watcher.next_wake();
    world.watcher.connection_closed(world.now, ConnectionId(7));
    assert_eq!(world.watcher.next_wake(), planned);
}

#[test]
fn no_connection_matters_to_what_is_watched_by_datagrams() {
    let mut world = World::subscribed();
    let planned = world.watcher.next_wake();
    let same_number = world.flow.connection;
    world.watcher.connection_closed(world.now, same_number);
    assert_eq!(world.watcher.next_wake(), planned);
}
