//! What the hub promises to sources and Presence Clients.

mod random;
mod sources;

use std::time::Duration;

use super::super::message::{Ack, Basic, Note};
use super::*;

const PC: Peer = Peer(1);
const PC2: Peer = Peer(2);
const DESK: Peer = Peer(10);
const PBX: Peer = Peer(11);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + seconds * 1000)
}

fn presence(entity: &str, activity: &str) -> Presence {
    Presence {
        entity: entity.into(),
        activities: vec![activity.into()],
        ..Presence::default()
    }
}

fn with_seq(seq: u64, presence: Presence) -> Presence {
    Presence {
        seq: Some(seq),
        ..presence
    }
}

fn welcome() -> Message {
    Message::Welcome(Welcome {
        id: "m".into(),
        version: 1,
        run: "r1".into(),
        heartbeat: 30,
    })
}

/// What a Presence Client gets.
fn told(peer: Peer, seq: u64, source: &str, presence: Presence) -> Effect {
    let presence = Presence {
        source: Some(source.into()),
        ..with_seq(seq, presence)
    };
    Effect::Send(peer, Message::Presence(Box::new(presence)))
}

fn withdrawn(entity: &str) -> Presence {
    Presence {
        entity: entity.into(),
        withdrawn: true,
        ..Presence::default()
    }
}

fn ack(seq: u64, etag: Option<&str>) -> Message {
    Message::Ack(Ack {
        seq,
        etag: etag.map(str::to_owned),
    })
}

fn nak(seq: u64, code: u16, reason: &str) -> Message {
    Message::Nak(Nak {
        seq,
        code,
        reason: reason.into(),
    })
}

struct Bench {
    hub: Hub,
    now: Timestamp,
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::new("m", "r1");
        change(&mut settings);
        Self {
            hub: Hub::new(settings),
            now: at(0),
        }
    }

    fn receive(&mut self, peer: Peer, message: Message) -> Vec<Effect> {
        let mut out = Vec::new();
        self.hub.receive(self.now, peer, message, &mut out);
        out
    }

    fn client(&mut self, peer: Peer) -> Vec<Effect> {
        self.receive(peer, Message::PresenceClient(Hello::default()))
    }

    fn source(&mut self, peer: Peer, name: &str) {
        let hello = Hello {
            id: Some(name.into()),
            ..Hello::default()
        };
        let effects = self.receive(peer, Message::Source(hello));
        assert_eq!(
            effects,
            [Effect::Send(peer, welcome()), Effect::Credit(peer, 256)]
        );
    }

    fn say(&mut self, peer: Peer, presence: Presence) -> Vec<Effect> {
        self.receive(peer, Message::Presence(Box::new(presence)))
    }

    fn inside(&mut self, source: &str, presence: Presence) -> Vec<Effect> {
        let mut out = Vec::new();
        self.hub
            .from_source(self.now, source, presence, &mut out)
            .expect("taken");
        out
    }

    fn wake_at(&mut self, seconds: u64) -> Vec<Effect> {
        let mut out = Vec::new();
        assert_eq!(self.hub.next_wake(), Some(at(seconds)));
        self.now = at(seconds);
        self.hub.wake(self.now, &mut out);
        out
    }
}

#[test]
fn a_presence_client_gets_a_snapshot_and_then_each_change() {
    let mut bench = Bench::new();
    bench.inside("calendar", presence("sip:a@x", "meeting"));
    bench.inside("calendar", presence("sip:b@x", "busy"));
    bench.inside("calendar", presence("sip:a@x", "away"));
    assert_eq!(
        bench.client(PC),
        [
            Effect::Send(PC, welcome()),
            Effect::Credit(PC, 512),
            told(PC, 2, "calendar", presence("sip:b@x", "busy")),
            told(PC, 3, "calendar", presence("sip:a@x", "away")),
        ]
    );
    assert_eq!(
        bench.inside("calendar", presence("sip:b@x", "away")),
        [told(PC, 4, "calendar", presence("sip:b@x", "away"))]
    );
    assert_eq!(
        bench.inside("calendar", presence("sip:b@x", "away")),
        [],
        "the same again changes nothing"
    );
}

#[test]
fn the_loop_is_closed_to_the_source() {
    let mut bench = Bench::new();
    bench.client(PC);
    bench.source(DESK, "desk");
    assert_eq!(
        bench.say(DESK, with_seq(7, presence("sip:a@x", "busy"))),
        [told(PC, 1, "desk", presence("sip:a@x", "busy"))]
    );
    assert_eq!(
        bench.receive(PC, ack(1, Some("e1"))),
        [
            Effect::Credit(PC, 1),
            Effect::Send(DESK, ack(7, Some("e1"))),
            Effect::Credit(DESK, 1)
        ]
    );
    bench.say(DESK, with_seq(8, presence("sip:a@x", "away")));
    assert_eq!(
        bench.receive(PC, nak(2, 403, "not yours")),
        [
            Effect::Credit(PC, 1),
            Effect::Send(DESK, nak(8, 403, "not yours")),
            Effect::Credit(DESK, 1)
        ]
    );
    let counters = bench.hub.counters();
    assert_eq!(
        (counters.accepted, counters.acked, counters.naked),
        (2, 1, 1)
    );
}

#[test]
fn the_same_again_is_answered_at_once_when_published_and_tried_again_when_refused() {
    let mut bench = Bench::new();
    bench.client(PC);
    bench.source(DESK, "desk");
    bench.say(DESK, with_seq(1, presence("sip:a@x", "busy")));
    bench.receive(PC, ack(1, Some("e1")));
    assert_eq!(
        bench.say(DESK, with_seq(2, presence("sip:a@x", "busy"))),
        [
            Effect::Send(DESK, ack(2, Some("e1"))),
            Effect::Credit(DESK, 1)
        ]
    );
    bench.say(DESK, with_seq(3, presence("sip:a@x", "away")));
    bench.receive(PC, nak(2, 503, "overloaded"));
    assert_eq!(
        bench.say(DESK, with_seq(4, presence("sip:a@x", "away"))),
        [told(PC, 3, "desk", presence("sip:a@x", "away"))]
    );
}

#[test]
fn what_a_newer_state_replaced_is_answered_with_the_newer_one() {
    let mut bench = Bench::with(|settings| settings.unacknowledged = 1);
    bench.client(PC);
    bench.source(DESK, "desk");
    bench.say(DESK, with_seq(1, presence("sip:b@x", "busy")));
    // The window is full: these wait, and of sip:a@x only the newest does.
    assert_eq!(
        bench.say(DESK, with_seq(2, presence("sip:a@x", "busy"))),
        []
    );
    assert_eq!(
        bench.say(DESK, with_seq(3, presence("sip:a@x", "away"))),
        []
    );
    assert_eq!(bench.hub.counters().coalesced, 1);
    assert_eq!(
        bench.receive(PC, ack(1, None)),
        [
            Effect::Credit(PC, 1),
            Effect::Send(DESK, ack(1, None)),
            Effect::Credit(DESK, 1),
            told(PC, 3, "desk", presence("sip:a@x", "away")),
        ]
    );
    assert_eq!(
        bench.receive(PC, ack(3, Some("e"))),
        [
            Effect::Credit(PC, 1),
            Effect::Send(DESK, ack(2, Some("e"))),
            Effect::Credit(DESK, 1),
            Effect::Send(DESK, ack(3, Some("e"))),
            Effect::Credit(DESK, 1),
        ]
    );
}

#[test]
fn an_answer_to_the_newest_answers_all_older_ones_of_that_presentity() {
    let mut bench = Bench::with(|settings| settings.unacknowledged = 2);
    bench.client(PC);
    bench.source(DESK, "desk");
    bench.say(DESK, with_seq(1, presence("sip:a@x", "busy")));
    bench.say(DESK, with_seq(2, presence("sip:a@x", "away")));
    assert_eq!(
        bench.say(DESK, presence("sip:b@x", "busy")),
        [Effect::Credit(DESK, 1)],
        "the window is full"
    );
    let effects = bench.receive(PC, ack(2, None));
    assert_eq!(effects[1], Effect::Send(DESK, ack(1, None)));
    assert_eq!(effects[3], Effect::Send(DESK, ack(2, None)));
    assert_eq!(effects[5], told(PC, 3, "desk", presence("sip:b@x", "busy")));
    // A late answer to the older one finds nobody waiting.
    assert_eq!(bench.receive(PC, ack(1, None)), [Effect::Credit(PC, 1)]);
    assert_eq!(bench.hub.counters().stray, 1);
}

#[test]
fn with_two_presence_clients_both_must_have_published() {
    let mut bench = Bench::new();
    bench.client(PC);
    bench.client(PC2);
    bench.source(DESK, "desk");
    bench.say(DESK, with_seq(1, presence("sip:a@x", "busy")));
    bench.say(DESK, with_seq(2, presence("sip:b@x", "busy")));
    assert_eq!(
        bench.receive(PC, ack(1, Some("e"))),
        [Effect::Credit(PC, 1)]
    );
    assert_eq!(
        bench.receive(PC2, nak(1, 403, "no"))[1],
        Effect::Send(DESK, nak(1, 403, "no"))
    );
    bench.receive(PC, ack(2, Some("e")));
    // The other one goes away without a word about 2.
    assert_eq!(
        bench.receive(PC2, Message::Bye(Some("lost".into()))),
        [
            Effect::Send(DESK, ack(2, Some("e"))),
            Effect::Credit(DESK, 1)
        ]
    );
}

#[test]
fn without_a_presence_client_sources_wait_and_are_answered_later() {
    let mut bench = Bench::new();
    bench.source(DESK, "desk");
    assert_eq!(
        bench.say(DESK, with_seq(1, presence("sip:a@x", "busy"))),
        []
    );
    bench.client(PC);
    assert_eq!(
        bench.receive(PC, ack(1, None))[1],
        Effect::Send(DESK, ack(1, None))
    );
}

#[test]
fn a_client_that_comes_back_gets_what_it_had_not_acknowledged() {
    let mut bench = Bench::new();
    bench.client(PC);
    bench.source(DESK, "desk");
    for (seq, entity) in [(1, "sip:a@x"), (2, "sip:b@x"), (3, "sip:c@x")] {
        bench.say(DESK, with_seq(seq, presence(entity, "busy")));
    }
    bench.receive(PC, ack(1, None));
    bench.receive(PC, Message::Bye(Some("lost".into())));
    let hello = Hello {
        last_seq: Some(1),
        run: Some("r1".into()),
        ..Hello::default()
    };
    let effects = bench.receive(PC2, Message::PresenceClient(hello));
    assert_eq!(
        effects[2..],
        [
            told(PC2, 2, "desk", presence("sip:b@x", "busy")),
            told(PC2, 3, "desk", presence("sip:c@x", "busy")),
        ]
    );
    // Both are done, says the next one: that closes the loop for them, too.
    let hello = Hello {
        last_seq: Some(3),
        run: Some("r1".into()),
        ..Hello::default()
    };
    bench.receive(PC2, Message::Bye(Some("lost".into())));
    assert_eq!(
        bench.receive(PC, Message::PresenceClient(hello))[2..],
        [
            Effect::Send(DESK, ack(2, None)),
            Effect::Credit(DESK, 1),
            Effect::Send(DESK, ack(3, None)),
            Effect::Credit(DESK, 1),
        ]
    );
    assert_eq!(
        bench.say(DESK, with_seq(4, presence("sip:c@x", "busy"))),
        [Effect::Send(DESK, ack(4, None)), Effect::Credit(DESK, 1)]
    );
}

#[test]
fn what_was_said_again_while_nobody_was_connected_is_answered_when_the_client_is_back() {
    let mut bench = Bench::new();
    bench.client(PC);
    bench.source(DESK, "desk");
    bench.say(DESK, with_seq(1, presence("sip:a@x", "busy")));
    bench.receive(PC, ack(1, None));
    bench.receive(PC, Message::Bye(Some("lost".into())));
    assert_eq!(
        bench.say(DESK, with_seq(2, presence("sip:a@x", "busy"))),
        []
    );
    let hello = Hello {
        last_seq: Some(1),
        run: Some("r1".into()),
        ..Hello::default()
    };
    assert_eq!(
        bench.receive(PC2, Message::PresenceClient(hello))[2..],
        [Effect::Send(DESK, ack(2, None)), Effect::Credit(DESK, 1)]
    );
}

#[test]
fn a_client_of_another_run_or_the_future_gets_everything() {
    let mut bench = Bench::new();
    bench.inside("calendar", presence("sip:a@x", "busy"));
    for (run, last_seq) in [("r0", 1), ("r1", 99)] {
        let hello = Hello {
            last_seq: Some(last_seq),
            run: Some(run.into()),
            ..Hello::default()
        };
        let effects = bench.receive(PC, Message::PresenceClient(hello));
        assert_eq!(
            effects[2..],
            [told(PC, 1, "calendar", presence("sip:a@x", "busy"))]
        );
    }
}
