//! Presence documents (RFC 3863, 4479, 4480): what watchers read of what was published.

use std::collections::BTreeSet;

use bytes::Bytes;
use rollcall_core::pidf::{Document, Limits};
use rollcall_core::sip::Message;

use super::super::builders::{document, text};
use super::super::peer::{Peer, Stop};
use super::super::requirement::{must, should};
use super::{Check, check};

pub(super) const CHECKS: &[Check] = &[
    check!(
        one,
        [
            must(
                "document-type",
                3856,
                "6.7",
                "What is told is application/pidf+xml."
            ),
            must(
                "document-valid",
                3863,
                "4.1",
                "It is well-formed, and a presence document."
            ),
            must(
                "document-entity",
                3863,
                "4.1.1",
                "Its entity is the presentity that was asked for."
            ),
            must(
                "basic-kept",
                3863,
                "4.1.4",
                "The basic status that was published is told."
            ),
            must(
                "note-kept",
                3863,
                "4.1.6",
                "A note survives, with its language."
            ),
            must(
                "priority-kept",
                3863,
                "4.1.5",
                "A contact survives, with its priority."
            ),
            must("timestamp-kept", 3863, "4.1.7", "A timestamp survives."),
            must(
                "extension-kept",
                3863,
                "4.2.4",
                "Elements that nobody knows survive."
            ),
            must(
                "activities-kept",
                4480,
                "3.2",
                "Activities of a person survive."
            ),
            must("device-kept", 4479, "3.4", "A device survives."),
            must("utf8-kept", 3863, "4.1", "Text beyond ASCII survives."),
            must(
                "prefix-kept",
                3863,
                "4.1.1",
                "A document whose namespace has a prefix is understood."
            ),
        ]
    ),
    check!(
        two,
        [
            must(
                "composed",
                3856,
                "6.9",
                "Two publications are told as one document."
            ),
            must(
                "ids-unique",
                3863,
                "4.1.2",
                "Ids of tuples are unique in it, though both publications use the same."
            ),
            must(
                "one-left",
                3903,
                "6",
                "When one is removed, the other is still told."
            ),
            should(
                "none-left",
                3856,
                "6.4",
                "When none is left, nobody is told open."
            ),
        ]
    ),
];

fn parsed(message: &Message) -> Option<Document> {
    Document::parse(&Bytes::copy_from_slice(&message.body()), &Limits::default()).ok()
}

async fn one(peer: &mut Peer) -> Result<(), Stop> {
    let bob = peer.presentity();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><p:presence xmlns:p=\"urn:ietf:params:xml:ns:pidf\" \
         xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\" \
         xmlns:x=\"urn:selftest\" entity=\"{bob}\"><p:tuple id=\"a\"><p:status><p:basic>open</p:basic><x:inner>in</x:inner>\
         </p:status><x:outer kind=\"k\">out</x:outer><p:contact priority=\"0.8\">sip:desk@selftest.invalid</p:contact>\
         <p:note xml:lang=\"de\">f\u{fc}nf \u{4f60}\u{597d}</p:note><p:timestamp>2026-01-02T03:04:05Z</p:timestamp></p:tuple>\
         <dm:person id=\"p\"><r:activities><r:meeting/></r:activities></dm:person>\
         <dm:device id=\"d\"><dm:deviceID>urn:uuid:48662e19-5fbf-43fc-a2fd-d23002787599</dm:deviceID></dm:device></p:presence>"
    );
    let publish = peer.publish(&bob, "600").body("application/pidf+xml", body);
    peer.published(publish).await?;
    let told = peer.fetched(&bob).await?;
    let kind = told.content_type().unwrap_or_default();
    peer.holds(
        "document-type",
        kind.starts_with("application/pidf+xml"),
        "application/pidf+xml",
        kind,
    );
    let shown = text(&told);
    let document = parsed(&told);
    peer.holds(
        "document-valid",
        document.is_some(),
        "a presence document",
        &shown,
    );
    let entity = document.as_ref().map_or("", |document| document.entity());
    peer.holds("document-entity", entity == bob, &bob, entity);
    peer.holds(
        "prefix-kept",
        document.as_ref().is_some_and(|d| d.tuples().count() == 1),
        "one tuple",
        &shown,
    );
    for (id, wanted) in [
        ("basic-kept", ">open<"),
        ("note-kept", "lang=\"de\""),
        ("priority-kept", "priority=\"0.8\""),
        ("timestamp-kept", "2026-01-02T03:04:05Z"),
        ("extension-kept", "kind=\"k\""),
        ("activities-kept", "meeting"),
        ("device-kept", "48662e19-5fbf-43fc-a2fd-d23002787599"),
        ("utf8-kept", "f\u{fc}nf \u{4f60}\u{597d}"),
    ] {
        peer.holds(id, shown.contains(wanted), wanted, &shown);
    }
    Ok(())
}

async fn two(peer: &mut Peer) -> Result<(), Stop> {
    let bob = peer.presentity();
    let mut tags = Vec::new();
    for note in ["left", "right"] {
        let body = document(&bob, "same", "open", note);
        let publish = peer.publish(&bob, "600").body("application/pidf+xml", body);
        tags.push(peer.published(publish).await?);
    }
    let told = peer.fetched(&bob).await?;
    let shown = text(&told);
    let both = shown.contains("left") && shown.contains("right");
    peer.holds("composed", both, "both notes", &shown);
    let ids: Vec<String> = shown
        .split("id=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect();
    let unique = ids.iter().collect::<BTreeSet<_>>().len() == ids.len();
    peer.holds("ids-unique", unique && both, "two ids", ids.join(", "));
    for (id, tag) in ["one-left", "none-left"].into_iter().zip(tags) {
        let remove = peer.publish(&bob, "0").and("SIP-If-Match", tag);
        peer.published(remove).await?;
        let shown = text(&peer.fetched(&bob).await?);
        let well = match id {
            "one-left" => !shown.contains("left") && shown.contains("right"),
            _ => !shown.contains(">open<"),
        };
        peer.holds(id, well, "what is left", shown);
    }
    Ok(())
}
