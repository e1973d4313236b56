//! After a restart only those watchers are told that may not know the state (docs/adr/0019).

use std::net::SocketAddr;
use std::path::Path;

use rollcall::core::sip::{Message, Name};

use super::BOB;
use super::kept::Server;
use crate::support::process::Process;
use crate::support::sip::{Client, body, code, pidf};

fn cseq(notify: &Message) -> u32 {
    notify.cseq().expect("a CSeq").number
}

/// Whether it is the first NOTIFY of its dialog since the server was opened (docs/adr/0005).
fn is_first(notify: &Message) -> bool {
    cseq(notify) & ((1 << 20) - 1) == 1
}

fn tag(response: &Message) -> String {
    assert_eq!(code(response), 200, "{}", response.reason());
    response.text(Name::SipEtag).expect("a tag").into_owned()
}

/// Waits until the store remembers so many presentities as settled.
fn settle(process: &Process, presentities: usize) {
    let wanted = format!(" settled_count={presentities} ");
    let mut from = 0;
    // Each look takes as long as a signal and its answer, and `wait_for_from` has a limit.
    for _ in 0..100_000 {
        process.signal("USR1");
        let (next, line) =
            process.wait_for_from(from, "counters", |line| line.starts_with("registry"));
        if line.contains(&wanted) {
            return;
        }
        from = next;
    }
    panic!("never settled:\n{}", process.lines().join("\n"));
}

/// A server of one shard, so that it takes what a client sends in the order in which it was sent.
fn start(folder: &Path, address: SocketAddr) -> Process {
    let listen = format!("udp:{address}");
    Process::rollcall_in(folder, &["server", "--listen", &listen, "--shards", "1"])
}

#[test]
fn who_knows_the_state_is_told_nothing_after_a_kill_until_it_changes() {
    let mut server = Server::start(start);
    let (mut publisher, mut watcher) = (Client::new(server.address), Client::new(server.address));
    let first = tag(&publisher.publish(BOB, None, &pidf(BOB, "open", "before")));
    assert_eq!(code(&watcher.subscribe(BOB)), 200);
    assert!(body(&watcher.notify()).contains("before"));
    settle(&server.process, 1);
    server.kill_and_restart();
    server.process.wait_for("the end of the recovery", |line| {
        line.contains("watchers are up to date")
    });
    tag(&publisher.publish(BOB, Some(&first), &pidf(BOB, "open", "after")));
    let told = watcher.notify();
    assert!(
        body(&told).contains("after") && is_first(&told),
        "none came before it: {} {}\n{}",
        cseq(&told),
        body(&told),
        server.process.lines().join("\n")
    );
}

#[test]
fn an_orderly_end_needs_no_time_to_settle_and_those_who_have_not_answered_are_told() {
    let mut server = Server::start(start);
    let (mut publisher, mut watcher) = (Client::new(server.address), Client::new(server.address));
    let carol = "sip:carol@example.com";
    let mut mute = Client::new(server.address);
    let first = tag(&publisher.publish(BOB, None, &pidf(BOB, "open", "before")));
    tag(&publisher.publish(carol, None, &pidf(carol, "open", "unheard")));
    assert_eq!(code(&watcher.subscribe(BOB)), 200);
    watcher.notify();
    assert_eq!(code(&mute.subscribe(carol)), 200);
    mute.expect("a NOTIFY that stays without an answer", |message| {
        message.is_request()
    });
    // What was answered is known to the server when the next request of the same watcher is.
    let asked = watcher.request("OPTIONS", BOB, "", "");
    watcher.response(asked);
    server.end_and_restart();
    let told = mute.expect("the state again", |message| {
        message.is_request() && is_first(message)
    });
    assert!(body(&told).contains("unheard"), "{}", body(&told));
    tag(&publisher.publish(BOB, Some(&first), &pidf(BOB, "open", "after")));
    let told = watcher.notify();
    assert!(
        body(&told).contains("after") && is_first(&told),
        "{}",
        body(&told)
    );
}
