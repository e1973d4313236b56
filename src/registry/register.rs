//! REGISTER in the registry (RFC 3261, 10).
//!
//! Bindings are kept because Linphone publishes nothing until it is registered; who is may be shown as open on request.

use std::sync::Arc;

use super::bindings::Binding;
use super::books::What;
use super::commit::{Held, Lock};
use super::registrar::{
    Asked, Bound, GRUU, OUTBOUND, RegisterError, Step, contact, decide, supports, uses_outbound,
};
use super::rows::Timer;
use super::store::{BindingRecord, Change, Record, RecordKey, Version};
use super::{Effect, Note, Over, Registry, Stranger, presentity, seconds};
use crate::exchange::{Incoming, Reply};
use crate::sip::{Head, Name, StatusCode, Uri, date};
use crate::time::Timestamp;

/// A REGISTER that is being stored.
#[derive(Debug)]
pub(super) struct Registering {
    pub incoming: Incoming,
    row: u32,
    pub changes: Vec<Change>,
    owner: u32,
    /// The contacts that are new, which its sender's share was charged with.
    more: usize,
    /// They are the first ones of the address of record.
    first: bool,
}

impl Registry {
    pub(super) fn register(&mut self, now: Timestamp, incoming: Incoming, out: &mut Vec<Effect>) {
        let aor = match self.register_target(&incoming) {
            Ok(aor) => aor,
            Err(error) => return self.refuse_register(&incoming, &error, out),
        };
        let row = self.bindings.open(&aor);
        let Some(incoming) = self.enqueue(Lock::Bindings(row), incoming, out) else {
            return;
        };
        let decided = self.decide_register(now, row, &incoming);
        let decided = decided.and_then(|changes| {
            let bill = self.bill_contacts(row, &changes, &incoming)?;
            Ok((changes, bill))
        });
        match decided {
            Err(error) => {
                self.refuse_register(&incoming, &error, out);
                if let RegisterError::Over(over) = error {
                    self.count_over(over);
                    self.tell_memory(now, matches!(over, Over::Memory { .. }), out);
                }
            }
            Ok((changes, _)) if changes.is_empty() => {
                self.list_bindings(now, row, &incoming, out);
            }
            Ok((changes, (owner, more, first))) => {
                let registering = Registering {
                    incoming,
                    row,
                    changes: changes.clone(),
                    owner,
                    more,
                    first,
                };
                let held = Held::Register(Box::new(registering));
                self.commit(Some(Lock::Bindings(row)), changes, held, out);
            }
        }
        self.release_bindings(row);
    }

    /// The address of record: that of To, in the domain of the Request-URI (RFC 3261, 10.3, steps 1 and 5).
    fn register_target(&self, incoming: &Incoming) -> Result<String, RegisterError> {
        presentity(&self.settings, incoming.message.request_uri_parts())?;
        let to = incoming.message.to().map_err(Stranger::BadUri)?;
        let aor = presentity(&self.settings, Ok(to.uri.parts()))?;
        if incoming.identity.speaks_for(&aor) {
            Ok(aor)
        } else {
            Err(RegisterError::NotYours(aor))
        }
    }

    fn decide_register(
        &mut self,
        now: Timestamp,
        row: u32,
        incoming: &Incoming,
    ) -> Result<Vec<Change>, RegisterError> {
        // The row stands: `register` has just found or made it.
        let Some(registered) = self.bindings.rows.get(row as usize) else {
            return Ok(Vec::new());
        };
        let bound: Vec<Bound<'_>> = registered
            .bindings
            .iter()
            .map(|held| Bound {
                contact: &held.uri,
                flow: held.record.instance.as_deref().zip(held.record.reg_id),
                call_id: &held.record.call_id,
                cseq: held.record.cseq,
            })
            .collect();
        let request = &incoming.message;
        let steps = decide(request, &registered.aor, &self.settings, &bound)?;
        let call_id: Arc<str> = request.call_id()?.into();
        let cseq = request.cseq()?.number;
        let aor = registered.aor.clone();
        let path: Arc<str> = request
            .values(Name::Path)
            .collect::<Vec<_>>()
            .join(", ")
            .into();
        let fresh = |asked: Asked| BindingRecord {
            aor: aor.clone(),
            contact: asked.contact.to_string().into(),
            q: asked.q,
            call_id: call_id.clone(),
            cseq,
            expires_at: now + seconds(asked.expires),
            path: path.clone(),
            instance: asked.instance.map(Arc::from),
            reg_id: asked.reg_id,
            params: asked.params.into(),
        };
        let mut changes: Vec<Change> = Vec::with_capacity(steps.len());
        for step in steps {
            let change = match step {
                Step::Unbind { index } => registered.bindings[index].removal(),
                Step::Refresh { index, asked } => {
                    let held = &registered.bindings[index];
                    let fresh = fresh(asked);
                    // A flow keeps its name whatever its contact is (RFC 5626, 6); another binding is named by that.
                    let record = match held.record.reg_id {
                        Some(_) => BindingRecord {
                            instance: held.record.instance.clone(),
                            reg_id: held.record.reg_id,
                            ..fresh
                        },
                        None => BindingRecord {
                            contact: held.record.contact.clone(),
                            reg_id: None,
                            ..fresh
                        },
                    };
                    put(record, Some(held.version))
                }
                Step::Bind(asked) => put(fresh(asked), None),
            };
            // The same contact twice in one request: the last one counts.
            changes.retain(|earlier| earlier.key != change.key);
            changes.push(change);
        }
        Ok(changes)
    }

    /// The store has answered.
    pub(super) fn registered(
        &mut self,
        now: Timestamp,
        registering: Registering,
        stored: bool,
        out: &mut Vec<Effect>,
    ) {
        let Registering {
            incoming,
            row,
            changes,
            owner,
            more,
            first,
        } = registering;
        if !stored {
            self.ledger.credit(owner, What::Bindings, more as u64);
            if first {
                self.ledger.remove_registered();
            }
            let error = RegisterError::NotStored {
                retry_after: self.settings.retry_after,
            };
            return self.refuse_register(&incoming, &error, out);
        }
        let Some(registered) = self.bindings.rows.get_mut(row as usize) else {
            return;
        };
        let was_bound = !registered.bindings.is_empty();
        let mut counted = Vec::with_capacity(changes.len());
        for change in changes {
            let index = registered
                .bindings
                .iter()
                .position(|held| held.record.key() == change.key);
            let old = index.map(|index| registered.bindings.remove(index));
            if let Some(old) = &old {
                self.wheel.cancel(old.unbind);
                counted.push((old.owner, old.size(), false));
            }
            let version = change.version();
            match change.record {
                Some(Record::Binding(record)) => {
                    self.counters.bound += 1;
                    // Unreadable only if it was stored by another hand.
                    let Ok(uri) = Uri::parse(&record.contact) else {
                        continue;
                    };
                    let unbind = self.wheel.insert(record.expires_at, Timer::Unbind(row));
                    let owner = old.map_or(owner, |old| {
                        // It lives on, and so counts on.
                        self.ledger.load(old.owner, What::Bindings, 1);
                        old.owner
                    });
                    let binding = Binding {
                        record,
                        version,
                        uri,
                        unbind,
                        owner,
                    };
                    counted.push((owner, binding.size(), true));
                    registered.bindings.push(binding);
                }
                Some(_) | None => self.counters.unbound += 1,
            }
        }
        let last = registered.bindings.is_empty();
        for (owner, size, is_there) in counted {
            self.count_binding(owner, size, is_there);
        }
        if last && (was_bound || first) {
            self.ledger.remove_registered();
        }
        self.list_bindings(now, row, &incoming, out);
        self.note_bindings(row, out);
        self.show_registration(now, row, was_bound, out);
    }

    /// Puts a stored binding into the rows.
    pub(super) fn insert_binding(&mut self, record: BindingRecord, version: Version) -> bool {
        let Ok(uri) = Uri::parse(&record.contact) else {
            return false;
        };
        let owner = self.owner_of_aor(&record.aor);
        let row = self.bindings.open(&record.aor);
        let unbind = self.wheel.insert(record.expires_at, Timer::Unbind(row));
        if let Some(registered) = self.bindings.rows.get_mut(row as usize) {
            if registered.bindings.is_empty() {
                // It was there before.
                self.ledger.add_registered(u64::MAX);
            }
            let binding = Binding {
                record,
                version,
                uri,
                unbind,
                owner,
            };
            self.ledger.load(owner, What::Bindings, 1);
            self.ledger.grow(binding.size() as i64);
            registered.bindings.push(binding);
        }
        true
    }

    /// Takes out the binding of an address with this key.
    pub(super) fn take_binding(
        &mut self,
        aor: &str,
        key: &RecordKey,
    ) -> Option<(Version, BindingRecord)> {
        let row = *self.bindings.index.get(aor)?;
        let registered = self.bindings.rows.get_mut(row as usize)?;
        let place = registered
            .bindings
            .iter()
            .position(|held| held.record.key() == *key)?;
        let held = registered.bindings.remove(place);
        let last = registered.bindings.is_empty();
        self.wheel.cancel(held.unbind);
        self.count_binding(held.owner, held.size(), false);
        if last {
            self.ledger.remove_registered();
        }
        Some((held.version, held.record))
    }

    /// The 200: all bindings that are there now.
    fn list_bindings(&self, now: Timestamp, row: u32, incoming: &Incoming, out: &mut Vec<Effect>) {
        let mut head = Head::new();
        let request = &incoming.message;
        let gruu = self.settings.registrar.gruu && supports(request, GRUU);
        let registered = self.bindings.rows.get(row as usize);
        for held in registered.into_iter().flat_map(|row| &row.bindings) {
            let record = &held.record;
            head.line(Name::Contact, contact(record, now, gruu));
        }
        // So that the client sees whom its requests would pass (RFC 3327, 5.3).
        for path in request.values(Name::Path) {
            head.line(Name::Path, path);
        }
        if uses_outbound(request) {
            head.line(Name::Require, OUTBOUND);
        }
        head.line(Name::Date, date(now));
        let reply = Reply::new(incoming.transaction, StatusCode::OK).head(head.finish());
        out.push(Effect::Reply(reply));
    }

    /// Ends the bindings of an address of record that have expired ([`Timer::Unbind`]).
    pub(super) fn unbind(&mut self, now: Timestamp, row: u32, out: &mut Vec<Effect>) {
        if self.pending.is_locked(Lock::Bindings(row)) {
            return;
        }
        let Some(registered) = self.bindings.rows.get_mut(row as usize) else {
            return;
        };
        let mut changes = Vec::new();
        let mut gone = Vec::new();
        registered.bindings.retain(|held| {
            if held.record.expires_at > now {
                return true;
            }
            self.wheel.cancel(held.unbind);
            changes.push(held.removal());
            gone.push((held.owner, held.size()));
            false
        });
        let last = registered.bindings.is_empty();
        if changes.is_empty() {
            return;
        }
        if last {
            self.ledger.remove_registered();
        }
        for (owner, size) in gone {
            self.count_binding(owner, size, false);
        }
        self.counters.unbound += changes.len() as u64;
        self.clean_up(changes, out);
        self.note_bindings(row, out);
        self.show_registration(now, row, true, out);
        self.release_bindings(row);
    }

    /// Forgets an address of record without bindings.
    pub(super) fn release_bindings(&mut self, row: u32) {
        let idle = self
            .bindings
            .rows
            .get(row as usize)
            .is_some_and(|row| row.bindings.is_empty());
        if idle && !self.pending.is_locked(Lock::Bindings(row)) {
            let registered = self.bindings.rows.remove(row as usize);
            self.bindings.index.remove(&registered.aor);
        }
    }

    /// Tells watchers when an address of record begins or ends to be registered, if they are shown that.
    fn show_registration(
        &mut self,
        now: Timestamp,
        row: u32,
        was_bound: bool,
        out: &mut Vec<Effect>,
    ) {
        let Some(registered) = self.bindings.rows.get(row as usize) else {
            return;
        };
        if !self.settings.registrar.presence || registered.bindings.is_empty() != was_bound {
            return;
        }
        let presence = self.presence_package();
        let found = presence.and_then(|package| self.presentities.find(package, &registered.aor));
        if let Some(presentity) = found {
            self.touched(now, presentity, out);
        }
    }

    fn note_bindings(&self, row: u32, out: &mut Vec<Effect>) {
        if !self.settings.notes {
            return;
        }
        if let Some(registered) = self.bindings.rows.get(row as usize) {
            out.push(Effect::Note(Note::Bindings {
                aor: registered.aor.clone(),
                contacts: registered.bindings.len(),
            }));
        }
    }

    fn refuse_register(
        &mut self,
        incoming: &Incoming,
        error: &RegisterError,
        out: &mut Vec<Effect>,
    ) {
        let mut head = Head::new();
        error.write(&mut head);
        self.refuse(incoming, error.status(), error.reason(), head, error, out);
    }
}

fn put(record: BindingRecord, expect: Option<Version>) -> Change {
    Change {
        key: record.key(),
        expect,
        record: Some(Record::Binding(record)),
    }
}

impl From<Stranger> for RegisterError {
    fn from(stranger: Stranger) -> Self {
        match stranger {
            Stranger::BadUri(error) => Self::BadHeader(error),
            Stranger::NotServed(host) => Self::NotFound(host),
        }
    }
}
