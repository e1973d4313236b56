//! NOTIFY (RFC 6665, 4.1.3).

use std::time::Duration;

use super::subscription::{Phase, Purpose};
use super::{Effect, Key, News, Watcher};
use crate::dialog::{Dialog, Sequence};
use crate::exchange::{Incoming, Reply};
use crate::pidf::{CONTENT_TYPE, Document, Limits};
use crate::presence::Summary;
use crate::sip::{Message, StatusCode, SubscriptionState, SubscriptionStateValue};
use crate::time::Timestamp;

impl Watcher {
    pub(super) fn notify(&mut self, now: Timestamp, incoming: &Incoming, out: &mut Vec<Effect>) {
        let message = &incoming.message;
        let reply = |status| Effect::Reply(Reply::new(incoming.transaction, status));
        let Some(key) = self.owner(message) else {
            self.counters.unknown += 1;
            out.push(reply(StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST));
            return;
        };
        // It is mandatory (4.1.3), and without it nobody knows whether the subscription still stands.
        let state = match message.subscription_state() {
            Ok(Some(state)) => state,
            Ok(None) | Err(_) => {
                self.counters.rejected += 1;
                let mut answer = Reply::new(incoming.transaction, StatusCode::BAD_REQUEST);
                answer.reason = Some("Missing or Malformed Subscription-State".to_owned());
                out.push(Effect::Reply(answer));
                return;
            }
        };
        let subscription = &mut self.subscriptions[key];
        let taken = match &mut subscription.dialog {
            Some(dialog) => dialog.receive(message),
            None => Dialog::from_notify(message, subscription.cseq).map(|dialog| {
                subscription.dialog = Some(dialog);
                Sequence::Next
            }),
        };
        match taken {
            Ok(Sequence::Next) => {}
            Ok(Sequence::Repeated) => {
                self.counters.repeated += 1;
                out.push(reply(StatusCode::OK));
                return;
            }
            Err(error) => {
                self.counters.rejected += 1;
                out.push(reply(error.status()));
                return;
            }
        }
        self.counters.notified += 1;
        self.heard(key, &incoming.flow);
        self.subscriptions[key].notified = true;
        out.push(reply(StatusCode::OK));
        let active = state.value == SubscriptionStateValue::Active;
        self.show_state(now, key, message, active, out);
        if self.subscriptions[key].told.as_ref() != Some(&state.value) {
            self.subscriptions[key].told = Some(state.value.clone());
            let news = News::Subscription {
                state: state.value.clone(),
                reason: state.reason.clone(),
            };
            self.tell(key, news, out);
        }
        match state.value {
            SubscriptionStateValue::Terminated => self.terminated(now, key, &state, out),
            SubscriptionStateValue::Active
            | SubscriptionStateValue::Pending
            | SubscriptionStateValue::Other(_) => {
                self.alive(now, key, &state);
            }
        }
    }

    /// The subscription that a NOTIFY is for: by Call-ID and our tag, and by the notifier's tag once that is known.
    fn owner(&self, message: &Message) -> Option<Key> {
        let key = *self.by_call.get(message.call_id().ok()?)?;
        let subscription = self.subscriptions.get(key)?;
        // Our SUBSCRIBE has no id, so neither has the Event of its NOTIFYs (4.5.2).
        let event = message.event().ok().flatten()?;
        let ours = message.to_tag().as_deref() == Some(&subscription.local_tag)
            && event.package == "presence"
            && event.id.is_none()
            && subscription
                .dialog
                .as_ref()
                .is_none_or(|dialog| dialog.matches(message));
        ours.then_some(key)
    }

    fn show_state(
        &mut self,
        now: Timestamp,
        key: Key,
        message: &Message,
        active: bool,
        out: &mut Vec<Effect>,
    ) {
        let body = message.body();
        if body.is_empty() {
            // Before it is active and after it has ended, a missing body says nothing of the presentity.
            if active && self.subscriptions[key].documented != Some(false) {
                self.subscriptions[key].documented = Some(false);
                let (summary, content_type) = (None, None);
                let nothing = News::State {
                    summary,
                    content_type,
                    body,
                };
                self.tell(key, nothing, out);
            }
            return;
        }
        self.subscriptions[key].documented = Some(true);
        let content_type = message.content_type();
        // A body without a type is taken for what the package prescribes.
        let summary = match content_type.as_deref() {
            None | Some(CONTENT_TYPE) => Document::parse(&body, &Limits::default())
                .ok()
                .map(|document| Summary::of(&document, now)),
            Some(_) => None,
        };
        if summary.is_none() {
            self.counters.unreadable += 1;
        }
        self.tell(
            key,
            News::State {
                summary,
                content_type,
                body,
            },
            out,
        );
    }

    /// Active or pending: the notifier may have shortened the time that is left.
    fn alive(&mut self, now: Timestamp, key: Key, state: &SubscriptionState) {
        let told = state
            .expires
            .map(|expires| now + Duration::from_secs(u64::from(expires)));
        let expires_at = match (&self.subscriptions[key].phase, told) {
            (Phase::Active { .. } | Phase::Awaiting { .. }, Some(told)) => told,
            (Phase::Awaiting { .. }, None) => self.subscriptions[key].expires_at,
            // Nothing new, or the answer that is on its way will say.
            (Phase::Active { .. }, None)
            | (Phase::Asking { .. } | Phase::Waiting { .. } | Phase::Leaving { .. }, _) => return,
        };
        let unchanged = self.subscriptions[key]
            .expires_at
            .since(expires_at)
            .max(expires_at.since(self.subscriptions[key].expires_at))
            < Duration::from_secs(2);
        self.subscriptions[key].expires_at = expires_at;
        if unchanged && matches!(self.subscriptions[key].phase, Phase::Active { .. }) {
            // Rounding and travelling time: the refresh stays where it is.
            return;
        }
        let refresh_at = self.refresh_at(now, expires_at);
        self.rest(key, Phase::Active { refresh_at });
    }

    /// The notifier has ended it; the reason says what to do (4.1.3).
    fn terminated(
        &mut self,
        now: Timestamp,
        key: Key,
        state: &SubscriptionState,
        out: &mut Vec<Effect>,
    ) {
        self.counters.terminated += 1;
        let leaving = match self.subscriptions[key].phase {
            Phase::Asking {
                token,
                purpose,
                leave,
            } => {
                // The answer to it has nothing to say any more.
                self.flights.remove(&token);
                leave || purpose == Purpose::End
            }
            Phase::Leaving { .. } => true,
            Phase::Awaiting { .. } | Phase::Active { .. } | Phase::Waiting { .. } => false,
        };
        if leaving {
            return self.end(key, None, out);
        }
        self.forgive(now, key);
        let reason = state.reason.as_deref().unwrap_or("no reason given");
        match reason {
            "rejected" | "noresource" | "invariant" => self.end(key, Some(reason.to_owned()), out),
            // Migrated, or not refreshed in time: again at once; but not in a circle.
            "deactivated" | "timeout"
                if state.retry_after.is_none() && self.subscriptions[key].failures == 0 =>
            {
                self.subscriptions[key].failures = 1;
                self.disarm(key);
                self.subscribe(now, key, out);
            }
            _ => {
                let words = format!("subscription terminated: {reason}");
                self.fail(now, key, 0, &words, state.retry_after, out);
            }
        }
    }
}
