//! The Presence Client's two actors between probes, in virtual time.
//!
//! ```text
//!  session (probe)     PublishBuffer ── Publisher        endpoint (probe)
//!     | ── WELCOME ──────> |                                |
//!     | <───── Credit ──── |                                |
//!     | ── PRESENCE ─────> | ───────────── PUBLISH ───────> |
//!     | <── ACK, NAK ───── | <─────────── Outcome ───────── |
//! ```

use bytes::Bytes;
use rollcall_core::exchange::{
    ConnectionId, Flow, Outcome as RequestOutcome, OutcomeResult, Outgoing, Transport,
};
use rollcall_core::manager::{self, Ack, Nak, Presence, Welcome};
use rollcall_core::publisher::Settings;
use rollcall_core::sip::{Message as SipMessage, Name, write_request};
use rollcall_core::time::Timestamp;
use tokio::time::Instant;

use super::*;
use crate::messages::{
    ManagerIncoming, ModuleInput, ModuleOutput, SessionId, TakeSnapshot, ToModule, ToSession,
};
use crate::testkit::{Probe, in_virtual_time};

const ALICE: &str = "sip:alice@example.com";
const BOB: &str = "sip:bob@example.com";

struct World {
    client: Client,
    endpoint: Probe<FromModule>,
    session: Probe<ToSession>,
    number: u64,
}

impl World {
    fn start() -> Self {
        Self::with(core_buffer::Settings::default(), None)
    }

    fn with(buffer: core_buffer::Settings, tags: Option<PathBuf>) -> Self {
        let endpoint = Probe::start();
        let setup = Setup {
            buffer,
            publisher: Settings::default(),
            tags,
            listener: None,
            module: ModuleId(2),
            arbiters: None,
        };
        let clock = Clock::starting_at(Timestamp::from_millis(1_700_000_000_000));
        let client = start(setup, endpoint.recipient(), clock, Entropy::from_number(1));
        let session = Probe::start();
        Self {
            client,
            endpoint,
            session,
            number: 1,
        }
    }

    /// Starts, and greets as the run `run`.
    fn greeted() -> Self {
        let world = Self::start();
        world.welcome("run 1");
        world
    }

    fn welcome(&self, run: &str) {
        self.welcome_over(&self.session.recipient(), run);
    }

    fn welcome_over(&self, session: &Recipient<ToSession>, run: &str) {
        let welcome = Welcome {
            run: run.to_owned(),
            ..Welcome::default()
        };
        self.bring(session, manager::Message::Welcome(welcome));
    }

    fn state(&self, entity: &str, seq: u64) {
        self.state_over(&self.session.recipient(), entity, seq);
    }

    fn state_over(&self, session: &Recipient<ToSession>, entity: &str, seq: u64) {
        let presence = Presence {
            seq: Some(seq),
            entity: entity.to_owned(),
            ..Presence::default()
        };
        self.bring(session, manager::Message::Presence(Box::new(presence)));
    }

    fn bring(&self, session: &Recipient<ToSession>, message: manager::Message) {
        let incoming = ManagerIncoming {
            session: SessionId(self.number),
            reply: session.clone(),
            message,
        };
        self.client
            .buffer
            .do_send(ToModule(vec![ModuleInput::Manager(incoming)]));
    }

    /// Another session takes the place of the present one.
    fn reconnect(&mut self, run: &str) {
        self.number += 1;
        self.session = Probe::start();
        self.welcome(run);
    }

    /// The next request of the publisher.
    async fn request(&mut self) -> (Outgoing, SipMessage) {
        let FromModule {
            module,
            mut outputs,
            ..
        } = self.endpoint.next().await;
        assert_eq!(module, ModuleId(2));
        assert_eq!(outputs.len(), 1, "{outputs:?}");
        let ModuleOutput::Send(request) = outputs.remove(0) else {
            panic!("a reply came")
        };
        let mut bytes = Vec::new();
        let via = "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1";
        write_request(
            &mut bytes,
            &request.method,
            &request.uri,
            via,
            70,
            &request.head,
            &request.body,
        );
        let message = SipMessage::parse(Bytes::from(bytes)).expect("a request");
        (request, message)
    }

    fn answer(&self, request: &Outgoing, status: &str, headers: &str) {
        let text = format!(
            "SIP/2.0 {status}\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <{ALICE}>;tag=1\r\n\
             To: <{ALICE}>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 PUBLISH\r\n{headers}Content-Length: 0\r\n\r\n"
        );
        let message = SipMessage::parse(Bytes::from(text)).expect("a response");
        let address = "192.0.2.1:5060".parse().expect("an address");
        let flow = Flow {
            shard: 0,
            transport: Transport::Udp,
            local: address,
            remote: address,
            connection: ConnectionId(0),
        };
        let result = OutcomeResult::Response(message, flow);
        let outcome = RequestOutcome {
            token: request.token,
            result,
        };
        self.client
            .publisher
            .do_send(ToModule(vec![ModuleInput::Outcome(outcome)]));
    }

    /// Takes the next request, checks whose it is, and accepts it under this tag.
    async fn publish(&mut self, whose: &str, tag: &str) {
        let (request, _) = self.request().await;
        assert_eq!(request.uri, whose);
        self.answer(
            &request,
            "200 OK",
            &format!("SIP-ETag: {tag}\r\nExpires: 600\r\n"),
        );
    }

    /// The next thing the session is told, credit aside.
    async fn told(&mut self) -> manager::Message {
        self.session
            .find(|message| match message {
                ToSession::Send(message) | ToSession::Close(message) => Some(message),
                ToSession::Credit(_) => None,
            })
            .await
    }
}

fn ack(seq: u64, tag: &str) -> manager::Message {
    manager::Message::Ack(Ack {
        seq,
        etag: Some(tag.to_owned()),
    })
}

#[test]
fn a_welcome_is_answered_with_credit_and_a_state_with_its_ack() {
    in_virtual_time(async {
        let mut world = World::greeted();
        assert!(matches!(
            world.session.next().await,
            ToSession::Credit(1024)
        ));
        world.state(ALICE, 7);
        let (request, message) = world.request().await;
        assert_eq!(message.uri_text(), ALICE);
        assert_eq!(
            message.content_type().as_deref(),
            Some("application/pidf+xml")
        );
        assert!(
            String::from_utf8_lossy(&message.body()).contains("entity=\"sip:alice@example.com\"")
        );
        world.answer(&request, "200 OK", "SIP-ETag: e1\r\nExpires: 600\r\n");
        assert_eq!(world.told().await, ack(7, "e1"));
    });
}

#[test]
fn a_state_without_a_welcome_before_it_is_served_too() {
    in_virtual_time(async {
        let mut world = World::start();
        world.state(ALICE, 1);
        world.publish(ALICE, "e1").await;
        assert_eq!(world.told().await, ack(1, "e1"));
    });
}

#[test]
fn a_refused_state_is_nakked_with_the_server_s_words() {
    in_virtual_time(async {
        let mut world = World::greeted();
        world.state(ALICE, 1);
        let (request, _) = world.request().await;
        world.answer(&request, "403 Not Yours", "");
        let nak = Nak {
            seq: 1,
            code: 403,
            reason: "Not Yours".to_owned(),
        };
        assert_eq!(world.told().await, manager::Message::Nak(nak));
    });
}

#[test]
fn a_full_buffer_gives_credit_only_when_a_publication_is_answered() {
    in_virtual_time(async {
        let buffer = core_buffer::Settings {
            capacity: 1,
            ..core_buffer::Settings::default()
        };
        let mut world = World::with(buffer, None);
        world.welcome("run 1");
        assert!(matches!(world.session.next().await, ToSession::Credit(1)));
        world.state(ALICE, 1);
        let (request, _) = world.request().await;
        world
            .session
            .expect_nothing(Duration::from_secs(3600))
            .await;
        world.answer(&request, "200 OK", "SIP-ETag: e1\r\n");
        assert!(matches!(
            world.session.next().await,
            ToSession::Send(manager::Message::Ack(_))
        ));
        assert!(matches!(world.session.next().await, ToSession::Credit(1)));
    });
}

#[test]
fn while_the_server_is_busy_the_newest_state_waits_and_both_are_acknowledged_with_it() {
    in_virtual_time(async {
        let mut world = World::greeted();
        world.state(ALICE, 1);
        let (request, _) = world.request().await;
        let start = Instant::now();
        world.answer(&request, "503 Service Unavailable", "Retry-After: 5\r\n");
        world.state(ALICE, 2);
        world.publish(ALICE, "e1").await;
        assert_eq!(start.elapsed().as_secs(), 5);
        assert_eq!(world.told().await, ack(1, "e1"));
        assert_eq!(world.told().await, ack(2, "e1"));
    });
}

#[test]
fn a_publication_is_refreshed_again_and_again() {
    in_virtual_time(async {
        let mut world = World::greeted();
        world.state(ALICE, 1);
        world.publish(ALICE, "e0").await;
        for hour in 0..3 {
            let start = Instant::now();
            let FromModule { mut outputs, .. } = world
                .endpoint
                .next_within(Duration::from_secs(541))
                .await
                .expect("a refresh before the publication lapses");
            assert!(start.elapsed() >= Duration::from_secs(480));
            let ModuleOutput::Send(request) = outputs.remove(0) else {
                panic!("a reply came")
            };
            assert_eq!(request.body, Bytes::new());
            let head = String::from_utf8_lossy(&request.head).into_owned();
            assert!(
                head.contains(&format!("SIP-If-Match: e{hour}\r\n")),
                "{head}"
            );
            world.answer(
                &request,
                "200 OK",
                &format!("SIP-ETag: e{}\r\nExpires: 600\r\n", hour + 1),
            );
        }
    });
}

/// A session that has ended, as its actor has.
struct Ended;

impl Actor for Ended {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

impl Handler<ToSession> for Ended {
    type Result = ();

    fn handle(&mut self, _: ToSession, _: &mut Context<Self>) {}
}

#[test]
fn what_was_published_while_there_was_no_session_is_acknowledged_to_the_next_of_the_same_run() {
    in_virtual_time(async {
        let mut world = World::start();
        let ended = Ended.start().recipient();
        world.welcome_over(&ended, "run 1");
        world.state_over(&ended, ALICE, 1);
        world.publish(ALICE, "e1").await;
        let mut unsent = 0.into();
        for _ in 0..1000 {
            tokio::task::yield_now().await;
            unsent = world
                .client
                .buffer
                .send(TakeSnapshot)
                .await
                .expect("a buffer")["unsent"]
                .take();
        }
        assert_eq!(unsent, 1);
        world.reconnect("run 1");
        assert_eq!(world.told().await, ack(1, "e1"));
    });
}

#[test]
fn another_run_of_the_manager_is_not_told_of_the_numbers_of_the_one_before() {
    in_virtual_time(async {
        let mut world = World::greeted();
        world.state(ALICE, 1);
        let (request, _) = world.request().await;
        world.reconnect("run 2");
        world.answer(&request, "200 OK", "SIP-ETag: e1\r\nExpires: 600\r\n");
        world.state(BOB, 1);
        world.publish(BOB, "e2").await;
        assert_eq!(world.told().await, ack(1, "e2"));
    });
}

#[test]
fn a_shutdown_removes_what_is_published_and_says_when_that_is_done() {
    in_virtual_time(async {
        let mut world = World::greeted();
        world.state(ALICE, 1);
        world.publish(ALICE, "e1").await;
        world.told().await;
        let publisher = world.client.publisher.clone();
        let limit = Some(Duration::from_secs(5));
        let end =
            actix_rt::spawn(async move { publisher.send(Shutdown { unpublish: limit }).await });
        let (request, message) = world.request().await;
        assert_eq!(message.expires().ok().flatten(), Some(0));
        assert_eq!(message.text(Name::SipIfMatch).as_deref(), Some("e1"));
        assert!(!end.is_finished());
        world.answer(&request, "200 OK", "");
        end.await.expect("a task").expect("a publisher");
        // Asked once more, it says so at once.
        let again = Shutdown { unpublish: limit };
        world
            .client
            .publisher
            .send(again)
            .await
            .expect("a publisher");
    });
}

#[test]
fn a_shutdown_before_a_dead_server_takes_no_longer_than_it_may() {
    in_virtual_time(async {
        let mut world = World::greeted();
        world.state(ALICE, 1);
        world.publish(ALICE, "e1").await;
        world.told().await;
        let start = Instant::now();
        let shutdown = Shutdown {
            unpublish: Some(Duration::from_secs(5)),
        };
        world
            .client
            .publisher
            .send(shutdown)
            .await
            .expect("a publisher");
        assert_eq!(start.elapsed().as_secs(), 5);
    });
}

#[test]
fn with_a_journal_a_client_that_was_killed_modifies_its_earlier_publication() {
    in_virtual_time(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tags");
        for (tag, before) in [("e1", None), ("e2", Some("e1"))] {
            // The actors of the round before are left as they are: nothing is written in order.
            let mut world = World::with(core_buffer::Settings::default(), Some(path.clone()));
            world.welcome("run");
            world.state(ALICE, 1);
            let (request, message) = world.request().await;
            assert_eq!(message.text(Name::SipIfMatch).as_deref(), before);
            world.answer(
                &request,
                "200 OK",
                &format!("SIP-ETag: {tag}\r\nExpires: 600\r\n"),
            );
            assert_eq!(world.told().await, ack(1, tag));
        }
    });
}

#[test]
fn one_state_can_be_published_from_within() {
    in_virtual_time(async {
        let mut world = World::start();
        let buffer = world.client.buffer.clone();
        let presence = Presence {
            entity: ALICE.to_owned(),
            ..Presence::default()
        };
        let patience = Duration::from_secs(10);
        let (state, longer) = (presence.clone(), buffer.clone());
        let published =
            actix_rt::spawn(async move { once::publish(&longer, state, patience).await });
        world.publish(ALICE, "e1").await;
        assert_eq!(published.await.expect("a task"), Ok(Some("e1".to_owned())));

        let (state, longer) = (presence.clone(), buffer.clone());
        let refused = actix_rt::spawn(async move { once::publish(&longer, state, patience).await });
        let (request, _) = world.request().await;
        world.answer(&request, "404 Not Found", "");
        let nak = Nak {
            seq: 1,
            code: 404,
            reason: "Not Found".to_owned(),
        };
        assert_eq!(
            refused.await.expect("a task"),
            Err(once::Unpublished::Refused(nak))
        );

        let start = Instant::now();
        let silence = once::publish(&buffer, presence, patience).await;
        assert_eq!(silence, Err(once::Unpublished::NoAnswer(patience)));
        assert_eq!(start.elapsed(), patience);
    });
}

#[test]
fn snapshots_show_what_there_is() {
    in_virtual_time(async {
        let mut world = World::greeted();
        world.state(ALICE, 1);
        world.publish(ALICE, "e1").await;
        world.told().await;
        world.state(BOB, 2);
        world.request().await;
        let buffer = world
            .client
            .buffer
            .send(TakeSnapshot)
            .await
            .expect("a buffer");
        assert_eq!(buffer["actor"], "publish-buffer");
        assert_eq!(
            (&buffer["entries"], &buffer["in_flight"]),
            (&1.into(), &1.into())
        );
        assert_eq!(buffer["counters"]["acked"], 1);
        let publisher = world
            .client
            .publisher
            .send(TakeSnapshot)
            .await
            .expect("a publisher");
        assert_eq!(
            (&publisher["published"], &publisher["in_flight"]),
            (&1.into(), &1.into())
        );
        assert_eq!(publisher["counters"]["initial"], 2);
    });
}
