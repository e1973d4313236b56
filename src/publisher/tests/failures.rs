//! What goes wrong, and what follows (RFC 3903, 5): each way out arms a timer or ends.

use super::*;

const ALICE: &str = "sip:alice@example.com";
const BOB: &str = "sip:bob@example.com";

/// A world in which alice is published as `busy` under `e1`, by entry 1.
fn published() -> World {
    let mut world = World::new();
    world.offer(ALICE, "busy");
    world.accept("e1", 600);
    world
}

#[test]
fn a_412_drops_the_tag_and_starts_anew_once() {
    let mut world = published();
    world.offer(ALICE, "away");
    let told = [
        "forget sip:alice@example.com",
        "PUBLISH sip:alice@example.com for 600 if [] says [away]",
    ];
    assert_eq!(world.answer("412 Conditional Request Failed", ""), told);
    let told = [
        "2 published as n1",
        "remember sip:alice@example.com n1 for 600",
    ];
    assert_eq!(world.accept("n1", 600), told);
}

#[test]
fn a_412_to_what_bore_no_tag_waits_like_any_failure() {
    let mut world = published();
    world.offer(ALICE, "away");
    world.answer("412 Conditional Request Failed", "");
    assert_eq!(
        world.answer("412 Conditional Request Failed", ""),
        ["2 deferred by 0"]
    );
    assert!(world.flying.is_empty());
}

#[test]
fn a_412_to_a_refresh_publishes_the_whole_state_anew() {
    let mut world = published();
    world.next_timer();
    let told = [
        "forget sip:alice@example.com",
        "PUBLISH sip:alice@example.com for 600 if [] says [busy]",
    ];
    assert_eq!(world.answer("412 Conditional Request Failed", ""), told);
    assert_eq!(
        world.accept("n1", 600),
        ["remember sip:alice@example.com n1 for 600"]
    );
    assert_eq!(
        world.next_timer().1,
        ["PUBLISH sip:alice@example.com for 600 if [n1] says []"]
    );
}

#[test]
fn a_412_to_a_removal_means_that_it_is_gone() {
    let mut world = published();
    world.withdraw(ALICE);
    let told = ["forget sip:alice@example.com", "2 published as nothing"];
    assert_eq!(world.answer("412 Conditional Request Failed", ""), told);
}

#[test]
fn a_423_asks_for_longer_at_once_and_for_everybody_from_then_on() {
    let mut world = World::new();
    world.offer(ALICE, "busy");
    let told = ["PUBLISH sip:alice@example.com for 1800 if [] says [busy]"];
    assert_eq!(
        world.answer("423 Interval Too Brief", "Min-Expires: 1800\r\n"),
        told
    );
    world.accept("e1", 1800);
    assert_eq!(
        world.offer(BOB, "away"),
        ["PUBLISH sip:bob@example.com for 1800 if [] says [away]"]
    );
}

#[test]
fn a_423_that_says_nothing_new_waits() {
    for headers in ["", "Min-Expires: 600\r\n", "Min-Expires: 1\r\n"] {
        let mut world = World::new();
        world.offer(ALICE, "busy");
        assert_eq!(
            world.answer("423 Interval Too Brief", headers),
            ["1 deferred by 0"]
        );
    }
}

#[test]
fn without_credentials_a_state_is_refused_and_tried_again_slowly() {
    let mut world = World::new();
    world.offer(ALICE, "busy");
    let told = [
        "1 refused: 401 the presence server asks for credentials: none are configured, or they are wrong",
    ];
    assert_eq!(world.answer("401 Unauthorized", ""), told);
    let again = "PUBLISH sip:alice@example.com for 600 if [] says [busy]".to_owned();
    assert_eq!(world.next_timer(), (300, vec![again]));
    world.answer("407 Proxy Authentication Required", "");
    // A new state need not wait for that.
    assert_eq!(
        world.offer(ALICE, "away"),
        ["PUBLISH sip:alice@example.com for 600 if [] says [away]"]
    );
}

#[test]
fn a_503_is_heeded_for_as_long_as_it_says() {
    let mut world = World::new();
    world.offer(ALICE, "busy");
    assert_eq!(
        world.answer("503 Service Unavailable", "Retry-After: 20\r\n"),
        ["1 deferred by 20"]
    );
    assert_eq!(
        world.publisher.next_wake(),
        Some(world.now + Duration::from_secs(80))
    );
    world.now = world.now + Duration::from_secs(20);
    assert_eq!(
        world.offer(ALICE, "busy"),
        ["PUBLISH sip:alice@example.com for 600 if [] says [busy]"]
    );
}

#[test]
fn a_403_that_says_when_to_come_again_is_no_refusal() {
    let mut world = World::new();
    world.offer(ALICE, "busy");
    assert_eq!(
        world.answer("403 Forbidden", "Retry-After: 60\r\n"),
        ["1 deferred by 60"]
    );
}

#[test]
fn a_retry_after_of_years_is_an_hour() {
    let mut world = World::new();
    world.offer(ALICE, "busy");
    let told = ["1 deferred by 3600"];
    assert_eq!(
        world.answer("503 Service Unavailable", "Retry-After: 4294967295\r\n"),
        told
    );
}

#[test]
fn passing_failures_are_repeated_ever_more_seldom_and_never_given_up() {
    for status in [
        "408 Request Timeout",
        "480 Temporarily Unavailable",
        "500 Server Internal Error",
        "504 Time-out",
    ] {
        let mut world = World::new();
        for (entry, least) in [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
            .into_iter()
            .enumerate()
        {
            world.offer(ALICE, "busy");
            let mut out = Vec::new();
            let token = world.flying.remove(0).token;
            let result = response(status, "");
            world
                .publisher
                .outcome(world.now, exchange::Outcome { token, result }, &mut out);
            world.publisher.check();
            let [Effect::Done(EntryId(id), Outcome::Deferred { until })] = out[..] else {
                panic!("{status}: {out:?}");
            };
            assert_eq!(id, entry as u64 + 1);
            let delay = until.since(world.now).as_secs_f64();
            assert!(
                (least..=least * 2.0).contains(&delay),
                "{delay} after {} failures",
                entry + 1
            );
            world.now = until;
        }
    }
}

#[test]
fn a_server_that_answers_again_after_silence_is_told_of_at_once() {
    let mut world = World::new();
    world.offer(ALICE, "busy");
    world.offer(BOB, "away");
    assert_eq!(world.time_out(), ["1 deferred by 0"]);
    let told = [
        "recovered",
        "2 published as e1",
        "remember sip:bob@example.com e1 for 600",
    ];
    assert_eq!(world.accept("e1", 600), told);
}

#[test]
fn what_was_published_before_is_kept_alive_while_a_newer_state_is_put_off() {
    let mut world = published();
    world.offer(ALICE, "away");
    assert_eq!(
        world.answer("503 Service Unavailable", "Retry-After: 5\r\n"),
        ["2 deferred by 5"]
    );
    let (took, told) = world.next_timer();
    assert!((480..=540).contains(&took));
    assert_eq!(
        told,
        ["PUBLISH sip:alice@example.com for 600 if [e1] says []"]
    );
}

#[test]
fn a_refresh_that_found_nobody_is_repeated_and_starts_anew_once_the_publication_has_lapsed() {
    let mut world = published();
    let (took, _) = world.next_timer();
    let mut passed = took;
    let last = loop {
        assert_eq!(world.time_out(), [""; 0]);
        let (took, told) = world.next_timer();
        passed += took;
        assert_eq!(told.len(), 1);
        if !told[0].contains("[e1]") {
            break told;
        }
        assert!(passed < 600);
    };
    assert_eq!(
        last,
        ["PUBLISH sip:alice@example.com for 600 if [] says [busy]"]
    );
    assert!((560..=660).contains(&passed), "{passed}");
}

#[test]
fn a_state_that_meets_a_refresh_put_off_waits_with_it() {
    let mut world = published();
    world.next_timer();
    world.answer("503 Service Unavailable", "Retry-After: 7\r\n");
    assert_eq!(world.offer(ALICE, "away"), ["2 deferred by 7"]);
}

#[test]
fn a_client_that_is_to_give_up_refuses_after_so_many_failures() {
    let mut world = World::with(Settings {
        give_up: Some(2),
        ..Settings::default()
    });
    world.offer(ALICE, "busy");
    assert_eq!(world.time_out(), ["1 deferred by 0"]);
    world.offer(ALICE, "busy");
    assert_eq!(
        world.time_out(),
        ["2 refused: 408 no answer from the presence server"]
    );
    assert_eq!(world.publisher.counters().gave_up, 1);
}

#[test]
fn a_refused_state_ends_with_its_reason() {
    for status in [
        "400 Bad Request",
        "403 Forbidden",
        "404 Not Found",
        "415 Unsupported Media Type",
        "489 Bad Event",
    ] {
        let mut world = World::new();
        world.offer(ALICE, "busy");
        assert_eq!(world.answer(status, ""), [format!("1 refused: {status}")]);
        assert!(world.publisher.is_empty());
        assert_eq!(
            world.offer(ALICE, "away"),
            ["PUBLISH sip:alice@example.com for 600 if [] says [away]"]
        );
    }
}

#[test]
fn what_stood_before_a_refused_state_lapses_or_is_modified_by_the_next() {
    let mut world = published();
    world.offer(ALICE, "nonsense");
    let told = ["2 refused: 415 Unsupported Media Type"];
    assert_eq!(world.answer("415 Unsupported Media Type", ""), told);
    assert_eq!(
        world.offer(ALICE, "away"),
        ["PUBLISH sip:alice@example.com for 600 if [e1] says [away]"]
    );
    world.answer("403 Forbidden", "");
    assert_eq!(
        world.next_timer(),
        (600, vec!["forget sip:alice@example.com".to_owned()])
    );
    assert!(world.publisher.is_empty());
}

#[test]
fn a_refresh_that_is_refused_goes_on_slowly_because_nobody_else_would_notice() {
    let mut world = published();
    world.next_timer();
    assert_eq!(world.answer("404 Not Found", ""), [""; 0]);
    let again = "PUBLISH sip:alice@example.com for 600 if [] says [busy]".to_owned();
    assert_eq!(world.next_timer(), (300, vec![again]));
}

#[test]
fn a_server_that_gives_no_tag_gets_the_whole_state_again_before_it_lapses() {
    let mut world = World::new();
    world.offer(ALICE, "busy");
    assert_eq!(
        world.answer("200 OK", "Expires: 100\r\n"),
        ["1 published as nothing"]
    );
    let (took, told) = world.next_timer();
    assert!((80..=90).contains(&took), "{took}");
    assert_eq!(
        told,
        ["PUBLISH sip:alice@example.com for 600 if [] says [busy]"]
    );
}

#[test]
fn a_server_that_keeps_nothing_is_asked_ever_more_seldom() {
    let mut world = World::new();
    world.offer(ALICE, "busy");
    let told = ["1 published as e1", "forget sip:alice@example.com"];
    assert_eq!(world.accept("e1", 0), told);
    let mut total = 0;
    for _ in 0..10 {
        let (took, told) = world.next_timer();
        total += took;
        assert_eq!(
            told,
            ["PUBLISH sip:alice@example.com for 600 if [] says [busy]"]
        );
        world.accept("e", 0);
    }
    assert!(total > 120, "{total}");
}

#[test]
fn an_answer_to_nothing_is_ignored() {
    let mut world = published();
    let mut out = Vec::new();
    let outcome = exchange::Outcome {
        token: 4711,
        result: response("200 OK", ""),
    };
    world.publisher.outcome(START, outcome, &mut out);
    assert_eq!(out, []);
}
