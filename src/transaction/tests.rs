//! The two machines alone, timer by timer: clients here, servers in `server.rs`.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::entropy::Entropy;
use crate::exchange::{ConnectionId, Flow, Transport};
use crate::keyed::Secret;
use crate::sip::{Message, Method, StatusCode, Via};
use crate::time::{Timestamp, Wheel};

mod server;

const TIMERS: Timers = Timers {
    t1: Duration::from_millis(10),
    t2: Duration::from_millis(40),
    t4: Duration::from_millis(50),
};

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn flow(transport: Transport) -> Flow {
    Flow {
        shard: 0,
        transport,
        local: ([127, 0, 0, 1], 5060).into(),
        remote: ([127, 0, 0, 1], 5062).into(),
        connection: ConnectionId(0),
    }
}

/// Everything that is set, by time.
fn armed(wheel: &mut Wheel<Timer>) -> Vec<(u64, Timer)> {
    std::iter::from_fn(|| wheel.pop(at(u64::MAX)))
        .map(|(time, timer)| (time.as_millis(), timer))
        .collect()
}

/// Of the first request: 7 by chance, and the first place.
const BRANCH: u64 = 7 << 32;

fn request(transport: Transport) -> Request<char> {
    Request {
        origin: 'a',
        token: 1,
        branch: BRANCH,
        method: Method::Notify,
        flow: flow(transport),
        bytes: Bytes::from_static(b"NOTIFY"),
        room: u32::MAX,
    }
}

fn begin(transport: Transport) -> (Clients<char>, Wheel<Timer>) {
    let (mut clients, mut wheel) = (Clients::new(), Wheel::new());
    assert_eq!(clients.next_branch(7), BRANCH);
    clients.begin(at(0), &mut wheel, &TIMERS, request(transport));
    (clients, wheel)
}

const ENDED: Ended<char> = Ended {
    origin: 'a',
    token: 1,
};

fn receive(
    clients: &mut Clients<char>,
    wheel: &mut Wheel<Timer>,
    now: u64,
    status: u16,
) -> Received<char> {
    let status = StatusCode::new(status).expect("a status");
    clients.receive(at(now), wheel, &TIMERS, BRANCH, &Method::Notify, status)
}

/// Lets the timers of requests fire until a time, and gives what fired when.
fn fire(clients: &mut Clients<char>, wheel: &mut Wheel<Timer>, until: u64) -> Vec<(u64, Timer)> {
    let again = Fired::Retransmit(flow(Transport::Udp), Bytes::from_static(b"NOTIFY"));
    let mut fired = Vec::new();
    while let Some((now, timer)) = wheel.pop(at(until)) {
        fired.push((now.as_millis(), timer));
        match timer {
            Timer::FirstE => {
                while let Some(shot) = clients.first_shot(now, wheel, &TIMERS) {
                    assert_eq!(shot, again);
                    fired.push((now.as_millis(), Timer::E(0)));
                }
            }
            Timer::E(row) => assert_eq!(clients.retransmit(now, wheel, &TIMERS, row), again),
            Timer::F(row) => assert_eq!(clients.time_out(wheel, row), Fired::TimedOut(ENDED)),
            Timer::K => clients.expire(now, wheel),
            Timer::J | Timer::Unanswered => panic!("no timer of a client"),
        }
    }
    fired
}

#[test]
fn a_client_on_tcp_arms_f_only() {
    let (_, mut wheel) = begin(Transport::Tcp);
    assert_eq!(armed(&mut wheel), [(640, Timer::F(0))]);
}

#[test]
fn timer_e_doubles_up_to_t2_and_timer_f_ends_it() {
    let (mut clients, mut wheel) = begin(Transport::Udp);
    let fired = fire(&mut clients, &mut wheel, 1000);
    let [(10, Timer::FirstE), shots @ .., (640, Timer::F(0))] = &fired[..] else {
        panic!("{fired:?}");
    };
    let shots: Vec<u64> = shots
        .iter()
        .map(|(at, timer)| (*timer == Timer::E(0)).then_some(*at))
        .collect::<Option<_>>()
        .expect("nothing else");
    let every_t2 = (110..640).step_by(40);
    assert_eq!(
        shots,
        [10, 30, 70].into_iter().chain(every_t2).collect::<Vec<_>>()
    );
    assert!(clients.is_empty());
}

#[test]
fn a_bounded_request_is_repeated_while_there_is_room_and_timer_f_ends_it_as_ever() {
    let (mut clients, mut wheel) = (Clients::new(), Wheel::new());
    clients.next_branch(7);
    let bounded = Request {
        // For one of two repetitions of six bytes.
        room: 11,
        ..request(Transport::Udp)
    };
    clients.begin(at(0), &mut wheel, &TIMERS, bounded);
    assert_eq!(wheel.pop(at(10)), Some((at(10), Timer::FirstE)));
    let again = clients.first_shot(at(10), &mut wheel, &TIMERS);
    assert!(matches!(again, Some(Fired::Retransmit(..))));
    assert_eq!(wheel.pop(at(30)), Some((at(30), Timer::E(0))));
    let again = clients.retransmit(at(30), &mut wheel, &TIMERS, 0);
    assert_eq!(again, Fired::Silent);
    assert_eq!(armed(&mut wheel), [(640, Timer::F(0))]);
    // Its answer proves something, so it comes from where it went.
    assert!(clients.may_come_from(BRANCH, flow(Transport::Udp).remote.ip()));
    assert!(!clients.may_come_from(BRANCH, [192, 0, 2, 1].into()));
}

#[test]
fn requests_have_their_first_timer_e_in_order_unless_they_are_answered_by_then() {
    let (mut clients, mut wheel) = begin(Transport::Udp);
    for now in [2, 4] {
        let branch = clients.next_branch(7);
        let request = Request {
            branch,
            ..request(Transport::Udp)
        };
        clients.begin(at(now), &mut wheel, &TIMERS, request);
    }
    receive(&mut clients, &mut wheel, 5, 503);
    assert_eq!(wheel.pop(at(10)), Some((at(10), Timer::FirstE)));
    assert_eq!(clients.first_shot(at(10), &mut wheel, &TIMERS), None);
    assert_eq!(wheel.pop(at(20)), Some((at(12), Timer::FirstE)));
    // Late, so that both are due.
    let mut shots = || clients.first_shot(at(20), &mut wheel, &TIMERS);
    assert!(matches!(shots(), Some(Fired::Retransmit(..))));
    assert!(matches!(shots(), Some(Fired::Retransmit(..))));
    assert_eq!(shots(), None);
    let left = [(40, Timer::E(1)), (40, Timer::E(2)), (55, Timer::K)];
    assert_eq!(armed(&mut wheel), left);
}

#[test]
fn a_provisional_response_makes_timer_e_t2_from_its_next_shot_on() {
    let (mut clients, mut wheel) = begin(Transport::Udp);
    assert_eq!(
        receive(&mut clients, &mut wheel, 5, 183),
        Received::Provisional
    );
    let fired = fire(&mut clients, &mut wheel, 60);
    assert_eq!(
        fired,
        [(10, Timer::FirstE), (10, Timer::E(0)), (50, Timer::E(0))]
    );
}

#[test]
fn a_final_response_on_udp_leaves_timer_k_only() {
    let (mut clients, mut wheel) = begin(Transport::Udp);
    assert_eq!(
        receive(&mut clients, &mut wheel, 5, 200),
        Received::Final(ENDED)
    );
    assert_eq!(
        receive(&mut clients, &mut wheel, 6, 200),
        Received::Repeated
    );
    assert_eq!(
        receive(&mut clients, &mut wheel, 7, 100),
        Received::Repeated
    );
    assert_eq!(
        fire(&mut clients, &mut wheel, 1000),
        [(10, Timer::FirstE), (55, Timer::K)]
    );
    assert_eq!(receive(&mut clients, &mut wheel, 56, 200), Received::Stray);
    assert!(clients.is_empty());
}

#[test]
fn one_timer_k_ends_requests_in_the_order_of_their_final_responses() {
    let (mut clients, mut wheel) = begin(Transport::Udp);
    receive(&mut clients, &mut wheel, 5, 200);
    for answered in [6, 9] {
        let branch = clients.next_branch(8);
        let request = Request {
            branch,
            ..request(Transport::Udp)
        };
        clients.begin(at(5), &mut wheel, &TIMERS, request);
        let status = StatusCode::OK;
        clients.receive(
            at(answered),
            &mut wheel,
            &TIMERS,
            branch,
            &Method::Notify,
            status,
        );
    }
    assert_eq!(wheel.pop(at(56)), Some((at(10), Timer::FirstE)));
    assert_eq!(clients.first_shot(at(56), &mut wheel, &TIMERS), None);
    assert_eq!(wheel.pop(at(56)), Some((at(55), Timer::K)));
    clients.expire(at(56), &mut wheel);
    assert_eq!(clients.len(), 1, "two have ended by then");
    assert_eq!(armed(&mut wheel), [(59, Timer::K)]);
    clients.expire(at(59), &mut wheel);
    assert!(clients.is_empty());
    assert_eq!(armed(&mut wheel), []);
}

#[test]
fn a_final_response_on_tcp_leaves_nothing() {
    let (mut clients, mut wheel) = begin(Transport::Tcp);
    assert_eq!(
        receive(&mut clients, &mut wheel, 5, 503),
        Received::Final(ENDED)
    );
    assert_eq!(armed(&mut wheel), []);
    assert!(clients.is_empty());
}

#[test]
fn timer_f_ends_a_request_and_leaves_nothing() {
    let (mut clients, mut wheel) = begin(Transport::Tcp);
    assert_eq!(clients.time_out(&mut wheel, 0), Fired::TimedOut(ENDED));
    assert_eq!(clients.time_out(&mut wheel, 0), Fired::Gone);
    assert!(clients.is_empty());
    // Timer F itself would have been taken out by firing; here it is cancelled.
    assert_eq!(armed(&mut wheel), []);
}

#[test]
fn a_failed_way_ends_its_requests_once() {
    let (mut clients, mut wheel) = begin(Transport::Udp);
    assert_eq!(clients.fail(&mut wheel, |_| false), []);
    assert_eq!(
        clients.fail(&mut wheel, |over| *over == flow(Transport::Udp)),
        [ENDED]
    );
    assert_eq!(clients.fail(&mut wheel, |_| true), []);
    assert_eq!(
        fire(&mut clients, &mut wheel, 1000),
        [(10, Timer::FirstE)],
        "it finds nothing"
    );
}

#[test]
fn a_request_with_its_final_response_can_not_fail_any_more() {
    let (mut clients, mut wheel) = begin(Transport::Udp);
    receive(&mut clients, &mut wheel, 5, 200);
    assert_eq!(clients.fail(&mut wheel, |_| true), []);
    assert_eq!(armed(&mut wheel), [(10, Timer::FirstE), (55, Timer::K)]);
}

#[test]
fn a_response_to_another_method_or_branch_is_a_stray() {
    let (mut clients, mut wheel) = begin(Transport::Udp);
    let mut receive = |branch, method| {
        clients.receive(at(1), &mut wheel, &TIMERS, branch, &method, StatusCode::OK)
    };
    assert_eq!(receive(BRANCH, Method::Subscribe), Received::Stray);
    assert_eq!(receive(8 << 32, Method::Notify), Received::Stray);
    assert_eq!(receive(BRANCH + 1, Method::Notify), Received::Stray);
    assert_eq!(receive(BRANCH, Method::Notify), Received::Final(ENDED));
}
