use super::*;

fn all(finder: &mut FrameFinder, buf: &mut BytesMut) -> Vec<Frame> {
    std::iter::from_fn(|| finder.next(buf)).collect()
}

fn frames(stream: &str) -> Vec<Frame> {
    all(&mut FrameFinder::default(), &mut BytesMut::from(stream))
}

fn by_single_bytes(stream: &str) -> Vec<Frame> {
    let mut finder = FrameFinder::default();
    let mut buf = BytesMut::new();
    let mut found = Vec::new();
    for byte in stream.bytes() {
        buf.extend_from_slice(&[byte]);
        found.extend(all(&mut finder, &mut buf));
    }
    found
}

fn document(text: &'static str) -> Frame {
    Frame::Document(Bytes::from_static(text.as_bytes()))
}

#[test]
fn the_literal_hello_is_one_document() {
    let hello = "<xml><type> PC </type> </xml>";
    assert_eq!(frames(hello), [document(hello)]);
    assert_eq!(by_single_bytes(hello), [document(hello)]);
}

#[test]
fn documents_are_found_however_the_stream_is_cut() {
    let stream = " <xml> <type>A</type></xml>\r\n<!-- > </xml> --><?xml version='1.0'?>\n<xml a='>\"'>\
                  <![CDATA[</xml>]]><b/></xml><xml/>";
    let expected = [
        document("<xml> <type>A</type></xml>"),
        document("<?xml version='1.0'?>\n<xml a='>\"'><![CDATA[</xml>]]><b/></xml>"),
        document("<xml/>"),
    ];
    assert_eq!(frames(stream), expected);
    assert_eq!(by_single_bytes(stream), expected);
}

#[test]
fn an_unfinished_document_waits() {
    let mut finder = FrameFinder::default();
    let mut buf = BytesMut::from("  <xml><type>PC</type></xm");
    assert_eq!(finder.next(&mut buf), None);
    assert!(finder.is_within());
    buf.extend_from_slice(b"l>\n");
    assert_eq!(
        finder.next(&mut buf),
        Some(document("<xml><type>PC</type></xml>"))
    );
    assert_eq!(finder.next(&mut buf), None);
    assert!(!finder.is_within() && buf.is_empty());
}

/// Each of these is reported once, and the document behind it is found.
#[test]
fn the_next_document_is_found_after_a_broken_one() {
    let good = "<xml><type>PING</type></xml>";
    let cases = [
        ("<xml><type PC </type></xml>", FrameError::BrokenTag),
        (
            "<xml><note lang=\"en>hi</note></xml>",
            FrameError::BrokenTag,
        ),
        ("<xml><type>PC</type>", FrameError::Unfinished),
        ("<xml></type></xml>", FrameError::StrayEnd),
        ("</xml>", FrameError::StrayEnd),
        ("<presence><tuple/></presence>", FrameError::Root),
        ("<xml><?php echo ?></xml>", FrameError::Instruction),
        ("<?php echo ?>", FrameError::Instruction),
    ];
    for (broken, error) in cases {
        let stream = format!("{broken}{good}");
        let expected = [
            Frame::Malformed(error),
            document("<xml><type>PING</type></xml>"),
        ];
        assert_eq!(frames(&stream), expected, "{broken}");
        assert_eq!(
            by_single_bytes(&stream),
            expected,
            "{broken} by single bytes"
        );
    }
}

#[test]
fn wrongly_nested_tags_are_left_to_the_reader() {
    let broken = "<xml><type>PC</typo></xml>";
    assert_eq!(frames(broken), [document(broken)]);
    let forgotten = "<xml><type>PC</xml>";
    assert_eq!(frames(forgotten), [document(forgotten)]);
}

#[test]
fn depth_is_bounded_and_the_stream_goes_on() {
    let nested = |depth: usize| {
        format!(
            "<xml>{}{}</xml>",
            "<a>".repeat(depth - 1),
            "</a>".repeat(depth - 1)
        )
    };
    let stream = nested(MAX_DEPTH) + &nested(MAX_DEPTH + 1) + "<xml/>";
    assert_eq!(
        frames(&stream),
        [
            Frame::Document(Bytes::from(nested(MAX_DEPTH))),
            Frame::Malformed(FrameError::TooDeep),
            document("<xml/>"),
        ]
    );
}

#[test]
fn size_is_bounded_to_the_byte() {
    let of_len = |len: usize| format!("<xml>{}</xml>", "x".repeat(len - "<xml></xml>".len()));
    assert_eq!(
        frames(&of_len(MAX_LEN)),
        [Frame::Document(Bytes::from(of_len(MAX_LEN)))]
    );
    assert_eq!(
        frames(&of_len(MAX_LEN + 1)),
        [Frame::Lost(FrameError::TooLarge(MAX_LEN))]
    );
}

#[test]
fn what_can_only_be_too_large_is_told_at_once_however_it_comes() {
    let begun = format!("<xml>{}", "x".repeat(MAX_LEN));
    let lost = [Frame::Lost(FrameError::TooLarge(MAX_LEN))];
    assert_eq!(frames(&begun), lost);
    let mut finder = FrameFinder::default();
    let mut buffer = BytesMut::from(begun.as_bytes());
    assert_eq!(finder.next(&mut buffer).as_slice(), lost);
}

#[test]
fn what_hides_the_next_document_ends_the_search() {
    for (stream, error) in [
        ("hello", FrameError::Text),
        (
            "<!DOCTYPE xml [<!ENTITY a 'b'>]><xml/>",
            FrameError::Doctype,
        ),
        ("<xml><!doctype x></xml>", FrameError::Doctype),
        ("<xml><!ELEMENT x></xml>", FrameError::Markup),
        ("<![CDATA[x]]>", FrameError::Text),
    ] {
        let mut finder = FrameFinder::default();
        let mut buf = BytesMut::from(stream);
        assert_eq!(finder.next(&mut buf), Some(Frame::Lost(error)), "{stream}");
        buf.extend_from_slice(b"<xml/>");
        assert_eq!(finder.next(&mut buf), None, "{stream}");
    }
}

proptest::proptest! {
    /// Whatever comes, however it is cut: no panic, and the cut makes no difference.
    #[test]
    fn any_bytes_give_the_same_frames_in_one_segment_and_in_many(
        parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "<xml>", "</xml>", "<", ">", "/", "!", "?", "<!--", "-->", "<![CDATA[", "]]>", "<?xml ", "?>", "\"",
                "'", "<a>", "</a>", "<a/>", "x", " ", "\n", "=", "<xml", "xml", "<!DOCTYPE",
            ]),
            0..40,
        )
    ) {
        let stream = parts.concat();
        proptest::prop_assert_eq!(frames(&stream), by_single_bytes(&stream));
    }
}
