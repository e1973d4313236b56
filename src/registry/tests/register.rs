//! REGISTER at the registry (RFC 3261, 10.3).

use crate::registry::testing::{Desk, StoreMood};
use crate::registry::{Limits, Settings};

impl Desk {
    fn register(&mut self, lines: &str) {
        let lines = format!("To: <sip:bob@example.com>|{lines}");
        self.send("REGISTER", "sip:example.com", &lines, "");
    }
}

const BOB: &str = "Contact: <sip:bob@127.0.0.1:5070>";

#[test]
fn a_contact_is_stored_and_listed_with_its_life() {
    let mut desk = Desk::new();
    desk.register(&format!("{BOB}|Expires: 600"));
    assert_eq!(
        desk.happened(),
        [
            "store +binding v1",
            "1: 200 | Contact: <sip:bob@127.0.0.1:5070>;expires=600"
        ]
    );
}

#[test]
fn a_request_without_contact_lists_what_is_there_and_stores_nothing() {
    let mut desk = Desk::new();
    desk.register("");
    desk.register(&format!(
        "{BOB};expires=600;q=0.7, <sip:bob@127.0.0.1:5071>|Expires: 120"
    ));
    desk.pass(100_000);
    desk.happened();
    desk.register("");
    assert_eq!(
        desk.happened(),
        [
            "3: 200 | Contact: <sip:bob@127.0.0.1:5070>;q=0.700;expires=500 | Contact: <sip:bob@127.0.0.1:5071>;expires=20"
        ]
    );
}

#[test]
fn a_contact_ends_to_the_millisecond_and_nothing_is_left() {
    let mut desk = Desk::new();
    desk.register(&format!("{BOB}|Expires: 60"));
    desk.happened();
    desk.pass(59_999);
    assert_eq!(desk.happened(), Vec::<String>::new());
    desk.pass(1);
    assert_eq!(desk.happened(), ["store -binding v2"]);
    assert_eq!(desk.registry.snapshot(1).binding_count, 0);
    assert_eq!(desk.registry.next_wake(), None);
}

#[test]
fn contacts_are_compared_as_uris() {
    let mut desk = Desk::new();
    desk.register(&format!("{BOB}|Expires: 60"));
    desk.happened();
    desk.register("Contact: <sip:%62ob@127.0.0.1:5070>|Expires: 120");
    assert_eq!(
        desk.happened(),
        [
            "store +binding v2",
            "2: 200 | Contact: <sip:bob@127.0.0.1:5070>;expires=120"
        ]
    );
}

#[test]
fn a_contact_with_expires_zero_goes_and_an_unknown_one_is_no_matter() {
    let mut desk = Desk::new();
    desk.register(&format!("{BOB}|Expires: 60"));
    desk.happened();
    desk.register(&format!("{BOB};expires=0, <sip:other@127.0.0.1>;expires=0"));
    assert_eq!(desk.happened(), ["store -binding v2", "2: 200"]);
}

#[test]
fn the_wildcard_removes_everything_and_stands_alone_with_expires_zero() {
    let mut desk = Desk::new();
    desk.register(&format!("{BOB}, <sip:bob@127.0.0.1:5071>|Expires: 60"));
    desk.happened();
    desk.register("Contact: *|Expires: 60");
    desk.register("Contact: *");
    desk.register(&format!("{BOB}, *|Expires: 0"));
    desk.register("Contact: *|Expires: 0");
    let happened = desk.happened();
    assert_eq!(happened[..2], ["2: 400", "3: 400"]);
    assert_eq!(happened[3..], ["store -binding v2 -binding v2", "5: 200"]);
}

#[test]
fn a_late_request_of_the_same_client_fails_as_a_whole() {
    let mut desk = Desk::new();
    desk.register(&format!("{BOB}|Expires: 60|Call-ID: r1|CSeq: 5 REGISTER"));
    desk.happened();
    let late = "Expires: 60|Call-ID: r1|CSeq: 5 REGISTER";
    desk.register(&format!(
        "Contact: <sip:new@127.0.0.1>, <sip:bob@127.0.0.1:5070>|{late}"
    ));
    desk.register("Contact: *|Expires: 0|Call-ID: r1|CSeq: 4 REGISTER");
    desk.register(&format!("{BOB}|Expires: 60|Call-ID: r2|CSeq: 1 REGISTER"));
    assert_eq!(
        desk.happened(),
        [
            "2: 500",
            "3: 500",
            "store +binding v2",
            "4: 200 | Contact: <sip:bob@127.0.0.1:5070>;expires=60"
        ]
    );
}

#[test]
fn addresses_of_record_are_limited_and_those_that_are_there_are_served() {
    let limits = Limits {
        presentities: 1,
        ..Limits::default()
    };
    let mut desk = Desk::with(Settings {
        limits,
        ..Settings::default()
    });
    let other = "To: <sip:carol@example.com>|Contact: <sip:carol@127.0.0.1:5070>|Expires: 60";
    desk.register(&format!("{BOB}|Expires: 60"));
    desk.happened();
    desk.send("REGISTER", "sip:example.com", other, "");
    desk.register(&format!("{BOB}|Expires: 0"));
    desk.send("REGISTER", "sip:example.com", other, "");
    assert_eq!(
        desk.said(),
        [
            "2: 503 | Retry-After: 5",
            "3: 200",
            "4: 200 | Contact: <sip:carol@127.0.0.1:5070>;expires=60"
        ]
    );
}

#[test]
fn refusals_say_what_would_do() {
    let limits = Limits {
        bindings: 1,
        ..Limits::default()
    };
    let settings = Settings {
        domains: vec!["example.com".to_owned()],
        limits,
        ..Settings::default()
    };
    let mut desk = Desk::with(settings);
    desk.send(
        "REGISTER",
        "sip:elsewhere.invalid",
        "To: <sip:bob@example.com>",
        "",
    );
    desk.send(
        "REGISTER",
        "sip:example.com",
        "To: <sip:bob@elsewhere.invalid>",
        "",
    );
    desk.register(&format!("{BOB}|Expires: 59"));
    desk.register(&format!("{BOB}, <sip:bob@127.0.0.1:5071>"));
    assert_eq!(
        desk.happened(),
        ["1: 404", "2: 404", "3: 423 | Min-Expires: 60", "4: 403"]
    );
    assert_eq!(desk.registry.snapshot(1).binding_count, 0);
}

#[test]
fn the_answer_waits_for_the_store_and_so_does_the_next_request() {
    let mut desk = Desk::new();
    desk.mood = StoreMood::Slow;
    desk.register(&format!("{BOB}|Expires: 60"));
    desk.register("");
    assert_eq!(desk.happened(), ["store +binding v1"]);
    desk.store_answers(None);
    let contact = "Contact: <sip:bob@127.0.0.1:5070>;expires=60";
    assert_eq!(
        desk.happened(),
        [format!("1: 200 | {contact}"), format!("2: 200 | {contact}")]
    );
}
