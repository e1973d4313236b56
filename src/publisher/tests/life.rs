//! A publication from its first state to its removal (RFC 3903, 4).

use super::*;

const ALICE: &str = "sip:alice@example.com";
const BOB: &str = "sip:bob@example.com";

#[test]
fn an_initial_publication_says_who_what_and_for_how_long() {
    let mut world = World::with(Settings {
        server: Some("sip:server.example".to_owned()),
        ..Settings::default()
    });
    world.offer(ALICE, "busy");
    let request = world.flying.remove(0);
    assert_eq!(request.destination, exchange::Destination::NextHop);
    assert_eq!(request.first_route.as_deref(), Some("sip:server.example"));
    let message = written(&request);
    let line = |name| message.text(name).map(|text| text.into_owned());
    assert_eq!(message.uri_text(), ALICE);
    assert_eq!(message.from().expect("From").uri.to_string(), ALICE);
    assert!(message.from_tag().is_some_and(|tag| !tag.is_empty()));
    assert_eq!(line(Name::To), Some(format!("<{ALICE}>")));
    assert_eq!(line(Name::CSeq).as_deref(), Some("1 PUBLISH"));
    assert_eq!(line(Name::Event).as_deref(), Some("presence"));
    assert_eq!(line(Name::Expires).as_deref(), Some("600"));
    assert_eq!(
        line(Name::ContentType).as_deref(),
        Some("application/pidf+xml")
    );
    assert_eq!(line(Name::SipIfMatch), None);
    assert_eq!(line(Name::Route), None);
    assert_eq!(message.body(), request.body);
}

#[test]
fn a_publication_is_modified_under_its_latest_entity_tag() {
    let mut world = World::new();
    assert_eq!(
        world.offer(ALICE, "busy"),
        ["PUBLISH sip:alice@example.com for 600 if [] says [busy]"]
    );
    let told = [
        "1 published as e1",
        "remember sip:alice@example.com e1 for 600",
    ];
    assert_eq!(world.accept("e1", 600), told);
    assert_eq!(
        world.offer(ALICE, "away"),
        ["PUBLISH sip:alice@example.com for 600 if [e1] says [away]"]
    );
    let told = [
        "2 published as e2",
        "remember sip:alice@example.com e2 for 600",
    ];
    assert_eq!(world.accept("e2", 600), told);
    assert_eq!(
        world.offer(ALICE, "back"),
        ["PUBLISH sip:alice@example.com for 600 if [e2] says [back]"]
    );
}

#[test]
fn requests_for_a_presentity_share_a_call_id_and_count_up() {
    let mut world = World::new();
    world.offer(ALICE, "busy");
    let first = written(&world.flying[0]);
    world.accept("e1", 600);
    world.offer(ALICE, "away");
    let second = written(&world.flying[0]);
    assert_eq!(first.call_id().ok(), second.call_id().ok());
    assert_eq!(second.cseq().expect("CSeq").number, 2);
}

#[test]
fn a_publication_is_refreshed_without_a_body_at_80_to_90_percent_of_what_the_server_granted() {
    let mut world = World::new();
    world.offer(ALICE, "busy");
    world.accept("e1", 100);
    for tag in ["e1", "e2", "e3"] {
        let (took, told) = world.next_timer();
        assert!((80..=90).contains(&took), "{took}");
        assert_eq!(
            told,
            [format!(
                "PUBLISH sip:alice@example.com for 600 if [{tag}] says []"
            )]
        );
        let next = format!("e{}", tag[1..].parse::<u32>().expect("a number") + 1);
        assert_eq!(
            world.accept(&next, 100),
            [format!("remember sip:alice@example.com {next} for 100")]
        );
    }
}

#[test]
fn a_state_that_is_withdrawn_is_removed_at_the_server() {
    let mut world = World::new();
    world.offer(ALICE, "busy");
    world.accept("e1", 600);
    assert_eq!(
        world.withdraw(ALICE),
        ["PUBLISH sip:alice@example.com for 0 if [e1] says []"]
    );
    assert_eq!(
        world.answer("200 OK", "Expires: 0\r\n"),
        ["forget sip:alice@example.com", "2 published as nothing"]
    );
    assert!(world.publisher.is_empty());
    assert_eq!(world.publisher.next_wake(), None);
}

#[test]
fn a_state_that_is_withdrawn_and_was_never_published_needs_no_request() {
    let mut world = World::new();
    assert_eq!(
        world.withdraw(ALICE),
        ["forget sip:alice@example.com", "1 published as nothing"]
    );
    assert!(world.publisher.is_empty());
}

#[test]
fn a_state_that_comes_during_a_refresh_waits_for_its_answer() {
    let mut world = World::new();
    world.offer(ALICE, "busy");
    world.accept("e1", 600);
    world.next_timer();
    assert_eq!(world.offer(ALICE, "away"), [""; 0]);
    let told = [
        "remember sip:alice@example.com e2 for 600",
        "PUBLISH sip:alice@example.com for 600 if [e2] says [away]",
    ];
    assert_eq!(world.accept("e2", 600), told);
}

#[test]
fn a_full_window_is_asked_for_no_more_and_later_ones_queue() {
    let mut world = World::with(Settings {
        window: 1,
        ..Settings::default()
    });
    assert_eq!(world.publisher.room(), 1);
    world.offer(ALICE, "busy");
    assert_eq!(world.publisher.room(), 0);
    assert_eq!(world.offer(BOB, "away"), [""; 0]);
    let told = [
        "1 published as e1",
        "remember sip:alice@example.com e1 for 600",
        "PUBLISH sip:bob@example.com for 600 if [] says [away]",
    ];
    assert_eq!(world.accept("e1", 600), told);
}

#[test]
fn an_earlier_run_s_publication_is_modified_not_doubled() {
    let mut world = World::new();
    let tag = |aor: &str, seconds| Tag {
        aor: aor.to_owned(),
        etag: "old".to_owned(),
        expires_at: START + Duration::from_secs(seconds),
    };
    world
        .publisher
        .restore(START, [tag(ALICE, 100), tag(BOB, 50)]);
    assert_eq!(
        world.offer(ALICE, "busy"),
        ["PUBLISH sip:alice@example.com for 600 if [old] says [busy]"]
    );
    world.accept("e1", 600);
    // Nobody has said anything of bob since: his publication is not kept alive.
    assert_eq!(
        world.next_timer(),
        (50, vec!["forget sip:bob@example.com".to_owned()])
    );
    assert_eq!(world.publisher.len(), 1);
}

#[test]
fn a_tag_that_has_lapsed_is_not_taken_up() {
    let mut world = World::new();
    world.publisher.restore(
        START,
        [Tag {
            aor: ALICE.to_owned(),
            etag: "old".to_owned(),
            expires_at: START,
        }],
    );
    assert!(world.publisher.is_empty());
}

#[test]
fn at_the_end_all_publications_are_removed() {
    let mut world = World::new();
    world.offer(ALICE, "busy");
    world.accept("e1", 600);
    world.offer(BOB, "away");
    let told = ["PUBLISH sip:alice@example.com for 0 if [e1] says []"];
    assert_eq!(world.shutdown(Some(Duration::from_secs(5))), told);
    assert_eq!(world.publisher.room(), 0);
    // What is in flight is removed as soon as it is there.
    let told = [
        "2 published as e2",
        "remember sip:bob@example.com e2 for 600",
        "PUBLISH sip:bob@example.com for 0 if [e2] says []",
    ];
    assert_eq!(world.accept("e2", 600), told);
    assert_eq!(world.answer("200 OK", ""), ["forget sip:alice@example.com"]);
    assert_eq!(
        world.answer("200 OK", ""),
        ["forget sip:bob@example.com", "drained"]
    );
    assert_eq!(world.publisher.next_wake(), None);
}

#[test]
fn the_end_waits_for_a_silent_server_no_longer_than_it_was_told() {
    let mut world = World::new();
    world.offer(ALICE, "busy");
    world.accept("e1", 600);
    world.shutdown(Some(Duration::from_secs(5)));
    assert_eq!(world.next_timer(), (5, vec!["drained".to_owned()]));
    assert_eq!(world.time_out(), [""; 0]);
}

#[test]
fn a_removal_that_failed_is_tried_again_until_the_end() {
    let mut world = World::new();
    world.offer(ALICE, "busy");
    world.accept("e1", 600);
    world.shutdown(Some(Duration::from_secs(5)));
    assert_eq!(world.answer("500 Server Internal Error", ""), [""; 0]);
    assert_eq!(
        world.next_timer().1,
        ["PUBLISH sip:alice@example.com for 0 if [e1] says []"]
    );
    assert_eq!(
        world.answer("412 Conditional Request Failed", ""),
        ["forget sip:alice@example.com", "drained"]
    );
}

#[test]
fn an_end_without_removal_leaves_everything_as_it_is() {
    let mut world = World::new();
    world.offer(ALICE, "busy");
    world.accept("e1", 600);
    assert_eq!(world.shutdown(None), ["drained"]);
}

#[test]
fn what_comes_after_the_end_goes_back_into_the_buffer() {
    let mut world = World::new();
    world.shutdown(Some(Duration::from_secs(5)));
    assert_eq!(world.offer(ALICE, "busy"), ["1 deferred by 0"]);
}
