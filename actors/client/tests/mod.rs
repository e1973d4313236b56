//! The Presence Client's two actors between probes, in virtual time.
//!
//! ```text
//!  session (probe)     PublishBuffer ── Publisher        endpoint (probe)
//!     | ── WELCOME ──────> |                                |
//!     | <───── Credit ──── |                                |
//!     | ── PRESENCE ─────> | ───────────── PUBLISH ───────> |
//!     | <── ACK, NAK ───── | <─────────── Outcome ───────── |
//! ```

mod end;
mod flow;

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
            &[&request.head],
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
