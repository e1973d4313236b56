//! A SUBSCRIBE whose commit the store has answered: the rows change, then the answer and NOTIFY leave (docs/adr/0006); and what
//! waited meanwhile, such as its expiry (RFC 6665, 4.2.2).

use std::sync::Arc;

use super::books::What;
use super::commit::Lock;
use super::rows::{Subscription, Timer};
use super::store::{Change, Record, SubscriptionRecord};
use super::subscribe::{Step, Subscribing, accepted};
use super::{Effect, Registry};
use crate::sip::Head;
use crate::subscription::{Dialog, EndReason, Notifier, SubscribeError};
use crate::time::Timestamp;
use crate::watcherinfo::Handling;

impl Registry {
    /// The changes that it asked for.
    pub(super) fn changes_of_subscribe(&self, subscribing: &Subscribing) -> Vec<Change> {
        let name = &self.settings.packages[subscribing.package].name;
        let put = |record: SubscriptionRecord, expect| Change {
            key: record.key(),
            expect,
            record: Some(Record::Subscription(record)),
        };
        let change = match &subscribing.step {
            Step::Open {
                dialog,
                aor,
                event_id,
                expires_at,
                owner: _,
                fresh,
            } => {
                let (aor, event_id) = (aor.clone(), event_id.clone());
                let record = dialog.record(aor, name.clone(), event_id, *expires_at, *fresh);
                Some(put(record, None))
            }
            Step::Refresh {
                row,
                next,
                expires_at,
                fresh,
            } => self.subscriptions.get(*row).and_then(|held| {
                let aor = self.presentities.get(held.presentity)?.aor.clone();
                let event_id = held.event_id().cloned();
                let record = next.record(aor, name.clone(), event_id, *expires_at, *fresh);
                Some(put(record, Some(held.version)))
            }),
            Step::Close { row } => self.subscriptions.removal(*row, name),
        };
        change.into_iter().collect()
    }

    /// The store has answered.
    pub(super) fn subscribed(
        &mut self,
        now: Timestamp,
        subscribing: Subscribing,
        stored: bool,
        out: &mut Vec<Effect>,
    ) {
        let Subscribing {
            asker,
            flow,
            package,
            expires,
            step,
        } = subscribing;
        if !stored {
            if let Step::Open { owner, .. } = &step {
                self.ledger.credit(*owner, What::Subscriptions, 1);
            }
            let error = SubscribeError::NotStored {
                retry_after: self.settings.retry_after,
            };
            let mut head = Head::new();
            error.write(&mut head);
            let (status, reason) = (error.status(), error.reason());
            return self.refuse_to(asker, status, reason, head, &error, out);
        }
        let transaction = asker.transaction;
        match step {
            Step::Open {
                dialog,
                aor,
                event_id,
                expires_at,
                owner,
                fresh: _,
            } => {
                out.push(accepted(transaction, &flow, dialog.tag, expires));
                let row =
                    self.insert_subscription(package, dialog, &aor, event_id, expires_at, 1, owner);
                self.counters.subscribed += 1;
                self.note_subscription(row, "created", None, out);
                self.begin(now, row, out);
            }
            Step::Refresh {
                row,
                next,
                expires_at,
                fresh: _,
            } => {
                out.push(accepted(transaction, &flow, next.tag, expires));
                let Some(subscription) = self.subscriptions.get_mut(row) else {
                    return;
                };
                // A timer that fires too early looks again; to move it on with each refresh would cost more.
                let fires = self.wheel.due(subscription.expire);
                if fires.is_none_or(|at| expires_at < at) {
                    self.wheel.cancel(subscription.expire);
                    subscription.expire = self.wheel.insert(expires_at, Timer::Expire(row));
                }
                subscription.expires_at = expires_at;
                subscription.version += 1;
                let demanded = subscription.notifier.demanded();
                let dialog = subscription.dialog;
                if let Some(dialog) = self.subscriptions.dialog_mut(dialog) {
                    let before = dialog.size() as i64;
                    dialog.adopt(next);
                    self.ledger.grow(dialog.size() as i64 - before);
                }
                self.demand_full(row);
                self.counters.resubscribed += 1;
                self.note_subscription(row, "refreshed", None, out);
                if demanded {
                    self.notify(now, row, out);
                }
            }
            Step::Close { row } => {
                self.counters.unsubscribed += 1;
                let dialog = self
                    .subscriptions
                    .get(row)
                    .map(|subscription| subscription.dialog);
                let dialog = dialog.and_then(|row| self.subscriptions.dialog(row));
                if let Some(dialog) = dialog {
                    out.push(accepted(transaction, &flow, dialog.tag, 0));
                }
                self.end(now, row, EndReason::Timeout, false, out);
            }
        }
    }

    /// Makes the rows of a stored subscription, which counts for its owner already.
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the parts of a subscription"
    )]
    pub(super) fn insert_subscription(
        &mut self,
        package: usize,
        dialog: Dialog,
        aor: &str,
        event_id: Option<Arc<str>>,
        expires_at: Timestamp,
        version: u64,
        owner: u32,
    ) -> u32 {
        let (dialogs, size) = (self.subscriptions.dialogs.len(), dialog.size());
        let dialog = self.subscriptions.open_dialog(dialog);
        let is_new = self.subscriptions.dialogs.len() > dialogs;
        self.ledger
            .grow((Subscription::SIZE + if is_new { size } else { 0 }) as i64);
        let presentity = self.open_presentity(package, aor);
        let place = self
            .presentities
            .get(presentity)
            .map_or(0, |row| row.watchers.len());
        let next = self.subscriptions.next_row();
        let row = self.subscriptions.insert(Subscription {
            dialog,
            presentity,
            place: super::rows::index(place),
            event_id: event_id.map(Box::new),
            expires_at,
            expire: self.wheel.insert(expires_at, Timer::Expire(next)),
            version,
            handling: Handling::Allow,
            notifier: Notifier::default(),
            owner,
            doomed: None,
        });
        if let Some(presentity) = self.presentities.get_mut(presentity) {
            presentity.watchers.push(row);
        }
        row
    }

    /// [`Timer::Expire`].
    pub(super) fn expire(&mut self, now: Timestamp, row: u32, out: &mut Vec<Effect>) {
        let Some(subscription) = self.subscriptions.get_mut(row) else {
            return;
        };
        if crate::sabotaged!(NeverExpire) {
            return;
        }
        if subscription.expires_at > now {
            subscription.expire = self
                .wheel
                .insert(subscription.expires_at, Timer::Expire(row));
            return;
        }
        // A refresh that came in time is being stored; `settle_dialog` looks again after it.
        if self.pending.is_locked(Lock::Dialog(subscription.dialog)) {
            return;
        }
        self.counters.expired += 1;
        self.end(now, row, EndReason::Timeout, true, out);
    }

    /// Does what had to wait while a SUBSCRIBE of the dialog was being stored.
    pub(super) fn settle_dialog(&mut self, now: Timestamp, row: u32, out: &mut Vec<Effect>) {
        let Some(dialog) = self.subscriptions.dialog(row) else {
            return;
        };
        for &member in dialog.subscriptions.clone().rows() {
            let Some(subscription) = self.subscriptions.get(member) else {
                continue;
            };
            let lives = subscription.notifier.ending().is_none();
            if let Some(reason) = subscription.doomed {
                self.drop_subscription(now, member, reason, out);
            } else if subscription.handling == Handling::Block && lives {
                self.expel(now, member, out);
            } else if subscription.expires_at <= now && lives {
                self.expire(now, member, out);
            }
        }
    }
}
