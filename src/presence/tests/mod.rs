//! The rules of composition, each with documents made for it.

mod any;
mod names;
mod people;
mod rules;

use bytes::Bytes;

use super::*;
use crate::pidf::{Limits, Note, Person, Service, parse_moment};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const ALICE: &str = "sip:alice@example.com";

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A document about alice with the usual prefixes.
fn presence(body: &str) -> Document {
    let text = [
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' \
         xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid' entity='sip:alice@example.com'>",
        body,
        "</presence>",
    ];
    document(&text.concat())
}

fn document(text: &str) -> Document {
    Document::parse(&Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap()
}

/// What is between the root's tags of the composition of documents, the first the oldest. Line breaks are left out.
fn body(documents: &[&Document], now: Timestamp) -> String {
    let (_, inner) = composed(documents, now);
    inner
}

/// The root's start tag, and what is between the tags.
fn composed(documents: &[&Document], now: Timestamp) -> (String, String) {
    let composition = compose_all(documents, now);
    let text = String::from_utf8(composition.body.to_vec()).unwrap();
    let root = text.find("<presence").unwrap();
    let inner = root + text[root..].find('>').unwrap() + 1;
    let end = text.rfind("</presence>").unwrap();
    (
        text[root..inner].to_owned(),
        text[inner..end].replace('\n', ""),
    )
}

fn compose_all(documents: &[&Document], now: Timestamp) -> Composition {
    let keys: Vec<String> = (0..documents.len())
        .map(|number| ["k", &number.to_string()].concat())
        .collect();
    let sources: Vec<Source<'_>> = documents
        .iter()
        .zip(&keys)
        .enumerate()
        .map(|(number, (document, key))| Source {
            key,
            document,
            published: at(number as u64),
        })
        .collect();
    compose(ALICE, &sources, now).unwrap()
}

#[test]
fn nothing_published_is_nothing() {
    assert_eq!(compose(ALICE, &[], NOW), None);
}

#[test]
fn offline_is_one_closed_tuple() {
    let document = Document::parse(&offline(ALICE), &Limits::default()).unwrap();
    assert_eq!(document.entity(), ALICE);
    assert_eq!(
        Summary::of(&document, NOW),
        Summary {
            basic: Some(Basic::Closed),
            ..Summary::default()
        }
    );
}

#[test]
fn a_single_document_that_needs_no_change_is_handed_on_as_it_is() {
    let only = presence(
        "<tuple id='t'><status><basic>open</basic></status></tuple><note>n</note><dm:person id='p'>\
         <rpid:activities/></dm:person><dm:device id='d'><dm:deviceID>x</dm:deviceID></dm:device><x xmlns='u'/>",
    );
    let composition = compose_all(&[&only], NOW);
    assert_eq!(
        composition,
        Composition {
            body: only.raw().clone(),
            changes_at: None
        }
    );
    assert_eq!(composition.body.as_ptr(), only.raw().as_ptr());
}

#[test]
fn a_single_document_is_changed_where_it_must_be() {
    let tuple = "<tuple id='t'><status><basic>open</basic></status></tuple>";
    let closed_first = [
        "<tuple id='s'><status><basic>closed</basic></status></tuple>",
        tuple,
    ]
    .concat();
    for (body_in, body_out) in [
        (
            "<tuple><status/></tuple>",
            "<tuple id=\"t-bddc2d09\"><status/></tuple>",
        ),
        (
            "<tuple id='t'/><tuple id='t'/>",
            "<tuple id='t'/><tuple id='t-bddc2d09'/>",
        ),
        ("<note>n</note><note>n</note>", "<note>n</note>"),
        (
            &closed_first,
            "<tuple id='t'><status><basic>open</basic></status></tuple>\
          <tuple id='s'><status><basic>closed</basic></status></tuple>",
        ),
        ("<dm:person/>", "<dm:person id=\"p-bddc2d09\"></dm:person>"),
        (
            "<dm:person id='p'/><dm:person id='q'/>",
            "<dm:person id=\"p\"></dm:person>",
        ),
    ] {
        let only = presence(body_in);
        assert_ne!(compose_all(&[&only], NOW).body, only.raw(), "{body_in}");
        assert_eq!(body(&[&only], NOW), body_out);
    }
    for root in [
        "<?xml-stylesheet href='x'?><presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:alice@example.com'>",
        "<?xml version='1.1'?><presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:alice@example.com'>",
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:x='u' x:y='z' entity='sip:alice@example.com'>",
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:bob@example.com'>",
    ] {
        let only = document(&[root, tuple, "</presence>"].concat());
        let expected =
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@example.com\">";
        assert_eq!(
            composed(&[&only], NOW),
            (expected.to_owned(), tuple.to_owned())
        );
    }
}

#[test]
fn nobody_publishes_under_another_name() {
    let text = "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:mallory@example.com'/>";
    let (mallory, own) = (document(text), presence(""));
    for documents in [&[&mallory][..], &[&own, &mallory], &[&mallory, &own]] {
        let composition = compose_all(documents, NOW);
        assert_eq!(
            Document::parse(&composition.body, &Limits::default())
                .unwrap()
                .entity(),
            ALICE
        );
    }
}

#[test]
fn tuples_of_all_publishers_stand_open_first_then_by_priority_then_freshness() {
    let tuple = |id: &str, basic: &str, priority: &str| {
        let parts = [
            "<tuple id='",
            id,
            "'><status><basic>",
            basic,
            "</basic></status><contact priority='",
            priority,
            "'>c</contact></tuple>",
        ];
        parts.concat()
    };
    let older = presence(
        &[
            tuple("a", "closed", "1.0"),
            tuple("b", "open", "0.5"),
            tuple("c", "unknown", "1"),
        ]
        .concat(),
    );
    let newer = presence(
        &[
            tuple("d", "open", "0.5"),
            tuple("e", "open", "none"),
            tuple("f", "open", "0.7"),
        ]
        .concat(),
    );
    let expected = [
        tuple("f", "open", "0.7"),
        tuple("d", "open", "0.5"),
        tuple("b", "open", "0.5"),
        tuple("e", "open", "none"),
        tuple("a", "closed", "1.0"),
        tuple("c", "unknown", "1"),
    ];
    assert_eq!(body(&[&older, &newer], NOW), expected.concat());
}

#[test]
fn clashing_ids_are_told_apart_and_stay_when_freshness_changes() {
    let document = presence("<tuple id='t'/>");
    let ids = |first: u64, second: u64| -> Vec<(String, String)> {
        let sources = [("a", first), ("b", second)].map(|(key, published)| Source {
            key,
            document: &document,
            published: at(published),
        });
        let composition = compose(ALICE, &sources, NOW).unwrap();
        let read = Document::parse(&composition.body, &Limits::default()).unwrap();
        let order = if first > second {
            ["a", "b"]
        } else {
            ["b", "a"]
        };
        let ids = read.tuples().map(|tuple| tuple.id.clone().unwrap().value);
        let mut ids: Vec<_> = order.into_iter().map(str::to_owned).zip(ids).collect();
        ids.sort();
        ids
    };
    let told = ids(1, 2);
    assert_eq!(told[0], ("a".to_owned(), "t".to_owned()));
    assert!(told[1].1.starts_with("t-"), "{told:?}");
    assert_eq!(ids(2, 1), told);
}

#[test]
fn a_flood_of_equal_ids_stays_cheap_and_unique() {
    let many = presence(&"<tuple id='t'/>".repeat(3000));
    let limits = Limits {
        bytes: 1 << 20,
        ..Limits::default()
    };
    let read = Document::parse(&compose_all(&[&many], NOW).body, &limits).unwrap();
    let ids: std::collections::BTreeSet<_> = read
        .tuples()
        .map(|tuple| tuple.id.clone().unwrap().value)
        .collect();
    assert_eq!(ids.len(), 3000);
}

#[test]
fn children_of_the_root_come_in_the_order_of_the_schema() {
    let older =
        presence("<dm:person id='p'/><x xmlns='u'/><note>old</note><tuple id='a'/><!-- gone -->");
    let newer = presence(
        "<y xmlns='u'/><dm:device id='d'/><note>new</note><note>old</note><tuple id='b'/>",
    );
    assert_eq!(
        body(&[&older, &newer], NOW),
        "<tuple id='b'/><tuple id='a'/><note>new</note><note>old</note><dm:person id=\"p\"></dm:person>\
         <dm:device id=\"d\"></dm:device><y xmlns='u'/><x xmlns='u'/>"
    );
}

#[test]
fn the_whole_is_closed_only_when_all_are() {
    let basic = |bodies: &[&str]| {
        let documents: Vec<Document> = bodies
            .iter()
            .map(|basic| {
                presence(
                    &[
                        "<tuple id='t'><status><basic>",
                        basic,
                        "</basic></status></tuple>",
                    ]
                    .concat(),
                )
            })
            .collect();
        let sources: Vec<_> = documents
            .iter()
            .map(|document| Source {
                key: "k",
                document,
                published: NOW,
            })
            .collect();
        Summary::of_sources(&sources, NOW).basic
    };
    assert_eq!(basic(&["closed", "open", "unknown"]), Some(Basic::Open));
    assert_eq!(basic(&["closed", "closed"]), Some(Basic::Closed));
    assert_eq!(basic(&["closed", "unknown"]), None);
    assert_eq!(basic(&["unknown"]), None);
    assert_eq!(basic(&[]), None);
    assert_eq!(Summary::of(&presence(""), NOW).basic, None);
}

#[test]
fn a_summary_has_every_note_once_and_the_activities_sorted() {
    let service = Service {
        basic: Some(Basic::Open),
        notes: vec![Note {
            lang: None,
            text: "Busy".to_owned(),
        }],
        ..Service::default()
    };
    let person = Person {
        activities: vec![
            "working".to_owned(),
            "busy".to_owned(),
            "knitting".to_owned(),
        ],
        notes: vec![
            Note {
                lang: None,
                text: "Busy".to_owned(),
            },
            Note {
                lang: Some("en".to_owned()),
                text: "Busy".to_owned(),
            },
        ],
        ..Person::default()
    };
    let raw = Builder::new(ALICE)
        .tuple("t", service)
        .person("p", person)
        .finish();
    let summary = Summary::of(&Document::parse(&raw, &Limits::default()).unwrap(), NOW);
    assert_eq!(summary.basic, Some(Basic::Open));
    assert_eq!(summary.activities, ["busy", "knitting", "working"]);
    let notes: Vec<_> = summary
        .notes
        .iter()
        .map(|note| (note.lang.as_deref(), note.text.as_str()))
        .collect();
    assert_eq!(notes, [(None, "Busy"), (Some("en"), "Busy")]);
}

#[test]
fn an_instruction_of_a_publisher_does_not_reach_watchers_from_outside_of_its_parts() {
    let styled = document(
        "<?xml version='1.0'?><?xml-stylesheet href='http://127.0.0.1:1/'?><presence xmlns='urn:ietf:params:xml:ns:pidf' \
         entity='sip:alice@example.com'><?a b?><tuple id='t'/></presence><?c d?>",
    );
    assert_eq!(body(&[&styled], NOW), "<tuple id='t'/>");
    assert!(
        !compose_all(&[&styled], NOW)
            .body
            .windows(2)
            .skip(1)
            .any(|pair| pair == b"<?")
    );
    assert_eq!(parse_moment("1970-01-01T00:16:40Z"), Some(NOW));
}
