//! What several sources say of one presentity, as one state.

use super::super::message::{Message, Note, Presence};
use super::super::write::write;

/// The greatest state in bytes, as a document: room is left within [`MAX_LEN`](super::super::MAX_LEN) for `seq`.
pub const MAX_STATE: usize = super::super::MAX_LEN - 1024;

/// Merges the shares of a presentity, the newest statement first. `None` when nobody says anything.
///
/// - A whole document can't be merged: if it is the newest statement it is the state, else it is left out.
/// - `basic`, `mood`, `place`, `source`, `since`: of the newest statement that has them (`source`, `since`: of the newest).
/// - Activities: all, those of the newest first, each once.
/// - Notes: for each language those of the newest statement that has one in it.
/// - Idle since the latest input that anybody saw.
/// - `until`: when the last share lapses; nothing if one has no end.
///
/// If all that became too large for a message, the newest statement alone is the state.
pub fn merge<'a>(shares: impl Iterator<Item = &'a Presence> + Clone) -> Option<Presence> {
    let newest = shares.clone().next()?;
    if newest.document.is_some() {
        return Some(newest.clone());
    }
    let mut merged = newest.clone();
    let older = shares.skip(1).filter(|share| share.document.is_none());
    let mut several = false;
    for share in older {
        several = true;
        merged.basic = merged.basic.or(share.basic);
        merged.mood = merged.mood.or_else(|| share.mood.clone());
        merged.place = merged.place.or_else(|| share.place.clone());
        merged.until = merged.until.zip(share.until).map(|(a, b)| a.max(b));
        merged.idle_since = merged.idle_since.max(share.idle_since);
        for activity in &share.activities {
            if !merged.activities.contains(activity) {
                merged.activities.push(activity.clone());
            }
        }
        let known = merged.notes.len();
        let added = share
            .notes
            .iter()
            .filter(|note| !has_language(&merged.notes[..known], note));
        let added: Vec<Note> = added.cloned().collect();
        merged.notes.extend(added);
    }
    if several && encoded_len(&merged) > MAX_STATE {
        Some(newest.clone())
    } else {
        Some(merged)
    }
}

fn has_language(notes: &[Note], note: &Note) -> bool {
    notes.iter().any(|known| known.lang == note.lang)
}

/// The length of the document that carries this state.
pub fn encoded_len(presence: &Presence) -> usize {
    let mut out = Vec::new();
    write(&Message::Presence(Box::new(presence.clone())), &mut out);
    out.len()
}

#[cfg(test)]
mod tests {
    use super::super::super::message::Basic;
    use super::*;
    use crate::time::Timestamp;

    fn share(source: &str) -> Presence {
        Presence {
            entity: "sip:a@x".into(),
            source: Some(source.into()),
            ..Presence::default()
        }
    }

    fn note(lang: Option<&str>, text: &str) -> Note {
        Note {
            lang: lang.map(str::to_owned),
            text: text.into(),
        }
    }

    fn at(seconds: u64) -> Option<Timestamp> {
        Some(Timestamp::from_millis(seconds * 1000))
    }

    #[test]
    fn the_newest_wins_and_lists_are_united() {
        let pbx = Presence {
            activities: vec!["on-the-phone".into(), "busy".into()],
            notes: vec![note(None, "calling")],
            since: at(50),
            until: at(100),
            idle_since: at(10),
            ..share("pbx")
        };
        let calendar = Presence {
            basic: Some(Basic::Open),
            activities: vec!["meeting".into(), "busy".into()],
            notes: vec![
                note(Some("de"), "Sitzung"),
                note(None, "board"),
                note(Some("de"), "Raum 5"),
            ],
            mood: Some("bored".into()),
            since: at(40),
            until: at(200),
            idle_since: at(20),
            ..share("calendar")
        };
        let merged = merge([&pbx, &calendar].into_iter()).expect("a state");
        assert_eq!(
            merged,
            Presence {
                basic: Some(Basic::Open),
                activities: vec!["on-the-phone".into(), "busy".into(), "meeting".into()],
                notes: vec![
                    note(None, "calling"),
                    note(Some("de"), "Sitzung"),
                    note(Some("de"), "Raum 5")
                ],
                mood: Some("bored".into()),
                since: at(50),
                until: at(200),
                idle_since: at(20),
                ..share("pbx")
            }
        );
        let endless = Presence {
            until: None,
            ..calendar
        };
        assert_eq!(
            merge([&pbx, &endless].into_iter()).and_then(|merged| merged.until),
            None
        );
        assert_eq!(merge([].into_iter()), None);
    }

    #[test]
    fn a_document_is_the_state_while_it_is_the_newest_word() {
        let document = Presence {
            document: Some("<presence/>".into()),
            ..share("pbx")
        };
        let calendar = Presence {
            mood: Some("happy".into()),
            ..share("calendar")
        };
        assert_eq!(
            merge([&document, &calendar].into_iter()),
            Some(document.clone())
        );
        assert_eq!(merge([&calendar, &document].into_iter()), Some(calendar));
    }

    #[test]
    fn what_would_be_too_large_is_the_newest_word_alone() {
        let large = |source: &str, lang: &str| Presence {
            notes: vec![note(Some(lang), &"&".repeat(MAX_STATE / 8))],
            ..share(source)
        };
        let (a, b) = (large("a", "en"), large("b", "de"));
        assert_eq!(merge([&a, &b].into_iter()), Some(a));
    }
}
