//! SUBSCRIBE in the registry: initial, fetch, refresh, unsubscribe (RFC 6665, 4.2.1).

use std::sync::Arc;

use super::books::What;
use super::commit::{Held, Lock};
use super::rows::Subscription;
use super::store::{Change, Record};
use super::{Asker, Effect, Over, Registry, Stranger, presentity, seconds};
use crate::exchange::{Flow, Identity, Incoming, Reply, TransactionId};
use crate::sip::{Head, Name, StatusCode};
use crate::subscription::{Asked, Dialog, LocalTag, SubscribeError, push_contact};
use crate::time::Timestamp;

/// A SUBSCRIBE that is being stored.
#[derive(Debug)]
pub(super) struct Subscribing {
    pub asker: Asker,
    /// Over which it came.
    pub flow: Flow,
    pub package: usize,
    pub expires: u32,
    pub step: Step,
}

/// What happens to the rows.
#[derive(Debug)]
pub(super) enum Step {
    /// A subscription more.
    Open {
        dialog: Dialog,
        aor: Arc<str>,
        event_id: Option<Arc<str>>,
        expires_at: Timestamp,
        owner: u32,
        /// See [`SubscriptionRecord::fresh`](super::SubscriptionRecord::fresh).
        fresh: Option<u64>,
    },
    /// A subscription lives on.
    Refresh {
        row: u32,
        next: Dialog,
        expires_at: Timestamp,
        /// See [`SubscriptionRecord::fresh`](super::SubscriptionRecord::fresh).
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
