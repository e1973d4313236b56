//! PUBLISH in the registry: finds the presentity, carries out what [`crate::publication::decide`] decided (RFC 3903, 6).

use std::sync::Arc;

use smallvec::SmallVec;

use super::bill::Bill;
use super::commit::{Held, Lock};
use super::composing::AT_ONCE;
use super::publications::Publication;
use super::rows::Timer;
use super::store::{Change, PublicationRecord, Record};
use super::{Asker, Effect, Note, Over, Registry, Stranger, presentity, seconds};
use crate::exchange::{Incoming, Reply, TransactionId};
use crate::pidf;
use crate::presence;
use crate::publication::{self, Action, Content, Decision, Depth, PublishError, decide};
use crate::sip::{Head, Name, StatusCode};
use crate::time::Timestamp;

/// Bytes of earlier publications that one request has read, to find the one whose place it takes.
const READ_TO_COMPARE: usize = 256 * 1024;

/// A PUBLISH that is being stored.
#[derive(Debug)]
pub(super) struct Publishing {
    pub asker: Asker,
    presentity: u32,
    step: Step,
    etag: Arc<str>,
    expires: u32,
}

/// What happens to the rows.
#[derive(Debug)]
enum Step {
    /// The record is new, or takes the place of the one with its order.
    Put {
        record: PublicationRecord,
        document: Option<Box<pidf::Document>>,
        body_is_new: bool,
        bill: Bill,
    },
    /// The record with this order goes.
    Remove { order: u64 },
}

impl Registry {
    pub(super) fn publish(&mut self, now: Timestamp, incoming: Incoming, out: &mut Vec<Effect>) {
        let (package, aor) = match self.publish_target(&incoming) {
            Ok(target) => target,
            Err(error) => return self.refuse_publish(&incoming, &error, out),
        };
        let row = self.open_presentity(package, &aor);
        let Some(incoming) = self.enqueue(Lock::Presentity(row), incoming, out) else {
            return;
        };
        if let Err(error) = self.decide_publish(now, row, &incoming, out) {
            self.refuse_publish(&incoming, &error, out);
            if let PublishError::Over(over) = error {
                self.count_over(over);
                self.tell_memory(now, matches!(over, Over::Memory { .. }), out);
            }
        }
        self.release_presentity(row, out);
    }

    /// The package and presentity of a PUBLISH (steps 1 and 2).
    fn publish_target(&self, incoming: &Incoming) -> Result<(usize, String), PublishError> {
        let aor = presentity(&self.settings, incoming.message.request_uri_parts())?;
        if !incoming.identity.speaks_for(&aor) {
            return Err(PublishError::NotYours(aor));
        }
        let event = incoming.message.event_package()?;
        let package = event.and_then(|event| self.settings.package(&event));
        let package = package.filter(|(_, package)| package.is_published());
        let (package, _) = package.ok_or_else(|| PublishError::BadEvent {
            allow_events: self.settings.allow_events(),
        })?;
        Ok((package, aor))
    }

    fn decide_publish(
        &mut self,
        now: Timestamp,
        row: u32,
        incoming: &Incoming,
        out: &mut Vec<Effect>,
    ) -> Result<(), PublishError> {
        // The row stands: `publish` has just found or made it.
        let Some(presentity) = self.presentities.get(row) else {
            return Ok(());
        };
        let package = &self.settings.packages[presentity.package];
        let min = package.publication.min;
        let Decision { action, expires } = {
            let publications: SmallVec<[publication::Held<'_>; 4]> = presentity
                .publications
                .iter()
                .map(|held| publication::Held {
                    etag: &held.record.etag,
                    body: &held.record.body,
                })
                .collect();
            let limits = &self.settings.limits;
            // What nobody watches is read if somebody comes: as read it would take more memory than the document itself.
            // So is what is composed elsewhere.
            let volume = presentity.volume() + incoming.message.body().len();
            let depth = match presentity.watchers.is_empty() || volume > AT_ONCE {
                true => Depth::Check,
                false => Depth::Read,
            };
            decide(&incoming.message, package, limits, &publications, depth)?
        };
        let action = match action {
            Action::Create(content) => match self.predecessor(row, &content) {
                Some(index) => Action::Modify(index, content),
                None => Action::Create(content),
            },
            other => other,
        };
        let bill = match &action {
            Action::Create(content) => self.bill(row, None, content.body.len(), incoming)?,
            Action::Modify(index, content) => {
                self.bill(row, Some(*index), content.body.len(), incoming)?
            }
            Action::Refresh(_) | Action::Remove(_) | Action::Nothing => Bill::NOTHING,
        };
        let expires = self.spread(expires, min);
        let etag = self.etags.give(&mut self.entropy);
        let Some(presentity) = self.presentities.get(row) else {
            return Ok(());
        };
        let expires_at = now + seconds(expires);
        let read = !presentity.watchers.is_empty() && presentity.volume() <= AT_ONCE;
        let held = |index: usize| presentity.publications.get(index);
        let put = |old: Option<&Publication>, content: Option<Content>| {
            let order = old.map_or_else(|| self.etags.order(), |old| old.record.order);
            let body_is_new = content.is_some();
            let (content_type, body, document) = match (content, old) {
                (Some(new), _) => (new.content_type, new.body, new.document.filter(|_| read)),
                (None, Some(old)) => (
                    old.record.content_type.clone(),
                    old.record.body.clone(),
                    None,
                ),
                (None, None) => Default::default(),
            };
            let modified_at = match old {
                Some(old) if !body_is_new => old.record.modified_at,
                Some(_) | None => now,
            };
            let record = PublicationRecord {
                aor: presentity.aor.clone(),
                package: self.settings.packages[presentity.package].name.clone(),
                order,
                etag: etag.clone(),
                expires_at,
                modified_at,
                content_type,
                body,
            };
            let change = Change {
                key: record.key(),
                expect: old.map(|old| old.version),
                record: Some(Record::Publication(record.clone())),
            };
            (
                change,
                Step::Put {
                    record,
                    document,
                    body_is_new,
                    bill,
                },
            )
        };
        let (change, step) = match action {
            Action::Nothing => {
                out.push(accepted(incoming.transaction, &etag, 0));
                return Ok(());
            }
            Action::Create(content) => put(None, Some(content)),
            Action::Refresh(index) => put(held(index), None),
            Action::Modify(index, content) => put(held(index), Some(content)),
            Action::Remove(index) => match held(index) {
                Some(old) => (
                    old.removal(),
                    Step::Remove {
                        order: old.record.order,
                    },
                ),
                None => return Ok(()),
            },
        };
        let publishing = Publishing {
            asker: self.asker(incoming),
            presentity: row,
            step,
            etag,
            expires,
        };
        let held = Held::Publish(Box::new(publishing));
        self.commit(Some(Lock::Presentity(row)), vec![change], held, out);
        Ok(())
    }

    /// The publication whose place an initial one takes, as its publisher has lost the entity-tag (docs/adr/0007).
    fn predecessor(&mut self, row: u32, content: &Content) -> Option<usize> {
        let asked = presence::services(content.document.as_deref()?);
        if asked.is_empty() {
            return None;
        }
        let mut left = READ_TO_COMPARE;
        let mut publications = self.presentities.get_mut(row)?.publications.iter_mut();
        let index = publications.position(|held| held.has_service(&asked, &mut left))?;
        self.counters.replaced += 1;
        Some(index)
    }

    /// The changes that it asked for.
    pub(super) fn changes_of_publish(&self, publishing: &Publishing) -> Vec<Change> {
        let presentity = self.presentities.get(publishing.presentity);
        let held = |order: u64| {
            let mut held = presentity.into_iter().flat_map(|row| &row.publications);
            held.find(|held| held.record.order == order)
        };
        let change = match &publishing.step {
            Step::Put { record, .. } => Some(Change {
                key: record.key(),
                expect: held(record.order).map(|old| old.version),
                record: Some(Record::Publication(record.clone())),
            }),
            Step::Remove { order } => held(*order).map(Publication::removal),
        };
        change.into_iter().collect()
    }

    /// The store has answered.
    pub(super) fn published(
        &mut self,
        now: Timestamp,
        publishing: Publishing,
        stored: bool,
        out: &mut Vec<Effect>,
    ) {
        let Publishing {
            asker,
            presentity: row,
            step,
            etag,
            expires,
        } = publishing;
        if !stored {
            if let Step::Put { bill, .. } = &step {
                self.give_back(*bill);
            }
            let error = PublishError::NotStored {
                retry_after: self.settings.retry_after,
            };
            let mut head = Head::new();
            error.write(&mut head);
            let (status, reason) = (error.status(), error.reason());
            return self.refuse_to(asker, status, reason, head, &error, out);
        }
        out.push(accepted(asker.transaction, &etag, expires));
        let Some(presentity) = self.presentities.get_mut(row) else {
            return;
        };
        let order = match &step {
            Step::Put { record, .. } => record.order,
            Step::Remove { order } => *order,
        };
        let index = presentity
            .publications
            .iter()
            .position(|held| held.record.order == order);
        let (change, told) = match (step, index) {
            (Step::Remove { .. }, Some(index)) => {
                let gone = presentity.publications.remove(index);
                let last = presentity.publications.is_empty();
                self.wheel.cancel(gone.lapse);
                self.pay_back(gone.owner, gone.record.body.len());
                if last {
                    self.ledger.remove_presentity();
                }
                self.counters.removed += 1;
                ("removed", true)
            }
            (Step::Remove { .. }, None) => return,
            (
                Step::Put {
                    mut record,
                    document,
                    body_is_new,
                    bill,
                },
                Some(index),
            ) => {
                let held = &mut presentity.publications[index];
                // A timer that fires too early looks again; to move it on with each request would cost more.
                let fires = self.wheel.due(held.lapse);
                if fires.is_none_or(|at| record.expires_at < at) {
                    self.wheel.cancel(held.lapse);
                    let lapse = Timer::Lapse { presentity: row };
                    held.lapse = self.wheel.insert(record.expires_at, lapse);
                }
                if crate::sabotaged!(KeepEntityTag) {
                    record.etag = held.record.etag.clone();
                }
                held.version += 1;
                if body_is_new {
                    let (owner, before) = (held.owner, held.record.body.len());
                    let body = record.body.len();
                    held.replace(record, document, bill.owner);
                    self.pay_back(owner, before);
                    self.ledger.grow(Publication::size(body) as i64);
                    self.counters.modified += 1;
                    // Even with the same body it is the latest now; composing shows whether that makes a difference.
                    ("modified", true)
                } else {
                    held.record = record;
                    self.counters.refreshed += 1;
                    ("refreshed", false)
                }
            }
            (
                Step::Put {
                    record,
                    document,
                    bill,
                    ..
                },
                None,
            ) => {
                self.ledger
                    .grow(Publication::size(record.body.len()) as i64);
                let wheel = &mut self.wheel;
                let publication = Publication::new(wheel, row, record, 1, document, bill.owner);
                presentity.insert(publication);
                self.counters.published += 1;
                ("created", true)
            }
        };
        self.note_publication(row, etag, change, out);
        if told {
            self.touched(now, row, out);
        }
    }

    /// Ends the publications of a presentity that have lapsed (RFC 3903, 4.3).
    pub(super) fn lapse(&mut self, now: Timestamp, row: u32, out: &mut Vec<Effect>) {
        if crate::sabotaged!(NeverExpire) {
            return;
        }
        // What is being stored was asked for in time; this is called again when it is.
        if self.pending.is_locked(Lock::Presentity(row)) {
            return;
        }
        let Some(presentity) = self.presentities.get_mut(row) else {
            return;
        };
        let mut gone = Vec::new();
        presentity.publications.retain_mut(|held| {
            if held.record.expires_at > now {
                if self.wheel.due(held.lapse).is_none() {
                    let lapse = Timer::Lapse { presentity: row };
                    held.lapse = self.wheel.insert(held.record.expires_at, lapse);
                }
                return true;
            }
            self.wheel.cancel(held.lapse);
            let cost = (held.owner, held.record.body.len());
            gone.push((held.removal(), held.record.etag.clone(), cost));
            false
        });
        let last = presentity.publications.is_empty();
        if gone.is_empty() {
            return;
        }
        self.counters.lapsed += gone.len() as u64;
        let mut changes = Vec::with_capacity(gone.len());
        if last {
            self.ledger.remove_presentity();
        }
        for (change, etag, (owner, body)) in gone {
            self.pay_back(owner, body);
            changes.push(change);
            self.note_publication(row, etag, "lapsed", out);
        }
        self.clean_up(changes, out);
        self.touched(now, row, out);
        self.release_presentity(row, out);
    }

    /// The row of an address, made if there is none.
    pub(super) fn open_presentity(&mut self, package: usize, aor: &str) -> u32 {
        let before = self.presentities.len();
        let row = self.presentities.open(package, aor);
        if self.presentities.len() > before
            && let Some(presentity) = self.presentities.get(row)
        {
            self.ledger.grow(presentity.size() as i64);
        }
        row
    }

    /// Forgets a presentity of which nothing is left.
    pub(super) fn release_presentity(&mut self, row: u32, out: &mut Vec<Effect>) {
        let idle = self.presentities.get(row).is_some_and(|row| {
            row.publications.is_empty() && row.watchers.is_empty() && row.composing.is_none()
        });
        if !idle || self.pending.is_locked(Lock::Presentity(row)) {
            return;
        }
        if let Some(presentity) = self.presentities.remove(row) {
            let size = presentity.size() as i64 + i64::from(presentity.charged);
            self.ledger.grow(-size);
            for timer in presentity.timers() {
                self.wheel.cancel(timer);
            }
            self.forget_settled(row, &presentity, out);
        }
    }

    fn note_publication(
        &self,
        row: u32,
        etag: Arc<str>,
        change: &'static str,
        out: &mut Vec<Effect>,
    ) {
        if !self.settings.notes {
            return;
        }
        if let Some(presentity) = self.presentities.get(row) {
            let presentity = presentity.aor.clone();
            out.push(Effect::Note(Note::Publication {
                presentity,
                etag,
                change,
            }));
        }
    }

    fn refuse_publish(&mut self, incoming: &Incoming, error: &PublishError, out: &mut Vec<Effect>) {
        let mut head = Head::new();
        error.write(&mut head);
        self.refuse(incoming, error.status(), error.reason(), head, error, out);
    }
}

/// The 200 to a PUBLISH: what was granted, and the entity-tag that names the publication from now on.
fn accepted(transaction: TransactionId, etag: &str, expires: u32) -> Effect {
    let mut head = Head::with_capacity(80);
    head.number(Name::Expires, expires)
        .text(Name::SipEtag, etag);
    Effect::Reply(Reply::new(transaction, StatusCode::OK).head(head.finish()))
}

impl From<Stranger> for PublishError {
    fn from(stranger: Stranger) -> Self {
        match stranger {
            Stranger::BadUri(error) => Self::BadHeader(error),
            Stranger::NotServed(host) => Self::NotFound(host),
        }
    }
}
