//! PUBLISH at the registry (RFC 3903, 6).

use std::time::Duration;

use crate::registry::testing::{Desk, pidf};
use crate::registry::{Compositor, Durations, Limits, Package, Settings};

#[test]
fn an_initial_publication_is_stored_then_answered_with_its_tag_and_life() {
    let mut desk = Desk::new();
    desk.publish("Expires: 600", &pidf("open", ""));
    assert_eq!(
        desk.happened(),
        [
            "store +publication v1",
            "1: 200 | Expires: 600 | SIP-ETag: etag1"
        ]
    );
}

#[test]
fn without_expires_the_default_is_granted_and_too_much_is_cut_down() {
    let mut desk = Desk::new();
    desk.publish("", &pidf("open", ""));
    desk.publish("Expires: 86400", &pidf("open", ""));
    assert_eq!(
        desk.said(),
        [
            "1: 200 | Expires: 3600 | SIP-ETag: etag1",
            "2: 200 | Expires: 3600 | SIP-ETag: etag2"
        ]
    );
}

#[test]
fn each_success_gives_a_new_tag_and_takes_the_old_one_out_of_use() {
    let mut desk = Desk::new();
    desk.publish("", &pidf("open", ""));
    desk.happened();
    desk.publish("SIP-If-Match: etag1", "");
    desk.happened();
    desk.publish("SIP-If-Match: etag1", "");
    desk.publish("SIP-If-Match: etag2", &pidf("closed", ""));
    desk.publish("SIP-If-Match: etag2", "");
    assert_eq!(
        desk.happened(),
        [
            "3: 412",
            "store +publication v3",
            "4: 200 | Expires: 3600 | SIP-ETag: etag3",
            "5: 412"
        ]
    );
}

#[test]
fn a_refresh_may_carry_a_content_type_without_a_body() {
    let mut desk = Desk::new();
    desk.publish("", &pidf("open", "here"));
    desk.subscribe("");
    desk.answer("200 OK");
    desk.happened();
    desk.publish("SIP-If-Match: etag1|Content-Type: application/pidf+xml", "");
    assert_eq!(
        desk.happened(),
        [
            "store +publication v2",
            "3: 200 | Expires: 3600 | SIP-ETag: etag2"
        ]
    );
}

#[test]
fn a_refresh_is_not_told_to_watchers_and_moves_the_end() {
    let mut desk = Desk::new();
    desk.publish("Expires: 60", &pidf("open", ""));
    desk.happened();
    desk.pass(59_999);
    desk.publish("Expires: 60|SIP-If-Match: etag1", "");
    desk.pass(59_999);
    assert_eq!(desk.said(), ["2: 200 | Expires: 60 | SIP-ETag: etag2"]);
    desk.pass(1);
    assert_eq!(desk.happened(), ["store -publication v3"]);
}

#[test]
fn a_life_that_is_cut_short_ends_then() {
    let mut desk = Desk::new();
    desk.publish("Expires: 600", &pidf("open", ""));
    desk.publish("Expires: 60|SIP-If-Match: etag1", "");
    desk.happened();
    desk.pass(59_999);
    assert_eq!(desk.happened(), Vec::<String>::new());
    desk.pass(1);
    assert_eq!(desk.happened(), ["store -publication v3"]);
    assert_eq!(desk.registry.next_wake(), None);
}

#[test]
fn a_publication_lapses_to_the_millisecond_and_its_tag_with_it() {
    let mut desk = Desk::new();
    desk.publish("Expires: 60", &pidf("open", ""));
    desk.happened();
    desk.pass(59_999);
    assert_eq!(desk.happened(), Vec::<String>::new());
    desk.pass(1);
    assert_eq!(desk.happened(), ["store -publication v2"]);
    desk.publish("SIP-If-Match: etag1", "");
    assert_eq!(desk.happened(), ["2: 412"]);
    let snapshot = desk.registry.snapshot(10);
    assert_eq!(
        (snapshot.presentity_count, snapshot.publication_count),
        (0, 0)
    );
    assert_eq!(desk.registry.next_wake(), None);
}

#[test]
fn a_removal_needs_no_body_and_takes_one() {
    let mut desk = Desk::new();
    desk.publish("", &pidf("open", ""));
    desk.publish("", &pidf("open", ""));
    desk.happened();
    desk.publish("Expires: 0|SIP-If-Match: etag1", "");
    desk.publish("Expires: 0|SIP-If-Match: etag2", &pidf("closed", ""));
    assert_eq!(
        desk.happened(),
        [
            "store -publication v2",
            "3: 200 | Expires: 0 | SIP-ETag: etag3",
            "store -publication v2",
            "4: 200 | Expires: 0 | SIP-ETag: etag4"
        ]
    );
    assert!(desk.records.is_empty());
}

#[test]
fn an_initial_publication_that_ends_at_once_is_accepted_and_leaves_nothing() {
    let mut desk = Desk::new();
    desk.publish("Expires: 0", &pidf("open", ""));
    desk.publish("Expires: 0", "");
    assert_eq!(
        desk.happened(),
        [
            "1: 200 | Expires: 0 | SIP-ETag: etag1",
            "2: 200 | Expires: 0 | SIP-ETag: etag2"
        ]
    );
    assert_eq!(desk.registry.snapshot(1).presentity_count, 0);
}

#[test]
fn refusals_come_in_the_order_of_the_rfc() {
    let mut desk = Desk::new();
    let everything_wrong = "Event: mood|SIP-If-Match: a, b|Expires: 1|Content-Type: text/plain";
    desk.send(
        "PUBLISH",
        "sip:bob@elsewhere.invalid",
        everything_wrong,
        "x",
    );
    desk.send("PUBLISH", "sip:bob@example.com", everything_wrong, "x");
    let lines = everything_wrong.replace("Event: mood|", "");
    desk.send("PUBLISH", "sip:bob@example.com", &lines, "x");
    let lines = lines.replace("a, b", "a");
    desk.send("PUBLISH", "sip:bob@example.com", &lines, "x");
    let lines = lines.replace("SIP-If-Match: a|", "");
    desk.send("PUBLISH", "sip:bob@example.com", &lines, "x");
    let lines = lines.replace("Expires: 1|", "");
    desk.send("PUBLISH", "sip:bob@example.com", &lines, "x");
    let lines = lines.replace("text/plain", "application/pidf+xml");
    desk.send("PUBLISH", "sip:bob@example.com", &lines, "x");
    assert_eq!(
        desk.happened(),
        [
            "1: 404",
            "2: 489 | Allow-Events: presence",
            "3: 400",
            "4: 412",
            "5: 423 | Min-Expires: 60",
            "6: 415",
            "7: 400"
        ]
    );
}

#[test]
fn a_publish_without_event_or_without_a_body_is_refused() {
    let mut desk = Desk::new();
    desk.publish("Event:", &pidf("open", ""));
    desk.publish("", "");
    assert_eq!(
        desk.happened(),
        ["1: 489 | Allow-Events: presence", "2: 400"]
    );
    assert_eq!(desk.registry.snapshot(1).presentity_count, 0);
}

#[test]
fn a_compressed_body_is_refused_with_what_would_be_read() {
    let mut desk = Desk::new();
    desk.publish("Content-Encoding: gzip", &pidf("open", ""));
    assert_eq!(desk.happened(), ["1: 415 | Accept-Encoding: identity"]);
}

#[test]
fn a_body_beyond_the_limit_is_refused_and_one_at_it_is_not() {
    let body = pidf("open", "");
    let limits = Limits {
        body: body.len(),
        ..Limits::default()
    };
    let mut desk = Desk::with(Settings {
        limits,
        ..Settings::default()
    });
    desk.publish("", &body);
    desk.publish("", &pidf("open", "x"));
    assert_eq!(
        desk.said(),
        ["1: 200 | Expires: 3600 | SIP-ETag: etag1", "2: 413"]
    );
}

#[test]
fn publications_and_presentities_have_limits() {
    let limits = Limits {
        publications: 1,
        presentities: 1,
        ..Limits::default()
    };
    let mut desk = Desk::with(Settings {
        limits,
        ..Settings::default()
    });
    desk.publish("", &pidf("open", ""));
    desk.publish("", &pidf("open", ""));
    let lines = "Content-Type: application/pidf+xml";
    desk.send("PUBLISH", "sip:carol@example.com", lines, &pidf("open", ""));
    desk.publish("SIP-If-Match: etag1", &pidf("closed", ""));
    assert_eq!(
        desk.said()[..3],
        [
            "1: 200 | Expires: 3600 | SIP-ETag: etag1",
            "2: 403",
            "3: 503 | Retry-After: 5"
        ]
    );
}

#[test]
fn the_same_address_written_differently_is_the_same_presentity() {
    let mut desk = Desk::new();
    desk.publish("", &pidf("open", ""));
    desk.happened();
    desk.send(
        "PUBLISH",
        "sip:%62ob@EXAMPLE.com;transport=tcp",
        "SIP-If-Match: etag1",
        "",
    );
    assert_eq!(desk.said(), ["2: 200 | Expires: 3600 | SIP-ETag: etag2"]);
}

#[test]
fn granted_lives_can_be_spread_but_never_beyond_what_was_asked_or_below_the_minimum() {
    let mut desk = Desk::with(Settings {
        spread_percent: 10,
        ..Settings::default()
    });
    let mut granted = std::collections::BTreeSet::new();
    for _ in 0..10 {
        desk.publish("Expires: 1000", &pidf("open", ""));
        desk.publish("Expires: 60", &pidf("open", ""));
        let lives: Vec<u32> = desk.said().iter().map(|line| expires(line)).collect();
        granted.insert(lives[0]);
        assert_eq!(lives[1..], [60]);
    }
    assert!(
        granted.iter().all(|granted| (900..=1000).contains(granted)),
        "{granted:?}"
    );
    assert!(granted.len() > 5, "{granted:?}");
}

/// The Expires of a told reply.
fn expires(line: &str) -> u32 {
    let (_, rest) = line.split_once("Expires: ").expect("Expires");
    rest.split(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

#[test]
fn a_package_is_data_and_one_without_composition_shows_the_latest_body() {
    let package = Package {
        name: "mood".into(),
        body_types: vec!["text/plain".into()],
        publish_types: vec!["text/plain".into()],
        publication: Durations {
            default: 120,
            min: 30,
            max: 240,
        },
        subscription: Durations {
            default: 120,
            min: 30,
            max: 240,
        },
        compositor: Compositor::Latest,
    };
    let packages = vec![Package::presence(), package];
    let mut desk = Desk::with(Settings {
        packages,
        ..Settings::default()
    });
    desk.subscribe("Event: mood");
    desk.answer("200 OK");
    desk.happened();
    let lines = "Event: mood|Content-Type: text/plain";
    desk.send("PUBLISH", "sip:bob@example.com", lines, "sunny");
    desk.answer("200 OK");
    desk.now = desk.now + Duration::from_secs(1);
    desk.send("PUBLISH", "sip:bob@example.com", lines, "rainy");
    desk.answer("200 OK");
    desk.now = desk.now + Duration::from_secs(1);
    // The same as before, but now it is the latest.
    desk.send(
        "PUBLISH",
        "sip:bob@example.com",
        &format!("{lines}|SIP-If-Match: etag1"),
        "sunny",
    );
    let notify = "NOTIFY sip:alice@127.0.0.1:5070 to 127.0.0.1:5070/udp | From: <sip:bob@example.com>;tag=our1 | \
                  To: <sip:alice@example.com>;tag=a1 | Call-ID: call1 | Contact: <sip:127.0.0.1:5060;transport=udp> | ";
    assert_eq!(
        desk.said(),
        [
            "2: 200 | Expires: 120 | SIP-ETag: etag1".to_owned(),
            format!(
                "{notify}CSeq: 2 NOTIFY | Event: mood | Subscription-State: active;expires=120 = sunny"
            ),
            "3: 200 | Expires: 120 | SIP-ETag: etag2".to_owned(),
            format!(
                "{notify}CSeq: 3 NOTIFY | Event: mood | Subscription-State: active;expires=119 = rainy"
            ),
            "4: 200 | Expires: 120 | SIP-ETag: etag3".to_owned(),
            format!(
                "{notify}CSeq: 4 NOTIFY | Event: mood | Subscription-State: active;expires=118 = sunny"
            ),
        ]
    );
}

/// A document of one tuple with this id.
fn under_id(id: &str, basic: &str) -> String {
    format!(
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:alice@example.com'><tuple id='{id}'><status>\
         <basic>{basic}</basic></status><contact>sip:alice@example.com</contact></tuple></presence>"
    )
}

#[test]
fn an_initial_publication_of_a_known_publisher_takes_the_place_of_its_lost_one() {
    let id = "t0123456789abcdef0123456789abcdef";
    let mut desk = Desk::new();
    desk.publish("", &under_id(id, "open"));
    desk.restart();
    desk.subscribe("");
    desk.answer("200 OK");
    desk.happened();
    desk.publish("", &under_id(id, "closed"));
    desk.answer("200 OK");
    let happened = desk.happened();
    assert_eq!(
        happened[..2],
        [
            "store +publication v2",
            "3: 200 | Expires: 3600 | SIP-ETag: etag2"
        ]
    );
    assert!(happened[2].ends_with("= closed"), "{happened:?}");
    desk.publish("SIP-If-Match: etag1", "");
    assert_eq!(desk.said(), ["4: 412"]);
    desk.publish("SIP-If-Match: etag2|Expires: 0", "");
    assert!(
        desk.happened()
            .contains(&"store -publication v3".to_owned())
    );
}

#[test]
fn an_id_that_all_phones_of_a_kind_send_does_not_make_them_one() {
    let mut desk = Desk::new();
    desk.publish("", &under_id("t4109", "open"));
    desk.publish("", &under_id("t4109", "closed"));
    assert_eq!(
        desk.happened(),
        [
            "store +publication v1",
            "1: 200 | Expires: 3600 | SIP-ETag: etag1",
            "store +publication v1",
            "2: 200 | Expires: 3600 | SIP-ETag: etag2"
        ]
    );
}

/// A change of Bob's document (RFC 5262).
fn change(operations: &str) -> String {
    format!(
        "<p:pidf-diff xmlns:p=\"urn:ietf:params:xml:ns:pidf-diff\" xmlns=\"urn:ietf:params:xml:ns:pidf\" \
         entity=\"sip:bob@example.com\">{operations}</p:pidf-diff>"
    )
}

const CLOSE: &str =
    "<p:replace sel=\"presence/tuple[@id='t']/status/basic/text()\">closed</p:replace>";

const GONE: &str = "<p:replace sel=\"presence/tuple/note/text()\">gone</p:replace>";

fn publish_change(desk: &mut Desk, etag: &str, body: &str) {
    let lines = format!("Content-Type: application/pidf-diff+xml|SIP-If-Match: {etag}");
    desk.send("PUBLISH", "sip:bob@example.com", &lines, body);
}

#[test]
fn a_change_is_applied_to_the_publication_that_its_tag_names() {
    let mut desk = Desk::new();
    desk.publish("", &pidf("open", "here"));
    desk.subscribe("");
    desk.answer("200 OK");
    desk.happened();
    publish_change(&mut desk, "etag1", &change(CLOSE));
    desk.answer("200 OK");
    let told = desk.happened();
    assert_eq!(
        told[..2],
        [
            "store +publication v2",
            "3: 200 | Expires: 3600 | SIP-ETag: etag2"
        ]
    );
    assert!(told[2].ends_with("= closed here"), "{told:?}");
    // The next one starts from there, also after a restart.
    desk.restart();
    desk.happened();
    publish_change(&mut desk, "etag2", &change(GONE));
    desk.pass(2_000);
    let told = desk.happened().join("\n");
    assert!(told.contains("SIP-ETag: etag3"), "{told}");
    assert!(told.contains("= closed gone"), "{told}");
}

#[test]
fn a_change_that_cannot_be_applied_leaves_the_publication_as_it_was() {
    let mut desk = Desk::new();
    let long = "x".repeat(40_000);
    desk.publish("", &pidf("open", &long));
    desk.happened();
    let two = format!("{CLOSE}<p:remove sel=\"presence/tuple/status/mood\"/>");
    let entity = "<p:remove sel=\"presence/@entity\"/>";
    let huge = format!("<p:add sel=\"*\"><note>{long}</note></p:add>");
    for operations in [&*two, entity, &huge] {
        publish_change(&mut desk, "etag1", &change(operations));
    }
    desk.subscribe("");
    desk.composes();
    desk.pass(20);
    let happened = desk.happened();
    assert_eq!(happened[..3], ["2: 400", "3: 400", "4: 413"]);
    let told = happened.join("\n");
    assert!(told.contains("= open xx"), "{told}");
    desk.publish("SIP-If-Match: etag1", "");
    let refreshed = desk.said();
    assert!(refreshed[0].starts_with("6: 200"), "{refreshed:?}");
}

#[test]
fn an_initial_publication_is_a_full_state() {
    let mut desk = Desk::new();
    let lines = "Content-Type: application/pidf-diff+xml";
    desk.send("PUBLISH", "sip:bob@example.com", lines, &change(CLOSE));
    let full = pidf("open", "").replace("presence", "p:pidf-full").replace(
        "xmlns=",
        "xmlns:p=\"urn:ietf:params:xml:ns:pidf-diff\" xmlns=",
    );
    desk.send("PUBLISH", "sip:bob@example.com", lines, &full);
    assert_eq!(
        desk.said(),
        ["1: 400", "2: 200 | Expires: 3600 | SIP-ETag: etag1"]
    );
}
