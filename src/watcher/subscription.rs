//! One subscription, and the SUBSCRIBE requests for it (RFC 6665, 4.1.2).

use std::time::Duration;

use bytes::Bytes;

use super::{Effect, Key, News, Watcher};
use crate::again;
use crate::dialog::{Dialog, Target};
use crate::exchange::{ConnectionId, Destination, Flow, LOCAL_CONTACT, Outgoing, Token};
use crate::sip::{Head, Method, Name, SubscriptionStateValue};
use crate::time::Timestamp;

/// A subscription that lived as long as this had nothing wrong with it when it was lost.
const LIVED: Duration = Duration::from_secs(30);

/// The subscription to one presentity.
#[derive(Debug)]
pub(super) struct Subscription {
    pub uri: String,
    /// New for each attempt; empty before the first.
    pub call_id: String,
    pub local_tag: String,
    /// CSeq of the latest SUBSCRIBE outside of a dialog.
    pub cseq: u32,
    pub dialog: Option<Dialog>,
    /// The connection over which the notifier was heard last, if it was one.
    pub connection: Option<ConnectionId>,
    pub phase: Phase,
    /// Whether a NOTIFY has come in this subscription.
    pub notified: bool,
    /// When it started.
    pub begun: Timestamp,
    /// When it is over unless refreshed.
    pub expires_at: Timestamp,
    /// Failures in a row.
    pub failures: u32,
    /// What was told last.
    pub told: Option<SubscriptionStateValue>,
    /// Whether the state told last was a document, or that there is none.
    pub documented: Option<bool>,
}

/// Where a subscription is. Each has a timer or a request in flight.
#[derive(Debug)]
pub(super) enum Phase {
    /// A SUBSCRIBE is on its way; `leave` if it is to be ended as soon as that is answered.
    Asking {
        token: Token,
        purpose: Purpose,
        leave: bool,
    },
    /// Accepted, without a NOTIFY yet.
    Awaiting { until: Timestamp },
    /// All is well, until the refresh.
    Active { refresh_at: Timestamp },
    /// There is no subscription; to be started then.
    Waiting { at: Timestamp },
    /// Unsubscribed; the last NOTIFY is due.
    Leaving { until: Timestamp },
}

impl Phase {
    pub fn timer(&self) -> Option<Timestamp> {
        match self {
            Self::Asking { .. } => None,
            Self::Awaiting { until: at }
            | Self::Active { refresh_at: at }
            | Self::Waiting { at }
            | Self::Leaving { until: at } => Some(*at),
        }
    }
}

/// What a SUBSCRIBE is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// 4.1.2.1
    Initial,
    /// 4.1.2.2
    Refresh,
    /// 4.1.2.3
    End,
}

impl Subscription {
    pub fn new(uri: String) -> Self {
        let zero = Timestamp::from_millis(0);
        Self {
            uri,
            call_id: String::new(),
            local_tag: String::new(),
            cseq: 0,
            dialog: None,
            connection: None,
            // Never seen: whoever makes one subscribes.
            phase: Phase::Waiting { at: zero },
            notified: false,
            begun: zero,
            expires_at: zero,
            failures: 0,
            told: None,
            documented: None,
        }
    }
}

impl Watcher {
    /// Starts a subscription from nothing. What the old one still sends meets 481.
    pub(super) fn subscribe(&mut self, now: Timestamp, key: Key, out: &mut Vec<Effect>) {
        let call_id = self.entropy.token();
        let local_tag = format!("{:02x}{}", self.settings.shard, self.entropy.token());
        let subscription = &mut self.subscriptions[key];
        self.by_call.remove(&subscription.call_id);
        self.by_call.insert(call_id.clone(), key);
        subscription.call_id = call_id;
        subscription.local_tag = local_tag;
        subscription.cseq = 0;
        subscription.dialog = None;
        subscription.notified = false;
        subscription.begun = now;
        subscription.told = None;
        subscription.documented = None;
        self.ask(key, Purpose::Initial, false, out);
    }

    /// Sends a SUBSCRIBE, inside the dialog if there is one.
    pub(super) fn ask(&mut self, key: Key, purpose: Purpose, leave: bool, out: &mut Vec<Effect>) {
        self.disarm(key);
        self.next_token += 1;
        let token = self.next_token;
        let expires = match purpose {
            Purpose::Initial => {
                self.counters.initial += 1;
                self.expires
            }
            Purpose::Refresh => {
                self.counters.refresh += 1;
                self.expires
            }
            Purpose::End => {
                self.counters.end += 1;
                0
            }
        };
        let subscription = &mut self.subscriptions[key];
        let mut head = Head::with_capacity(512);
        let target = match &mut subscription.dialog {
            Some(dialog) => dialog.request(&Method::Subscribe, &mut head),
            None => {
                subscription.cseq += 1;
                let (watcher, uri) = (&self.settings.watcher, &subscription.uri);
                head.line(
                    Name::From,
                    format_args!("<{watcher}>;tag={}", subscription.local_tag),
                );
                head.line(Name::To, format_args!("<{uri}>"));
                head.line(Name::CallId, &subscription.call_id);
                head.line(Name::CSeq, format_args!("{} SUBSCRIBE", subscription.cseq));
                Target {
                    uri: uri.clone(),
                    first_route: self.settings.server.clone(),
                }
            }
        };
        head.line(Name::Contact, format_args!("<sip:watcher@{LOCAL_CONTACT}>"));
        head.line(Name::Event, "presence");
        head.line(Name::Accept, "application/pidf+xml");
        head.line(Name::Expires, expires);
        subscription.phase = Phase::Asking {
            token,
            purpose,
            leave,
        };
        self.flights.insert(token, key);
        out.push(Effect::Send(Outgoing {
            token,
            method: Method::Subscribe,
            uri: target.uri,
            first_route: target.first_route,
            head: head.finish(),
            body: Bytes::new(),
            destination: Destination::NextHop,
        }));
    }

    /// Unsubscribes from wherever the subscription is.
    pub(super) fn leave(&mut self, now: Timestamp, key: Key, out: &mut Vec<Effect>) {
        match &mut self.subscriptions[key].phase {
            Phase::Asking {
                purpose: Purpose::Initial | Purpose::Refresh,
                leave,
                ..
            } => *leave = true,
            Phase::Asking {
                purpose: Purpose::End,
                ..
            }
            | Phase::Leaving { .. } => {}
            Phase::Waiting { .. } => self.end(key, None, out),
            Phase::Awaiting { .. } | Phase::Active { .. } => self.finish(now, key, out),
        }
    }

    /// Sends the SUBSCRIBE that ends a subscription, if there is a dialog to send it in.
    pub(super) fn finish(&mut self, _now: Timestamp, key: Key, out: &mut Vec<Effect>) {
        if self.subscriptions[key].dialog.is_some() {
            self.ask(key, Purpose::End, true, out);
        } else {
            self.end(key, None, out);
        }
    }

    /// The subscription has failed: says so, and starts another after a back-off.
    pub(super) fn fail(
        &mut self,
        now: Timestamp,
        key: Key,
        code: u16,
        reason: &str,
        after: Option<u32>,
        out: &mut Vec<Effect>,
    ) {
        let failures = self.subscriptions[key].failures.saturating_add(1);
        self.subscriptions[key].failures = failures;
        let at = now + self.back_off(failures, after);
        self.restart_at(key, at, code, reason, out);
    }

    /// A connection is gone. Its notifier may have been restarted, and can perhaps not reach us by one of its own (RFC 5626
    /// asks for no less); so what was watched over it is refreshed over another one, soon but not all at once.
    pub fn connection_closed(&mut self, now: Timestamp, connection: ConnectionId) {
        let affected: Vec<Key> = self
            .subscriptions
            .iter()
            .filter(|(_, subscription)| subscription.connection == Some(connection))
            .map(|(key, _)| key)
            .collect();
        for key in affected {
            self.subscriptions[key].connection = None;
            // In the other phases something is on its way, or due soon.
            if let Phase::Active { refresh_at } = self.subscriptions[key].phase {
                let soon = now + self.back_off(1, None);
                let refresh_at = refresh_at.min(soon);
                self.rest(key, Phase::Active { refresh_at });
            }
        }
    }

    /// Notes the way on which the notifier was heard.
    pub(super) fn heard(&mut self, key: Key, flow: &Flow) {
        self.subscriptions[key].connection =
            flow.transport.is_reliable().then_some(flow.connection);
    }

    /// Forgets earlier failures if the subscription has lived for a while: its loss is a new story.
    pub(super) fn forgive(&mut self, now: Timestamp, key: Key) {
        let subscription = &mut self.subscriptions[key];
        if now.since(subscription.begun) >= LIVED {
            subscription.failures = 0;
        }
    }

    /// The subscription is over, and another starts then.
    pub(super) fn restart_at(
        &mut self,
        key: Key,
        at: Timestamp,
        code: u16,
        reason: &str,
        out: &mut Vec<Effect>,
    ) {
        self.subscriptions[key].dialog = None;
        let call_id = std::mem::take(&mut self.subscriptions[key].call_id);
        self.by_call.remove(&call_id);
        self.tell(
            key,
            News::Trouble {
                code,
                reason: reason.to_owned(),
                again: at,
            },
            out,
        );
        self.rest(key, Phase::Waiting { at });
    }

    /// When to refresh what ends then.
    pub(super) fn refresh_at(&mut self, now: Timestamp, expires_at: Timestamp) -> Timestamp {
        now + again::refresh(expires_at.since(now), &mut self.entropy)
    }

    pub(super) fn back_off(&mut self, failures: u32, after: Option<u32>) -> Duration {
        let (first, most) = (self.settings.retry_first, self.settings.retry_most);
        again::back_off_as_asked(first, most, failures, after, &mut self.entropy)
    }
}
