//! Datagrams that go out together (docs/adr/0011), as a peer behind one address sees them: each whole, in order, and meaning the same.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rollcall_core::sip::Message;

use crate::support::process::Process;
use crate::support::sip::{body, pidf};

const ALICE: &str = "sip:alice@example.com";

/// Watchers of one presentity, behind one proxy.
const WATCHERS: usize = 20;

/// How long a message may take.
const LIMIT: Duration = Duration::from_secs(20);

struct Proxy {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Proxy {
    fn send(&self, text: &str) {
        let text = text.replace('\n', "\r\n");
        self.socket
            .send_to(text.as_bytes(), self.server)
            .expect("loopback takes it");
    }

    fn subscribe(&self, watcher: usize) {
        let own = self.socket.local_addr().expect("a bound socket");
        self.send(&format!(
            "SUBSCRIBE {ALICE} SIP/2.0\nVia: SIP/2.0/UDP {own};branch=z9hG4bKs{watcher};rport\nMax-Forwards: 70\n\
             From: <sip:watcher@example.com>;tag={watcher}\nTo: <{ALICE}>\nCall-ID: {}\nCSeq: 1 SUBSCRIBE\n\
             Contact: <sip:watcher@{own}>\nEvent: presence\nExpires: 600\nAccept: application/pidf+xml\nContent-Length: 0\n\n",
            call_id(watcher)
        ));
    }

    fn publish(&self, document: &str) {
        let own = self.socket.local_addr().expect("a bound socket");
        self.send(&format!(
            "PUBLISH {ALICE} SIP/2.0\nVia: SIP/2.0/UDP {own};branch=z9hG4bKpublish;rport\nMax-Forwards: 70\n\
             From: <{ALICE}>;tag=desk\nTo: <{ALICE}>\nCall-ID: desk\nCSeq: 1 PUBLISH\nEvent: presence\nExpires: 600\n\
             Content-Type: application/pidf+xml\nContent-Length: {}\n\n{document}",
            document.len()
        ));
    }

    /// The next message as it came; a NOTIFY is answered.
    fn receive(&self) -> (Message, String) {
        let mut buffer = vec![0; 65_535];
        let deadline = Instant::now() + LIMIT;
        let (length, _) = loop {
            assert!(Instant::now() < deadline, "no message in {LIMIT:?}");
            match self.socket.recv_from(&mut buffer) {
                Ok(received) => break received,
                Err(_) => continue,
            }
        };
        let raw = Bytes::copy_from_slice(&buffer[..length]);
        let text = String::from_utf8(raw.to_vec()).expect("text");
        let message = Message::parse(raw).expect("a message that can be read");
        if message.is_request() {
            let copied = ["Via", "From", "To", "Call-ID", "CSeq"];
            let lines = text.lines().take_while(|line| !line.is_empty());
            let head: String = lines
                .filter(|line| {
                    copied
                        .iter()
                        .any(|name| line.starts_with(&format!("{name}:")))
                })
                .map(|line| format!("{line}\n"))
                .collect();
            self.send(&format!("SIP/2.0 200 OK\n{head}Content-Length: 0\n\n"));
        }
        (message, text)
    }
}

/// Of different lengths, so that the messages are as well.
fn call_id(watcher: usize) -> String {
    format!("{watcher}-{}", "c".repeat(watcher))
}

#[test]
fn what_goes_out_together_arrives_one_by_one_the_answer_before_its_notify() {
    for offload in [true, false] {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("server.toml");
        let text = format!(
            "listen = \"udp:127.0.0.1:0\"\ndomain = [\"example.com\"]\nstore = \"memory:\"\nudp_offload = {offload}\nshards = 1\n\
             [notify]\npacing = \"0s\"\n"
        );
        std::fs::write(&config, text).expect("a file");
        let path = config.to_str().expect("a plain path");
        let server = Process::rollcall(&["server", "--config", path]);
        let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("a socket");
        let proxy = Proxy {
            socket,
            server: server.listening("udp"),
        };
        (0..WATCHERS).for_each(|watcher| proxy.subscribe(watcher));
        let mut came: BTreeMap<String, Vec<bool>> = BTreeMap::new();
        for _ in 0..2 * WATCHERS {
            let (message, _) = proxy.receive();
            let call = message.call_id().expect("a Call-ID").to_owned();
            came.entry(call).or_default().push(message.is_request());
        }
        let expected = (0..WATCHERS).map(|watcher| (call_id(watcher), vec![false, true]));
        assert_eq!(came, expected.collect(), "offload: {offload}");

        let document = pidf(ALICE, "open", "at the desk");
        proxy.publish(&document);
        let mut told = Vec::new();
        let mut padded = 0;
        for _ in 0..=WATCHERS {
            let (message, text) = proxy.receive();
            if message.is_request() {
                assert!(body(&message).contains("at the desk"), "{text}");
                told.push(message.call_id().expect("a Call-ID").to_owned());
                padded += usize::from(text.contains("\r\nContent-Length:  "));
            }
        }
        told.sort_unstable();
        let mut everybody: Vec<String> = (0..WATCHERS).map(call_id).collect();
        everybody.sort_unstable();
        assert_eq!(told, everybody, "offload: {offload}");
        // Blanks make them one size, so that they can go together.
        assert_eq!(padded > 0, offload, "{padded} of them have blanks");
    }
}
