//! Telling the watchers of a presentity what changed: pacing, NOTIFY.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::commit::Lock;
use super::rows::{FIRST, Pace, Timer, index};
use super::settings::Compositor;
use super::{Effect, Registry};
use crate::exchange::{Outcome, OutcomeResult};
use crate::presence;
use crate::subscription::{EndReason, Flight, Notify, State, Told, Verdict};
use crate::time::Timestamp;
use crate::watcherinfo::{CONTENT_TYPE, Handling};

/// How long a NOTIFY waits that must not be sent while the store is busy with its dialog.
const AFTER_COMMIT: Duration = Duration::from_secs(1);

/// How long a NOTIFY waits, at a time, for a large state to be composed.
const WHILE_COMPOSING: Duration = Duration::from_millis(20);

/// Watchers that are told of a change in one go. The shard has other things to do as well, and a burst of datagrams
/// larger than the kernel's buffer is lost.
const PORTION: usize = 256;

/// The others follow after this.
const BETWEEN_PORTIONS: Duration = Duration::from_millis(1);

impl Registry {
    /// The publications of a presentity changed.
    pub(super) fn touched(&mut self, now: Timestamp, row: u32, out: &mut Vec<Effect>) {
        let Some(presentity) = self.presentities.get_mut(row) else {
            return;
        };
        presentity.stale = true;
        self.unsettle(now, row, out);
        self.tell(now, row, out);
    }

    /// [`Timer::Change`].
    pub(super) fn changes(&mut self, now: Timestamp, row: u32, out: &mut Vec<Effect>) {
        if let Some(presentity) = self.presentities.get_mut(row) {
            presentity.change = None;
        }
        self.touched(now, row, out);
    }

    /// [`Timer::Pace`].
    pub(super) fn paced(&mut self, now: Timestamp, row: u32, out: &mut Vec<Effect>) {
        let Some(presentity) = self.presentities.get_mut(row) else {
            return;
        };
        let dirty = matches!(presentity.pace, Pace::Closed { dirty: true, .. });
        presentity.pace = Pace::Open;
        if dirty {
            self.tell(now, row, out);
        }
    }

    /// Tells the watchers if there is something new and it may be told now.
    pub(super) fn tell(&mut self, now: Timestamp, row: u32, out: &mut Vec<Effect>) {
        let Some(presentity) = self.presentities.get_mut(row) else {
            return;
        };
        if presentity.watchers.is_empty() {
            return;
        }
        if let Pace::Closed { dirty, .. } = &mut presentity.pace {
            *dirty = true;
            return;
        }
        if self.compose(now, row, out) {
            self.announce(now, row, out);
        }
    }

    /// Tells the watchers what was composed, if that is something new.
    pub(super) fn announce(&mut self, now: Timestamp, row: u32, out: &mut Vec<Effect>) {
        let Some(presentity) = self.presentities.get_mut(row) else {
            return;
        };
        let version = presentity.version;
        if presentity.told == version {
            return;
        }
        presentity.told = version;
        if !self.settings.pacing.is_zero() {
            let timer = self
                .wheel
                .insert(now + self.settings.pacing, Timer::Pace(row));
            presentity.pace = Pace::Closed {
                timer,
                dirty: false,
            };
        }
        let everybody = index(presentity.watchers.len());
        if let Some((timer, _)) = presentity.telling.take() {
            self.wheel.cancel(timer);
        }
        self.tell_portion(now, row, everybody, out);
    }

    /// [`Timer::Tell`].
    pub(super) fn tell_more(&mut self, now: Timestamp, row: u32, out: &mut Vec<Effect>) {
        let telling = self
            .presentities
            .get_mut(row)
            .and_then(|row| row.telling.take());
        if let Some((_, before)) = telling {
            self.tell_portion(now, row, before, out);
        }
    }

    /// Tells the last of the watchers that stand before a place, and sets a timer for the others. From the end, since
    /// the last one takes the place of one that leaves: so nobody who was not told moves to where all were.
    fn tell_portion(&mut self, now: Timestamp, row: u32, before: u32, out: &mut Vec<Effect>) {
        let Some(presentity) = self.presentities.get_mut(row) else {
            return;
        };
        let version = presentity.version;
        let end = presentity.watchers.len().min(before as usize);
        let begin = end.saturating_sub(PORTION);
        // A copy, since a dialog that is out of CSeq ends on the way.
        let portion = presentity.watchers[begin..end].to_vec();
        if begin > 0 {
            let timer = self.wheel.insert(now + BETWEEN_PORTIONS, Timer::Tell(row));
            presentity.telling = Some((timer, index(begin)));
        }
        for watcher in portion {
            let Some(subscription) = self.subscriptions.get(watcher) else {
                continue;
            };
            if subscription.handling != Handling::Allow {
                continue;
            }
            if subscription.notifier.changed(version) {
                self.notify(now, watcher, out);
            } else if subscription.notifier.flight() != Flight::Idle {
                self.counters.coalesced += 1;
            }
        }
    }

    /// Sends a NOTIFY with the latest state. The subscription must not have one in flight.
    pub(super) fn notify(&mut self, now: Timestamp, watcher: u32, out: &mut Vec<Effect>) {
        let Some(subscription) = self.subscriptions.get(watcher) else {
            return;
        };
        // The watcher has said that it does not know it; or it is blocked, and hears of that when the store has answered.
        if subscription.doomed.is_some() || subscription.handling == Handling::Block {
            return;
        }
        let row = subscription.dialog;
        let dialog = self.subscriptions.dialog(row);
        if dialog.is_some_and(|dialog| dialog.is_spent()) {
            self.counters.notified_not += 1;
            return;
        }
        let state = match subscription.handling {
            Handling::Confirm => State::Pending(subscription.expires_at),
            Handling::Block | Handling::PoliteBlock | Handling::Allow => {
                State::Active(subscription.expires_at)
            }
        };
        let exhausted = self
            .subscriptions
            .dialog(row)
            .is_some_and(|dialog| dialog.is_exhausted(self.epoch));
        if !exhausted {
            self.send_notify(now, watcher, state, out);
        } else if self.pending.is_locked(Lock::Dialog(row)) {
            // What is being stored rests on the row: it ends after that.
            self.hold(now, watcher, AFTER_COMMIT);
        } else {
            self.end(now, watcher, EndReason::Deactivated, true, out);
        }
    }

    /// Writes and sends a NOTIFY.
    pub(super) fn send_notify(
        &mut self,
        now: Timestamp,
        watcher: u32,
        state: State,
        out: &mut Vec<Effect>,
    ) {
        let Some(subscription) = self.subscriptions.get(watcher) else {
            return;
        };
        let (handling, shown) = (subscription.handling, subscription.notifier.shown());
        let presentity = subscription.presentity;
        if !self.compose(now, presentity, out) && handling == Handling::Allow {
            // What was composed last is news to those that have not seen it; to wait for the next would be to wait for ever
            // where changes don't end. And whoever is told that it is over need not wait for what it will not see.
            let version = self.presentities.get(presentity).map(|row| row.version);
            let news = version.is_some_and(|version| version != FIRST && version != shown);
            if !news && !matches!(state, State::Terminated(_)) {
                return self.hold(now, watcher, WHILE_COMPOSING);
            }
        }
        let token = self.token(watcher);
        let (content_type, body) = self.shown_to(now, presentity, watcher, handling, shown, state);
        let Some(subscription) = self.subscriptions.rows.get_mut(watcher as usize) else {
            return;
        };
        let Some(presentity) = self.presentities.get(subscription.presentity) else {
            return;
        };
        let dialog = self
            .subscriptions
            .dialogs
            .get_mut(subscription.dialog as usize);
        let Some(dialog) = dialog else { return };
        if let Flight::Holding { timer } = subscription.notifier.flight() {
            self.wheel.cancel(timer);
        }
        let notify = Notify {
            presentity: &presentity.aor,
            package: &self.settings.packages[presentity.package].name,
            event_id: subscription.event_id().map(|id| &**id),
            state,
            content_type: &content_type,
            body: &body,
        };
        match dialog.tell(now, self.epoch, token, &notify) {
            Told::Whole(outgoing) => {
                out.push(Effect::Send(outgoing));
                let version = subscription.sees(presentity.version);
                subscription.notifier.sent(token, version);
                self.counters.notified += 1;
            }
            Told::Part(outgoing) => {
                out.push(Effect::Send(outgoing));
                subscription.notifier.sent_without_state(token);
                self.counters.notified += 1;
                self.counters.notified_in_part += 1;
                self.demand_full(watcher);
            }
            Told::Nothing => {
                self.counters.notified_not += 1;
                self.demand_full(watcher);
            }
        }
    }

    /// What a watcher so treated is shown, with its type. Who is politely blocked sees what he would if nothing were
    /// published (RFC 5025, 3.2.1; RFC 3856, 6.6.2).
    pub(super) fn shown_to(
        &mut self,
        now: Timestamp,
        row: u32,
        watcher: u32,
        handling: Handling,
        shown: u32,
        state: State,
    ) -> (Arc<str>, Bytes) {
        let nothing = || ("".into(), Bytes::new());
        let Some(presentity) = self.presentities.get(row) else {
            return nothing();
        };
        if state == State::Terminated(EndReason::Rejected) {
            return nothing();
        }
        let package = &self.settings.packages[presentity.package];
        match handling {
            Handling::Allow if package.compositor == Compositor::Watchers => {
                let body = self.winfo_next(now, row, watcher, shown);
                (CONTENT_TYPE.into(), body)
            }
            Handling::Allow => (presentity.content_type.clone(), presentity.body.clone()),
            Handling::PoliteBlock if self.settings.offline_document => {
                let first = package.body_types.first().cloned().unwrap_or_default();
                (first, presence::offline(&presentity.aor))
            }
            Handling::Confirm if crate::sabotaged!(ShowPending) => {
                (presentity.content_type.clone(), presentity.body.clone())
            }
            Handling::PoliteBlock | Handling::Confirm | Handling::Block => nothing(),
        }
    }

    /// A NOTIFY ended.
    pub(super) fn notify_ended(&mut self, now: Timestamp, outcome: Outcome, out: &mut Vec<Effect>) {
        self.answered_after_restart(now, outcome.token);
        // The lower half of a token is the row.
        let watcher = outcome.token as u32;
        let mut tolerated = self.settings.notify_timeouts;
        let Some(subscription) = self.subscriptions.rows.get_mut(watcher as usize) else {
            return;
        };
        let Some(presentity) = self.presentities.get(subscription.presentity) else {
            return;
        };
        if let Some(dialog) = self
            .subscriptions
            .dialogs
            .get_mut(subscription.dialog as usize)
            && !dialog.is_proven()
            && subscription.notifier.awaits(outcome.token)
        {
            match &outcome.result {
                OutcomeResult::Response(..) => dialog.prove(),
                // It was never there, for all we know.
                OutcomeResult::Timeout | OutcomeResult::TransportError(_) => tolerated = 0,
            }
        }
        let version = subscription.sees(presentity.version);
        let notifier = &mut subscription.notifier;
        let verdict = notifier.answered(outcome.token, &outcome.result, version, tolerated);
        let dialog = subscription.dialog;
        let ending = subscription.notifier.ending();
        match &outcome.result {
            OutcomeResult::Response(response, _) => {
                if response.status().is_some_and(|status| status.is_success())
                    && verdict != Verdict::Stale
                    && let Some(dialog) = self.subscriptions.dialogs.get_mut(dialog as usize)
                {
                    let before = dialog.size() as i64;
                    dialog.answered(response);
                    self.ledger.grow(dialog.size() as i64 - before);
                }
            }
            OutcomeResult::Timeout | OutcomeResult::TransportError(_) => {
                self.counters.unanswered += 1;
            }
        }
        let taken = matches!(&outcome.result, OutcomeResult::Response(response, _)
            if response.status().is_some_and(|status| status.is_success()));
        if !taken {
            // Nobody knows what it has seen.
            self.demand_full(watcher);
        }
        match (verdict, ending) {
            (Verdict::Stale, _) | (Verdict::Rest, None) => {}
            (Verdict::Remove(reason), _) => self.drop_subscription(now, watcher, reason, out),
            (Verdict::Rest | Verdict::Send | Verdict::Hold(_), Some(reason)) => {
                self.finish(now, watcher, reason, out);
            }
            (Verdict::Send, None) => self.notify(now, watcher, out),
            (Verdict::Hold(pause), None) => self.hold(now, watcher, pause),
        }
    }

    /// Puts the next NOTIFY off.
    fn hold(&mut self, now: Timestamp, watcher: u32, pause: Duration) {
        let Some(subscription) = self.subscriptions.rows.get_mut(watcher as usize) else {
            return;
        };
        if let Flight::Holding { timer } = subscription.notifier.flight() {
            self.wheel.cancel(timer);
        }
        let timer = self.wheel.insert(now + pause, Timer::Resume(watcher));
        subscription.notifier.hold(timer);
    }

    /// [`Timer::Resume`].
    pub(super) fn resume(&mut self, now: Timestamp, watcher: u32, out: &mut Vec<Effect>) {
        let Some(subscription) = self.subscriptions.get_mut(watcher) else {
            return;
        };
        subscription.notifier.released();
        // Blocked since it was stored, by a decision or a new policy.
        if subscription.handling == Handling::Block {
            return self.expel(now, watcher, out);
        }
        self.notify(now, watcher, out);
    }
}
