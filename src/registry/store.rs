//! What the registry and a store hand each other: versioned records and commits of them.
//!
//! The registry decides, and asks for one commit of the changed records, each with the version that it was decided from.
//! What rests on the commit (answers, NOTIFYs, the rows themselves) waits for its outcome, which is told with the
//! operation's id. With `memory:` and `file:` a shard is the single writer of its records and never sees a conflict.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use crate::exchange::{Flow, Shard};
use crate::sip::normal_name;
use crate::subscription::WayRecord;
use crate::time::Timestamp;
use crate::watcherinfo::Handling;

/// Version of a stored record: 1 when created, one more with each change. Counted for each record on its own.
pub type Version = u64;

/// Names one commit. A store that gets the same one twice answers the same and does nothing the second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId {
    /// The shard that asks.
    pub shard: Shard,
    /// Random, drawn at the birth of the shard's registry: commits of one that was rebuilt are not mistaken for its
    /// predecessor's.
    pub run: u64,
    /// Counted.
    pub number: u64,
}

/// Name of a record: what kind it is, whose it is, and which of them.
///
/// Ordered by bytes of [`RecordKey::encode`], so that everything of a presentity lies together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKey {
    /// A contact of an address of record.
    Binding {
        /// The address of record.
        aor: Arc<str>,
        /// The contact's URI as registered first, or the flow where it has one.
        contact: Arc<str>,
    },
    /// A publication; its number stays while its entity-tag changes.
    Publication {
        /// The presentity.
        aor: Arc<str>,
        /// See [`PublicationRecord::order`].
        order: u64,
    },
    /// What is known of a watcher's right to a presentity.
    Watcher {
        /// The presentity.
        aor: Arc<str>,
        /// The watcher's address.
        watcher: Arc<str>,
    },
    /// A subscription, named by our half of the dialog.
    Subscription {
        /// The random part of the local tag.
        dialog: u64,
        /// Event package and id, since a dialog may hold several subscriptions (RFC 6665, 4.5.2).
        event: Arc<str>,
    },
    /// That all watchers of a presentity know its state.
    Settled {
        /// The presentity.
        aor: Arc<str>,
        /// Event package.
        package: Arc<str>,
    },
}

/// A stored record.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A contact of an address of record.
    Binding(BindingRecord),
    /// A publication.
    Publication(PublicationRecord),
    /// A subscription.
    Subscription(SubscriptionRecord),
    /// What is known of a watcher's right to a presentity.
    Watcher(WatcherRecord),
    /// That all watchers of a presentity know its state.
    Settled(SettledRecord),
}

impl Record {
    /// Its name.
    pub fn key(&self) -> RecordKey {
        match self {
            Self::Binding(binding) => binding.key(),
            Self::Publication(publication) => publication.key(),
            Self::Subscription(subscription) => subscription.key(),
            Self::Watcher(watcher) => watcher.key(),
            Self::Settled(settled) => settled.key(),
        }
    }

    /// The one name of what it belongs to, which decides the shard that loads it; a record that an older version wrote may
    /// have it otherwise.
    pub fn owner(&self) -> Cow<'_, str> {
        normal_name(self.aor())
    }

    /// The presentity or address of record it belongs to, as written.
    pub fn aor(&self) -> &str {
        match self {
            Self::Binding(binding) => &binding.aor,
            Self::Publication(publication) => &publication.aor,
            Self::Subscription(subscription) => &subscription.aor,
            Self::Watcher(watcher) => &watcher.aor,
            Self::Settled(settled) => &settled.aor,
        }
    }
}

/// A contact of an address of record (RFC 3261, 10.3).
#[derive(Clone, Debug, PartialEq)]
pub struct BindingRecord {
    /// The address of record.
    pub aor: Arc<str>,
    /// The contact's URI.
    pub contact: Arc<str>,
    /// `q` in thousandths.
    pub q: Option<u16>,
    /// Call-ID of the REGISTER that made or refreshed it.
    pub call_id: Arc<str>,
    /// Its CSeq.
    pub cseq: u32,
    /// When it ends.
    pub expires_at: Timestamp,
    /// The Path that its requests would take, as one list (RFC 3327); empty: none.
    pub path: Arc<str>,
    /// Which device it is: `+sip.instance` without quotes (RFC 5626, 4.1).
    pub instance: Option<Arc<str>>,
    /// Which flow of that device, when outbound is used: then these two name the binding (RFC 5626, 6).
    pub reg_id: Option<u32>,
    /// The other parameters of the Contact as they came, `;` before each (RFC 5626, 6); empty: none.
    pub params: Arc<str>,
}

impl BindingRecord {
    /// Its name.
    pub fn key(&self) -> RecordKey {
        RecordKey::Binding {
            aor: self.aor.clone(),
            contact: match (&self.instance, self.reg_id) {
                (Some(instance), Some(reg_id)) => format!("{instance};reg-id={reg_id}").into(),
                _ => self.contact.clone(),
            },
        }
    }
}

/// A publication (RFC 3903, 3).
#[derive(Clone, Debug, PartialEq)]
pub struct PublicationRecord {
    /// The presentity.
    pub aor: Arc<str>,
    /// Event package.
    pub package: Arc<str>,
    /// Number of the publication within its presentity, never used twice; later ones are larger.
    pub order: u64,
    /// The current entity-tag.
    pub etag: Arc<str>,
    /// When it lapses.
    pub expires_at: Timestamp,
    /// When its body came; a refresh leaves it.
    pub modified_at: Timestamp,
    /// Media type of the body.
    pub content_type: Arc<str>,
    /// The published document as it came.
    pub body: Bytes,
}

impl PublicationRecord {
    /// Its name.
    pub fn key(&self) -> RecordKey {
        RecordKey::Publication {
            aor: self.aor.clone(),
            order: self.order,
        }
    }
}

/// A subscription with the dialog it lives in (RFC 6665, 4.2; RFC 3261, 12).
#[derive(Clone, Debug, PartialEq)]
pub struct SubscriptionRecord {
    /// The presentity.
    pub aor: Arc<str>,
    /// Event package.
    pub package: Arc<str>,
    /// `id` parameter of the Event header.
    pub event_id: Option<Arc<str>>,
    /// When it ends unless refreshed.
    pub expires_at: Timestamp,
    /// Random part of the local tag.
    pub dialog: u64,
    /// The shard in the local tag.
    pub shard: Shard,
    /// Header lines that all NOTIFYs of the dialog have in common: Route, From, To, Call-ID, Contact.
    pub head: Bytes,
    /// Where in `head` the Call-ID is.
    pub call_id: Span,
    /// Where in `head` the subscriber's tag is; empty if it sent none (RFC 2543).
    pub remote_tag: Span,
    /// The remote target.
    pub target: Arc<str>,
    /// URI of the first Route, if there is one.
    pub first_route: Option<Arc<str>>,
    /// The flow of the last SUBSCRIBE.
    pub flow: Flow,
    /// The way of NOTIFYs (docs/adr/0004).
    pub way: WayRecord,
    /// CSeq of the last SUBSCRIBE.
    pub remote_cseq: u32,
    /// The store's epoch when the dialog was made (docs/adr/0005).
    pub epoch: u64,
    /// Address of the account that subscribed, where From names somebody else.
    pub account: Option<Arc<str>>,
    /// When it was made, in the order of commits ([`SettledRecord::order`]), as long as it is not known that its watcher was told
    /// anything. `None`: it was told.
    pub fresh: Option<u64>,
}

impl SubscriptionRecord {
    /// Its name.
    pub fn key(&self) -> RecordKey {
        RecordKey::Subscription {
            dialog: self.dialog,
            event: event_key(&self.package, self.event_id.as_deref()),
        }
    }
}

/// A decision about a watcher, or a watcher that waits for one (RFC 3857, 4.7.1).
#[derive(Clone, Debug, PartialEq)]
pub struct WatcherRecord {
    /// The presentity.
    pub aor: Arc<str>,
    /// The watcher's address.
    pub watcher: Arc<str>,
    /// Which of both.
    pub standing: Standing,
    /// Since when.
    pub since: Timestamp,
}

/// What is known of a watcher's right to a presentity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Somebody has decided.
    Decided(Handling),
    /// Its subscription ended before anybody did.
    Waiting {
        /// The id that the subscription had in watcher information.
        id: Arc<str>,
    },
}

impl WatcherRecord {
    /// Its name.
    pub fn key(&self) -> RecordKey {
        RecordKey::Watcher {
            aor: self.aor.clone(),
            watcher: self.watcher.clone(),
        }
    }
}

/// The first half of a SHA-256 of what the watchers of a presentity are shown: media type and body.
pub type StateDigest = [u8; 16];

/// All watchers of a presentity have answered a NOTIFY with its state. The record goes with the next change.
#[derive(Clone, Debug, PartialEq)]
pub struct SettledRecord {
    /// The presentity.
    pub aor: Arc<str>,
    /// Event package.
    pub package: Arc<str>,
    /// Of subscriptions made later than this nothing is said. Grows with each commit: the store's epoch in the upper 24 bits, the
    /// number of the commit in the lower 40.
    pub order: u64,
    /// Of the state that they know.
    pub digest: StateDigest,
}

impl SettledRecord {
    /// Its name.
    pub fn key(&self) -> RecordKey {
        RecordKey::Settled {
            aor: self.aor.clone(),
            package: self.package.clone(),
        }
    }
}

/// `presence` or `presence;id=7`: names a subscription within its dialog.
pub fn event_key(package: &Arc<str>, id: Option<&str>) -> Arc<str> {
    match id {
        None => package.clone(),
        Some(id) => format!("{package};id={id}").into(),
    }
}

/// A part of [`SubscriptionRecord::head`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u16,
    /// How many.
    pub len: u16,
}

impl Span {
    /// The bytes it names; empty if they are not there.
    pub fn of(self, head: &[u8]) -> &[u8] {
        let start = usize::from(self.start);
        head.get(start..start + usize::from(self.len))
            .unwrap_or_default()
    }
}

/// One changed record.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Which.
    pub key: RecordKey,
    /// The version it was decided from; `None`: the record does not exist yet.
    pub expect: Option<Version>,
    /// What it becomes; `None`: it goes away.
    pub record: Option<Record>,
}

impl Change {
    /// Version of the record after the commit.
    pub fn version(&self) -> Version {
        self.expect.unwrap_or(0) + 1
    }
}

/// Changes that happen together or not at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// Its id.
    pub op: OpId,
    /// The changes.
    pub changes: Vec<Change>,
}

/// What became of a [`Commit`].
#[derive(Clone, Debug, PartialEq)]
pub enum CommitOutcome {
    /// It is stored, as durably as the store promises.
    Committed,
    /// A record has another version than the one decided from; nothing was changed. This is how the records stand.
    Conflict(Vec<(RecordKey, Option<(Version, Record)>)>),
    /// Not taken: too much is waiting. Nothing was changed.
    Overloaded,
    /// Not taken: the store can't be reached or refuses to work. Nothing was changed.
    Unavailable,
    /// Nobody knows whether it is stored.
    Indeterminate,
}
