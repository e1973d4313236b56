//! What the hub promises to sources and Presence Clients.

use super::super::message::{Ack, Basic};
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
    assert_eq!(bench.receive(PC, Message::PresenceClient(hello)).len(), 2);
    assert_eq!(
        bench.say(DESK, with_seq(4, presence("sip:c@x", "busy"))),
        [
            Effect::Send(DESK, ack(3, None)),
            Effect::Credit(DESK, 1),
            Effect::Send(DESK, ack(4, None)),
            Effect::Credit(DESK, 1),
        ]
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

#[test]
fn shares_are_merged_and_lapse_at_their_until() {
    let mut bench = Bench::new();
    bench.client(PC);
    let meeting = Presence {
        until: Some(at(60)),
        ..presence("sip:a@x", "meeting")
    };
    bench.inside("calendar", meeting);
    let both = Presence {
        activities: vec!["on-the-phone".into(), "meeting".into()],
        ..presence("sip:a@x", "")
    };
    assert_eq!(
        bench.inside("pbx", presence("sip:A@x", "on-the-phone")),
        [told(PC, 2, "pbx", presence("sip:A@x", "on-the-phone"))],
        "the user part is case-sensitive"
    );
    assert_eq!(
        bench.inside("pbx", presence("SIP:a@X", "on-the-phone")),
        [told(
            PC,
            3,
            "pbx",
            Presence {
                entity: "SIP:a@X".into(),
                ..both
            }
        )]
    );
    assert_eq!(
        bench.wake_at(60),
        [told(PC, 4, "pbx", presence("SIP:a@X", "on-the-phone"))]
    );
    assert_eq!(
        bench.inside("pbx", withdrawn("sip:a@x")),
        [told(PC, 5, "pbx", withdrawn("SIP:a@X"))]
    );
    assert_eq!(
        bench.inside("pbx", withdrawn("sip:a@x")),
        [],
        "twice changes nothing"
    );
}

#[test]
fn a_withdrawn_presentity_is_remembered_for_a_day() {
    let mut bench = Bench::new();
    // Even if it was never heard of: before a restart it may have been.
    bench.inside("desk", withdrawn("sip:a@x"));
    let effects = bench.client(PC);
    assert_eq!(effects[2..], [told(PC, 1, "desk", withdrawn("sip:a@x"))]);
    assert_eq!(bench.wake_at(24 * 3600), []);
    assert_eq!(bench.hub.sizes().0, 0);
    assert_eq!(bench.client(PC).len(), 2);
}

#[test]
fn a_state_that_has_ended_already_is_none() {
    let mut bench = Bench::new();
    bench.client(PC);
    let past = Presence {
        until: Some(at(0)),
        ..presence("sip:a@x", "busy")
    };
    assert_eq!(
        bench.inside("desk", past),
        [told(PC, 1, "desk", withdrawn("sip:a@x"))]
    );
}

#[test]
fn what_a_script_said_stays_when_it_is_gone() {
    let mut bench = Bench::new();
    bench.client(PC);
    bench.source(DESK, "127.0.0.1");
    bench.say(DESK, presence("sip:a@x", "busy"));
    assert_eq!(
        bench.receive(DESK, Message::Bye(None)),
        [Effect::Close(DESK, Message::Bye(None))]
    );
    assert_eq!(bench.hub.next_wake(), None);
    // The next call of the script replaces what the first one said.
    bench.source(PBX, "127.0.0.1");
    assert_eq!(
        bench.say(PBX, presence("sip:a@x", "away")),
        [
            Effect::Credit(PBX, 1),
            told(PC, 2, "127.0.0.1", presence("sip:a@x", "away"))
        ]
    );
}

#[test]
fn told_to_forget_the_hub_drops_the_word_of_who_is_gone() {
    let mut bench = Bench::with(|settings| settings.forget_after = Some(Duration::from_secs(60)));
    bench.client(PC);
    bench.source(DESK, "desk");
    bench.say(DESK, presence("sip:a@x", "busy"));
    bench.say(DESK, presence("sip:b@x", "busy"));
    bench.receive(DESK, Message::Bye(Some("lost".into())));
    bench.source(PBX, "desk");
    assert_eq!(
        bench.say(PBX, presence("sip:b@x", "busy")),
        [Effect::Credit(PBX, 1)]
    );
    assert_eq!(
        bench.wake_at(60),
        [told(PC, 3, "desk", withdrawn("sip:a@x"))]
    );
}

#[test]
fn a_source_that_leaves_is_let_go_when_it_has_its_answers() {
    let mut bench = Bench::new();
    bench.client(PC);
    bench.source(DESK, "desk");
    bench.say(DESK, with_seq(1, presence("sip:a@x", "busy")));
    assert_eq!(bench.receive(DESK, Message::Bye(None)), []);
    assert_eq!(
        bench.receive(PC, ack(1, None)),
        [
            Effect::Credit(PC, 1),
            Effect::Send(DESK, ack(1, None)),
            Effect::Close(DESK, Message::Bye(None)),
        ]
    );
    assert_eq!(bench.receive(DESK, Message::Bye(Some("closed".into()))), []);
}

#[test]
fn a_source_that_is_gone_is_owed_nothing() {
    let mut bench = Bench::new();
    bench.source(DESK, "desk");
    bench.say(DESK, with_seq(1, presence("sip:a@x", "busy")));
    assert_eq!(bench.receive(DESK, Message::Bye(Some("lost".into()))), []);
    assert_eq!(bench.hub.counters().abandoned, 1);
    bench.client(PC);
    assert_eq!(bench.receive(PC, ack(1, None)), [Effect::Credit(PC, 1)]);
}

#[test]
fn what_cannot_be_taken_is_refused_and_nothing_else_suffers() {
    let mut bench = Bench::with(|settings| settings.presentities = 1);
    bench.source(DESK, "desk");
    bench.say(DESK, presence("sip:a@x", "busy"));
    let reason = "the manager knows 1 presentities and takes no more";
    assert_eq!(
        bench.say(DESK, with_seq(2, presence("sip:b@x", "busy"))),
        [
            Effect::Send(DESK, nak(2, 503, reason)),
            Effect::Credit(DESK, 1)
        ]
    );
    assert_eq!(
        bench.say(DESK, presence("sip:b@x", "busy")),
        [
            Effect::Send(DESK, Message::Error(reason.into())),
            Effect::Credit(DESK, 1)
        ]
    );
    let notes = vec![super::super::Note {
        lang: None,
        text: "&".repeat(MAX_STATE / 5),
    }];
    let large = Presence {
        notes,
        ..with_seq(3, presence("sip:a@x", "away"))
    };
    let Effect::Send(_, Message::Nak(answer)) = &bench.say(DESK, large)[0] else {
        panic!("no NAK")
    };
    assert_eq!((answer.seq, answer.code), (3, 413));
    assert_eq!(
        bench
            .hub
            .presence("sip:a@x")
            .map(|it| it.activities.as_slice()),
        Some(&["busy".to_owned()][..])
    );
}

#[test]
fn the_last_word_survives_a_restart() {
    let mut bench = Bench::new();
    bench.inside(
        "calendar",
        Presence {
            until: Some(at(60)),
            ..presence("sip:a@x", "meeting")
        },
    );
    bench.inside(
        "pbx",
        Presence {
            basic: Some(Basic::Open),
            ..presence("sip:a@x", "on-the-phone")
        },
    );
    bench.inside(
        "pbx",
        Presence {
            until: Some(at(5)),
            ..presence("sip:b@x", "busy")
        },
    );
    bench.inside("pbx", withdrawn("sip:c@x"));
    let kept: Vec<Presence> = bench.hub.export().collect();

    let mut after = Bench::with(|settings| settings.run = "r2".into());
    after.now = at(10);
    for presence in kept {
        after.hub.restore(after.now, presence).expect("taken");
    }
    let merged = |bench: &Bench, entity: &str| {
        bench.hub.presence(entity).map(|it| Presence {
            seq: None,
            ..it.clone()
        })
    };
    assert_eq!(merged(&after, "sip:a@x"), merged(&bench, "sip:a@x"));
    assert_eq!(merged(&after, "sip:c@x"), merged(&bench, "sip:c@x"));
    assert_eq!(
        merged(&after, "sip:b@x"),
        Some(Presence {
            source: Some("pbx".into()),
            ..withdrawn("sip:b@x")
        }),
        "it lapsed in the meantime"
    );
    assert_eq!(after.hub.next_wake(), Some(at(60)));
}

#[test]
fn everybody_is_told_when_the_manager_goes() {
    let mut bench = Bench::new();
    bench.client(PC);
    bench.source(DESK, "desk");
    let mut out = Vec::new();
    bench.hub.shut_down(&mut out);
    let bye = Message::Bye(Some("shutting down".into()));
    assert_eq!(
        out,
        [Effect::Close(DESK, bye.clone()), Effect::Close(PC, bye)]
    );
}
