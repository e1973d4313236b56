//! Composition of the state that many publishers gave of one presentity (RFC 3903, 6; RFC 4479, 3.5; RFC 4480).

use bytes::Bytes;

use crate::pidf::{Basic, Document, Note};
use crate::time::Timestamp;

/// One publication of a presentity.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Names the publication for as long as it lives, through modifications: ids that clash are told apart by it
    /// (RFC 3903, 10.4), so it must not be the entity-tag, which changes.
    pub key: &'a str,
    /// What was published.
    pub document: &'a Document,
    /// When it was published or last changed. A refresh does not count.
    pub published: Timestamp,
}

/// What watchers are told.
#[derive(Clone, Debug, PartialEq)]
pub struct Composition {
    /// A PIDF document.
    pub body: Bytes,
    /// When it will change though nobody publishes, as something timed begins or ends.
    pub changes_at: Option<Timestamp>,
}

/// Composes one document about `entity`. `None` if nothing is published.
pub fn compose(_entity: &str, _sources: &[Source<'_>], _now: Timestamp) -> Option<Composition> {
    None
}

/// The document for a presentity of which nothing is known: one tuple, closed.
pub fn offline(entity: &str) -> Bytes {
    use crate::pidf::{Builder, Service};
    Builder::new(entity)
        .tuple(
            "offline",
            Service {
                basic: Some(Basic::Closed),
                ..Service::default()
            },
        )
        .finish()
}

/// The gist of a state, for people and for comparing.
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
    pub fn of(_document: &Document, _now: Timestamp) -> Self {
        Self::default()
    }

    /// The gist of what [`compose`] makes of these publications.
    pub fn of_sources(_sources: &[Source<'_>], _now: Timestamp) -> Self {
        Self::default()
    }
}
