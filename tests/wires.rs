//! What real clients and servers put on the wire: recordings of our own over loopback, byte for byte, one message a file.
//! Senders: pjsua, baresip, liblinphone, Twinkle, SIP.js, JsSIP, and Kamailio as the server.

use std::fs;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use rollcall_core::sip::rsip::SipMessage;
use rollcall_core::sip::{
    Frame, Framer, Host, Message, Method, Name, StatusCode, SubscriptionStateValue,
};

/// Every recording with its name, in order of names.
fn recordings() -> Vec<(String, Bytes)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wires");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("the folder of recordings")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sip"))
        .map(|path| {
            let name = path
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            (name, Bytes::from(fs::read(&path).expect("a recording")))
        })
        .collect();
    files.sort();
    assert_eq!(
        files.len(),
        63,
        "recordings were added or lost: change the number"
    );
    files
}

fn parse(name: &str, raw: Bytes) -> Message {
    Message::parse(raw).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn recording(name: &str) -> Message {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/wires/{name}.sip"));
    parse(name, Bytes::from(fs::read(path).expect("a recording")))
}

/// Names and values in order, and the body. Content-Length stands for itself: the printer adds one where there is none.
fn meaning(message: &Message) -> (Vec<(String, Vec<u8>)>, Bytes) {
    let lines = message
        .lines()
        .filter(|(name, ..)| *name != Name::ContentLength);
    let lines = lines.map(|(name, written, value)| {
        let long = match name {
            Name::Other => String::from_utf8_lossy(written).to_ascii_lowercase(),
            known => known.as_str().to_ascii_lowercase(),
        };
        (long, value.to_vec())
    });
    (lines.collect(), message.body())
}

/// The same, from the text of the file and without our reader.
fn meaning_of_text(raw: &[u8]) -> (Vec<(String, Vec<u8>)>, Bytes) {
    let end = raw
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("an empty line");
    let head = std::str::from_utf8(&raw[..end]).expect("text");
    let lines = head.split("\r\n").skip(1).map(|line| {
        let (name, value) = line.split_once(':').expect("a header");
        let name = match &*name.trim().to_ascii_lowercase() {
            "v" => "via",
            "f" => "from",
            "t" => "to",
            "i" => "call-id",
            "m" => "contact",
            "l" => "content-length",
            "c" => "content-type",
            "o" => "event",
            "k" => "supported",
            other => other,
        }
        .to_owned();
        (name, value.trim().as_bytes().to_vec())
    });
    let lines = lines.filter(|(name, _)| name != "content-length").collect();
    (lines, Bytes::copy_from_slice(&raw[end + 4..]))
}

#[test]
fn every_recording_is_read_and_printed_back_with_the_same_meaning() {
    for (name, raw) in recordings() {
        let message = parse(&name, raw.clone());
        assert_eq!(meaning(&message), meaning_of_text(&raw), "{name}");
        let printed = message.to_bytes();
        let again = parse(&name, printed.clone());
        assert_eq!(meaning(&again), meaning(&message), "{name}");
        assert_eq!(
            (
                again.method(),
                again.uri_text(),
                again.status(),
                again.reason()
            ),
            (
                message.method(),
                message.uri_text(),
                message.status(),
                message.reason()
            ),
            "{name}"
        );
        assert_eq!(
            again.text(Name::ContentLength),
            Some(message.body().len().to_string().into()),
            "{name}"
        );
        assert_eq!(again.to_bytes(), printed, "{name}");
    }
}

#[test]
fn every_header_that_an_endpoint_asks_for_is_well_formed_in_every_recording() {
    for (name, raw) in recordings() {
        let message = parse(&name, raw);
        let cseq = message.cseq().unwrap_or_else(|e| panic!("{name}: {e}"));
        match message.method() {
            Some(method) => {
                assert_eq!(cseq.method, *method, "{name}");
                message
                    .request_uri()
                    .unwrap_or_else(|e| panic!("{name}: {e}"));
                assert!(
                    message.max_forwards().is_ok_and(|hops| hops.is_some()),
                    "{name}"
                );
            }
            None => assert!(message.status().is_some(), "{name}"),
        }
        let via = message.via().unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(
            via.branch()
                .is_some_and(|branch| branch.starts_with("z9hG4bK")),
            "{name}"
        );
        assert_eq!(
            message.vias().map(|vias| vias[0].clone()),
            Ok(via),
            "{name}"
        );
        assert!(
            message
                .from()
                .is_ok_and(|from| from.tag().map(str::to_owned) == message.from_tag()),
            "{name}"
        );
        assert!(
            message.from_tag().is_some() && message.to().is_ok() && message.call_id().is_ok(),
            "{name}"
        );
        assert!(
            message.contacts().is_ok() && message.routes(Name::Route).is_ok(),
            "{name}"
        );
        assert!(message.routes(Name::RecordRoute).is_ok(), "{name}");
        assert!(
            message.expires().is_ok() && message.event().is_ok(),
            "{name}"
        );
        assert!(message.subscription_state().is_ok(), "{name}");
        if matches!(
            message.method(),
            Some(Method::Publish | Method::Subscribe | Method::Notify)
        ) {
            assert!(message.event().is_ok_and(|event| event.is_some()), "{name}");
        }
    }
}

#[test]
fn recordings_with_a_length_come_out_of_a_stream_as_they_went_in() {
    let streamed: Vec<Bytes> = recordings()
        .into_iter()
        .filter(|(name, raw)| parse(name, raw.clone()).has(Name::ContentLength))
        .map(|(_, raw)| raw)
        .collect();
    assert!(streamed.len() > 50);
    for size in [1, 1000, 1 << 20] {
        let (mut framer, mut buf, mut frames) =
            (Framer::new(Message::MAX_LEN), BytesMut::new(), Vec::new());
        for piece in streamed.concat().chunks(size) {
            buf.extend_from_slice(piece);
            while let Some(frame) = framer.next(&mut buf).expect("messages only") {
                frames.push(frame);
            }
        }
        let expected: Vec<Frame> = streamed.iter().cloned().map(Frame::Message).collect();
        assert_eq!(frames, expected, "in pieces of {size}");
    }
}

#[test]
fn recordings_go_to_rsip_and_back() {
    for (name, raw) in recordings() {
        let message = parse(&name, raw);
        let theirs = SipMessage::try_from(&message).unwrap_or_else(|e| panic!("{name}: {e}"));
        let back = Message::try_from(&theirs).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(meaning(&back), meaning(&message), "{name}");
        let aor = |message: &Message| message.request_uri().map(|uri| uri.aor()).ok();
        assert_eq!(aor(&back), aor(&message), "{name}");
        assert_eq!(back.status(), message.status(), "{name}");
    }
}

#[test]
fn pjsua_pads_its_length_and_leaves_expires_out() {
    let message = recording("pjsua-publish-initial");
    let (_, _, length) = message
        .lines()
        .find(|(name, ..)| *name == Name::ContentLength)
        .expect("a length");
    assert_eq!(
        length,
        message.body().len().to_string().as_bytes(),
        "padding is no part of the value"
    );
    assert_eq!(message.expires(), Ok(None));
    assert_eq!(
        message.routes(Name::Route).map(|routes| routes.len()),
        Ok(1)
    );
    let refresh = recording("pjsua-publish-refresh");
    assert!(refresh.body().is_empty() && refresh.has(Name::SipIfMatch));
    assert_eq!(refresh.call_id(), message.call_id());
    assert_ne!(refresh.from_tag(), message.from_tag());
}

#[test]
fn pjsua_subscribes_without_angle_brackets_and_with_a_valueless_uri_parameter() {
    let message = recording("pjsua-subscribe-initial");
    let (from, to) = (message.from().expect("From"), message.to().expect("To"));
    assert!(from.tag().is_some() && from.uri.params.is_empty() && to.tag().is_none());
    let contacts = message.contacts().expect("contacts");
    assert_eq!(contacts[0].uri.params.get("ob"), Some(""));
    assert!(contacts[0].to_string().contains(";ob>"));
    assert_eq!(message.values(Name::Accept).count(), 2);
    assert_eq!(message.texts(Name::Accept).count(), 1);
}

#[test]
fn over_tcp_the_via_has_an_alias_without_a_value() {
    let via = recording("pjsua-publish-initial-tcp").via().expect("a Via");
    assert_eq!(
        (&*via.transport, via.params.get("alias")),
        ("TCP", Some(""))
    );
    assert!(via.to_string().ends_with(";alias"));
    let via = recording("linphone-publish-modify-on-the-phone")
        .via()
        .expect("a Via");
    assert!(&*via.transport == "TCP" && via.wants_rport());
}

#[test]
fn received_may_stand_before_the_branch() {
    let via = recording("pjsua-notify-200").via().expect("a Via");
    let names: Vec<&str> = via.params.iter().map(|(name, _)| name).collect();
    let place = |wanted: &str| names.iter().position(|name| *name == wanted);
    assert!(
        place("received").is_some() && place("received") < place("branch"),
        "{names:?}"
    );
    assert_eq!(via.received(), "127.0.0.1".parse().ok());
}

#[test]
fn linphone_leaves_the_length_out_over_udp() {
    for name in [
        "linphone-register",
        "linphone-publish-remove",
        "linphone-subscribe-initial",
    ] {
        let message = recording(name);
        assert!(
            !message.has(Name::ContentLength) && message.body().is_empty(),
            "{name}"
        );
    }
    assert_eq!(recording("linphone-publish-remove").expires(), Ok(Some(0)));
}

#[test]
fn linphone_sends_three_accept_headers_and_parameters_of_its_contact() {
    let register = recording("linphone-register");
    assert_eq!(register.texts(Name::Accept).count(), 3);
    assert_eq!(
        register.accepts().map(|types| types.len()),
        Some(register.values(Name::Accept).count())
    );
    let contacts = register.contacts().expect("contacts");
    assert!(
        contacts[0]
            .params
            .get("+sip.instance")
            .is_some_and(|id| id.starts_with("\"<urn:uuid:"))
    );
    assert!(
        contacts[0]
            .params
            .unquoted("+SIP.instance")
            .is_some_and(|id| id.ends_with('>'))
    );
    let subscribe = recording("linphone-subscribe-initial");
    let contact = subscribe.contacts().expect("contacts").remove(0);
    assert!(contact.expires().is_some() && contact.uri.params.get("expires").is_none());
    assert!(
        subscribe
            .to()
            .is_ok_and(|to| to.display.is_some_and(|display| display.starts_with('"')))
    );
    assert_eq!(subscribe.accepts(), None);
    let list = recording("linphone-subscribe-list");
    assert_eq!(
        list.text(Name::Require).as_deref(),
        Some("recipient-list-subscribe")
    );
    assert_eq!(
        list.content_type().as_deref(),
        Some("application/resource-lists+xml")
    );
    assert_eq!(list.text(Name::AcceptEncoding).as_deref(), Some("deflate"));
}

#[test]
fn baresip_names_a_type_without_a_body_and_sends_an_empty_supported() {
    let refresh = recording("baresip-publish-refresh");
    assert_eq!(
        refresh.content_type().as_deref(),
        Some("application/pidf+xml")
    );
    assert!(refresh.body().is_empty());
    let subscribe = recording("baresip-subscribe-initial");
    assert_eq!(subscribe.text(Name::Supported).as_deref(), Some(""));
    assert_eq!(subscribe.values(Name::Supported).count(), 0);
    assert_eq!(subscribe.accepts(), None);
    let contacts = subscribe.contacts().expect("contacts");
    assert!(
        contacts[0]
            .uri
            .user
            .as_deref()
            .is_some_and(|user| user.contains("-0x"))
    );
}

#[test]
fn web_clients_have_a_host_under_invalid_and_no_port() {
    for name in ["sipjs-publish-initial", "jssip-subscribe-initial"] {
        let via = recording(name).via().expect("a Via");
        assert_eq!((&*via.transport, via.port), ("WS", None), "{name}");
        assert!(
            matches!(&via.host, Host::Name(host) if host.ends_with(".invalid")),
            "{name}"
        );
    }
    assert_eq!(
        recording("jssip-subscribe-initial").max_forwards(),
        Ok(Some(69))
    );
}

#[test]
fn kamailio_answers_with_its_own_phrases_and_headers() {
    let refused = recording("kamailio-publish-412");
    assert_eq!(
        refused.status(),
        Some(StatusCode::CONDITIONAL_REQUEST_FAILED)
    );
    assert_eq!(refused.reason(), "Conditional request failed");
    let bad_event = recording("kamailio-publish-489");
    assert!(
        bad_event
            .values(Name::AllowEvents)
            .any(|package| package == "presence")
    );
    let granted = recording("kamailio-publish-200");
    assert!(granted.has(Name::SipEtag) && granted.expires().is_ok_and(|left| left.is_some()));
    assert_eq!(
        recording("linphone-notify-481").reason(),
        "Call/transaction does not exist"
    );
}

#[test]
fn kamailio_notifies_with_its_own_order_and_states() {
    let active = recording("kamailio-notify-active");
    assert_eq!(active.cseq().map(|cseq| cseq.number), Ok(3));
    let names: Vec<Name> = active.lines().map(|(name, ..)| name).collect();
    let place = |wanted: Name| names.iter().position(|name| *name == wanted);
    assert!(
        place(Name::To) < place(Name::From) && place(Name::From) < place(Name::CSeq),
        "{names:?}"
    );
    let empty = recording("kamailio-notify-empty");
    assert_eq!((empty.content_type(), empty.body().len()), (None, 0));
    let state = recording("kamailio-notify-terminated")
        .subscription_state()
        .expect("a state")
        .expect("a state");
    assert_eq!(state.value, SubscriptionStateValue::Terminated);
    assert_eq!(state.reason.as_deref(), Some("timeout"));
    let with_body = recording("kamailio-notify-terminated-body");
    assert!(!with_body.body().is_empty());
    let winfo = recording("kamailio-notify-winfo-full")
        .event()
        .expect("an Event")
        .expect("an Event");
    assert_eq!(winfo.package, "presence.winfo");
    let dialog = recording("kamailio-notify-dialog-empty")
        .event()
        .expect("an Event")
        .expect("an Event");
    assert_eq!(dialog.package, "dialog");
}

/// Random numbers seeded with the second: only the addresses tell the two apart.
#[test]
fn two_twinkles_send_the_same_branch_call_id_and_tag() {
    let (alice, bob) = (
        recording("twinkle-publish-initial-alice"),
        recording("kamailio-publish-200-misrouted"),
    );
    assert_eq!(
        alice.via().map(|via| via.branch().map(str::to_owned)),
        bob.via().map(|via| via.branch().map(str::to_owned))
    );
    assert_eq!(
        (alice.call_id(), alice.from_tag(), alice.cseq()),
        (bob.call_id(), bob.from_tag(), bob.cseq())
    );
    assert_ne!(
        alice.via().map(|via| via.sent_by()),
        bob.via().map(|via| via.sent_by())
    );
}
