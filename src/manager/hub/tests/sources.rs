//! Shares of several sources: merged, lapsed, kept, refused.

use super::*;

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
    let notes = vec![Note {
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
