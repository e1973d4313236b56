//! What a server has answered 2xx is there after `kill -9`: publications with their entity-tags, subscriptions with their
//! CSeq, bindings. With `file:` and the same port, so that peers notice nothing but a pause.
//!
//! ```text
//!  publisher, watcher          server
//!     | -- PUBLISH, SUBSCRIBE --> |
//!     | <-- 200, NOTIFY --------- |
//!     |                           X  kill -9
//!     |                           |  again, on the same folder
//!     | <-- NOTIFY (same dialog,  |
//!     |     higher CSeq) -------- |
//!     | -- PUBLISH (old tag) ---> |
//!     | <-- 200, a tag never used |
//! ```

use std::collections::BTreeSet;
use std::net::SocketAddr;

use rollcall::core::sip::{Message, Name};

use super::kept::Server;
use super::{BOB, start_server};
use crate::support::process::Process;
use crate::support::sip::{Client, body, code, pidf};

fn tag(response: &Message) -> String {
    assert_eq!(code(response), 200, "{}", response.reason());
    response.text(Name::SipEtag).expect("a tag").into_owned()
}

fn cseq(message: &Message) -> u32 {
    message.cseq().expect("a CSeq").number
}

/// What makes a dialog: Call-ID and both tags.
fn dialog(message: &Message) -> [String; 3] {
    [Name::CallId, Name::From, Name::To].map(|name| {
        let text = message.text(name).expect("a dialog");
        let tag = text.split(";tag=").nth(1).map(str::to_owned);
        tag.unwrap_or(text.into_owned())
    })
}

#[test]
fn a_publication_goes_on_with_its_tag_after_a_kill_and_no_tag_is_given_twice() {
    let mut server = Server::start(start_server);
    let mut publisher = Client::new(server.address);
    let mut tags = BTreeSet::new();
    let mut last = tag(&publisher.publish(BOB, None, &pidf(BOB, "open", "n")));
    tags.insert(last.clone());
    for _ in 0..4 {
        let before = last.clone();
        server.kill_and_restart();
        last = tag(&publisher.publish(BOB, Some(&last), ""));
        assert!(tags.insert(last.clone()), "{last} was given before");
        // The old one is worth nothing now, also after another restart.
        assert_eq!(code(&publisher.publish(BOB, Some(&before), "")), 412);
        let other = tag(&publisher.publish(BOB, None, &pidf(BOB, "closed", "other")));
        assert!(tags.insert(other.clone()), "{other} was given before");
    }
}

#[test]
fn a_subscription_goes_on_in_its_dialog_with_a_higher_cseq_after_a_kill() {
    let mut server = Server::start(start_server);
    let (mut publisher, mut watcher) = (Client::new(server.address), Client::new(server.address));
    assert_eq!(code(&watcher.subscribe(BOB)), 200);
    let mut last = watcher.notify();
    let own = dialog(&last);
    let mut tag_now = None;
    for round in 0..3 {
        let note = format!("round-{round}");
        tag_now = Some(tag(&publisher.publish(
            BOB,
            tag_now.as_deref(),
            &pidf(BOB, "open", &note),
        )));
        server.kill_and_restart();
        // It may have been told before the kill; after it, it is told in any case.
        loop {
            let notify = watcher.notify();
            assert_eq!(dialog(&notify), own, "the same dialog");
            assert!(cseq(&notify) > cseq(&last), "CSeq grows");
            let jumped = cseq(&notify) - cseq(&last) > 1000;
            last = notify;
            if jumped {
                break;
            }
        }
        assert!(body(&last).contains(&note), "{}", body(&last));
        assert!(
            last.text(Name::SubscriptionState)
                .is_some_and(|state| state.starts_with("active;expires="))
        );
    }
    // The subscriber goes on as if nothing had been.
    let contact = last.text(Name::Contact).expect("a target").into_owned();
    let target = contact
        .trim_start_matches('<')
        .split('>')
        .next()
        .expect("a URI");
    let to = format!("<{BOB}>;tag={}", own[1]);
    let lines = format!(
        "Event: presence\nExpires: 0\nContact: <sip:w@{}>\n",
        watcher.address()
    );
    let end = watcher.request_within("SUBSCRIBE", target, &to, &lines, "");
    assert_eq!(code(&watcher.response(end)), 200);
    let farewell = watcher.notify();
    assert!(
        farewell
            .text(Name::SubscriptionState)
            .is_some_and(|state| state.starts_with("terminated"))
    );
}

#[test]
fn a_change_that_was_stored_but_not_yet_told_is_told_after_a_kill() {
    let mut server = Server::start(start_server);
    let (mut publisher, mut watcher) = (Client::new(server.address), Client::new(server.address));
    assert_eq!(code(&watcher.subscribe(BOB)), 200);
    // While the first NOTIFY has no answer, no other leaves: the publication is stored, the watcher is not told.
    let first = watcher.expect("the first NOTIFY", |message| message.is_request());
    let stored = publisher.publish(BOB, None, &pidf(BOB, "open", "stored"));
    assert_eq!(code(&stored), 200);
    server.kill_and_restart();
    let told = watcher.expect("the state", |message| {
        message.is_request() && body(message).contains("stored")
    });
    watcher.answer(&told, 200, "OK");
    assert_eq!(dialog(&told), dialog(&first));
    assert!(cseq(&told) > cseq(&first));
}

#[test]
fn a_watcher_behind_tcp_comes_back_over_a_connection_of_its_own_and_the_port_is_free_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = |tcp: SocketAddr| {
        let listen = ["udp:127.0.0.1:0".to_owned(), format!("tcp:{tcp}")];
        let process = Process::rollcall_in(
            folder.path(),
            &["server", "--listen", &listen[0], "--listen", &listen[1]],
        );
        (process.listening("udp"), process.listening("tcp"), process)
    };
    let (udp, tcp, mut process) = start(([127, 0, 0, 1], 0).into());
    let server = format!("sip:{tcp};transport=tcp");
    let watch = Process::rollcall(&["watch", BOB, "--server", &server, "--json"]);
    let tell = |server: SocketAddr, note: &str| {
        tag(&Client::new(server).publish(BOB, None, &pidf(BOB, "open", note)));
        watch.wait_for(note, |line| line.contains(note));
    };
    tell(udp, "before");
    process.kill();
    let (udp, _, _process) = start(tcp);
    tell(udp, "after");
}

#[test]
fn bindings_are_there_after_a_kill() {
    let mut server = Server::start(start_server);
    let mut phone = Client::new(server.address);
    let binding = format!("<sip:bob@{};line=7>", phone.address());
    let registered = phone.request(
        "REGISTER",
        "sip:bob@example.com",
        &format!("Contact: {binding}\nExpires: 600\n"),
        "",
    );
    assert_eq!(code(&phone.response(registered)), 200);
    server.kill_and_restart();
    let asked = phone.request("REGISTER", "sip:bob@example.com", "", "");
    let answer = phone.response(asked);
    assert_eq!(code(&answer), 200);
    let bindings: Vec<String> = answer
        .texts(Name::Contact)
        .map(|contact| contact.to_string())
        .collect();
    assert_eq!(bindings.len(), 1, "{bindings:?}");
    assert!(bindings[0].starts_with(&binding), "{bindings:?}");
}
