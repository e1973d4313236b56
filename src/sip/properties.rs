//! Any input, many times: readers do not panic, and what is printed reads as what was read.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;

/// Text that looks like SIP: pieces of it in any order.
fn soup() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "sip:",
        "sips:",
        "tel:",
        "pres:",
        "a",
        "Bob",
        "@",
        "h.example",
        "[2001:db8::1]",
        "[::",
        "]",
        "192.0.2.1",
        ":",
        "5060",
        ";",
        "tag",
        "=",
        "branch",
        "z9hG4bK",
        "lr",
        "received",
        "\"",
        "\\",
        "<",
        ">",
        ",",
        " ",
        "\t",
        "\r\n ",
        "\r\n",
        "\n",
        "\r",
        "*",
        "?",
        "&",
        "%61",
        "%00",
        "%",
        "SIP/2.0",
        "/",
        "UDP",
        "TCP",
        "0",
        "4294967296",
        "-1",
        "é",
        "\0",
        "presence",
        "active",
        "expires",
        "q",
        "0.5",
        "Via",
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Contact",
        "Event",
        "Expires",
        "Subscription-State",
        "Content-Length",
        "l",
        "m",
        "X",
        ": ",
        "PUBLISH",
        "200",
    ]);
    prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat())
}

/// A message of header lines that look like SIP, now and then with bytes in it that do not.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let start = prop::sample::select(vec![
        "PUBLISH sip:alice@example.com SIP/2.0",
        "WAVE tel:+1 SIP/2.0",
        "SIP/2.0 200 OK",
        "OPTIONS  sip:a b SIP/2.0",
        "NOTIFY sip:a@h SIP/3.0",
    ]);
    let name = prop::sample::select(vec![
        "Via",
        "v",
        "From",
        "To",
        "t",
        "Call-ID",
        "CSeq",
        "Contact",
        "m",
        "Event",
        "Expires",
        "Max-Forwards",
        "Accept",
        "Retry-After",
        "Subscription-State",
        "Route",
        "X-Own",
        "Content-Type",
        "Subject",
    ]);
    let lines = prop::collection::vec((name, soup()), 0..12);
    (
        start,
        lines,
        any::<Vec<u8>>(),
        prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>())),
    )
        .prop_map(|(start, lines, body, damage)| {
            let mut raw = format!("{start}\r\n").into_bytes();
            for (name, value) in lines {
                raw.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
            raw.extend_from_slice(b"\r\n");
            raw.extend_from_slice(&body);
            if let Some((index, byte)) = damage {
                let at = index.index(raw.len());
                raw[at] = byte;
            }
            raw
        })
}

/// Asks for everything that can be asked for.
fn look_at(message: &Message) {
    let _ = (
        message.method(),
        message.status(),
        message.reason(),
        message.uri_text(),
        message.body(),
    );
    let _ = message
        .request_uri()
        .map(|uri| (uri.aor(), uri.equals(&uri)));
    let _ = (
        message
            .from()
            .map(|from| (from.q(), from.expires(), from.display_text())),
        message.to(),
    );
    let _ = (
        message.from_tag(),
        message.to_tag(),
        message.call_id(),
        message.cseq(),
    );
    let _ = message
        .via()
        .map(|via| (via.received(), via.rport(), via.sent_by()));
    let _ = (
        message.vias(),
        message.contacts(),
        message.routes(Name::Route),
    );
    let _ = (
        message.expires(),
        message.min_expires(),
        message.retry_after(),
        message.max_forwards(),
    );
    let _ = (
        message.event(),
        message.subscription_state(),
        message.content_type(),
        message.accepts(),
    );
    for &name in Name::KNOWN {
        let _ = (
            message.text(name),
            message.values(name).count(),
            message.other(name.as_str()),
        );
    }
    let mut out = Vec::new();
    let patch = ViaPatch {
        received: std::net::Ipv4Addr::LOCALHOST.into(),
        rport: Some(1),
    };
    write_response(
        &mut out,
        message,
        StatusCode::OK,
        None,
        Some("t"),
        Some(patch),
        true,
        &[],
        b"",
    );
    assert!(
        Message::parse(Bytes::from(out)).is_ok(),
        "an answer is always well formed"
    );
}

/// Every header with its values unfolded, and the body; Content-Length is the printer's own.
fn meaning(message: &Message) -> (Vec<(String, Vec<u8>)>, Bytes) {
    let lines = message
        .lines()
        .filter(|(name, ..)| *name != Name::ContentLength)
        .map(|(name, written, value)| {
            let name = if name == Name::Other {
                String::from_utf8_lossy(written).into_owned()
            } else {
                name.to_string()
            };
            let mut plain = Vec::new();
            lex::push_unfolded(&mut plain, value);
            (name, plain)
        });
    (lines.collect(), message.body())
}

fn check(raw: Vec<u8>) {
    match Message::parse(Bytes::from(raw)) {
        Ok(message) => {
            look_at(&message);
            let printed = message.to_bytes();
            let again = Message::parse(printed.clone()).expect("what was printed is read");
            assert_eq!(meaning(&again), meaning(&message));
            assert_eq!(again.to_bytes(), printed);
        }
        Err(error) => {
            if let Some(message) = error.message() {
                look_at(message);
            }
        }
    }
}

/// Printing what was read and reading it again changes nothing.
fn is_fixed<T: PartialEq + std::fmt::Debug + std::fmt::Display, E: std::fmt::Debug>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) {
    if let Ok(value) = parse(text) {
        let again = parse(&value.to_string())
            .unwrap_or_else(|e| panic!("{text:?} printed as {value}: {e:?}"));
        assert_eq!(again, value);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(raw in any::<Vec<u8>>()) {
        check(raw);
    }

    #[test]
    fn messages_that_look_like_sip_mean_the_same_when_printed(raw in message()) {
        check(raw);
    }

    #[test]
    fn values_mean_the_same_when_printed(text in soup()) {
        is_fixed(&text, Uri::parse);
        is_fixed(&text, NameAddr::parse);
        is_fixed(&text, Via::parse);
        is_fixed(&text, Event::parse);
        is_fixed(&text, SubscriptionState::parse);
        is_fixed(&text, CSeq::parse);
        is_fixed(&text, |text| Params::parse(text).ok_or(()));
    }

    #[test]
    fn addresses_that_look_like_sip_mean_the_same_when_printed(display in soup(), uri in soup(), params in soup()) {
        is_fixed(&format!("{display}<sip:{uri}>;{params}"), NameAddr::parse);
        is_fixed(&format!("SIP/2.0/UDP {uri};{params}"), Via::parse);
        is_fixed(&format!("sip:{uri}"), Uri::parse);
    }

    #[test]
    fn an_identity_is_that_of_itself(text in "sip:[a-zA-Z0-9%;=.é]{0,8}@[a-z0-9.]{1,8}(:[0-9]{1,4})?") {
        if let Ok(uri) = Uri::parse(&text) {
            let aor = uri.aor();
            prop_assert_eq!(Uri::parse(&aor).map(|uri| uri.aor()), Ok(aor));
        }
    }

    #[test]
    fn a_stream_is_framed_alike_in_any_pieces(
        bodies in prop::collection::vec((soup(), "[\\r\\n]{0,5}"), 0..5),
        end in message(),
        size in 1usize..40,
    ) {
        let mut raw = Vec::new();
        let mut messages = Vec::new();
        for (body, between) in &bodies {
            let message = format!("WAVE sip:a@h SIP/2.0\r\nl: {}\r\n\r\n{body}", body.len());
            // A lone CR would be the beginning of a start line.
            raw.extend_from_slice(between.replace('\r', "\r\n").as_bytes());
            raw.extend_from_slice(message.as_bytes());
            messages.push(Bytes::from(message));
        }
        raw.extend_from_slice(&end);
        let (frames, fault) = framed(&raw, size);
        prop_assert_eq!((frames.clone(), fault), framed(&raw, raw.len()));
        prop_assert_eq!(&frames[..messages.len()], &messages[..]);
    }
}

/// The messages of a stream that comes in pieces of `size`, and how it ended if it did. Pings are left out: one in two
/// pieces is a pong and a ping.
fn framed(raw: &[u8], size: usize) -> (Vec<Bytes>, Option<Fault>) {
    let (mut framer, mut buf, mut frames) = (Framer::new(4096), BytesMut::new(), Vec::new());
    for piece in raw.chunks(size) {
        buf.extend_from_slice(piece);
        loop {
            match framer.next(&mut buf) {
                Ok(Some(Frame::Message(message))) => frames.push(message),
                Ok(Some(Frame::Ping | Frame::Pong)) => {}
                Ok(None) => break,
                Err(error) => return (frames, Some(error.fault())),
            }
        }
    }
    (frames, None)
}
