use std::collections::BTreeSet;

use super::*;

#[test]
fn no_tag_is_given_twice_by_any_shard_in_any_epoch() {
    let mut given = BTreeSet::new();
    for shard in [0, 1] {
        for epoch in [1, 2] {
            // The same seed each time: what differs is not left to chance.
            let mut entropy = Entropy::from_number(7);
            let mut tags = EntityTags::new(shard, epoch);
            for _ in 0..100 {
                assert!(given.insert(tags.give(&mut entropy)));
            }
        }
    }
    assert_eq!(given.len(), 400);
}

#[test]
fn a_later_publication_has_a_larger_number_also_after_a_restart() {
    let mut entropy = Entropy::from_number(7);
    let mut numbers = Vec::new();
    for epoch in [1, 2] {
        let mut tags = EntityTags::new(0, epoch);
        for _ in 0..3 {
            tags.give(&mut entropy);
            numbers.push(tags.order());
        }
    }
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

#[test]
fn a_tag_is_a_token_of_sip() {
    let tag = EntityTags::new(255, u64::MAX).give(&mut Entropy::from_number(1));
    assert!(
        tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.'),
        "{tag}"
    );
}

#[test]
fn a_publication_does_not_keep_the_buffer_that_its_request_came_in() {
    let document =
        r#"<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:bob@example.com"/>"#;
    let text = format!(
        "PUBLISH sip:bob@example.com SIP/2.0\r\nContent-Type: application/pidf+xml\r\n\r\n{document}"
    );
    for compositor in [Compositor::Presence, Compositor::Latest] {
        let package = Package {
            compositor,
            ..Package::presence()
        };
        let buffer = Bytes::from(text.clone());
        let request = Message::parse(buffer.clone()).expect("a request");
        let decision =
            decide(&request, &package, &Limits::default(), &[], Depth::Check).expect("a decision");
        let Action::Create(content) = decision.action else {
            panic!("not an initial publication: {decision:?}")
        };
        assert_eq!(content.body, document);
        let raw = content
            .document
            .as_ref()
            .map(|document| document.raw().clone());
        for kept in [Some(content.body), raw].into_iter().flatten() {
            assert!(!buffer.as_ptr_range().contains(&kept.as_ptr()));
        }
    }
}
