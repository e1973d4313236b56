//! The Manager's actors between scripted peers, on a memory network in virtual time.
//!
//! ```text
//!  source (peer)          Manager (endpoint, hub, sessions)          Presence Client (peer)
//!    | -- SOURCE ------------> |                                        |
//!    |                         | <------------------------------- PC -- |
//!    | -- PRESENCE 7 --------> | -- PRESENCE 1 -----------------------> |
//!    | <-------------- ACK 7 - | <---------------------------- ACK 1 -- |
//! ```

mod doors;
mod link;

use std::time::Duration;

use actix::prelude::*;
use rollcall_core::endpoint::{ModuleTable, Settings, Sharding};
use rollcall_core::entropy::Entropy;
use rollcall_core::manager::Presence;
use rollcall_core::room::Rules;
use rollcall_core::time::Timestamp;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::hub::{FromSource, TakePresences};
use super::*;
use crate::endpoint::{Endpoint, Parts};
use crate::messages::TakeSnapshot;
use crate::testkit::{ManagerPeer, World, in_virtual_time};

const MANAGER: ModuleId = ModuleId(1);
const PC: &str = "<xml><type> PC </type> </xml>";

fn clock() -> Clock {
    Clock::starting_at(Timestamp::from_millis(1_795_424_400_000))
}

async fn start(network: Network, change: impl FnOnce(&mut Setup)) -> RunningManager {
    let modules = ModuleTable::builder().module(MANAGER, "manager", &routes(), Sharding::One);
    let parts = Parts {
        tls: Default::default(),
        settings: Settings::default(),
        modules: modules.build().expect("no conflict"),
        name_servers: Vec::new(),
        network: network.clone(),
        clock: clock(),
        entropy: Entropy::from_number(1),
        udp_offload: true,
        admission: Default::default(),
    };
    let endpoint = Endpoint::new(parts).start();
    let mut setup = Setup {
        module: MANAGER,
        hub: HubSettings::new("m", "r1"),
        state: None,
        listen: "0.0.0.0:7000".parse().expect("an address"),
        rules: Rules {
            most: 10,
            ..Rules::default()
        },
        network,
        clock: clock(),
    };
    change(&mut setup);
    super::start(setup, &endpoint).await.expect("a free port")
}

struct Bench {
    world: World,
    manager: RunningManager,
}

impl Bench {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Setup)) -> Self {
        let world = World::new(1, &["manager", "peer"]);
        let manager = start(world.network("manager"), change).await;
        Self { world, manager }
    }

    async fn peer(&self) -> ManagerPeer {
        ManagerPeer::connect(
            &self.world.network("peer"),
            self.world.addr("manager", 7000),
        )
        .await
    }

    async fn client(&self) -> ManagerPeer {
        let mut peer = self.peer().await;
        peer.send(PC).await;
        peer.expect_type("WELCOME").await;
        peer
    }

    async fn source(&self, id: &str) -> ManagerPeer {
        let mut peer = self.peer().await;
        peer.send(&format!("<xml><type>SOURCE</type><id>{id}</id></xml>"))
            .await;
        peer.expect_type("WELCOME").await;
        peer
    }

    async fn say(&self, entity: &str, activity: &str) {
        let presence = Presence {
            entity: entity.into(),
            activities: vec![activity.into()],
            ..Presence::default()
        };
        self.manager
            .hub
            .send(FromSource {
                source: "here".into(),
                presence,
            })
            .await
            .expect("a hub");
    }

    async fn counters(&self) -> serde_json::Value {
        self.manager.hub.send(TakeSnapshot).await.expect("a hub")["counters"].clone()
    }
}

fn presence(seq: &str, activity: &str) -> String {
    format!(
        "<xml><type>PRESENCE</type>{seq}<entity>sip:a@x</entity><activity>{activity}</activity></xml>"
    )
}

fn ack(seq: u64, etag: &str) -> String {
    format!("<xml><type>ACK</type><seq>{seq}</seq><etag>{etag}</etag></xml>")
}

#[test]
fn the_literal_hello_is_served_with_a_snapshot_and_changes() {
    in_virtual_time(async {
        let bench = Bench::start().await;
        bench.say("sip:a@x", "meeting").await;
        let mut client = bench.peer().await;
        client.send(PC).await;
        assert_eq!(
            client.expect().await,
            "<xml><type>WELCOME</type><id>m</id><version>1</version><run>r1</run><heartbeat>30</heartbeat></xml>"
        );
        assert_eq!(
            client.expect().await,
            "<xml><type>PRESENCE</type><seq>1</seq><entity>sip:a@x</entity><source>here</source>\
             <activity>meeting</activity></xml>"
        );
        bench.say("sip:a@x", "away").await;
        assert!(
            client
                .expect_type("PRESENCE")
                .await
                .contains("<seq>2</seq>")
        );
    });
}

#[test]
fn a_word_of_a_source_goes_out_and_its_outcome_comes_back() {
    in_virtual_time(async {
        let bench = Bench::start().await;
        let (mut client, mut source) = (bench.client().await, bench.source("desk").await);
        source.send(&presence("<seq>7</seq>", "busy")).await;
        assert!(
            client
                .expect_type("PRESENCE")
                .await
                .contains("<source>desk</source><activity>busy")
        );
        client.send(&ack(1, "e1")).await;
        assert_eq!(source.expect().await, ack(7, "e1"));
        source.send(&presence("<seq>8</seq>", "away")).await;
        client.expect_type("PRESENCE").await;
        let nak = "<type>NAK</type><seq>2</seq><code>403</code><reason>not yours</reason></xml>";
        client.send(&format!("<xml>{nak}")).await;
        assert_eq!(
            source.expect().await,
            format!("<xml>{nak}").replace(">2<", ">8<")
        );
        let counters = bench.counters().await;
        assert_eq!(
            (
                &counters["accepted"],
                &counters["acked"],
                &counters["naked"]
            ),
            (&2.into(), &1.into(), &1.into())
        );
    });
}

#[test]
fn a_source_has_its_ack_or_its_bye_when_its_word_stands_in_the_file() {
    in_virtual_time(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new/state.xml");
        let bench = Bench::with(|setup| setup.state = Some(path.clone())).await;
        let stands =
            |word: &str| std::fs::read_to_string(&path).is_ok_and(|file| file.contains(word));
        let (mut client, mut source) = (bench.client().await, bench.source("desk").await);
        source.send(&presence("<seq>7</seq>", "busy")).await;
        client.expect_type("PRESENCE").await;
        client.send(&ack(1, "e1")).await;
        assert_eq!(source.expect().await, ack(7, "e1"));
        assert!(stands("busy"));
        let last = presence("", "away");
        source
            .send(&format!("{last}<xml><type>BYE</type></xml>"))
            .await;
        source.expect_type("BYE").await;
        assert!(stands("away"));
    });
}

#[test]
fn a_manager_takes_no_file_that_another_one_keeps() {
    in_virtual_time(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.xml");
        let _first = Bench::with(|setup| setup.state = Some(path.clone())).await;
        let hub = Manager::new(HubSettings::new("m", "r2"), clock());
        let error = hub.with_journal(path).expect_err("it is in use");
        assert!(error.to_string().contains("in use by another process"));
    });
}

#[test]
fn bad_documents_are_answered_and_the_session_goes_on() {
    in_virtual_time(async {
        let bench = Bench::start().await;
        let mut source = bench.source("desk").await;
        for (bad, answer) in [
            (
                "<xml><type>PRESENCE</type></xml>",
                "PRESENCE needs &lt;entity&gt;",
            ),
            ("<xml><type>PRESENCE</typo></xml>", "not well-formed: "),
            (
                "<xml><type>PRESENCE</type>",
                "the document has no &lt;/xml&gt; before the next one begins",
            ),
            (
                "<xml><type>ROSTER</type></xml>",
                "nobody here takes messages of type ROSTER",
            ),
            (
                "<xml><type>ACK</type><seq>1</seq></xml>",
                "ACK is out of place",
            ),
        ] {
            source.send(bad).await;
            source.send("<xml><type>PING</type></xml>").await;
            // What the endpoint answers may come behind the PONG.
            let answers = [source.expect().await, source.expect().await];
            assert!(
                answers.iter().any(|it| it.contains(answer)),
                "{bad}: {answers:?}"
            );
            assert!(
                answers.iter().any(|it| it.contains("PONG")),
                "{bad}: {answers:?}"
            );
        }
        source.send(&presence("<seq>1</seq>", "a b")).await;
        assert!(
            source
                .expect_type("NAK")
                .await
                .contains("<seq>1</seq><code>400</code>")
        );
    });
}

#[test]
fn lost_framing_closes_that_session_and_no_other() {
    in_virtual_time(async {
        let bench = Bench::start().await;
        let (mut good, mut bad) = (bench.client().await, bench.client().await);
        bad.send("hello?").await;
        assert!(
            bad.expect_type("ERROR")
                .await
                .contains("there is text between documents")
        );
        bad.expect_close().await;
        bench.say("sip:a@x", "away").await;
        good.expect_type("PRESENCE").await;
    });
}

#[test]
fn silence_ends_a_session_and_answers_keep_it() {
    in_virtual_time(async {
        let bench = Bench::start().await;
        let (begin, mut silent, mut alive) =
            (Instant::now(), bench.client().await, bench.client().await);
        for _ in 0..2 {
            silent.expect_type("PING").await;
            alive.expect_type("PING").await;
            alive.send("<xml><type>PONG</type></xml>").await;
        }
        assert!(
            silent
                .expect_type("ERROR")
                .await
                .contains("nothing heard for 90s")
        );
        silent.expect_close().await;
        assert_eq!(begin.elapsed().as_secs(), 90);
        alive.expect_type("PING").await;
        assert_eq!(bench.manager.listener.sessions(), 1);
    });
}

#[test]
fn who_does_not_say_hello_is_let_go() {
    in_virtual_time(async {
        let bench = Bench::start().await;
        let (begin, mut peer) = (Instant::now(), bench.peer().await);
        peer.send("<xml><ty").await;
        assert!(
            peer.expect_type("ERROR")
                .await
                .contains("no hello within 10s")
        );
        peer.expect_close().await;
        assert_eq!(begin.elapsed().as_secs(), 10);
    });
}

#[test]
fn one_connection_too_many_is_turned_away_until_another_goes() {
    in_virtual_time(async {
        let bench = Bench::with(|setup| setup.rules.most = 1).await;
        let mut first = bench.client().await;
        let mut second = bench.peer().await;
        assert!(
            second
                .expect_type("ERROR")
                .await
                .contains("too many connections")
        );
        second.expect_close().await;
        first.send("<xml><type>BYE</type></xml>").await;
        first.expect_type("BYE").await;
        first.expect_close().await;
        bench.client().await;
        // Two hellos and the BYE of a session that has ended: what it counted stays.
        let counters = bench.manager.listener.snapshot()["counters"].clone();
        let counted = ["accepted", "turned_away", "received"].map(|name| counters[name].as_u64());
        assert_eq!(counted, [Some(2), Some(1), Some(3)], "{counters}");
    });
}

/// `printf … | nc -N`: the peer closes its half at once.
#[test]
fn a_script_that_says_its_word_and_closes_its_half_gets_its_answer() {
    in_virtual_time(async {
        let bench = Bench::start().await;
        let mut client = bench.client().await;
        let to = bench.world.addr("manager", 7000);
        let mut stream = bench
            .world
            .network("peer")
            .connect(to)
            .await
            .expect("a connection");
        let script = format!(
            "<xml><type>SOURCE</type></xml>{}",
            presence("<seq>1</seq>", "busy")
        );
        stream.write_all(script.as_bytes()).await.expect("written");
        stream.shutdown().await.expect("half closed");
        let mut script = ManagerPeer::over(stream);
        script.expect_type("WELCOME").await;
        assert!(
            client
                .expect_type("PRESENCE")
                .await
                .contains("<source>10.0.0.2</source>")
        );
        client.send(&ack(1, "e1")).await;
        assert_eq!(script.expect().await, ack(1, "e1"));
        script.expect_type("BYE").await;
        script.expect_close().await;
        // Its word stays.
        let mut later = bench.client().await;
        later.expect_type("PRESENCE").await;
    });
}

#[test]
fn a_source_is_not_read_beyond_its_credit() {
    in_virtual_time(async {
        let bench = Bench::with(|setup| setup.hub.source_credit = 2).await;
        let mut source = bench.source("desk").await;
        for (seq, activity) in [(1, "busy"), (2, "away"), (3, "meeting")] {
            source
                .send(&presence(&format!("<seq>{seq}</seq>"), activity))
                .await;
        }
        // Two heartbeats later it still has not been read; and it is not cut off for it.
        for _ in 0..10 {
            source.expect_type("PING").await;
        }
        assert_eq!(bench.counters().await["accepted"], 2);
        let mut client = bench.client().await;
        assert!(client.expect_type("PRESENCE").await.contains("away"));
        client.send(&ack(2, "e")).await;
        assert_eq!(source.find_type("ACK").await, ack(1, "e"));
        assert_eq!(source.expect().await, ack(2, "e"));
        assert!(client.expect_type("PRESENCE").await.contains("meeting"));
    });
}

#[test]
fn an_orderly_end_says_goodbye_to_everybody() {
    in_virtual_time(async {
        let bench = Bench::start().await;
        let (mut client, mut source) = (bench.client().await, bench.source("desk").await);
        let gone = bench.manager.shut_down(Duration::from_secs(1));
        let (gone, ..) = tokio::join!(
            gone,
            async {
                assert!(client.expect_type("BYE").await.contains("shutting down"));
                client.expect_close().await;
            },
            async {
                source.expect_type("BYE").await;
                source.expect_close().await;
            }
        );
        assert!(gone);
    });
}

#[test]
fn the_last_word_is_there_after_a_restart_with_a_state_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.xml");
    in_virtual_time(async {
        let with_state = |setup: &mut Setup| setup.state = Some(path.clone());
        let bench = Bench::with(with_state).await;
        bench.say("sip:a@x", "busy").await;
        // Written at once; a kill after that loses nothing.
        let written = async {
            while !path.exists() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), written)
            .await
            .expect("written in time");
        let hub = bench.manager.hub.clone();
        hub.do_send(crate::node::Crash);
        while hub.connected() {
            tokio::task::yield_now().await;
        }
        // Its last write may still be on its way out.
        let begun = std::time::Instant::now();
        while journal::Keeper::new(path.clone()).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10));
            std::thread::yield_now();
        }
        let network = bench.world.restart("manager");
        let again = start(network, with_state).await;
        let presences = again.hub.send(TakePresences).await.expect("a hub");
        assert_eq!(presences[0].activities, ["busy"]);

        // Withdrawn right before an orderly end.
        let presence = Presence {
            entity: "sip:a@x".into(),
            withdrawn: true,
            ..Presence::default()
        };
        again
            .hub
            .send(FromSource {
                source: "here".into(),
                presence,
            })
            .await
            .expect("a hub");
        assert!(again.shut_down(Duration::from_secs(1)).await);
        let third = start(bench.world.restart("manager"), with_state).await;
        assert!(third.hub.send(TakePresences).await.expect("a hub")[0].withdrawn);
    });
}
