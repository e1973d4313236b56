//! What a shard knows of watchers: a table of decisions and of those that wait for one, and the list for whoever decides.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::slots::Slots;
use serde::Serialize;

use super::Registry;
use super::rows::index;
use super::store::{Standing, Version, WatcherRecord};
use crate::keyed::{KeyedMap, Secret};
use crate::time::{TimerKey, Timestamp};
use crate::watcherinfo::{Event, Handling, Status, Watcher};

/// A watcher of a presentity, for whoever decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct WatcherRow {
    /// The presentity.
    pub presentity: String,
    /// The watcher's address.
    pub watcher: String,
    /// `active`, `pending` or `waiting`; none: it has no subscription, but was decided about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'static str>,
    /// What was decided about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<&'static str>,
    /// When its subscription ends, when it was decided about, or since when it waits: milliseconds since 1970.
    pub at: Timestamp,
}

/// What is known of one watcher.
#[derive(Debug)]
pub(super) struct Known {
    pub record: WatcherRecord,
    pub version: Version,
    /// When it has waited for long enough.
    pub give_up: Option<TimerKey>,
    /// Whom it counts for while it waits.
    pub owner: u32,
}

/// The decisions and waiting watchers of a shard.
#[derive(Debug)]
pub(super) struct Authorizations {
    pub rows: Slots<Known>,
    pub by_presentity: KeyedMap<Arc<str>, Vec<u32>>,
    /// Presentities and watchers about whom a decision is being stored.
    pub deciding: BTreeSet<(Arc<str>, Arc<str>)>,
}

impl Authorizations {
    pub fn new(secret: Secret) -> Self {
        Self {
            rows: Slots::new(),
            by_presentity: KeyedMap::with_hasher(secret),
            deciding: BTreeSet::new(),
        }
    }

    pub fn of(&self, aor: &str) -> impl Iterator<Item = (u32, &Known)> {
        let rows = self.by_presentity.get(aor).map(Vec::as_slice);
        rows.unwrap_or_default()
            .iter()
            .filter_map(|row| Some((*row, self.rows.get(*row as usize)?)))
    }

    pub fn find(&self, aor: &str, watcher: &str) -> Option<(u32, &Known)> {
        self.of(aor)
            .find(|(_, known)| *known.record.watcher == *watcher)
    }

    pub fn has(&self, aor: &str, watcher: &str) -> bool {
        self.find(aor, watcher).is_some()
    }

    /// What was decided about a watcher.
    pub fn decision(&self, aor: &str, watcher: &str) -> Option<Handling> {
        match self.find(aor, watcher)?.1.record.standing {
            Standing::Decided(handling) => Some(handling),
            Standing::Waiting { .. } => None,
        }
    }

    /// Whom was decided about, and how.
    pub fn decisions(&self, aor: &str) -> impl Iterator<Item = (&str, Handling)> {
        self.of(aor)
            .filter_map(|(_, known)| match known.record.standing {
                Standing::Decided(handling) => Some((&*known.record.watcher, handling)),
                Standing::Waiting { .. } => None,
            })
    }

    pub fn insert(&mut self, known: Known) {
        let aor = known.record.aor.clone();
        let row = index(self.rows.insert(known));
        self.by_presentity.entry(aor).or_default().push(row);
    }

    pub fn remove(&mut self, row: u32) -> Option<Known> {
        let known = self.rows.try_remove(row as usize)?;
        if let Some(rows) = self.by_presentity.get_mut(&known.record.aor) {
            rows.retain(|other| *other != row);
            if rows.is_empty() {
                self.by_presentity.remove(&known.record.aor);
            }
        }
        Some(known)
    }

    /// The `watcher` elements of those that wait.
    pub fn waiting(&self, aor: &str) -> impl Iterator<Item = Watcher> {
        self.of(aor)
            .filter_map(|(_, known)| known.waiting(Status::Waiting, Event::Timeout))
    }
}

impl Known {
    /// Bytes of memory that it takes.
    pub fn size(&self) -> usize {
        let record = &self.record;
        size_of::<Self>() + record.aor.len() + record.watcher.len() + 160
    }

    /// Its element, if it waits or did until now.
    pub fn waiting(&self, status: Status, event: Event) -> Option<Watcher> {
        let Standing::Waiting { id } = &self.record.standing else {
            return None;
        };
        Some(Watcher {
            id: id.to_string(),
            uri: self.record.watcher.to_string(),
            status,
            event,
            expiration: None,
        })
    }
}

impl Registry {
    /// Watchers of a presentity, or of all of this shard, that subscribe to presence, wait, or were decided about: up to
    /// `limit` of them, by address.
    pub fn watchers(&self, presentity: Option<&str>, limit: usize) -> Vec<WatcherRow> {
        let package = self.presence_package();
        let asked = presentity.and_then(|aor| self.presentities.find(package?, aor));
        let asked = asked.and_then(|row| self.presentities.get(row));
        let others = self.presentities.iter().map(|(_, row)| row);
        let others = others.filter(|row| presentity.is_none() && Some(row.package) == package);
        let living = asked.into_iter().chain(others).flat_map(|watched| {
            watched.watchers.iter().filter_map(|watcher| {
                let subscription = self.subscriptions.get(*watcher)?;
                let address = self.watcher_of(*watcher);
                let decision = self.authorizations.decision(&watched.aor, &address);
                Some(WatcherRow {
                    presentity: watched.aor.to_string(),
                    status: Some(subscription.handling.status().as_str()),
                    decision: decision.map(Handling::as_str),
                    watcher: address,
                    at: subscription.expires_at,
                })
            })
        });
        let mut rows: Vec<WatcherRow> = living.take(limit).collect();
        let seen: BTreeSet<(String, String)> = rows
            .iter()
            .map(|row| (row.presentity.clone(), row.watcher.clone()))
            .collect();
        let known = self.authorizations.rows.iter().map(|(_, known)| known);
        let known = known.filter(|known| presentity.is_none_or(|aor| aor == &*known.record.aor));
        let absent = known.filter_map(|known| {
            let record = &known.record;
            let (status, decision) = match record.standing {
                Standing::Waiting { .. } => (Some(Status::Waiting.as_str()), None),
                Standing::Decided(handling) => (None, Some(handling.as_str())),
            };
            let names = (record.aor.to_string(), record.watcher.to_string());
            if decision.is_some() && seen.contains(&names) {
                return None;
            }
            Some(WatcherRow {
                presentity: names.0,
                watcher: names.1,
                status,
                decision,
                at: record.since,
            })
        });
        rows.extend(absent.take(limit - rows.len().min(limit)));
        rows.sort();
        rows
    }
}
