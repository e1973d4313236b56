//! Many shards: whoever asks, by whatever socket, meets the one shard that owns the presentity.

use std::collections::BTreeSet;

use rollcall::core::endpoint::shard_of;
use rollcall::core::sip::Name;

use super::kit::{BOB, Dialog, Peer, Server, body, code, pidf, publish, published, shown, text};

const SHARDS: u8 = 4;

/// Presentities on each of the shards, three each.
fn everywhere() -> Vec<String> {
    let mut counts = [0; SHARDS as usize];
    let mut uris = Vec::new();
    for number in 0.. {
        let uri = format!("sip:user{number}@example.com");
        let count = &mut counts[usize::from(shard_of(&uri, SHARDS))];
        if *count < 3 {
            *count += 1;
            uris.push(uri);
        }
        if counts == [3; SHARDS as usize] {
            break;
        }
    }
    uris
}

#[test]
fn a_presentity_of_any_shard_is_served_on_any_socket() {
    let server = Server::with(usize::from(SHARDS), "");
    // The kernel gives each pair of addresses to one of the shards' sockets, so many peers meet all of them.
    let mut peers: Vec<Peer> = (0..60).map(|_| server.by_udp()).collect();
    peers.extend((0..20).map(|_| server.by_tcp()));
    let count = peers.len();
    let mut desk = 0;
    for uri in everywhere() {
        let mut phones = BTreeSet::new();
        for step in [1, 5, 7, 17] {
            let phone = (desk + step) % count;
            phones.insert(phone);
            Dialog::open(&mut peers[phone], &uri, 600, "");
            assert_eq!(body(&peers[phone].notify()), "");
        }
        let mut etag = String::new();
        for note in ["one", "two"] {
            let condition = match &*etag {
                "" => String::new(),
                etag => format!("SIP-If-Match: {etag}\n"),
            };
            let more = format!("<note>{note} of {uri}</note>");
            etag = published(
                &mut peers[desk],
                &uri,
                &condition,
                &pidf(&uri, "t", "open", &more),
            );
            for &phone in &phones {
                let (state, _, document) = shown(&peers[phone].notify());
                assert!(state.starts_with("active"), "{state}");
                assert!(document.contains(&format!("{note} of {uri}")), "{document}");
            }
            // The next step comes by another socket.
            desk = (desk + 3) % count;
        }
        desk = (desk + 1) % count;
    }
    let counters = server.counters();
    for shard in 0..SHARDS {
        for name in [
            "endpoint N.transport.datagrams_received",
            "registry N.requests",
        ] {
            let name = name.replace('N', &shard.to_string());
            assert!(counters.contains_key(&name), "{name} is 0");
        }
    }
    server.assert_well();
}

#[test]
fn many_watchers_of_one_presentity_are_all_told_in_order() {
    let server = Server::with(usize::from(SHARDS), "");
    let mut desk = server.by_udp();
    let mut phones: Vec<Peer> = (0..60).map(|_| server.by_udp()).collect();
    phones.extend((0..20).map(|_| server.by_tcp()));
    for phone in &mut phones {
        Dialog::open(phone, BOB, 600, "");
        assert_eq!(shown(&phone.notify()).1, 1);
    }
    let mut etag = published(&mut desk, BOB, "", &pidf(BOB, "t", "open", ""));
    for (number, basic) in [(3, "closed"), (4, "open")] {
        for phone in &mut phones {
            assert_eq!(shown(&phone.notify()).1, number - 1);
        }
        let condition = format!("SIP-If-Match: {etag}\n");
        etag = published(&mut desk, BOB, &condition, &pidf(BOB, "t", basic, ""));
    }
    for phone in &mut phones {
        let (_, number, document) = shown(&phone.notify());
        assert_eq!((number, document), (4, pidf(BOB, "t", "open", "")));
    }
    assert_eq!(server.counters().get("registry.notified"), Some(&(80 * 4)));
}

/// Twinkle seeds its random numbers with the second of its start: two that were started together send the same branch,
/// Call-ID, From tag and CSeq (tests/wires/twinkle-*.sip are such a pair).
#[test]
fn two_twinkles_of_the_same_second_are_both_served() {
    let server = Server::with(usize::from(SHARDS), "");
    let path = format!(
        "{}/tests/wires/twinkle-publish-initial-alice.sip",
        env!("CARGO_MANIFEST_DIR")
    );
    let alices = std::fs::read_to_string(path).expect("a recording");
    let (mut alice, mut bob) = (server.by_udp(), server.by_udp());
    let at = |text: &str, peer: &Peer| text.replace("127.0.0.1:26510", &peer.local().to_string());
    let bobs = at(&alices.replace("twalice", "twbob"), &bob);
    let length = bobs.split("\r\n\r\n").nth(1).expect("a body").len();
    let bobs = bobs.replace("Content-Length: 193", &format!("Content-Length: {length}"));
    alice.send(at(&alices, &alice));
    bob.send(bobs);
    let (to_alice, to_bob) = (alice.response(956, "PUBLISH"), bob.response(956, "PUBLISH"));
    assert_eq!((code(&to_alice), code(&to_bob)), (200, 200));
    assert!(text(&to_alice, Name::To).contains("twalice"));
    assert!(text(&to_bob, Name::To).contains("twbob"));
    let (first, second) = (text(&to_alice, Name::SipEtag), text(&to_bob, Name::SipEtag));
    assert_ne!(first, second);
    // Each tag is good for its own.
    for (peer, uri, etag) in [
        (&mut alice, "sip:twalice@example.com", &first),
        (&mut bob, "sip:twbob@example.com", &second),
    ] {
        assert_eq!(
            code(&publish(peer, uri, &format!("SIP-If-Match: {etag}\n"), "")),
            200
        );
    }
    assert_eq!(alice.rest(), [""; 0]);
    assert_eq!(bob.rest(), [""; 0]);
}
