//! Who may connect, who goes first, and what is not waited for.

use rollcall_core::exchange::Transport;

use super::*;

/// An endpoint at the host "server" with this admission, and a module behind it.
async fn served(
    world: &World,
    admission: Admission,
) -> (Addr<Endpoint>, SocketAddr, Probe<ToModule>) {
    let endpoint = endpoint(world, true, admission);
    let module = Probe::<ToModule>::start();
    endpoint.do_send(Attach {
        module: ECHO,
        recipients: vec![module.recipient()],
    });
    let listen = Listen {
        transport: Transport::Tcp,
        addr: world.addr("server", 5060),
        advertise: None,
    };
    let bound = endpoint.send(listen).await.expect("an answer");
    (endpoint, bound.expect("a free port"), module)
}

async fn counters(endpoint: &Addr<Endpoint>) -> serde_json::Value {
    let picture = endpoint.send(TakeSnapshot).await.expect("a picture");
    picture["counters"]["transport"].clone()
}

async fn is_served(peer: &mut SipPeer) {
    let request = peer.request("OPTIONS", "sip:server", "", "");
    peer.send(request).await;
    peer.expect_status(200).await;
}

#[test]
fn idle_ones_make_room_for_others_and_the_address_with_most_pays() {
    in_virtual_time(async {
        let world = World::new(1, &["server", "phone", "other", "third"]);
        let (endpoint, addr, _module) = served(&world, admission(3)).await;
        let mut greedy = Vec::new();
        for _ in 0..2 {
            let mut peer = SipPeer::tcp(&world.network("phone"), addr).await;
            is_served(&mut peer).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
            greedy.push(peer);
        }
        let mut other = SipPeer::tcp(&world.network("other"), addr).await;
        is_served(&mut other).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        let mut third = SipPeer::tcp(&world.network("third"), addr).await;
        is_served(&mut third).await;
        greedy.remove(0).expect_close().await;
        is_served(&mut greedy[0]).await;
        is_served(&mut other).await;
        let counters = counters(&endpoint).await;
        assert_eq!(counters["connections_displaced"], 1);
        assert_eq!(counters["connections_refused"], 0);
    });
}

#[test]
fn who_waits_for_an_answer_keeps_its_place_and_the_newcomer_is_turned_away() {
    in_virtual_time(async {
        let world = World::new(1, &["server", "phone", "other"]);
        let (endpoint, addr, mut module) = served(&world, admission(2)).await;
        let mut waiting = Vec::new();
        for host in ["phone", "other"] {
            let mut peer = SipPeer::tcp(&world.network(host), addr).await;
            let request = peer.request("MESSAGE", "sip:echo@server", "", "");
            peer.send(request).await;
            module.next().await;
            waiting.push(peer);
        }
        SipPeer::tcp(&world.network("phone"), addr)
            .await
            .expect_close()
            .await;
        let counters = counters(&endpoint).await;
        assert_eq!(counters["connections_refused"], 1);
        assert_eq!(counters["connections_displaced"], 0);
    });
}

#[test]
fn an_idle_connection_is_closed_whatever_it_has_said_and_keep_alives_do_not_help() {
    in_virtual_time(async {
        let world = World::new(1, &["server", "phone"]);
        let (endpoint, addr, _module) = served(&world, admission(9)).await;
        let start = Instant::now();
        let mut silent = SipPeer::tcp(&world.network("phone"), addr).await;
        let mut pinging = SipPeer::tcp(&world.network("phone"), addr).await;
        let mut spoken = SipPeer::tcp(&world.network("phone"), addr).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        pinging.send("\r\n\r\n").await;
        pinging.expect_pong().await;
        is_served(&mut spoken).await;
        silent.expect_close().await;
        pinging.expect_close().await;
        assert_eq!(start.elapsed().as_secs(), 30);
        is_served(&mut spoken).await;
        tokio::time::sleep(Duration::from_secs(25)).await;
        spoken.expect_close().await;
        assert_eq!(start.elapsed().as_secs(), 60);
        assert_eq!(counters(&endpoint).await["connections_idle"], 3);
    });
}

#[test]
fn half_a_message_lives_ten_seconds_from_its_first_byte_however_it_trickles() {
    in_virtual_time(async {
        let world = World::new(1, &["server", "phone"]);
        let (endpoint, addr, _module) = served(&world, admission(9)).await;
        let head = "OPTIONS sip:server SIP/2.0\r\nVia: ";
        let body = "MESSAGE sip:server SIP/2.0\r\nContent-Length: 500\r\n\r\n";
        for begun in [head, body] {
            let mut peer = SipPeer::tcp(&world.network("phone"), addr).await;
            tokio::time::sleep(Duration::from_secs(8)).await;
            let start = Instant::now();
            peer.send(begun).await;
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_secs(2)).await;
                peer.send("x").await;
            }
            peer.expect_close().await;
            assert_eq!(start.elapsed().as_secs(), 10);
        }
        // One after the other, each in time.
        let mut peer = SipPeer::tcp(&world.network("phone"), addr).await;
        for _ in 0..3 {
            let request = peer.request("OPTIONS", "sip:server", "", "");
            let (first, second) = request.split_at(30);
            peer.send(first).await;
            tokio::time::sleep(Duration::from_secs(8)).await;
            peer.send(second).await;
            peer.expect_status(200).await;
        }
        assert_eq!(counters(&endpoint).await["messages_unfinished"], 2);
    });
}
