//! What NOTIFYs show: nothing after the end, nothing to those who are blocked.

use rollcall_core::sip::{Message, Method, SubscriptionStateValue};
use rollcall_core::time::Timestamp;

use super::super::ledger::{Invariant, Ledger};
use super::Promises;

impl Promises {
    /// The server sends a NOTIFY.
    pub(super) fn notified(
        &mut self,
        at: Timestamp,
        branch: &str,
        cseq: u32,
        message: &Message,
        ledger: &mut Ledger,
    ) {
        if message.method() != Some(&Method::Notify) {
            return;
        }
        let (Some(tag), Ok(call_id)) = (message.from_tag(), message.call_id()) else {
            return;
        };
        let state = message
            .subscription_state()
            .ok()
            .flatten()
            .map(|state| state.value);
        let life = self.life;
        let dialog = self.dialogs.entry((call_id.to_owned(), tag)).or_default();
        if !dialog.sent.insert(branch.to_owned()) {
            return;
        }
        let is_last = state == Some(SubscriptionStateValue::Terminated);
        match dialog.terminated {
            // A server that comes back may find a subscription whose removal was not stored yet; its watcher will say 481.
            Some((last, then)) if cseq > last && life == then => {
                let what = format!(
                    "dialog {call_id} sent NOTIFY {cseq} after NOTIFY {last} had said terminated"
                );
                ledger.violation(Invariant::NothingAfterTheEnd, at, what);
            }
            _ => {}
        }
        if is_last {
            dialog.terminated = Some((cseq, life));
        }
        dialog.open.insert(branch.to_owned(), at);
        if message.body().is_empty() {
            return;
        }
        let (Ok(from), Ok(to)) = (message.from(), message.to()) else {
            return;
        };
        let names = (from.uri.to_string(), to.uri.to_string());
        if self.blocked.contains(&names) {
            let what = format!(
                "{} is blocked, and was shown a state of {}",
                names.1, names.0
            );
            ledger.violation(Invariant::Permissions, at, what);
        }
        if state == Some(SubscriptionStateValue::Pending) {
            let what = format!(
                "{} is pending, and was shown a state of {}",
                names.1, names.0
            );
            ledger.violation(Invariant::Permissions, at, what);
        }
    }

    pub(super) fn notify_answered(&mut self, branch: &str, message: &Message) {
        let (Some(tag), Ok(call_id), Some(status)) =
            (message.from_tag(), message.call_id(), message.status())
        else {
            return;
        };
        let Some(dialog) = self.dialogs.get_mut(&(call_id.to_owned(), tag)) else {
            return;
        };
        if status.is_success() {
            dialog.open.remove(branch);
            dialog.doubtful |= !self.is_able;
        } else if status.code() >= 300 {
            dialog.doubtful = true;
        }
    }
}
