//! The link of a Presence Client: against a Manager, and against a scripted one.

use rollcall_core::manager::{Ack, Message as Document};

use super::super::link::Disconnect;
use super::*;
use crate::messages::ToSession;
use crate::testkit::EndpointKit;

const BUFFER: ModuleId = ModuleId(2);

/// A Presence Client's link, with a probe in the place of its publish buffer.
struct Client {
    kit: EndpointKit,
    link: Addr<Link>,
}

async fn client(world: &World, host: &str) -> Client {
    let claims = [Route::manager("PRESENCE"), Route::manager("WELCOME")];
    let table = ModuleTable::builder().module(BUFFER, "buffer", &claims, Sharding::One);
    let kit = EndpointKit::start(world.network(host), table.build().expect("no conflict")).await;
    let settings = LinkSettings {
        id: Some("pc1".into()),
        ..LinkSettings::new("10.0.0.1", 7000)
    };
    let parts = LinkParts {
        settings,
        network: world.network(host),
        endpoint: kit.endpoint.clone().recipient(),
        ids: SessionIds::default(),
        clock: clock(),
        entropy: Entropy::from_number(1),
    };
    let link = Link::new(parts).start();
    Client { kit, link }
}

impl Client {
    async fn welcomed(&mut self) -> Recipient<ToSession> {
        let incoming = self.kit.module(BUFFER).manager().await;
        assert_eq!(incoming.message.kind(), "WELCOME");
        incoming.reply
    }

    async fn presence(&mut self) -> Presence {
        match self.kit.module(BUFFER).manager().await.message {
            Document::Presence(presence) => *presence,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_presence_client_is_told_under_credit_and_answers() {
    in_virtual_time(async {
        let bench = Bench::start().await;
        for (entity, activity) in [("sip:a@x", "busy"), ("sip:b@x", "away")] {
            bench.say(entity, activity).await;
        }
        let mut client = client(&bench.world, "peer").await;
        let session = client.welcomed().await;
        // Ten minutes without credit: nothing is read, and both ends still stand.
        client
            .kit
            .module(BUFFER)
            .expect_nothing(Duration::from_secs(600))
            .await;
        session.do_send(ToSession::Credit(1));
        assert_eq!(client.presence().await.seq, Some(1));
        client
            .kit
            .module(BUFFER)
            .expect_nothing(Duration::from_secs(600))
            .await;
        session.do_send(ToSession::Credit(1));
        assert_eq!(client.presence().await.seq, Some(2));
        let mut source = bench.source("here").await;
        source.send(&presence("<seq>9</seq>", "busy")).await;
        session.do_send(ToSession::Send(Document::Ack(Ack {
            seq: 1,
            etag: Some("e1".into()),
        })));
        assert_eq!(source.find_type("ACK").await, ack(9, "e1"));
        assert_eq!(
            bench.manager.listener.sessions(),
            2,
            "the link's first session still stands"
        );
    });
}

#[test]
fn a_presence_client_finds_its_manager_again_and_goes_on_where_it_was() {
    in_virtual_time(async {
        let world = World::new(1, &["manager", "peer"]);
        let listener = world
            .network("manager")
            .listen(world.addr("manager", 7000))
            .await
            .expect("a port");
        let mut client = client(&world, "peer").await;
        let welcome =
            "<xml><type>WELCOME</type><id>m</id><run>r1</run><heartbeat>10</heartbeat></xml>";
        let told = |seq: u64, entity: &str| {
            format!("<xml><type>PRESENCE</type><seq>{seq}</seq><entity>{entity}</entity></xml>")
        };

        let mut manager = ManagerPeer::over(listener.accept().await.expect("a connection").0);
        assert_eq!(
            manager.expect().await,
            "<xml><type>PC</type><id>pc1</id><version>1</version></xml>"
        );
        manager
            .send(&[welcome, &told(1, "sip:a@x"), &told(2, "sip:b@x")].concat())
            .await;
        let session = client.welcomed().await;
        session.do_send(ToSession::Credit(9));
        client.presence().await;
        client.presence().await;
        session.do_send(ToSession::Send(Document::Ack(Ack { seq: 1, etag: None })));
        manager.expect_type("ACK").await;
        drop((manager, listener));

        // The Manager is away for ten minutes; meanwhile the link tries again and again, at most every 30 s.
        let network = world.restart("manager");
        let away = Instant::now();
        client
            .kit
            .module(BUFFER)
            .expect_nothing(Duration::from_secs(600))
            .await;
        let counters = client.link.send(TakeSnapshot).await.expect("a link")["counters"].clone();
        let failures = counters["failures"].as_u64().expect("a number");
        assert!((20..60).contains(&failures), "{counters}");

        let listener = network
            .listen(world.addr("manager", 7000))
            .await
            .expect("a port");
        let mut manager = ManagerPeer::over(listener.accept().await.expect("a connection").0);
        assert!(away.elapsed() <= Duration::from_secs(631));
        assert_eq!(
            manager.expect().await,
            "<xml><type>PC</type><id>pc1</id><version>1</version><last-seq>1</last-seq><run>r1</run></xml>"
        );
        manager.send(&[welcome, &told(2, "sip:b@x")].concat()).await;
        let session = client.welcomed().await;
        session.do_send(ToSession::Credit(9));
        assert_eq!(client.presence().await.seq, Some(2));

        client.link.do_send(Disconnect);
        assert!(manager.expect_type("BYE").await.contains("shutting down"));
        manager.expect_close().await;
        assert!(!client.link.connected());
    });
}

#[test]
fn a_partition_ends_the_session_and_the_client_converges_after_it() {
    in_virtual_time(async {
        let bench = Bench::start().await;
        let mut client = client(&bench.world, "peer").await;
        client.welcomed().await.do_send(ToSession::Credit(100));
        bench.say("sip:a@x", "busy").await;
        assert_eq!(client.presence().await.seq, Some(1));
        bench.world.partition("manager", "peer");
        for activity in ["away", "meeting", "meal"] {
            bench.say("sip:a@x", activity).await;
        }
        client
            .kit
            .module(BUFFER)
            .expect_nothing(Duration::from_secs(300))
            .await;
        bench.world.heal();
        client.welcomed().await.do_send(ToSession::Credit(100));
        let last = client.presence().await;
        assert_eq!(
            (last.seq, &last.activities[0][..]),
            (Some(4), "meal"),
            "of the four only the newest"
        );
        client
            .kit
            .module(BUFFER)
            .expect_nothing(Duration::from_secs(300))
            .await;
    });
}
