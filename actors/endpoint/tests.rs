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
use crate::messages::SessionId;
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

async fn world() -> (World, EndpointKit) {
    let world = World::new(1, &["server", "phone", "other"]);
    world
        .memory()
        .set_default_link(Link::delayed(Duration::from_millis(10)));
    let kit = EndpointKit::start(world.network("server"), table()).await;
    (world, kit)
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
fn a_request_over_tcp_is_answered_over_its_connection_and_so_is_one_sent_to_its_flow() {
    in_virtual_time(async {
        let (world, mut kit) = world().await;
        let mut phone = kit.tcp_peer(&world.network("phone")).await;
        phone
            .send(phone.request("MESSAGE", "sip:echo@server", "", "hello"))
            .await;
        let incoming = kit.module(ECHO).request().await;
        assert_eq!(Connections::owner(incoming.flow.connection), 0);
        kit.module(ECHO).answer(&incoming, StatusCode::OK);
        phone.expect_status(200).await;

        kit.module(ECHO).send(message_to(
            "sip:phone@phone",
            Destination::Flow(incoming.flow),
        ));
        let request = phone.expect_request("MESSAGE").await;
        let contact = format!("<sip:{};transport=tcp>", kit.tcp());
        assert_eq!(
            request.text(Name::Contact).as_deref(),
            Some(contact.as_str())
        );
        phone.answer(&request, "202 Accepted", "").await;
        assert_eq!(status(kit.module(ECHO)).await, (202, incoming.flow));
    });
}

#[test]
fn a_name_is_resolved_once_and_a_connection_opened_once_for_all_who_wait() {
    in_virtual_time(async {
        let (world, mut kit) = world().await;
        let other = world.network("other");
        let listener = other
            .listen(world.addr("other", 5060))
            .await
            .expect("a listener");
        for _ in 0..3 {
            kit.module(ECHO).send(message_to(
                "sip:bob@other;transport=tcp",
                Destination::NextHop,
            ));
        }
        let mut bob = SipPeer::over(listener.accept().await.expect("a connection").0);
        for _ in 0..3 {
            let request = bob.expect_request("MESSAGE").await;
            bob.answer(&request, "200 OK", "").await;
            assert_eq!(status(kit.module(ECHO)).await.0, 200);
        }
        assert_eq!(world.memory().statistics().connected, 1);
        // And once more, over the connection that stands.
        kit.module(ECHO).send(message_to(
            "sip:bob@other;transport=tcp",
            Destination::NextHop,
        ));
        bob.expect_request("MESSAGE").await;
        assert_eq!(world.memory().statistics().connected, 1);
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
                .contains("nowhere does not resolve")
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
fn a_closed_connection_is_told_to_modules_and_ends_what_was_sent_over_it() {
    in_virtual_time(async {
        let (world, mut kit) = world().await;
        let mut phone = kit.tcp_peer(&world.network("phone")).await;
        phone
            .send(phone.request("MESSAGE", "sip:echo@server", "", ""))
            .await;
        let incoming = kit.module(ECHO).request().await;
        kit.module(ECHO).answer(&incoming, StatusCode::OK);
        phone.expect_status(200).await;
        kit.module(ECHO).send(message_to(
            "sip:phone@phone",
            Destination::Flow(incoming.flow),
        ));
        phone.expect_request("MESSAGE").await;
        drop(phone);
        assert_eq!(failure(kit.module(ECHO)).await, "connection closed");
        assert_eq!(kit.module(ECHO).closed().await, incoming.flow.connection);
    });
}

#[test]
fn a_peer_that_ends_its_side_still_gets_the_answer_it_is_owed() {
    in_virtual_time(async {
        let (world, mut kit) = world().await;
        let mut phone = kit.tcp_peer(&world.network("phone")).await;
        phone
            .send(phone.request("MESSAGE", "sip:echo@server", "", ""))
            .await;
        phone.finish().await;
        let incoming = kit.module(ECHO).request().await;
        kit.module(ECHO).answer(&incoming, StatusCode::OK);
        phone.expect_status(200).await;
        phone.expect_close().await;
        kit.module(ECHO).closed().await;
    });
}

#[test]
fn a_peer_that_does_not_read_loses_its_connection_and_nobody_else_waits() {
    in_virtual_time(async {
        let (world, mut kit) = world().await;
        let mut deaf = kit.tcp_peer(&world.network("other")).await;
        let mut phone = kit.tcp_peer(&world.network("phone")).await;
        deaf.send(deaf.request("MESSAGE", "sip:echo@server", "", ""))
            .await;
        let flow = kit.module(ECHO).request().await.flow;
        for _ in 0..40 {
            let body = Bytes::from(vec![b'x'; 60_000]);
            let outgoing = message_to("sip:other@other", Destination::Flow(flow));
            kit.module(ECHO).send(Outgoing { body, ..outgoing });
        }
        phone
            .send(phone.request("OPTIONS", "sip:server", "", ""))
            .await;
        phone.expect_status(200).await;
        loop {
            match kit.module(ECHO).next().await {
                ModuleInput::ConnectionClosed(connection) => {
                    break assert_eq!(connection, flow.connection);
                }
                ModuleInput::Outcome(_) => {}
                other => panic!("{other:?}"),
            }
        }
        phone
            .send(phone.request("OPTIONS", "sip:server", "", ""))
            .await;
        phone.expect_status(200).await;
    });
}

#[test]
fn half_a_message_is_waited_for_and_a_sender_that_never_ends_it_is_closed() {
    in_virtual_time(async {
        let (world, kit) = world().await;
        let mut phone = kit.tcp_peer(&world.network("phone")).await;
        let start = Instant::now();
        phone.send("OPTIONS sip:server SIP/2.0\r\nVia: ").await;
        // It is looked at every 32 seconds; the peer waits no longer than its own limit for one thing.
        tokio::time::advance(Duration::from_secs(31)).await;
        phone.expect_close().await;
        assert!(
            start.elapsed() > Duration::from_secs(32) && start.elapsed() < Duration::from_secs(65)
        );
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
        let mut session = Probe::<ToSession>::start();
        let other = manager::Message::Other {
            kind: "WEATHER".to_owned(),
            document: String::new(),
        };
        let presence = manager::Message::Presence(Box::default());
        for message in [presence.clone(), other] {
            kit.endpoint.do_send(ManagerIncoming {
                session: SessionId(5),
                reply: session.recipient(),
                message,
            });
        }
        let claimed = kit.module(ECHO).manager().await;
        assert_eq!((claimed.session, claimed.message), (SessionId(5), presence));
        match session.next().await {
            ToSession::Send(manager::Message::Error(text)) => {
                assert!(text.contains("WEATHER"), "{text}")
            }
            other => panic!("{other:?}"),
        }
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
        let mut guarded = Guarded::new(Settings::default(), table(), Entropy::from_number(1));
        let mut out = Vec::new();
        let connection = rollcall_core::exchange::ConnectionId(1);
        out.push(Effect::Close { connection });
        let went_well = guarded.ask(Timestamp::default(), &mut out, |_, _, out| {
            out.push(Effect::Close { connection });
            panic!("a bug");
        });
        assert!(!went_well);
        assert_eq!(out.len(), 1, "what came before the panic stays");
        assert!(
            guarded.ask(Timestamp::default(), &mut out, |core, now, out| core
                .wake(now, out))
        );
    });
}

#[test]
fn after_shutdown_the_ports_are_free_and_the_actor_is_gone() {
    in_virtual_time(async {
        let (world, kit) = world().await;
        let mut phone = kit.tcp_peer(&world.network("phone")).await;
        phone
            .send(phone.request("OPTIONS", "sip:server", "", ""))
            .await;
        phone.expect_status(200).await;
        kit.endpoint.send(Shutdown).await.expect("an answer");
        phone.expect_close().await;
        assert!(!kit.endpoint.connected());
        let server = world.network("server");
        server
            .datagram(kit.udp(), false)
            .await
            .expect("a free UDP port");
        server.listen(kit.tcp()).await.expect("a free TCP port");
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
        let transport = &snapshot["counters"]["transport"];
        assert_eq!(
            (&transport["datagrams_received"], &transport["keep_alives"]),
            (&2.into(), &1.into())
        );
    });
}
