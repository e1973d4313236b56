//! The table in virtual time.

use super::*;
use crate::entropy::Entropy;

const HOW: Guessing = Guessing {
    free: 5,
    longest: Duration::from_secs(60),
};

struct World {
    guesses: Guesses,
    secret: Secret,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        Self {
            guesses: Guesses::default(),
            secret: Secret::draw(&mut Entropy::from_number(1)),
            now: Timestamp::from_millis(1_795_300_000_000),
        }
    }

    /// Of an address with a port, or without: then it is none where anybody was right.
    fn source(&self, address: &str, user: &str) -> Source {
        let bare = || SocketAddr::new(address.parse().expect("an address"), 0);
        let address = address.parse().unwrap_or_else(|_| bare());
        Source::new(self.secret, address, user)
    }

    /// Tries a password; whether it was looked at.
    fn tries(&mut self, address: &str, user: &str, right: bool) -> bool {
        let source = self.source(address, user);
        if self.guesses.wait(self.now, source, HOW) > Duration::ZERO {
            return false;
        }
        if right {
            self.guesses.succeeded(self.now, source);
        } else {
            self.guesses.failed(self.now, source, HOW);
        }
        true
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
    }

    /// How many of so many passwords, one each millisecond, are looked at.
    fn guesses(&mut self, address: &str, user: impl Fn(u32) -> String, count: u32) -> u32 {
        let looked = (0..count).filter(|number| {
            self.pass(1);
            self.tries(address, &user(*number), false)
        });
        u32::try_from(looked.count()).expect("a few")
    }
}

#[test]
fn a_guesser_waits_longer_each_time_and_the_owner_elsewhere_does_not() {
    let mut world = World::new();
    let looked = world.guesses("192.0.2.1", |_| "bob".to_owned(), 600_000);
    assert!((10..30).contains(&looked), "{looked} in ten minutes");
    assert!(
        !world.tries("192.0.2.1", "bob", true),
        "even the right one waits"
    );
    assert!(world.tries("192.0.2.2", "bob", true));
    world.pass(60_000);
    assert!(world.tries("192.0.2.1", "bob", true));
}

#[test]
fn one_password_with_many_names_is_seen_too_and_a_64_of_ipv6_is_one_address() {
    let mut world = World::new();
    let looked = world.guesses("192.0.2.1", |number| format!("user{number}"), 600_000);
    assert!((20..50).contains(&looked), "{looked} in ten minutes");
    let mut looked = 0;
    for number in 0..1000 {
        let address = format!("2001:db8::{number:x}");
        looked += u32::from(world.tries(&address, "bob", false));
    }
    assert_eq!(looked, 6);
    assert!(world.tries("2001:db8:0:1::1", "bob", false));
}

#[test]
fn an_old_password_in_one_phone_makes_nobody_else_wait_behind_the_same_nat() {
    let mut world = World::new();
    assert!(world.tries("192.0.2.1", "carol", true));
    for minute in 0..1440 {
        for phone in 0..8 {
            world.tries("192.0.2.1", &format!("old{phone}"), false);
            world.pass(3_750);
        }
        assert!(world.tries("192.0.2.1", "carol", true), "{minute}");
        // Also one that was never seen before, after a first hour in which there is much to forgive.
        if minute > 60 {
            assert!(
                world.tries("192.0.2.1", &format!("new{minute}"), true),
                "{minute}"
            );
        }
    }
}

#[test]
fn who_was_right_lately_is_looked_at_although_others_fail_at_his_address_and_under_his_name() {
    let mut world = World::new();
    assert!(world.tries("192.0.2.1", "bob", true));
    world.guesses("192.0.2.1", |number| format!("user{number}"), 1000);
    assert!(world.tries("192.0.2.1", "bob", true));
    for _ in 0..50 {
        assert!(world.tries("192.0.2.1", "bob", false));
    }
    assert!(world.tries("192.0.2.1", "bob", true));
    let looked = world.guesses("192.0.2.1", |_| "bob".to_owned(), 60_000);
    assert!(looked < 50 + 62, "{looked} in a minute");
    world.pass(1000);
    assert!(world.tries("192.0.2.1", "bob", true));
}

#[test]
fn invented_names_and_addresses_do_not_grow_the_table_and_leave_the_known_there() {
    let mut world = World::new();
    for number in 0..100 {
        assert!(world.tries(&format!("198.51.100.{number}"), "bob", true));
    }
    for number in 0..200_000_u32 {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + number).to_string();
        world.tries(&address, &format!("user{number}"), false);
    }
    assert_eq!(world.guesses.rows.len(), PLACES);
    let known = (0..100).filter(|number| {
        let source = world.source(&format!("198.51.100.{number}"), "bob");
        world.guesses.find(source.account).is_some()
    });
    assert_eq!(known.count(), 100);
}

#[test]
fn failures_of_an_address_are_told_at_once_and_then_now_and_then() {
    let mut world = World::new();
    let source = world.source("192.0.2.1", "bob");
    assert_eq!(world.guesses.failed(world.now, source, HOW), Some(1));
    for _ in 0..3 {
        assert_eq!(world.guesses.failed(world.now, source, HOW), None);
    }
    world.pass(10_000);
    assert_eq!(world.guesses.failed(world.now, source, HOW), Some(4));
}

#[test]
fn who_fails_from_a_whole_network_does_not_fill_the_log_and_nothing_goes_untold() {
    let mut world = World::new();
    let (mut lines, mut told) = (0, 0);
    for number in 0..60_000_u32 {
        world.pass(1);
        let network = number % 6000;
        let source = world.source(&format!("2001:db8:0:{network:x}::1"), "bob");
        if let Some(failures) = world.guesses.failed(world.now, source, HOW) {
            lines += 1;
            told += failures;
        }
    }
    assert!((16..=16 + 60).contains(&lines), "{lines} lines in a minute");
    // The last tells of those before it, from the same place.
    world.pass(60_000);
    let source = world.source("2001:db8:0:176f::1", "bob");
    let rest = world.guesses.failed(world.now, source, HOW);
    assert!(rest > Some(1), "{rest:?} after {told}");
}

#[test]
fn a_phone_at_its_port_does_not_wait_for_a_guesser_behind_the_same_address() {
    let mut world = World::new();
    assert!(world.tries("192.0.2.1:5060", "bob", true));
    assert!(world.tries("192.0.2.1:5062", "bob", true));
    for minute in 0..5 {
        let looked = world.guesses("192.0.2.1:40000", |_| "bob".to_owned(), 60_000);
        assert!(looked <= 50 + 61, "{looked} in a minute");
        for port in [5060, 5062] {
            let phone = format!("192.0.2.1:{port}");
            assert!(world.tries(&phone, "bob", true), "{minute} {port}");
        }
    }
    // A wrong password from there: it is the phone no more, and waits as others do.
    assert!(world.tries("192.0.2.1:5060", "bob", false));
    world.guesses("192.0.2.1:40000", |_| "bob".to_owned(), 1000);
    assert!(!world.tries("192.0.2.1:5060", "bob", true));
    assert!(world.tries("192.0.2.1:5062", "bob", true));
}

/// Brings ever more names to where they wait by themselves, and tries each of them once in a minute.
#[test]
fn many_names_that_wait_are_no_way_to_try_more_from_one_address() {
    let mut world = World::new();
    let (mut waiting, mut tried, mut hour) = (0, 0, 0);
    for minute in 0..1440 {
        if minute % 60 == 0 {
            hour = 0;
        }
        world.pass(61_000);
        for name in 0..waiting {
            hour += u32::from(world.tries("192.0.2.1", &format!("user{name}"), false));
        }
        while world.tries("192.0.2.1", &format!("user{waiting}"), false) {
            hour += 1;
            tried += 1;
            if tried == 6 {
                (waiting, tried) = (waiting + 1, 0);
            }
        }
    }
    assert!(hour < 1300, "{hour} in the last hour");
}

#[test]
fn an_address_is_worth_more_for_its_accounts_and_not_without_end() {
    let tries = |accounts| {
        let mut world = World::new();
        for number in 0..accounts {
            assert!(world.tries("192.0.2.1", &format!("known{number}"), true));
        }
        world.guesses("192.0.2.1", |number| format!("user{number}"), 900)
    };
    assert_eq!((tries(0), tries(3), tries(400)), (21, 36, 521));
}

#[test]
fn nobody_waits_where_that_is_off() {
    let mut world = World::new();
    let off = Guessing {
        longest: Duration::ZERO,
        ..HOW
    };
    let source = world.source("192.0.2.1", "bob");
    for _ in 0..100 {
        world.guesses.failed(world.now, source, off);
        assert_eq!(world.guesses.wait(world.now, source, off), Duration::ZERO);
    }
}
