//! Which shard a message belongs to.

use super::*;

fn subscribe(tag: &str) -> String {
    let to = format!("To: <sip:bob@example.com>{tag}");
    request("SUBSCRIBE").replace("To: <sip:bob@example.com>", &to)
}

#[test]
fn a_request_goes_to_the_shard_of_its_presentity() {
    let mut bench = Bench::with(shard(0, 8), table());
    for user in ["bob", "alice", "carol", "dave"] {
        let owner = shard_of(&format!("sip:{user}@example.com"), 8);
        let text = PUBLISH
            .replace("PUBLISH sip:bob@", &format!("PUBLISH sip:{user}@"))
            .replace("c1", user);
        let shown = show(
            &bench.receive(
                udp(5062),
                &text
                    .replace("bKa", user)
                    .replace("branch=", "branch=z9hG4bK"),
            ),
        );
        assert_eq!(
            shown,
            [format!("deliver 1@{owner} PUBLISH sip:{user}@example.com")]
        );
    }
}

#[test]
fn every_way_to_write_a_presentity_leads_to_one_shard() {
    let owner = shard_of("sip:bob@example.com", 8);
    for uri in [
        "sip:bob@EXAMPLE.com",
        "sip:b%6fb@example.com;transport=tcp",
        "pres:bob@example.com",
        "sips:bob@example.com",
    ] {
        let mut bench = Bench::with(shard(0, 8), table());
        let text = PUBLISH.replace("PUBLISH sip:bob@example.com", &format!("PUBLISH {uri}"));
        assert_eq!(
            show(&bench.receive(udp(5062), &text)),
            [format!("deliver 1@{owner} PUBLISH {uri}")]
        );
    }
}

#[test]
fn a_registration_belongs_to_the_shard_of_who_registers() {
    let mut bench = Bench::with(shard(0, 8), table());
    let owner = shard_of("sip:bob@example.com", 8);
    let text =
        request("REGISTER").replace("REGISTER sip:bob@example.com", "REGISTER sip:example.com");
    let shown = show(&bench.receive(udp(5062), &text));
    assert_eq!(
        shown,
        [format!("deliver 1@{owner} REGISTER sip:example.com")]
    );
}

#[test]
fn a_request_in_a_dialog_goes_to_the_shard_that_its_tag_names() {
    let owner = shard_of("sip:bob@example.com", 8);
    for (tag, to) in [
        (";tag=050123456789abcdef", 5),
        (";tag=08ffff", owner),
        (";tag=xyz", owner),
        (";tag=é", owner),
    ] {
        let mut bench = Bench::with(shard(0, 8), table());
        let shown = show(&bench.receive(udp(5062), &subscribe(tag)));
        assert_eq!(
            shown,
            [format!("deliver 1@{to} SUBSCRIBE sip:bob@example.com")],
            "{tag}"
        );
    }
}

/// Some clients copy the tag of the last answer into their next request. Were it followed, a presentity would live in two
/// shards.
#[test]
fn a_tag_does_not_take_a_publication_or_registration_from_the_shard_of_its_presentity() {
    let owner = shard_of("sip:bob@example.com", 8);
    for method in ["PUBLISH", "REGISTER"] {
        for tag in 0..8 {
            let mut bench = Bench::with(shard(0, 8), table());
            let text =
                subscribe(&format!(";tag=0{tag}0123456789abcdef")).replace("SUBSCRIBE", method);
            assert_eq!(
                show(&bench.receive(udp(5062), &text)),
                [format!("deliver 1@{owner} {method} sip:bob@example.com")],
                "{tag}"
            );
        }
    }
}

#[test]
fn a_module_with_one_instance_gets_everything_there() {
    let one = ModuleTable::builder().module(
        REGISTRY,
        "watcher",
        &[Route::package(Method::Publish, "presence")],
        Sharding::One,
    );
    let mut bench = Bench::with(shard(3, 8), one);
    assert_eq!(
        show(&bench.receive(udp(5062), PUBLISH)),
        ["deliver 1@0 PUBLISH sip:bob@example.com"]
    );
}

#[test]
fn a_response_to_another_shards_request_is_handed_over_unchanged() {
    let mut first = Bench::with(shard(1, 2), table());
    let mut second = Bench::with(shard(0, 2), table());
    let request = sent(&first.send(notify(1, Destination::NextHop)));
    let answer = response(&request, "200 OK");
    let effects = second.receive(udp(5062), &answer);
    assert_eq!(show(&effects), ["hand over to 1 SIP/2.0 200 OK"]);
    let [Effect::HandOver { flow, bytes, .. }] = &effects[..] else {
        panic!("handed over")
    };
    let mut out = Vec::new();
    first
        .endpoint
        .receive(first.now, *flow, bytes.clone(), &mut out);
    assert_eq!(show(&out), ["outcome 1@0 1 200"]);
    assert_eq!(second.counters().handed_over, 1);
}

#[test]
fn a_response_of_a_shard_that_does_not_exist_is_dropped() {
    let mut stranger = Bench::with(shard(7, 8), table());
    let mut bench = Bench::with(shard(0, 2), table());
    let request = sent(&stranger.send(notify(1, Destination::NextHop)));
    assert_eq!(
        show(&bench.receive(udp(5062), &response(&request, "200 OK"))),
        [""; 0]
    );
    assert_eq!(bench.counters().stray_responses, 1);
}

#[test]
fn a_transaction_carries_the_shard_that_answers_it() {
    let mut bench = Bench::with(shard(1, 2), table());
    let first = delivered(&bench.receive(udp(5062), PUBLISH));
    let second = delivered(&bench.receive(udp(5063), PUBLISH));
    assert_eq!((first.shard, second.shard), (1, 1));
    assert_ne!(first, second);
}

#[test]
fn manager_messages_are_routed_by_the_same_table() {
    let bench = Bench::new();
    assert_eq!(bench.endpoint.route_manager("\n presence "), Some(REGISTRY));
    assert_eq!(bench.endpoint.route_manager("WEATHER"), None);
}
