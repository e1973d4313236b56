//! A SIP client by hand over one connection: TLS, WebSocket, or both.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use rollcall::core::sip::{Frame, Framer, Message, Name};
use rollcall::transport::{Network, Stream, Tls, tls::Files};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message as Item};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::LIMIT;

enum Way {
    Bytes(Stream, BytesMut, Framer),
    Web(Box<WebSocketStream<Stream>>),
}

/// One connection.
pub struct Connection {
    runtime: Runtime,
    way: Way,
    via: &'static str,
    cseq: u32,
}

async fn open(address: SocketAddr, files: Option<&Files>) -> Result<Stream, String> {
    let stream = Network::Real
        .connect(address)
        .await
        .map_err(|error| error.to_string())?;
    match files {
        None => Ok(stream),
        Some(files) => {
            let tls = Tls::open(files).map_err(|error| error.to_string())?;
            tls.connect(stream, "localhost")
                .await
                .map_err(|error| error.to_string())
        }
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

impl Connection {
    /// Over TLS, to what must be `localhost`.
    pub fn tls(address: SocketAddr, files: &Files) -> Result<Self, String> {
        let runtime = runtime();
        let stream = runtime.block_on(open(address, Some(files)))?;
        let way = Way::Bytes(stream, BytesMut::new(), Framer::new(Message::MAX_LEN));
        Ok(Self {
            runtime,
            way,
            via: "TLS",
            cseq: 0,
        })
    }

    /// Over WebSocket, encrypted with these files. Offers this sub-protocol, if any. The status of a refusal.
    pub fn web(
        address: SocketAddr,
        files: Option<&Files>,
        protocol: Option<&str>,
    ) -> Result<Self, u16> {
        let runtime = runtime();
        let mut request = format!("ws://{address}/sip")
            .into_client_request()
            .expect("a request");
        if let Some(protocol) = protocol {
            let offer = protocol.parse().expect("a header");
            request
                .headers_mut()
                .insert("sec-websocket-protocol", offer);
        }
        let opened = runtime.block_on(async {
            let stream = open(address, files).await.expect("a connection");
            client_async(request, stream).await
        });
        let (socket, answer) = match opened {
            Ok(opened) => opened,
            Err(Error::Http(refusal)) => return Err(refusal.status().as_u16()),
            Err(error) => panic!("no WebSocket: {error}"),
        };
        let agreed = answer.headers().get("sec-websocket-protocol");
        assert!(agreed.is_some_and(|agreed| agreed.as_bytes().eq_ignore_ascii_case(b"sip")));
        let via = if files.is_some() { "WSS" } else { "WS" };
        Ok(Self {
            runtime,
            way: Way::Web(Box::new(socket)),
            via,
            cseq: 0,
        })
    }

    /// Sends what a WebSocket carries as binary, as it is.
    pub fn send_binary(&mut self, bytes: Bytes) {
        let Way::Web(socket) = &mut self.way else {
            panic!("a stream has no binary messages");
        };
        self.runtime
            .block_on(socket.send(Item::Binary(bytes)))
            .expect("it is taken");
    }

    /// Sends text.
    pub fn send(&mut self, text: String) {
        self.runtime.block_on(async {
            match &mut self.way {
                Way::Bytes(stream, ..) => {
                    stream
                        .write_all(text.as_bytes())
                        .await
                        .expect("it is taken");
                    stream.flush().await.expect("it is taken");
                }
                Way::Web(socket) => socket.send(Item::text(text)).await.expect("it is taken"),
            }
        });
    }

    /// What comes next, whole.
    pub fn next(&mut self) -> Bytes {
        let way = &mut self.way;
        let coming = async {
            match way {
                Way::Bytes(stream, buffer, framer) => loop {
                    if let Some(Frame::Message(bytes)) = framer.next(buffer).expect("framed") {
                        return bytes;
                    }
                    let read = stream
                        .read_buf(buffer)
                        .await
                        .expect("the connection stands");
                    assert!(read > 0, "the server has closed the connection");
                },
                Way::Web(socket) => match socket.next().await.expect("the connection stands") {
                    Ok(Item::Text(text)) => Bytes::from(text),
                    other => panic!("no text: {other:?}"),
                },
            }
        };
        let coming = async { timeout(LIMIT, coming).await };
        self.runtime
            .block_on(coming)
            .expect("something comes in time")
    }

    /// The next SIP message.
    pub fn message(&mut self) -> Message {
        Message::parse(self.next()).expect("well-formed SIP")
    }

    /// A request as text; `lines` are further headers.
    pub fn request(&mut self, method: &str, uri: &str, lines: &str, body: &str) -> String {
        self.cseq += 1;
        let (via, cseq) = (self.via, self.cseq);
        let length = body.len();
        format!(
            "{method} {uri} SIP/2.0\nVia: SIP/2.0/{via} df7jal23ls0d.invalid;branch=z9hG4bK{method}{cseq}\nMax-Forwards: 70\n\
             From: <sip:tester@example.com>;tag=t\nTo: <{uri}>\nCall-ID: {via}-call\nCSeq: {cseq} {method}\n{lines}\
             Content-Length: {length}\n\n{body}"
        )
        .replace('\n', "\r\n")
    }

    /// Sends a request and gives what comes next.
    pub fn ask(&mut self, method: &str, uri: &str, lines: &str, body: &str) -> Message {
        let request = self.request(method, uri, lines, body);
        self.send(request);
        self.message()
    }

    /// Answers a request with 200.
    pub fn answer(&mut self, request: &Message) {
        let mut text = "SIP/2.0 200 OK\r\n".to_owned();
        for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
            for value in request.texts(name) {
                text.push_str(&format!("{}: {value}\r\n", name.as_str()));
            }
        }
        self.send(text + "Content-Length: 0\r\n\r\n");
    }
}
