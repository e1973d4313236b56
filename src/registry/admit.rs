//! Letting a watcher in: refused, fetched for, or begun as the policy says (RFC 3856, 6.6.2; RFC 6665, 4.2.1.1).

use super::composing::Fetch;
use super::ledger::NOBODY;
use super::settings::Compositor;
use super::subscribe::accepted;
use super::{Effect, Note, Registry};
use crate::egress::Barred;
use crate::exchange::Incoming;
use crate::sip::Name;
use crate::subscription::{
    Asked, Dialog, EndReason, LocalTag, Notify, State, SubscribeError, Told,
};
use crate::time::Timestamp;
use crate::watcherinfo::{Event, Handling, Status, Watcher};

impl Registry {
    /// How the watcher of a new subscription is treated, unless it is refused.
    pub(super) fn admit(
        &mut self,
        aor: &str,
        package: usize,
        dialog: &Dialog,
    ) -> Result<Handling, SubscribeError> {
        if self.settings.packages[package].compositor == Compositor::Watchers {
            if self.settings.watcher(dialog) == aor {
                return Ok(Handling::Allow);
            }
            return Err(SubscribeError::NotYours(aor.to_owned()));
        }
        if self.is_open(aor) {
            return Ok(Handling::Allow);
        }
        match self.handling(aor, &self.settings.watcher(dialog)) {
            Handling::Block => {
                self.counters.rejected += 1;
                Err(SubscribeError::Blocked)
            }
            handling => {
                self.counters.undecided += u64::from(handling == Handling::Confirm);
                Ok(handling)
            }
        }
    }

    /// Answers a fetch: the state once, and nothing is kept but the name of a watcher that has to wait.
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the parts of a subscription"
    )]
    pub(super) fn fetch(
        &mut self,
        now: Timestamp,
        incoming: &Incoming,
        aor: &str,
        asked: &Asked,
        dialog: Dialog,
        handling: Handling,
        out: &mut Vec<Effect>,
    ) -> Result<(), SubscribeError> {
        let watched = self.presentities.find(asked.package, aor);
        let watched = watched.and_then(|row| self.presentities.get(row));
        let most = self.settings.limits.subscriptions;
        // It may have to be kept until its watcher has answered.
        if !dialog.is_proven() && watched.is_some_and(|row| row.watchers.len() >= most) {
            return Err(SubscribeError::TooManySubscriptions(most));
        }
        self.counters.fetched += 1;
        out.push(accepted(
            incoming.transaction,
            &incoming.flow,
            dialog.tag,
            0,
        ));
        let row = self.open_presentity(asked.package, aor);
        self.compose(now, row, out);
        let LocalTag { shard, dialog: tag } = dialog.tag;
        let (watcher, id) = (self.settings.watcher(&dialog), format!("{shard:x}-{tag:x}"));
        let fetch = Fetch {
            asked: asked.clone(),
            dialog,
            handling,
        };
        if let Some(fetch) = self.put_fetch_off(row, fetch) {
            self.answer_fetch(now, row, fetch, out);
        }
        self.release_presentity(row, out);
        if handling == Handling::Confirm {
            let watcher = Watcher {
                uri: watcher,
                id,
                status: Status::Waiting,
                event: Event::Timeout,
                expiration: None,
            };
            let (aor, owner) = (aor.into(), self.owner(incoming));
            if self.wait(now, &aor, &watcher.uri, watcher.id.clone(), owner, out) {
                self.tell_winfo(now, asked.package, &aor, watcher, out);
            }
        }
        Ok(())
    }

    /// Answers a fetch whose state is too long for a place that has not answered yet: the dialog begins with a NOTIFY that has
    /// none, and ends with the state as soon as that is answered. The store never hears of it.
    fn fetch_when_answered(
        &mut self,
        now: Timestamp,
        aor: &str,
        asked: &Asked,
        dialog: Dialog,
        handling: Handling,
        out: &mut Vec<Effect>,
    ) {
        let id = asked.event_id.clone();
        let row = self.insert_subscription(asked.package, dialog, aor, id, now, 0, NOBODY);
        if let Some(subscription) = self.subscriptions.get_mut(row) {
            self.wheel.cancel(subscription.expire);
            subscription.handling = handling;
        }
        self.send_notify(now, row, State::Active(now), out);
        let leaves = match self.subscriptions.get_mut(row) {
            Some(subscription) => subscription.notifier.end(EndReason::Timeout),
            None => false,
        };
        // Nothing was sent, so nothing will be answered: it ends as far as there is room.
        if leaves {
            self.finish(now, row, EndReason::Timeout, out);
        }
    }

    /// Refuses a subscription that could not be told: NOTIFY would have to go where nothing may, or there is no room for one
    /// to a place that has not answered.
    pub(super) fn check_way(
        &self,
        incoming: &Incoming,
        asked: &Asked,
        dialog: &Dialog,
    ) -> Result<(), SubscribeError> {
        if let Some((_, place)) = dialog.next_place() {
            let verdict = match place == incoming.flow.local {
                true => Err(Barred::Ours),
                false => self.settings.egress.judge(place),
            };
            verdict.map_err(|why| SubscribeError::Barred(place, why))?;
        }
        if dialog.is_proven() {
            return Ok(());
        }
        // The presentity stands in To, whatever stands there besides.
        let to = incoming.message.text(Name::To).unwrap_or_default();
        let id = asked.event_id.as_ref().map_or(0, |id| id.len());
        let event = self.settings.packages[asked.package].name.len() + id;
        if !dialog.has_room(&to, event) {
            return Err(SubscribeError::TooShort);
        }
        Ok(())
    }

    /// Sends the one NOTIFY of a fetch.
    pub(super) fn answer_fetch(
        &mut self,
        now: Timestamp,
        row: u32,
        fetch: Fetch,
        out: &mut Vec<Effect>,
    ) {
        let Fetch {
            asked,
            mut dialog,
            handling,
        } = fetch;
        let Some(aor) = self.presentities.get(row).map(|row| row.aor.clone()) else {
            return;
        };
        // No row has this number, so the answer finds nobody.
        let token = self.token(u32::MAX);
        let state = State::Terminated(EndReason::Timeout);
        // As it was before anything was said.
        let mut unsaid = (!dialog.is_proven()).then(|| dialog.clone());
        let package = &self.settings.packages[asked.package];
        let (content_type, body) = if package.compositor == Compositor::Watchers {
            let content_type = package.body_types.first().cloned().unwrap_or_default();
            (content_type, self.winfo_once(now, asked.package, &aor))
        } else {
            self.shown_to(now, row, u32::MAX, handling, 0, state)
        };
        let notify = Notify {
            presentity: &aor,
            package: &self.settings.packages[asked.package].name,
            event_id: asked.event_id.as_deref(),
            state,
            content_type: &content_type,
            body: &body,
        };
        match dialog.tell(now, self.epoch, token, &notify) {
            Told::Whole(outgoing) => {
                out.push(Effect::Send(outgoing));
                self.counters.notified += 1;
                unsaid = None;
            }
            Told::Part(_) | Told::Nothing => {}
        }
        if self.settings.notes {
            out.push(Effect::Note(Note::Subscription {
                presentity: aor.clone(),
                call_id: dialog.call_id(),
                change: "fetched",
                reason: None,
            }));
        }
        if let Some(dialog) = unsaid {
            self.fetch_when_answered(now, &aor, &asked, dialog, handling, out);
        }
    }

    /// A subscription is stored: it is told the state, and those who watch its presentity's watchers are told of it. What
    /// was decided about its watcher while it was being stored holds.
    pub(super) fn begin(&mut self, now: Timestamp, row: u32, out: &mut Vec<Effect>) {
        let presentity = self.subscriptions.get(row).map(|held| held.presentity);
        let presentity = presentity.and_then(|row| self.presentities.get(row));
        let Some((aor, package)) = presentity.map(|row| (row.aor.clone(), row.package)) else {
            return;
        };
        let counted = self.settings.packages[package].compositor == Compositor::Watchers;
        let mut handling = Handling::Allow;
        if !counted && !self.is_open(&aor) {
            let watcher = self.watcher_of(row);
            // One that waited is pending again (RFC 3857, 4.7.1), as a subscription with a name of its own.
            self.stop_waiting(now, &aor, &watcher, Event::Timeout, out);
            handling = self.handling(&aor, &watcher);
        }
        if let Some(subscription) = self.subscriptions.get_mut(row) {
            subscription.handling = handling;
        }
        if handling == Handling::Block {
            return self.expel(now, row, out);
        }
        self.notify(now, row, out);
        if let Some(presentity) = self.subscriptions.get(row).map(|held| held.presentity) {
            self.may_settle(now, presentity);
        }
        self.tell_watched(now, row, handling.status(), Event::Subscribe, out);
    }
}
