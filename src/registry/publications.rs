//! The row of a publication.

use super::rows::Timer;
use super::store::{Change, PublicationRecord, Version};
use crate::pidf::{Document, Limits};
use crate::presence;
use crate::time::{TimerKey, Wheel};

/// A live publication.
#[derive(Debug)]
pub(super) struct Publication {
    pub record: PublicationRecord,
    pub version: Version,
    /// Fires when it lapses, or before: then it looks again.
    pub lapse: TimerKey,
    /// The body as read. Kept only while several small publications of a watched presentity are composed again and again:
    /// it takes 3 to 25 times the memory of the body.
    pub document: Option<Box<Document>>,
    /// Whom it counts for.
    pub owner: u32,
    /// Which services it has that nobody else publishes (docs/adr/0007), once that was asked.
    services: Option<Box<[u64]>>,
}

impl Publication {
    /// With its timer set.
    pub fn new(
        wheel: &mut Wheel<Timer>,
        presentity: u32,
        record: PublicationRecord,
        version: Version,
        document: Option<Box<Document>>,
        owner: u32,
    ) -> Self {
        Self {
            lapse: wheel.insert(record.expires_at, Timer::Lapse { presentity }),
            record,
            version,
            document,
            owner,
            services: None,
        }
    }

    /// It has another body.
    pub fn replace(
        &mut self,
        record: PublicationRecord,
        document: Option<Box<Document>>,
        owner: u32,
    ) {
        self.record = record;
        self.owner = owner;
        self.document = document;
        self.services = None;
    }

    /// Bytes of memory that one with such a body takes.
    pub const fn size(body: usize) -> usize {
        size_of::<Self>() + 256 + body
    }

    /// Reads the body if it is not kept as read.
    pub fn read(&mut self) {
        if self.document.is_none() {
            self.document = read(&self.record.body).map(Box::new);
        }
    }

    /// Whether it has one of these services. Reading the body for it is done once, and not if it is longer than what is
    /// `left` to be read.
    pub fn has_service(&mut self, asked: &[u64], left: &mut usize) -> bool {
        if self.services.is_none() {
            let services = match &self.document {
                Some(document) => presence::services(document),
                None => {
                    let Some(rest) = left.checked_sub(self.record.body.len()) else {
                        return false;
                    };
                    *left = rest;
                    let document = read(&self.record.body);
                    document
                        .as_ref()
                        .map_or_else(Box::default, presence::services)
                }
            };
            self.services = Some(services);
        }
        let own = self.services.as_deref().unwrap_or_default();
        asked
            .iter()
            .any(|service| own.binary_search(service).is_ok())
    }

    /// The change that takes it out of the store.
    pub fn removal(&self) -> Change {
        Change {
            key: self.record.key(),
            expect: Some(self.version),
            record: None,
        }
    }
}

/// Reads a stored body. It was good when it was published, and counts as far as this version can read it.
pub(super) fn read(body: &bytes::Bytes) -> Option<Document> {
    let limits = Limits {
        bytes: usize::MAX,
        ..Limits::default()
    };
    Document::parse(body, &limits).ok()
}
