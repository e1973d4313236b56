//! The Presence Client against a scripted server, over real sockets: what is answered wrong, late or not at all.
//!
//! ```text
//!  Manager (played by once::publish)    Presence Client              server (scripted)
//!     | ── PRESENCE ──────────────────────> | ── PUBLISH ─────────────> |
//!     | <── ACK, NAK ────────────────────── | <── 200, 412, 423, … ──── |
//! ```

use std::time::Duration;

use crate::support::process::Process;
use crate::support::sip::Client as SipClient;
use actix_rt::{Arbiter, ArbiterHandle};
use rollcall::client::{self, Client, Kept, Setup, Shutdown, once};
use rollcall::clock::Clock;
use rollcall::core::endpoint::{ModuleId, ModuleTable, Sharding};
use rollcall::core::entropy::Entropy;
use rollcall::core::manager::{Basic, Presence};
use rollcall::core::publisher::Settings;
use rollcall::core::sip::{Message, Name};
use rollcall::core::{buffer, exchange::Transport};
use rollcall::messages::Attach;
use rollcall::testkit::{EndpointKit, LIMIT, Probe, SipPeer, in_real_time};
use rollcall::transport::Network;

const ALICE: &str = "sip:alice@example.com";
const BUFFER: ModuleId = ModuleId(1);
const PUBLISHER: ModuleId = ModuleId(2);

fn table() -> ModuleTable {
    ModuleTable::builder()
        .module(BUFFER, "publish-buffer", &client::claims(), Sharding::One)
        .module(PUBLISHER, "publisher", &[], Sharding::One)
        .build()
        .expect("no conflict")
}

fn settings_for(server: &SipPeer) -> Settings {
    let transport = Transport::Udp.param();
    let server = format!("sip:{};transport={transport}", server.local());
    once::settings(Some(server), 600)
}

struct World {
    client: Client,
    server: SipPeer,
}

impl World {
    async fn start(give_up: Option<u32>) -> Self {
        Self::start_on(None, give_up).await
    }

    /// With the two sides on threads of their own, if there are any.
    async fn start_on(
        arbiters: Option<(ArbiterHandle, ArbiterHandle)>,
        give_up: Option<u32>,
    ) -> Self {
        let kit = EndpointKit::start(Network::Real, table()).await;
        let server = kit.udp_peer(&Network::Real).await;
        let publisher = Settings {
            give_up,
            // Real time: as short as a test can bear.
            retry_first: Duration::from_millis(20),
            ..settings_for(&server)
        };
        let buffer = buffer::Settings::default();
        let module = PUBLISHER;
        let setup = Setup {
            buffer,
            publisher,
            tags: None,
            listener: None,
            module,
            arbiters,
        };
        let endpoint = kit.endpoint.clone().recipient();
        let client = client::start(setup, endpoint, Clock::system(), Entropy::from_number(1));
        let of_buffer = Attach {
            module: BUFFER,
            recipients: vec![client.buffer.clone().recipient()],
        };
        let of_publisher = Attach {
            module: PUBLISHER,
            recipients: vec![client.publisher.clone().recipient()],
        };
        kit.endpoint.send(of_buffer).await.expect("an endpoint");
        kit.endpoint.send(of_publisher).await.expect("an endpoint");
        Self { client, server }
    }

    /// Says a state, and gives what comes of it.
    fn say(
        &self,
        basic: Basic,
    ) -> tokio::task::JoinHandle<Result<Option<String>, once::Unpublished>> {
        let buffer = self.client.buffer.clone();
        let presence = Presence {
            entity: ALICE.to_owned(),
            basic: Some(basic),
            ..Presence::default()
        };
        actix_rt::spawn(async move { once::publish(&buffer, presence, LIMIT).await })
    }

    /// The next PUBLISH that is no retransmission of this one.
    async fn publish_after(&mut self, before: Option<&Message>) -> Message {
        loop {
            let request = self.server.expect_request("PUBLISH").await;
            if before.is_none_or(|before| before.cseq().ok() != request.cseq().ok()) {
                return request;
            }
        }
    }

    /// Says a state, answers its PUBLISH with 200 and this tag, and gives the request.
    async fn published(&mut self, tag: &str, before: Option<&Message>) -> Message {
        let said = self.say(Basic::Open);
        let request = self.publish_after(before).await;
        self.accept(&request, tag).await;
        assert_eq!(said.await.expect("a task"), Ok(Some(tag.to_owned())));
        request
    }

    async fn accept(&mut self, request: &Message, tag: &str) {
        let head = format!("SIP-ETag: {tag}\r\nExpires: 600\r\n");
        self.server.answer(request, "200 OK", &head).await;
    }
}

fn tag(message: &Message) -> Option<String> {
    message.text(Name::SipIfMatch).map(|tag| tag.into_owned())
}

#[test]
fn a_state_arrives_as_pidf_and_its_entity_tag_comes_back() {
    in_real_time(async {
        let mut world = World::start(None).await;
        let request = world.published("e1", None).await;
        assert_eq!(request.uri_text(), ALICE);
        assert_eq!(
            request.content_type().as_deref(),
            Some("application/pidf+xml")
        );
        assert_eq!(request.expires().ok().flatten(), Some(600));
        assert!(String::from_utf8_lossy(&request.body()).contains("<basic>open</basic>"));
        let next = world.published("e2", Some(&request)).await;
        assert_eq!(tag(&next).as_deref(), Some("e1"));
    });
}

#[test]
fn a_server_that_lost_its_memory_gets_the_state_anew() {
    in_real_time(async {
        let mut world = World::start(None).await;
        let first = world.published("e1", None).await;
        let said = world.say(Basic::Closed);
        let modify = world.publish_after(Some(&first)).await;
        assert_eq!(tag(&modify).as_deref(), Some("e1"));
        world
            .server
            .answer(&modify, "412 Conditional Request Failed", "")
            .await;
        let anew = world.publish_after(Some(&modify)).await;
        assert_eq!(tag(&anew), None);
        assert_eq!(anew.body(), modify.body());
        world.accept(&anew, "n1").await;
        assert_eq!(said.await.expect("a task"), Ok(Some("n1".to_owned())));
    });
}

#[test]
fn a_server_that_wants_longer_intervals_gets_them() {
    in_real_time(async {
        let mut world = World::start(None).await;
        let said = world.say(Basic::Open);
        let brief = world.publish_after(None).await;
        world
            .server
            .answer(&brief, "423 Interval Too Brief", "Min-Expires: 1800\r\n")
            .await;
        let longer = world.publish_after(Some(&brief)).await;
        assert_eq!(longer.expires().ok().flatten(), Some(1800));
        world.accept(&longer, "e1").await;
        assert_eq!(said.await.expect("a task"), Ok(Some("e1".to_owned())));
    });
}

#[test]
fn a_busy_server_is_left_alone_for_as_long_as_it_asks() {
    in_real_time(async {
        let mut world = World::start(None).await;
        let said = world.say(Basic::Open);
        let first = world.publish_after(None).await;
        let start = tokio::time::Instant::now();
        world
            .server
            .answer(&first, "503 Service Unavailable", "Retry-After: 1\r\n")
            .await;
        let again = world.publish_after(Some(&first)).await;
        assert!(
            start.elapsed() >= Duration::from_secs(1),
            "{:?}",
            start.elapsed()
        );
        world.accept(&again, "e1").await;
        assert_eq!(said.await.expect("a task"), Ok(Some("e1".to_owned())));
    });
}

#[test]
fn a_lost_answer_is_answered_again_to_the_retransmission() {
    in_real_time(async {
        let mut world = World::start(None).await;
        let said = world.say(Basic::Open);
        let first = world.publish_after(None).await;
        // Nothing is answered, as if the answer were lost.
        let retransmission = world.server.expect_request("PUBLISH").await;
        assert_eq!(retransmission.raw(), first.raw());
        world.accept(&retransmission, "e1").await;
        assert_eq!(said.await.expect("a task"), Ok(Some("e1".to_owned())));
    });
}

#[test]
fn a_refusal_comes_back_in_the_server_s_words() {
    in_real_time(async {
        let mut world = World::start(None).await;
        let mut before: Option<Message> = None;
        for (status, words) in [
            ("403 Not Yours", "refused: 403 Not Yours"),
            (
                "415 Unsupported Media Type",
                "refused: 415 Unsupported Media Type",
            ),
            (
                "401 Unauthorized",
                "refused: 401 the presence server asks for credentials: none are configured, or they are wrong",
            ),
        ] {
            let said = world.say(Basic::Open);
            let request = world.publish_after(before.as_ref()).await;
            world.server.answer(&request, status, "").await;
            let refused = said.await.expect("a task").expect_err("a refusal");
            assert_eq!(refused.to_string(), words);
            // A machine that has ended starts its count anew, with a Call-ID of its own.
            before = None;
        }
    });
}

#[test]
fn a_client_that_was_told_to_give_up_says_that_the_server_is_in_trouble() {
    in_real_time(async {
        let mut world = World::start(Some(1)).await;
        let said = world.say(Basic::Open);
        let request = world.publish_after(None).await;
        world.server.answer(&request, "500 Out Of Cheese", "").await;
        let refused = said.await.expect("a task").expect_err("a refusal");
        assert_eq!(refused.to_string(), "refused: 500 Out Of Cheese");
    });
}

#[test]
fn at_the_end_the_publication_is_removed() {
    in_real_time(async {
        let mut world = World::start(None).await;
        let first = world.published("e1", None).await;
        let publisher = world.client.publisher.clone();
        let end = actix_rt::spawn(async move {
            publisher
                .send(Shutdown {
                    unpublish: Some(Duration::from_secs(20)),
                })
                .await
        });
        let removal = world.publish_after(Some(&first)).await;
        assert_eq!(removal.expires().ok().flatten(), Some(0));
        assert_eq!(tag(&removal).as_deref(), Some("e1"));
        assert_eq!(removal.body().len(), 0);
        world
            .server
            .answer(&removal, "200 OK", "Expires: 0\r\n")
            .await;
        end.await.expect("a task").expect("a publisher");
    });
}

#[test]
fn the_two_sides_may_run_on_threads_of_their_own() {
    in_real_time(async {
        let (towards_manager, towards_server) = (Arbiter::new(), Arbiter::new());
        let handles = (towards_manager.handle(), towards_server.handle());
        let mut world = World::start_on(Some(handles), None).await;
        let first = world.published("e1", None).await;
        let second = world.published("e2", Some(&first)).await;
        assert_eq!(tag(&second).as_deref(), Some("e1"));
        towards_manager.stop();
        towards_server.stop();
    });
}

#[test]
fn one_state_is_published_refreshed_and_removed_by_hand() {
    in_real_time(async {
        let kit = EndpointKit::start(Network::Real, table()).await;
        let mut server = kit.udp_peer(&Network::Real).await;
        let settings = settings_for(&server);
        let mut kept = Probe::<Kept>::start();
        let (listener, entropy) = (Some(kept.recipient()), Entropy::from_number(1));
        let hand = once::Once::start(
            &kit.endpoint,
            PUBLISHER,
            settings,
            listener,
            Clock::system(),
            entropy,
        );
        let presence = Presence {
            entity: ALICE.to_owned(),
            ..Presence::default()
        };
        let one = hand.clone();
        let said = actix_rt::spawn(async move { one.publish(presence, LIMIT).await });
        let initial = server.expect_request("PUBLISH").await;
        server
            .answer(&initial, "200 OK", "SIP-ETag: e1\r\nExpires: 1\r\n")
            .await;
        assert_eq!(said.await.expect("a task"), Ok(Some("e1".to_owned())));
        // The shortest lifetime there is: refreshed, or published anew if the refresh comes too late.
        let refresh = server.expect_request("PUBLISH").await;
        server
            .answer(&refresh, "200 OK", "SIP-ETag: e2\r\nExpires: 600\r\n")
            .await;
        assert_eq!(kept.next().await.0.etag, "e1");
        assert_eq!(kept.next().await.0.etag, "e2");
        let end = actix_rt::spawn(hand.remove(Duration::from_secs(20)));
        let removal = server.expect_request("PUBLISH").await;
        assert_eq!(removal.expires().ok().flatten(), Some(0));
        assert_eq!(tag(&removal).as_deref(), Some("e2"));
        server.answer(&removal, "200 OK", "").await;
        end.await.expect("a task");
    });
}

/// ```text
///   rollcall publish        redirector         rollcall server
///     | -- PUBLISH ----------> |                    |
///     | <-- 302, Contact ----- |                    |
///     | -- PUBLISH, CSeq + 1 ---------------------> |
///     | <-- 200 ----------------------------------- |
/// ```
#[test]
fn a_publisher_follows_a_redirection() {
    let server = Process::rollcall(&[
        "server",
        "--store",
        "memory:",
        "--listen",
        "udp:127.0.0.1:0",
    ]);
    let target = format!("sip:bob@{}", server.listening("udp"));
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let mut redirector = SipClient::on(socket);
    let first = format!("sip:{}", redirector.address());
    let publish = Process::rollcall(&[
        "publish",
        "sip:bob@example.com",
        "--server",
        &first,
        "--note",
        "moved",
    ]);
    let request = redirector.expect("a PUBLISH", Message::is_request);
    redirector.answer_to_sender(&request, 302, &format!("Moved\nContact: <{target}>"));
    publish.wait_for("the end", |line| {
        line.starts_with("published sip:bob@example.com")
    });
    let home = format!("sip:{}", server.listening("udp"));
    let seen = Process::rollcall(&["watch", "--once", &target, "--server", &home]);
    seen.wait_for("the state", |line| line.contains("moved"));
}
