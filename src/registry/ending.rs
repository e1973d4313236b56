//! The end of a subscription: by time, by its watcher, by us, or by what NOTIFY was answered (RFC 6665, 4.2.2).

use super::books::What;
use super::commit::Lock;
use super::rows::Subscription;
use super::{Effect, Note, Registry};
use crate::subscription::{EndReason, Flight, Lost, State};
use crate::time::Timestamp;
use crate::watcherinfo::Event;

impl Registry {
    /// Ends a subscription: the watcher gets a last NOTIFY, now or when the one in flight is answered. `stored`: whether
    /// the store has it still.
    pub(super) fn end(
        &mut self,
        now: Timestamp,
        watcher: u32,
        reason: EndReason,
        stored: bool,
        out: &mut Vec<Effect>,
    ) {
        if stored {
            self.forget_stored(watcher, out);
        }
        match reason {
            EndReason::Timeout => {}
            EndReason::Deactivated => self.counters.deactivated += 1,
            EndReason::Rejected => self.counters.rejected += 1,
        }
        let Some(subscription) = self.subscriptions.get_mut(watcher) else {
            return;
        };
        self.wheel.cancel(subscription.expire);
        if subscription.notifier.end(reason) {
            self.finish(now, watcher, reason, out);
        }
    }

    /// Sends the last NOTIFY and forgets the subscription. Its answer changes nothing, so nobody waits for it.
    pub(super) fn finish(
        &mut self,
        now: Timestamp,
        watcher: u32,
        reason: EndReason,
        out: &mut Vec<Effect>,
    ) {
        self.demand_full(watcher);
        self.send_notify(now, watcher, State::Terminated(reason), out);
        let event = match reason {
            EndReason::Timeout => Event::Timeout,
            EndReason::Deactivated => Event::Deactivated,
            EndReason::Rejected => Event::Rejected,
        };
        self.note_subscription(watcher, "ended", Some(reason.as_str()), out);
        if crate::sabotaged!(NotifyAfterTerminated) {
            self.send_notify(now, watcher, State::Active(now), out);
        }
        self.unwatch(now, watcher, event, out);
    }

    /// Forgets a subscription that the watcher does not know, without a word (RFC 6665, 4.2.2).
    pub(super) fn drop_subscription(
        &mut self,
        now: Timestamp,
        watcher: u32,
        reason: Lost,
        out: &mut Vec<Effect>,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(watcher) else {
            return;
        };
        if subscription.notifier.ending().is_none() {
            let lock = Lock::Dialog(subscription.dialog);
            if self.pending.is_locked(lock) {
                subscription.doomed = Some(reason);
                return;
            }
            self.forget_stored(watcher, out);
        }
        self.counters.dropped += 1;
        self.note_subscription(watcher, "ended", Some(reason.as_str()), out);
        self.unwatch(now, watcher, Event::Timeout, out);
    }

    fn forget_stored(&mut self, watcher: u32, out: &mut Vec<Effect>) {
        let package = self.subscriptions.get(watcher).and_then(|subscription| {
            let presentity = self.presentities.get(subscription.presentity)?;
            Some(self.settings.packages[presentity.package].name.clone())
        });
        let change = package.and_then(|package| self.subscriptions.removal(watcher, &package));
        self.clean_up(change.into_iter().collect(), out);
    }

    pub(super) fn remove_subscription(&mut self, watcher: u32, out: &mut Vec<Effect>) {
        let dialog = self.subscriptions.get(watcher).map(|held| held.dialog);
        let dialog = dialog.and_then(|row| self.subscriptions.dialog(row));
        let size = dialog.map_or(0, |dialog| dialog.size());
        let dialogs = self.subscriptions.dialogs.len();
        let Some(gone) = self.subscriptions.remove(watcher) else {
            return;
        };
        let last = self.subscriptions.dialogs.len() < dialogs;
        let size = Subscription::SIZE + if last { size } else { 0 };
        self.ledger.grow(-(size as i64));
        self.ledger.credit(gone.owner, What::Subscriptions, 1);
        self.wheel.cancel(gone.expire);
        if let Flight::Holding { timer } = gone.notifier.flight() {
            self.wheel.cancel(timer);
        }
        let Some(presentity) = self.presentities.get_mut(gone.presentity) else {
            return;
        };
        if let Some(winfo) = &mut presentity.winfo {
            winfo.forget(watcher);
        }
        let place = gone.place as usize;
        if presentity.watchers.get(place) == Some(&watcher) {
            presentity.watchers.swap_remove(place);
            if let Some(moved) = presentity.watchers.get(place).copied()
                && let Some(moved) = self.subscriptions.get_mut(moved)
            {
                moved.place = gone.place;
            }
        }
        if let Some(presentity) = self.presentities.get_mut(gone.presentity)
            && presentity.watchers.is_empty()
        {
            presentity.forget_read();
            self.charge_composed(gone.presentity);
        }
        self.release_presentity(gone.presentity, out);
    }

    pub(super) fn note_subscription(
        &self,
        watcher: u32,
        change: &'static str,
        reason: Option<&'static str>,
        out: &mut Vec<Effect>,
    ) {
        if !self.settings.notes {
            return;
        }
        let Some(subscription) = self.subscriptions.get(watcher) else {
            return;
        };
        if let Some(dialog) = self.subscriptions.dialog(subscription.dialog)
            && let Some(presentity) = self.presentities.get(subscription.presentity)
        {
            out.push(Effect::Note(Note::Subscription {
                presentity: presentity.aor.clone(),
                call_id: dialog.call_id(),
                change,
                reason,
            }));
        }
    }
}
