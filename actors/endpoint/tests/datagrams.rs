//! What goes out over UDP at the end of a pass: in which order, and that all of it does.

use rollcall_core::exchange::Reply;

use super::*;

/// A request to a UDP address, with a body of so many bytes that tells its number.
fn numbered(number: usize, body: usize, to: SocketAddr) -> ModuleOutput {
    let mut outgoing = message_to("sip:bob@phone", Destination::Address(Transport::Udp, to));
    outgoing.body = Bytes::from(format!("{number:0body$}"));
    ModuleOutput::Send(outgoing)
}

/// The number that a request tells.
fn number(request: &rollcall_core::sip::Message) -> usize {
    let body = request.body();
    std::str::from_utf8(&body)
        .ok()
        .and_then(|text| text.parse().ok())
        .expect("a number")
}

async fn transport_counter(kit: &EndpointKit, name: &str) -> u64 {
    let snapshot = kit.endpoint.send(TakeSnapshot).await.expect("an answer");
    snapshot["counters"]["transport"][name]
        .as_u64()
        .expect("a counter")
}

#[test]
fn requests_to_a_place_keep_their_order_and_come_after_the_responses() {
    in_virtual_time(async {
        let (world, mut kit) = world().await;
        let mut phone = kit.udp_peer(&world.network("phone")).await;
        let mut asked = Vec::new();
        for _ in 0..3 {
            phone
                .send(phone.request("MESSAGE", "sip:echo@server", "", ""))
                .await;
            asked.push(kit.module(ECHO).request().await);
        }
        // Sizes that go together, and some that don't.
        let body = |n: usize| 500 + 7 * (n % 5) + 350 * usize::from(n % 50 == 49);
        let mut outputs: Vec<_> = (0..150)
            .map(|n| numbered(n, body(n), phone.local()))
            .collect();
        let statuses = [200, 202, 403].map(|code| StatusCode::new(code).expect("a status"));
        for (at, (incoming, status)) in asked.iter().zip(statuses).enumerate() {
            let reply = Reply::new(incoming.transaction, status);
            outputs.insert(50 * at + 1, ModuleOutput::Reply(reply));
        }
        kit.module(ECHO).outputs(outputs);
        for code in [200, 202, 403] {
            phone.expect_status(code).await;
        }
        for n in 0..150 {
            let request = phone.expect_request("MESSAGE").await;
            assert_eq!((number(&request), request.body().len()), (n, body(n)));
        }
        assert_eq!(transport_counter(&kit, "datagrams_sent").await, 153);
        // The responses are one bundle; of the requests 49 go together, and then one that is too long for them.
        let statistics = world.memory().statistics();
        assert_eq!((statistics.sent, statistics.bundles), (156, 4));
    });
}

#[test]
fn more_places_and_more_datagrams_than_are_kept_all_get_theirs() {
    in_virtual_time(async {
        let (world, mut kit) = world().await;
        let mut phones = Vec::new();
        for _ in 0..40 {
            phones.push(kit.udp_peer(&world.network("phone")).await);
        }
        let places: Vec<_> = phones.iter().map(SipPeer::local).collect();
        let outputs = (0..400).map(|n| numbered(n, 10, places[n % 40]));
        let to_one = (400..1000).map(|n| numbered(n, 10, places[0]));
        kit.module(ECHO).outputs(outputs.chain(to_one).collect());
        for (at, phone) in phones.iter_mut().enumerate() {
            for n in 0..10 {
                assert_eq!(number(&phone.expect_request("MESSAGE").await), at + 40 * n);
            }
        }
        for n in 400..1000 {
            assert_eq!(number(&phones[0].expect_request("MESSAGE").await), n);
        }
    });
}

#[test]
fn where_a_bundle_is_refused_its_datagrams_go_alone() {
    in_virtual_time(async {
        let (world, mut kit) = world().await;
        world.memory().set_default_link(Link {
            largest_in_bundle: Some(1000),
            ..Link::default()
        });
        let mut phone = kit.udp_peer(&world.network("phone")).await;
        // None of the first two sizes goes in a bundle, as is learned from the largest first.
        let body = |n: usize| [970, 800, 300][n / 20];
        let outputs = (0..60).map(|n| numbered(n, body(n), phone.local()));
        kit.module(ECHO).outputs(outputs.collect());
        for n in 0..60 {
            let request = phone.expect_request("MESSAGE").await;
            assert_eq!((number(&request), request.body().len()), (n, body(n)));
        }
        assert_eq!(transport_counter(&kit, "socket_errors").await, 0);
    });
}

#[test]
fn what_can_not_be_sent_ends_each_of_its_requests() {
    in_virtual_time(async {
        let (world, mut kit) = world().await;
        let places = [1, 2, 1, 1].map(|port| world.addr("phone", port));
        world.memory().crash(&world.host("server"));
        let outputs = (0..4).map(|n| numbered(n, 10, places[n]));
        kit.module(ECHO).outputs(outputs.collect());
        for _ in 0..4 {
            let reason = failure(kit.module(ECHO)).await;
            assert!(reason.contains("not connected"), "{reason}");
        }
        assert_eq!(transport_counter(&kit, "socket_errors").await, 4);
        assert_eq!(transport_counter(&kit, "datagrams_sent").await, 0);
    });
}

#[test]
fn without_offload_each_datagram_goes_alone() {
    in_virtual_time(async {
        let world = World::new(1, &["server", "phone"]);
        let endpoint = endpoint(&world, false, admission(2));
        let listen = Listen {
            transport: Transport::Udp,
            addr: world.addr("server", 5060),
            advertise: None,
        };
        let bound = endpoint.send(listen).await.expect("an answer");
        let server = bound.expect("a free port");
        let network = world.network("phone");
        let mut phone = SipPeer::udp(&network, world.addr("phone", 5060), server).await;
        let outputs = (0..20).map(|n| numbered(n, 10, phone.local())).collect();
        endpoint.do_send(FromModule {
            module: ECHO,
            shard: 0,
            outputs,
        });
        for n in 0..20 {
            assert_eq!(number(&phone.expect_request("MESSAGE").await), n);
        }
        let statistics = world.memory().statistics();
        assert_eq!((statistics.sent, statistics.bundles), (20, 0));
    });
}
