//! The endpoint over real sockets on loopback, with one small module: what SIP peers get, right or wrong.
//!
//! Promises:
//! - every request is answered, over the way it came, with the status that RFC 3261 gives its fault;
//! - retransmissions get the same bytes;
//! - streams are framed whatever their segments are; broken framing is answered, then closed;
//! - IPv6 is served like IPv4.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rollcall::core::endpoint::{ModuleId, ModuleTable, Route, Settings, Sharding};
use rollcall::core::sip::{Method, Name, StatusCode};
use rollcall::testkit::{EndpointKit, SipPeer, in_real_time, wire};
use rollcall::transport::Network;

mod stream;

const PRESENCE: ModuleId = ModuleId(1);

fn table() -> ModuleTable {
    let routes = [
        Route::package(Method::Publish, "presence"),
        Route::package(Method::Subscribe, "presence"),
    ];
    ModuleTable::builder()
        .module(PRESENCE, "presence", &routes, Sharding::One)
        .accepts(&["application/pidf+xml"])
        .build()
        .expect("no conflict")
}

async fn started() -> EndpointKit {
    EndpointKit::start(Network::Real, table()).await
}

async fn started_at(local: IpAddr) -> EndpointKit {
    EndpointKit::start_with(Network::Real, table(), Settings::default(), local).await
}

async fn udp(kit: &EndpointKit) -> SipPeer {
    kit.udp_peer(&Network::Real).await
}

async fn tcp(kit: &EndpointKit) -> SipPeer {
    kit.tcp_peer(&Network::Real).await
}

/// Sends a request and gives the status of what comes back.
async fn answer_to(peer: &mut SipPeer, request: impl AsRef<[u8]>) -> u16 {
    peer.send(request).await;
    peer.expect().await.status().expect("a response").code()
}

fn options(peer: &SipPeer) -> String {
    peer.request("OPTIONS", "sip:rollcall", "", "")
}

#[test]
fn options_is_answered_over_udp_and_tcp_with_what_the_modules_can() {
    in_real_time(async {
        let kit = started().await;
        for mut peer in [udp(&kit).await, tcp(&kit).await] {
            peer.send(options(&peer)).await;
            let response = peer.expect_status(200).await;
            assert_eq!(
                response.text(Name::Allow).as_deref(),
                Some("OPTIONS, PUBLISH, SUBSCRIBE")
            );
            assert_eq!(
                response.text(Name::AllowEvents).as_deref(),
                Some("presence")
            );
            assert_eq!(
                response.text(Name::Accept).as_deref(),
                Some("application/pidf+xml")
            );
            assert!(response.to_tag().is_some());
        }
    });
}

#[test]
fn ipv6_is_served_like_ipv4() {
    in_real_time(async {
        let mut kit = started_at(Ipv6Addr::LOCALHOST.into()).await;
        for mut peer in [udp(&kit).await, tcp(&kit).await] {
            assert!(peer.local().is_ipv6());
            let ask = options(&peer);
            assert_eq!(answer_to(&mut peer, ask).await, 200);
            peer.send(peer.request("PUBLISH", "sip:a@rollcall", "Event: presence\n", ""))
                .await;
            let incoming = kit.module(PRESENCE).request().await;
            assert_eq!(incoming.flow.remote, peer.local());
            kit.module(PRESENCE).answer(&incoming, StatusCode::OK);
            peer.expect_status(200).await;
        }
    });
}

#[test]
fn a_socket_on_the_unspecified_address_tells_the_address_that_the_peer_took() {
    in_real_time(async {
        let mut kit = started_at(Ipv4Addr::UNSPECIFIED.into()).await;
        let at = |port| (Ipv4Addr::LOCALHOST, port).into();
        let mut over_udp = SipPeer::udp(&Network::Real, at(0), at(kit.udp().port())).await;
        let mut over_tcp = SipPeer::tcp(&Network::Real, at(kit.tcp().port())).await;
        for peer in [&mut over_udp, &mut over_tcp] {
            peer.send(peer.request("PUBLISH", "sip:a@rollcall", "Event: presence\n", ""))
                .await;
            let incoming = kit.module(PRESENCE).request().await;
            assert_eq!(incoming.flow.local, peer.remote());
        }
    });
}

#[test]
fn what_nobody_has_claimed_is_refused_by_method_or_by_package() {
    in_real_time(async {
        let kit = started().await;
        let mut peer = udp(&kit).await;
        peer.send(peer.request("MESSAGE", "sip:a@rollcall", "", ""))
            .await;
        let response = peer.expect_status(405).await;
        assert_eq!(
            response.text(Name::Allow).as_deref(),
            Some("OPTIONS, PUBLISH, SUBSCRIBE")
        );

        peer.send(peer.request("SUBSCRIBE", "sip:a@rollcall", "Event: dialog\n", ""))
            .await;
        let response = peer.expect_status(489).await;
        assert_eq!(
            response.text(Name::AllowEvents).as_deref(),
            Some("presence")
        );

        let unknown = peer.request("DANCE", "sip:a@rollcall", "", "");
        assert_eq!(answer_to(&mut peer, unknown).await, 501);
    });
}

#[test]
fn faults_of_a_request_get_the_status_that_names_them() {
    in_real_time(async {
        let kit = started().await;
        let mut peer = udp(&kit).await;
        let changed = |from: &str, to: &str| options(&peer).replace(from, to);
        let faulty = [
            (505, changed("SIP/2.0\r\nVia", "SIP/7.0\r\nVia")),
            // For OPTIONS the last hop is the one that is asked (RFC 3261, 11).
            (200, changed("Max-Forwards: 70", "Max-Forwards: 0")),
            (400, changed("From: <sip:", "From: <<<sip:")),
            (400, changed(" OPTIONS\r\n", " PUBLISH\r\n")),
            (400, changed("Call-ID: ", "X-Call-ID: ")),
            (400, changed("Content-Length: 0", "Content-Length: 10")),
            (
                416,
                changed("OPTIONS sip:rollcall", "OPTIONS soap:rollcall"),
            ),
            (
                420,
                changed("Content-Length", "Require: magic\r\nContent-Length"),
            ),
            (481, changed("OPTIONS", "CANCEL")),
        ];
        for (status, request) in faulty {
            peer.send(&request).await;
            let response = peer.expect().await;
            let got = response.status().map(|s| s.code());
            assert_eq!(
                got,
                Some(status),
                "to\n{request}\n{}",
                String::from_utf8_lossy(&response.raw())
            );
            if status == 420 {
                assert_eq!(response.text(Name::Unsupported).as_deref(), Some("magic"));
            }
        }
    });
}

#[test]
fn what_is_not_sip_is_dropped_and_nothing_else_suffers() {
    in_real_time(async {
        let kit = started().await;
        let mut peer = udp(&kit).await;
        for rubbish in [
            "",
            "\0\0\0\0",
            "hello",
            "\r\n\r\n",
            "SIP/2.0 200 OK\r\n\r\n",
            "ACK sip:x SIP/2.0\r\n\r\n",
        ] {
            peer.send(rubbish).await;
        }
        let ask = options(&peer);
        assert_eq!(answer_to(&mut peer, ask).await, 200);
    });
}

#[test]
fn the_answer_goes_to_where_the_request_came_from_and_says_so() {
    in_real_time(async {
        let kit = started().await;
        let mut peer = udp(&kit).await;
        // As if behind a translator: neither host nor port of the Via are the peer's own.
        let hidden =
            options(&peer).replace(&format!("UDP {}", peer.local()), "UDP 192.168.9.9:5060");
        peer.send(hidden).await;
        let via = peer.expect_status(200).await.via().expect("a Via");
        assert_eq!(via.params.get("received"), Some("127.0.0.1"));
        assert_eq!(
            via.params.get("rport"),
            Some(peer.local().port().to_string().as_str())
        );
    });
}

#[test]
fn a_retransmission_gets_the_same_bytes_and_the_module_sees_one_request() {
    in_real_time(async {
        let mut kit = started().await;
        let mut peer = udp(&kit).await;
        let publish = peer.request("PUBLISH", "sip:a@rollcall", "Event: presence\n", "");
        peer.send(&publish).await;
        peer.send(&publish).await;
        let incoming = kit.module(PRESENCE).request().await;
        kit.module(PRESENCE).answer(&incoming, StatusCode::OK);
        let first = peer.expect_status(200).await;
        peer.send(&publish).await;
        let second = peer.expect_status(200).await;
        assert_eq!(first.raw(), second.raw());

        // The next thing the module sees is the next request.
        peer.send(peer.request("PUBLISH", "sip:b@rollcall", "Event: presence\n", ""))
            .await;
        assert_eq!(
            kit.module(PRESENCE).request().await.message.uri_text(),
            "sip:b@rollcall"
        );
    });
}

#[test]
fn the_same_request_by_two_ways_is_answered_482_the_second_time() {
    in_real_time(async {
        let mut kit = started().await;
        let mut peer = udp(&kit).await;
        let publish = peer.request("PUBLISH", "sip:a@rollcall", "Event: presence\n", "");
        peer.send(&publish).await;
        let incoming = kit.module(PRESENCE).request().await;
        let other_branch = publish.replace(";rport", "other;rport");
        assert_eq!(answer_to(&mut peer, other_branch).await, 482);
        kit.module(PRESENCE).answer(&incoming, StatusCode::OK);
        peer.expect_status(200).await;
    });
}

#[test]
fn the_largest_datagram_is_taken() {
    in_real_time(async {
        let mut kit = started().await;
        let mut peer = udp(&kit).await;
        let body = "x".repeat(60_000);
        peer.send(peer.request("PUBLISH", "sip:a@rollcall", "Event: presence\n", &body))
            .await;
        let incoming = kit.module(PRESENCE).request().await;
        assert_eq!(incoming.message.body().len(), 60_000);
    });
}

#[test]
fn compact_and_folded_headers_are_understood() {
    in_real_time(async {
        let mut kit = started().await;
        let mut peer = udp(&kit).await;
        let local = peer.local();
        let head = wire(&format!(
            "PUBLISH sip:a@rollcall SIP/2.0
            v: SIP/2.0/UDP {local}FOLD;branch=z9hG4bKcompact;rport
            f: <sip:a@rollcall>;tag=1
            t: <sip:a@rollcall>
            i: compact
            CSeq: 1FOLDPUBLISH
            o: presence
            l: 0
            "
        ));
        peer.send(head.replace("FOLD", "\r\n  ")).await;
        let incoming = kit.module(PRESENCE).request().await;
        assert_eq!(incoming.message.call_id().ok(), Some("compact"));
        kit.module(PRESENCE).answer(&incoming, StatusCode::OK);
        let response = peer.expect_status(200).await;
        assert_eq!(
            response.via().expect("a Via").branch(),
            Some("z9hG4bKcompact")
        );
    });
}

#[test]
fn over_its_limit_of_open_requests_the_endpoint_answers_503_with_retry_after() {
    in_real_time(async {
        let settings = Settings {
            max_in_flight: 2,
            ..Settings::default()
        };
        let mut kit =
            EndpointKit::start_with(Network::Real, table(), settings, Ipv4Addr::LOCALHOST.into())
                .await;
        let mut peer = udp(&kit).await;
        let mut open = Vec::new();
        for n in 0..2 {
            peer.send(peer.request(
                "PUBLISH",
                &format!("sip:{n}@rollcall"),
                "Event: presence\n",
                "",
            ))
            .await;
            open.push(kit.module(PRESENCE).request().await);
        }
        peer.send(peer.request("PUBLISH", "sip:2@rollcall", "Event: presence\n", ""))
            .await;
        let refused = peer.expect_status(503).await;
        assert!(refused.has(Name::RetryAfter));

        kit.module(PRESENCE).answer(&open[0], StatusCode::OK);
        peer.expect_status(200).await;
        peer.send(peer.request("PUBLISH", "sip:3@rollcall", "Event: presence\n", ""))
            .await;
        assert_eq!(
            kit.module(PRESENCE).request().await.message.uri_text(),
            "sip:3@rollcall"
        );
    });
}

#[test]
fn a_port_in_use_is_an_error_for_udp_and_tcp_shared_or_not() {
    use rollcall::core::exchange::Transport;
    use rollcall::endpoint::Listen;
    in_real_time(async {
        let taken = EndpointKit::start_with(
            Network::Real,
            table(),
            Settings {
                shards: 2,
                ..Settings::default()
            },
            Ipv4Addr::LOCALHOST.into(),
        )
        .await;
        for shards in [1, 2] {
            let settings = Settings {
                shards,
                ..Settings::default()
            };
            let kit = EndpointKit::start_with(
                Network::Real,
                table(),
                settings,
                Ipv4Addr::LOCALHOST.into(),
            )
            .await;
            for (transport, addr) in [(Transport::Udp, taken.udp()), (Transport::Tcp, taken.tcp())]
            {
                let listen = Listen {
                    transport,
                    addr,
                    advertise: None,
                };
                assert!(
                    kit.endpoint.send(listen).await.expect("an answer").is_err(),
                    "{transport} {shards}"
                );
            }
        }
    });
}

#[test]
fn a_burst_of_requests_is_answered_one_by_one() {
    in_real_time(async {
        let kit = started().await;
        let mut peer = tcp(&kit).await;
        let burst: String = (0..300).map(|_| options(&peer)).collect();
        peer.send(burst).await;
        for n in 1..=300 {
            let response = peer.expect_status(200).await;
            assert_eq!(response.cseq().expect("a CSeq").number, n);
        }
    });
}
