//! Promises of the watcher:
//!
//! - each subscription has a request in flight, a timer, or ends and says so;
//! - a NOTIFY is answered at once: 200, or 481, 400, 500 for what does not belong;
//! - what a notifier has lost or ended is subscribed to again, as its reason asks, and never in a circle.
//!
//! ```text
//!  test (who watches)     Watcher            test (notifier)
//!     | ── watch ───────────> | ── SUBSCRIBE ─────> |
//!     | <── News ──────────── | <── NOTIFY, 2xx ─── |
//! ```

mod failures;
mod life;

use super::*;
use crate::exchange::{ConnectionId, Flow, OutcomeResult, TransactionId, Transport};
use crate::sip::{Message, Name, write_request};

pub(super) const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
pub(super) const ALICE: &str = "sip:alice@example.com";

/// A body that says open and busy.
pub(super) const BUSY: &str = "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
    xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" \
    entity=\"sip:alice@example.com\"><tuple id=\"a\"><status><basic>open</basic></status></tuple>\
    <dm:person id=\"p\"><rpid:activities><rpid:busy/></rpid:activities></dm:person></presence>";

/// A watcher, the time, and words for what it wants.
pub(super) struct World {
    pub watcher: Watcher,
    pub now: Timestamp,
    /// The latest request, and the one that started the present subscription.
    pub request: Option<Outgoing>,
    pub first: Option<Message>,
    pub cseq: u32,
    /// Over which the notifier speaks.
    pub flow: Flow,
}

impl World {
    pub fn new() -> Self {
        let settings = Settings {
            watcher: "sip:bob@example.com".to_owned(),
            ..Settings::default()
        };
        let watcher = Watcher::new(settings, Entropy::from_number(1));
        Self {
            watcher,
            now: START,
            request: None,
            first: None,
            cseq: 0,
            flow: flow(),
        }
    }

    /// One that has subscribed to alice, and was told that she is busy.
    pub fn subscribed() -> Self {
        let mut world = Self::new();
        world.watch();
        world.accept(3600);
        world.notify("active;expires=3600", BUSY);
        world
    }

    pub fn watch(&mut self) -> Vec<String> {
        let mut out = Vec::new();
        self.watcher.watch(self.now, ALICE, &mut out);
        self.told(out)
    }

    pub fn unwatch(&mut self) -> Vec<String> {
        let mut out = Vec::new();
        self.watcher.unwatch(self.now, ALICE, &mut out);
        self.told(out)
    }

    /// A 2xx of the notifier whose tag is `n`.
    pub fn accept(&mut self, expires: u32) -> Vec<String> {
        self.answer(
            "200 OK",
            &format!("Contact: <sip:n@192.0.2.1>\r\nExpires: {expires}\r\n"),
        )
    }

    /// Answers the latest request.
    pub fn answer(&mut self, status: &str, headers: &str) -> Vec<String> {
        let request = self.request.take().expect("a request in flight");
        let message = written(&request);
        let text = |name| message.text(name).unwrap_or_default();
        let to = if message.to_tag().is_some() {
            ""
        } else {
            ";tag=n"
        };
        let response = format!(
            "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {}{to}\r\nCall-ID: {}\r\nCSeq: {}\r\n{headers}\
             Content-Length: 0\r\n\r\n",
            text(Name::Via),
            text(Name::From),
            text(Name::To),
            text(Name::CallId),
            text(Name::CSeq)
        );
        let response = Message::parse(Bytes::from(response)).expect("a response");
        self.end(request.token, OutcomeResult::Response(response, self.flow))
    }

    pub fn time_out(&mut self) -> Vec<String> {
        let request = self.request.take().expect("a request in flight");
        self.end(request.token, OutcomeResult::Timeout)
    }

    pub fn end(&mut self, token: Token, result: OutcomeResult) -> Vec<String> {
        let mut out = Vec::new();
        self.watcher
            .outcome(self.now, Outcome { token, result }, &mut out);
        self.told(out)
    }

    /// The next NOTIFY of the notifier whose tag is `n`, in the present subscription.
    pub fn notify(&mut self, state: &str, body: &str) -> Vec<String> {
        self.cseq += 1;
        self.notify_as(
            "n",
            self.cseq,
            &format!("Subscription-State: {state}\r\n"),
            body,
        )
    }

    pub fn notify_as(&mut self, tag: &str, cseq: u32, headers: &str, body: &str) -> Vec<String> {
        let first = self.first.as_ref().expect("a subscription");
        let (to, call_id) = (
            first.text(Name::From).expect("From"),
            first.call_id().expect("Call-ID"),
        );
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/pidf+xml\r\n"
        };
        let text = format!(
            "NOTIFY sip:watcher@192.0.2.9 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{cseq}\r\n\
             Max-Forwards: 70\r\nFrom: <{ALICE}>;tag={tag}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq} NOTIFY\r\nContact: <sip:n@192.0.2.1>\r\nEvent: presence\r\n{headers}{kind}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.receive(&text)
    }

    pub fn receive(&mut self, text: &str) -> Vec<String> {
        let message = Message::parse(Bytes::copy_from_slice(text.as_bytes())).expect("a request");
        let transaction = TransactionId {
            shard: 0,
            number: 1,
        };
        let mut out = Vec::new();
        self.watcher.request(
            self.now,
            Incoming {
                transaction,
                identity: Default::default(),
                source: Default::default(),
                flow: self.flow,
                message,
            },
            &mut out,
        );
        self.told(out)
    }

    /// Goes on to the next timer, and fires it. Says how many seconds that took.
    pub fn next_timer(&mut self) -> (u64, Vec<String>) {
        let at = self.watcher.next_wake().expect("a timer");
        let took = at.since(self.now).as_secs();
        self.now = at.max(self.now);
        let mut out = Vec::new();
        self.watcher.wake(self.now, &mut out);
        (took, self.told(out))
    }

    fn told(&mut self, effects: Vec<Effect>) -> Vec<String> {
        self.watcher.check();
        let words = effects.iter().map(|effect| self.words(effect)).collect();
        for effect in effects {
            if let Effect::Send(request) = effect {
                let message = written(&request);
                if message.to_tag().is_none() {
                    self.first = Some(message);
                    self.cseq = 0;
                }
                self.request = Some(request);
            }
        }
        words
    }

    /// An effect in a line.
    fn words(&self, effect: &Effect) -> String {
        match effect {
            Effect::Send(request) => {
                let message = written(request);
                let expires = message.expires().ok().flatten().expect("Expires");
                let place = if message.to_tag().is_some() {
                    "in dialog"
                } else {
                    "anew"
                };
                format!("SUBSCRIBE {} {place} for {expires}", request.uri)
            }
            Effect::Reply(reply) => format!("answer {}", reply.status.code()),
            Effect::News(Watched { uri, news }) => {
                assert_eq!(uri, ALICE);
                match news {
                    News::Subscription { state, reason } => {
                        format!(
                            "{state}{}",
                            reason
                                .as_deref()
                                .map(|it| format!(": {it}"))
                                .unwrap_or_default()
                        )
                    }
                    News::State {
                        summary: Some(summary),
                        ..
                    } => {
                        format!("state {:?} {}", summary.basic, summary.activities.join(" "))
                    }
                    News::State { body, .. } if body.is_empty() => "no state".to_owned(),
                    News::State {
                        summary: None,
                        content_type,
                        body,
                    } => {
                        format!(
                            "unread {} of {}",
                            body.len(),
                            content_type.as_deref().unwrap_or("no type")
                        )
                    }
                    News::Trouble {
                        code,
                        reason,
                        again,
                    } => {
                        format!(
                            "trouble {code} {reason}, again in {}",
                            again.since(self.now).as_secs()
                        )
                    }
                    News::Ended { reason } => {
                        format!("ended: {}", reason.as_deref().unwrap_or("as asked"))
                    }
                }
            }
        }
    }
}

impl Watcher {
    /// Each subscription has a request in flight or a timer, and no timer is left over.
    fn check(&self) {
        let mut timers = 0;
        for (key, subscription) in &self.subscriptions {
            match (&subscription.phase, subscription.phase.timer()) {
                (Phase::Asking { token, .. }, _) => assert_eq!(self.flights.get(token), Some(&key)),
                (_, Some(at)) => {
                    assert!(self.timers.contains(&(at, key)), "{subscription:?}");
                    timers += 1;
                }
                (_, None) => panic!("neither in flight nor with a timer: {subscription:?}"),
            }
        }
        assert_eq!(self.timers.len(), timers);
        assert!(self.by_call.len() <= self.subscriptions.len());
        assert!(self.flights.len() + timers == self.subscriptions.len());
    }
}

/// The request as it goes over the wire.
pub(super) fn written(request: &Outgoing) -> Message {
    let mut bytes = Vec::new();
    let via = "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1";
    write_request(
        &mut bytes,
        &request.method,
        &request.uri,
        via,
        70,
        &[&request.head],
        &request.body,
    );
    Message::parse(Bytes::from(bytes)).expect("a request")
}

pub(super) fn flow() -> Flow {
    Flow {
        shard: 0,
        transport: Transport::Udp,
        local: "192.0.2.9:5060".parse().expect("an address"),
        remote: "192.0.2.1:5060".parse().expect("an address"),
        connection: ConnectionId(0),
    }
}
