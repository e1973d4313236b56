//! The document: `application/watcherinfo+xml` (RFC 3858, 3).

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{Event, Status};
use crate::pidf::xml::Writer;

/// The media type (RFC 3858, 6.1).
pub const CONTENT_TYPE: &str = "application/watcherinfo+xml";

/// RFC 3858, 6.2.
const NAMESPACE: &str = "urn:ietf:params:xml:ns:watcherinfo";

/// How much of the truth a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All watchers; the receiver forgets the others.
    Full,
    /// Those that changed.
    Partial,
}

/// A `watcher` element: one subscription, or one that waits (RFC 3858, 3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watcher {
    /// Unique among the watchers of the resource, and the same as long as the subscription lives.
    pub id: String,
    /// Who it is.
    pub uri: String,
    /// Where it stands.
    pub status: Status,
    /// What brought it there.
    pub event: Event,
    /// Seconds until it expires, where it can.
    pub expiration: Option<u32>,
}

/// What one NOTIFY says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document<'a> {
    /// Counts the documents of one subscription, from 0 (RFC 3858, 3.1).
    pub version: u32,
    /// How much it says.
    pub scope: Scope,
    /// Who is watched.
    pub resource: &'a str,
    /// In which event package.
    pub package: &'a str,
    /// Those to be told. Of several with one id the last one counts.
    pub watchers: &'a [Watcher],
}

impl Document<'_> {
    /// As it goes out.
    pub fn write(&self) -> Bytes {
        let mut out = Writer::new();
        out.declaration();
        out.start("watcherinfo");
        out.attribute("xmlns", NAMESPACE);
        out.attribute("version", &self.version.to_string());
        let state = match self.scope {
            Scope::Full => "full",
            Scope::Partial => "partial",
        };
        out.attribute("state", state);
        out.line();
        out.start("watcher-list");
        out.attribute("resource", self.resource);
        out.attribute("package", self.package);
        for watcher in self.latest() {
            out.line();
            out.start("watcher");
            out.attribute("id", &watcher.id);
            out.attribute("status", watcher.status.as_str());
            out.attribute("event", watcher.event.as_str());
            if let Some(seconds) = watcher.expiration {
                out.attribute("expiration", &seconds.to_string());
            }
            out.text(&watcher.uri);
            out.end();
        }
        out.end();
        out.line();
        out.finish().into()
    }

    /// The last element of each id, in order.
    fn latest(&self) -> Vec<&Watcher> {
        let mut seen = BTreeSet::new();
        let mut latest: Vec<&Watcher> = self
            .watchers
            .iter()
            .rev()
            .filter(|watcher| seen.insert(watcher.id.as_str()))
            .collect();
        latest.reverse();
        latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watcher(id: &str, status: Status, event: Event) -> Watcher {
        Watcher {
            id: id.to_owned(),
            uri: "sip:\"<bob>\"@example.com".to_owned(),
            status,
            event,
            expiration: (status == Status::Active).then_some(60),
        }
    }

    #[test]
    fn a_watcher_is_told_as_it_is_now_and_everything_is_escaped() {
        let watchers = [
            watcher("1", Status::Pending, Event::Subscribe),
            watcher("2", Status::Active, Event::Approved),
            watcher("1", Status::Waiting, Event::Timeout),
        ];
        let document = Document {
            version: 7,
            scope: Scope::Partial,
            resource: "sip:alice&co@example.com",
            package: "presence",
            watchers: &watchers,
        };
        assert_eq!(
            std::str::from_utf8(&document.write()),
            Ok("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
                <watcherinfo xmlns=\"urn:ietf:params:xml:ns:watcherinfo\" version=\"7\" state=\"partial\">\n\
                <watcher-list resource=\"sip:alice&amp;co@example.com\" package=\"presence\">\n\
                <watcher id=\"2\" status=\"active\" event=\"approved\" expiration=\"60\">sip:\"&lt;bob&gt;\"@example.com</watcher>\n\
                <watcher id=\"1\" status=\"waiting\" event=\"timeout\">sip:\"&lt;bob&gt;\"@example.com</watcher></watcher-list>\n\
                </watcherinfo>")
        );
    }
}
