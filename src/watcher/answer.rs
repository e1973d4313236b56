//! Answers to SUBSCRIBE (RFC 6665, 4.1.2).

use std::time::Duration;

use super::subscription::{Phase, Purpose};
use super::{Effect, Key, News, Watcher};
use crate::dialog::Dialog;
use crate::exchange::OutcomeResult;
use crate::sip::Message;
use crate::time::Timestamp;

/// How long the NOTIFY that ends a subscription is waited for.
const LAST_NOTIFY: Duration = Duration::from_secs(2);

impl Watcher {
    pub(super) fn answered(
        &mut self,
        now: Timestamp,
        key: Key,
        purpose: Purpose,
        leave: bool,
        result: OutcomeResult,
        out: &mut Vec<Effect>,
    ) {
        let (code, reason, response) = match result {
            OutcomeResult::Response(response, flow) => {
                self.heard(key, &flow);
                let code = response.status().map_or(0, |status| status.code());
                (code, response.reason().to_owned(), Some(response))
            }
            OutcomeResult::Timeout => (408, "no answer".to_owned(), None),
            OutcomeResult::TransportError(reason) => (0, reason, None),
        };
        if let (200..=299, Some(response)) = (code, &response) {
            return self.accepted(now, key, purpose, leave, response, out);
        }
        self.counters.failures += 1;
        if leave {
            // It failed, or is over anyway; what the notifier may still hold expires.
            return self.end(key, None, out);
        }
        let after = response
            .as_ref()
            .and_then(|response| response.retry_after().ok().flatten());
        let min = response
            .as_ref()
            .and_then(|response| response.min_expires().ok().flatten());
        match (purpose, code) {
            (Purpose::End, _) => self.end(key, None, out),
            (Purpose::Initial | Purpose::Refresh, 423)
                if min.is_some_and(|min| min > self.expires) =>
            {
                self.expires = min.unwrap_or(self.expires);
                self.ask(key, purpose, leave, out);
            }
            // The codes that end a subscription (4.1.2.2), of which 481 says that the notifier has lost it: the next one
            // starts at once, unless that has failed before.
            (Purpose::Refresh, 481) => {
                self.forgive(now, key);
                if self.subscriptions[key].failures > 0 {
                    return self.fail(now, key, code, &reason, after, out);
                }
                self.subscriptions[key].failures = 1;
                self.subscribe(now, key, out);
            }
            (Purpose::Refresh, 404 | 405 | 410 | 416 | 480 | 482..=485 | 489 | 501 | 604) => {
                self.fail(now, key, code, &reason, after, out);
            }
            // Any other failure of a refresh leaves the subscription as it is, until it expires (4.1.2.2).
            (Purpose::Refresh, _) => {
                let subscription = &mut self.subscriptions[key];
                subscription.failures = subscription.failures.saturating_add(1);
                let (failures, expires_at) = (subscription.failures, subscription.expires_at);
                let again = now + self.back_off(failures, after);
                if again >= expires_at {
                    return self.restart_at(key, again, code, &reason, out);
                }
                self.tell(
                    key,
                    News::Trouble {
                        code,
                        reason,
                        again,
                    },
                    out,
                );
                self.rest(key, Phase::Active { refresh_at: again });
            }
            (
                Purpose::Initial,
                0 | 408 | 423 | 429 | 480 | 481 | 486 | 491 | 500 | 502..=504 | 506..=512 | 600,
            ) => {
                self.fail(now, key, code, &reason, after, out);
            }
            // Not for good: others have guessed passwords where we are (docs/adr/0008).
            (Purpose::Initial, 403) if after.is_some() => {
                self.fail(now, key, code, &reason, after, out);
            }
            // Refused. A human may change that at the server, so it is tried again, seldom.
            (Purpose::Initial, _) => {
                let at = now + self.settings.retry_slow;
                self.restart_at(key, at, code, &reason, out);
            }
        }
    }

    /// 2xx; a 202 of an older notifier is the same (8.3.1).
    fn accepted(
        &mut self,
        now: Timestamp,
        key: Key,
        purpose: Purpose,
        leave: bool,
        response: &Message,
        out: &mut Vec<Effect>,
    ) {
        let subscription = &mut self.subscriptions[key];
        match &mut subscription.dialog {
            // A NOTIFY was faster. If it came from another branch of a fork, that one stays.
            Some(dialog) if response.to_tag().as_deref() == Some(dialog.remote_tag()) => {
                // A Contact that can't be read leaves the target as it was.
                let _ = dialog.refresh(response);
            }
            Some(_) => {}
            // Without a Contact that can be read, the NOTIFY has to start the dialog.
            None => subscription.dialog = Dialog::uac(response).ok(),
        }
        if purpose == Purpose::End {
            return self.rest(
                key,
                Phase::Leaving {
                    until: now + LAST_NOTIFY,
                },
            );
        }
        let granted = response
            .expires()
            .ok()
            .flatten()
            .unwrap_or(self.expires)
            .min(self.expires);
        let expires_at = now + Duration::from_secs(u64::from(granted));
        let subscription = &mut self.subscriptions[key];
        subscription.expires_at = expires_at;
        if purpose == Purpose::Refresh {
            subscription.failures = 0;
        }
        let notified = subscription.notified;
        if leave {
            return self.finish(now, key, out);
        }
        if notified {
            let refresh_at = self.refresh_at(now, expires_at);
            self.rest(key, Phase::Active { refresh_at });
        } else {
            self.rest(
                key,
                Phase::Awaiting {
                    until: now + self.settings.first_notify,
                },
            );
        }
    }
}
