//! What readers of SIP get wrong, each with a message of our own.

use super::*;
use crate::sip::{CSeq, SubscriptionStateValue};

fn parse(raw: impl Into<Vec<u8>>) -> Message {
    Message::parse(Bytes::from(raw.into())).unwrap_or_else(|e| panic!("{e}"))
}

/// A PUBLISH with these header lines, each without its line end.
fn with(lines: &[&str]) -> Message {
    parse(format!(
        "PUBLISH sip:alice@example.com SIP/2.0\r\n{}\r\n\r\n",
        lines.join("\r\n")
    ))
}

fn values(message: &Message, name: Name) -> Vec<String> {
    message.values(name).map(Cow::into_owned).collect()
}

fn printed(message: &Message) -> String {
    String::from_utf8_lossy(&message.to_bytes()).into_owned()
}

#[test]
fn a_request_is_what_its_start_line_says() {
    let message = parse("PUBLISH sip:alice@example.com;x SIP/2.0\r\nl: 2\r\n\r\nhi");
    assert!(message.is_request());
    assert_eq!(message.method(), Some(&Method::Publish));
    assert_eq!(message.uri_text(), "sip:alice@example.com;x");
    assert_eq!(
        message.request_uri().map(|uri| uri.aor()).as_deref(),
        Ok("sip:alice@example.com")
    );
    assert_eq!((message.status(), message.reason()), (None, ""));
    assert_eq!(message.body(), "hi");
}

#[test]
fn a_response_keeps_the_phrase_of_its_sender() {
    for (line, code, reason) in [
        (
            "SIP/2.0 489 Nothing Of That Kind",
            489,
            "Nothing Of That Kind",
        ),
        ("sip/2.0 200 Все хорошо", 200, "Все хорошо"),
        ("SIP/2.0 100 ", 100, ""),
        ("SIP/2.0 100", 100, ""),
        ("SIP/2.0 499 Own", 499, "Own"),
    ] {
        let message = parse(format!("{line}\r\n\r\n"));
        assert_eq!(message.status().map(StatusCode::code), Some(code));
        assert_eq!(message.reason(), reason);
        assert!(
            printed(&message).starts_with(&format!("SIP/2.0 {code} {reason}\r\n")),
            "{line}"
        );
        assert_eq!((message.method(), message.uri_text()), (None, ""));
    }
}

#[test]
fn compact_names_are_read_and_printed_long() {
    let message = with(&[
        "v: SIP/2.0/UDP h;branch=z9hG4bKa",
        "f: <sip:a@h>;tag=1",
        "T: <sip:b@h>",
        "i: c@h",
        "m: <sip:a@c>",
        "c: text/plain",
        "k: timer",
        "o: presence",
        "u: presence, dialog",
        "l: 0",
    ]);
    assert_eq!(message.via().map(|via| via.sent_by()).as_deref(), Ok("h"));
    assert_eq!(message.from_tag().as_deref(), Some("1"));
    assert_eq!(
        message.to().map(|to| to.to_string()).as_deref(),
        Ok("<sip:b@h>")
    );
    assert_eq!(message.call_id(), Ok("c@h"));
    assert_eq!(message.contacts().map(|contacts| contacts.len()), Ok(1));
    assert_eq!(message.content_type().as_deref(), Some("text/plain"));
    assert_eq!(
        message.event().map(|event| event.map(|e| e.package)),
        Ok(Some("presence".to_owned()))
    );
    assert_eq!(values(&message, Name::AllowEvents), ["presence", "dialog"]);
    assert!(
        printed(&message)
            .contains("\r\nContent-Type: text/plain\r\nSupported: timer\r\nEvent: presence\r\n")
    );
}

#[test]
fn names_have_no_case_and_may_have_blanks_before_the_colon() {
    let message = with(&["EVENT : presence", "expires\t :60"]);
    assert_eq!(
        message.event().map(|event| event.map(|e| e.package)),
        Ok(Some("presence".to_owned()))
    );
    assert_eq!(message.expires(), Ok(Some(60)));
}

#[test]
fn a_folded_header_is_one_value_with_one_blank_for_each_fold() {
    let message = with(&[
        "Accept: a/b,\r\n\t c/d ;q=1,\r\n   e/f",
        "Subject:\r\n hello\r\n there  ",
    ]);
    assert_eq!(values(&message, Name::Accept), ["a/b", "c/d ;q=1", "e/f"]);
    assert_eq!(message.text(Name::Subject).as_deref(), Some("hello there"));
    let (_, _, written) = message.lines().nth(1).expect("two lines");
    assert_eq!(written, b"hello\r\n there", "as written, but trimmed");
    assert!(printed(&message).contains("Accept: a/b, c/d ;q=1, e/f\r\nSubject: hello there\r\n"));
}

#[test]
fn cseq_may_be_folded_and_padded() {
    assert_eq!(
        with(&["cseq: 0009\r\n  PUBLISH"]).cseq(),
        Ok(CSeq {
            number: 9,
            method: Method::Publish
        })
    );
}

#[test]
fn unknown_methods_are_kept_with_their_case() {
    for name in ["WAVE", "publish", "x-y.z"] {
        let message = parse(format!("{name} sip:a@h SIP/2.0\r\nCSeq: 1 {name}\r\n\r\n"));
        assert_eq!(message.method(), Some(&Method::Other(name.into())));
        assert_eq!(
            message
                .cseq()
                .map(|cseq| cseq.method.to_string())
                .as_deref(),
            Ok(name)
        );
        assert!(printed(&message).starts_with(&format!("{name} sip:a@h SIP/2.0\r\n")));
    }
}

#[test]
fn ipv6_is_read_everywhere() {
    let message = parse(
        "PUBLISH sip:a@[2001:db8::1]:5070 SIP/2.0\r\n\
         Via: SIP/2.0/UDP [2001:db8::9:1]:5062;received=[2001:db8::9:255];branch=z9hG4bKa\r\n\
         From: sip:a@[2001:db8::2];tag=x\r\nContact: \"A\" <sip:a@[::ffff:192.0.2.2]>\r\n\r\n",
    );
    assert_eq!(
        message.request_uri().map(|uri| uri.aor()).as_deref(),
        Ok("sip:a@[2001:db8::1]")
    );
    let via = message.via().expect("a Via");
    assert_eq!(via.sent_by(), "[2001:db8::9:1]:5062");
    assert_eq!(via.received(), "2001:db8::9:255".parse().ok());
    let from = message.from().expect("a From");
    assert_eq!(
        (from.uri.host.to_string().as_str(), from.tag()),
        ("[2001:db8::2]", Some("x"))
    );
    let contacts = message.contacts().expect("contacts");
    assert_eq!(contacts[0].uri.host.to_string(), "[::ffff:192.0.2.2]");
}

#[test]
fn a_request_uri_of_any_scheme_is_read() {
    for (uri, aor) in [
        ("tel:+12015550123", "tel:+12015550123"),
        ("urn:service:sos", "urn:service:sos"),
        ("pres:alice@example.com", "sip:alice@example.com"),
        ("other.thing://192.0.2.1:3", "other.thing://192.0.2.1:3"),
    ] {
        let message = parse(format!("SUBSCRIBE {uri} SIP/2.0\r\n\r\n"));
        assert_eq!(message.uri_text(), uri);
        assert_eq!(
            message.request_uri().map(|read| read.aor()).as_deref(),
            Ok(aor)
        );
    }
}

#[test]
fn bytes_that_are_not_utf8_stay_as_they_are() {
    let mut raw = b"PUBLISH sip:a@h SIP/2.0\r\nSubject: caf\xe9\r\nX-Raw: \xff\xfe\r\nContent-Length: 3\r\n\r\n".to_vec();
    raw.extend_from_slice(b"\xff\x00\xe9");
    let message = parse(raw);
    assert_eq!(message.text(Name::Subject).as_deref(), Some("caf\u{fffd}"));
    let again = Message::parse(message.to_bytes()).expect("printed well");
    for message in [&message, &again] {
        let lines: Vec<_> = message.lines().map(|(_, _, value)| value).collect();
        assert_eq!(lines[..2], [&b"caf\xe9"[..], b"\xff\xfe"]);
        assert_eq!(message.body(), &b"\xff\x00\xe9"[..]);
    }
}

#[test]
fn leading_line_ends_and_lines_that_end_in_lf_are_tolerated() {
    let message = parse("\r\n\r\nPUBLISH sip:a@h SIP/2.0\nEvent: presence\nSubject: a\n b\n\nbody");
    assert_eq!(message.text(Name::Subject).as_deref(), Some("a b"));
    assert_eq!(message.body(), "body");
    assert!(message.raw().starts_with(b"PUBLISH"));
    assert_eq!(
        printed(&message),
        "PUBLISH sip:a@h SIP/2.0\r\nEvent: presence\r\nSubject: a b\r\nContent-Length: 4\r\n\r\nbody"
    );
}

#[test]
fn a_line_that_is_no_header_is_passed_over() {
    let message = with(&[
        "no colon here",
        ": no name",
        "two words: x",
        "Event: presence",
    ]);
    assert_eq!(message.lines().count(), 1);
    assert!(message.has(Name::Event));
}

#[test]
fn several_values_in_a_line_and_several_lines_are_one_list() {
    let message = with(&[
        "Via: SIP/2.0/UDP a;branch=z9hG4bK1, SIP/2.0/TCP b ;branch = z9hG4bK2",
        "v: SIP / 2.0 / SCTP c : 5061;x=\"a,b\"",
        "Contact: \"A, B\" <sip:a@h;x=1,2>;q=1, sip:b@h",
        "m: <sip:c@h>",
    ]);
    let vias: Vec<String> = message
        .vias()
        .expect("Vias")
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        vias,
        [
            "SIP/2.0/UDP a;branch=z9hG4bK1",
            "SIP/2.0/TCP b;branch=z9hG4bK2",
            "SIP/2.0/SCTP c:5061;x=\"a,b\""
        ]
    );
    let contacts: Vec<String> = message
        .contacts()
        .expect("contacts")
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        contacts,
        ["\"A, B\" <sip:a@h;x=1,2>;q=1", "<sip:b@h>", "<sip:c@h>"]
    );
    let print = printed(&message);
    let again = parse(print);
    assert_eq!(values(&again, Name::Via), values(&message, Name::Via));
}

#[test]
fn a_contact_of_a_star_prints_as_a_star() {
    let message = with(&["Contact: *", "Expires: 0"]);
    assert!(
        message
            .contacts()
            .is_ok_and(|contacts| contacts.len() == 1 && contacts[0].is_wildcard())
    );
    assert!(printed(&message).contains("\r\nContact: *\r\n"));
}

#[test]
fn headers_of_presence_have_names_of_their_own() {
    let message = with(&[
        "sip-etag: e1",
        "SIP-If-Match: e0",
        "Suppress-If-Match: *",
        "Allow-Events: presence",
        "Path: <sip:edge.example;lr>",
        "Service-Route: <sip:home.example;lr>",
        "P-Own: thing",
    ]);
    let names: Vec<Name> = message.lines().map(|(name, ..)| name).collect();
    assert_eq!(
        names,
        [
            Name::SipEtag,
            Name::SipIfMatch,
            Name::SuppressIfMatch,
            Name::AllowEvents,
            Name::Path,
            Name::ServiceRoute,
            Name::Other
        ]
    );
    assert_eq!(
        message
            .routes(Name::Path)
            .map(|path| path[0].to_string())
            .as_deref(),
        Ok("<sip:edge.example;lr>")
    );
    assert_eq!(message.other("p-own").as_deref(), Some("thing"));
    assert_eq!(message.other("SIP-ETAG").as_deref(), Some("e1"));
    assert_eq!(message.other("x-none"), None);
}

#[test]
fn event_and_subscription_state_are_split_into_their_parts() {
    let message = with(&[
        "Event: presence;id=7",
        "Subscription-State: active ;expires=599",
    ]);
    let event = message.event().expect("well formed").expect("there");
    assert_eq!(
        (event.package.as_str(), event.id.as_deref()),
        ("presence", Some("7"))
    );
    let state = message
        .subscription_state()
        .expect("well formed")
        .expect("there");
    assert_eq!(
        (state.value, state.expires),
        (SubscriptionStateValue::Active, Some(599))
    );
}

#[test]
fn numbers_beyond_their_bounds_clamp_or_are_errors_as_the_header_has_it() {
    let huge = "99999999999999999999";
    let message = with(&[
        &format!("Expires: {huge}"),
        &format!("Min-Expires: {huge}"),
        &format!("Retry-After: {huge} (never);duration=3"),
        &format!("CSeq: {huge} PUBLISH"),
        "Max-Forwards: 256",
    ]);
    assert_eq!(message.expires(), Ok(Some(u32::MAX)));
    assert_eq!(message.min_expires(), Ok(Some(u32::MAX)));
    assert_eq!(message.retry_after(), Ok(Some(u32::MAX)));
    assert_eq!(
        message.cseq(),
        Err(HeaderError::new(Name::CSeq, "beyond 2^31 - 1"))
    );
    assert_eq!(
        message.max_forwards(),
        Err(HeaderError::new(Name::MaxForwards, "beyond 255"))
    );
    assert_eq!(
        with(&["CSeq: 2147483647 X"]).cseq().map(|cseq| cseq.number),
        Ok((1 << 31) - 1)
    );
    assert_eq!(
        with(&["CSeq: 2147483648 X"]).cseq().map_err(|e| e.status()),
        Err(StatusCode::BAD_REQUEST)
    );
    assert_eq!(with(&["Max-Forwards: 0068"]).max_forwards(), Ok(Some(68)));
}

#[test]
fn a_needed_header_that_is_absent_doubled_or_malformed_is_an_error_in_words() {
    let message = with(&[
        "To: \"J. User <sip:j@h>",
        "CSeq: 1",
        "Expires: soon",
        "Call-ID: a",
        "i: b",
        "From: *",
    ]);
    let errors = [
        message.to().map(|_| ()),
        message.cseq().map(|_| ()),
        message.expires().map(|_| ()),
        message.call_id().map(|_| ()),
        message.from().map(|_| ()),
        message.via().map(|_| ()),
    ]
    .map(|result| result.expect_err("an error").to_string());
    assert_eq!(
        errors,
        [
            "To: unterminated quoted string",
            "CSeq: no method",
            "Expires: not a number",
            "Call-ID: more than one",
            "From: no scheme in URI",
            "Via: missing"
        ]
    );
    assert_eq!(
        with(&["Call-ID: a b"]).call_id(),
        Err(HeaderError::new(
            Name::CallId,
            "empty, or white space inside"
        ))
    );
    let uri = parse("PUBLISH <sip:a@h> SIP/2.0\r\n\r\n").request_uri();
    assert_eq!(
        uri.expect_err("no URI").to_string(),
        "Request-URI: forbidden character in URI"
    );
}

#[test]
fn no_accept_is_something_else_than_an_empty_one() {
    assert_eq!(with(&["Expires: 1"]).accepts(), None);
    assert_eq!(with(&["Accept:"]).accepts(), Some(vec![]));
    assert_eq!(
        with(&[
            "Accept: Application / PIDF+xml;q=0.5, text/plain",
            "Accept: a/b"
        ])
        .accepts(),
        Some(vec![
            "application/pidf+xml".to_owned(),
            "text/plain".to_owned(),
            "a/b".to_owned()
        ])
    );
    assert_eq!(with(&["Supported:"]).values(Name::Supported).count(), 0);
}

#[test]
fn ordinary_messages_share_their_values_with_the_datagram() {
    let message = with(&["Event: presence", "Accept: a/b, c/d"]);
    assert!(matches!(
        message.text(Name::Event),
        Some(Cow::Borrowed("presence"))
    ));
    assert!(
        message
            .values(Name::Accept)
            .all(|value| matches!(value, Cow::Borrowed(_)))
    );
}

#[test]
fn a_stray_cr_in_a_value_does_not_become_a_line() {
    let message = with(&["Subject: a\rEvil: b", "Expires: 1"]);
    assert_eq!(message.lines().count(), 2);
    assert_eq!(message.text(Name::Subject).as_deref(), Some("a Evil: b"));
    assert!(printed(&message).contains("Subject: a Evil: b\r\n"));
}
