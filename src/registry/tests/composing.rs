//! Large states: composed elsewhere, one job at a time; and what is kept as read.

use super::super::testing::Desk;

/// A document of about so many bytes, with a tuple of this id.
fn large(id: &str, bytes: usize) -> String {
    let note = "x".repeat(bytes);
    format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@example.com\"><tuple id=\"{id}\"><status>\
         <basic>open</basic></status><note>{note}</note></tuple></presence>"
    )
}

fn published(desk: &mut Desk, lines: &str, body: &str) -> Vec<String> {
    desk.publish(lines, body);
    desk.said()
}

/// Publications of Bob that are kept as read.
fn read(desk: &Desk) -> usize {
    let registry = &desk.registry;
    let row = registry.presentities.find(0, "sip:bob@example.com");
    let presentity = row.and_then(|row| registry.presentities.get(row));
    let publications = presentity.map_or(&[][..], |presentity| &presentity.publications);
    publications
        .iter()
        .filter(|held| held.document.is_some())
        .count()
}

#[test]
fn a_large_state_is_composed_elsewhere_and_told_when_it_is() {
    let mut desk = Desk::new();
    desk.subscribe("");
    desk.answer("200 OK");
    desk.happened();
    let told = published(&mut desk, "", &large("a", 40_000));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("2: 200"), "{told:?}");
    assert_eq!(told[1], "compose");
    // What changes meanwhile is in the next one.
    let told = published(&mut desk, "Call-ID: other", &large("b", 40_000));
    assert_eq!(told.len(), 1, "{told:?}");
    desk.composes();
    let told = desk.said();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], "compose");
    assert!(told[1].starts_with("NOTIFY"), "the first is told: {told:?}");
    desk.composes();
    desk.answer("200 OK");
    let told = desk.said();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("NOTIFY"), "{told:?}");
    assert_eq!(desk.registry.counters().composed_elsewhere, 2);
}

#[test]
fn who_subscribes_or_fetches_while_a_large_state_is_composed_gets_that_state() {
    let mut desk = Desk::new();
    desk.publish("", &large("a", 40_000));
    desk.happened();
    desk.subscribe("");
    let told = desk.said();
    assert!(told[0].contains("200"), "{told:?}");
    assert_eq!(told[1..], ["compose"]);
    desk.subscribe("Expires: 0|Call-ID: fetch|From: <sip:carol@example.com>;tag=f");
    let told = desk.said();
    assert_eq!(told.len(), 1, "its NOTIFY waits: {told:?}");
    desk.pass(50);
    assert_eq!(desk.said(), [] as [String; 0]);
    desk.composes();
    let told = desk.said();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("open"), "{told:?}");
    desk.pass(50);
    let told = desk.said();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("open"), "{told:?}");
}

#[test]
fn a_composition_that_fails_leaves_the_state_before_it_and_the_next_change_composes_again() {
    let mut desk = Desk::new();
    desk.publish("", &large("a", 40_000));
    desk.subscribe("");
    let job = desk.jobs.pop_front().expect("a job");
    let mut out = Vec::new();
    desk.registry.composed(desk.now, job.failed(), &mut out);
    assert_eq!(desk.registry.counters().compositions_failed, 1);
    desk.pass(100);
    desk.happened();
    desk.publish("Call-ID: other", &large("b", 40_000));
    assert_eq!(desk.said().last().map(String::as_str), Some("compose"));
}

#[test]
fn the_answer_to_a_job_of_a_registry_that_was_rebuilt_is_for_nobody() {
    let mut desk = Desk::new();
    desk.publish("", &large("a", 40_000));
    desk.subscribe("");
    let old = desk.jobs.pop_front().expect("a job");
    desk.restart();
    desk.jobs.clear();
    desk.pass(5000);
    let mut out = Vec::new();
    desk.registry.composed(desk.now, old.run(), &mut out);
    assert_eq!(out, []);
}

#[test]
fn a_document_is_kept_as_read_only_while_several_small_ones_are_watched() {
    let mut desk = Desk::new();
    desk.publish("", &large("a", 100));
    desk.publish("Call-ID: b", &large("b", 100));
    desk.publish("Call-ID: c", &large(UNIQUE, 100));
    assert_eq!(read(&desk), 0, "nobody watches");
    desk.subscribe("");
    assert_eq!(read(&desk), 3, "composed with the next change of another");
    desk.answer("200 OK");
    // The watcher goes.
    let tag = desk.real("our1");
    desk.subscribe(&format!("To: <sip:bob@example.com>;tag={tag}|Expires: 0"));
    assert_eq!(read(&desk), 0, "nobody watches any more");

    let mut desk = Desk::new();
    desk.subscribe("");
    desk.answer("200 OK");
    desk.publish("", &large("a", 100));
    assert_eq!(read(&desk), 0, "one is replaced as a whole");
    desk.publish("Call-ID: b", &large("b", 9000));
    assert_eq!(read(&desk), 0, "large ones are read again");
}

#[test]
fn documents_beyond_the_limit_of_a_state_are_refused_and_none_that_grows_smaller() {
    let mut settings = Desk::new().settings;
    settings.limits.state = 3000;
    let mut desk = Desk::with(settings);
    desk.publish("", &large("a", 1000));
    desk.publish("Call-ID: b", &large("b", 1000));
    desk.happened();
    let told = published(&mut desk, "Call-ID: c", &large("c", 1000));
    assert!(told[0].contains("413"), "{told:?}");
    let told = published(&mut desk, "SIP-If-Match: etag1", &large("a", 2000));
    assert!(told[0].contains("413"), "{told:?}");
    desk.registry.settings.limits.state = 100;
    let told = published(&mut desk, "SIP-If-Match: etag1", &large("a", 900));
    assert!(told[0].contains("200"), "{told:?}");
}

/// An id that says who made it.
const UNIQUE: &str = "t5e2c98f0-6a4e-4f63-9f0e-1d1d6b1c9a77";
