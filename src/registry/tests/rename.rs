//! Names in one normal form (docs/adr/0017): blocks hold under each spelling, and records of older versions are found.

use std::sync::Arc;

use crate::exchange::{Account, Identity};
use crate::registry::testing::{Desk, pidf};
use crate::registry::{Record, RecordKey, Settings, Standing};
use crate::watcherinfo::Handling;

fn list(desk: &Desk) -> Vec<String> {
    let rows = desk.registry.watchers(None, 100);
    let line = |row: crate::registry::WatcherRow| {
        format!("{} {:?} {:?}", row.watcher, row.status, row.decision)
    };
    rows.into_iter().map(line).collect()
}

#[test]
fn a_block_holds_under_each_spelling_of_from() {
    let mut desk = Desk::new();
    desk.decide("sip:eve@example.com", Some(Handling::Block));
    desk.said();
    for from in [
        "sip:eve@example.com",
        "sips:eve@EXAMPLE.com.:5070;transport=tls",
        "<sip:%65ve:pw@Example.Com:5060>",
        "<pres:eve@example.com>",
    ] {
        desk.subscribe(&format!("From: {from};tag=t|Call-ID: {from}"));
        let said = desk.said();
        assert!(said[0].contains(": 403"), "{from}: {said:?}");
    }
}

#[test]
fn without_a_domain_a_block_of_an_account_holds_whatever_from_and_the_operator_say() {
    let settings = || Settings {
        home: Some("realm".to_owned()),
        ..Settings::default()
    };
    // Whatever From says, he is listed as one and the same.
    for from in ["sip:bob@realm", "sip:bob@other.example", "sip:mallory@x"] {
        let mut desk = Desk::with(settings());
        let eve = Account::new("eve", "realm").with_every_host(true);
        desk.identity = Identity::User(eve);
        desk.subscribe(&format!("From: <{from}>;tag=t"));
        assert_eq!(list(&desk), ["sip:eve@realm Some(\"active\") None"]);
    }
    let mut desk = Desk::with(settings());
    desk.identity = Identity::User(Account::new("eve", "realm").with_every_host(true));
    desk.subscribe("From: <sip:eve@one.example>;tag=t");
    desk.decide("sip:eve@two.example", Some(Handling::Block));
    let said = desk.said();
    // Hers ends, and she gets no other.
    assert!(
        said.iter().any(|line| line.contains("decided 9: 1")),
        "{said:?}"
    );
    desk.subscribe("From: <sip:mallory@one.example>;tag=t|Call-ID: 2");
    let said = desk.said();
    assert!(said.iter().any(|line| line.contains(": 403")), "{said:?}");
}

#[test]
fn an_account_without_a_domain_watches_itself_and_its_watchers() {
    let mut desk = Desk::with(Settings {
        home: Some("realm".to_owned()),
        policy: Handling::Block,
        packages: vec![
            crate::registry::Package::presence(),
            crate::registry::Package::presence_winfo(),
        ],
        ..Settings::default()
    });
    desk.identity = Identity::User(Account::new("bob", "realm").with_every_host(true));
    desk.subscribe("");
    desk.subscribe("Event: presence.winfo|Call-ID: 2");
    desk.identity = Identity::User(Account::new("alice", "realm").with_every_host(true));
    desk.subscribe("Call-ID: 3|From: <sip:bob@example.com>;tag=t");
    desk.subscribe("Event: presence.winfo|Call-ID: 4|From: <sip:bob@example.com>;tag=t");
    let answers: Vec<String> = desk
        .said()
        .into_iter()
        .filter(|line| !line.starts_with("NOTIFY"))
        .collect();
    let codes: Vec<&str> = answers.iter().map(|line| &line[..6]).collect();
    assert_eq!(codes, ["1: 200", "2: 200", "3: 403", "4: 403"]);
}

/// Gives what is stored other names, as an older version wrote them.
fn misname(desk: &mut Desk, names: &[(&str, &str)]) {
    let records: Vec<_> = std::mem::take(&mut desk.records).into_values().collect();
    for (version, mut record) in records {
        for (name, old) in names {
            let set = |own: &mut Arc<str>| {
                if **own == **name {
                    *own = (*old).into();
                }
            };
            match &mut record {
                Record::Binding(binding) => set(&mut binding.aor),
                Record::Publication(publication) => set(&mut publication.aor),
                Record::Settled(settled) => set(&mut settled.aor),
                Record::Subscription(subscription) => set(&mut subscription.aor),
                Record::Watcher(watcher) => {
                    set(&mut watcher.aor);
                    set(&mut watcher.watcher);
                }
            }
        }
        desk.records.insert(record.key(), (version, record));
    }
}

#[test]
fn what_an_older_version_named_otherwise_is_found_and_written_anew() {
    let mut desk = Desk::new();
    desk.publish("", &pidf("open", "first"));
    desk.subscribe("");
    desk.send(
        "REGISTER",
        "sip:example.com",
        "To: <sip:bob@example.com>|Contact: <sip:b@127.0.0.1>",
        "",
    );
    desk.decide("sip:alice@example.com", Some(Handling::Allow));
    misname(
        &mut desk,
        &[
            ("sip:bob@example.com", "sip:bob@example.com:5060"),
            ("sip:alice@example.com", "sip:alice@example.com."),
        ],
    );
    let before = desk.records.len();
    desk.restart();
    desk.happened();
    assert_eq!(desk.registry.counters().renamed, 3);
    assert_eq!(desk.records.len(), before);
    let named = |record: &Record| record.aor() == "sip:bob@example.com";
    let is_subscription = |record: &Record| matches!(record, Record::Subscription(_));
    assert!(
        desk.records
            .values()
            .all(|(_, record)| named(record) || is_subscription(record))
    );
    // All of it goes on.
    desk.publish("SIP-If-Match: etag1", "");
    let said = desk.said();
    assert!(said[0].contains(": 200"), "{said:?}");
    desk.subscribe("To: <sip:bob@example.com>;tag=our1");
    let said = desk.said();
    assert!(said[0].contains(": 200"), "{said:?}");
    assert_eq!(list(&desk).len(), 1);
    assert!(list(&desk)[0].contains("allow"), "{:?}", list(&desk));
    desk.restart();
    assert_eq!(desk.registry.counters().renamed, 0);
}

#[test]
fn of_two_that_become_one_nothing_is_lost_and_the_stricter_decision_stays() {
    for (first, second) in [
        (Handling::Block, Handling::Allow),
        (Handling::Allow, Handling::Block),
    ] {
        let mut desk = Desk::new();
        desk.publish("", &pidf("open", "first"));
        desk.decide("sip:eve@example.com", Some(first));
        misname(
            &mut desk,
            &[
                ("sip:bob@example.com", "sip:bob@example.com:5060"),
                ("sip:eve@example.com", "sip:eve@example.com:5060"),
            ],
        );
        // The registry that knows nothing of those writes the same names beside them, its publication under the same number.
        let old = std::mem::take(&mut desk.records);
        desk.restart();
        desk.publish("", &pidf("open", "second"));
        desk.decide("sip:eve@example.com", Some(second));
        for (key, (version, record)) in old {
            let clash = match &record {
                Record::Publication(publication) => {
                    let own = desk.records.values().find_map(|(_, record)| match record {
                        Record::Publication(own) => Some(own.order),
                        _ => None,
                    });
                    let mut clash = publication.clone();
                    clash.order = own.expect("a publication");
                    Record::Publication(clash)
                }
                other => other.clone(),
            };
            assert!(!desk.records.contains_key(&key));
            desk.records.insert(clash.key(), (version, clash));
        }
        desk.restart();
        desk.said();
        let publications = desk
            .records
            .keys()
            .filter(|key| matches!(key, RecordKey::Publication { .. }));
        assert_eq!(publications.count(), 2);
        let decisions: Vec<&Record> = desk
            .records
            .values()
            .map(|(_, record)| record)
            .filter(|record| matches!(record, Record::Watcher(_)))
            .collect();
        let [Record::Watcher(decision)] = decisions[..] else {
            panic!("one decision: {decisions:?}");
        };
        assert_eq!(decision.standing, Standing::Decided(Handling::Block));
        desk.subscribe("");
        let said = desk.said();
        assert!(
            said[1].contains("first") && said[1].contains("second"),
            "{said:?}"
        );
    }
}
