//! SIP over WebSocket (RFC 7118): the handshake, and one SIP message a WebSocket message.

use std::io;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use rollcall_core::sip::{Frame, Message};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message as Item, Utf8Bytes};

use super::Stream;

/// A WebSocket that speaks SIP.
pub type WebSocket = WebSocketStream<Stream>;

/// Its reading half.
pub type Reader = SplitStream<WebSocket>;

/// Its writing half.
pub type Writer = SplitSink<WebSocket, Item>;

const PROTOCOL: &str = "sec-websocket-protocol";

/// Answers a browser's request to speak SIP. One that does not offer the sub-protocol `sip` gets a 400 with the reason
/// (RFC 7118, 4.1). There is no time limit but the caller's.
pub async fn accept(stream: Stream) -> io::Result<WebSocket> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(Message::MAX_LEN))
        .max_frame_size(Some(Message::MAX_LEN))
        .read_buffer_size(4096)
        .write_buffer_size(4096);
    tokio_tungstenite::accept_hdr_async_with_config(stream, agree, Some(config))
        .await
        .map_err(broken)
}

/// Asks somebody whom we have connected to, to speak SIP: for tests of servers, since nobody connects to browsers.
pub async fn connect(stream: Stream, host: &str) -> io::Result<WebSocket> {
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let mut request = format!("ws://{host}/")
        .into_client_request()
        .map_err(broken)?;
    request
        .headers_mut()
        .insert(PROTOCOL, HeaderValue::from_static("sip"));
    let (socket, _) = tokio_tungstenite::client_async(request, stream)
        .await
        .map_err(broken)?;
    Ok(socket)
}

#[expect(clippy::result_large_err, reason = "the signature is the library's")]
fn agree(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let offers = request.headers().get_all(PROTOCOL);
    let sip = offers
        .iter()
        .filter_map(|offer| offer.to_str().ok())
        .flat_map(|offer| offer.split(','))
        .map(str::trim)
        .find(|offer| offer.eq_ignore_ascii_case("sip"));
    // In the client's own capitals: it may compare letter by letter.
    if let Some(own) = sip.and_then(|sip| HeaderValue::from_str(sip).ok()) {
        response.headers_mut().insert(PROTOCOL, own);
        return Ok(response);
    }
    let mut refusal = ErrorResponse::new(Some(
        "the sub-protocol sip is spoken here, and was not offered\n".to_owned(),
    ));
    *refusal.status_mut() = StatusCode::BAD_REQUEST;
    Err(refusal)
}

/// A WebSocket's error as a stream's.
pub fn broken(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::other(other),
    }
}

/// What a WebSocket message holds for SIP: text and binary are alike (RFC 7118, 4.2). Line ends alone are a keep-alive, as
/// on a stream; WebSocket's own pings are answered by the library.
pub fn frame(item: Item) -> Option<Frame> {
    let bytes = match item {
        Item::Text(text) => Bytes::from(text),
        Item::Binary(bytes) => bytes,
        Item::Ping(_) | Item::Pong(_) | Item::Close(_) | Item::Frame(_) => return None,
    };
    if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
        return (bytes.len() >= 4).then_some(Frame::Ping);
    }
    Some(Frame::Message(bytes))
}

/// A SIP message as a WebSocket message: text, which browsers show, if it is any.
pub fn item(bytes: Bytes) -> Item {
    match Utf8Bytes::try_from(bytes.clone()) {
        Ok(text) => Item::Text(text),
        Err(_) => Item::Binary(bytes),
    }
}
