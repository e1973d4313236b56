//! SIP peers on real sockets that say what a test tells them, and keep what they hear until it is asked for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rollcall::core::sip::{Frame, Framer, Message, Name};

use super::kit::{branch, code, wire};
use crate::support::LIMIT;

static SERIAL: AtomicU32 = AtomicU32::new(1);

/// A SIP peer. What comes is kept until it is asked for; repeated requests are taken once, and answered again.
pub struct Peer {
    link: Link,
    server: SocketAddr,
    local: SocketAddr,
    /// Makes its branches and Call-IDs its own. Its port does not: the kernel gives it away again.
    pub serial: u32,
    /// Its address: From of its requests.
    name: String,
    /// CSeq of the last request; also makes its other identifiers its own.
    pub count: u32,
    kept: VecDeque<Message>,
    seen: BTreeSet<String>,
    answers: BTreeMap<String, String>,
}

enum Link {
    Udp(UdpSocket),
    Tcp {
        stream: TcpStream,
        framer: Framer,
        buffer: BytesMut,
        is_closed: bool,
    },
}

impl Peer {
    pub fn udp(server: SocketAddr) -> Self {
        let ip = server.ip();
        Self::udp_at(SocketAddr::new(ip, 0), server)
    }

    pub fn udp_at(local: SocketAddr, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind(local).unwrap_or_else(|error| panic!("{local}: {error}"));
        let local = socket.local_addr().expect("a bound socket");
        Self::over(Link::Udp(socket), local, server)
    }

    pub fn tcp(server: SocketAddr) -> Self {
        Self::stream(TcpStream::connect(server).expect("the server listens"))
    }

    pub fn stream(stream: TcpStream) -> Self {
        let local = stream.local_addr().expect("a connected socket");
        let server = stream.peer_addr().expect("a connected socket");
        let link = Link::Tcp {
            stream,
            framer: Framer::new(Message::MAX_LEN),
            buffer: BytesMut::new(),
            is_closed: false,
        };
        Self::over(link, local, server)
    }

    fn over(link: Link, local: SocketAddr, server: SocketAddr) -> Self {
        Self {
            link,
            server,
            local,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            name: "sip:peer@example.com".to_owned(),
            count: 0,
            kept: VecDeque::new(),
            seen: BTreeSet::new(),
            answers: BTreeMap::new(),
        }
    }

    /// Its own address.
    /// The same under another address.
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// `UDP` or `TCP`.
    pub fn transport(&self) -> &'static str {
        match self.link {
            Link::Udp(_) => "UDP",
            Link::Tcp { .. } => "TCP",
        }
    }

    /// Sends these bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        match &mut self.link {
            Link::Udp(socket) => {
                let sent = socket.send_to(bytes.as_ref(), self.server);
                sent.expect("loopback takes it");
            }
            // The server may close while we write: the reader will notice.
            Link::Tcp { stream, .. } => drop(stream.write_all(bytes.as_ref())),
        }
    }

    /// A whole, correct request outside any dialog, with a branch, tag and Call-ID of its own. `head` has further header
    /// lines, each ended by a line end.
    pub fn request(&mut self, method: &str, uri: &str, head: &str, body: &str) -> String {
        self.count += 1;
        let (n, local, serial) = (self.count, self.local, self.serial);
        let (name, transport, length) = (&self.name, self.transport(), body.len());
        let top = wire(&format!(
            "{method} {uri} SIP/2.0
            Via: SIP/2.0/{transport} {local};branch=z9hG4bK{serial}x{n};rport
            Max-Forwards: 70
            From: <{name}>;tag=f{n}
            To: <{uri}>
            Call-ID: {n}-{serial}@peer
            CSeq: {n} {method}
            {head}Content-Length: {length}
            "
        ));
        format!("{top}\r\n{body}")
    }

    /// Sends such a request and waits for its final response.
    pub fn ask(&mut self, method: &str, uri: &str, head: &str, body: &str) -> Message {
        let request = self.request(method, uri, head, body);
        self.send(request);
        self.response(self.count, method)
    }

    /// The final response to the request with this CSeq.
    pub fn response(&mut self, number: u32, method: &str) -> Message {
        let what = format!("the response to {number} {method}");
        self.expect(&what, |message| {
            let cseq = message.cseq();
            message.status().is_some_and(|status| status.code() >= 200)
                && cseq.is_ok_and(|own| own.number == number && own.method.as_str() == method)
        })
    }

    /// The response to the last request, if one comes before the connection is closed.
    pub fn try_response(&mut self) -> Option<Message> {
        while !self.is_closed() {
            if self.receive(LIMIT) {
                return self.kept.pop_front();
            }
        }
        None
    }

    /// The next NOTIFY, not answered.
    pub fn unanswered_notify(&mut self) -> Message {
        self.expect("a NOTIFY", Message::is_request)
    }

    /// The next NOTIFY, answered 200.
    pub fn notify(&mut self) -> Message {
        let notify = self.unanswered_notify();
        self.answer(&notify, "200 OK", "");
        notify
    }

    /// Answers a request with a status line such as `200 OK` and further header lines.
    pub fn answer(&mut self, request: &Message, status: &str, head: &str) {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
            for value in request.texts(name) {
                text.push_str(&format!("{}: {value}\r\n", name.as_str()));
            }
        }
        text.push_str(&format!("{}Content-Length: 0\r\n\r\n", wire(head)));
        self.answers.insert(branch(request), text.clone());
        self.send(text);
    }

    /// The next message that the question says yes to.
    pub fn expect(&mut self, what: &str, yes: impl Fn(&Message) -> bool) -> Message {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(at) = self.kept.iter().position(&yes) {
                return self.kept.remove(at).expect("it was found there");
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let came = !left.is_zero() && self.receive(left);
            assert!(
                came || !left.is_zero() && !self.is_closed(),
                "{} {}: waited in vain for {what}; there is only {:#?}",
                self.transport(),
                self.local,
                self.kept
            );
        }
    }

    /// All messages that came and were not asked for, as text. To be called after a [`Peer::fence`].
    pub fn rest(&mut self) -> Vec<String> {
        let text = |message: Message| String::from_utf8_lossy(&message.raw()).into_owned();
        self.take().into_iter().map(text).collect()
    }

    /// All messages that came and were not asked for.
    pub fn take(&mut self) -> Vec<Message> {
        while self.receive(Duration::from_millis(1)) {}
        self.kept.drain(..).collect()
    }

    /// An OPTIONS goes there and back: what was sent before it has come.
    pub fn fence(&mut self) {
        assert_eq!(code(&self.ask("OPTIONS", "sip:example.com", "", "")), 200);
    }

    /// Writes no more, but still reads.
    pub fn finish(&mut self) {
        if let Link::Tcp { stream, .. } = &self.link {
            // An error means that the server was faster.
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
    }

    /// Waits until the server closes the connection.
    pub fn expect_close(&mut self) {
        let deadline = Instant::now() + LIMIT;
        while !self.is_closed() {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{}: the connection stays open", self.local);
            self.receive(left);
        }
    }

    fn is_closed(&self) -> bool {
        matches!(
            self.link,
            Link::Tcp {
                is_closed: true,
                ..
            }
        )
    }

    /// Reads once; whether a message came that was new.
    fn receive(&mut self, limit: Duration) -> bool {
        let limit = Some(limit.max(Duration::from_millis(1)));
        let mut came = Vec::new();
        match &mut self.link {
            Link::Udp(socket) => {
                let mut buffer = vec![0; 65_535];
                socket.set_read_timeout(limit).expect("a socket");
                if let Ok((length, _)) = socket.recv_from(&mut buffer) {
                    came.push(Bytes::copy_from_slice(&buffer[..length]));
                }
            }
            Link::Tcp {
                stream,
                framer,
                buffer,
                is_closed,
            } => {
                let mut bytes = [0; 16_384];
                stream.set_read_timeout(limit).expect("a socket");
                match stream.read(&mut bytes) {
                    Ok(0) => *is_closed = true,
                    Ok(length) => buffer.extend_from_slice(&bytes[..length]),
                    Err(error)
                        if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                    Err(_) => *is_closed = true,
                }
                while let Some(frame) = framer.next(buffer).expect("a stream of SIP") {
                    if let Frame::Message(bytes) = frame {
                        came.push(bytes);
                    }
                }
            }
        }
        let before = self.kept.len();
        for bytes in came {
            let message = Message::parse(bytes).expect("well-formed SIP");
            if message.is_request() && !self.seen.insert(branch(&message)) {
                if let Some(answer) = self.answers.get(&branch(&message)).cloned() {
                    self.send(answer);
                }
                continue;
            }
            self.kept.push_back(message);
        }
        self.kept.len() > before
    }
}
