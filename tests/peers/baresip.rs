//! baresip publishes and watches (RFC 3903, 6665), over UDP, TCP and TLS.
//!
//! It reads PIDF by pattern, shows a contact as Online or Offline, and publishes `<basic>unknown</basic>` until it is told
//! what to say.

use std::net::SocketAddr;

use rollcall::core::sip::Name;

use super::{server_at, server_that_asks, server_with};
use crate::support::LIMIT;
use crate::support::process::Process;
use crate::support::sip::Client;
use crate::transports::certificates::Authority;

/// A baresip in a folder of its own, without sound or video.
struct Baresip {
    process: Process,
    _folder: tempfile::TempDir,
}

impl Baresip {
    fn start(accounts: &str, contacts: &str) -> Self {
        Self::start_with("", accounts, contacts)
    }

    /// With further lines of configuration.
    fn start_with(more: &str, accounts: &str, contacts: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = "sip_listen 127.0.0.1:0\nmodule_path /usr/lib/baresip/modules\nmodule stdio.so\nmodule_tmp account.so\n\
                      module_app contact.so\nmodule_app presence.so\nmodule_app menu.so\n";
        for (name, text) in [
            ("config", &*format!("{config}{more}")),
            ("accounts", accounts),
            ("contacts", contacts),
        ] {
            std::fs::write(folder.path().join(name), format!("{text}\n")).expect("a file");
        }
        let path = folder.path().to_str().expect("a plain path").to_owned();
        let process = Process::peer("baresip", "baresip-core", &["-4", "-s", "-f", &path], None);
        process.wait_for("baresip", |line| line.contains("baresip is ready"));
        Self {
            process,
            _folder: folder,
        }
    }

    /// Asks for the contact list until the contact is shown so.
    fn shows(&mut self, presence: &str) {
        let mut seen = 0;
        let mut shown = String::new();
        let deadline = std::time::Instant::now() + LIMIT;
        while !shown.contains(presence) {
            assert!(
                std::time::Instant::now() < deadline,
                "baresip never showed {presence}, but {shown}"
            );
            self.process.say("/contacts");
            let (after, _) = self
                .process
                .wait_for_from(seen, "the contact list", |line| {
                    line.contains("--- Contacts")
                });
            (seen, shown) = self
                .process
                .wait_for_from(after, "the contact", |line| line.contains("<sip:bob@"));
        }
    }
}

/// An account that speaks to its server by this transport. Without a way out of its own, baresip takes UDP.
fn account(user: &str, name: &str, address: SocketAddr) -> String {
    format!(
        "<sip:{user}@{address}>;outbound=\"sip:{address};transport={name}\";regint=0;pubint=600"
    )
}

/// A server for a peer that speaks this transport, and what baresip needs to believe it.
struct Served {
    server: Process,
    /// For clients by hand.
    udp: SocketAddr,
    /// For the peer.
    address: SocketAddr,
    config: String,
    _folder: tempfile::TempDir,
}

impl Served {
    fn over(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (server, config) = if name == "tls" {
            let authority = Authority::new();
            let [ca, own] = ["ca.pem", "server.pem"].map(|file| folder.path().join(file));
            std::fs::write(&ca, authority.pem()).expect("a file");
            authority.issue(&own, &["127.0.0.1"]);
            let own = own.to_str().expect("a plain path");
            let server = server_with(&["udp", "tls"], &["--auth", "off", "--certificate", own]);
            (server, format!("sip_cafile {}\n", ca.display()))
        } else {
            (server_at(&["udp", "tcp"]), String::new())
        };
        Self {
            udp: server.listening("udp"),
            address: server.listening(name),
            server,
            config,
            _folder: folder,
        }
    }

    /// Checks that the peer spoke this transport: what the server counted says so.
    fn spoke(&self, name: &str) {
        let from = self.server.lines().len();
        self.server.signal("USR1");
        let (to, _) = self
            .server
            .wait_for_from(from, "all counters", |line| line.starts_with("registry 0:"));
        let counters = self.server.lines()[from..to].join("\n");
        let connected = counters.contains(" transport.connections_accepted=");
        assert_eq!(connected, name != "udp", "{name}: {counters}");
    }
}

#[test]
fn baresip_is_watched() {
    for name in ["udp", "tcp", "tls"] {
        let served = Served::over(name);
        let (udp, address) = (served.udp, served.address);
        let bob = format!("sip:bob@{address}");
        let mut watcher = Client::new(udp);
        let own = watcher.address();
        watcher.send(&format!(
            "SUBSCRIBE {bob} SIP/2.0\nVia: SIP/2.0/UDP {own};branch=z9hG4bKs1;rport\nMax-Forwards: 70\n\
             From: <sip:alice@example.com>;tag=a\nTo: <{bob}>\nCall-ID: watch-{own}\nCSeq: 1 SUBSCRIBE\n\
             Contact: <sip:alice@{own}>\nEvent: presence\nAccept: application/pidf+xml\nExpires: 600\nContent-Length: 0\n\n"
        ));
        assert_eq!(
            watcher.response(1).status().map(|status| status.code()),
            Some(200)
        );
        let offline = text(&watcher.notify());
        assert!(offline.contains("<basic>closed</basic>"), "{offline}");
        let mut publisher = Baresip::start_with(&served.config, &account("bob", name, address), "");
        let unknown = watcher.notify();
        assert_eq!(
            unknown.content_type().as_deref(),
            Some("application/pidf+xml")
        );
        assert!(
            text(&unknown).contains("<basic>unknown</basic>"),
            "its own words are kept: {}",
            text(&unknown)
        );
        publisher.process.say("/presence_online");
        let online = watcher.notify();
        assert!(
            text(&online).contains("<basic>open</basic>"),
            "{}",
            text(&online)
        );
        publisher.process.say("/quit");
        let gone = watcher.notify();
        assert!(
            !text(&gone).contains("<basic>open</basic>"),
            "{}",
            text(&gone)
        );
        assert!(
            gone.text(Name::SubscriptionState)
                .is_some_and(|state| state.starts_with("active"))
        );
        served.spoke(name);
    }
}

#[test]
fn baresip_watches() {
    for name in ["udp", "tcp", "tls"] {
        let served = Served::over(name);
        let (udp, address) = (served.udp, served.address);
        let bob = format!("sip:bob@{address}");
        let contact = format!("\"Bob\" <{bob}>;presence=p2p");
        let mut watcher =
            Baresip::start_with(&served.config, &account("alice", name, address), &contact);
        let mut publisher = Client::new(udp);
        let tag = publish(&mut publisher, &bob, 1, None, "open");
        watcher.shows("Online");
        publish(&mut publisher, &bob, 2, Some(&tag), "closed");
        watcher.shows("Offline");
        served.spoke(name);
    }
}

fn text(message: &rollcall::core::sip::Message) -> String {
    String::from_utf8_lossy(&message.body()).into_owned()
}

/// Publishes by hand and gives the entity-tag.
pub(super) fn publish(
    client: &mut Client,
    presentity: &str,
    cseq: u32,
    tag: Option<&str>,
    basic: &str,
) -> String {
    let own = client.address();
    let condition = tag
        .map(|tag| format!("SIP-If-Match: {tag}\n"))
        .unwrap_or_default();
    let body = format!(
        "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{presentity}\"><tuple id=\"t1\">\
         <status><basic>{basic}</basic></status></tuple></presence>"
    );
    client.send(&format!(
        "PUBLISH {presentity} SIP/2.0\nVia: SIP/2.0/UDP {own};branch=z9hG4bKp{cseq};rport\nMax-Forwards: 70\n\
         From: <{presentity}>;tag=p\nTo: <{presentity}>\nCall-ID: publish-{own}-{presentity}\nCSeq: {cseq} PUBLISH\nEvent: presence\n\
         {condition}Expires: 600\nContent-Type: application/pidf+xml\nContent-Length: {}\n\n{body}",
        body.len()
    ));
    let response = client.response(cseq);
    assert_eq!(
        response.status().map(|status| status.code()),
        Some(200),
        "{}",
        response.reason()
    );
    response
        .text(Name::SipEtag)
        .expect("an entity-tag")
        .into_owned()
}

#[test]
fn baresip_logs_in_to_publish_and_to_watch() {
    let folder = tempfile::tempdir().expect("a folder");
    let all = [("bob", "secret"), ("alice", "geheim")];
    let (_server, udp, _) = server_that_asks(folder.path(), &all);
    let login = |user: &str, password: &str| {
        let account = account(user, "udp", udp);
        format!("{account};auth_user={user};auth_pass={password}")
    };
    let contact = format!("\"Bob\" <sip:bob@{udp}>;presence=p2p");
    let mut watcher = Baresip::start(&login("alice", "geheim"), &contact);
    watcher.shows("Offline");
    let mut publisher = Baresip::start(&login("bob", "secret"), "");
    publisher.process.say("/presence_online");
    watcher.shows("Online");
}
