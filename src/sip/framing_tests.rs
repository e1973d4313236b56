use super::*;

const HEAD: &str =
    "PUBLISH sip:a@h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bKa\r\nCall-ID: c\r\n";

fn message(body: &str) -> String {
    format!("{HEAD}l : {}\r\n\r\n{body}", body.len())
}

/// All frames of `bytes`, fed in pieces of `size`.
fn frames(bytes: &[u8], size: usize) -> (Vec<Frame>, BytesMut) {
    let (mut framer, mut buf, mut frames) = (Framer::new(65_535), BytesMut::new(), Vec::new());
    for piece in bytes.chunks(size) {
        buf.extend_from_slice(piece);
        while let Some(frame) = framer.next(&mut buf).unwrap_or_else(|e| panic!("{e}")) {
            frames.push(frame);
        }
    }
    (frames, buf)
}

fn fault(bytes: &str, max: usize) -> (Fault, Option<u16>) {
    let mut buf = BytesMut::from(bytes);
    let error = Framer::new(max).next(&mut buf).expect_err("a fault");
    assert_eq!(error.status().is_some(), error.message().is_some());
    (error.fault(), error.status().map(StatusCode::code))
}

fn whole(text: &str) -> Frame {
    Frame::Message(Bytes::copy_from_slice(text.as_bytes()))
}

#[test]
fn messages_come_out_whole_however_they_come_in() {
    let (one, two) = (message("hello"), message(""));
    let lf = message("a\r\n\r\nb").replace("\r\n\r\na", "\n\na");
    let stream = format!("{one}{two}{lf}{one}");
    for size in [1, 2, 3, 7, 50, stream.len()] {
        let (got, rest) = frames(stream.as_bytes(), size);
        assert_eq!(
            got,
            [whole(&one), whole(&two), whole(&lf), whole(&one)],
            "in pieces of {size}"
        );
        assert!(rest.is_empty());
    }
}

#[test]
fn a_message_that_is_not_whole_waits() {
    let text = message("hello");
    for cut in 1..text.len() {
        let (got, rest) = frames(&text.as_bytes()[..cut], cut);
        assert_eq!((got, rest.len()), (vec![], cut));
    }
}

#[test]
fn a_ping_is_a_ping_and_a_lone_line_end_a_pong() {
    let text = message("x");
    let between = format!("\r\n\r\n{text}\r\n{text}\n\r\n\r\n\r\n\r\n{text}");
    let (got, _) = frames(between.as_bytes(), between.len());
    assert_eq!(
        got,
        [
            Frame::Ping,
            whole(&text),
            Frame::Pong,
            whole(&text),
            Frame::Ping,
            Frame::Ping,
            whole(&text)
        ]
    );
}

#[test]
fn a_ping_that_arrives_in_halves_is_still_answered() {
    assert_eq!(frames(b"\r\n\r\n", 2).0, [Frame::Pong, Frame::Ping]);
    assert_eq!(frames(b"\r\n\r\n", 1).0, [Frame::Pong, Frame::Ping]);
    assert_eq!(frames(b"\r\n\r\n", 3).0, [Frame::Ping]);
    let text = message("");
    let pong_then_pong = format!("\r\n{text}\r\n{text}");
    assert_eq!(
        frames(pong_then_pong.as_bytes(), 2).0,
        [Frame::Pong, whole(&text), Frame::Pong, whole(&text)]
    );
}

#[test]
fn a_fold_of_blanks_does_not_end_the_headers() {
    let text = format!("{HEAD}Subject: a\r\n \r\n b\r\nContent-Length:\r\n 2\r\n\r\nhi");
    assert_eq!(frames(text.as_bytes(), 5).0, [whole(&text)]);
    assert_eq!(
        Message::parse(Bytes::from(text)).expect("read").body(),
        "hi"
    );
}

#[test]
fn without_a_length_that_can_be_believed_a_stream_ends_with_an_answer() {
    assert_eq!(
        fault(&format!("{HEAD}\r\n"), 9999),
        (Fault::NoContentLength, Some(400))
    );
    assert_eq!(
        fault(&format!("{HEAD}l: -5\r\n\r\n"), 9999),
        (Fault::ContentLength, Some(400))
    );
    assert_eq!(
        fault(&format!("{HEAD}l: 5\r\nl: 6\r\n\r\n"), 9999),
        (Fault::ConflictingLengths, Some(400))
    );
    assert_eq!(
        fault(&format!("SIP/2.0 200 OK\r\n{}\r\n", &HEAD[25..]), 9999),
        (Fault::NoContentLength, None)
    );
    assert_eq!(
        fault("rubbish\r\n\r\n", 9999),
        (Fault::NoContentLength, None)
    );
}

#[test]
fn the_answer_to_a_framing_error_can_be_written() {
    let mut buf = BytesMut::from(format!("{HEAD}l: -5\r\n\r\nbody").as_str());
    let error = Framer::new(9999).next(&mut buf).expect_err("a fault");
    let request = error.message().expect("enough for an answer");
    assert_eq!(request.call_id(), Ok("c"));
    assert!(request.body().is_empty());
}

#[test]
fn what_is_too_large_is_refused_before_it_is_there() {
    let text = format!("{HEAD}l: 500\r\n\r\n");
    assert_eq!(fault(&text, 300), (Fault::BodyTooLarge, Some(413)));
    assert_eq!(
        fault(&format!("{HEAD}l: 99999999999999999999\r\n\r\n"), 300),
        (Fault::BodyTooLarge, Some(413))
    );
    assert_eq!(
        fault(&format!("{HEAD}X: {}", "x".repeat(300)), 300),
        (Fault::TooLarge, Some(513))
    );
    assert_eq!(
        fault(
            &format!("{HEAD}{}l: 0\r\n\r\n", "X: y\r\n".repeat(200)),
            9999
        ),
        (Fault::TooManyHeaders, Some(513))
    );
    assert_eq!(fault(&"x".repeat(301), 300), (Fault::TooLarge, None));
}

#[test]
fn another_version_is_framed_and_left_to_the_reader() {
    let text = message("x").replace("SIP/2.0\r\n", "SIP/3.0\r\n");
    let (got, _) = frames(text.as_bytes(), 9);
    let [Frame::Message(bytes)] = &got[..] else {
        panic!("one message, not {got:?}")
    };
    assert_eq!(
        Message::parse(bytes.clone()).expect_err("505").fault(),
        Fault::Version
    );
}
