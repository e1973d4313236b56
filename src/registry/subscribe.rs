//! SUBSCRIBE in the registry: initial, fetch, refresh, unsubscribe (RFC 6665, 4.2.1).

use std::sync::Arc;

use super::books::What;
use super::commit::{Held, Lock};
use super::rows::{Subscription, Timer};
use super::store::{Change, Record, SubscriptionRecord};
use super::{Asker, Effect, Over, Registry, Stranger, presentity, seconds};
use crate::exchange::{Flow, Identity, Incoming, Reply, TransactionId};
use crate::sip::{Head, Name, StatusCode};
use crate::subscription::{
    Asked, Dialog, EndReason, LocalTag, Notifier, SubscribeError, push_contact,
};
use crate::time::Timestamp;
use crate::watcherinfo::Handling;

/// A SUBSCRIBE that is being stored.
#[derive(Debug)]
pub(super) struct Subscribing {
    pub asker: Asker,
    /// Over which it came.
    flow: Flow,
    package: usize,
    expires: u32,
    step: Step,
}

/// What happens to the rows.
#[derive(Debug)]
enum Step {
    /// A subscription more.
    Open {
        dialog: Dialog,
        aor: Arc<str>,
        event_id: Option<Arc<str>>,
        expires_at: Timestamp,
        owner: u32,
        /// See [`SubscriptionRecord::fresh`].
        fresh: Option<u64>,
    },
    /// A subscription lives on.
    Refresh {
        row: u32,
        next: Dialog,
        expires_at: Timestamp,
        /// See [`SubscriptionRecord::fresh`].
        fresh: Option<u64>,
    },
    /// A subscription ends.
    Close { row: u32 },
}

impl Registry {
    pub(super) fn subscribe(&mut self, now: Timestamp, incoming: Incoming, out: &mut Vec<Effect>) {
        let decided = match incoming.message.to_tag() {
            None => self.subscribe_anew(now, &incoming, out),
            Some(tag) => match self.dialog_of(&incoming, &tag) {
                Err(error) => Err(error),
                Ok(dialog) => {
                    let lock = Lock::Dialog(dialog);
                    let Some(incoming) = self.enqueue(lock, incoming.clone(), out) else {
                        return;
                    };
                    self.subscribe_within(now, dialog, &incoming, out)
                }
            },
        };
        if let Err(error) = decided {
            let mut head = Head::new();
            error.write(&mut head);
            self.refuse(&incoming, error.status(), error.reason(), head, &error, out);
            if let SubscribeError::Over(over) = error {
                self.count_over(over);
                self.tell_memory(now, matches!(over, Over::Memory { .. }), out);
            }
        }
    }

    /// A SUBSCRIBE outside a dialog: a subscription, or with Expires 0 a fetch (RFC 6665, 4.4.3).
    fn subscribe_anew(
        &mut self,
        now: Timestamp,
        incoming: &Incoming,
        out: &mut Vec<Effect>,
    ) -> Result<(), SubscribeError> {
        let aor = presentity(&self.settings, incoming.message.request_uri_parts())?;
        let asked = Asked::read(&incoming.message, &self.settings)?;
        let tag = LocalTag {
            shard: self.shard,
            dialog: self.entropy.next_u64(),
        };
        let home = self.settings.home.as_deref();
        let watcher = incoming.identity.watcher(&incoming.message, &aor, home)?;
        let dialog = Dialog::open(incoming, &aor, watcher.as_deref(), tag, self.epoch)?;
        self.check_way(incoming, &asked, &dialog)?;
        let handling = self.admit(&aor, asked.package, &dialog)?;
        let most = self.settings.limits.subscriptions;
        let row = self.presentities.find(asked.package, &aor);
        let row = row.and_then(|row| self.presentities.get(row));
        if row.is_some_and(|row| row.watchers.len() >= most) && asked.expires > 0 {
            return Err(SubscribeError::TooManySubscriptions(most));
        }
        if asked.expires == 0 {
            return self.fetch(now, incoming, &aor, &asked, dialog, handling, out);
        }
        self.open_subscription(now, incoming, &aor, &asked, dialog, None, out)
    }

    /// Asks for a new subscription to be stored.
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the parts of a subscription"
    )]
    fn open_subscription(
        &mut self,
        now: Timestamp,
        incoming: &Incoming,
        aor: &str,
        asked: &Asked,
        dialog: Dialog,
        lock: Option<Lock>,
        out: &mut Vec<Effect>,
    ) -> Result<(), SubscribeError> {
        self.room(Subscription::SIZE + dialog.size())?;
        let owner = self.owner(incoming);
        self.charge(owner, What::Subscriptions, 1)?;
        let package = &self.settings.packages[asked.package];
        let (name, min) = (package.name.clone(), package.subscription.min);
        let expires = self.spread(asked.expires, min);
        let expires_at = now + seconds(expires);
        let (aor, event_id): (Arc<str>, _) = (aor.into(), asked.event_id.clone());
        let fresh = self.settings.remember_settled.then(|| self.next_order());
        let record = dialog.record(aor.clone(), name, event_id.clone(), expires_at, fresh);
        let change = Change {
            key: record.key(),
            expect: None,
            record: Some(Record::Subscription(record)),
        };
        let step = Step::Open {
            dialog,
            aor,
            event_id,
            expires_at,
            owner,
            fresh,
        };
        let subscribing = Subscribing {
            asker: self.asker(incoming),
            flow: incoming.flow,
            package: asked.package,
            expires,
            step,
        };
        self.commit(
            lock,
            vec![change],
            Held::Subscribe(Box::new(subscribing)),
            out,
        );
        Ok(())
    }

    /// The dialog that a request with a To tag belongs to.
    fn dialog_of(&self, incoming: &Incoming, tag: &str) -> Result<u32, SubscribeError> {
        LocalTag::parse(tag)
            .filter(|tag| tag.shard == self.shard)
            .and_then(|tag| self.subscriptions.dialog_by_tag(tag.dialog))
            .filter(|row| {
                let dialog = self.subscriptions.dialog(*row);
                dialog.is_some_and(|dialog| dialog.matches(&incoming.message))
            })
            .ok_or(SubscribeError::NoSuchSubscription)
    }

    /// A SUBSCRIBE within a dialog: refreshes or ends the subscription with its event and id, or makes one more
    /// (RFC 6665, 4.5.2 and 8.2.1).
    fn subscribe_within(
        &mut self,
        now: Timestamp,
        dialog_row: u32,
        incoming: &Incoming,
        out: &mut Vec<Effect>,
    ) -> Result<(), SubscribeError> {
        let number = incoming.message.cseq()?.number;
        let dialog = self.subscriptions.dialog_mut(dialog_row);
        let dialog = dialog.ok_or(SubscribeError::NoSuchSubscription)?;
        if matches!(incoming.identity, Identity::User(_))
            && !incoming.identity.may_be(&self.settings.watcher(dialog))
        {
            return Err(SubscribeError::OtherAccount);
        }
        // The same number again is a retransmission that outlived its transaction, over a restart of ours; to refresh twice
        // does no harm, to be refused would end a good subscription.
        if number < dialog.remote_cseq {
            return Err(SubscribeError::OutOfOrder);
        }
        dialog.remote_cseq = number;
        let asked = Asked::read(&incoming.message, &self.settings)?;
        let next = dialog.refreshed(incoming)?;
        // What ends is told as far as there is room.
        if asked.expires > 0 {
            self.check_way(incoming, &asked, &next)?;
        }
        let Some(dialog) = self.subscriptions.dialog(dialog_row) else {
            return Err(SubscribeError::NoSuchSubscription);
        };
        let members = dialog.subscriptions.clone();
        let found = members.rows().iter().find_map(|row| {
            let subscription = self.subscriptions.get(*row)?;
            let presentity = self.presentities.get(subscription.presentity)?;
            let same = presentity.package == asked.package
                && subscription.event_id() == asked.event_id.as_ref();
            same.then_some((*row, subscription, presentity))
        });
        if found.is_some_and(|(_, subscription, _)| subscription.notifier.ending().is_some()) {
            // Its last NOTIFY is still to come, and would be taken for the end of a new one of that name.
            return Err(SubscribeError::NoSuchSubscription);
        }
        let lock = Some(Lock::Dialog(dialog_row));
        let Some((row, subscription, presentity)) = found else {
            let other = members.rows().iter().find_map(|row| {
                let subscription = self.subscriptions.get(*row)?;
                let known = subscription.notifier.ending().is_none();
                self.presentities
                    .get(subscription.presentity)
                    .filter(|_| known)
            });
            // A dialog whose last subscription is ending takes no other.
            let other = other.ok_or(SubscribeError::NoSuchSubscription)?;
            if asked.expires == 0 {
                return Err(SubscribeError::NoSuchSubscription);
            }
            let aor = other.aor.clone();
            self.admit(&aor, asked.package, &next)?;
            return self.open_subscription(now, incoming, &aor, &asked, next, lock, out);
        };
        let (aor, version) = (presentity.aor.clone(), subscription.version);
        let fresh = self.fresh(subscription);
        let package = &self.settings.packages[asked.package];
        let (name, min) = (package.name.clone(), package.subscription.min);
        let (change, step, expires) = if asked.expires == 0 {
            let removal = self.subscriptions.removal(row, &name);
            let removal = removal.ok_or(SubscribeError::NoSuchSubscription)?;
            (removal, Step::Close { row }, 0)
        } else {
            let expires = self.spread(asked.expires, min);
            let expires_at = now + seconds(expires);
            let record = next.record(aor, name, asked.event_id.clone(), expires_at, fresh);
            let change = Change {
                key: record.key(),
                expect: Some(version),
                record: Some(Record::Subscription(record)),
            };
            let step = Step::Refresh {
                row,
                next,
                expires_at,
                fresh,
            };
            (change, step, expires)
        };
        let subscribing = Subscribing {
            asker: self.asker(incoming),
            flow: incoming.flow,
            package: asked.package,
            expires,
            step,
        };
        self.commit(
            lock,
            vec![change],
            Held::Subscribe(Box::new(subscribing)),
            out,
        );
        Ok(())
    }

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

/// The 200 to a SUBSCRIBE (RFC 6665, 4.2.1.1; RFC 3261, 12.1.1).
pub(super) fn accepted(
    transaction: TransactionId,
    flow: &Flow,
    tag: LocalTag,
    expires: u32,
) -> Effect {
    let mut head = Head::with_capacity(96);
    head.number(Name::Expires, expires);
    let mut head = Vec::from(head);
    head.extend_from_slice(b"Contact: <");
    push_contact(&mut head, flow);
    head.extend_from_slice(b">\r\n");
    let mut reply = Reply::new(transaction, StatusCode::OK).head(head.into());
    reply.to_tag = Some(tag.into());
    reply.copy_record_route = true;
    Effect::Reply(reply)
}

impl From<Stranger> for SubscribeError {
    fn from(stranger: Stranger) -> Self {
        match stranger {
            Stranger::BadUri(error) => Self::BadHeader(error),
            Stranger::NotServed(host) => Self::NotFound(host),
        }
    }
}
