//! Requests to a domain with several servers: found by NAPTR and SRV, and left for the next one when they fail.

use rollcall_core::resolve::{Answer, Naptr, Question, Srv};

use super::*;

const DOMAIN: &str = "example.test";

/// Lets the domain's servers of this service be there, one after the other.
fn serve(world: &World, service: &str, servers: &[(&str, u16)]) {
    let records = servers.iter().zip(1..).map(|((host, port), priority)| Srv {
        priority,
        weight: 0,
        port: *port,
        target: format!("{host}."),
    });
    world.memory().answer(
        Question::Srv(format!("{service}.{DOMAIN}")),
        Answer::Srv(records.collect()),
    );
}

async fn peer(world: &World, kit: &EndpointKit, host: &str, port: u16) -> SipPeer {
    SipPeer::udp(&world.network(host), world.addr(host, port), kit.udp()).await
}

fn to_domain(destination: Destination) -> Outgoing {
    message_to("sip:bob@example.test", destination)
}

async fn core_counter(kit: &EndpointKit, name: &str) -> u64 {
    let snapshot = kit.endpoint.send(TakeSnapshot).await.expect("an answer");
    snapshot["counters"]["core"][name]
        .as_u64()
        .expect("a counter")
}

#[test]
fn naptr_and_srv_lead_to_the_server_and_its_port() {
    in_virtual_time(async {
        let (world, mut kit) = world().await;
        world.memory().answer(
            Question::Naptr(DOMAIN.to_owned()),
            Answer::Naptr(vec![Naptr {
                order: 1,
                preference: 1,
                flags: "s".to_owned(),
                services: "SIP+D2T".to_owned(),
                regexp: String::new(),
                replacement: format!("_sip._tcp.{DOMAIN}"),
            }]),
        );
        serve(&world, "_sip._tcp", &[("other", 5099)]);
        serve(&world, "_sip._udp", &[("other", 5060)]);
        let other = world.network("other");
        let listener = other
            .listen(world.addr("other", 5099))
            .await
            .expect("a listener");
        kit.module(ECHO).send(to_domain(Destination::NextHop));
        let mut bob = SipPeer::over(listener.accept().await.expect("a connection").0);
        let request = bob.expect_request("MESSAGE").await;
        bob.answer(&request, "200 OK", "").await;
        let (code, flow) = status(kit.module(ECHO)).await;
        assert_eq!((code, flow.remote), (200, world.addr("other", 5099)));
    });
}

#[test]
fn a_503_sends_the_request_to_the_next_server_and_the_first_is_avoided() {
    in_virtual_time(async {
        let (world, mut kit) = world().await;
        serve(&world, "_sip._udp", &[("phone", 5071), ("other", 5072)]);
        let mut first = peer(&world, &kit, "phone", 5071).await;
        let mut second = peer(&world, &kit, "other", 5072).await;
        kit.module(ECHO).send(to_domain(Destination::NextHop));
        let request = first.expect_request("MESSAGE").await;
        first
            .answer(&request, "503 Busy", "Retry-After: 60\r\n")
            .await;
        let again = second.expect_request("MESSAGE").await;
        let same = [Name::CallId, Name::CSeq, Name::From, Name::Contact];
        for name in same {
            assert_eq!(again.text(name), request.text(name));
        }
        let branch = |message: &rollcall_core::sip::Message| {
            let via = message.via().expect("a Via");
            via.branch().map(str::to_owned)
        };
        assert_ne!(branch(&again), branch(&request));
        second.answer(&again, "200 OK", "").await;
        assert_eq!(status(kit.module(ECHO)).await.0, 200);
        assert_eq!(core_counter(&kit, "failed_over").await, 1);

        kit.module(ECHO).send(to_domain(Destination::NextHop));
        let next = second.expect_request("MESSAGE").await;
        second.answer(&next, "200 OK", "").await;
        assert_eq!(status(kit.module(ECHO)).await.0, 200);
        assert_eq!(core_counter(&kit, "failed_over").await, 1, "at once");
        tokio::time::sleep(Duration::from_secs(60)).await;
        kit.module(ECHO).send(to_domain(Destination::NextHop));
        first.expect_request("MESSAGE").await;
    });
}

#[test]
fn a_server_that_is_silent_is_left_after_timer_f() {
    in_virtual_time(async {
        let (world, mut kit) = world().await;
        serve(&world, "_sip._udp", &[("phone", 5071), ("other", 5072)]);
        let mut second = peer(&world, &kit, "other", 5072).await;
        let start = Instant::now();
        kit.module(ECHO).send(to_domain(Destination::NextHop));
        let request = second.expect_request("MESSAGE").await;
        assert_eq!(start.elapsed().as_secs(), 32);
        second.answer(&request, "200 OK", "").await;
        assert_eq!(status(kit.module(ECHO)).await.0, 200);
    });
}

#[test]
fn over_tcp_the_servers_and_all_their_addresses_are_tried_in_turn() {
    in_virtual_time(async {
        let (world, mut kit) = world().await;
        serve(&world, "_sip._tcp", &[("phone", 5071), ("many", 5072)]);
        let here = world.addr("other", 0).ip();
        let nobody = world.addr("phone", 0).ip();
        world.memory().alias("many", &[nobody, here]);
        let other = world.network("other");
        let listener = other
            .listen(world.addr("other", 5072))
            .await
            .expect("a listener");
        let by_tcp = message_to("sip:bob@example.test;transport=tcp", Destination::NextHop);
        kit.module(ECHO).send(by_tcp);
        let mut bob = SipPeer::over(listener.accept().await.expect("a connection").0);
        let request = bob.expect_request("MESSAGE").await;
        bob.answer(&request, "200 OK", "").await;
        assert_eq!(status(kit.module(ECHO)).await.0, 200);
        assert_eq!(core_counter(&kit, "failed_over").await, 2);
    });
}

#[test]
fn when_all_servers_fail_the_request_ends_as_the_last_one_failed() {
    in_virtual_time(async {
        let (world, mut kit) = world().await;
        serve(&world, "_sip._tcp", &[("phone", 5071), ("other", 5072)]);
        let by_tcp = message_to("sip:bob@example.test;transport=tcp", Destination::NextHop);
        kit.module(ECHO).send(by_tcp);
        let reason = failure(kit.module(ECHO)).await;
        let last = world.addr("other", 5072).to_string();
        assert!(
            reason.starts_with(&last) && reason.contains("refused"),
            "{reason}"
        );
    });
}

#[test]
fn an_address_of_a_family_without_a_socket_is_passed_over() {
    in_virtual_time(async {
        let (world, mut kit) = world().await;
        let here = world.addr("other", 0).ip();
        let elsewhere = "2001:db8::1".parse().expect("an address");
        world.memory().alias(DOMAIN, &[elsewhere, here]);
        let mut bob = peer(&world, &kit, "other", 5060).await;
        kit.module(ECHO).send(to_domain(Destination::NextHop));
        let request = bob.expect_request("MESSAGE").await;
        bob.answer(&request, "200 OK", "").await;
        assert_eq!(status(kit.module(ECHO)).await.0, 200);
    });
}

#[test]
fn a_name_that_cannot_be_resolved_ends_its_requests_in_words() {
    in_virtual_time(async {
        let (world, mut kit) = world().await;
        world.memory().answer(
            Question::Address(DOMAIN.to_owned()),
            Answer::Failed("the DNS is on fire".to_owned()),
        );
        for _ in 0..3 {
            kit.module(ECHO).send(to_domain(Destination::NextHop));
        }
        for _ in 0..3 {
            assert_eq!(
                failure(kit.module(ECHO)).await,
                "no address for host example.test: the DNS is on fire"
            );
        }
        assert_eq!(core_counter(&kit, "names_unknown").await, 3);
    });
}
