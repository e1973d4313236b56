//! A SIP peer that sends what it is told, right or wrong, and shows what it gets.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rollcall_core::sip::{Frame, Framer, Message, Name};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::LIMIT;
use crate::transport::{Datagram, Network, Pool, Stream};

/// A scripted peer, over UDP or TCP.
pub struct SipPeer {
    way: Way,
    local: SocketAddr,
    remote: SocketAddr,
    /// Counted up, so that each request has a branch and a Call-ID of its own.
    count: std::cell::Cell<u32>,
}

enum Way {
    Udp(Datagram, Pool),
    Tcp {
        stream: Stream,
        framer: Framer,
        buf: BytesMut,
    },
}

impl SipPeer {
    /// A UDP socket at `local` that sends to `remote`.
    ///
    /// # Panics
    /// If the address can't be bound.
    pub async fn udp(network: &Network, local: SocketAddr, remote: SocketAddr) -> Self {
        let socket = network
            .datagram(local, false)
            .await
            .expect("a socket for the peer");
        let local = socket.local_addr().expect("a bound socket");
        Self {
            way: Way::Udp(socket, Pool::new()),
            local,
            remote,
            count: 0.into(),
        }
    }

    /// A connection to `remote`.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn tcp(network: &Network, remote: SocketAddr) -> Self {
        Self::over(
            network
                .connect(remote)
                .await
                .expect("a connection for the peer"),
        )
    }

    /// The peer at the far end of a stream that was accepted.
    ///
    /// # Panics
    /// If the stream has no addresses.
    pub fn over(stream: Stream) -> Self {
        let local = stream.local_addr().expect("a local address");
        let remote = stream.peer_addr().expect("a peer's address");
        let way = Way::Tcp {
            stream,
            framer: Framer::new(Message::MAX_LEN),
            buf: BytesMut::new(),
        };
        Self {
            way,
            local,
            remote,
            count: 0.into(),
        }
    }

    /// The peer's own address.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Where it sends to.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// A whole, correct request with a branch, tag and Call-ID of its own. `head` has further header lines, each ended
    /// by a line end.
    pub fn request(&self, method: &str, uri: &str, head: &str, body: &str) -> String {
        let n = self.count.get() + 1;
        self.count.set(n);
        let transport = if matches!(self.way, Way::Udp(..)) {
            "UDP"
        } else {
            "TCP"
        };
        let (local, port, length) = (self.local, self.local.port(), body.len());
        let top = wire(&format!(
            "{method} {uri} SIP/2.0
            Via: SIP/2.0/{transport} {local};branch=z9hG4bKpeer{port}x{n};rport
            Max-Forwards: 70
            From: <sip:peer@{local}>;tag=peer{n}
            To: <{uri}>
            Call-ID: peer{n}@{local}
            CSeq: {n} {method}
            {head}Content-Length: {length}
            "
        ));
        format!("{top}{body}")
    }

    /// Sends these bytes: one datagram, or a stretch of the stream.
    ///
    /// # Panics
    /// If it can't be sent.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        match &mut self.way {
            Way::Udp(socket, _) => {
                socket
                    .send_to(&Bytes::copy_from_slice(bytes), self.remote)
                    .await
                    .expect("a sent datagram");
            }
            Way::Tcp { stream, .. } => stream.write_all(bytes).await.expect("an open connection"),
        }
    }

    /// Answers a request with a status line such as `200 OK`, further header lines (each ended by a line end) and the
    /// tag `peer` in To if it has none.
    ///
    /// # Panics
    /// If it can't be sent.
    pub async fn answer(&mut self, request: &Message, status: &str, head: &str) {
        let vias = request
            .texts(Name::Via)
            .map(|via| format!("Via: {via}\r\n"))
            .collect::<String>();
        let text = |name| request.text(name).unwrap_or_default();
        let tag = if request.to_tag().is_some() {
            ""
        } else {
            ";tag=peer"
        };
        let answer = format!(
            "SIP/2.0 {status}\r\n{vias}From: {}\r\nTo: {}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n{}Content-Length: 0\r\n\r\n",
            text(Name::From),
            text(Name::To),
            text(Name::CallId),
            text(Name::CSeq),
            wire(head),
        );
        self.send(answer).await;
    }

    /// The next message.
    ///
    /// # Panics
    /// If none comes within [`LIMIT`], or it can't be read.
    pub async fn expect(&mut self) -> Message {
        match self.receive(LIMIT).await {
            Some(Frame::Message(bytes)) => {
                Message::parse(bytes).expect("a message that can be read")
            }
            Some(other) => panic!("{other:?} came instead of a message"),
            None => panic!("no message came"),
        }
    }

    /// The next message, which is a response with this status.
    ///
    /// # Panics
    /// If anything else comes, or nothing.
    pub async fn expect_status(&mut self, code: u16) -> Message {
        let message = self.expect().await;
        let got = message.status().map(|status| status.code());
        assert_eq!(
            got,
            Some(code),
            "{}",
            String::from_utf8_lossy(&message.raw())
        );
        message
    }

    /// The next message, which is a request of this method.
    ///
    /// # Panics
    /// If anything else comes, or nothing.
    pub async fn expect_request(&mut self, method: &str) -> Message {
        let message = self.expect().await;
        let got = message.method().map(|method| method.as_str());
        assert_eq!(
            got,
            Some(method),
            "{}",
            String::from_utf8_lossy(&message.raw())
        );
        message
    }

    /// Waits for CRLF, the answer to a keep-alive over a stream (RFC 5626, 4.4.1).
    ///
    /// # Panics
    /// If anything else comes, or nothing.
    pub async fn expect_pong(&mut self) {
        assert_eq!(self.receive(LIMIT).await, Some(Frame::Pong));
    }

    /// Waits to see that nothing comes.
    ///
    /// # Panics
    /// If something comes.
    pub async fn expect_nothing(&mut self, during: Duration) {
        let got = self.receive(during).await;
        assert_eq!(got, None);
    }

    /// Waits until the other end closes the connection, without a further message.
    ///
    /// # Panics
    /// If it stays open, or something comes.
    pub async fn expect_close(&mut self) {
        let Way::Tcp { stream, buf, .. } = &mut self.way else {
            panic!("UDP has no connection")
        };
        match timeout(LIMIT, stream.read_buf(buf)).await {
            Ok(Ok(0) | Err(_)) => assert!(buf.is_empty(), "{buf:?} came before the close"),
            Ok(Ok(_)) => panic!("{buf:?} came instead of the close"),
            Err(_) => panic!("the connection stays open"),
        }
    }

    /// Writes no more, but still reads.
    ///
    /// # Panics
    /// If the connection is broken.
    pub async fn finish(&mut self) {
        if let Way::Tcp { stream, .. } = &mut self.way {
            stream.shutdown().await.expect("an open connection");
        }
    }

    /// The next datagram or frame, if one comes in time.
    ///
    /// # Panics
    /// If the stream can't be framed, or the socket fails.
    pub async fn receive(&mut self, limit: Duration) -> Option<Frame> {
        match &mut self.way {
            Way::Udp(socket, pool) => {
                let received = timeout(limit, socket.recv(pool)).await.ok()?;
                Some(Frame::Message(received.expect("a socket that works").0))
            }
            Way::Tcp {
                stream,
                framer,
                buf,
            } => timeout(limit, async {
                loop {
                    if let Some(frame) = framer.next(buf).expect("a stream of SIP messages") {
                        return Some(frame);
                    }
                    if stream.read_buf(buf).await.expect("a connection that works") == 0 {
                        return None;
                    }
                }
            })
            .await
            .ok()
            .flatten(),
        }
    }
}

/// Text as it is on the wire: each line without its indentation, ended by CRLF, so that tests can be indented.
pub fn wire(text: &str) -> String {
    text.lines()
        .map(|line| format!("{}\r\n", line.trim_start()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_text_has_crlf_at_each_end_of_line_and_no_indentation() {
        assert_eq!(
            wire("OPTIONS sip:a SIP/2.0\n    Via: x\n"),
            "OPTIONS sip:a SIP/2.0\r\nVia: x\r\n"
        );
        assert_eq!(wire(""), "");
    }
}
