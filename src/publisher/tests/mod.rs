//! Promises of the publication agent:
//!
//! - one PUBLISH in flight per presentity, a window of many presentities;
//! - each machine is in flight, queued behind a full window, has a timer, or ends;
//! - an entry ends in exactly one outcome, or goes back into the buffer;
//! - what is published is refreshed before it lapses, and removed when it is withdrawn or the client ends.
//!
//! ```text
//!  test (buffer)        Publisher          test (server)
//!     | ── offer ──────────> | ── PUBLISH ─────> |
//!     | <── Done ─────────── | <── answer ────── |
//! ```

mod failures;
mod life;
mod random;

use std::sync::Arc;

use super::*;
use crate::exchange::{ConnectionId, Flow, OutcomeResult, Outgoing, Transport};
use crate::manager::Presence;
use crate::sip::{Message, Name, write_request};

pub(super) const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A publisher, the time, and names for what it wants.
pub(super) struct World {
    pub publisher: Publisher,
    pub now: Timestamp,
    entries: u64,
    /// Requests that are not answered yet, with their tokens, oldest first.
    pub flying: Vec<Outgoing>,
}

impl World {
    pub fn new() -> Self {
        Self::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Self {
        let publisher = Publisher::new(settings, Entropy::from_number(1));
        Self {
            publisher,
            now: START,
            entries: 0,
            flying: Vec::new(),
        }
    }

    /// Offers a state, the note of which is `note`.
    pub fn offer(&mut self, aor: &str, note: &str) -> Vec<String> {
        let document = Some(format!("<presence entity=\"{aor}\">{note}</presence>"));
        self.put(
            aor,
            Presence {
                document,
                ..Presence::default()
            },
        )
    }

    pub fn withdraw(&mut self, aor: &str) -> Vec<String> {
        self.put(
            aor,
            Presence {
                withdrawn: true,
                ..Presence::default()
            },
        )
    }

    fn put(&mut self, aor: &str, presence: Presence) -> Vec<String> {
        self.entries += 1;
        let presence = Presence {
            entity: aor.to_owned(),
            ..presence
        };
        let entry = Entry {
            id: EntryId(self.entries),
            aor: aor.to_owned(),
            presence: Arc::new(presence),
        };
        let mut out = Vec::new();
        self.publisher.offer(self.now, entry, &mut out);
        self.told(out)
    }

    /// Answers the oldest request: status line and headers, each ended by CRLF.
    pub fn answer(&mut self, status: &str, headers: &str) -> Vec<String> {
        let token = self.flying.remove(0).token;
        self.end(token, response(status, headers))
    }

    pub fn accept(&mut self, etag: &str, expires: u32) -> Vec<String> {
        self.answer(
            "200 OK",
            &format!("SIP-ETag: {etag}\r\nExpires: {expires}\r\n"),
        )
    }

    pub fn time_out(&mut self) -> Vec<String> {
        let token = self.flying.remove(0).token;
        self.end(token, OutcomeResult::Timeout)
    }

    fn end(&mut self, token: Token, result: OutcomeResult) -> Vec<String> {
        let mut out = Vec::new();
        self.publisher
            .outcome(self.now, exchange::Outcome { token, result }, &mut out);
        self.told(out)
    }

    /// Goes on to the next timer, and fires it. Says how many seconds that took.
    pub fn next_timer(&mut self) -> (u64, Vec<String>) {
        let at = self.publisher.next_wake().expect("a timer");
        let took = at.since(self.now).as_secs();
        self.now = at.max(self.now);
        let mut out = Vec::new();
        self.publisher.wake(self.now, &mut out);
        (took, self.told(out))
    }

    pub fn shutdown(&mut self, limit: Option<Duration>) -> Vec<String> {
        let mut out = Vec::new();
        self.publisher.shutdown(self.now, limit, &mut out);
        self.told(out)
    }

    pub fn told(&mut self, effects: Vec<Effect>) -> Vec<String> {
        self.publisher.check();
        let words = effects.iter().map(|effect| self.words(effect)).collect();
        self.flying
            .extend(effects.into_iter().filter_map(|effect| match effect {
                Effect::Send(request) => Some(request),
                _ => None,
            }));
        words
    }

    /// An effect in a line.
    fn words(&self, effect: &Effect) -> String {
        match effect {
            Effect::Send(request) => {
                let message = written(request);
                let text = |name| {
                    message
                        .text(name)
                        .map(|text| text.into_owned())
                        .unwrap_or_default()
                };
                let body = String::from_utf8_lossy(&request.body).into_owned();
                let note = body.split(['>', '<']).nth(2).unwrap_or_default();
                let uri = &request.uri;
                let (expires, tag) = (text(Name::Expires), text(Name::SipIfMatch));
                format!("PUBLISH {uri} for {expires} if [{tag}] says [{note}]")
            }
            Effect::Done(entry, Outcome::Published { etag }) => {
                format!(
                    "{} published as {}",
                    entry.0,
                    etag.as_deref().unwrap_or("nothing")
                )
            }
            Effect::Done(entry, Outcome::Refused { code, reason }) => {
                format!("{} refused: {code} {reason}", entry.0)
            }
            Effect::Done(entry, Outcome::Deferred { until }) => {
                format!(
                    "{} deferred by {}",
                    entry.0,
                    until.since(self.now).as_secs()
                )
            }
            Effect::Remember(tag) => {
                format!(
                    "remember {} {} for {}",
                    tag.aor,
                    tag.etag,
                    tag.expires_at.since(self.now).as_secs()
                )
            }
            Effect::Forget(aor) => format!("forget {aor}"),
            Effect::Recovered => "recovered".to_owned(),
            Effect::Drained => "drained".to_owned(),
        }
    }
}

impl Publisher {
    /// Each machine is in flight, or queued behind a full window, or has its timer.
    pub(super) fn check(&self) {
        let mut timers = 0;
        for (key, machine) in &self.machines {
            assert_eq!(self.by_aor.get(&machine.aor), Some(&key));
            match (&machine.state, machine.state.timer()) {
                (State::Flying { .. }, _) => {
                    let flights = self.flights.values().filter(|of| **of == key).count();
                    assert_eq!(flights, 1, "{machine:?}");
                }
                (State::Queued { .. }, _) => {
                    assert!(self.queue.contains(&key), "{machine:?}");
                    assert_eq!(self.flights.len(), self.settings.window, "{machine:?}");
                }
                (_, Some(at)) => {
                    assert!(self.timers.contains(&(at, key)), "{machine:?}");
                    timers += 1;
                }
                (_, None) => panic!("neither in flight nor with a timer: {machine:?}"),
            }
        }
        assert_eq!(self.timers.len(), timers, "a timer of nobody");
        assert_eq!(self.by_aor.len(), self.machines.len());
        assert!(self.flights.len() <= self.settings.window);
    }
}

/// The request as it goes over the wire.
pub(super) fn written(request: &Outgoing) -> Message {
    let mut bytes = Vec::new();
    let via = "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1";
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

pub(super) fn response(status: &str, headers: &str) -> OutcomeResult {
    let text = format!(
        "SIP/2.0 {status}\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@x>;tag=1\r\n\
         To: <sip:a@x>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 PUBLISH\r\n{headers}Content-Length: 0\r\n\r\n"
    );
    let message = Message::parse(Bytes::from(text)).expect("a response");
    let address = "192.0.2.1:5060".parse().expect("an address");
    let flow = Flow {
        shard: 0,
        transport: Transport::Udp,
        local: address,
        remote: address,
        connection: ConnectionId(0),
    };
    OutcomeResult::Response(message, flow)
}
