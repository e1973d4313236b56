//! What a Presence Client publishes of a state: a PIDF document with RPID (RFC 3863, 4479, 4480).

use std::hash::Hasher;

use bytes::Bytes;

use super::entity::normal;
use super::message::{Basic, Presence};
use crate::pidf::{self, Builder, Person, Service};
use crate::time::Timestamp;

/// The document of `presence`. One that a source gave whole passes through as it is.
///
/// The tuple stands for the presentity's service: open unless the state says otherwise, since phones show nobody as
/// reachable without it. What is said of the person (activities, mood, place, notes) stands in a person.
///
/// The ids are made of `publisher`, 16 hexadecimal digits that no other publisher has, and of the entity: publishing again
/// does not look like another service, and the server knows a publication whose entity-tag was lost
/// ([`crate::presence::services`]).
pub fn to_pidf(presence: &Presence, publisher: &str, now: Timestamp) -> Bytes {
    if let Some(document) = &presence.document {
        return Bytes::copy_from_slice(document.as_bytes());
    }
    let mut hasher = rustc_hash::FxHasher::default();
    hasher.write(
        normal(&presence.entity)
            .as_ref()
            .unwrap_or(&presence.entity)
            .as_bytes(),
    );
    let id = format!("{publisher}{:016x}", hasher.finish());
    let basic = match presence.basic {
        _ if presence.withdrawn => pidf::Basic::Closed,
        Some(Basic::Closed) => pidf::Basic::Closed,
        Some(Basic::Open) | None => pidf::Basic::Open,
    };
    let service = Service {
        basic: Some(basic),
        contact: Some(presence.entity.clone()),
        idle_since: presence.idle_since,
        ..Service::default()
    };
    let note = |note: &super::Note| pidf::Note {
        lang: note.lang.clone(),
        text: note.text.clone(),
    };
    let person = Person {
        activities: presence.activities.clone(),
        since: presence.since,
        until: presence.until,
        mood: presence.mood.clone(),
        place: presence.place.clone(),
        notes: presence.notes.iter().map(note).collect(),
    };
    let mut builder = Builder::new(&presence.entity)
        .timestamp(now)
        .tuple(&format!("t{id}"), service);
    let times = Person {
        since: presence.since,
        until: presence.until,
        ..Person::default()
    };
    if person != times {
        builder = builder.person(&format!("p{id}"), person);
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use super::super::Note;
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_424_400_000);
    const PUBLISHER: &str = "0123456789abcdef";

    fn text(presence: &Presence) -> String {
        String::from_utf8(to_pidf(presence, PUBLISHER, NOW).to_vec()).expect("UTF-8")
    }

    #[test]
    fn a_state_becomes_a_tuple_and_a_person() {
        let document = text(&Presence {
            entity: "sip:alice@example.com".into(),
            basic: Some(Basic::Closed),
            activities: vec!["meeting".into(), "yoga".into()],
            notes: vec![Note {
                lang: Some("en".into()),
                text: "a < b".into(),
            }],
            mood: Some("happy".into()),
            place: Some("office".into()),
            since: Some(NOW),
            until: Some(Timestamp::from_millis(1_795_428_000_000)),
            idle_since: Some(NOW),
            ..Presence::default()
        });
        for part in [
            "entity=\"sip:alice@example.com\"",
            "<basic>closed</basic>",
            "<rpid:activities from=\"2026-11-23T09:00:00Z\" until=\"2026-11-23T10:00:00Z\"><rpid:meeting/>\
             <rpid:other>yoga</rpid:other></rpid:activities>",
            "<rpid:mood><rpid:happy/></rpid:mood>",
            "<lt:office/>",
            "<dm:note xml:lang=\"en\">a &lt; b</dm:note>",
            "last-input=\"2026-11-23T09:00:00Z\"",
        ] {
            assert!(document.contains(part), "{part} in {document}");
        }
    }

    #[test]
    fn nothing_said_means_reachable_and_nothing_of_the_person() {
        let presence = Presence {
            entity: "sip:bob@example.com".into(),
            ..Presence::default()
        };
        let document = text(&presence);
        assert!(
            document.contains("<basic>open</basic>") && !document.contains("person"),
            "{document}"
        );
    }

    #[test]
    fn publishing_again_keeps_the_ids_and_another_presentity_has_others() {
        let id = |entity: &str| {
            let document = text(&Presence {
                entity: entity.into(),
                ..Presence::default()
            });
            document.split("id=\"").nth(1).expect("an id")[..33].to_owned()
        };
        assert_eq!(id("sip:bob@example.com"), id("pres:bob@EXAMPLE.com"));
        assert_ne!(id("sip:bob@example.com"), id("sip:alice@example.com"));
    }

    #[test]
    fn a_whole_document_passes_through() {
        let document = Some("<presence>anything</presence>".to_owned());
        let presence = Presence {
            document,
            ..Presence::default()
        };
        assert_eq!(text(&presence), "<presence>anything</presence>");
    }
}
