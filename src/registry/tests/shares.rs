//! Shares of accounts and addresses, and the budget of memory.

use super::super::shares::Share;
use super::super::testing::{Desk, StoreMood, pidf};
use super::super::*;
use crate::exchange::{Account, Identity};

/// A desk whose accounts may have so little.
fn desk(share: Share) -> Desk {
    let mut settings = Desk::new().settings;
    settings.shares.account = share;
    settings.shares.accounts = true;
    let mut desk = Desk::with(settings);
    desk.identity = account("alice");
    desk
}

fn account(name: &str) -> Identity {
    Identity::User(Account::new(name, "example.com"))
}

fn plenty() -> Share {
    Shares::default().account
}

/// Time passes, and all NOTIFYs are answered.
fn end(desk: &mut Desk) {
    for _ in 0..4 {
        while !desk.in_flight.is_empty() {
            desk.answer("200 OK");
        }
        desk.pass(2_000_000);
    }
}

/// The answer to the last request.
fn answer(desk: &mut Desk) -> String {
    let said = desk.said();
    let mut answers = said
        .iter()
        .filter(|line| line.as_bytes()[0].is_ascii_digit());
    answers.next_back().cloned().unwrap_or_default()
}

fn subscribe(desk: &mut Desk, to: &str, number: u32, expires: u32) -> String {
    let lines = format!(
        "Contact: <sip:alice@127.0.0.1:5070>|Call-ID: s{number}|From: <sip:alice@example.com>;tag=s{number}|Expires: {expires}"
    );
    desk.send("SUBSCRIBE", &format!("sip:{to}@example.com"), &lines, "");
    answer(desk)
}

fn publish(desk: &mut Desk, who: &str, lines: &str, body: &str) -> String {
    let lines = format!("Content-Type: application/pidf+xml|{lines}");
    desk.send("PUBLISH", &format!("sip:{who}@example.com"), &lines, body);
    answer(desk)
}

#[test]
fn invented_names_use_up_the_share_of_their_watcher_and_nothing_else() {
    let mut desk = desk(Share {
        subscriptions: 3,
        ..plenty()
    });
    desk.registry.settings.limits.presentities = 1;
    for number in 0..3 {
        assert!(subscribe(&mut desk, &format!("invented{number}"), number, 600).contains("200"));
    }
    let fourth = subscribe(&mut desk, "invented3", 3, 600);
    assert!(fourth.contains("403"), "{fourth}");
    assert_eq!(desk.registry.counters().over_share, 1);
    // What keeps nothing is no subscription.
    assert!(subscribe(&mut desk, "invented3", 4, 0).contains("200"));
    desk.identity = account("bob");
    let told = publish(&mut desk, "bob", "", &pidf("open", ""));
    assert!(
        told.contains("200"),
        "the one presentity there is room for: {told}"
    );
    assert!(subscribe(&mut desk, "alice", 5, 600).contains("200"));
    // The second one.
    desk.identity = account("carol");
    let told = publish(&mut desk, "carol", "", &pidf("open", ""));
    assert!(told.contains("503"), "{told}");
    // After a restart they still count.
    desk.restart();
    desk.registry.settings.limits.presentities = 1;
    desk.identity = account("alice");
    assert!(subscribe(&mut desk, "invented4", 6, 600).contains("403"));
    desk.identity = account("carol");
    assert!(publish(&mut desk, "carol", "", &pidf("open", "")).contains("503"));
    // And when they have ended, no more.
    end(&mut desk);
    desk.identity = account("alice");
    assert!(subscribe(&mut desk, "invented4", 7, 600).contains("200"));
    desk.identity = account("carol");
    assert!(publish(&mut desk, "carol", "", &pidf("open", "")).contains("200"));
}

#[test]
fn the_shards_of_a_node_count_together() {
    let mut one = desk(Share {
        subscriptions: 2,
        ..plenty()
    });
    let mut other = Desk::with(one.settings.clone());
    other.identity = one.identity.clone();
    assert!(subscribe(&mut one, "bob", 1, 600).contains("200"));
    assert!(subscribe(&mut other, "carol", 2, 600).contains("200"));
    assert!(subscribe(&mut one, "dave", 3, 600).contains("403"));
    assert!(subscribe(&mut other, "dave", 3, 600).contains("403"));
    // A shard that goes takes what it has added with it.
    drop(one);
    assert!(subscribe(&mut other, "dave", 4, 600).contains("200"));
}

#[test]
fn publications_and_their_bytes_have_a_share_and_what_takes_no_more_goes_on() {
    let small = pidf("open", "");
    let mut desk = desk(Share {
        publications: 2,
        bytes: 2 * small.len() as u64 + 10,
        ..plenty()
    });
    assert!(publish(&mut desk, "alice", "", &small).contains("200"));
    assert!(publish(&mut desk, "alice", "Call-ID: b", &small).contains("200"));
    assert!(publish(&mut desk, "alice", "Call-ID: c", &small).contains("403"));
    // It has no room for so much more, but for as much.
    let large = pidf("open", "more than ten bytes more");
    assert!(publish(&mut desk, "alice", "SIP-If-Match: etag1", &large).contains("403"));
    let same = pidf("open", "");
    assert!(publish(&mut desk, "alice", "SIP-If-Match: etag1", &same).contains("200"));
    desk.send(
        "PUBLISH",
        "sip:alice@example.com",
        "SIP-If-Match: etag2",
        "",
    );
    assert!(answer(&mut desk).contains("200"));
    desk.send(
        "PUBLISH",
        "sip:alice@example.com",
        "SIP-If-Match: etag3|Expires: 0",
        "",
    );
    assert!(answer(&mut desk).contains("200"));
    assert!(publish(&mut desk, "alice", "Call-ID: d", &small).contains("200"));
}

#[test]
fn what_is_not_stored_is_given_back() {
    let mut desk = desk(Share {
        subscriptions: 1,
        publications: 1,
        bindings: 1,
        ..plenty()
    });
    desk.registry.settings.limits.presentities = 1;
    desk.mood = StoreMood::Failing(CommitOutcome::Unavailable);
    let contact = "To: <sip:alice@example.com>|Contact: <sip:alice@127.0.0.1:5070>|Expires: 600";
    for number in 0..3 {
        assert!(subscribe(&mut desk, "bob", number, 600).contains("503"));
        assert!(publish(&mut desk, "alice", "", &pidf("open", "")).contains("503"));
        desk.send("REGISTER", "sip:example.com", contact, "");
        assert!(answer(&mut desk).contains("503"));
    }
    desk.mood = StoreMood::Prompt;
    assert!(subscribe(&mut desk, "bob", 9, 600).contains("200"));
    assert!(publish(&mut desk, "alice", "", &pidf("open", "")).contains("200"));
    desk.send("REGISTER", "sip:example.com", contact, "");
    assert!(answer(&mut desk).contains("200"));
    let more = contact.replace("5070", "5071");
    desk.send(
        "REGISTER",
        "sip:example.com",
        &format!("{more}|CSeq: 99 REGISTER"),
        "",
    );
    assert!(answer(&mut desk).contains("403"));
}

#[test]
fn requests_have_a_rate_and_a_proxy_is_not_told_that_the_server_is_gone() {
    let mut desk = desk(Share {
        rate: 1,
        burst: 2,
        ..plenty()
    });
    let fetch = |desk: &mut Desk, number| subscribe(desk, "bob", number, 0);
    assert!(fetch(&mut desk, 1).contains("200"));
    assert!(fetch(&mut desk, 2).contains("200"));
    assert!(fetch(&mut desk, 3).contains("503 | Retry-After: 1"));
    let proxied =
        "Via: SIP/2.0/UDP p.example.com;branch=z9hG4bKp|Contact: <sip:a@127.0.0.1>|Expires: 0";
    desk.send("SUBSCRIBE", "sip:bob@example.com", proxied, "");
    assert!(answer(&mut desk).contains("500 | Retry-After: 1"));
    desk.identity = account("bob");
    assert!(fetch(&mut desk, 4).contains("200"), "another account");
    desk.identity = account("alice");
    desk.pass(1000);
    assert!(fetch(&mut desk, 5).contains("200"));
    assert_eq!(desk.registry.counters().over_rate, 2);
    // Who has nothing and has not asked for a while has no row.
    desk.pass(60_000);
    desk.identity = Identity::Trusted;
    for number in 0..5 {
        assert!(
            fetch(&mut desk, 10 + number).contains("200"),
            "trusted peers have no bounds"
        );
    }
    assert_eq!(desk.registry.snapshot(0).owner_count, 0);
}

#[test]
fn watchers_that_wait_count_for_their_account() {
    let mut settings = desk(Share {
        subscriptions: 2,
        ..plenty()
    })
    .settings;
    settings.policy = crate::watcherinfo::Handling::Confirm;
    let mut desk = Desk::with(settings);
    desk.identity = account("alice");
    for number in 0..5 {
        let told = subscribe(&mut desk, &format!("bob{number}"), number, 0);
        assert!(told.contains("200"), "{told}");
    }
    assert_eq!(desk.registry.counters().not_waiting, 3);
    desk.restart();
    assert!(subscribe(&mut desk, "bob9", 9, 600).contains("403"));
}

#[test]
fn addresses_without_accounts_are_bounded_beyond_loopback_and_an_ipv6_one_with_its_network() {
    let shares = Shares {
        exempt: vec!["192.0.2.9".parse().expect("an address")],
        ..Shares::default()
    };
    let source = |text: &str| shares.source(text.parse().expect("an address"));
    for free in ["127.0.0.1", "::1", "192.0.2.9", "::ffff:192.0.2.9"] {
        assert_eq!(source(free), None, "{free}");
    }
    assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    assert_eq!(source("192.0.2.1"), source("::ffff:192.0.2.1"));
    assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1"));
    assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
}

#[test]
fn over_the_budget_of_memory_new_state_is_refused_and_what_exists_goes_on() {
    let mut settings = Desk::new().settings;
    settings.limits.memory = 400_000;
    let mut desk = Desk::with(settings);
    let body = pidf("open", &"x".repeat(20_000));
    let mut refused = 0;
    for number in 0..30 {
        let told = publish(&mut desk, &format!("p{number}"), "", &body);
        refused += u32::from(told.contains("503 | Retry-After: 5"));
        assert!(desk.registry.settings.books.memory() <= 400_000);
    }
    assert!((10..20).contains(&refused), "{refused}");
    assert_eq!(desk.registry.counters().over_memory, u64::from(refused));
    // A smaller document, a refresh and an end.
    let less = pidf("open", "x");
    assert!(publish(&mut desk, "p0", "SIP-If-Match: etag1", &less).contains("200"));
    desk.send("PUBLISH", "sip:p1@example.com", "SIP-If-Match: etag2", "");
    assert!(answer(&mut desk).contains("200"));
    let before = desk.registry.snapshot(0).memory;
    desk.send(
        "PUBLISH",
        "sip:p2@example.com",
        "SIP-If-Match: etag3|Expires: 0",
        "",
    );
    assert!(desk.registry.snapshot(0).memory < before - 20_000);
    desk.pass(3_700_000);
    assert_eq!(desk.registry.snapshot(0).memory, 0, "all has lapsed");
}

#[test]
fn the_end_of_memory_is_said_once_and_so_is_the_end_of_that() {
    let mut settings = Desk::new().settings;
    settings.limits.memory = 300_000;
    let mut desk = Desk::with(settings);
    let body = pidf("open", &"x".repeat(20_000));
    for number in 0..20 {
        desk.send(
            "PUBLISH",
            &format!("sip:p{number}@example.com"),
            "Content-Type: application/pidf+xml|Expires: 600",
            &body,
        );
    }
    let said = desk.said();
    let told = said.iter().filter(|line| line.starts_with("memory"));
    assert_eq!(told.collect::<Vec<_>>(), ["memory refused: true"]);
    desk.pass(700_000);
    desk.subscribe("");
    let said = desk.said();
    let told = said.iter().filter(|line| line.starts_with("memory"));
    assert_eq!(told.collect::<Vec<_>>(), ["memory refused: false"]);
}

#[test]
fn nothing_is_left_of_what_has_ended() {
    let mut desk = desk(plenty());
    desk.subscribe("From: <sip:alice@example.com>;tag=a1");
    desk.answer("200 OK");
    desk.identity = account("bob");
    desk.publish("", &pidf("open", "one"));
    desk.answer("200 OK");
    desk.publish("Call-ID: other", &pidf("closed", "two"));
    desk.answer("200 OK");
    let bound = "To: <sip:bob@example.com>|Contact: <sip:bob@127.0.0.1:5070>|Expires: 600";
    desk.send("REGISTER", "sip:example.com", bound, "");
    assert!(desk.registry.snapshot(0).memory > 1000);
    end(&mut desk);
    desk.identity = Identity::Trusted;
    for _ in 0..3 {
        desk.send(
            "REGISTER",
            "sip:example.com",
            "To: <sip:carol@example.com>",
            "",
        );
    }
    let picture = desk.registry.snapshot(0);
    assert_eq!((picture.memory, picture.owner_count), (0, 0));
}
