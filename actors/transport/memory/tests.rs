//! Promises of the memory network:
//! - the same seed gives the same run;
//! - datagrams are delayed, lost, duplicated and reordered as the link says;
//! - streams keep order whatever the link does, stall in a partition and go on when it heals;
//! - a crash kills all that a host has, and nothing of an earlier life speaks in the next.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;
use crate::testkit::in_virtual_time;
use crate::transport::{Datagram, Network, Pool, Stream};

fn ip(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

fn two_hosts(seed: u64) -> (MemoryNetwork, MemoryHost, MemoryHost) {
    let network = MemoryNetwork::new(Entropy::from_number(seed));
    let (alice, bob) = (
        network.host("alice", &[ip(1)]),
        network.host("bob", &[ip(2)]),
    );
    (network, alice, bob)
}

async fn socket(host: &MemoryHost, port: u16) -> Datagram {
    let addr = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
    Network::Memory(host.clone())
        .datagram(addr, false)
        .await
        .expect("a socket")
}

/// All that comes until nothing has come for a minute.
async fn all(socket: &Datagram) -> Vec<Bytes> {
    let mut got = Vec::new();
    let mut pool = Pool::new();
    while let Ok(Ok((bytes, _))) = timeout(Duration::from_secs(60), socket.recv(&mut pool)).await {
        got.push(bytes);
    }
    got
}

async fn pair(alice: &MemoryHost, bob: &MemoryHost) -> (Stream, Stream) {
    let to = SocketAddr::new(ip(2), 5060);
    let listener = Network::Memory(bob.clone())
        .listen(to)
        .await
        .expect("a listener");
    let client = Network::Memory(alice.clone())
        .connect(to)
        .await
        .expect("a stream");
    let (server, peer) = listener.accept().await.expect("its other end");
    assert_eq!(client.local_addr().ok(), Some(peer));
    (client, server)
}

fn number(n: u32) -> Bytes {
    Bytes::copy_from_slice(&n.to_be_bytes())
}

#[test]
fn a_datagram_arrives_after_the_links_delay_with_its_senders_address() {
    in_virtual_time(async {
        let (network, alice, bob) = two_hosts(1);
        network.set_default_link(Link::delayed(Duration::from_millis(30)));
        let (a, b) = (socket(&alice, 5060).await, socket(&bob, 0).await);
        let start = Instant::now();
        a.try_send_to(
            &Bytes::from_static(b"hello"),
            b.local_addr().expect("bound"),
        )
        .expect("sent");
        let (bytes, from) = b.recv(&mut Pool::new()).await.expect("a datagram");
        assert_eq!(
            (&bytes[..], from),
            (&b"hello"[..], SocketAddr::new(ip(1), 5060))
        );
        assert_eq!(start.elapsed(), Duration::from_millis(30));
    });
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another_one() {
    let trace = |seed| {
        in_virtual_time(async move {
            let (network, alice, bob) = two_hosts(seed);
            let seen = Arc::new(Mutex::new(Vec::new()));
            let sink = Arc::clone(&seen);
            network.observe(move |d| {
                sink.lock()
                    .expect("a list")
                    .push((d.at, d.fate, d.bytes.clone()))
            });
            let ms = Duration::from_millis;
            network.set_link(
                &alice,
                &bob,
                Link {
                    delay: ms(5),
                    jitter: ms(20),
                    loss: 0.2,
                    duplicate: 0.1,
                    ..Link::default()
                },
            );
            let (a, b) = (socket(&alice, 1).await, socket(&bob, 2).await);
            for n in 0..500 {
                a.try_send_to(&number(n), b.local_addr().expect("bound"))
                    .expect("sent");
            }
            all(&b).await;
            seen.lock().expect("a list").clone()
        })
    };
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8));
}

#[test]
fn a_bad_link_loses_duplicates_and_reorders_about_as_many_as_it_was_told() {
    in_virtual_time(async {
        let (network, alice, bob) = two_hosts(3);
        let link = Link {
            delay: Duration::from_millis(5),
            jitter: Duration::from_millis(10),
            loss: 0.2,
            duplicate: 0.1,
            ..Link::default()
        };
        network.set_default_link(link);
        let (a, b) = (socket(&alice, 1).await, socket(&bob, 2).await);
        for n in 0..10_000 {
            a.try_send_to(&number(n), b.local_addr().expect("bound"))
                .expect("sent");
        }
        let got = all(&b).await;
        let seen = network.statistics();
        assert_eq!(seen.sent, 10_000);
        assert!((1_800..2_200).contains(&seen.lost), "{seen:?}");
        assert!((700..900).contains(&seen.duplicated), "{seen:?}");
        assert!(seen.reordered > 1_000, "{seen:?}");
        assert_eq!(seen.delivered, seen.sent - seen.lost + seen.duplicated);
        assert_eq!(got.len() as u64, seen.delivered);
    });
}

#[test]
fn a_stream_keeps_order_over_a_bad_link_and_ends_when_the_writer_ends() {
    in_virtual_time(async {
        let (network, alice, bob) = two_hosts(4);
        let link = Link {
            delay: Duration::from_millis(5),
            jitter: Duration::from_millis(50),
            loss: 0.3,
            duplicate: 0.3,
            ..Link::default()
        };
        network.set_default_link(link);
        let (mut client, mut server) = pair(&alice, &bob).await;
        let writer = tokio::spawn(async move {
            for n in 0..100_000u32 {
                client.write_all(&n.to_be_bytes()).await.expect("written");
            }
        });
        let mut got = Vec::new();
        server.read_to_end(&mut got).await.expect("all of it");
        writer.await.expect("the writer");
        let expected: Vec<u8> = (0..100_000u32).flat_map(u32::to_be_bytes).collect();
        assert!(got == expected);
    });
}

#[test]
fn a_writer_waits_when_nobody_reads() {
    in_virtual_time(async {
        let (_network, alice, bob) = two_hosts(5);
        let (mut client, mut server) = pair(&alice, &bob).await;
        let mib = vec![7; 1 << 20];
        let stuck = timeout(Duration::from_secs(10), client.write_all(&mib)).await;
        assert!(stuck.is_err(), "a mebibyte went where nobody reads");
        let mut some = vec![0; 1 << 18];
        server
            .read_exact(&mut some)
            .await
            .expect("what was written");
        timeout(Duration::from_secs(10), client.write_all(&[1; 1000]))
            .await
            .expect("room")
            .expect("written");
    });
}

#[test]
fn a_partition_swallows_datagrams_and_stalls_streams_until_it_heals() {
    in_virtual_time(async {
        let (network, alice, bob) = two_hosts(6);
        network.set_default_link(Link::delayed(Duration::from_millis(10)));
        let (a, b) = (socket(&alice, 1).await, socket(&bob, 2).await);
        let (mut client, mut server) = pair(&alice, &bob).await;

        network.partition(&[&alice], &[&bob]);
        a.try_send_to(&number(1), b.local_addr().expect("bound"))
            .expect("sent");
        client.write_all(b"one ").await.expect("written");
        client.write_all(b"two ").await.expect("written");
        let mut got = [0; 12];
        let waiting = timeout(Duration::from_secs(30), server.read_exact(&mut got)).await;
        assert!(waiting.is_err());

        network.heal_all();
        client.write_all(b"last").await.expect("written");
        timeout(Duration::from_secs(1), server.read_exact(&mut got))
            .await
            .expect("in time")
            .expect("read");
        assert_eq!(&got, b"one two last");
        assert!(all(&b).await.is_empty());
        assert_eq!(network.statistics().partitioned, 1);
    });
}

#[test]
fn a_stream_that_a_partition_outlasts_breaks_at_both_ends() {
    in_virtual_time(async {
        let (network, alice, bob) = two_hosts(7);
        let (mut client, mut server) = pair(&alice, &bob).await;
        network.partition(&[&bob], &[&alice]);
        client.write_all(b"hello").await.expect("written");
        let start = Instant::now();
        let error = server.read(&mut [0; 8]).await.expect_err("a broken stream");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), PATIENCE);
        assert!(client.write(b"more").await.is_err());
        let late = Network::Memory(alice)
            .connect(SocketAddr::new(ip(2), 5060))
            .await
            .err();
        assert_eq!(late.map(|e| e.kind()), Some(io::ErrorKind::TimedOut));
    });
}

#[test]
fn a_crash_kills_sockets_and_streams_and_a_restart_begins_with_none() {
    in_virtual_time(async {
        let (network, alice, bob) = two_hosts(8);
        network.set_default_link(Link::delayed(Duration::from_millis(10)));
        let (a, b) = (socket(&alice, 1).await, socket(&bob, 2).await);
        let (mut client, mut server) = pair(&alice, &bob).await;
        a.try_send_to(&number(1), b.local_addr().expect("bound"))
            .expect("sent");

        network.crash(&bob);
        let start = Instant::now();
        let reset = client.read(&mut [0; 8]).await.expect_err("a reset");
        assert_eq!(
            (reset.kind(), start.elapsed()),
            (io::ErrorKind::ConnectionReset, Duration::from_millis(10))
        );
        assert!(server.read(&mut [0; 8]).await.is_err());
        assert!(
            b.readable().await.is_err()
                && b.try_send_to(&number(2), SocketAddr::new(ip(1), 1))
                    .is_err()
        );
        assert!(
            Network::Memory(bob.clone())
                .listen(SocketAddr::new(ip(2), 80))
                .await
                .is_err()
        );
        let refused = Network::Memory(alice.clone())
            .connect(SocketAddr::new(ip(2), 5060))
            .await
            .err();
        assert_eq!(
            refused.map(|e| e.kind()),
            Some(io::ErrorKind::ConnectionRefused)
        );

        let bob = network.restart(&bob);
        let again = socket(&bob, 2).await;
        a.try_send_to(&number(3), again.local_addr().expect("bound"))
            .expect("sent");
        assert_eq!(all(&again).await, [number(3)]);
        assert_eq!(network.statistics().unreachable, 1);
    });
}

#[test]
fn a_second_crash_does_not_swallow_the_reset_of_the_first() {
    in_virtual_time(async {
        let (network, alice, bob) = two_hosts(9);
        let (mut client, _server) = pair(&alice, &bob).await;
        network.partition(&[&bob], &[&alice]);
        network.crash(&bob);
        tokio::time::sleep(Duration::from_secs(1)).await;
        network.crash(&bob);
        network.heal_all();
        let read = timeout(Duration::from_secs(1), client.read(&mut [0; 8])).await;
        let error = read.expect("in time").expect_err("a reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn names_resolve_to_hosts_and_aliases_and_unknown_ones_to_an_error() {
    in_virtual_time(async {
        let (network, alice, _bob) = two_hosts(9);
        network.alias("Example.com", &[ip(2)]);
        let network = Network::Memory(alice);
        let to = |last| vec![SocketAddr::new(ip(last), 5060)];
        assert_eq!(network.resolve("bob", 5060).await.ok(), Some(to(2)));
        assert_eq!(network.resolve("example.COM", 5060).await.ok(), Some(to(2)));
        assert_eq!(network.resolve("10.0.0.9", 5060).await.ok(), Some(to(9)));
        assert_eq!(
            network.resolve("[::1]", 5).await.ok(),
            Some(vec!["[::1]:5".parse().expect("an address")])
        );
        assert!(network.resolve("nowhere", 5060).await.is_err());
        assert_eq!(
            network.local_towards(SocketAddr::new(ip(2), 1)).ok(),
            Some(ip(1))
        );
    });
}

#[test]
fn two_sockets_may_share_an_address_only_if_both_say_so_and_peers_stick_to_one() {
    in_virtual_time(async {
        let (_network, alice, bob) = two_hosts(10);
        let bob = Network::Memory(bob);
        let addr = SocketAddr::new(ip(2), 5060);
        let one = bob.datagram(addr, true).await.expect("a socket");
        assert!(bob.datagram(addr, false).await.is_err());
        let two = bob.datagram(addr, true).await.expect("another");
        for port in 1..=40 {
            let a = socket(&alice, port).await;
            for _ in 0..2 {
                a.try_send_to(&number(u32::from(port)), addr).expect("sent");
            }
        }
        let (first, second) = (all(&one).await, all(&two).await);
        assert_eq!(first.len() + second.len(), 80);
        assert!(first.len() > 10 && second.len() > 10);
        assert!(first.iter().all(|n| !second.contains(n)));
    });
}
