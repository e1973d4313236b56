//! The Watcher actor over an endpoint, before a scripted notifier, in virtual time.
//!
//! ```text
//!  listener (probe)    Watcher ── Endpoint          notifier (peer)
//!     |                  | ── SUBSCRIBE ─────────────> |
//!     | <── Watched ──── | <── NOTIFY, 200 ─────────── |
//! ```

use rollcall_core::endpoint::{ModuleTable, Sharding};
use rollcall_core::pidf::Basic;
use rollcall_core::sip::{Frame, Message as SipMessage, Name, SubscriptionStateValue};
use rollcall_core::time::Timestamp;
use rollcall_core::watcher::News;
use tokio::time::Instant;

use super::*;
use crate::testkit::{EndpointKit, Probe, SipPeer, World, in_virtual_time, wire};

const ALICE: &str = "sip:alice@example.com";
const MODULE: ModuleId = ModuleId(1);

const CLOSED: &str = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@example.com\">\
    <tuple id=\"a\"><status><basic>closed</basic></status></tuple></presence>";

struct Scene {
    watcher: Addr<Watcher>,
    listener: Probe<Watched>,
    notifier: SipPeer,
    /// The SUBSCRIBE that started the subscription, and the CSeq of our latest NOTIFY.
    first: Option<SipMessage>,
    cseq: u32,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new(1, &["watcher", "server"]);
        let table = ModuleTable::builder()
            .module(MODULE, "watcher", &claims(), Sharding::One)
            .build()
            .expect("no conflict");
        let kit = EndpointKit::start(world.network("watcher"), table).await;
        let at = world.addr("server", 5060);
        let settings = Settings {
            watcher: "sip:bob@example.com".to_owned(),
            server: Some(format!("sip:{at}")),
            ..Settings::default()
        };
        let listener = Probe::start();
        let clock = Clock::starting_at(Timestamp::from_millis(1_700_000_000_000));
        let endpoint = kit.endpoint.clone().recipient();
        let entropy = Entropy::from_number(1);
        let watcher = Watcher::new(
            settings,
            MODULE,
            endpoint,
            listener.recipient(),
            clock,
            entropy,
        )
        .start();
        kit.attach(MODULE, watcher.clone().recipient());
        let notifier = SipPeer::udp(&world.network("server"), at, kit.udp()).await;
        Self {
            watcher,
            listener,
            notifier,
            first: None,
            cseq: 0,
        }
    }

    async fn subscribed() -> Self {
        let mut scene = Self::new().await;
        scene.watcher.do_send(Watch(ALICE.to_owned()));
        let request = scene.notifier.expect_request("SUBSCRIBE").await;
        scene.accept(&request).await;
        scene.first = Some(request);
        scene.notify("active;expires=3600", CLOSED).await;
        assert!(matches!(scene.news().await, News::State { .. }));
        assert!(matches!(scene.news().await, News::Subscription { .. }));
        scene
    }

    async fn accept(&mut self, request: &SipMessage) {
        let expires = request.text(Name::Expires).expect("Expires").into_owned();
        let contact = self.notifier.local();
        let head = format!("Contact: <sip:{contact}>\r\nExpires: {expires}\r\n");
        self.notifier.answer(request, "200 OK", &head).await;
    }

    /// Sends a NOTIFY, and waits for its 200.
    async fn notify(&mut self, state: &str, body: &str) {
        let first = self.first.as_ref().expect("a subscription");
        self.cseq += 1;
        let (from, call_id) = (
            first.text(Name::From).expect("From"),
            first.call_id().expect("Call-ID"),
        );
        let target = first.contacts().expect("a Contact").remove(0).uri;
        let (local, cseq, length) = (self.notifier.local(), self.cseq, body.len());
        let head = wire(&format!(
            "NOTIFY {target} SIP/2.0
            Via: SIP/2.0/UDP {local};branch=z9hG4bKn{cseq}
            Max-Forwards: 70
            From: <{ALICE}>;tag=peer
            To: {from}
            Call-ID: {call_id}
            CSeq: {cseq} NOTIFY
            Contact: <sip:{local}>
            Event: presence
            Subscription-State: {state}
            Content-Type: application/pidf+xml
            Content-Length: {length}
            "
        ));
        self.notifier.send(format!("{head}{body}")).await;
        self.notifier.expect_status(200).await;
    }

    /// Waits for the refresh of an hour's subscription: 80 to 90 % of it.
    async fn refresh(&mut self) -> SipMessage {
        let start = Instant::now();
        let Some(Frame::Message(bytes)) = self.notifier.receive(Duration::from_secs(3241)).await
        else {
            panic!("no refresh came");
        };
        assert!(
            start.elapsed() >= Duration::from_secs(2880),
            "{:?}",
            start.elapsed()
        );
        let refresh = SipMessage::parse(bytes).expect("a message that can be read");
        assert_eq!(refresh.to_tag().as_deref(), Some("peer"));
        refresh
    }

    async fn news(&mut self) -> News {
        let Watched(watched) = self.listener.next().await;
        assert_eq!(watched.uri, ALICE);
        watched.news
    }
}

#[test]
fn what_the_notifier_says_is_told() {
    in_virtual_time(async {
        let mut scene = Scene::new().await;
        scene.watcher.do_send(Watch(ALICE.to_owned()));
        let request = scene.notifier.expect_request("SUBSCRIBE").await;
        assert_eq!(request.uri_text(), ALICE);
        let contact = request
            .contacts()
            .expect("a Contact")
            .remove(0)
            .uri
            .to_string();
        assert!(contact.starts_with("sip:watcher@10.0.0.1:"), "{contact}");
        scene.accept(&request).await;
        scene.first = Some(request);
        scene.notify("active;expires=3600", CLOSED).await;
        let News::State {
            summary: Some(summary),
            body,
            ..
        } = scene.news().await
        else {
            panic!("no state")
        };
        assert_eq!(summary.basic, Some(Basic::Closed));
        assert_eq!(body, CLOSED);
        let active = News::Subscription {
            state: SubscriptionStateValue::Active,
            reason: None,
        };
        assert_eq!(scene.news().await, active);
    });
}

#[test]
fn a_subscription_is_refreshed_before_it_expires_and_ended_in_order() {
    in_virtual_time(async {
        let mut scene = Scene::subscribed().await;
        let refresh = scene.refresh().await;
        scene.accept(&refresh).await;

        let watcher = scene.watcher.clone();
        let limit = Duration::from_secs(10);
        let end = actix_rt::spawn(async move { watcher.send(Shutdown { limit }).await });
        let last = scene.notifier.expect_request("SUBSCRIBE").await;
        assert_eq!(last.expires().ok().flatten(), Some(0));
        scene.accept(&last).await;
        scene.notify("terminated;reason=timeout", "").await;
        end.await.expect("a task").expect("a watcher");
        let snapshot = scene.watcher.send(TakeSnapshot).await.expect("a watcher");
        assert_eq!(
            (&snapshot["watched"], &snapshot["counters"]["refresh"]),
            (&0.into(), &1.into())
        );
    });
}

#[test]
fn a_shutdown_before_a_dead_notifier_takes_no_longer_than_it_may() {
    in_virtual_time(async {
        let scene = Scene::subscribed().await;
        let start = Instant::now();
        let limit = Duration::from_secs(3);
        scene
            .watcher
            .send(Shutdown { limit })
            .await
            .expect("a watcher");
        assert_eq!(start.elapsed(), limit);
    });
}

#[test]
fn a_notifier_that_lost_the_subscription_gets_a_new_one() {
    in_virtual_time(async {
        let mut scene = Scene::subscribed().await;
        let refresh = scene.refresh().await;
        scene
            .notifier
            .answer(&refresh, "481 Call/Transaction Does Not Exist", "")
            .await;
        let anew = scene.notifier.expect_request("SUBSCRIBE").await;
        assert_eq!(anew.to_tag(), None);
        assert_ne!(anew.call_id().ok(), refresh.call_id().ok());
    });
}

#[test]
fn a_server_that_was_silent_is_asked_again_until_it_answers() {
    in_virtual_time(async {
        let mut scene = Scene::new().await;
        scene.watcher.do_send(Watch(ALICE.to_owned()));
        let News::Trouble { code, .. } = scene.news().await else {
            panic!("no trouble")
        };
        assert_eq!(code, 408);
        // The retransmissions of the first attempt come first.
        let (mut request, mut attempts) = (scene.notifier.expect_request("SUBSCRIBE").await, 1);
        let lost = request.call_id().expect("Call-ID").to_owned();
        while request.call_id().ok() == Some(&lost) {
            request = scene.notifier.expect_request("SUBSCRIBE").await;
            attempts += 1;
        }
        assert!(attempts > 5, "{attempts}");
        scene.accept(&request).await;
        scene.first = Some(request);
        scene.notify("active;expires=3600", CLOSED).await;
        assert!(matches!(scene.news().await, News::State { .. }));
    });
}
