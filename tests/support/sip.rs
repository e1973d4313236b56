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
    /// Who sent the message that came last.
    heard: Option<SocketAddr>,
    kept: Vec<Message>,
    cseq: u32,
}

/// A PIDF document of one tuple with a note.
pub fn pidf(presentity: &str, basic: &str, note: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{presentity}\"><tuple id=\"t1\">\
         <status><basic>{basic}</basic></status><note>{note}</note></tuple></presence>"
    )
}

/// The status code of a response.
pub fn code(message: &Message) -> u16 {
    message.status().map_or(0, |status| status.code())
}

/// The body as text.
pub fn body(message: &Message) -> String {
    String::from_utf8_lossy(&message.body()).into_owned()
}

impl Client {
    /// A client of this server, on a free port of loopback.
    pub fn new(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
        Self {
            server,
            ..Self::on(socket)
        }
    }

    /// The other end: one that waits on this socket and speaks to whom it has heard last.
    pub fn on(socket: UdpSocket) -> Self {
        Self {
            server: socket.local_addr().expect("a bound socket"),
            socket,
            heard: None,
            kept: Vec::new(),
            cseq: 0,
        }
    }

    /// From now on it speaks to this one.
    pub fn speak_to(&mut self, server: SocketAddr) {
        self.server = server;
    }

    /// Sends a request with a CSeq and branch of its own; `lines` are its further headers, the Contact among them if it
    /// has one. Gives the CSeq.
    pub fn request(&mut self, method: &str, uri: &str, lines: &str, body: &str) -> u32 {
        self.request_within(method, uri, uri, lines, body)
    }

    /// The same with a Request-URI and a To of their own, as requests within a dialog have.
    pub fn request_within(
        &mut self,
        method: &str,
        target: &str,
        to: &str,
        lines: &str,
        body: &str,
    ) -> u32 {
        self.cseq += 1;
        let (own, cseq) = (self.address(), self.cseq);
        let to = if to.starts_with('<') {
            to.to_owned()
        } else {
            format!("<{to}>")
        };
        self.send(&format!(
            "{method} {target} SIP/2.0\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{method}{cseq}p{};rport\nMax-Forwards: 70\n\
             From: <sip:tester@example.com>;tag=t{}\nTo: {to}\nCall-ID: {own}\nCSeq: {cseq} {method}\n{lines}\
             Content-Length: {}\n\n{body}",
            own.port(),
            own.port(),
            body.len()
        ));
        cseq
    }

    /// Publishes; with a tag what it stands for, without a body a refresh. Gives the response.
    pub fn publish(&mut self, presentity: &str, tag: Option<&str>, body: &str) -> Message {
        let tag = tag.map_or(String::new(), |tag| format!("SIP-If-Match: {tag}\n"));
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/pidf+xml\n"
        };
        let lines = format!("Event: presence\nExpires: 600\n{tag}{kind}");
        let cseq = self.request("PUBLISH", presentity, &lines, body);
        self.response(cseq)
    }

    /// Subscribes and gives the response; the NOTIFY is still to come.
    pub fn subscribe(&mut self, presentity: &str) -> Message {
        let lines = format!(
            "Event: presence\nExpires: 600\nContact: <sip:w@{}>\nAccept: application/pidf+xml\n",
            self.address()
        );
        let cseq = self.request("SUBSCRIBE", presentity, &lines, "");
        self.response(cseq)
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
            let Ok((length, from)) = self.socket.recv_from(&mut buffer) else {
                continue;
            };
            self.heard = Some(from);
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

    /// Answers a request to whom the last message came from.
    pub fn answer_to_sender(&mut self, request: &Message, code: u16, reason: &str) {
        self.server = self.heard.expect("a message was heard");
        self.answer(request, code, reason);
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
