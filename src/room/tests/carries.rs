//! What a connection is needed for, read off the messages on it.

use super::*;

const ONE: ConnectionId = ConnectionId(1);

fn alone() -> Room {
    let mut room = room(10, 10);
    room.enter(at(0), ONE, ip("192.0.2.1")).expect("a place");
    room
}

fn granted(method: &str, call: &str, tag: &str, lines: &str) -> Vec<u8> {
    format!(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:bob@example.com>;tag=b\r\n\
         To: <sip:alice@example.com>;tag={tag}\r\nCall-ID: {call}\r\nCSeq: 4 {method}\r\n{lines}Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

fn notify(call: &str, tag: &str, state: &str) -> Vec<u8> {
    format!(
        "NOTIFY sip:bob@192.0.2.1 SIP/2.0\r\nFrom: <sip:alice@example.com>;tag={tag}\r\nTo: <sip:bob@example.com>;tag=b\r\n\
         Call-ID: {call}\r\nCSeq: 5 NOTIFY\r\nSubscription-State: {state}\r\nContent-Length: 32\r\n\r\n\
         \r\nSubscription-State: terminated"
    )
    .into_bytes()
}

/// Since when the connection is idle, or will be, in seconds.
fn free(room: &Room) -> u64 {
    room.rows[&ONE].free().since(at(0)).as_secs()
}

#[test]
fn what_is_granted_keeps_a_connection_as_long_as_it_lives() {
    for (method, lines, until) in [
        ("SUBSCRIBE", "Expires: 600\r\n", 600),
        ("PUBLISH", "Expires: 90\r\nSIP-ETag: x\r\n", 90),
        (
            "REGISTER",
            "Contact: <sip:a@192.0.2.1>;expires=60, <sip:b@192.0.2.1>;q=1;expires=120\r\n",
            120,
        ),
        ("REGISTER", "", 0),
        ("SUBSCRIBE", "Expires: 0\r\n", 0),
        ("OPTIONS", "Expires: 600\r\n", 0),
        (
            "SUBSCRIBE",
            "Expires: 99999999999999\r\n",
            u64::from(u32::MAX),
        ),
    ] {
        let mut room = alone();
        room.sent(at(0), ONE, &granted(method, "c", "t", lines), false);
        assert_eq!(free(&room), until, "{method} {lines}");
    }
    let mut room = alone();
    let refused = granted("SUBSCRIBE", "c", "t", "Expires: 600\r\n");
    let refused = String::from_utf8(refused).expect("text");
    let refused = refused.replace("200 OK", "403 Forbidden").into_bytes();
    room.sent(at(0), ONE, &refused, false);
    assert_eq!(free(&room), 0);
}

#[test]
fn what_ends_keeps_it_no_longer_and_what_goes_on_does() {
    let mut room = alone();
    for (call, tag) in [("c", "1"), ("c", "2"), ("d", "1")] {
        let answer = granted("SUBSCRIBE", call, tag, "Expires: 600\r\n");
        room.sent(at(0), ONE, &answer, false);
    }
    room.sent(at(1), ONE, &notify("c", "1", "active;expires=500"), false);
    let refused = |status: &str, method: &str| {
        format!(
            "SIP/2.0 {status}\r\nf: <sip:alice@example.com>;tag=2\r\nt: <sip:bob@example.com>;tag=b\r\ni: c\r\n\
             cseq: 5 {method}\r\n\r\n"
        )
    };
    let end = |room: &mut Room, call: &str, tag: &str| {
        let terminated = notify(call, tag, "terminated;reason=timeout");
        room.sent(at(2), ONE, &terminated, false);
    };
    end(&mut room, "c", "1");
    end(&mut room, "d", "1");
    assert_eq!(free(&room), 600);
    // Neither is the end of a subscription.
    room.answered(ONE, refused("503 Later", "NOTIFY").as_bytes());
    room.answered(ONE, refused("481 Gone", "OPTIONS").as_bytes());
    assert_eq!(free(&room), 600);
    room.answered(ONE, refused("481 Gone", "NOTIFY").as_bytes());
    assert_eq!(free(&room), 2);
}

#[test]
fn an_end_that_is_granted_ends_it_and_a_peer_can_grant_itself_nothing() {
    let mut room = alone();
    let first = granted("PUBLISH", "a", "t", "Expires: 600\r\n");
    room.sent(at(0), ONE, &first, false);
    assert_eq!(free(&room), 600);
    let last = granted("PUBLISH", "b", "u", "Expires: 0\r\n");
    room.sent(at(1), ONE, &last, false);
    assert_eq!(free(&room), 1);
    room.answered(ONE, &granted("SUBSCRIBE", "a", "t", "Expires: 600\r\n"));
    assert_eq!(free(&room), 1);
}

#[test]
fn beyond_a_handful_the_longest_life_counts() {
    let mut room = alone();
    for number in 0..20 {
        let answer = granted("SUBSCRIBE", &format!("c{number}"), "t", "Expires: 600\r\n");
        room.sent(at(0), ONE, &answer, false);
    }
    assert_eq!(room.rows[&ONE].carries.kept.len(), 8);
    for number in 0..20 {
        let terminated = notify(&format!("c{number}"), "t", "terminated");
        room.sent(at(1), ONE, &terminated, false);
    }
    assert_eq!(free(&room), 600);
}
