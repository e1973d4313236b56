//! Room in virtual time: who gets in, who goes.

mod carries;
mod parts;

use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + seconds * 1000)
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn id(number: u64) -> ConnectionId {
    ConnectionId(number)
}

fn room(most: usize, share: usize) -> Room {
    let rules = Rules {
        most,
        share,
        loopback: true,
        idle: Some(Duration::from_secs(30)),
        ..Rules::default()
    };
    Room::new(rules, Tally::default())
}

/// Connections of one address that enter one after the other, a second apart; those that went for them.
fn fill(room: &mut Room, place: &str, numbers: std::ops::Range<u64>) -> Vec<u64> {
    let gone = numbers.map(|number| room.enter(at(number), id(number), ip(place)));
    gone.filter_map(|result| result.expect("a place"))
        .map(|id| id.0)
        .collect()
}

#[test]
fn a_new_address_gets_the_place_of_the_oldest_idle_one_of_the_address_with_most() {
    let mut room = room(10, 100);
    fill(&mut room, "192.0.2.1", 0..3);
    fill(&mut room, "192.0.2.2", 3..10);
    // The one that is oldest has spoken since, and the next one is needed.
    room.used(at(11), id(3), false);
    room.keep(id(4), at(1000));
    assert_eq!(room.enter(at(12), id(20), ip("192.0.2.3")), Ok(Some(id(5))));
    assert!(!room.has(id(5)) && room.has(id(20)));
    assert_eq!(room.len(), 10);
}

#[test]
fn who_has_most_pays_for_its_own_and_takes_nothing_from_those_who_have_less() {
    let mut room = room(10, 100);
    fill(&mut room, "192.0.2.1", 0..2);
    fill(&mut room, "192.0.2.2", 2..10);
    assert_eq!(fill(&mut room, "192.0.2.2", 10..13), [2, 3, 4]);
    assert!(room.has(id(0)) && room.has(id(1)));
}

#[test]
fn what_is_needed_is_not_closed_for_anybody_and_the_newcomer_learns_why() {
    let mut room = room(4, 3);
    for number in 0..3 {
        room.enter(at(0), id(number), ip("192.0.2.1"))
            .expect("a place");
        room.keep(id(number), at(100));
    }
    assert_eq!(
        room.enter(at(1), id(5), ip("192.0.2.1")),
        Err(Full::Share),
        "its share"
    );
    room.enter(at(1), id(6), ip("192.0.2.9")).expect("a place");
    room.used(at(1), id(6), true);
    assert_eq!(room.enter(at(2), id(7), ip("192.0.2.3")), Err(Full::All));
    // A request that nobody has answered in 32 s holds nothing any more; what was kept until 100 s does.
    assert_eq!(room.enter(at(34), id(8), ip("192.0.2.3")), Ok(Some(id(6))));
    assert_eq!(room.enter(at(35), id(9), ip("192.0.2.1")), Err(Full::Share));
    assert_eq!(
        room.enter(at(100), id(10), ip("192.0.2.1")),
        Ok(Some(id(0)))
    );
}

#[test]
fn a_share_counts_in_all_rooms_and_an_ipv6_address_stands_for_its_network() {
    let rules = Rules {
        share: 2,
        exempt: vec![ip("2001:db8:9::1")],
        ..Rules::default()
    };
    let tally = Tally::default();
    let mut one = Room::new(rules.clone(), tally.clone());
    let mut two = Room::new(rules, tally);
    assert_eq!(one.enter(at(0), id(1), ip("2001:db8::1")), Ok(None));
    assert_eq!(two.enter(at(0), id(2), ip("2001:db8::2")), Ok(None));
    one.keep(id(1), at(9));
    assert_eq!(one.enter(at(1), id(3), ip("2001:db8::3")), Err(Full::Share));
    assert_eq!(two.enter(at(1), id(4), ip("2001:db8::3")), Ok(Some(id(2))));
    assert_eq!(one.enter(at(1), id(5), ip("2001:db8:0:1::3")), Ok(None));
    one.leave(id(1));
    assert_eq!(one.enter(at(1), id(6), ip("2001:db8::3")), Ok(None));
    for number in 10..20 {
        assert_eq!(one.enter(at(1), id(number), ip("2001:db8:9::1")), Ok(None));
        assert_eq!(one.enter(at(1), id(number + 50), ip("127.0.0.1")), Ok(None));
    }
    two.clear();
    one.clear();
    assert_eq!(one.enter(at(1), id(7), ip("2001:db8::1")), Ok(None));
    assert_eq!(one.enter(at(1), id(8), ip("2001:db8::1")), Ok(None));
}

#[test]
fn idle_ones_are_due_after_their_time_and_needed_ones_are_not() {
    let mut room = room(100, 100);
    for number in 0..4 {
        room.enter(at(0), id(number), ip("192.0.2.1"))
            .expect("a place");
    }
    room.used(at(10), id(1), false);
    room.used(at(10), id(2), true);
    room.keep(id(3), at(50));
    assert_eq!(room.next_due(), Some(at(30)));
    assert_eq!(room.due(at(29)), None);
    assert_eq!(room.due(at(30)), Some(Due::Close(id(0))));
    assert_eq!(room.due(at(30)), None);
    room.leave(id(0));
    assert_eq!(room.due(at(40)), Some(Due::Close(id(1))));
    // It does not let go.
    assert_eq!(room.due(at(69)), None);
    assert_eq!(room.due(at(70)), Some(Due::Drop(id(1))));
    room.leave(id(1));
    assert_eq!(room.due(at(72)), Some(Due::Close(id(2))));
    assert_eq!(room.due(at(79)), None);
    assert_eq!(room.due(at(80)), Some(Due::Close(id(3))));
}

#[test]
fn one_that_we_open_is_waited_for_and_a_client_keeps_it() {
    let mut server = room(1, 1);
    server.open(at(0), id(1), ip("192.0.2.1")).expect("a place");
    assert_eq!(server.enter(at(5), id(2), ip("192.0.2.2")), Err(Full::All));
    server.used(at(6), id(1), false);
    assert_eq!(server.due(at(36)), Some(Due::Close(id(1))));
    let rules = Rules {
        idle: Some(Duration::from_secs(30)),
        keeps_opened: true,
        ..Rules::default()
    };
    let mut client = Room::new(rules, Tally::default());
    client.open(at(0), id(1), ip("192.0.2.1")).expect("a place");
    client
        .enter(at(0), id(2), ip("192.0.2.1"))
        .expect("a place");
    assert_eq!(client.due(at(1000)), Some(Due::Close(id(2))));
    client.leave(id(2));
    assert_eq!(client.due(at(1_000_000)), None);
}

#[test]
fn ten_thousand_idle_ones_are_no_work_for_the_next() {
    let mut room = room(10_000, 20_000);
    fill(&mut room, "192.0.2.1", 0..10_000);
    // All have spoken, in the other order, and half are needed.
    for number in 0..10_000 {
        room.used(at(30_000 - number), id(number), false);
        if number % 2 == 0 {
            room.keep(id(number), at(100_000));
        }
    }
    for number in 0..5000 {
        let place = IpAddr::from([198, 51, (number / 250) as u8, (number % 250) as u8]);
        let gone = room.enter(at(40_000 + number), id(20_000 + number), place);
        assert_eq!(gone, Ok(Some(id(9999 - 2 * number))));
    }
    // Then it needs all that it has, and of the others, who have one each, the first one goes.
    assert_eq!(room.spread(), (5001, 5000));
    let place = ip("203.0.113.1");
    assert_eq!(
        room.enter(at(50_000), id(1_000_000), place),
        Ok(Some(id(20_000)))
    );
}

#[test]
fn any_order_of_events_keeps_the_room_in_order() {
    let mut random = crate::entropy::Entropy::from_number(7);
    let mut room = room(40, 15);
    for step in 0..20_000_u64 {
        let now = at(step / 10);
        let number = id(random.below(60));
        match random.below(6) {
            0 | 1 => {
                let place = IpAddr::from([192, 0, 2, (random.below(5)) as u8]);
                if !room.has(number) {
                    let _ = room.enter(now, number, place);
                }
            }
            2 => room.leave(number),
            3 => room.used(now, number, random.below(2) == 0),
            4 => room.keep(number, now + Duration::from_secs(random.below(60))),
            _ => while room.due(now).is_some() {},
        }
        assert!(room.len() <= 40);
        assert_eq!(room.order.len(), room.rows.len());
        let sum: usize = room.places.values().map(BTreeSet::len).sum();
        assert_eq!(sum, room.rows.len());
        assert_eq!(room.sizes.len(), room.places.len());
        assert!(room.sizes.iter().all(|(size, ..)| (1..=15).contains(size)));
        for (id, row) in &room.rows {
            assert!(room.order.contains(&(row.key, *id)));
            assert!(row.key <= row.free());
        }
    }
}

#[test]
fn the_first_byte_sets_the_time_and_no_further_one_moves_it() {
    let mut patience = Patience::new(Duration::from_secs(10));
    let message = Some(Part::Message);
    assert_eq!(patience.look(None, || at(0)), None);
    assert_eq!(patience.look(message, || at(1)), Some(at(11)));
    assert_eq!(patience.look(message, || at(9)), Some(at(11)));
    // The record is whole, its message is not.
    patience.whole();
    assert_eq!(
        patience.look(Some(Part::Record(3)), || at(20)),
        Some(at(30))
    );
    assert_eq!(patience.look(message, || at(25)), Some(at(30)));
    assert_eq!(patience.look(None, || at(26)), None);
    assert_eq!(patience.look(Some(Part::Web(1)), || at(40)), Some(at(50)));
    assert_eq!(patience.look(Some(Part::Web(2)), || at(45)), Some(at(55)));
}

#[test]
fn of_those_who_shake_hands_the_oldest_of_the_address_with_most_is_turned_out() {
    let shaking = [
        (id(1), ip("192.0.2.1"), at(0)),
        (id(2), ip("192.0.2.2"), at(3)),
        (id(3), ip("192.0.2.2"), at(2)),
        (id(4), ip("192.0.2.3"), at(5)),
    ];
    assert_eq!(hurry(at(5), shaking.into_iter()), Some(id(3)));
    assert_eq!(hurry(at(5), shaking[3..].iter().copied()), None);
    assert_eq!(hurry(at(6), shaking[3..].iter().copied()), Some(id(4)));
}
