//! The subscriber (RFC 6665, section 4.1; RFC 3856, section 6): keeps subscriptions to the state of many presentities.
//!
//! ```text
//!  watcher                             notifier
//!     | -- SUBSCRIBE Expires: 3600 --> |         Asking(Initial)
//!     | <------- NOTIFY active ------- |         may come before the 2xx, and starts the dialog then (4.4.1)
//!     | <------ 200 Expires: 3600 ---- |         Active; without a NOTIFY, Awaiting it for Timer N (4.1.2.4)
//!     |             …                  |
//!     | -- SUBSCRIBE (refresh) ------> |         Asking(Refresh), at 80 to 90 % of the time granted
//!     | <---- 481, or terminated ----- |         a new subscription: at once, after a back-off, or never (4.1.3)
//! ```
//!
//! Each subscription is in flight, has a timer, or ends, and says so. Of several notifiers that answer a forked SUBSCRIBE
//! the first is kept, the others get 481 (a presence watcher wants one composed state; RFC 3856, 6.9).

mod answer;
mod notify;
mod subscription;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use slab::Slab;

use crate::entropy::Entropy;
use crate::exchange::{Incoming, Outcome, OutcomeResult, Outgoing, Reply, Shard, Token};
use crate::presence::Summary;
use crate::sip::SubscriptionStateValue;
use crate::time::Timestamp;
use subscription::{Phase, Purpose, Subscription};

/// How to watch.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Who watches: the URI in From.
    pub watcher: String,
    /// URI of the server that takes every first SUBSCRIBE; without it they go where their Request-URI says.
    pub server: Option<String>,
    /// The `Expires` to ask for, in seconds (RFC 3856, 6.4).
    pub expires: u32,
    /// The shard of the module; our tags begin with it.
    pub shard: Shard,
    /// How long to wait for the first NOTIFY after the 2xx: Timer N (RFC 6665, 4.1.2.4).
    pub first_notify: Duration,
    /// Delay before the first repetition after a passing failure; doubled with each.
    pub retry_first: Duration,
    /// The longest such delay.
    pub retry_most: Duration,
    /// Delay before a subscription that was refused is tried again.
    pub retry_slow: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            watcher: "sip:watcher@localhost".to_owned(),
            server: None,
            expires: 3600,
            shard: 0,
            first_notify: Duration::from_secs(32),
            retry_first: Duration::from_secs(1),
            retry_most: Duration::from_secs(60),
            retry_slow: Duration::from_secs(300),
        }
    }
}

/// Something about a watched presentity.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    /// The presentity, as it was named to [`Watcher::watch`].
    pub uri: String,
    /// What.
    pub news: News,
}

/// What there is to say about a watched presentity.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// The subscription's state, from a NOTIFY, whenever it is another than before.
    Subscription {
        /// Active, pending or terminated.
        state: SubscriptionStateValue,
        /// Why, if it was said.
        reason: Option<String>,
    },
    /// A state of the presentity.
    State {
        /// The gist of it; `None` if the body could not be read as PIDF, or is empty.
        summary: Option<Summary>,
        /// The body's type, in lower case.
        content_type: Option<String>,
        /// The body as it came. An active subscription without one says that nothing is published (RFC 6665, 4.2.2);
        /// that is told once until there is a document again.
        body: Bytes,
    },
    /// Something failed, and will be tried again.
    Trouble {
        /// The SIP status, 0 if there was no answer.
        code: u16,
        /// In words.
        reason: String,
        /// When.
        again: Timestamp,
    },
    /// The watching is over.
    Ended {
        /// Why, if there is something to say.
        reason: Option<String>,
    },
}

/// What the watcher wants done, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send this request, and give its outcome to [`Watcher::outcome`].
    Send(Outgoing),
    /// Answer a NOTIFY.
    Reply(Reply),
    /// Tell whoever watches.
    News(Watched),
}

/// What the watcher has counted since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// SUBSCRIBE requests that start a subscription.
    pub initial: u64,
    /// SUBSCRIBE requests that refresh one.
    pub refresh: u64,
    /// SUBSCRIBE requests that end one.
    pub end: u64,
    /// NOTIFY requests accepted.
    pub notified: u64,
    /// NOTIFY requests seen before.
    pub repeated: u64,
    /// NOTIFY requests that belong to no subscription.
    pub unknown: u64,
    /// NOTIFY requests that are malformed or out of order.
    pub rejected: u64,
    /// Bodies that could not be read.
    pub unreadable: u64,
    /// Failures of SUBSCRIBE, by answer or by silence.
    pub failures: u64,
    /// Subscriptions that the notifier has terminated.
    pub terminated: u64,
}

/// Place of a subscription in the table.
type Key = usize;

/// The subscriptions of one watcher.
#[derive(Debug)]
pub struct Watcher {
    settings: Settings,
    entropy: Entropy,
    subscriptions: Slab<Subscription>,
    by_uri: FxHashMap<String, Key>,
    /// A Call-ID is used for one subscription: it finds a NOTIFY's owner before there is a dialog.
    by_call: FxHashMap<String, Key>,
    /// One timer a subscription, ordered by time.
    timers: BTreeSet<(Timestamp, Key)>,
    flights: FxHashMap<Token, Key>,
    next_token: Token,
    /// The `Expires` to ask for: as configured, or as a 423 has raised it.
    expires: u32,
    counters: Counters,
}

impl Watcher {
    /// A watcher of nobody.
    pub fn new(settings: Settings, entropy: Entropy) -> Self {
        Self {
            expires: settings.expires.max(1),
            settings,
            entropy,
            subscriptions: Slab::new(),
            by_uri: FxHashMap::default(),
            by_call: FxHashMap::default(),
            timers: BTreeSet::new(),
            flights: FxHashMap::default(),
            next_token: 0,
            counters: Counters::default(),
        }
    }

    /// Watches one more presentity. Watching it already changes nothing.
    pub fn watch(&mut self, now: Timestamp, uri: &str, out: &mut Vec<Effect>) {
        if self.by_uri.contains_key(uri) {
            return;
        }
        let key = self.subscriptions.insert(Subscription::new(uri.to_owned()));
        self.by_uri.insert(uri.to_owned(), key);
        self.subscribe(now, key, out);
    }

    /// Watches it no more: unsubscribes, and says [`News::Ended`] when that is done.
    pub fn unwatch(&mut self, now: Timestamp, uri: &str, out: &mut Vec<Effect>) {
        if let Some(&key) = self.by_uri.get(uri) {
            self.leave(now, key, out);
        }
    }

    /// Unsubscribes everywhere. All is done when [`Watcher::is_empty`].
    pub fn shutdown(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let keys: Vec<Key> = self.subscriptions.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.leave(now, key, out);
        }
    }

    /// A NOTIFY. It is answered at once.
    pub fn request(&mut self, now: Timestamp, incoming: Incoming, out: &mut Vec<Effect>) {
        self.notify(now, &incoming, out);
    }

    /// How a SUBSCRIBE of ours ended.
    pub fn outcome(&mut self, now: Timestamp, outcome: Outcome, out: &mut Vec<Effect>) {
        let Some(key) = self.flights.remove(&outcome.token) else {
            return;
        };
        if let OutcomeResult::Response(response, _) = &outcome.result
            && let Ok(cseq) = response.cseq()
        {
            // Higher than ours if the endpoint had to send it again with credentials.
            let subscription = &mut self.subscriptions[key];
            subscription.cseq = subscription.cseq.max(cseq.number);
            if let Some(dialog) = &mut subscription.dialog {
                dialog.sent(cseq.number);
            }
        }
        let phase = std::mem::replace(
            &mut self.subscriptions[key].phase,
            Phase::Waiting { at: now },
        );
        match phase {
            Phase::Asking {
                token,
                purpose,
                leave,
            } if token == outcome.token => {
                self.answered(now, key, purpose, leave, outcome.result, out);
            }
            other => self.subscriptions[key].phase = other,
        }
    }

    /// When [`Watcher::wake`] is next due.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Fires what is due.
    pub fn wake(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        while let Some(&(at, key)) = self.timers.first()
            && at <= now
        {
            self.timers.pop_first();
            match self.subscriptions[key].phase {
                Phase::Active { .. } => {
                    if self.subscriptions[key].expires_at <= now {
                        self.subscribe(now, key, out);
                    } else {
                        self.ask(key, Purpose::Refresh, false, out);
                    }
                }
                Phase::Awaiting { .. } => {
                    let reason = "the subscription was accepted, and no NOTIFY came";
                    self.fail(now, key, 0, reason, None, out);
                }
                Phase::Waiting { .. } => self.subscribe(now, key, out),
                Phase::Leaving { .. } => self.end(key, None, out),
                // No timer is armed while a request is in flight.
                Phase::Asking { .. } => {}
            }
        }
    }

    /// Presentities watched.
    pub fn len(&self) -> usize {
        self.subscriptions.len()
    }

    /// Whether nobody is watched.
    pub fn is_empty(&self) -> bool {
        self.subscriptions.is_empty()
    }

    /// Subscriptions that have a dialog.
    pub fn established(&self) -> usize {
        self.subscriptions
            .iter()
            .filter(|(_, subscription)| subscription.dialog.is_some())
            .count()
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn rest(&mut self, key: Key, phase: Phase) {
        self.disarm(key);
        if let Some(at) = phase.timer() {
            self.timers.insert((at, key));
        }
        self.subscriptions[key].phase = phase;
    }

    fn disarm(&mut self, key: Key) {
        if let Some(at) = self.subscriptions[key].phase.timer() {
            self.timers.remove(&(at, key));
        }
    }

    fn tell(&self, key: Key, news: News, out: &mut Vec<Effect>) {
        out.push(Effect::News(Watched {
            uri: self.subscriptions[key].uri.clone(),
            news,
        }));
    }

    fn end(&mut self, key: Key, reason: Option<String>, out: &mut Vec<Effect>) {
        self.tell(key, News::Ended { reason }, out);
        self.disarm(key);
        let subscription = self.subscriptions.remove(key);
        self.by_uri.remove(&subscription.uri);
        self.by_call.remove(&subscription.call_id);
        if let Phase::Asking { token, .. } = subscription.phase {
            self.flights.remove(&token);
        }
    }
}
