//! What a session promises, at either end.

use bytes::Bytes;

use super::super::message::{Ack, Hello, Welcome};
use super::super::write::to_bytes;
use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + seconds * 1000)
}

fn frame(message: &Message) -> Frame {
    Frame::Document(Bytes::from(to_bytes(message)))
}

fn presence(seq: Option<u64>) -> Message {
    let presence = Presence {
        seq,
        entity: "sip:a@x".into(),
        ..Presence::default()
    };
    Message::Presence(Box::new(presence))
}

fn welcome() -> Message {
    Message::Welcome(Welcome {
        id: "m".into(),
        version: 1,
        run: "r1".into(),
        heartbeat: 10,
    })
}

fn hello(id: &str) -> Hello {
    Hello {
        id: Some(id.into()),
        ..Hello::default()
    }
}

fn error(reason: &str) -> Effect {
    Effect::Write(Message::Error(reason.into()))
}

/// One end and the time it has.
struct Bench {
    session: Session,
    now: Timestamp,
}

impl Bench {
    fn manager() -> Self {
        let session = Session::manager(Settings::default(), "10.0.0.7", at(0));
        Self {
            session,
            now: at(0),
        }
    }

    fn greeted(hello: Message) -> Self {
        let mut bench = Self::manager();
        bench.hear(&hello);
        bench.session.credit(bench.now, 100);
        bench
    }

    fn client() -> Self {
        let mut out = Vec::new();
        let message = Message::PresenceClient(hello("pc"));
        let session = Session::client(
            Settings::default(),
            message,
            Resume::default(),
            at(0),
            &mut out,
        );
        Self {
            session,
            now: at(0),
        }
    }

    fn welcomed() -> Self {
        let mut bench = Self::client();
        bench.hear(&welcome());
        bench.session.credit(bench.now, 100);
        bench
    }

    fn run(
        &mut self,
        input: impl FnOnce(&mut Session, Timestamp, &mut Vec<Effect>),
    ) -> Vec<Effect> {
        let mut out = Vec::new();
        input(&mut self.session, self.now, &mut out);
        out
    }

    fn hear(&mut self, message: &Message) -> Vec<Effect> {
        self.frame(frame(message))
    }

    fn frame(&mut self, frame: Frame) -> Vec<Effect> {
        self.run(|session, now, out| session.receive(now, frame, out))
    }

    /// Goes to the next point in time that the session asked for.
    fn wake(&mut self) -> (u64, Vec<Effect>) {
        self.now = self.session.next_wake().expect("a time");
        let seconds = self.now.since(at(0)).as_secs();
        (
            seconds,
            self.run(|session, now, out| session.wake(now, out)),
        )
    }
}

#[test]
fn the_literal_hello_is_enough_and_gets_a_name_from_the_address() {
    let mut bench = Bench::manager();
    let literal = Frame::Document(Bytes::from_static(b"<xml><type> PC </type> </xml>"));
    assert_eq!(
        bench.frame(literal),
        [Effect::Forward(Message::PresenceClient(hello("10.0.0.7")))]
    );
    assert!(bench.session.is_open());
    assert!(
        !bench.session.may_read(),
        "the module has given no credit yet"
    );
    bench.session.credit(bench.now, 1);
    assert!(bench.session.may_read());
}

#[test]
fn each_role_says_what_it_may() {
    let mut source = Bench::greeted(Message::Source(hello("desk")));
    let ack = Message::Ack(Ack { seq: 1, etag: None });
    assert_eq!(
        source.hear(&presence(Some(1))),
        [Effect::Forward(presence(Some(1)))]
    );
    assert_eq!(
        source.hear(&ack),
        [error("ACK is out of place: a SOURCE sends PRESENCE")]
    );
    assert_eq!(
        source.hear(&Message::Source(hello("x"))),
        [error("SOURCE is out of place: you have said who you are")]
    );

    let mut client = Bench::greeted(Message::PresenceClient(hello("pc")));
    assert_eq!(client.hear(&ack), [Effect::Forward(ack.clone())]);
    assert_eq!(
        client.hear(&presence(None)),
        [error("PRESENCE is out of place: a PC sends ACK and NAK")]
    );
    let reason = "PRESENCE is out of place: a PC sends ACK and NAK".to_owned();
    assert_eq!(
        client.hear(&presence(Some(3))),
        [Effect::Write(Message::Nak(Nak {
            seq: 3,
            code: 400,
            reason
        }))]
    );

    let mut nobody = Bench::manager();
    assert_eq!(
        nobody.hear(&presence(None)),
        [error(
            "PRESENCE is out of place: say who you are first, by type PC or SOURCE"
        )]
    );
    assert!(nobody.session.may_read(), "it may still say who it is");
}

#[test]
fn a_type_that_nobody_knows_is_left_to_the_module_table() {
    let mut bench = Bench::greeted(Message::Source(hello("desk")));
    let document = "<xml><type>ROSTER</type></xml>".to_owned();
    let other = Message::Other {
        kind: "ROSTER".into(),
        document: document.clone(),
    };
    assert_eq!(
        bench.frame(Frame::Document(document.into())),
        [Effect::Forward(other)]
    );
}

#[test]
fn a_document_that_cannot_be_read_is_answered_and_the_session_goes_on() {
    let mut bench = Bench::greeted(Message::Source(hello("desk")));
    assert_eq!(
        bench.frame(Frame::Document(Bytes::from_static(b"<xml/>"))),
        [error("there is no <type>")]
    );
    assert_eq!(
        bench.frame(Frame::Malformed(FrameError::BrokenTag)),
        [error(
            "there is a < within a tag: a > or a quote is missing before it"
        )]
    );
    let bad = b"<xml><type>PRESENCE</type><seq>4</seq></xml>";
    let reason = "PRESENCE needs <entity>".to_owned();
    assert_eq!(
        bench.frame(Frame::Document(Bytes::from_static(bad))),
        [Effect::Write(Message::Nak(Nak {
            seq: 4,
            code: 400,
            reason
        }))]
    );
    assert_eq!(
        bench.hear(&presence(None)),
        [Effect::Forward(presence(None))]
    );
}

#[test]
fn lost_framing_ends_the_session_with_a_reason() {
    let mut bench = Bench::greeted(Message::Source(hello("desk")));
    let reason = FrameError::Doctype.to_string();
    assert_eq!(
        bench.frame(Frame::Lost(FrameError::Doctype)),
        [
            error(&reason),
            Effect::Forward(Message::Bye(Some(reason))),
            Effect::End(End::Framing(FrameError::Doctype)),
        ]
    );
    assert_eq!(bench.hear(&presence(None)), []);
    assert_eq!(bench.session.next_wake(), None);
}

#[test]
fn a_hello_must_come_within_ten_seconds() {
    for mut bench in [Bench::manager(), Bench::client()] {
        let (seconds, effects) = bench.wake();
        assert_eq!(seconds, 10);
        let end = End::NoGreeting(Duration::from_secs(10));
        assert_eq!(effects, [error("no hello within 10s"), Effect::End(end)]);
    }
}

#[test]
fn a_document_must_be_whole_within_ten_seconds_of_its_first_byte() {
    let mut bench = Bench::greeted(Message::PresenceClient(hello("pc")));
    bench.session.looked(at(3), true);
    bench.session.looked(at(9), true);
    assert_eq!(bench.session.next_wake(), Some(at(13)));
    // It is whole, and the next one begins.
    bench.now = at(12);
    bench.hear(&Message::Pong);
    bench.session.looked(at(12), false);
    assert_eq!(bench.session.next_wake(), Some(at(30)));
    bench.session.looked(at(14), true);
    // While nothing is read its time does not run.
    let mut idle = bench.session.clone();
    idle.credit = 0;
    assert_eq!(idle.next_wake(), Some(at(30)));
    let (seconds, effects) = bench.wake();
    assert_eq!(seconds, 24);
    let end = End::Unfinished(Duration::from_secs(10));
    assert_eq!(effects[0], error("a document was not whole within 10s"));
    assert_eq!(effects.last(), Some(&Effect::End(end)));
}

#[test]
fn pings_go_out_and_silence_of_three_heartbeats_ends_the_session() {
    let mut bench = Bench::greeted(Message::PresenceClient(hello("pc")));
    assert_eq!(bench.wake(), (30, vec![Effect::Write(Message::Ping)]));
    assert_eq!(bench.hear(&Message::Pong), []);
    assert_eq!(bench.wake(), (60, vec![Effect::Write(Message::Ping)]));
    assert_eq!(bench.wake(), (90, vec![Effect::Write(Message::Ping)]));
    let end = End::Silence(Duration::from_secs(90));
    assert_eq!(
        bench.wake(),
        (
            120,
            vec![
                error("nothing heard for 90s"),
                Effect::Forward(Message::Bye(Some("nothing heard for 90s".into()))),
                Effect::End(end),
            ]
        )
    );
}

#[test]
fn a_ping_is_answered_and_an_error_is_not() {
    for mut bench in [
        Bench::greeted(Message::Source(hello("s"))),
        Bench::welcomed(),
    ] {
        assert_eq!(bench.hear(&Message::Ping), [Effect::Write(Message::Pong)]);
        assert_eq!(
            bench.hear(&Message::Error("oh".into())),
            [Effect::Complaint("oh".into())]
        );
    }
}

#[test]
fn without_credit_nothing_is_read_and_silence_does_not_count() {
    let mut bench = Bench::manager();
    bench.hear(&Message::Source(hello("s")));
    bench.session.credit(bench.now, 1);
    bench.hear(&presence(Some(1)));
    assert!(!bench.session.may_read());
    for minutes in 1..=10 {
        assert_eq!(
            bench.wake(),
            (minutes * 30, vec![Effect::Write(Message::Ping)])
        );
    }
    bench.session.credit(bench.now, 1);
    assert!(bench.session.may_read());
    assert_eq!(bench.wake().1, [Effect::Write(Message::Ping)]);
}

/// A source that says its word and closes its half: `printf … | nc -N`.
#[test]
fn a_source_that_leaves_still_gets_what_it_is_owed() {
    let mut bench = Bench::greeted(Message::Source(hello("s")));
    let left = bench.run(|session, now, out| session.end_of_stream(now, false, out));
    assert_eq!(left, [Effect::Forward(Message::Bye(None))]);
    assert!(!bench.session.may_read());
    let ack = Message::Ack(Ack {
        seq: 1,
        etag: Some("e".into()),
    });
    assert_eq!(
        bench.run(|session, _, out| session.send(ack.clone(), out)),
        [Effect::Write(ack.clone())]
    );
    assert_eq!(
        bench.run(|session, _, out| session.close(Message::Bye(None), out)),
        [
            Effect::Write(Message::Bye(None)),
            Effect::Forward(Message::Bye(Some("closed from this end".into()))),
            Effect::End(End::Ours),
        ]
    );
}

#[test]
fn half_a_document_at_the_end_is_reported() {
    let mut bench = Bench::greeted(Message::Source(hello("s")));
    assert_eq!(
        bench.run(|session, now, out| session.end_of_stream(now, true, out)),
        [
            error("the document was cut off by the end of the stream"),
            Effect::Forward(Message::Bye(None)),
        ]
    );
}

#[test]
fn a_source_that_leaves_is_not_waited_for_for_ever() {
    let mut bench = Bench::greeted(Message::Source(hello("s")));
    assert_eq!(
        bench.hear(&Message::Bye(None)),
        [Effect::Forward(Message::Bye(None))]
    );
    let (seconds, effects) = bench.wake();
    assert_eq!(seconds, 90);
    let reason = "the peer closed the connection".to_owned();
    assert_eq!(
        effects,
        [
            Effect::Forward(Message::Bye(Some(reason))),
            Effect::End(End::Closed)
        ]
    );
}

#[test]
fn a_client_says_hello_and_takes_the_heartbeat_of_its_manager() {
    let mut out = Vec::new();
    let message = Message::PresenceClient(hello("pc"));
    let session = Session::client(
        Settings::default(),
        message,
        Resume::default(),
        at(0),
        &mut out,
    );
    let said = Hello {
        version: Some(1),
        ..hello("pc")
    };
    assert_eq!(out, [Effect::Write(Message::PresenceClient(said))]);
    let mut bench = Bench {
        session,
        now: at(0),
    };
    assert_eq!(
        bench.hear(&presence(Some(1))),
        [Effect::Write(Message::Nak(Nak {
            seq: 1,
            code: 400,
            reason: "PRESENCE is out of place: WELCOME comes first".into()
        }))]
    );
    assert_eq!(bench.hear(&welcome()), [Effect::Forward(welcome())]);
    assert_eq!(bench.wake(), (10, vec![Effect::Write(Message::Ping)]));
}

#[test]
fn a_client_resumes_where_it_had_acknowledged() {
    let mut bench = Bench::welcomed();
    for seq in [4, 5] {
        let other = Presence {
            seq: Some(seq),
            entity: format!("sip:{seq}@x"),
            ..Presence::default()
        };
        bench.hear(&Message::Presence(Box::new(other)));
    }
    let ack = Message::Ack(Ack { seq: 4, etag: None });
    bench.run(|session, _, out| session.send(ack, out));
    let broken = bench.run(|session, _, out| session.broken("reset".into(), out));
    assert_eq!(broken, [Effect::End(End::Broken("reset".into()))]);

    let mut out = Vec::new();
    let message = Message::PresenceClient(hello("pc"));
    let resume = bench.session.resume();
    Session::client(Settings::default(), message, resume, at(60), &mut out);
    let said = Hello {
        version: Some(1),
        last_seq: Some(4),
        run: Some("r1".into()),
        ..hello("pc")
    };
    assert_eq!(out, [Effect::Write(Message::PresenceClient(said))]);
}

#[test]
fn a_client_whose_manager_leaves_has_nothing_to_wait_for() {
    let mut bench = Bench::welcomed();
    let reason = Some("shutting down".to_owned());
    assert_eq!(
        bench.hear(&Message::Bye(reason.clone())),
        [
            Effect::Write(Message::Bye(None)),
            Effect::End(End::Bye(reason))
        ]
    );
}
