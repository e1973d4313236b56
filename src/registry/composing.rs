//! Composition of a presentity's state: at once while it is small, on another thread while it is large.
//!
//! ```text
//!  compose ── small ────────────────────────────────────> body
//!     └────── large ──> Effect::Compose ──> Job::run ──> composed ──> body, NOTIFY
//! ```
//!
//! The largest states take a tenth of a second, and a shard has other things to do. One job of a presentity is under way at a
//! time; what changes meanwhile is in the next one. NOTIFYs and fetches wait for it.

use std::sync::Arc;

use bytes::Bytes;

use super::publications::read;
use super::rows::{Presentity, Timer};
use super::settings::Compositor;
use super::{Effect, Registry};
use crate::pidf::Document;
use crate::presence::{self, Source};
use crate::subscription::{Asked, Dialog};
use crate::time::Timestamp;
use crate::watcherinfo::Handling;

/// Documents of a presentity that are read and composed at once, in bytes: less than 2 ms, whatever is in them.
pub(super) const AT_ONCE: usize = 32 * 1024;

/// Documents that stay as read until the next composition, in bytes. Reading them costs more than composing them.
const KEPT_READ: usize = 8 * 1024;

/// Fetches that wait for a composition; further ones get what was composed before.
const MOST_FETCHES: usize = 64;

/// A composition that is under way.
#[derive(Debug)]
pub(super) struct Composing {
    number: u64,
    fetches: Vec<Fetch>,
}

/// A fetch that waits.
#[derive(Debug)]
pub(super) struct Fetch {
    pub asked: Asked,
    pub dialog: Dialog,
    pub handling: Handling,
}

/// A large composition, for a thread that may take its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    ticket: Ticket,
    entity: Arc<str>,
    parts: Vec<Part>,
    registered: bool,
    now: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticket {
    /// Of the registry, so that one that was rebuilt takes nothing from its predecessor.
    run: u64,
    row: u32,
    number: u64,
}

#[derive(Clone, Debug, PartialEq)]
struct Part {
    order: u64,
    published: Timestamp,
    body: Bytes,
}

/// What came of a [`Job`], for [`Registry::composed`].
#[derive(Clone, Debug, PartialEq)]
pub struct Composed {
    ticket: Ticket,
    /// `None`: it failed, and the state before it stands.
    state: Option<State>,
}

/// A body, if anything is published, and when it changes by itself.
type State = (Option<Bytes>, Option<Timestamp>);

impl Job {
    /// Does it.
    pub fn run(&self) -> Composed {
        let documents: Vec<(u64, Timestamp, Document)> = self
            .parts
            .iter()
            .filter_map(|part| Some((part.order, part.published, read(&part.body)?)))
            .collect();
        let parts = documents
            .iter()
            .map(|(order, published, document)| (*order, *published, document));
        let state = compose(&self.entity, parts, self.registered, self.now);
        Composed {
            ticket: self.ticket,
            state: Some(state),
        }
    }

    /// What to say when it could not be done.
    pub fn failed(&self) -> Composed {
        Composed {
            ticket: self.ticket,
            state: None,
        }
    }
}

impl Registry {
    /// Brings the composed state up to date. Whether it is: a large one will be, and [`Registry::composed`] goes on from
    /// there.
    pub(super) fn compose(&mut self, now: Timestamp, row: u32, out: &mut Vec<Effect>) -> bool {
        let Some(presentity) = self.presentities.get_mut(row) else {
            return true;
        };
        if presentity.composing.is_some() {
            return false;
        }
        if !presentity.stale {
            return true;
        }
        presentity.stale = false;
        if let Some(timer) = presentity.change.take() {
            self.wheel.cancel(timer);
        }
        self.counters.composed += 1;
        let package = &self.settings.packages[presentity.package];
        let (body, content_type, changes_at) = match package.compositor {
            Compositor::Presence => {
                let registered =
                    self.settings.registrar.presence && self.bindings.is_bound(&presentity.aor);
                if presentity.volume() > AT_ONCE {
                    self.compose_elsewhere(now, row, registered, out);
                    return false;
                }
                let (body, changes_at) = compose_at_once(presentity, registered, now);
                (body, package.body_types.first().cloned(), changes_at)
            }
            Compositor::Latest => {
                let records = presentity.publications.iter().map(|held| &held.record);
                match records.max_by_key(|record| (record.modified_at, record.order)) {
                    Some(last) => (
                        Some(last.body.clone()),
                        Some(last.content_type.clone()),
                        None,
                    ),
                    None => (Some(Bytes::new()), None, None),
                }
            }
            // Each subscription has a document of its own: see `winfo_next`.
            Compositor::Watchers => (Some(Bytes::new()), None, None),
        };
        self.adopt(now, row, body, content_type, changes_at);
        self.charge_composed(row);
        true
    }

    /// Counts the memory of what was composed.
    pub(super) fn charge_composed(&mut self, row: u32) {
        let Some(presentity) = self.presentities.get_mut(row) else {
            return;
        };
        let size = u32::try_from(presentity.composed_size()).unwrap_or(u32::MAX);
        let before = std::mem::replace(&mut presentity.charged, size);
        if size != before {
            self.ledger.grow(i64::from(size) - i64::from(before));
        }
    }

    /// A presentity's state is this from now on; `None`: nothing is published.
    fn adopt(
        &mut self,
        now: Timestamp,
        row: u32,
        body: Option<Bytes>,
        content_type: Option<Arc<str>>,
        changes_at: Option<Timestamp>,
    ) {
        let offline = self.settings.offline_document;
        let Some(presentity) = self.presentities.get_mut(row) else {
            return;
        };
        let body = match body {
            Some(body) => body,
            None if offline => presence::offline(&presentity.aor),
            None => Bytes::new(),
        };
        // Only what still lies ahead: a moment that has passed is in the body already.
        presentity.change = changes_at
            .filter(|at| *at > now)
            .map(|at| self.wheel.insert(at, Timer::Change(row)));
        if body == presentity.body {
            self.counters.unchanged += 1;
            return;
        }
        presentity.body = body;
        if let Some(content_type) = content_type {
            presentity.content_type = content_type;
        }
        presentity.advance();
    }

    fn compose_elsewhere(
        &mut self,
        now: Timestamp,
        row: u32,
        registered: bool,
        out: &mut Vec<Effect>,
    ) {
        self.counters.composed_elsewhere += 1;
        let ticket = Ticket {
            run: self.pending.run(),
            row,
            number: self.counters.composed_elsewhere,
        };
        let Some(presentity) = self.presentities.get_mut(row) else {
            return;
        };
        presentity.forget_read();
        let parts = presentity.publications.iter().map(|held| Part {
            order: held.record.order,
            published: held.record.modified_at,
            body: held.record.body.clone(),
        });
        let job = Job {
            ticket,
            entity: presentity.aor.clone(),
            parts: parts.collect(),
            registered,
            now,
        };
        presentity.composing = Some(Box::new(Composing {
            number: ticket.number,
            fetches: Vec::new(),
        }));
        out.push(Effect::Compose(job));
    }

    /// A [`Job`] is done.
    pub fn composed(&mut self, now: Timestamp, composed: Composed, out: &mut Vec<Effect>) {
        let Composed { ticket, state } = composed;
        let row = ticket.row;
        let presentity = self.presentities.get_mut(row);
        let composing = presentity.filter(|_| ticket.run == self.pending.run());
        let composing = composing.and_then(|presentity| {
            let is_it = |composing: &mut Box<Composing>| composing.number == ticket.number;
            presentity.composing.take_if(is_it)
        });
        let Some(composing) = composing else { return };
        if let Some((body, changes_at)) = state {
            let package = self.presentities.get(row).map(|row| row.package);
            let package = package.and_then(|package| self.settings.packages.get(package));
            let content_type = package.and_then(|package| package.body_types.first().cloned());
            self.adopt(now, row, body, content_type, changes_at);
            self.charge_composed(row);
        } else {
            self.counters.compositions_failed += 1;
        }
        for fetch in composing.fetches {
            self.answer_fetch(now, row, fetch, out);
        }
        self.announce(now, row, out);
        // It changed meanwhile.
        let presentity = self.presentities.get(row);
        if presentity.is_some_and(|presentity| presentity.stale) {
            self.tell(now, row, out);
        }
        self.release_presentity(row, out);
        self.wake(now, out);
    }

    /// Puts a fetch off until the composition that is under way is done; gives it back if there is none, or no room.
    pub(super) fn put_fetch_off(&mut self, row: u32, fetch: Fetch) -> Option<Fetch> {
        let presentity = self.presentities.get_mut(row);
        match presentity.and_then(|presentity| presentity.composing.as_mut()) {
            Some(composing) if composing.fetches.len() < MOST_FETCHES => {
                composing.fetches.push(fetch);
                None
            }
            Some(_) | None => Some(fetch),
        }
    }
}

/// Composes a small state.
fn compose_at_once(presentity: &mut Presentity, registered: bool, now: Timestamp) -> State {
    let publications = &mut presentity.publications;
    publications.iter_mut().for_each(|held| held.read());
    let parts = publications.iter().filter_map(|held| {
        let record = &held.record;
        Some((record.order, record.modified_at, held.document.as_deref()?))
    });
    let state = compose(&presentity.aor, parts, registered, now);
    // A change of one of several is composed with the others. One that stands alone is replaced as a whole.
    let again = !presentity.watchers.is_empty() && presentity.publications.len() > 1;
    if !again || presentity.volume() > KEPT_READ {
        presentity.forget_read();
    }
    state
}

/// Composes what was read of publications: the order of each, when it was published, and its document.
fn compose<'a>(
    entity: &str,
    parts: impl Iterator<Item = (u64, Timestamp, &'a Document)>,
    registered: bool,
    now: Timestamp,
) -> State {
    let parts: Vec<(String, Timestamp, &Document)> = parts
        .map(|(order, published, document)| (format!("{order:016x}"), published, document))
        .collect();
    let registration = registered.then(|| presence::registration(entity)).flatten();
    let mut sources: Vec<Source<'_>> = parts
        .iter()
        .map(|(key, published, document)| Source {
            key,
            document,
            published: *published,
        })
        .collect();
    if let Some(document) = &registration {
        // Older than all that was published, so that it comes last among equals.
        let published = Timestamp::default();
        let key = "registration";
        sources.push(Source {
            key,
            document,
            published,
        });
    }
    match presence::compose(entity, &sources, now) {
        Some(composition) => (Some(composition.body), composition.changes_at),
        None => (None, None),
    }
}
