//! A Presence Server as a process, and what tests do with it in one line.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use rollcall::core::sip::{Message, Name};

pub use super::peer::Peer;
use crate::support::faults::Faults;
use crate::support::process::Process;

/// The presentity of most tests.
pub const BOB: &str = "sip:bob@example.com";

/// A running `rollcall server` with sockets of its own on IPv4 and IPv6.
pub struct Server {
    pub process: Process,
    pub udp: SocketAddr,
    pub tcp: SocketAddr,
    shards: usize,
    /// What it can be made to do wrong.
    pub faults: Faults,
    /// Its config file, and its store if it has one.
    folder: tempfile::TempDir,
}

impl Server {
    /// Two shards, nothing kept, changes told at once, short lives allowed.
    pub fn start() -> Self {
        Self::with(2, "")
    }

    /// The same with so many shards, and with these lines of config: sections, each key at most once.
    pub fn with(shards: usize, sections: &str) -> Self {
        Self::on("memory:", shards, sections)
    }

    /// The same with its state in a folder.
    pub fn on_disk(shards: usize, sections: &str) -> Self {
        Self::on("file:", shards, sections)
    }

    fn on(store: &str, shards: usize, sections: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = match store {
            "file:" => format!("file:{}", folder.path().join("store").display()),
            other => other.to_owned(),
        };
        let mut text = format!(
            "listen = [\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\", \"udp:[::1]:0\", \"tcp:[::1]:0\"]\n\
             domain = [\"example.com\"]\nstore = \"{store}\"\nshards = {shards}\n"
        );
        for (section, body) in [
            ("[publish]", "min = \"1s\"\n"),
            ("[subscribe]", "min = \"1s\"\n"),
            // Nothing is told as nothing, so that no test takes one for the other.
            ("[notify]", "pacing = \"0s\"\noffline = false\n"),
        ] {
            if !sections.contains(section) {
                text.push_str(&format!("{section}\n{body}"));
            }
        }
        text.push_str(sections);
        let config = folder.path().join("server.toml");
        std::fs::write(&config, text).expect("a config file");
        let config = config.to_str().expect("a plain path");
        let faults = Faults::at(folder.path());
        let arguments = ["server", "--config", config];
        let process = Process::rollcall_told(folder.path(), &arguments, &[faults.variable()]);
        let (udp, tcp) = (process.listening("udp"), process.listening("tcp"));
        Self {
            process,
            udp,
            tcp,
            shards,
            faults,
            folder,
        }
    }

    /// The folder of its store, when it has one.
    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// Where it listens on IPv6: UDP or TCP.
    pub fn v6(&self, transport: &str) -> SocketAddr {
        let prefix = format!("listening on {transport}:[::1]");
        let line = self
            .process
            .wait_for(&prefix, |line| line.starts_with(&prefix));
        let address = line.rsplit_once(&format!("{transport}:"));
        address
            .and_then(|(_, address)| address.parse().ok())
            .expect("an address")
    }

    /// Ends it as a power cut would, and starts it again at the same addresses on the same store.
    pub fn cut_power(&mut self) {
        let listen: Vec<String> = [
            format!("udp:{}", self.udp),
            format!("tcp:{}", self.tcp),
            format!("udp:{}", self.v6("udp")),
            format!("tcp:{}", self.v6("tcp")),
        ]
        .to_vec();
        self.process.kill();
        let config = self.folder.path().join("server.toml");
        let mut arguments = vec!["server", "--config", config.to_str().expect("a plain path")];
        for address in &listen {
            arguments.extend(["--listen", address]);
        }
        self.process = Process::rollcall(&arguments);
        self.process.listening("udp");
    }

    /// A peer on a UDP socket of its own.
    pub fn by_udp(&self) -> Peer {
        Peer::udp(self.udp)
    }

    /// Its resident memory in KiB.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("a process of ours");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number
            .and_then(|number| number.parse().ok())
            .expect("a size")
    }

    /// A peer on a connection of its own.
    pub fn by_tcp(&self) -> Peer {
        Peer::tcp(self.tcp)
    }

    /// Its counters as SIGUSR1 shows them, by actor and name: `registry.notified` summed over the
    /// shards, `registry 1.notified` of one.
    pub fn counters(&self) -> BTreeMap<String, u64> {
        let mut from = self.process.lines().len();
        self.process.signal("USR1");
        let mut sums = BTreeMap::new();
        for actor in ["endpoint", "registry"] {
            for shard in 0..self.shards {
                let prefix = format!("{actor} {shard}:");
                let line;
                (from, line) = self
                    .process
                    .wait_for_from(from, &prefix, |line| line.starts_with(&prefix));
                for (name, value) in line.split(' ').filter_map(|pair| pair.split_once('=')) {
                    let value: u64 = value.parse().unwrap_or(0);
                    *sums.entry(format!("{actor}.{name}")).or_default() += value;
                    sums.insert(format!("{actor} {shard}.{name}"), value);
                }
            }
        }
        sums
    }

    /// It answers, and no core of it has panicked.
    pub fn assert_well(&self) {
        let mut peer = self.by_udp();
        let answer = peer.ask("OPTIONS", "sip:example.com", "", "");
        assert_eq!(code(&answer), 200);
        let counters = self.counters();
        for (name, count) in &counters {
            assert!(!name.contains("panics"), "{name} = {count}");
        }
        let panics = self.process.lines();
        let panics = panics.iter().find(|line| line.contains("panicked"));
        assert_eq!(panics, None);
    }
}

/// The branch of a message's first Via.
pub fn branch(message: &Message) -> String {
    let via = message.via().expect("a Via");
    via.branch().unwrap_or_default().to_owned()
}

/// The status of a response; 0 for a request.
pub fn code(message: &Message) -> u16 {
    message.status().map_or(0, |status| status.code())
}

/// A header that must be there.
pub fn text(message: &Message, name: Name) -> String {
    let value = message.text(name);
    let value = value.unwrap_or_else(|| panic!("no {} in {message:?}", name.as_str()));
    value.into_owned()
}

/// The body as text.
pub fn body(message: &Message) -> String {
    String::from_utf8_lossy(&message.body()).into_owned()
}

/// Text as it is on the wire: each line without its indentation, ended by CRLF.
pub fn wire(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| format!("{}\r\n", line.trim_start()));
    lines.filter(|line| line != "\r\n").collect()
}

/// An address of loopback that only this process uses, so that a test may take any port of it, 5060 above all.
pub fn own_address(number: u8) -> IpAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    IpAddr::from([127, high.max(1), low, number])
}

/// A PIDF document with one tuple.
pub fn pidf(entity: &str, id: &str, basic: &str, more: &str) -> String {
    format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{entity}\"><tuple id=\"{id}\"><status><basic>{basic}</basic>\
         </status>{more}</tuple></presence>"
    )
}

/// PUBLISH as it is: `condition` is further header lines.
pub fn publish(peer: &mut Peer, uri: &str, condition: &str, body: &str) -> Message {
    let mut head = format!("Event: presence\n{condition}");
    if !body.is_empty() {
        head.push_str("Content-Type: application/pidf+xml\n");
    }
    peer.ask("PUBLISH", uri, &head, body)
}

/// PUBLISH that is taken; the entity-tag.
pub fn published(peer: &mut Peer, uri: &str, condition: &str, body: &str) -> String {
    let answer = publish(peer, uri, condition, body);
    assert_eq!(code(&answer), 200, "{answer:?}");
    text(&answer, Name::SipEtag)
}

/// A subscription as its watcher sees it.
pub struct Dialog {
    /// The 200 that made it.
    pub ok: Message,
    pub uri: String,
    call_id: String,
    from: String,
    to: String,
    contact: String,
}

impl Dialog {
    /// SUBSCRIBE, its 200, and nothing read further.
    pub fn open(peer: &mut Peer, uri: &str, expires: u32, head: &str) -> Self {
        let contact = contact(peer);
        let event = if head.contains("Event:") {
            ""
        } else {
            "Event: presence\n"
        };
        let head = format!("{event}Contact: {contact}\nExpires: {expires}\n{head}");
        let ok = peer.ask("SUBSCRIBE", uri, &head, "");
        assert_eq!(code(&ok), 200, "{ok:?}");
        let target = ok
            .contacts()
            .expect("contacts")
            .first()
            .expect("one")
            .uri
            .to_string();
        Self {
            uri: target,
            call_id: text(&ok, Name::CallId),
            from: text(&ok, Name::From),
            to: text(&ok, Name::To),
            contact,
            ok,
        }
    }

    /// A SUBSCRIBE within it and its response. `number` is its CSeq.
    pub fn ask(&self, peer: &mut Peer, number: u32, expires: u32, event: &str) -> Message {
        let (local, transport) = (peer.local(), peer.transport());
        peer.count = peer.count.max(number);
        let top = wire(&format!(
            "SUBSCRIBE {} SIP/2.0
            Via: SIP/2.0/{transport} {local};branch=z9hG4bKd{}x{number}x{expires};rport
            Max-Forwards: 70
            From: {}
            To: {}
            Call-ID: {}
            CSeq: {number} SUBSCRIBE
            Contact: {}
            Event: {event}
            Expires: {expires}
            Content-Length: 0
            ",
            self.uri, peer.serial, self.from, self.to, self.call_id, self.contact
        ));
        peer.send(format!("{top}\r\n"));
        peer.response(number, "SUBSCRIBE")
    }
}

/// A Contact where the peer is.
pub fn contact(peer: &Peer) -> String {
    let transport = peer.transport().to_lowercase();
    format!("<sip:watcher@{};transport={transport}>", peer.local())
}

/// State, CSeq and body of a NOTIFY.
pub fn shown(notify: &Message) -> (String, u32, String) {
    let cseq = notify.cseq().expect("a CSeq").number;
    (text(notify, Name::SubscriptionState), cseq, body(notify))
}
