//! The Presence Server as its peers see it: Endpoint, Registry and store together, in virtual time over the memory
//! network. (Whole processes over real sockets are in `nodes` and `peers`.)

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use rollcall::clock::Clock;
use rollcall::core::endpoint::{ModuleId, ModuleTable, Sharding};
use rollcall::core::entropy::Entropy;
use rollcall::core::registry::Settings;
use rollcall::core::sip::{Message, Name};
use rollcall::core::time::Timestamp;
use rollcall::messages::Attach;
use rollcall::registry::{Parts, Registry, claims};
use rollcall::store::{MemoryDisk, Store};
use rollcall::testkit::{EndpointKit, SipPeer, World, in_virtual_time};

const REGISTRY: ModuleId = ModuleId(1);

/// A server on a host of its own.
struct Server {
    world: World,
    kit: EndpointKit,
}

async fn start(disk: &MemoryDisk) -> Server {
    let world = World::new(1, &["server", "desk", "phone"]);
    let settings = Settings {
        domains: vec!["example.com".to_owned()],
        ..Settings::default()
    };
    let table = ModuleTable::builder()
        .module(
            REGISTRY,
            "registry",
            &claims(&settings),
            Sharding::ByPresentity,
        )
        .accepts(&["application/pidf+xml"])
        .build()
        .expect("no conflict");
    let kit = EndpointKit::start(world.network("server"), table).await;
    let store: Arc<dyn Store> = Arc::new(disk.open());
    let records = store.load().expect("records");
    let registry = Registry::new(Parts {
        settings,
        shard: 0,
        shards: 1,
        module: REGISTRY,
        store,
        records: Some(records),
        endpoints: vec![kit.endpoint.clone().recipient()],
        clock: Clock::starting_at(Timestamp::from_millis(1_700_000_000_000)),
        entropy: Entropy::from_number(2),
        composer: None,
    });
    let registry = registry.start().recipient();
    kit.endpoint.do_send(Attach {
        module: REGISTRY,
        recipients: vec![registry],
    });
    Server { world, kit }
}

const BOB: &str = "sip:bob@example.com";

fn pidf(basic: &str) -> String {
    format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{BOB}\"><tuple id=\"t\"><status><basic>{basic}</basic>\
         </status></tuple></presence>"
    )
}

impl Server {
    async fn udp(&self, host: &str) -> SipPeer {
        self.kit.udp_peer(&self.world.network(host)).await
    }
}

async fn publish(peer: &mut SipPeer, condition: &str, body: &str) -> String {
    let head = format!("Event: presence\r\nContent-Type: application/pidf+xml\r\n{condition}");
    let request = peer.request("PUBLISH", BOB, &head, body);
    peer.send(request).await;
    text(&peer.expect_status(200).await, Name::SipEtag)
}

async fn subscribe(peer: &mut SipPeer, expires: u32) -> Message {
    let contact = peer.local();
    let head =
        format!("Event: presence\r\nContact: <sip:watcher@{contact}>\r\nExpires: {expires}\r\n");
    let request = peer.request("SUBSCRIBE", BOB, &head, "");
    peer.send(request).await;
    peer.expect_status(200).await
}

/// Takes a NOTIFY, answers it, and gives its state and body.
async fn notified(peer: &mut SipPeer) -> (String, String) {
    let notify = peer.expect_request("NOTIFY").await;
    peer.answer(&notify, "200 OK", "").await;
    let body = String::from_utf8_lossy(&notify.body()).into_owned();
    (text(&notify, Name::SubscriptionState), body)
}

fn text(message: &Message, name: Name) -> String {
    message.text(name).expect("the header").into_owned()
}

fn active(expires: u32) -> String {
    format!("active;expires={expires}")
}

#[test]
fn a_watcher_is_told_what_a_publisher_says_and_when_it_ends() {
    in_virtual_time(async {
        let server = start(&MemoryDisk::new()).await;
        let (mut desk, mut phone) = (server.udp("desk").await, server.udp("phone").await);
        let ok = subscribe(&mut phone, 600).await;
        assert_eq!(text(&ok, Name::Expires), "600");
        assert!(ok.to_tag().is_some() && ok.has(Name::Contact));
        assert_eq!(notified(&mut phone).await, (active(600), String::new()));
        let etag = publish(&mut desk, "", &pidf("open")).await;
        assert_eq!(notified(&mut phone).await, (active(600), pidf("open")));
        let etag = publish(
            &mut desk,
            &format!("SIP-If-Match: {etag}\r\n"),
            &pidf("closed"),
        )
        .await;
        assert_eq!(notified(&mut phone).await, (active(600), pidf("closed")));
        publish(
            &mut desk,
            &format!("SIP-If-Match: {etag}\r\nExpires: 0\r\n"),
            "",
        )
        .await;
        assert_eq!(notified(&mut phone).await.1, "");
    });
}

#[test]
fn a_watcher_behind_tcp_is_told_over_its_own_connection() {
    in_virtual_time(async {
        let server = start(&MemoryDisk::new()).await;
        let mut desk = server.udp("desk").await;
        let mut phone = server.kit.tcp_peer(&server.world.network("phone")).await;
        subscribe(&mut phone, 600).await;
        notified(&mut phone).await;
        publish(&mut desk, "", &pidf("open")).await;
        assert_eq!(notified(&mut phone).await, (active(600), pidf("open")));
    });
}

#[test]
fn a_retransmitted_publish_makes_no_second_publication() {
    in_virtual_time(async {
        let server = start(&MemoryDisk::new()).await;
        let mut desk = server.udp("desk").await;
        let head = "Event: presence\r\nContent-Type: application/pidf+xml\r\n";
        let request = desk.request("PUBLISH", BOB, head, &pidf("open"));
        desk.send(&request).await;
        let first = desk.expect_status(200).await;
        desk.send(&request).await;
        assert_eq!(desk.expect_status(200).await.raw(), first.raw());
    });
}

#[test]
fn a_watcher_that_is_gone_costs_nobody_anything() {
    in_virtual_time(async {
        let server = start(&MemoryDisk::new()).await;
        let (mut desk, mut phone) = (server.udp("desk").await, server.udp("phone").await);
        let mut gone = server.udp("desk").await;
        subscribe(&mut gone, 600).await;
        drop(gone);
        subscribe(&mut phone, 600).await;
        notified(&mut phone).await;
        publish(&mut desk, "", &pidf("open")).await;
        assert_eq!(notified(&mut phone).await.1, pidf("open"));
    });
}

#[test]
fn what_nobody_serves_is_refused_with_what_would_be() {
    in_virtual_time(async {
        let server = start(&MemoryDisk::new()).await;
        let mut phone = server.udp("phone").await;
        let contact = "Contact: <sip:watcher@phone>\r\n";
        let request = phone.request("SUBSCRIBE", BOB, &format!("Event: dialog\r\n{contact}"), "");
        phone.send(request).await;
        let refusal = phone.expect_status(489).await;
        assert_eq!(text(&refusal, Name::AllowEvents), "presence");
        let elsewhere = format!("Event: presence\r\n{contact}");
        let request = phone.request("SUBSCRIBE", "sip:bob@elsewhere.invalid", &elsewhere, "");
        phone.send(request).await;
        phone.expect_status(404).await;
        let request = phone.request("PUBLISH", BOB, "Event: presence\r\nExpires: 1\r\n", "x");
        phone.send(request).await;
        assert_eq!(
            text(&phone.expect_status(423).await, Name::MinExpires),
            "60"
        );
    });
}

#[test]
fn recorded_clients_are_served() {
    in_virtual_time(async {
        let server = start(&MemoryDisk::new()).await;
        for (name, status) in [
            ("pjsua-publish-initial", 200),
            ("linphone-publish-initial", 200),
            ("linphone-register", 200),
            ("pjsua-subscribe-initial", 200),
            ("baresip-subscribe-initial", 200),
            ("linphone-subscribe-initial", 200),
            // It asks for 15 s, less than the minimum.
            ("baresip-publish-initial", 423),
        ] {
            let mut client = server.udp("phone").await;
            let path = format!("{}/tests/wires/{name}.sip", env!("CARGO_MANIFEST_DIR"));
            client.send(std::fs::read(path).expect("a recording")).await;
            let answer = client.expect().await;
            assert_eq!(
                answer.status().map(|status| status.code()),
                Some(status),
                "{name}"
            );
        }
    });
}

#[test]
fn after_a_crash_tags_dialogs_and_bindings_are_there_and_watchers_are_told_again() {
    let disk = MemoryDisk::new();
    let etag = in_virtual_time(async {
        let server = start(&disk).await;
        let (mut desk, mut phone) = (server.udp("desk").await, server.udp("phone").await);
        subscribe(&mut phone, 600).await;
        notified(&mut phone).await;
        let etag = publish(&mut desk, "", &pidf("open")).await;
        notified(&mut phone).await;
        etag
    });
    // Another process on the same disk; the network has forgotten everything, addresses are given alike.
    in_virtual_time(async {
        let server = start(&disk).await;
        let (mut desk, mut phone) = (server.udp("desk").await, server.udp("phone").await);
        let notify = phone.expect_request("NOTIFY").await;
        assert_eq!(notify.cseq().expect("a CSeq").number, (1 << 20) | 1);
        assert_eq!(notify.body(), pidf("open"));
        phone.answer(&notify, "200 OK", "").await;
        publish(&mut desk, &format!("SIP-If-Match: {etag}\r\n"), "").await;
        phone.expect_nothing(Duration::from_secs(5)).await;
    });
}
