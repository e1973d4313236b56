//! The order of targets: priority, weight, and who has failed lately.

use std::time::Duration;

use super::super::order::Server;
use super::*;
use crate::time::Timestamp;

fn server(rank: usize, priority: u16, weight: u16, last: u8) -> Server {
    Server {
        rank,
        priority,
        weight,
        transport: Transport::Udp,
        addresses: vec![([192, 0, 2, last], 5060).into()],
    }
}

/// The last numbers of the addresses, in order.
fn lasts(targets: &[Target]) -> Vec<u8> {
    let last = |target: &Target| match target.remote.ip() {
        IpAddr::V4(ip) => ip.octets()[3],
        IpAddr::V6(_) => 0,
    };
    targets.iter().map(last).collect()
}

#[test]
fn services_come_before_priorities_and_priorities_before_weights() {
    let servers = Servers::new(vec![
        server(1, 0, 0, 4),
        server(0, 7, 1, 3),
        server(0, 2, 0, 1),
        server(0, 7, 0, 2),
    ]);
    for seed in 0..50 {
        let order = lasts(&servers.order(&mut Entropy::from_number(seed)));
        assert_eq!((order[0], order[3]), (1, 4));
        assert!(order[1..3].contains(&2) && order[1..3].contains(&3));
    }
}

#[test]
fn weights_are_shares_and_no_weight_is_a_small_one() {
    let servers = Servers::new(vec![
        server(0, 0, 60, 1),
        server(0, 0, 39, 2),
        server(0, 0, 0, 3),
    ]);
    let mut entropy = Entropy::from_number(11);
    let mut first = [0u32; 4];
    for _ in 0..10_000 {
        let order = lasts(&servers.order(&mut entropy));
        assert_eq!(order.len(), 3);
        first[usize::from(order[0])] += 1;
    }
    // 60, 39 and 1 of a hundred draws: zero is drawn by the one without a weight.
    assert!((5_800..6_200).contains(&first[1]), "{first:?}");
    assert!((3_700..4_100).contains(&first[2]), "{first:?}");
    assert!((50..160).contains(&first[3]), "{first:?}");
}

#[test]
fn the_same_randomness_gives_the_same_order_and_one_server_needs_none() {
    let alike: Vec<Server> = (1..=6).map(|last| server(0, 0, 10, last)).collect();
    let servers = Servers::new(alike);
    let order = |seed| lasts(&servers.order(&mut Entropy::from_number(seed)));
    assert_eq!(order(5), order(5));
    assert!((0..20).any(|seed| order(seed) != order(5)));
    let (mut used, mut unused) = (Entropy::from_number(1), Entropy::from_number(1));
    Servers::new(vec![server(0, 0, 9, 1)]).order(&mut used);
    assert_eq!(used.next_u64(), unused.next_u64());
}

#[test]
fn a_request_tries_a_handful_of_targets_and_none_twice() {
    let mut many: Vec<Server> = (0..30).map(|n| server(0, u16::from(n), 0, n)).collect();
    many.extend((0..30).map(|n| server(0, 99, 0, n)));
    let order = lasts(&Servers::new(many).order(&mut Entropy::from_number(1)));
    assert_eq!(order, [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(order.len(), MOST_TARGETS);
    let twice = Servers::new(vec![server(0, 0, 0, 1), server(0, 1, 0, 1)]);
    assert_eq!(lasts(&twice.order(&mut Entropy::from_number(1))), [1]);
}

#[test]
fn who_has_failed_comes_last_until_the_time_is_over() {
    let target = |last| Target {
        transport: Transport::Udp,
        remote: ([192, 0, 2, last], 5060).into(),
    };
    let start = Timestamp::from_millis(1_000_000);
    let mut avoided = Avoided::default();
    avoided.avoid(start, target(1), AVOID);
    avoided.avoid(start, target(3), Duration::from_secs(u64::MAX));
    let order = |avoided: &Avoided, after: u64| {
        let mut targets = [1, 2, 3, 4].map(target);
        avoided.put_last(start + Duration::from_secs(after), &mut targets);
        lasts(&targets)
    };
    assert_eq!(order(&avoided, 0), [2, 4, 1, 3]);
    assert_eq!(order(&avoided, 29), [2, 4, 1, 3]);
    assert_eq!(order(&avoided, 30), [1, 2, 4, 3]);
    assert_eq!(order(&avoided, 3599), [1, 2, 4, 3]);
    assert_eq!(order(&avoided, 3600), [1, 2, 3, 4], "an hour at most");
    // Another transport of the same host is another target.
    let mut tcp = [
        Target {
            transport: Transport::Tcp,
            ..target(1)
        },
        target(2),
    ];
    avoided.put_last(start, &mut tcp);
    assert_eq!(lasts(&tcp), [1, 2]);
}

#[test]
fn of_too_many_to_avoid_the_one_that_is_over_first_is_forgotten() {
    let target = |port| Target {
        transport: Transport::Udp,
        remote: ([192, 0, 2, 1], port).into(),
    };
    let now = Timestamp::from_millis(1_000_000);
    let mut avoided = Avoided::default();
    avoided.avoid(now, target(1), Duration::from_secs(1));
    for port in 2..=1025 {
        avoided.avoid(now, target(port), AVOID);
    }
    let mut targets = [target(2), target(1)];
    avoided.put_last(now, &mut targets);
    assert_eq!(targets, [target(1), target(2)]);
}
