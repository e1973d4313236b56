use proptest::prelude::*;

use super::*;
use crate::manager::{Ack, Basic, Hello, Nak, Note, Presence, Welcome, to_bytes};
use crate::pidf::PIDF_NS;

const NOW: Timestamp = Timestamp::from_millis(1_795_424_400_000);

fn message(document: &str) -> Message {
    read(document.as_bytes(), NOW).expect("a message")
}

fn error(document: &str) -> String {
    read(document.as_bytes(), NOW)
        .expect_err("an error")
        .to_string()
}

fn presence(content: &str) -> Presence {
    let document = format!("<xml><type>PRESENCE</type><entity>sip:a@x</entity>{content}</xml>");
    match message(&document) {
        Message::Presence(presence) => *presence,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_literal_hello_is_read_in_any_case_and_with_blanks() {
    for document in [
        "<xml><type> PC </type></xml>",
        "<xml>\n <type>pc</type> </xml>",
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><xml><type><![CDATA[PC]]></type></xml>",
        "<xml><!-- hello --><type>P&#67;</type></xml>",
    ] {
        assert_eq!(
            message(document),
            Message::PresenceClient(Hello::default()),
            "{document}"
        );
    }
}

#[test]
fn all_that_a_presence_can_say_is_read() {
    let document = "<xml><type>PRESENCE</type><seq>7</seq><entity> sip:alice@example.com </entity>\
        <source>desk</source><basic>Open</basic><activity>meeting</activity><activity>On-The-Phone</activity>\
        <activity/><note lang='en'>back &amp; forth</note><note xml:lang='de'> gleich </note><mood>happy</mood>\
        <place>office</place><since>2026-11-23T09:00:00Z</since><until>2026-11-23T11:00:00+01:00</until>\
        <idle>60</idle><whatever><deep>x</deep></whatever></xml>";
    let expected = Presence {
        seq: Some(7),
        entity: "sip:alice@example.com".into(),
        source: Some("desk".into()),
        basic: Some(Basic::Open),
        activities: vec!["meeting".into(), "on-the-phone".into()],
        notes: vec![
            Note {
                lang: Some("en".into()),
                text: "back & forth".into(),
            },
            Note {
                lang: Some("de".into()),
                text: "gleich".into(),
            },
        ],
        mood: Some("happy".into()),
        place: Some("office".into()),
        since: Some(NOW),
        until: Some(Timestamp::from_millis(1_795_428_000_000)),
        idle_since: Some(Timestamp::from_millis(NOW.as_millis() - 60_000)),
        document: None,
        withdrawn: false,
    };
    assert_eq!(message(document), Message::Presence(Box::new(expected)));
}

#[test]
fn idle_is_a_number_of_seconds_or_a_date() {
    let since = presence("<idle>2026-11-23T08:59:00Z</idle>").idle_since;
    assert_eq!(
        since,
        Some(Timestamp::from_millis(NOW.as_millis() - 60_000))
    );
    assert_eq!(presence("<idle>0</idle>").idle_since, Some(NOW));
}

#[test]
fn withdrawn_needs_no_value() {
    assert!(presence("<withdrawn/>").withdrawn);
    assert!(presence("<withdrawn> true </withdrawn>").withdrawn);
    assert!(!presence("<withdrawn>false</withdrawn>").withdrawn);
}

#[test]
fn a_pidf_document_passes_through_byte_for_byte() {
    let document = "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"  entity='sip:a@x' ><!-- c --><tuple id=\"t\">\
        <status><basic>open</basic></status><note>a &lt; b</note></tuple>\n</presence>";
    assert_eq!(presence(document).document.as_deref(), Some(document));
    let prefixed = "<p:presence xmlns:p=\"urn:ietf:params:xml:ns:pidf\" entity=\"pres:a@x\"><p:note>x</p:note></p:presence>";
    assert_eq!(presence(prefixed).document.as_deref(), Some(prefixed));
}

#[test]
fn namespaces_declared_outside_a_passed_through_document_are_declared_in_it() {
    let document = "<xml xmlns:r='urn:r' xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:d='a&amp;b'><type>PRESENCE</type>\
        <presence entity='sip:a@x' xmlns:r='urn:own'><r:x/><d:y/></presence></xml>";
    let Message::Presence(presence) = message(document) else {
        panic!("no presence")
    };
    assert_eq!(presence.entity, "sip:a@x");
    assert_eq!(
        presence.document.as_deref(),
        Some(
            "<presence entity='sip:a@x' xmlns:r='urn:own' xmlns=\"urn:ietf:params:xml:ns:pidf\" \
             xmlns:d=\"a&amp;b\"><r:x/><d:y/></presence>"
        )
    );
}

#[test]
fn a_type_that_nobody_knows_is_kept_whole() {
    let document = "<xml><type> Roster </type><a b='c'/></xml>";
    let expected = Message::Other {
        kind: "Roster".into(),
        document: document.into(),
    };
    assert_eq!(message(document), expected);
}

#[test]
fn faults_are_named_with_what_is_allowed() {
    let with = |content: &str| {
        error(&format!(
            "<xml><type>PRESENCE</type><entity>sip:a@x</entity>{content}</xml>"
        ))
    };
    assert_eq!(
        with("<basic>maybe</basic>"),
        "<basic> is \"maybe\"; allowed is open or closed"
    );
    assert_eq!(
        with("<since>tomorrow</since>"),
        "<since> is \"tomorrow\"; allowed is a date such as 2026-11-23T09:00:00Z (RFC 3339)"
    );
    assert_eq!(
        with("<activity>a b</activity>"),
        "<activity> is \"a b\"; allowed is the name of an activity, such as on-the-phone"
    );
    assert_eq!(
        with("<idle>-1</idle>"),
        "<idle> is \"-1\"; allowed is a number of seconds, or a date as for <since>"
    );
    assert_eq!(
        with("<seq>-1</seq>"),
        "<seq> is \"-1\"; allowed is a whole number that is not too large"
    );
    assert_eq!(
        with("<entity>sip:b@x</entity>"),
        "<entity> stands there more than once"
    );
    assert!(with("<presence/>").starts_with("<presence> is no PIDF document: "));
    assert_eq!(
        with("<presence xmlns='urn:ietf:params:xml:ns:pidf'/>"),
        "<presence> is no PIDF document: the presence element has no entity"
    );
    assert_eq!(
        with("<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:b@x'/>"),
        "<presence> is about \"sip:b@x\", another than <entity>"
    );
    assert_eq!(
        with("<note>&nbsp;</note>"),
        "the entity &nbsp; is not known; allowed are &amp; &lt; &gt; &quot; &apos; and character references"
    );
    assert_eq!(
        with("<note>&#1;</note>"),
        "the document has the character U+0001, which XML does not allow"
    );
    assert_eq!(
        error("<xml><type>PRESENCE</type></xml>"),
        "PRESENCE needs <entity>"
    );
    assert_eq!(
        error("<xml><type>PRESENCE</type><entity>bob</entity></xml>"),
        "<entity> is \"bob\": a presentity is a URI that begins with sip:, sips: or pres:"
    );
    assert_eq!(error("<xml><type>ACK</type></xml>"), "ACK needs <seq>");
    assert_eq!(error("<xml><type> </type></xml>"), "there is no <type>");
    assert_eq!(error("<xml/>"), "there is no <type>");
    assert_eq!(
        error("<xml>\u{1}</xml>"),
        "the document has the character U+0001, which XML does not allow"
    );
    assert_eq!(
        read(b"<xml>\xff</xml>", NOW).expect_err("an error").problem,
        Problem::Encoding
    );
    assert!(error("<xml><type>PC</typo></xml>").starts_with("not well-formed: "));
    assert!(error("<xml a='1' a='2'><type>PC</type></xml>").starts_with("not well-formed: "));
    assert_eq!(
        error("<?xml version='1.0' encoding='latin1'?><xml><type>PC</type></xml>"),
        "the document is not UTF-8"
    );
}

#[test]
fn the_seq_of_a_bad_presence_is_known_for_its_nak() {
    let bad =
        b"<xml><type>PRESENCE</type><seq>9</seq><entity>sip:a@x</entity><basic>x</basic></xml>";
    assert_eq!(read(bad, NOW).expect_err("an error").seq, Some(9));
    assert_eq!(
        read(b"<xml><type>ACK</type><seq>x</seq></xml>", NOW)
            .expect_err("an error")
            .seq,
        None
    );
}

fn text() -> impl Strategy<Value = String> {
    // No carriage return: XML reads it as a line feed.
    "[a-zA-Z<>&'\"\\]\u{e4}\u{1f600}][a-zA-Z<>&'\"\\] \n\u{e4}\u{1f600}]{0,12}[a-z<>&]"
}

prop_compose! {
    fn any_presence()(
        seq in any::<Option<u64>>(),
        source in proptest::option::of(text()),
        basic in proptest::option::of(prop_oneof![Just(Basic::Open), Just(Basic::Closed)]),
        activities in proptest::collection::btree_set("[a-z][a-z0-9-]{0,8}", 0..4),
        notes in proptest::collection::vec((proptest::option::of("[a-z]{2}"), text()), 0..4),
        mood in proptest::option::of("[a-z]{1,8}"),
        since in proptest::option::of(0u64..4_000_000_000_000),
        idle in proptest::option::of(0u64..4_000_000_000_000),
        withdrawn in any::<bool>(),
    ) -> Presence {
        Presence {
            seq,
            entity: "sip:alice@example.com;x=\"".trim_end_matches('"').to_owned(),
            source,
            basic,
            activities: activities.into_iter().collect(),
            notes: notes.into_iter().map(|(lang, text)| Note { lang, text }).collect(),
            place: mood.clone(),
            mood,
            since: since.map(Timestamp::from_millis),
            until: idle.map(Timestamp::from_millis),
            idle_since: idle.map(Timestamp::from_millis),
            document: withdrawn.then(|| format!("<presence xmlns=\"{PIDF_NS}\" entity=\"sip:alice@example.com\"/>")),
            withdrawn,
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        presence in any_presence(),
        id in proptest::option::of(text()),
        number in any::<Option<u32>>(),
        seq in any::<u64>(),
        reason in text(),
        code in any::<u16>(),
    ) {
        let hello = Hello { id: id.clone(), version: number, last_seq: number.map(u64::from), run: id.clone() };
        let messages = [
            Message::Presence(Box::new(presence)),
            Message::PresenceClient(hello.clone()),
            Message::Source(hello),
            Message::Welcome(Welcome {
                id: reason.clone(), version: 1, run: reason.clone(), heartbeat: number.unwrap_or(30),
            }),
            Message::Ack(Ack { seq, etag: id.clone() }),
            Message::Nak(Nak { seq, code, reason: reason.clone() }),
            Message::Ping,
            Message::Pong,
            Message::Error(reason),
            Message::Bye(id),
        ];
        for message in messages {
            let written = to_bytes(&message);
            prop_assert_eq!(written.last(), Some(&b'\n'));
            prop_assert_eq!(read(&written, NOW), Ok(message));
        }
    }

    #[test]
    fn no_document_makes_the_reader_panic(
        parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "<xml>", "</xml>", "<type>", "</type>", "PRESENCE", "PC", "<seq>", "</seq>", "1", "<presence", " xmlns='",
                "urn:ietf:params:xml:ns:pidf'", ">", "/>", "</presence>", "<note lang='", "'>", "</note>", "&amp;", "&#x0;",
                "<![CDATA[", "]]>", "<!--", "-->", "<?", "?>", "<", "\u{e4}",
            ]),
            0..30,
        )
    ) {
        let _ = read(parts.concat().as_bytes(), NOW);
    }
}
