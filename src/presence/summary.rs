//! The gist of a state.

use std::collections::BTreeSet;

use super::Source;
use super::view::View;
use crate::pidf::{Basic, Document, Meaning, Note};
use crate::time::Timestamp;

/// The gist of a state, for people and for comparing: a document and what is composed of it alone have the same one.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Open if any service is; closed if all are; else unknown.
    pub basic: Option<Basic>,
    /// Activities in force, sorted, each once.
    pub activities: Vec<String>,
    /// Notes of services, the person and the whole, sorted, each once.
    pub notes: Vec<Note>,
}

impl Summary {
    /// The gist of one document.
    pub fn of(document: &Document, now: Timestamp) -> Self {
        Self::of_sources(
            &[Source {
                key: "",
                document,
                published: now,
            }],
            now,
        )
    }

    /// The gist of what [`compose`](super::compose) makes of these publications.
    pub fn of_sources(sources: &[Source<'_>], now: Timestamp) -> Self {
        let view = View::of(sources, now);
        let says =
            |basic| move |service: &super::view::Service<'_>| service.tuple.basic == Some(basic);
        let basic = if view.tuples.iter().any(says(Basic::Open)) {
            Some(Basic::Open)
        } else if !view.tuples.is_empty() && view.tuples.iter().all(says(Basic::Closed)) {
            Some(Basic::Closed)
        } else {
            None
        };
        let mut activities = BTreeSet::new();
        let mut notes: BTreeSet<&Note> = view.notes.iter().map(|(_, _, note)| *note).collect();
        notes.extend(view.tuples.iter().flat_map(|service| &service.tuple.notes));
        for (_, piece) in view.person.iter().flat_map(|person| &person.pieces) {
            match &piece.meaning {
                Meaning::Activities {
                    names,
                    notes: beside,
                } => {
                    activities.extend(names);
                    notes.extend(beside);
                }
                Meaning::Note(note) => {
                    notes.insert(note);
                }
                Meaning::Timestamp(_) | Meaning::DeviceId(_) | Meaning::Other => {}
            }
        }
        Self {
            basic,
            activities: activities.into_iter().cloned().collect(),
            notes: notes.into_iter().cloned().collect(),
        }
    }
}
