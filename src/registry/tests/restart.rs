//! What the store brings back (docs/adr/0005).

use std::sync::Arc;

use crate::exchange::Transport;
use crate::registry::Record;
use crate::registry::testing::{Desk, flow, pidf};

const WITHIN: &str = "To: <sip:bob@example.com>;tag=our1";

#[test]
fn publications_keep_their_tags_and_their_ends() {
    let mut desk = Desk::new();
    desk.publish("Expires: 100", &pidf("open", ""));
    desk.happened();
    desk.pass(40_000);
    desk.restart();
    desk.publish("SIP-If-Match: etag1|Expires: 60", "");
    assert_eq!(
        desk.happened(),
        [
            "store +publication v2",
            "2: 200 | Expires: 60 | SIP-ETag: etag2"
        ]
    );
    desk.restart();
    desk.pass(59_999);
    assert_eq!(desk.happened(), Vec::<String>::new());
    desk.pass(1);
    assert_eq!(desk.happened(), ["store -publication v3"]);
}

#[test]
fn each_subscription_is_told_the_state_again_with_a_higher_cseq() {
    let mut desk = Desk::new();
    desk.publish("", &pidf("open", "before"));
    desk.subscribe("");
    desk.happened();
    desk.restart();
    assert_eq!(desk.happened(), Vec::<String>::new());
    desk.pass(2_000);
    let cseq = (1 << 20) | 1;
    let said = desk.said();
    assert_eq!(said.len(), 1);
    // The endpoint writes where the node listens now, which need not be where it did.
    assert!(said[0].contains(&format!(
        "Call-ID: call1 | Contact: <sip:local.contact.invalid> | CSeq: {cseq} "
    )));
    // Whole seconds that are left, some time within the first two.
    assert!(
        ["3600", "3599"]
            .iter()
            .any(|left| said[0].contains(&format!("active;expires={left} "))),
        "{said:?}"
    );
    assert!(said[0].ends_with(" = open before"), "{said:?}");
    desk.answer("200 OK");
    desk.subscribe(WITHIN);
    let said = desk.said();
    assert!(said[0].starts_with("3: 200 our1 "), "{said:?}");
    assert!(
        said[1].contains(&format!("CSeq: {} NOTIFY", cseq + 1)),
        "{said:?}"
    );
}

#[test]
fn a_refresh_before_the_first_notify_after_a_restart_is_answered_and_gets_that_one_at_once() {
    let mut desk = Desk::new();
    desk.subscribe("");
    desk.restart();
    desk.happened();
    desk.subscribe(WITHIN);
    let said = desk.said();
    assert!(said[0].starts_with("2: 200 "), "{said:?}");
    assert!(said[1].contains(" NOTIFY "), "{said:?}");
    desk.answer("200 OK");
    desk.pass(2_000);
    assert_eq!(desk.said(), Vec::<String>::new());
}

#[test]
fn cseq_of_the_watcher_is_remembered() {
    let mut desk = Desk::new();
    desk.subscribe("CSeq: 50 SUBSCRIBE");
    desk.restart();
    desk.happened();
    desk.subscribe(&format!("{WITHIN}|CSeq: 49 SUBSCRIBE"));
    assert_eq!(desk.happened(), ["2: 500"]);
}

#[test]
fn connections_do_not_come_back_but_datagrams_still_go_to_where_they_went() {
    let mut desk = Desk::new();
    let tcp = flow("127.0.0.1:40001", Transport::Tcp);
    let lines = "Contact: <sip:alice@127.0.0.1:5999;transport=tcp>";
    desk.send_over(tcp, "SUBSCRIBE", "sip:bob@example.com", lines, "");
    desk.subscribe("Call-ID: call2");
    desk.restart();
    desk.happened();
    desk.pass(2_000);
    let mut said = desk.said();
    said.sort();
    assert!(
        said[0].starts_with("NOTIFY sip:alice@127.0.0.1:5070 to 127.0.0.1:5070/udp"),
        "{said:?}"
    );
    assert!(
        said[1].starts_with("NOTIFY sip:alice@127.0.0.1:5999;transport=tcp next hop"),
        "{said:?}"
    );
}

#[test]
fn what_expired_meanwhile_is_taken_out_without_a_word() {
    let mut desk = Desk::new();
    desk.publish("Expires: 60", &pidf("open", ""));
    desk.subscribe("Expires: 60");
    let lines = "Contact: <sip:bob@127.0.0.1:5070>|Expires: 60";
    desk.send("REGISTER", "sip:bob@example.com", lines, "");
    desk.happened();
    desk.now = desk.now + std::time::Duration::from_secs(60);
    desk.restart();
    assert_eq!(
        desk.happened(),
        ["store -binding v2 -publication v2 -subscription v2"]
    );
    assert!(desk.records.is_empty());
    assert_eq!(desk.registry.next_wake(), None);
}

#[test]
fn two_subscriptions_of_one_dialog_come_back_into_one() {
    let mut desk = Desk::new();
    desk.subscribe("Event: presence;id=1");
    desk.answer("200 OK");
    desk.subscribe(&format!("{WITHIN}|Event: presence;id=2"));
    desk.restart();
    desk.happened();
    desk.pass(2_000);
    let said = desk.said();
    let cseqs: Vec<bool> = [1, 2]
        .iter()
        .map(|n| {
            said.iter()
                .any(|line| line.contains(&format!("CSeq: {} NOTIFY", (1 << 20) | n)))
        })
        .collect();
    assert_eq!(cseqs, [true, true], "{said:?}");
}

#[test]
fn a_subscription_whose_tag_leads_to_another_shard_is_sent_away_to_subscribe_anew() {
    let mut desk = Desk::new();
    desk.subscribe("");
    desk.happened();
    for (_, record) in desk.records.values_mut() {
        if let Record::Subscription(subscription) = record {
            subscription.shard = 4;
        }
    }
    desk.restart();
    assert_eq!(desk.happened(), ["store -subscription v2"]);
    desk.pass(2_000);
    let said = desk.said();
    assert_eq!(said.len(), 1);
    assert!(
        said[0].contains("terminated;reason=deactivated"),
        "{said:?}"
    );
    assert_eq!(desk.registry.next_wake(), None);
}

/// The registry is there before the sockets are.
#[test]
fn nobody_is_told_anything_before_the_node_can_have_opened_its_sockets() {
    for shard in [3, 4] {
        let mut desk = Desk::new();
        for number in 0..50 {
            desk.subscribe(&format!("Call-ID: call{number}"));
        }
        for (_, record) in desk.records.values_mut() {
            if let Record::Subscription(subscription) = record {
                subscription.shard = shard;
            }
        }
        desk.restart();
        desk.happened();
        desk.pass(199);
        assert_eq!(desk.said(), Vec::<String>::new());
        desk.pass(1_801);
        assert_eq!(desk.said().len(), 50);
    }
}

#[test]
fn a_subscription_that_has_used_up_its_cseq_is_sent_away_too() {
    let mut desk = Desk::new();
    desk.subscribe("");
    desk.happened();
    for _ in 0..2046 {
        desk.restart();
    }
    assert_eq!(desk.happened(), Vec::<String>::new());
    desk.restart();
    desk.pass(2_000);
    let said = desk.said();
    assert!(
        said[0].contains("terminated;reason=deactivated"),
        "{said:?}"
    );
    assert_eq!(desk.registry.snapshot(1).subscription_count, 0);
}

#[test]
fn bindings_come_back() {
    let mut desk = Desk::new();
    let lines = "Contact: <sip:bob@127.0.0.1:5070>;q=0.5|Expires: 100|Call-ID: r1|CSeq: 5 REGISTER";
    desk.send("REGISTER", "sip:bob@example.com", lines, "");
    desk.happened();
    desk.pass(40_000);
    desk.restart();
    desk.send("REGISTER", "sip:bob@example.com", "", "");
    assert_eq!(
        desk.happened(),
        ["2: 200 | Contact: <sip:bob@127.0.0.1:5070>;q=0.500;expires=60"]
    );
    desk.send("REGISTER", "sip:bob@example.com", lines, "");
    assert_eq!(desk.happened(), ["3: 500"]);
}

#[test]
fn a_package_that_is_served_no_more_is_taken_out() {
    let mut desk = Desk::new();
    desk.publish("", &pidf("open", ""));
    desk.happened();
    for (_, record) in desk.records.values_mut() {
        if let Record::Publication(publication) = record {
            publication.package = Arc::from("mood");
        }
    }
    desk.restart();
    assert_eq!(desk.happened(), ["store -publication v2"]);
}
