//! The Endpoint actor between probes, on a memory network in virtual time.
//!
//! ```text
//!  phone                endpoint               module (probe)
//!    | -- MESSAGE ------> | -- Request ----------> |
//!    | <------- 200 ----- | <-------------- Reply  |
//!    |                    | <--------------- Send  |
//!    | <---- MESSAGE ---- |                        |
//!    | -- 200 ----------> | -- Outcome ----------> |
//! ```

use std::time::Duration;

use rollcall_core::endpoint::{Route, Sharding};
use rollcall_core::exchange::{Destination, LOCAL_CONTACT, OutcomeResult, Outgoing};
use rollcall_core::sip::{Head, Method, Name, StatusCode};
use tokio::time::Instant;

use super::*;
use crate::testkit::{EndpointKit, ModuleProbe, Probe, SipPeer, World, in_virtual_time};
use crate::transport::memory::Link;

const ECHO: ModuleId = ModuleId(1);
const LOOKER: ModuleId = ModuleId(2);

fn table() -> ModuleTable {
    ModuleTable::builder()
        .module(
            ECHO,
            "echo",
            &[Route::method(Method::Message), Route::manager("PRESENCE")],
            Sharding::One,
        )
        .observer(LOOKER, "looker")
        .build()
        .expect("no conflict")
}

/// Room for so many connections, of which idle ones go after 30 s; an address may have two thirds of them.
fn admission(most: usize) -> Admission {
    Admission {
        rules: Rules {
            most,
            share: (most * 2).div_ceil(3),
            idle: Some(Duration::from_secs(30)),
            ..Rules::default()
        },
        ..Admission::default()
    }
}

/// An endpoint at the host "server", without a listener.
fn endpoint(world: &World, udp_offload: bool, admission: Admission) -> Addr<Endpoint> {
    Endpoint::new(Parts {
        tls: Default::default(),
        settings: Settings::default(),
        modules: table(),
        network: world.network("server"),
        name_servers: Vec::new(),
        clock: Clock::system(),
        entropy: Entropy::from_number(1),
        udp_offload,
        admission,
    })
    .start()
}

async fn world() -> (World, EndpointKit) {
    let world = World::new(1, &["server", "phone", "other"]);
    world
        .memory()
        .set_default_link(Link::delayed(Duration::from_millis(10)));
    let kit = EndpointKit::start(world.network("server"), table()).await;
    (world, kit)
}

/// Makes the core panic.
#[derive(Message)]
#[rtype(result = "()")]
struct Fault;

impl Handler<Fault> for Endpoint {
    type Result = ();

    fn handle(&mut self, _: Fault, ctx: &mut Context<Self>) {
        self.ask(|_, _, _| panic!("as a test wants it"));
        self.settle(ctx);
    }
}

fn message_to(uri: &str, destination: Destination) -> Outgoing {
    let mut head = Head::new();
    head.line(Name::From, "<sip:echo@server>;tag=1")
        .line(Name::To, format_args!("<{uri}>"))
        .line(Name::CallId, "call")
        .line(Name::CSeq, "1 MESSAGE")
        .line(Name::Contact, format_args!("<sip:{LOCAL_CONTACT}>"));
    Outgoing {
        token: 77,
        method: Method::Message,
        uri: uri.to_owned(),
        first_route: None,
        head: head.finish(),
        body: Bytes::new(),
        destination,
    }
}

/// The status of the response that ended the module's request, and its flow.
async fn status(module: &mut ModuleProbe) -> (u16, Flow) {
    let outcome = module.outcome().await;
    assert_eq!(outcome.token, 77);
    match outcome.result {
        OutcomeResult::Response(message, flow) => {
            (message.status().expect("a response").code(), flow)
        }
        other => panic!("{other:?}"),
    }
}

async fn failure(module: &mut ModuleProbe) -> String {
    match module.outcome().await.result {
        OutcomeResult::TransportError(reason) => reason,
        other => panic!("{other:?}"),
    }
}

mod connections;
mod datagrams;
mod servers;
mod streams;

#[test]
fn a_request_reaches_its_module_and_its_observer_and_the_reply_goes_back() {
    in_virtual_time(async {
        let (world, mut kit) = world().await;
        let mut phone = kit.udp_peer(&world.network("phone")).await;
        phone
            .send(phone.request("MESSAGE", "sip:echo@server", "", "hello"))
            .await;
        let incoming = kit.module(ECHO).request().await;
        assert_eq!(
            (incoming.flow.local, incoming.flow.remote),
            (kit.udp(), phone.local())
        );
        assert!(matches!(
            kit.module(LOOKER).next().await,
            ModuleInput::Observed { .. }
        ));
        kit.module(ECHO).answer(&incoming, StatusCode::OK);
        phone.expect_status(200).await;
    });
}

#[test]
fn a_place_that_is_not_there_ends_the_request_in_words() {
    in_virtual_time(async {
        let (world, mut kit) = world().await;
        kit.module(ECHO)
            .send(message_to("sip:bob@nowhere", Destination::NextHop));
        assert!(
            failure(kit.module(ECHO))
                .await
                .contains("no address for host nowhere")
        );

        let closed = Destination::Address(Transport::Tcp, world.addr("other", 9));
        kit.module(ECHO).send(message_to("sip:bob@other", closed));
        assert!(failure(kit.module(ECHO)).await.contains("refused"));

        world.partition("server", "other");
        let start = Instant::now();
        kit.module(ECHO).send(message_to("sip:bob@other", closed));
        assert!(
            failure(kit.module(ECHO))
                .await
                .contains("no connection in time")
        );
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    });
}

#[test]
fn a_request_over_udp_is_retransmitted_by_virtual_time_until_its_timeout() {
    in_virtual_time(async {
        let (world, mut kit) = world().await;
        let start = Instant::now();
        kit.module(ECHO)
            .send(message_to("sip:bob@other", Destination::NextHop));
        let outcome = kit.module(ECHO).outcome().await;
        assert!(
            matches!(outcome.result, OutcomeResult::Timeout),
            "{outcome:?}"
        );
        assert_eq!(start.elapsed(), Duration::from_secs(32));
        // Timer E: 0.5, 1, 2, 4, 4, … seconds (RFC 3261, 17.1.2.2).
        assert_eq!(world.memory().statistics().sent, 11);
    });
}

#[test]
fn a_request_for_a_module_without_a_mailbox_is_answered_503() {
    in_virtual_time(async {
        let (world, kit) = world().await;
        kit.endpoint.do_send(Attach {
            module: ECHO,
            recipients: Vec::new(),
        });
        let mut phone = kit.udp_peer(&world.network("phone")).await;
        phone
            .send(phone.request("MESSAGE", "sip:echo@server", "", ""))
            .await;
        phone.expect_status(503).await;
    });
}

#[test]
fn a_manager_message_goes_to_its_claimant_and_an_unclaimed_one_gets_an_error() {
    in_virtual_time(async {
        let (_world, mut kit) = world().await;
        let mut session = kit.session();
        let presence = manager::Message::Presence(Box::default());
        session.bring(presence.clone());
        session.say("<xml><type>WEATHER</type></xml>");
        let claimed = kit.module(ECHO).manager().await;
        assert_eq!(claimed.message, presence);
        let error = session.document().await;
        assert!(
            error.contains("ERROR") && error.contains("WEATHER"),
            "{error}"
        );
        // It has been dealt with, so the session may read on.
        assert_eq!(session.credit().await, 1);
    });
}

#[test]
fn what_belongs_to_another_shard_is_handed_over() {
    in_virtual_time(async {
        let world = World::new(1, &["server", "phone"]);
        let settings = Settings {
            shards: 2,
            ..Settings::default()
        };
        let local = std::net::Ipv4Addr::UNSPECIFIED.into();
        let kit = EndpointKit::start_with(world.network("server"), table(), settings, local).await;
        let mut peer = Probe::<HandOver>::start();
        kit.endpoint.do_send(SetPeers(vec![
            kit.endpoint.clone().recipient(),
            peer.recipient(),
        ]));
        let mut phone = kit.udp_peer(&world.network("phone")).await;
        // A response whose branch begins with shard 1.
        let via = format!("SIP/2.0/UDP {};branch=z9hG4bK01{:016x}", kit.udp(), 7);
        let response = format!(
            "SIP/2.0 200 OK\r\nVia: {via}\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: x\r\n\
             CSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n"
        );
        phone.send(&response).await;
        let HandOver(items) = peer.next().await;
        match &items[..] {
            [Handed::Received(flow, bytes)] => {
                assert_eq!(
                    (flow.remote, &bytes[..]),
                    (phone.local(), response.as_bytes())
                );
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_panic_of_the_core_costs_its_transactions_and_nothing_else() {
    in_virtual_time(async {
        let (world, mut kit) = world().await;
        let mut phone = kit.udp_peer(&world.network("phone")).await;
        phone
            .send(phone.request("MESSAGE", "sip:echo@server", "", ""))
            .await;
        let before = kit.module(ECHO).request().await;
        kit.module(LOOKER).next().await;
        let silent = Destination::Address(Transport::Udp, world.addr("other", 5060));
        kit.module(ECHO)
            .send(message_to("sip:silent@other", silent));

        kit.endpoint.send(Fault).await.expect("an answer");
        assert_eq!(failure(kit.module(ECHO)).await, "the endpoint failed");
        phone.expect_status(500).await;

        phone
            .send(phone.request("MESSAGE", "sip:echo@server", "", ""))
            .await;
        let after = kit.module(ECHO).request().await;
        assert_ne!(before.transaction, after.transaction);
        // Too late, and of nobody's who asks now.
        kit.module(ECHO).answer(&before, StatusCode::FORBIDDEN);
        kit.module(ECHO).answer(&after, StatusCode::OK);
        phone.expect_status(200).await;
    });
}

#[test]
fn a_snapshot_shows_sockets_and_counters() {
    in_virtual_time(async {
        let (world, kit) = world().await;
        let mut phone = kit.udp_peer(&world.network("phone")).await;
        phone.send("\r\n\r\n").await;
        phone
            .send(phone.request("OPTIONS", "sip:server", "", ""))
            .await;
        phone.expect_status(200).await;
        let snapshot = kit.endpoint.send(TakeSnapshot).await.expect("an answer");
        assert_eq!(snapshot["actor"], "endpoint");
        assert_eq!(snapshot["listening"][0], format!("udp:{}", kit.udp()));
        assert_eq!(
            (&snapshot["in_flight"], &snapshot["connections"]),
            (&0.into(), &0.into())
        );
        let transport = &snapshot["counters"]["transport"];
        assert_eq!(
            (&transport["datagrams_received"], &transport["keep_alives"]),
            (&2.into(), &1.into())
        );
    });
}

#[test]
fn behind_a_translator_peers_are_told_the_advertised_address() {
    in_virtual_time(async {
        let (world, mut kit) = world().await;
        let advertise = Some("198.51.100.7:0".parse().expect("an address"));
        let addr = world.addr("server", 7000);
        let listen = Listen {
            transport: Transport::Udp,
            addr,
            advertise,
        };
        kit.endpoint
            .send(listen)
            .await
            .expect("an answer")
            .expect("a free port");
        let phone_at = world.addr("phone", 5060);
        let mut phone = SipPeer::udp(&world.network("phone"), phone_at, addr).await;
        phone
            .send(phone.request("MESSAGE", "sip:echo@server", "", ""))
            .await;
        let incoming = kit.module(ECHO).request().await;
        assert_eq!(incoming.flow.local.to_string(), "198.51.100.7:7000");
        // What goes back over that flow leaves from the socket behind it.
        kit.module(ECHO).answer(&incoming, StatusCode::OK);
        phone.expect_status(200).await;
    });
}

#[test]
fn the_same_seed_gives_the_same_trace_of_datagrams() {
    use std::hash::{Hash, Hasher};
    use std::sync::{Arc, Mutex};
    let trace = |seed| {
        in_virtual_time(async move {
            let world = World::new(seed, &["server", "phone", "other"]);
            let ms = Duration::from_millis;
            let link = Link {
                delay: ms(5),
                jitter: ms(30),
                loss: 0.2,
                duplicate: 0.1,
                ..Link::default()
            };
            world.memory().set_default_link(link);
            let seen = Arc::new(Mutex::new((rustc_hash::FxHasher::default(), 0)));
            let sink = Arc::clone(&seen);
            world.memory().observe(move |d| {
                let mut sink = sink.lock().expect("a hasher");
                (d.at, d.from, d.to, d.fate, d.carrier, d.bytes).hash(&mut sink.0);
                sink.1 += 1;
            });
            let mut kit = EndpointKit::start(world.network("server"), table()).await;
            let mut phone = kit.udp_peer(&world.network("phone")).await;
            let mut other = kit.tcp_peer(&world.network("other")).await;
            for _ in 0..200 {
                phone
                    .send(phone.request("OPTIONS", "sip:server", "", ""))
                    .await;
                other
                    .send(other.request("OPTIONS", "sip:server", "", ""))
                    .await;
                kit.module(ECHO)
                    .send(message_to("sip:bob@other", Destination::NextHop));
                other.expect_status(200).await;
            }
            tokio::time::sleep(Duration::from_secs(60)).await;
            let seen = seen.lock().expect("a hasher");
            (seen.0.finish(), seen.1)
        })
    };
    let (digest, count) = trace(1);
    assert!(count > 2_000, "{count}");
    assert_eq!(trace(1), (digest, count));
    assert_ne!(trace(2).0, digest);
}
