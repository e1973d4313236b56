//! The rows of a shard: presentities with their publications, subscriptions, and how they are found.

use std::sync::Arc;

use crate::slots::Slots;
use bytes::Bytes;
use hashbrown::HashTable;

use super::composing::Composing;
use super::publications::Publication;
use super::store::{Change, RecordKey, Version, event_key};
use super::winfo::Winfo;
use crate::keyed::{KeyedMap, Secret};
use crate::subscription::{Dialog, Lost, Notifier};
use crate::time::{TimerKey, Timestamp};
use crate::watcherinfo::Handling;

/// What a timer of the shard is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// A publication lapses unless it is refreshed (RFC 3903, 4.3).
    Lapse {
        /// The presentity's row.
        presentity: u32,
    },
    /// The composed state of a presentity changes by itself: something timed in it begins or ends (RFC 4480, 3.1).
    Change(u32),
    /// Changes of a presentity may be told again (RFC 3856, 6.10).
    Pace(u32),
    /// The next portion of a presentity's watchers is told.
    Tell(u32),
    /// A subscription ends unless it is refreshed (RFC 6665, 4.2.2).
    Expire(u32),
    /// A NOTIFY that had to wait may leave.
    Resume(u32),
    /// The next watchers are told after a restart.
    Recover,
    /// Presentities whose watchers have answered are stored as settled.
    Remember,
    /// A contact of an address of record expires (RFC 3261, 10.3).
    Unbind(u32),
    /// A watcher has waited long enough for a decision (RFC 3857, 4.7.1).
    GiveUp(u32),
    /// Changes that no answer rests on, and that the store did not take, are tried again.
    Retry,
}

/// Whether a change of a presentity may be told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// At once.
    Open,
    /// Not before the timer; `dirty`: there is something to tell then.
    Closed { timer: TimerKey, dirty: bool },
}

impl Pace {
    pub fn timer(&self) -> Option<TimerKey> {
        match self {
            Self::Open => None,
            Self::Closed { timer, .. } => Some(*timer),
        }
    }
}

/// Bytes of the entries of a row in tables and timers, and of what an allocator adds to its parts.
const ENTRIES: usize = 96;

/// How much more memory a document takes as read, about.
const AS_READ: usize = 6;

/// The version of a presentity that was never composed.
pub(super) const FIRST: u32 = 1;

/// A presentity: everything of one address in one event package.
#[derive(Debug)]
pub(super) struct Presentity {
    pub package: usize,
    pub aor: Arc<str>,
    /// In order of creation.
    pub publications: Vec<Publication>,
    /// Rows of its subscriptions; each knows its place here.
    pub watchers: Vec<u32>,
    /// The composed state, shared by all NOTIFYs that carry it. Empty: nothing is published.
    pub body: Bytes,
    pub content_type: Arc<str>,
    /// Counts changes of `body`; never 0.
    pub version: u32,
    /// The version that all watchers were told, or are about to be.
    pub told: u32,
    /// `body` does not show the publications as they are. Composition waits until somebody looks.
    pub stale: bool,
    /// A large state is being composed, and `body` is what was composed before it.
    pub composing: Option<Box<Composing>>,
    pub change: Option<TimerKey>,
    pub pace: Pace,
    /// When the watchers that stand before this place are told, those behind it having been told.
    pub telling: Option<(TimerKey, u32)>,
    /// Bytes of memory that are counted for the composed state, and for documents as read.
    pub charged: u32,
    /// Of a presentity whose watchers are watched.
    pub winfo: Option<Box<Winfo>>,
}

impl Presentity {
    /// Adds a publication in its order. There is mostly one, so no room is kept for more.
    pub fn insert(&mut self, publication: Publication) {
        let order = publication.record.order;
        let held = &mut self.publications;
        let place = held.partition_point(|other| other.record.order < order);
        held.reserve_exact(1);
        held.insert(place, publication);
    }

    /// Bytes of all its documents.
    pub fn volume(&self) -> usize {
        let bodies = self.publications.iter();
        bodies.map(|held| held.record.body.len()).sum()
    }

    /// Nobody watches it, so that what was read in its documents is of no use for a while.
    pub fn forget_read(&mut self) {
        for held in &mut self.publications {
            held.document = None;
        }
    }

    /// Bytes of memory that the row takes, with its entries in tables; what is published and who watches apart.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.aor.len() + ENTRIES
    }

    /// Bytes of memory for the composed state, unless it is the document itself, and for documents as read.
    pub fn composed_size(&self) -> usize {
        let own = match &*self.publications {
            [only] if only.record.body.as_ptr() == self.body.as_ptr() => 0,
            _ => self.body.len(),
        };
        let kept = self
            .publications
            .iter()
            .filter(|held| held.document.is_some());
        let read: usize = kept.map(|held| held.record.body.len()).sum();
        own + read * AS_READ
    }

    /// There is something new to tell.
    pub fn advance(&mut self) {
        // 0 is "nothing shown yet" to a notifier.
        self.version = self.version.checked_add(1).unwrap_or(1);
    }

    /// Its timers, those of its publications apart.
    pub fn timers(&self) -> impl Iterator<Item = TimerKey> {
        let telling = self.telling.map(|(timer, _)| timer);
        [self.change, self.pace.timer(), telling]
            .into_iter()
            .flatten()
    }
}

/// The presentities of a shard.
#[derive(Debug)]
pub(super) struct Presentities {
    rows: Slots<Presentity>,
    /// By package, then address.
    index: Vec<KeyedMap<Arc<str>, u32>>,
    /// The media type of what has no body yet: one text for all.
    no_type: Arc<str>,
}

impl Presentities {
    pub fn new(packages: usize, secret: Secret) -> Self {
        Self {
            rows: Slots::new(),
            index: vec![KeyedMap::with_hasher(secret); packages],
            no_type: "".into(),
        }
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn find(&self, package: usize, aor: &str) -> Option<u32> {
        self.index.get(package)?.get(aor).copied()
    }

    pub fn get(&self, row: u32) -> Option<&Presentity> {
        self.rows.get(row as usize)
    }

    pub fn get_mut(&mut self, row: u32) -> Option<&mut Presentity> {
        self.rows.get_mut(row as usize)
    }

    /// The row of an address, made if there is none.
    pub fn open(&mut self, package: usize, aor: &str) -> u32 {
        if let Some(row) = self.find(package, aor) {
            return row;
        }
        let aor: Arc<str> = aor.into();
        let row = index(self.rows.insert(Presentity {
            package,
            aor: aor.clone(),
            publications: Vec::new(),
            watchers: Vec::new(),
            body: Bytes::new(),
            content_type: self.no_type.clone(),
            version: FIRST,
            told: FIRST,
            stale: true,
            composing: None,
            change: None,
            pace: Pace::Open,
            telling: None,
            charged: 0,
            winfo: None,
        }));
        self.index[package].insert(aor, row);
        row
    }

    /// Takes a row out.
    pub fn remove(&mut self, row: u32) -> Option<Presentity> {
        let presentity = self.rows.try_remove(row as usize)?;
        self.index[presentity.package].remove(&presentity.aor);
        Some(presentity)
    }

    /// All rows, in an order that depends on nothing but what happened.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Presentity)> {
        self.rows
            .iter()
            .map(|(row, presentity)| (index(row), presentity))
    }
}

/// A live subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    pub dialog: u32,
    pub presentity: u32,
    /// Its place among the presentity's watchers.
    pub place: u32,
    /// Boxed, as few have one.
    pub event_id: Option<Box<Arc<str>>>,
    pub expires_at: Timestamp,
    /// Fires then, or before: then it looks again.
    pub expire: TimerKey,
    pub version: Version,
    /// How its watcher is treated.
    pub handling: Handling,
    pub notifier: Notifier,
    /// Whom it counts for.
    pub owner: u32,
    /// Gone for the watcher, but a commit about its dialog is under way: it is taken out after that.
    pub doomed: Option<Lost>,
}

impl Subscription {
    /// Bytes of memory that one takes, its dialog apart.
    pub const SIZE: usize = size_of::<Self>() + ENTRIES / 2;

    /// `id` of its Event.
    pub fn event_id(&self) -> Option<&Arc<str>> {
        self.event_id.as_deref()
    }

    /// The version of the state that it is told, when the presentity's is `version`: those who are told nothing of it
    /// stay at none.
    pub fn sees(&self, version: u32) -> u32 {
        match self.handling {
            Handling::Allow => version,
            Handling::Block | Handling::Confirm | Handling::PoliteBlock => 0,
        }
    }
}

/// The subscriptions of a shard and their dialogs.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    pub rows: Slots<Subscription>,
    pub dialogs: Slots<Dialog>,
    /// Rows of dialogs by the random part of our tag, which stands in the row and is as good as a hash.
    by_tag: HashTable<u32>,
}

impl Subscriptions {
    pub fn get(&self, row: u32) -> Option<&Subscription> {
        self.rows.get(row as usize)
    }

    pub fn get_mut(&mut self, row: u32) -> Option<&mut Subscription> {
        self.rows.get_mut(row as usize)
    }

    pub fn dialog(&self, row: u32) -> Option<&Dialog> {
        self.dialogs.get(row as usize)
    }

    pub fn dialog_mut(&mut self, row: u32) -> Option<&mut Dialog> {
        self.dialogs.get_mut(row as usize)
    }

    pub fn dialog_by_tag(&self, tag: u64) -> Option<u32> {
        let found = self.by_tag.find(tag, |row| self.tag_of(*row) == tag);
        found.copied()
    }

    fn tag_of(&self, row: u32) -> u64 {
        tag_of(&self.dialogs, row)
    }

    /// The dialog's row, made of `dialog` if there is none with its tag; else that takes over what `dialog` says.
    pub fn open_dialog(&mut self, dialog: Dialog) -> u32 {
        let tag = dialog.tag.dialog;
        if let Some(row) = self.dialog_by_tag(tag) {
            if let Some(known) = self.dialog_mut(row) {
                known.adopt(dialog);
            }
            return row;
        }
        let row = index(self.dialogs.insert(dialog));
        let dialogs = &self.dialogs;
        self.by_tag
            .insert_unique(tag, row, |row| tag_of(dialogs, *row));
        row
    }

    /// The row that [`Subscriptions::insert`] will use next, for the timer in it.
    pub fn next_row(&self) -> u32 {
        index(self.rows.vacant_key())
    }

    pub fn insert(&mut self, subscription: Subscription) -> u32 {
        let dialog = subscription.dialog as usize;
        let row = index(self.rows.insert(subscription));
        if let Some(dialog) = self.dialogs.get_mut(dialog) {
            dialog.subscriptions.push(row);
        }
        row
    }

    /// Takes a row out, and its dialog with the last one in it.
    pub fn remove(&mut self, row: u32) -> Option<Subscription> {
        let subscription = self.rows.try_remove(row as usize)?;
        let dialog_row = subscription.dialog;
        if let Some(dialog) = self.dialogs.get_mut(dialog_row as usize) {
            dialog.subscriptions.remove(row);
            if dialog.subscriptions.is_empty() {
                let tag = dialog.tag.dialog;
                if let Ok(entry) = self.by_tag.find_entry(tag, |row| *row == dialog_row) {
                    entry.remove();
                }
                self.dialogs.remove(dialog_row as usize);
            }
        }
        Some(subscription)
    }

    /// The change that takes a subscription out of the store.
    pub fn removal(&self, row: u32, package: &Arc<str>) -> Option<Change> {
        let subscription = self.get(row)?;
        let dialog = self.dialog(subscription.dialog)?;
        Some(Change {
            key: RecordKey::Subscription {
                dialog: dialog.tag.dialog,
                event: event_key(package, subscription.event_id().map(|id| &**id)),
            },
            expect: Some(subscription.version),
            record: None,
        })
    }
}

fn tag_of(dialogs: &Slots<Dialog>, row: u32) -> u64 {
    dialogs
        .get(row as usize)
        .map_or(0, |dialog| dialog.tag.dialog)
}

/// Row numbers are 32 bits wide: half the size of every reference, and more rows than memory has room for.
pub(super) fn index(row: usize) -> u32 {
    u32::try_from(row).expect("fewer than 2^32 rows")
}
