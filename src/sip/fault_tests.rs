//! What is refused, and what its sender gets.

use super::*;
use crate::sip::StatusCode;
use bytes::Bytes;

const HEAD: &str = "Via: SIP/2.0/UDP h;branch=z9hG4bKa\r\nCall-ID: c\r\n";

fn fault(raw: impl Into<Vec<u8>>) -> ParseError {
    Message::parse(Bytes::from(raw.into())).expect_err("a fault")
}

fn answered(raw: impl Into<Vec<u8>>) -> (Fault, Option<u16>) {
    let error = fault(raw);
    assert_eq!(error.status().is_some(), error.message().is_some());
    (error.fault(), error.status().map(StatusCode::code))
}

#[test]
fn another_version_is_answered_505() {
    let error = fault(format!("PUBLISH sip:a@h SIP/3.0\r\n{HEAD}\r\n"));
    assert_eq!(error.status(), Some(StatusCode::VERSION_NOT_SUPPORTED));
    let message = error.message().expect("enough for an answer");
    assert_eq!(message.call_id(), Ok("c"));
    assert_eq!(message.via().map(|via| via.sent_by()).as_deref(), Ok("h"));
    assert_eq!(
        answered(format!("PUBLISH sip:a@h SIP/2.10\r\n{HEAD}\r\n")),
        (Fault::Version, Some(505))
    );
}

#[test]
fn white_space_in_the_request_uri_is_answered_400() {
    for line in [
        "INVITE sip:a@h; lr SIP/2.0",
        "INVITE sip:a\tb@h SIP/2.0",
        "INVITE  SIP/2.0",
    ] {
        assert_eq!(
            answered(format!("{line}\r\n{HEAD}\r\n")),
            (Fault::RequestUri, Some(400)),
            "{line}"
        );
    }
    let mut raw = b"INVITE sip:\xff@h SIP/2.0\r\n".to_vec();
    raw.extend_from_slice(format!("{HEAD}\r\n").as_bytes());
    assert_eq!(answered(raw), (Fault::RequestUri, Some(400)));
}

#[test]
fn more_blanks_than_needed_between_the_parts_of_a_start_line_are_tolerated() {
    let raw = format!("OPTIONS  sip:a@h  SIP/2.0 \r\n{HEAD}\r\n");
    assert_eq!(
        Message::parse(Bytes::from(raw)).expect("read").uri_text(),
        "sip:a@h"
    );
}

#[test]
fn what_is_no_start_line_gets_no_answer() {
    for line in [
        "GET / HTTP/1.1",
        "PUBLISH sip:a@h",
        "PUBLISH sip:a@h SIP/x.y",
        "PUB(LISH sip:a@h SIP/2.0",
        "SIP/2.0 99 Low",
        "SIP/2.0 700 High",
        "SIP/2.0 20 Short",
        "SIP/2.0 +20 Signed",
        "SIP/2.0",
        "rubbish",
    ] {
        assert_eq!(
            answered(format!("{line}\r\n{HEAD}\r\n")),
            (Fault::StartLine, None),
            "{line}"
        );
    }
    assert_eq!(
        answered("PUBLISH sip:a@h SIP/2.0"),
        (Fault::StartLine, None)
    );
    for empty in ["", "\r\n\r\n", "\n"] {
        assert_eq!(answered(empty), (Fault::Empty, None));
    }
}

#[test]
fn headers_without_an_end_are_answered_400() {
    let error = fault(format!("PUBLISH sip:a@h SIP/2.0\r\n{HEAD}Expires: 6"));
    assert_eq!(
        (error.fault(), error.status()),
        (Fault::Truncated, Some(StatusCode::BAD_REQUEST))
    );
    let message = error.message().expect("enough for an answer");
    assert!(
        !message.has(Name::Expires),
        "a line that was cut is not believed"
    );
    assert!(message.body().is_empty());
}

#[test]
fn a_body_is_cut_at_content_length_and_must_reach_it() {
    let publish = |length: &str| {
        format!("PUBLISH sip:a@h SIP/2.0\r\n{HEAD}Content-Length: {length}\r\n\r\nabcdef")
    };
    let cut = Message::parse(Bytes::from(publish("4"))).expect("read");
    assert_eq!(cut.body(), "abcd");
    assert!(cut.raw().ends_with(b"\r\n\r\nabcd"));
    assert_eq!(answered(publish("7")), (Fault::ShortBody, Some(400)));
    assert_eq!(
        answered(publish("99999999999999999999999")),
        (Fault::ShortBody, Some(400))
    );
    for wrong in ["-1", "+6", "six", "", "6 6", "6, 6", "0x6"] {
        assert_eq!(
            answered(publish(wrong)),
            (Fault::ContentLength, Some(400)),
            "{wrong:?}"
        );
    }
    let bare = Message::parse(Bytes::from(format!(
        "PUBLISH sip:a@h SIP/2.0\r\n{HEAD}\r\nabcdef"
    )))
    .expect("read");
    assert_eq!(
        bare.body(),
        "abcdef",
        "without a length the body is the rest"
    );
}

#[test]
fn lengths_that_disagree_are_answered_400_and_equal_ones_are_one() {
    let two = |one: &str, two: &str| {
        format!("PUBLISH sip:a@h SIP/2.0\r\n{HEAD}Content-Length: {one}\r\nl: {two}\r\n\r\nabcdef")
    };
    assert_eq!(
        answered(two("6", "5")),
        (Fault::ConflictingLengths, Some(400))
    );
    assert_eq!(answered(two("6", "x")), (Fault::ContentLength, Some(400)));
    let same = Message::parse(Bytes::from(two("6", "06"))).expect("read");
    let print = String::from_utf8_lossy(&same.to_bytes()).into_owned();
    assert_eq!(print.matches("Content-Length: 6\r\n").count(), 1);
}

#[test]
fn responses_ack_and_requests_without_via_are_dropped_in_silence() {
    assert_eq!(
        answered(format!("SIP/2.0 200 OK\r\n{HEAD}l: 9\r\n\r\n")),
        (Fault::ShortBody, None)
    );
    assert_eq!(
        answered(format!("SIP/3.0 200 OK\r\n{HEAD}\r\n")),
        (Fault::Version, None)
    );
    assert_eq!(
        answered(format!("ACK sip:a@h SIP/2.0\r\n{HEAD}l: 9\r\n\r\n")),
        (Fault::ShortBody, None)
    );
    assert_eq!(
        answered("PUBLISH sip:a@h SIP/3.0\r\nCall-ID: c\r\n\r\n"),
        (Fault::Version, None)
    );
}

#[test]
fn size_has_bounds() {
    let long = "x".repeat(Message::MAX_LINE);
    let line = format!("PUBLISH sip:a@h SIP/2.0\r\n{HEAD}Subject: {long}\r\n\r\n");
    assert_eq!(answered(line), (Fault::LineTooLong, Some(513)));
    let folded = format!(
        "PUBLISH sip:a@h SIP/2.0\r\n{HEAD}Subject: {}\r\n\r\n",
        "xxxxxxx\r\n ".repeat(1000)
    );
    assert_eq!(answered(folded), (Fault::LineTooLong, Some(513)));
    let start = format!("PUBLISH sip:{long}@h SIP/2.0\r\n{HEAD}\r\n");
    assert_eq!(answered(start), (Fault::StartLineTooLong, Some(414)));
    let many = |count: usize| {
        format!(
            "PUBLISH sip:a@h SIP/2.0\r\n{HEAD}{}\r\n",
            "X: y\r\n".repeat(count)
        )
    };
    assert!(Message::parse(Bytes::from(many(Message::MAX_HEADERS - 2))).is_ok());
    assert_eq!(
        answered(many(Message::MAX_HEADERS - 1)),
        (Fault::TooManyHeaders, Some(513))
    );
    let body = |length: usize| {
        let mut raw = format!("PUBLISH sip:a@h SIP/2.0\r\n{HEAD}\r\n").into_bytes();
        raw.resize(length, b'x');
        raw
    };
    assert!(Message::parse(Bytes::from(body(Message::MAX_LEN))).is_ok());
    assert_eq!(
        answered(body(Message::MAX_LEN + 1)),
        (Fault::TooLarge, Some(513))
    );
}
