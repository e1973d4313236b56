//! SIP: the reader, URIs, lists of header values, framing on streams.

use bytes::{Bytes, BytesMut};
use rollcall_core::sip::{
    Event, Frame, Framer, Message, Name, NameAddr, Params, SubscriptionState, Uri, Via,
};

/// A message that is read is the same when it is written and read again, and every header can be asked for.
pub fn message(data: &[u8]) {
    let Ok(message) = Message::parse(Bytes::copy_from_slice(data)) else {
        return;
    };
    let _ = (
        message.from(),
        message.to(),
        message.call_id(),
        message.cseq(),
    );
    let _ = (
        message.vias(),
        message.contacts(),
        message.expires(),
        message.event(),
    );
    let _ = (
        message.min_expires(),
        message.retry_after(),
        message.max_forwards(),
    );
    let _ = (
        message.subscription_state(),
        message.content_type(),
        message.accepts(),
    );
    let again = Message::parse(message.to_bytes()).expect("what is written can be read");
    assert_eq!(again.is_request(), message.is_request());
    assert_eq!(again.method(), message.method());
    assert_eq!(again.uri_text(), message.uri_text());
    assert_eq!(again.status(), message.status());
    assert_eq!(again.body(), message.body());
    assert_eq!(again.from().ok(), message.from().ok());
    assert_eq!(again.contacts().ok(), message.contacts().ok());
    // A message without Content-Length is written with one.
    let names = |message: &Message| {
        let lines = message.lines().map(|(name, ..)| name);
        lines
            .filter(|name| *name != Name::ContentLength)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&again), names(&message));
}

/// A URI equals itself, and what it prints is the same URI.
pub fn uri(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(uri) = Uri::parse(text) else {
        return;
    };
    assert!(uri.equals(&uri), "{text:?} does not equal itself");
    let printed = uri.to_string();
    let again = Uri::parse(&printed).expect("what is printed can be read");
    assert!(again.equals(&uri), "{text:?} is printed as {printed:?}");
    assert_eq!(again.aor(), uri.aor(), "{text:?}");
    assert_eq!(again.to_string(), printed);
}

/// Values of headers: lists of them are split without loss of order, and each reads as it prints.
pub fn lists(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(own) = NameAddr::parse(text) {
        let printed = own.to_string();
        let again = NameAddr::parse(&printed).expect("what is printed can be read");
        assert!(
            again.uri.equals(&own.uri) || own.is_wildcard(),
            "{text:?} is printed as {printed:?}"
        );
        assert_eq!(
            (again.tag(), again.q(), again.expires()),
            (own.tag(), own.q(), own.expires())
        );
    }
    let _ = (
        Via::parse(text),
        Event::parse(text),
        SubscriptionState::parse(text),
    );
    if let Some(params) = Params::parse(text) {
        let again = Params::parse(params.as_str()).expect("what is printed can be read");
        assert_eq!(
            again.iter().collect::<Vec<_>>(),
            params.iter().collect::<Vec<_>>()
        );
    }
    if text.contains(['\r', '\n']) {
        return;
    }
    // Two lines are the same as one list (RFC 3261, 7.3.1).
    let read = |lines: String| {
        let raw = format!("OPTIONS sip:a@b SIP/2.0\r\n{lines}Content-Length: 0\r\n\r\n");
        Message::parse(Bytes::from(raw)).ok()
    };
    let apart = read(format!("Accept: {text}\r\nAccept: last/one\r\n"));
    if let Some(apart) = apart {
        let values: Vec<String> = apart
            .values(Name::Accept)
            .map(|value| value.into_owned())
            .collect();
        assert_eq!(values.last().map(String::as_str), Some("last/one"));
    }
}

fn frames(pieces: &[&[u8]]) -> (Vec<Frame>, bool) {
    let mut framer = Framer::new(Message::MAX_LEN);
    let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match framer.next(&mut buffer) {
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => break,
                Err(_) => return (found, true),
            }
        }
    }
    (found, false)
}

/// Only messages: how many line ends are a keep-alive depends on how they come.
fn messages(frames: Vec<Frame>) -> Vec<Bytes> {
    let message = |frame| match frame {
        Frame::Message(bytes) => Some(bytes),
        Frame::Ping | Frame::Pong => None,
    };
    frames.into_iter().filter_map(message).collect()
}

/// A stream holds the same messages however it is cut. The first byte says where.
pub fn framing(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else {
        return;
    };
    let (whole, lost) = frames(&[stream]);
    let at = usize::from(cut) % (stream.len() + 1);
    let halves = frames(&[&stream[..at], &stream[at..]]);
    let single: Vec<&[u8]> = stream.chunks(1).collect();
    let bytes = frames(&single);
    let whole = messages(whole);
    assert_eq!(
        (messages(halves.0), halves.1),
        (whole.clone(), lost),
        "cut at {at}"
    );
    assert_eq!((messages(bytes.0), bytes.1), (whole, lost), "byte by byte");
}
