//! A subscription from its start to its end (RFC 6665, 4.1.2).

use super::*;

#[test]
fn the_first_subscribe_says_who_watches_whom_and_for_how_long() {
    let settings = Settings {
        watcher: "sip:bob@example.com".to_owned(),
        server: Some("sip:server.example;transport=tcp".to_owned()),
        shard: 7,
        ..Settings::default()
    };
    let mut watcher = Watcher::new(settings, Entropy::from_number(1));
    let mut out = Vec::new();
    watcher.watch(START, ALICE, &mut out);
    let [Effect::Send(request)] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!(
        request.first_route.as_deref(),
        Some("sip:server.example;transport=tcp")
    );
    let message = written(request);
    let line = |name| message.text(name).map(|text| text.into_owned());
    assert_eq!(message.uri_text(), ALICE);
    assert!(line(Name::From).is_some_and(|from| from.starts_with("<sip:bob@example.com>;tag=07")));
    assert_eq!(line(Name::To), Some(format!("<{ALICE}>")));
    assert_eq!(line(Name::CSeq).as_deref(), Some("1 SUBSCRIBE"));
    assert_eq!(
        line(Name::Contact).as_deref(),
        Some("<sip:watcher@local.contact.invalid>")
    );
    assert_eq!(line(Name::Event).as_deref(), Some("presence"));
    assert_eq!(line(Name::Accept).as_deref(), Some("application/pidf+xml"));
    assert_eq!(line(Name::Expires).as_deref(), Some("3600"));
}

#[test]
fn a_state_is_told_and_the_subscription_s_own_state_when_it_changes() {
    let mut world = World::new();
    assert_eq!(
        world.watch(),
        ["SUBSCRIBE sip:alice@example.com anew for 3600"]
    );
    assert_eq!(world.accept(3600), [""; 0]);
    assert_eq!(
        world.notify("pending;expires=3600", ""),
        ["answer 200", "pending"]
    );
    let told = ["answer 200", "state Some(Open) busy", "active"];
    assert_eq!(world.notify("active;expires=3600", BUSY), told);
    assert_eq!(
        world.notify("active;expires=3600", BUSY),
        ["answer 200", "state Some(Open) busy"]
    );
}

#[test]
fn that_nothing_is_published_any_more_is_told_once() {
    let mut world = World::new();
    world.watch();
    world.accept(3600);
    let told = ["answer 200", "no state", "active"];
    assert_eq!(world.notify("active;expires=3600", ""), told);
    assert_eq!(world.notify("active;expires=3600", ""), ["answer 200"]);
    world.notify("active;expires=3600", BUSY);
    assert_eq!(
        world.notify("active;expires=3600", ""),
        ["answer 200", "no state"]
    );
    assert_eq!(
        world.notify("terminated;reason=noresource", "")[..2],
        ["answer 200", "terminated: noresource"]
    );
}

#[test]
fn a_notify_before_the_2xx_starts_the_dialog() {
    let mut world = World::new();
    world.watch();
    let told = ["answer 200", "state Some(Open) busy", "active"];
    assert_eq!(world.notify("active;expires=3600", BUSY), told);
    assert_eq!(world.accept(3600), [""; 0]);
    assert_eq!(world.watcher.established(), 1);
    let (took, told) = world.next_timer();
    assert!((2880..=3240).contains(&took), "{took}");
    assert_eq!(told, ["SUBSCRIBE sip:n@192.0.2.1 in dialog for 3600"]);
    let message = written(world.request.as_ref().expect("a request"));
    assert_eq!(message.to_tag().as_deref(), Some("n"));
    assert_eq!(message.cseq().expect("CSeq").number, 2);
}

#[test]
fn a_subscription_is_refreshed_at_80_to_90_percent_of_what_the_notifier_granted() {
    let mut world = World::new();
    world.watch();
    world.accept(100);
    world.notify("active;expires=100", BUSY);
    for cseq in 2..5 {
        let (took, told) = world.next_timer();
        assert!((80..=90).contains(&took), "{took}");
        assert_eq!(told, ["SUBSCRIBE sip:n@192.0.2.1 in dialog for 3600"]);
        let message = written(world.request.as_ref().expect("a request"));
        assert_eq!(message.cseq().expect("CSeq").number, cseq);
        assert_eq!(world.accept(100), [""; 0]);
    }
}

#[test]
fn a_notify_that_shortens_the_time_brings_the_refresh_forward() {
    let mut world = World::subscribed();
    world.notify("active;expires=50", BUSY);
    let (took, told) = world.next_timer();
    assert!((40..=45).contains(&took), "{took}");
    assert_eq!(told, ["SUBSCRIBE sip:n@192.0.2.1 in dialog for 3600"]);
}

#[test]
fn a_202_is_a_200() {
    let mut world = World::new();
    world.watch();
    assert_eq!(
        world.answer(
            "202 Accepted",
            "Contact: <sip:n@192.0.2.1>\r\nExpires: 60\r\n"
        ),
        [""; 0]
    );
    world.notify("active", BUSY);
    let (took, _) = world.next_timer();
    assert!((48..=54).contains(&took), "{took}");
}

#[test]
fn of_two_notifiers_the_first_is_kept() {
    let mut world = World::new();
    world.watch();
    let state = "Subscription-State: active;expires=60\r\n";
    let told = ["answer 200", "no state", "active"];
    assert_eq!(world.notify_as("m", 1, state, ""), told);
    assert_eq!(world.notify_as("n", 1, state, BUSY), ["answer 481"]);
    // The 2xx is of the other one.
    world.accept(60);
    assert_eq!(
        world.notify_as("m", 2, state, BUSY),
        ["answer 200", "state Some(Open) busy"]
    );
    assert_eq!(world.notify_as("n", 2, state, BUSY), ["answer 481"]);
}

#[test]
fn watching_twice_is_watching_once() {
    let mut world = World::subscribed();
    assert_eq!(world.watch(), [""; 0]);
    assert_eq!(world.watcher.len(), 1);
}

#[test]
fn an_unsubscribed_subscription_ends_with_its_last_notify() {
    let mut world = World::subscribed();
    assert_eq!(
        world.unwatch(),
        ["SUBSCRIBE sip:n@192.0.2.1 in dialog for 0"]
    );
    assert_eq!(world.answer("200 OK", "Expires: 0\r\n"), [""; 0]);
    let told = ["answer 200", "terminated: timeout", "ended: as asked"];
    assert_eq!(world.notify("terminated;reason=timeout", ""), told);
    assert!(world.watcher.is_empty());
    assert_eq!(world.watcher.next_wake(), None);
}

#[test]
fn an_unsubscribed_subscription_ends_with_its_last_notify_even_before_the_answer() {
    let mut world = World::subscribed();
    world.unwatch();
    let told = ["answer 200", "terminated: timeout", "ended: as asked"];
    assert_eq!(world.notify("terminated;reason=timeout", ""), told);
    assert_eq!(world.answer("200 OK", "Expires: 0\r\n"), [""; 0]);
}

#[test]
fn an_unsubscribed_subscription_does_not_wait_for_its_last_notify_for_ever() {
    let mut world = World::subscribed();
    world.unwatch();
    world.answer("200 OK", "Expires: 0\r\n");
    assert_eq!(world.next_timer(), (2, vec!["ended: as asked".to_owned()]));
}

#[test]
fn what_is_unwatched_before_it_is_accepted_is_ended_then() {
    let mut world = World::new();
    world.watch();
    assert_eq!(world.unwatch(), [""; 0]);
    assert_eq!(
        world.accept(3600),
        ["SUBSCRIBE sip:n@192.0.2.1 in dialog for 0"]
    );
    assert_eq!(world.time_out(), ["ended: as asked"]);
}

#[test]
fn what_is_unwatched_between_two_attempts_is_over_at_once() {
    let mut world = World::new();
    world.watch();
    world.time_out();
    assert_eq!(world.unwatch(), ["ended: as asked"]);
}

#[test]
fn a_shutdown_leaves_nothing() {
    let mut world = World::subscribed();
    let mut out = Vec::new();
    world
        .watcher
        .watch(START, "sip:carol@example.com", &mut out);
    let mut out = Vec::new();
    world.watcher.shutdown(START, &mut out);
    assert_eq!(
        out.len(),
        1,
        "carol's SUBSCRIBE is still on its way: {out:?}"
    );
    let mut out = Vec::new();
    for token in [1, 2, 3] {
        world.watcher.outcome(
            START,
            Outcome {
                token,
                result: OutcomeResult::Timeout,
            },
            &mut out,
        );
    }
    assert!(world.watcher.is_empty(), "{out:?}");
}
