//! The rows of addresses of record with their contacts, and how they are found (RFC 3261, 10.3).

use std::sync::Arc;

use super::rows::index;
use super::store::{BindingRecord, Change, RecordKey, Version};
use crate::keyed::{KeyedMap, Secret};
use crate::sip::Uri;
use crate::slots::Slots;
use crate::time::TimerKey;

/// A live binding.
#[derive(Debug)]
pub(super) struct Binding {
    pub record: BindingRecord,
    pub version: Version,
    /// The contact as read, for comparing.
    pub uri: Uri,
    pub unbind: TimerKey,
    /// Whom it counts for.
    pub owner: u32,
}

impl Binding {
    /// Bytes of memory that it takes, with its part of the row.
    pub fn size(&self) -> usize {
        let record = &self.record;
        let texts = [
            &record.contact,
            &record.call_id,
            &record.path,
            &record.params,
        ];
        let texts: usize = texts.into_iter().map(|text| text.len()).sum();
        // The contact is there as text and as read.
        size_of::<Self>() + texts + record.contact.len() + record.aor.len() + 192
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

/// An address of record with its bindings.
#[derive(Debug)]
pub(super) struct Registered {
    pub aor: Arc<str>,
    pub bindings: Vec<Binding>,
}

/// The bindings of a shard.
#[derive(Debug)]
pub(super) struct Bindings {
    pub rows: Slots<Registered>,
    pub index: KeyedMap<Arc<str>, u32>,
}

impl Bindings {
    pub fn new(secret: Secret) -> Self {
        Self {
            rows: Slots::new(),
            index: KeyedMap::with_hasher(secret),
        }
    }

    /// The row of an address of record, made if there is none.
    pub fn open(&mut self, aor: &str) -> u32 {
        if let Some(row) = self.index.get(aor) {
            return *row;
        }
        let aor: Arc<str> = aor.into();
        let row = index(self.rows.insert(Registered {
            aor: aor.clone(),
            bindings: Vec::new(),
        }));
        self.index.insert(aor, row);
        row
    }

    /// Whether an address of record has contacts.
    pub fn is_bound(&self, aor: &str) -> bool {
        let row = self.index.get(aor);
        let row = row.and_then(|row| self.rows.get(*row as usize));
        row.is_some_and(|row| !row.bindings.is_empty())
    }

    /// Whether the record of that name is one of the rows'.
    pub fn has(&self, aor: &str, contact: &str) -> bool {
        let row = self
            .index
            .get(aor)
            .and_then(|row| self.rows.get(*row as usize));
        row.is_some_and(|row| {
            row.bindings.iter().any(|held| match held.record.key() {
                RecordKey::Binding { contact: own, .. } => *own == *contact,
                _ => false,
            })
        })
    }
}
