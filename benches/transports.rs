//! What a PUBLISH costs a Presence Server over each transport, and with Digest: processor time of its process.
//!
//! `cargo bench --bench transports` starts a server of one shard for each way, and takes turns among them, so that what else
//! the machine does hits all alike. Over each way one connection has 32 requests on their way at a time, as a busy peer has, or
//! one, as a phone has; each modifies a publication of its own by a document of some 800 bytes. Printed is a table for each:
//! the least, the median and the most of all rounds, and the median of what each round cost more than the same round over UDP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rollcall::core::digest::{Answerer, Credentials};
use rollcall::core::entropy::Entropy;
use rollcall::core::sip::{Message, Name};
use tokio_rustls::rustls;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

/// Requests of a round.
const REQUESTS: usize = 20_000;
/// Rounds that count; one before them does not.
const ROUNDS: usize = 7;
/// On their way at a time.
const WINDOWS: [usize; 2] = [32, 1];

const PASSWORD: &str = "of no worth";

/// A way to a server.
struct Way {
    name: &'static str,
    transport: &'static str,
    /// The one algorithm that is offered, where passwords are asked for.
    digest: Option<&'static str>,
}

const WAYS: [Way; 7] = [
    Way::new("UDP", "udp", None),
    Way::new("TCP", "tcp", None),
    Way::new("TLS 1.3", "tls", None),
    Way::new("WebSocket", "ws", None),
    Way::new("secure WebSocket", "wss", None),
    Way::new("UDP, Digest SHA-256", "udp", Some("SHA-256")),
    Way::new("UDP, Digest MD5", "udp", Some("MD5")),
];

impl Way {
    const fn new(
        name: &'static str,
        transport: &'static str,
        digest: Option<&'static str>,
    ) -> Self {
        Self {
            name,
            transport,
            digest,
        }
    }
}

fn main() {
    // Cargo tests benches by running them so: nothing to measure then.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut desks: Vec<Desk> = WAYS
        .iter()
        .map(|way| Desk::start(way, folder.path()))
        .collect();
    for window in WINDOWS {
        table(window, &mut desks);
    }
}

/// Measures with so many requests on their way at a time, and prints what came of it.
fn table(window: usize, desks: &mut [Desk]) {
    let mut costs = vec![Vec::new(); WAYS.len()];
    for round in 0..=ROUNDS {
        for (desk, costs) in desks.iter_mut().zip(&mut costs) {
            let cost = desk.round(window);
            if round > 0 {
                costs.push(cost);
            }
        }
        eprintln!("{window} at a time: round {round} of {ROUNDS}");
    }
    println!("\n{window} on their way at a time:\n");
    println!("| way | µs a PUBLISH: least | median | most | more than UDP |");
    println!("|---|---|---|---|---|");
    let udp = costs[0].clone();
    for (way, costs) in WAYS.iter().zip(&costs) {
        let more: Vec<f64> = costs.iter().zip(&udp).map(|(own, udp)| own - udp).collect();
        let (least, median, most) = spread(costs);
        let more = spread(&more).1;
        println!(
            "| {} | {least:.1} | {median:.1} | {most:.1} | {more:+.1} |",
            way.name
        );
    }
}

/// Least, median and most.
fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (
        sorted[0],
        sorted[sorted.len() / 2],
        sorted[sorted.len() - 1],
    )
}

/// A server, and a client at it.
struct Desk {
    server: Child,
    address: SocketAddr,
    link: Link,
    via: &'static str,
    answerer: Option<Answerer>,
    /// The entity-tag of each publication.
    tags: Vec<Option<String>>,
    requests: u64,
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Desk {
    fn start(way: &Way, folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
        command.args([
            "server", "--store", "memory:", "--shards", "1", "--log", "warn",
        ]);
        command.args(["--listen", &format!("{}:127.0.0.1:0", way.transport)]);
        if matches!(way.transport, "tls" | "wss") {
            command.arg("--self-signed");
        }
        match way.digest {
            None => command.args(["--auth", "off"]),
            Some(algorithm) => {
                let config = accounts(folder, algorithm);
                command.args(["--auth", "digest", "--config", &config])
            }
        };
        let mut server = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let address = listening(&mut server);
        let mut desk = Self {
            server,
            address,
            link: Link::open(way.transport, address),
            via: match way.transport {
                "udp" => "UDP",
                "tcp" => "TCP",
                "tls" => "TLS",
                "ws" => "WS",
                _ => "WSS",
            },
            answerer: None,
            tags: vec![None; WINDOWS[0]],
            requests: 0,
        };
        if way.digest.is_some() {
            desk.log_in();
        }
        desk
    }

    /// Takes a nonce, with which all further requests go out.
    fn log_in(&mut self) {
        self.ask(0);
        let challenge = self.link.receive();
        let challenge = Message::parse(challenge.into()).expect("a response");
        let account = Credentials {
            user: "bench".to_owned(),
            password: PASSWORD.to_owned(),
        };
        self.answerer = Answerer::new(&challenge, &account, None);
        assert!(self.answerer.is_some(), "a challenge: {challenge:?}");
    }

    /// Microseconds of processor time for each of the requests.
    fn round(&mut self, window: usize) -> f64 {
        let before = self.spent();
        for slot in 0..window {
            self.ask(slot);
        }
        let mut left = REQUESTS - window;
        let mut waiting = window;
        while waiting > 0 {
            let answer = self.link.receive();
            let slot = self.take(&answer);
            if left > 0 {
                left -= 1;
                self.ask(slot);
            } else {
                waiting -= 1;
            }
        }
        let spent = self.spent() - before;
        spent as f64 / 1000.0 / REQUESTS as f64
    }

    fn ask(&mut self, slot: usize) {
        self.requests += 1;
        let (n, via, at) = (self.requests, self.via, self.link.local());
        let uri = format!("sip:p{slot}@127.0.0.1");
        let condition = match &self.tags[slot] {
            Some(tag) => format!("SIP-If-Match: {tag}\r\n"),
            None => String::new(),
        };
        let authorization = match &mut self.answerer {
            Some(answerer) => {
                let mut entropy = Entropy::from_number(n);
                let (name, value) = answerer.authorize("PUBLISH", &uri, &mut entropy);
                format!("{}: {value}\r\n", name.as_str())
            }
            None => String::new(),
        };
        let body = document(&uri, n);
        let request = format!(
            "PUBLISH {uri} SIP/2.0\r\nVia: SIP/2.0/{via} {at};branch=z9hG4bKb{n};rport\r\nMax-Forwards: 70\r\n\
             From: <{uri}>;tag=f{slot}\r\nTo: <{uri}>\r\nCall-ID: {slot}-call\r\nCSeq: {n} PUBLISH\r\nEvent: presence\r\n\
             Expires: 3600\r\n{condition}{authorization}Content-Type: application/pidf+xml\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.link.send(request.as_bytes());
    }

    /// The slot that was answered, which must have gone well.
    fn take(&mut self, answer: &[u8]) -> usize {
        let message = Message::parse(answer.to_vec().into()).expect("a response");
        let code = message.status().map_or(0, |status| status.code());
        assert_eq!(code, 200, "{}: {message:?}", self.address);
        let call_id = message.call_id().expect("a Call-ID");
        let slot = call_id.split('-').next().and_then(|slot| slot.parse().ok());
        let slot: usize = slot.expect("a slot");
        self.tags[slot] = message.text(Name::SipEtag).map(|tag| tag.into_owned());
        if let Some(answerer) = &mut self.answerer {
            answerer.follow(&message);
        }
        slot
    }

    /// Nanoseconds that the server's threads have run.
    fn spent(&self) -> u64 {
        let tasks = format!("/proc/{}/task", self.server.id());
        let tasks = std::fs::read_dir(tasks).expect("a running server");
        tasks
            .filter_map(|task| {
                let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
                text.split(' ').next()?.parse::<u64>().ok()
            })
            .sum()
    }
}

/// A PIDF document with RPID of some 800 bytes, unlike the one before.
fn document(uri: &str, number: u64) -> String {
    let note = format!("{number:08} {}", "Back after the meeting. ".repeat(11));
    format!(
        "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
         xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"{uri}\"><tuple id=\"desk\"><status><basic>open</basic></status>\
         <contact priority=\"0.8\">{uri}</contact><timestamp>2026-01-01T00:00:00Z</timestamp></tuple><dm:person id=\"p\">\
         <rpid:activities><rpid:meeting/></rpid:activities><dm:note>{note}</dm:note></dm:person></presence>"
    )
}

/// Writes accounts and a config with one algorithm; the config's path.
fn accounts(folder: &Path, algorithm: &str) -> String {
    let users = folder.join(format!("users-{algorithm}"));
    let added = Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .args(["user", "add", "bench", "--realm", "bench", "--file"])
        .arg(&users)
        .env("ROLLCALL_PASSWORD", PASSWORD)
        .stdout(Stdio::null())
        .status();
    assert!(added.is_ok_and(|status| status.success()));
    let config = folder.join(format!("{algorithm}.toml"));
    let text = format!(
        "[digest]\nrealm = \"bench\"\nusers = \"{}\"\nalgorithms = [\"{algorithm}\"]\npublishers = [\"bench\"]\n",
        users.display()
    );
    std::fs::write(&config, text).expect("a file");
    config.to_str().expect("a plain path").to_owned()
}

/// The address that a server says it listens at.
fn listening(server: &mut Child) -> SocketAddr {
    use std::io::BufRead;
    let output = server.stdout.take().expect("its output");
    let mut line = String::new();
    std::io::BufReader::new(output)
        .read_line(&mut line)
        .expect("a line");
    let address = line
        .trim_end()
        .split_once("on ")
        .and_then(|(_, listen)| listen.split_once(':'));
    let address = address.and_then(|(_, address)| address.parse().ok());
    address.unwrap_or_else(|| panic!("no address in {line:?}"))
}

/// One connection, or a socket.
enum Link {
    Udp(UdpSocket),
    Stream(Box<dyn Stream>, SocketAddr, Vec<u8>),
    Web(Box<dyn Stream>, SocketAddr, Vec<u8>),
}

trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

impl Link {
    fn open(transport: &str, server: SocketAddr) -> Self {
        let patience = Some(Duration::from_secs(20));
        if transport == "udp" {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
            socket.connect(server).expect("loopback");
            socket.set_read_timeout(patience).expect("a socket");
            return Self::Udp(socket);
        }
        let tcp = TcpStream::connect(server).expect("it listens");
        tcp.set_read_timeout(patience).expect("a socket");
        tcp.set_nodelay(true).expect("a socket");
        let local = tcp.local_addr().expect("a socket");
        let mut stream: Box<dyn Stream> = match transport {
            "tls" | "wss" => Box::new(encrypted(tcp)),
            _ => Box::new(tcp),
        };
        if !transport.starts_with('w') {
            return Self::Stream(stream, local, Vec::new());
        }
        let hello = format!(
            "GET / HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
        );
        stream.write_all(hello.as_bytes()).expect("it reads");
        let mut said = Vec::new();
        until(&mut stream, &mut said, end_of_head);
        assert!(
            said.starts_with(b"HTTP/1.1 101"),
            "{}",
            String::from_utf8_lossy(&said)
        );
        Self::Web(stream, local, Vec::new())
    }

    fn local(&self) -> SocketAddr {
        match self {
            Self::Udp(socket) => socket.local_addr().expect("a socket"),
            Self::Stream(_, local, _) | Self::Web(_, local, _) => *local,
        }
    }

    fn send(&mut self, message: &[u8]) {
        match self {
            Self::Udp(socket) => {
                socket.send(message).expect("loopback takes it");
            }
            Self::Stream(stream, ..) => stream.write_all(message).expect("it reads"),
            Self::Web(stream, ..) => {
                // A binary frame of up to 64 KiB, masked by zeros as a client must mask (RFC 6455, 5.3).
                let length = u16::try_from(message.len()).expect("a small message");
                let mut frame = vec![0x82, 0x80 | 126];
                frame.extend_from_slice(&length.to_be_bytes());
                frame.extend_from_slice(&[0; 4]);
                frame.extend_from_slice(message);
                stream.write_all(&frame).expect("it reads");
            }
        }
    }

    /// The next response. Those to PUBLISH have no body.
    fn receive(&mut self) -> Vec<u8> {
        match self {
            Self::Udp(socket) => {
                let mut buffer = vec![0; 4096];
                let length = socket.recv(&mut buffer).expect("an answer in time");
                buffer.truncate(length);
                buffer
            }
            Self::Stream(stream, _, kept) => {
                let end = until(stream, kept, end_of_head);
                kept.drain(..end).collect()
            }
            Self::Web(stream, _, kept) => {
                let end = until(stream, kept, end_of_frame);
                let frame: Vec<u8> = kept.drain(..end).collect();
                let head = if frame[1] == 126 { 4 } else { 2 };
                frame[head..].to_vec()
            }
        }
    }
}

/// Reads until `kept` holds a whole piece; where that ends.
fn until(
    stream: &mut Box<dyn Stream>,
    kept: &mut Vec<u8>,
    end: impl Fn(&[u8]) -> Option<usize>,
) -> usize {
    let mut buffer = [0; 16_384];
    loop {
        if let Some(end) = end(kept) {
            return end;
        }
        let length = stream.read(&mut buffer).expect("an answer in time");
        assert!(length > 0, "the server has closed the connection");
        kept.extend_from_slice(&buffer[..length]);
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let at = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(at + 4)
}

/// An unmasked frame of up to 64 KiB.
fn end_of_frame(bytes: &[u8]) -> Option<usize> {
    let end = match (*bytes.get(1)?, bytes.get(2..4)) {
        (126, Some(length)) => 4 + usize::from(u16::from_be_bytes([length[0], length[1]])),
        (126, None) => return None,
        (short, _) => 2 + usize::from(short),
    };
    (bytes.len() >= end).then_some(end)
}

fn encrypted(tcp: TcpStream) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let session = rustls::ClientConnection::new(Arc::new(config), name).expect("a session");
    rustls::StreamOwned::new(session, tcp)
}

/// Believes any certificate: the server has made its own, and what is measured is the server's side.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
