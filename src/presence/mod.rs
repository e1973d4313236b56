//! Composition: one document out of what many publishers say of one presentity (RFC 3903, 6; RFC 4479, 3.5; RFC 4480).
//!
//! - Services (tuples) are all kept. Open ones come first, then by contact priority, then the freshest: so a phone that
//!   looks only at the first `basic` sees what the whole says.
//! - There is one person (RFC 4479, 3.5): for each kind of statement the freshest publication that makes it wins.
//! - Devices with one device ID are one device, merged as persons are; notes and unknown extensions are kept.
//! - What holds for a time (`from`, `until`) is there at that time only, and the caller learns when to compose again.
//! - The entity is always the presentity asked for: nobody publishes under another's name by writing it down.
//!
//! Parts are copied as bytes from the publishers' documents, never parsed again. Prefixes become the usual ones, since
//! phones read PIDF by pattern.

mod emit;
mod succession;
mod summary;
mod view;

#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::pidf::{Basic, Builder, Document, Limits, Priority, Service};
use crate::time::Timestamp;

pub use succession::services;
pub use summary::Summary;

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

/// Composes one document about `entity`, of publications in any order. `None` if nothing is published.
///
/// A single publication whose document needs no change is handed on as it came, without a copy.
pub fn compose(entity: &str, sources: &[Source<'_>], now: Timestamp) -> Option<Composition> {
    if sources.is_empty() {
        return None;
    }
    let view = view::View::of(sources, now);
    let body = match sources {
        [only] if only.document.entity() == entity && view.is_unchanged(only.document) => {
            only.document.raw().clone()
        }
        _ => emit::emit(entity, &view, now),
    };
    Some(Composition {
        body,
        changes_at: view.changes_at,
    })
}

/// The document for a presentity of which nothing is known: one tuple, closed.
pub fn offline(entity: &str) -> Bytes {
    let closed = Service {
        basic: Some(Basic::Closed),
        ..Service::default()
    };
    Builder::new(entity).tuple("offline", closed).finish()
}

/// What a registration says of presence (RFC 3856, 7.2): one open tuple, whose contact is the address of record and has the
/// lowest priority.
pub fn registration(entity: &str) -> Option<Document> {
    let open = Service {
        basic: Some(Basic::Open),
        contact: Some(entity.to_owned()),
        priority: Some(Priority::LOWEST),
        ..Service::default()
    };
    let body = Builder::new(entity).tuple("registered", open).finish();
    Document::parse(&body, &Limits::default()).ok()
}
