//! Who may watch whom: decisions about watchers, and those that wait for one (RFC 3856, 6.6.2; RFC 5025, 3.2.1).
//!
//! A decision is stored, then takes hold of the subscriptions that live: to block ends them, to allow tells them the
//! state. A pending subscription that ends leaves its watcher waiting, over restarts too (RFC 3857, 4.7.1).

use std::sync::Arc;

use super::books::What;
use super::commit::{Held, Lock};
use super::ledger::NOBODY;
use super::rows::{Timer, index};
use super::store::{Change, Record, RecordKey, Standing, Version, WatcherRecord};
use super::watchers::Known;
use super::{Effect, Registry};
use crate::subscription::EndReason;
use crate::time::Timestamp;
use crate::watcherinfo::{Event, Handling, Status, Watcher};

/// What somebody decides about a watcher. Both addresses are canonical: see [`crate::sip::Uri::aor`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The presentity.
    pub presentity: Arc<str>,
    /// The watcher.
    pub watcher: Arc<str>,
    /// How it is treated; `None`: by the default policy, as if nothing had been decided.
    pub handling: Option<Handling>,
}

/// Why a decision is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// The one before is not stored yet.
    #[error("an earlier decision about this watcher is still being stored: try again")]
    Busy,
    /// The presentity has as many as it may.
    #[error("presentity has {0} decisions already")]
    TooMany(usize),
    /// The store did not take it.
    #[error("the decision could not be stored: try again")]
    NotStored,
}

/// A decision that is being stored.
#[derive(Debug)]
pub(super) struct Deciding {
    ticket: u64,
    decision: Decision,
    version: Version,
    since: Timestamp,
}

impl Deciding {
    /// The change that it asked for.
    pub fn change(&self) -> Change {
        let Decision {
            presentity,
            watcher,
            handling,
        } = &self.decision;
        let record = handling.map(|handling| {
            Record::Watcher(WatcherRecord {
                aor: presentity.clone(),
                watcher: watcher.clone(),
                standing: Standing::Decided(handling),
                since: self.since,
            })
        });
        Change {
            key: RecordKey::Watcher {
                aor: presentity.clone(),
                watcher: watcher.clone(),
            },
            expect: Some(self.version - 1).filter(|version| *version > 0),
            record,
        }
    }
}

impl Registry {
    /// How a watcher is treated. Whoever watches himself may. Who is blocked under one name is under each that may be his.
    pub(super) fn handling(&self, aor: &str, watcher: &str) -> Handling {
        if aor == watcher {
            return Handling::Allow;
        }
        let decision = self.authorizations.decision(aor, watcher);
        if crate::sabotaged!(ForgetBlock) && decision == Some(Handling::Block) {
            return Handling::Allow;
        }
        let own = decision.unwrap_or(self.settings.policy);
        if !self.settings.domains.is_empty() {
            return own;
        }
        let others = self.authorizations.decisions(aor);
        let blocks = others
            .filter(|(name, _)| self.settings.may_be_same(name, watcher))
            .map(|(_, handling)| handling)
            .filter(|handling| matches!(handling, Handling::Block | Handling::PoliteBlock));
        blocks.fold(own, Handling::min)
    }

    /// Whether all watchers of a presentity are let in, so that nobody needs to ask who they are.
    pub(super) fn is_open(&self, aor: &str) -> bool {
        self.settings.policy == Handling::Allow
            && !self.authorizations.by_presentity.contains_key(aor)
    }

    /// Somebody decides about a watcher. Answered by [`Effect::Decided`] with the `ticket`, once it is stored.
    pub fn decide(
        &mut self,
        now: Timestamp,
        ticket: u64,
        decision: Decision,
        out: &mut Vec<Effect>,
    ) {
        self.wake(now, out);
        let Decision {
            presentity,
            watcher,
            handling,
        } = &decision;
        let found = self.authorizations.find(presentity, watcher);
        let version = found.map(|(_, known)| known.version);
        let limit = self.settings.limits.watchers;
        let names = (presentity.clone(), watcher.clone());
        let answer = if self.authorizations.deciding.contains(&names) {
            Some(Err(DecideError::Busy))
        } else if found.is_none() && handling.is_none() {
            Some(Ok(0))
        } else if found.is_none() && self.authorizations.of(presentity).count() >= limit {
            Some(Err(DecideError::TooMany(limit)))
        } else {
            None
        };
        if let Some(answer) = answer {
            return out.push(Effect::Decided(ticket, answer));
        }
        self.authorizations.deciding.insert(names);
        let deciding = Deciding {
            ticket,
            version: version.unwrap_or(0) + 1,
            since: now,
            decision,
        };
        let change = deciding.change();
        let held = Held::Decide(Box::new(deciding));
        self.commit(None, vec![change], held, out);
    }

    /// The store has answered.
    pub(super) fn decided(
        &mut self,
        now: Timestamp,
        deciding: Deciding,
        stored: bool,
        out: &mut Vec<Effect>,
    ) {
        let Deciding {
            ticket,
            decision,
            version,
            since,
        } = deciding;
        let Decision {
            presentity: aor,
            watcher,
            handling,
        } = decision;
        let names = (aor.clone(), watcher.clone());
        self.authorizations.deciding.remove(&names);
        if !stored {
            return out.push(Effect::Decided(ticket, Err(DecideError::NotStored)));
        }
        self.counters.decided += 1;
        let found = self.authorizations.find(&aor, &watcher);
        let found = found.map(|(row, _)| row);
        let before = found.and_then(|row| self.take_out(row));
        if let Some(handling) = handling {
            let known = Known {
                record: WatcherRecord {
                    aor: aor.clone(),
                    watcher: watcher.clone(),
                    standing: Standing::Decided(handling),
                    since,
                },
                version,
                give_up: None,
                owner: NOBODY,
            };
            self.ledger.grow(known.size() as i64);
            self.authorizations.insert(known);
        }
        let treated = self.handling(&aor, &watcher);
        let event = match treated {
            Handling::Block => Event::Rejected,
            Handling::Confirm => Event::Giveup,
            Handling::PoliteBlock | Handling::Allow => Event::Approved,
        };
        let waited = before.and_then(|known| known.waiting(Status::Terminated, event));
        if let Some(waited) = waited {
            self.tell_presence_winfo(now, &aor, waited, out);
        }
        let mut concerned = 0;
        for (row, name) in self.subscriptions_of(&aor, &watcher) {
            concerned += 1;
            let treated = self.handling(&aor, &name);
            self.treat(now, row, treated, out);
        }
        out.push(Effect::Decided(ticket, Ok(concerned)));
    }

    /// The presence subscriptions of a watcher, under each name that may be his.
    fn subscriptions_of(&self, aor: &str, watcher: &str) -> Vec<(u32, String)> {
        let presentity = self.presence_package();
        let presentity = presentity.and_then(|package| self.presentities.find(package, aor));
        let presentity = presentity.and_then(|row| self.presentities.get(row));
        let rows = presentity.map(|row| row.watchers.as_slice());
        let rows = rows.unwrap_or_default().iter().copied();
        rows.map(|row| (row, self.watcher_of(row)))
            .filter(|(_, name)| self.settings.may_be_same(name, watcher))
            .collect()
    }

    /// The package that decisions are about.
    pub(super) fn presence_package(&self) -> Option<usize> {
        self.settings.package("presence").map(|(index, _)| index)
    }

    /// The address of a subscription's watcher.
    pub(super) fn watcher_of(&self, row: u32) -> String {
        let subscription = self.subscriptions.get(row);
        let dialog = subscription.and_then(|held| self.subscriptions.dialog(held.dialog));
        dialog.map_or_else(String::new, |dialog| self.settings.watcher(dialog))
    }

    /// A live subscription is treated so from now on (RFC 5025, 3.2.1).
    fn treat(&mut self, now: Timestamp, row: u32, handling: Handling, out: &mut Vec<Effect>) {
        let Some(subscription) = self.subscriptions.get_mut(row) else {
            return;
        };
        let before = std::mem::replace(&mut subscription.handling, handling);
        let presentity = subscription.presentity;
        if before == handling || subscription.notifier.ending().is_some() {
            return;
        }
        self.unsettle(now, presentity, out);
        if handling == Handling::Block {
            return self.expel(now, row, out);
        }
        let demanded = self
            .subscriptions
            .get_mut(row)
            .is_some_and(|subscription| subscription.notifier.demanded());
        if before.status() != handling.status() {
            let event = match handling {
                Handling::Confirm | Handling::Block => Event::Subscribe,
                Handling::PoliteBlock | Handling::Allow => Event::Approved,
            };
            self.tell_watched(now, row, handling.status(), event, out);
        }
        if demanded {
            self.notify(now, row, out);
        }
    }

    /// Ends the subscription of a blocked watcher, or leaves that to [`Registry::settle_dialog`].
    pub(super) fn expel(&mut self, now: Timestamp, row: u32, out: &mut Vec<Effect>) {
        let dialog = self.subscriptions.get(row).map(|held| held.dialog);
        if dialog.is_some_and(|dialog| !self.pending.is_locked(Lock::Dialog(dialog))) {
            self.end(now, row, EndReason::Rejected, true, out);
        }
    }

    /// A watcher waits for a decision from now on, unless there is one, or it waits already. Whether it waits under
    /// this id. It counts for its owner as a subscription does, and nobody who has as many as he may is remembered.
    pub(super) fn wait(
        &mut self,
        now: Timestamp,
        aor: &Arc<str>,
        watcher: &str,
        id: String,
        owner: u32,
        out: &mut Vec<Effect>,
    ) -> bool {
        let watcher: Arc<str> = watcher.into();
        let names = (aor.clone(), watcher.clone());
        let full = self.authorizations.of(aor).count() >= self.settings.limits.watchers;
        if full
            || self.authorizations.has(aor, &watcher)
            || self.authorizations.deciding.contains(&names)
        {
            return false;
        }
        let room = self.room(size_of::<Known>());
        if room
            .and_then(|()| self.charge(owner, What::Subscriptions, 1))
            .is_err()
        {
            self.counters.not_waiting += 1;
            return false;
        }
        let record = WatcherRecord {
            aor: aor.clone(),
            watcher,
            standing: Standing::Waiting { id: id.into() },
            since: now,
        };
        let change = Change {
            key: record.key(),
            expect: None,
            record: Some(Record::Watcher(record.clone())),
        };
        self.take_in(record, 1, owner);
        self.clean_up(vec![change], out);
        true
    }

    /// Makes the row of a stored record, which counts for its owner already.
    pub(super) fn take_in(&mut self, record: WatcherRecord, version: Version, owner: u32) {
        let give_up = matches!(record.standing, Standing::Waiting { .. }).then(|| {
            let row = index(self.authorizations.rows.vacant_key());
            let at = record.since + self.settings.keep_waiting;
            self.wheel.insert(at, Timer::GiveUp(row))
        });
        let known = Known {
            record,
            version,
            give_up,
            owner,
        };
        self.ledger.grow(known.size() as i64);
        self.authorizations.insert(known);
    }

    pub(super) fn take_out(&mut self, row: u32) -> Option<Known> {
        let known = self.authorizations.remove(row)?;
        if let Some(timer) = known.give_up {
            self.wheel.cancel(timer);
        }
        self.ledger.grow(-(known.size() as i64));
        self.ledger.credit(known.owner, What::Subscriptions, 1);
        Some(known)
    }

    /// Takes a waiting watcher out, with its record; nothing if it does not wait.
    pub(super) fn stop_waiting(
        &mut self,
        now: Timestamp,
        aor: &str,
        watcher: &str,
        event: Event,
        out: &mut Vec<Effect>,
    ) {
        let names = (aor.into(), watcher.into());
        let found = self.authorizations.find(aor, watcher);
        // A decision that is being stored rests on the record, and takes it out itself.
        let waits = found
            .filter(|(_, known)| matches!(known.record.standing, Standing::Waiting { .. }))
            .filter(|_| !self.authorizations.deciding.contains(&names))
            .map(|(row, _)| row);
        let Some(known) = waits.and_then(|row| self.take_out(row)) else {
            return;
        };
        let change = Change {
            key: known.record.key(),
            expect: Some(known.version),
            record: None,
        };
        self.clean_up(vec![change], out);
        if let Some(element) = known.waiting(Status::Terminated, event) {
            self.tell_presence_winfo(now, aor, element, out);
        }
    }

    /// [`Timer::GiveUp`].
    pub(super) fn give_up(&mut self, now: Timestamp, row: u32, out: &mut Vec<Effect>) {
        let Some(known) = self.authorizations.rows.get_mut(row as usize) else {
            return;
        };
        known.give_up = None;
        let (aor, watcher) = (known.record.aor.clone(), known.record.watcher.clone());
        self.stop_waiting(now, &aor, &watcher, Event::Giveup, out);
    }

    /// Tells those who watch the watchers of a presentity in the presence package.
    fn tell_presence_winfo(
        &mut self,
        now: Timestamp,
        aor: &str,
        watcher: Watcher,
        out: &mut Vec<Effect>,
    ) {
        if let Some(package) = self.presence_package() {
            self.tell_winfo(now, package, aor, watcher, out);
        }
    }
}
