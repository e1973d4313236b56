//! Connections of the Endpoint actor: used again, closed, slow, half done.

use super::*;

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

/// Each answer is two bytes long, but takes far more while it waits.
#[test]
fn a_peer_that_asks_for_keep_alives_and_reads_none_loses_its_connection() {
    in_virtual_time(async {
        let (world, mut kit) = world().await;
        let mut deaf = kit.tcp_peer(&world.network("other")).await;
        // More than fill the window of the memory network, and a sixth of what their bytes alone would have to be.
        deaf.send("\r\n\r\n".repeat(160_000)).await;
        kit.module(ECHO).closed().await;
    });
}

#[test]
fn connections_that_are_being_opened_count_as_well() {
    in_virtual_time(async {
        let world = World::new(1, &["server", "far"]);
        let endpoint = endpoint(
            &world,
            true,
            Admission {
                rules: Rules {
                    most: 2,
                    ..Rules::default()
                },
                ..Admission::default()
            },
        );
        world.partition("server", "far");
        let mut module = Probe::<ToModule>::start();
        endpoint.do_send(Attach {
            module: ECHO,
            recipients: vec![module.recipient()],
        });
        let outputs = (1..=3).map(|port| {
            let to = Destination::Address(Transport::Tcp, world.addr("far", port));
            ModuleOutput::Send(message_to("sip:echo@far", to))
        });
        endpoint.do_send(FromModule {
            module: ECHO,
            shard: 0,
            outputs: outputs.collect(),
        });
        let ToModule(inputs) = module.next().await;
        match &inputs[..] {
            [ModuleInput::Outcome(outcome)] => assert!(
                matches!(&outcome.result, OutcomeResult::TransportError(reason) if reason.starts_with("there are too many connections")),
                "{outcome:?}"
            ),
            other => panic!("{other:?}"),
        }
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
