//! NOTIFY of watcher information: the full list after a SUBSCRIBE, then what changed (RFC 3857, 4; RFC 3858, 4).

use std::collections::BTreeMap;

use bytes::Bytes;

use super::ledger::NOBODY;
use super::rows::Presentity;
use super::{Effect, Registry};
use crate::subscription::LocalTag;
use crate::time::Timestamp;
use crate::watcherinfo::{Document, Event, Handling, Scope, Status, Watcher};

/// Changes that are kept for those that have not been told. Whoever missed more is told everything.
const KEPT: usize = 256;

/// What the watcher information of one presentity is made of, beyond its watchers.
#[derive(Debug, Default)]
pub(super) struct Winfo {
    /// Changes, each with the version that it made.
    log: Vec<(u32, Watcher)>,
    /// All changes after this version are in the log.
    complete_since: u32,
    /// By row of the subscription.
    readers: BTreeMap<u32, Reader>,
}

/// A subscription to watcher information.
#[derive(Debug)]
struct Reader {
    /// Documents that it was sent: the version of the next (RFC 3858, 3.1).
    documents: u32,
    /// The next one says everything.
    full: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            documents: 0,
            full: true,
        }
    }
}

impl Winfo {
    /// A subscription is gone.
    pub fn forget(&mut self, row: u32) {
        self.readers.remove(&row);
    }

    /// Notes a change.
    fn push(&mut self, version: u32, watcher: Watcher) {
        if self.log.len() == KEPT {
            let (oldest, _) = self.log.remove(0);
            self.complete_since = oldest;
        }
        self.log.push((version, watcher));
    }

    /// What happened after a version, if all of that is known.
    fn since(&self, shown: u32, version: u32) -> Option<Vec<Watcher>> {
        // 0 is "nothing shown", and versions begin anew at 1 when they are used up.
        if shown == 0 || shown < self.complete_since || shown > version {
            return None;
        }
        let later = self.log.iter().filter(|(made, _)| *made > shown);
        Some(later.map(|(_, watcher)| watcher.clone()).collect())
    }
}

impl Registry {
    /// A subscription came to stand so: those who watch the watchers hear of it.
    pub(super) fn tell_watched(
        &mut self,
        now: Timestamp,
        row: u32,
        status: Status,
        event: Event,
        out: &mut Vec<Effect>,
    ) {
        let Some((package, watched)) = self.watched(row) else {
            return;
        };
        if self.winfo_row(package, &watched.aor).is_none() {
            return;
        }
        let aor = watched.aor.clone();
        if let Some(watcher) = self.element(now, row, status, event) {
            self.tell_winfo(now, package, &aor, watcher, out);
        }
    }

    /// Takes out a subscription that has ended: its watcher is gone, or waits if nobody has decided about it (RFC 3857,
    /// 4.7.1).
    pub(super) fn unwatch(
        &mut self,
        now: Timestamp,
        row: u32,
        event: Event,
        out: &mut Vec<Effect>,
    ) {
        let watched = self.watched(row);
        let watched = watched.map(|(package, watched)| (package, watched.aor.clone()));
        let handling = self.subscriptions.get(row).map(|held| held.handling);
        let (Some((package, aor)), Some(handling)) = (watched, handling) else {
            return;
        };
        let mut status = Status::Terminated;
        if handling == Handling::Confirm && event == Event::Timeout {
            let (watcher, id) = (self.watcher_of(row), self.watcher_id(row));
            let owner = self
                .subscriptions
                .get(row)
                .map_or(NOBODY, |held| held.owner);
            if self.wait(now, &aor, &watcher, id, owner, out) {
                status = Status::Waiting;
            }
        }
        let told = self.winfo_row(package, &aor).is_some();
        let watcher = told.then(|| self.element(now, row, status, event));
        self.remove_subscription(row, out);
        if let Some(watcher) = watcher.flatten() {
            self.tell_winfo(now, package, &aor, watcher, out);
        }
    }

    /// The next NOTIFY of a subscription says everything, if it is one to watcher information.
    pub(super) fn demand_full(&mut self, row: u32) {
        let presentity = self.subscriptions.get(row).map(|held| held.presentity);
        let presentity = presentity.and_then(|row| self.presentities.get_mut(row));
        if let Some(winfo) = presentity.and_then(|row| row.winfo.as_mut()) {
            winfo.readers.entry(row).or_default().full = true;
        }
    }

    /// A watcher of this package's presentity changed.
    pub(super) fn tell_winfo(
        &mut self,
        now: Timestamp,
        package: usize,
        aor: &str,
        watcher: Watcher,
        out: &mut Vec<Effect>,
    ) {
        let Some(row) = self.winfo_row(package, aor) else {
            return;
        };
        if let Some(presentity) = self.presentities.get_mut(row) {
            presentity.advance();
            let version = presentity.version;
            let winfo = presentity.winfo.get_or_insert_default();
            winfo.push(version, watcher);
            self.tell(now, row, out);
        }
    }

    /// The row of those who watch the watchers.
    fn winfo_row(&self, package: usize, aor: &str) -> Option<u32> {
        let winfo = self.settings.winfo_of(package)?;
        self.presentities.find(winfo, aor)
    }

    /// The presentity of a subscription, and its package.
    fn watched(&self, row: u32) -> Option<(usize, &Presentity)> {
        let subscription = self.subscriptions.get(row)?;
        let presentity = self.presentities.get(subscription.presentity)?;
        Some((presentity.package, presentity))
    }

    /// The name of a subscription in watcher information: our half of its dialog, and the id of its event.
    fn watcher_id(&self, row: u32) -> String {
        let subscription = self.subscriptions.get(row);
        let dialog = subscription.and_then(|held| self.subscriptions.dialog(held.dialog));
        let (Some(subscription), Some(dialog)) = (subscription, dialog) else {
            return String::new();
        };
        let LocalTag { shard, dialog } = dialog.tag;
        match &subscription.event_id {
            None => format!("{shard:x}-{dialog:x}"),
            Some(id) => format!("{shard:x}-{dialog:x}-{id}"),
        }
    }

    fn element(&self, now: Timestamp, row: u32, status: Status, event: Event) -> Option<Watcher> {
        let subscription = self.subscriptions.get(row)?;
        let lives = matches!(status, Status::Active | Status::Pending);
        Some(Watcher {
            id: self.watcher_id(row),
            uri: self.watcher_of(row),
            status,
            event,
            expiration: lives.then(|| subscription.expires_at.seconds_from(now)),
        })
    }

    /// Everybody who watches or waits. A live subscription's event is told as the decision about its watcher makes it
    /// likely; which of both came first is not kept.
    fn everybody(&self, now: Timestamp, winfo: usize, aor: &str) -> Vec<Watcher> {
        let base = self.settings.packages[winfo].base();
        let base = base.and_then(|name| self.settings.package(name));
        let watched = base.and_then(|(package, _)| self.presentities.find(package, aor));
        let watched = watched.and_then(|row| self.presentities.get(row));
        let rows = watched.map(|row| row.watchers.as_slice());
        let living = rows.unwrap_or_default().iter().filter_map(|row| {
            let subscription = self.subscriptions.get(*row)?;
            if subscription.notifier.ending().is_some() {
                return None;
            }
            let status = subscription.handling.status();
            let mut watcher = self.element(now, *row, status, Event::Subscribe)?;
            let decision = self.authorizations.decision(aor, &watcher.uri);
            if status == Status::Active && decision.is_some() {
                watcher.event = Event::Approved;
            }
            Some(watcher)
        });
        living.chain(self.authorizations.waiting(aor)).collect()
    }

    /// The document for a fetch.
    pub(super) fn winfo_once(&self, now: Timestamp, winfo: usize, aor: &str) -> Bytes {
        self.winfo_document(0, Scope::Full, winfo, aor, &self.everybody(now, winfo, aor))
    }

    fn winfo_document(
        &self,
        version: u32,
        scope: Scope,
        winfo: usize,
        aor: &str,
        watchers: &[Watcher],
    ) -> Bytes {
        let document = Document {
            version,
            scope,
            resource: aor,
            package: self.settings.packages[winfo].base().unwrap_or_default(),
            watchers,
        };
        document.write()
    }

    /// The next document of a subscription. `shown` is the version that it has seen.
    pub(super) fn winfo_next(
        &mut self,
        now: Timestamp,
        presentity: u32,
        row: u32,
        shown: u32,
    ) -> Bytes {
        let Some(watched) = self.presentities.get_mut(presentity) else {
            return Bytes::new();
        };
        let (winfo, aor) = (watched.package, watched.aor.clone());
        let version = watched.version;
        let state = watched.winfo.get_or_insert_default();
        let reader = state.readers.entry(row).or_default();
        let number = reader.documents;
        reader.documents = number.wrapping_add(1);
        let full = std::mem::take(&mut reader.full);
        let later = state.since(shown, version).filter(|_| !full);
        let (scope, watchers) = match later {
            Some(later) => (Scope::Partial, later),
            None => (Scope::Full, self.everybody(now, winfo, &aor)),
        };
        self.trim(presentity);
        self.winfo_document(number, scope, winfo, &aor, &watchers)
    }

    /// Forgets the changes that every subscription has been sent.
    fn trim(&mut self, presentity: u32) {
        let Some(watched) = self.presentities.get_mut(presentity) else {
            return;
        };
        let shown = watched.watchers.iter().filter_map(|row| {
            let subscription = self.subscriptions.get(*row)?;
            Some(subscription.notifier.shown())
        });
        let least = shown.min().unwrap_or(0);
        if let Some(winfo) = &mut watched.winfo {
            winfo.log.retain(|(made, _)| *made > least);
            winfo.complete_since = winfo.complete_since.max(least);
        }
    }
}
