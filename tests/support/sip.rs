//! A SIP client by hand: sends text, reads messages.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rollcall::core::sip::{Message, Name};

use super::LIMIT;

/// One UDP socket that speaks SIP as the test tells it.
pub struct Client {
    socket: UdpSocket,
    server: SocketAddr,
    kept: Vec<Message>,
}

impl Client {
    /// A client of this server, on a free port of loopback.
    pub fn new(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
        Self {
            socket,
            server,
            kept: Vec::new(),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("a bound socket")
    }

    /// Sends a message; lines may end with LF alone in the test's source.
    pub fn send(&self, text: &str) {
        let text = text.replace("\r\n", "\n").replace('\n', "\r\n");
        self.socket
            .send_to(text.as_bytes(), self.server)
            .expect("loopback takes it");
    }

    /// The next message the question says yes to; others are kept for later questions.
    pub fn expect(&mut self, what: &str, yes: impl Fn(&Message) -> bool) -> Message {
        if let Some(at) = self.kept.iter().position(&yes) {
            return self.kept.remove(at);
        }
        let deadline = Instant::now() + LIMIT;
        let mut buffer = vec![0; 65_535];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited {LIMIT:?} in vain for {what}");
            self.socket
                .set_read_timeout(Some(left.max(Duration::from_millis(1))))
                .expect("a socket");
            let Ok((length, _)) = self.socket.recv_from(&mut buffer) else {
                continue;
            };
            let message =
                Message::parse(Bytes::copy_from_slice(&buffer[..length])).expect("well-formed SIP");
            if yes(&message) {
                return message;
            }
            self.kept.push(message);
        }
    }

    /// The next message if one comes within this time.
    pub fn within(&mut self, time: Duration) -> Option<Message> {
        let mut buffer = vec![0; 65_535];
        self.socket.set_read_timeout(Some(time)).expect("a socket");
        let (length, _) = self.socket.recv_from(&mut buffer).ok()?;
        Some(Message::parse(Bytes::copy_from_slice(&buffer[..length])).expect("well-formed SIP"))
    }

    /// The final response to the request with this CSeq number.
    pub fn response(&mut self, cseq: u32) -> Message {
        self.expect(&format!("a response to CSeq {cseq}"), |message| {
            !message.is_request() && message.cseq().is_ok_and(|own| own.number == cseq)
        })
    }

    /// The next NOTIFY, answered 200.
    pub fn notify(&mut self) -> Message {
        let notify = self.expect("a NOTIFY", |message| message.is_request());
        self.answer(&notify, 200, "OK");
        notify
    }

    /// Answers a request.
    pub fn answer(&self, request: &Message, code: u16, reason: &str) {
        let mut text = format!("SIP/2.0 {code} {reason}\n");
        for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
            for value in request.texts(name) {
                text.push_str(&format!("{}: {value}\n", name.as_str()));
            }
        }
        text.push_str("Content-Length: 0\n\n");
        self.send(&text);
    }
}
