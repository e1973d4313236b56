//! Machines that panic in the real binary: what is around them goes on, and what they knew comes back.
//!
//! - a shard that panics comes back from the store, and the other shards answer meanwhile
//! - as long as the store can't be read it answers 503 with Retry-After, and never as if it had nothing
//! - an endpoint that panics goes on with the next message
//! - an actor that is gone for good ends the process, so that its unit starts it anew
//! - a process without the socket for faults takes none

use std::os::unix::net::UnixStream;
use std::path::Path;

use rollcall::core::endpoint::shard_of;
use rollcall::core::sip::{Message, Name};

use crate::server::kit::{Dialog, Peer, Server, body, code, pidf, publish, published, text};
use crate::support::eventually;
use crate::support::faults::Faults;
use crate::support::process::Process;
use crate::support::source::Source;

/// A presentity of this shard of two.
fn presentity(shard: u8) -> String {
    let mut uris = (0..).map(|n| format!("sip:user{n}@example.com"));
    uris.find(|uri| shard_of(uri, 2) == shard)
        .expect("one of many")
}

fn refresh(peer: &mut Peer, uri: &str, etag: &str) -> Message {
    publish(peer, uri, &format!("SIP-If-Match: {etag}\n"), "")
}

#[test]
fn a_shard_that_panics_comes_back_from_the_store_while_the_others_go_on() {
    let server = Server::on_disk(2, "");
    let (mut desk, mut phone) = (server.by_udp(), server.by_udp());
    let uris = [presentity(0), presentity(1)];
    let mut etags = uris.each_ref().map(|uri| {
        let note = format!("<note>of {uri}</note>");
        published(&mut desk, uri, "", &pidf(uri, "t", "open", &note))
    });

    server.faults.arm("fail reload 1 2");
    server.faults.arm("panic registry 1");
    assert_eq!(code(&refresh(&mut desk, &uris[1], &etags[1])), 500);
    // Twice the store can't be read: a second passes, then two more.
    let mut turned_away = 0;
    let etag = eventually("the shard that panicked", || {
        let other = refresh(&mut desk, &uris[0], &etags[0]);
        assert_eq!(code(&other), 200);
        etags[0] = text(&other, Name::SipEtag);
        let contact = format!("Event: presence\nContact: <sip:w@{}>\n", phone.local());
        let watch = phone.ask("SUBSCRIBE", &uris[1], &contact, "");
        let answer = refresh(&mut desk, &uris[1], &etags[1]);
        // The state may come before either of them.
        for refused in [&answer, &watch] {
            if code(refused) != 200 {
                assert_eq!(code(refused), 503, "{refused:?}");
                assert_eq!(text(refused, Name::RetryAfter), "2");
                turned_away += 1;
            }
        }
        (code(&answer) == 200).then(|| text(&answer, Name::SipEtag))
    });
    assert!(turned_away > 2, "{turned_away}");
    etags[1] = etag;
    // All that it knew is there.
    let mut watcher = server.by_udp();
    Dialog::open(&mut watcher, &uris[1], 600, "");
    let notify = watcher.notify();
    assert!(
        body(&notify).contains(&format!("of {}", uris[1])),
        "{notify:?}"
    );

    let counters = server.counters();
    assert_eq!(counters.get("registry 1.panics"), Some(&1));
    assert_eq!(counters.get("registry 1.reload_failures"), Some(&2));
    assert_eq!(counters.get("registry 1.turned_away"), Some(&turned_away));
    assert_eq!(counters.get("registry 0.panics"), None);
    // One record, for the one publication of the shard, and those of the other shard not at all.
    assert_eq!(counters.get("registry 1.loaded"), Some(&1));
    let lines = server.process.lines();
    let told = lines
        .iter()
        .filter(|line| line.contains("has not got its state"));
    assert_eq!(told.count(), 1, "{lines:#?}");
}

#[test]
fn an_endpoint_that_panics_goes_on_with_the_next_message() {
    let server = Server::with(1, "");
    let mut peer = server.by_udp();
    server.faults.arm("panic endpoint 0");
    let lost = peer.request("OPTIONS", "sip:example.com", "", "");
    peer.send(&lost);
    // The answer to the next one is there, so that the first one had its turn.
    let answer = peer.ask("OPTIONS", "sip:example.com", "", "");
    assert_eq!(code(&answer), 200);
    // As it is retransmitted, it is answered.
    peer.send(&lost);
    let answer = peer.expect("the answer to the retransmission", |message| {
        message.status().is_some() && text(message, Name::CSeq).starts_with("1 ")
    });
    assert_eq!(code(&answer), 200);
    assert_eq!(
        server.counters().get("endpoint 0.transport.panics"),
        Some(&1)
    );
}

/// Starts a Manager that can be made to fail, and says something to it.
fn manager(folder: &Path, faults: &Faults) -> Process {
    let listen = ["manager", "--listen", "127.0.0.1:0"];
    Process::rollcall_told(folder, &listen, &[faults.variable()])
}

#[test]
fn an_actor_that_is_gone_for_good_ends_the_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let faults = Faults::at(folder.path());
    let mut manager = manager(folder.path(), &faults);
    let at = manager.listening("manager");
    faults.arm("panic hub 0");
    let _source = Source::new(at);
    assert_eq!(manager.ended().code(), Some(1));
    manager.wait_for("why", |line| {
        line.contains("the hub has ended unexpectedly")
    });
}

#[test]
fn without_the_socket_no_faults_are_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let listen = ["manager", "--listen", "127.0.0.1:0"];
    let manager = Process::rollcall_in(folder.path(), &listen);
    manager.listening("manager");
    assert!(UnixStream::connect(folder.path().join("faults")).is_err());
    let lines = manager.lines();
    assert!(
        !lines.iter().any(|line| line.contains("it takes faults")),
        "{lines:?}"
    );
}
