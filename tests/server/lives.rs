//! The recordings of `tests/wires` played again, each client through its life: what a phone sent to another server, it sends
//! to ours, with our entity-tags, tags, Contact and addresses in the places of that server's.

mod beside;

use std::fmt::Write as _;

use rollcall::core::sip::{Message, Name};

use super::kit::{Dialog, Peer, Server, body, code, published, shown, text};

/// A phone that repeats its recordings.
struct Phone {
    peer: Peer,
    server: String,
    /// Of its publication.
    etag: String,
    /// Of its subscription: our tag, and where we are to be reached.
    dialog: Option<(String, String)>,
}

impl Phone {
    fn new(peer: Peer, server: impl ToString) -> Self {
        Self {
            peer,
            server: server.to_string(),
            etag: String::new(),
            dialog: None,
        }
    }

    fn udp(server: &Server) -> Self {
        Self::new(server.by_udp(), server.udp)
    }

    fn tcp(server: &Server) -> Self {
        Self::new(server.by_tcp(), server.tcp)
    }

    /// Sends a recording and waits for its final response, of which it remembers what later requests need.
    fn send(&mut self, recording: &str) -> Message {
        let request = self.adapted(recording);
        self.peer.send(&request);
        let sent = Message::parse(request.into_bytes().into()).expect("a recording");
        let cseq = sent.cseq().expect("a CSeq");
        let answer = self.peer.response(cseq.number, cseq.method.as_str());
        assert_eq!(code(&answer), 200, "{recording}: {answer:?}");
        assert_eq!(text(&answer, Name::CallId), text(&sent, Name::CallId));
        if let Some(etag) = answer.text(Name::SipEtag) {
            assert_ne!(self.etag, etag, "{recording}");
            self.etag = etag.into_owned();
        }
        if cseq.method.as_str() == "SUBSCRIBE" {
            let contact = answer.contacts().expect("contacts")[0].uri.to_string();
            self.dialog = Some((answer.to_tag().expect("our tag"), contact));
        }
        answer
    }

    fn adapted(&self, recording: &str) -> String {
        let path = format!("{}/tests/wires/{recording}.sip", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("a recording");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let own = self.peer.local().to_string();
        let mut out = String::new();
        for line in head.split("\r\n") {
            let name = line.split(':').next().unwrap_or_default();
            let line = match (name, &self.dialog) {
                ("Via" | "Contact", _) => with_address(line, &own),
                ("Route", _) => with_address(line, &self.server),
                ("SIP-If-Match", _) => format!("SIP-If-Match: {}", self.etag),
                ("To", Some((tag, _))) => match line.split_once(";tag=") {
                    Some((before, _)) => format!("{before};tag={tag}"),
                    None => line.to_owned(),
                },
                // Only requests within a dialog are addressed to a server instead of a presentity.
                ("SUBSCRIBE sip", Some((_, contact))) if line.contains("sip:127.0.0.1:") => {
                    format!("SUBSCRIBE {contact} SIP/2.0")
                }
                _ => line.to_owned(),
            };
            let _ = write!(out, "{line}\r\n");
        }
        format!("{out}\r\n{body}")
    }
}

/// The line with this address in place of the one of loopback that it has.
fn with_address(line: &str, address: &str) -> String {
    let Some((before, after)) = line.split_once("127.0.0.1:") else {
        return line.to_owned();
    };
    let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{before}{address}{rest}")
}

/// Publishes, refreshes and removes as recorded; a watcher sees a change for each recording but the refreshes.
fn publishes(server: &Server, mut phone: Phone, presentity: &str, recordings: &[&str]) {
    let mut watcher = server.by_udp();
    Dialog::open(&mut watcher, presentity, 600, "");
    watcher.notify();
    for recording in recordings {
        phone.send(recording);
        if recording.contains("refresh") {
            continue;
        }
        let (state, _, shown) = shown(&watcher.notify());
        assert!(state.starts_with("active"), "{recording}");
        assert_eq!(
            shown.is_empty(),
            recording.contains("remove"),
            "{recording}"
        );
    }
    watcher.fence();
    assert_eq!(watcher.rest(), [""; 0]);
    server.assert_well();
}

/// Subscribes, refreshes and ends as recorded, with a change in between.
fn watches(server: &Server, phone: &mut Phone, presentity: &str, recordings: &[&str]) {
    let mut desk = server.by_udp();
    for (number, recording) in recordings.iter().enumerate() {
        let answer = phone.send(recording);
        let is_end = recording.ends_with("-end");
        let (state, cseq, _) = shown(&phone.peer.notify());
        if is_end {
            assert_eq!(
                (&*state, &*text(&answer, Name::Expires)),
                ("terminated;reason=timeout", "0")
            );
            continue;
        }
        assert!(state.starts_with("active;expires="), "{state}");
        let document = super::kit::pidf(presentity, &format!("t{number}"), "open", "");
        published(&mut desk, presentity, "", &document);
        let change = phone.peer.notify();
        assert_eq!(change.cseq().expect("a CSeq").number, cseq + 1);
        assert!(body(&change).contains("open"));
    }
    phone.peer.fence();
    assert_eq!(phone.peer.rest(), [""; 0]);
    server.assert_well();
}

#[test]
fn pjsua_publishes() {
    let server = Server::start();
    let steps = [
        "pjsua-publish-initial",
        "pjsua-publish-refresh",
        "pjsua-publish-modify-away",
        "pjsua-publish-remove",
    ];
    publishes(
        &server,
        Phone::udp(&server),
        "sip:pj-bob@example.com",
        &steps,
    );
    let steps = [
        "pjsua-publish-initial-tcp",
        "pjsua-publish-modify-busy",
        "pjsua-publish-modify-idle",
        "pjsua-publish-modify-closed",
    ];
    publishes(
        &server,
        Phone::tcp(&server),
        "sip:bob-yp69e@example.com",
        &steps,
    );
}

#[test]
fn pjsua_watches() {
    let server = Server::start();
    let steps = [
        "pjsua-subscribe-initial",
        "pjsua-subscribe-refresh",
        "pjsua-subscribe-end",
    ];
    watches(
        &server,
        &mut Phone::udp(&server),
        "sip:pj-bob@example.com",
        &steps,
    );
    let steps = ["pjsua-subscribe-initial-tcp"];
    watches(
        &server,
        &mut Phone::tcp(&server),
        "sip:bob-yp69e@example.com",
        &steps,
    );
}

#[test]
fn baresip_publishes() {
    let server = Server::start();
    let steps = [
        "baresip-publish-initial",
        "baresip-publish-modify",
        "baresip-publish-refresh",
        "baresip-publish-remove",
    ];
    publishes(
        &server,
        Phone::udp(&server),
        "sip:br-bob@example.com",
        &steps,
    );
    let steps = ["baresip-publish-initial-tcp"];
    publishes(
        &server,
        Phone::tcp(&server),
        "sip:bob-zs9sv@example.com",
        &steps,
    );
}

#[test]
fn baresip_watches() {
    let server = Server::start();
    let steps = [
        "baresip-subscribe-initial",
        "baresip-subscribe-refresh",
        "baresip-subscribe-end",
    ];
    watches(
        &server,
        &mut Phone::udp(&server),
        "sip:br-bob@example.com",
        &steps,
    );
}

#[test]
fn linphone_registers_and_publishes() {
    let server = Server::start();
    let mut phone = Phone::udp(&server);
    let registered = phone.send("linphone-register");
    let contacts = registered.contacts().expect("contacts");
    assert_eq!(contacts.len(), 1);
    assert_eq!(contacts[0].uri.port, Some(phone.peer.local().port()));
    let steps = [
        "linphone-publish-initial",
        "linphone-publish-modify-dnd",
        "linphone-publish-modify-meeting",
        "linphone-publish-remove",
    ];
    publishes(&server, phone, "sip:bob-yat3s@example.com", &steps);
}

#[test]
fn linphone_watches() {
    let server = Server::start();
    let mut phone = Phone::udp(&server);
    let steps = ["linphone-subscribe-initial", "linphone-subscribe-end"];
    watches(&server, &mut phone, "sip:bob-yat3s@example.com", &steps);
    // A list is not served: the phone is told which extension is missing.
    let list = phone.adapted("linphone-subscribe-list");
    phone.peer.send(list);
    let refusal = phone.peer.response(20, "SUBSCRIBE");
    assert_eq!(code(&refusal), 420);
    assert_eq!(
        text(&refusal, Name::Unsupported),
        "recipient-list-subscribe"
    );
}

/// Their transport is WebSocket, which is not served yet; what they write is the same over any stream.
#[test]
fn the_texts_of_sipjs_and_jssip_are_served_over_a_stream() {
    let server = Server::start();
    let steps = [
        "sipjs-publish-initial",
        "sipjs-publish-modify",
        "sipjs-publish-remove",
    ];
    let bob = "sip:bob-jrhg8@example.com";
    publishes(&server, Phone::tcp(&server), bob, &steps);
    watches(
        &server,
        &mut Phone::tcp(&server),
        bob,
        &["sipjs-subscribe-initial"],
    );
    let steps = ["jssip-subscribe-initial", "jssip-subscribe-end"];
    watches(&server, &mut Phone::tcp(&server), bob, &steps);
}

#[test]
fn twinkle_publishes() {
    let server = Server::start();
    let mut phone = Phone::udp(&server);
    // Of bob only the later recordings are there.
    let first = super::kit::pidf("sip:twbob@example.com", "t", "open", "");
    phone.etag = published(&mut phone.peer, "sip:twbob@example.com", "", &first);
    let steps = ["twinkle-publish-modify", "twinkle-publish-remove"];
    let mut watcher = server.by_udp();
    Dialog::open(&mut watcher, "sip:twbob@example.com", 600, "");
    assert!(body(&watcher.notify()).contains("open"));
    for step in steps {
        phone.send(step);
        watcher.notify();
    }
    phone.send("twinkle-publish-initial-alice");
    server.assert_well();
}
