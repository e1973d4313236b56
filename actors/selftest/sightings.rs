//! What was seen of the server over the whole run: some rules hold for every message, and are judged at the end.

use bytes::Bytes;
use rollcall_core::sip::{Message, Name, ParseError};
use serde::Serialize;

/// The traffic of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Messages that we sent, repeated ones too.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Messages that came.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
}

/// Breaches of what holds for every message: how often, and the first as an example.
#[derive(Clone, Debug, Default)]
pub(super) struct Breach {
    pub seen: u64,
    pub example: String,
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    pub traffic: Traffic,
    pub responses: u64,
    /// Bytes that are no SIP message.
    pub malformed: Breach,
    /// Final responses whose To has no tag.
    pub untagged: Breach,
    /// Provisional responses other than 100.
    pub provisional: Breach,
    /// 100 at once.
    pub trying: Breach,
    /// 408 to what is no INVITE.
    pub timeouts: Breach,
    /// Event in a response.
    pub event_in_response: Breach,
    /// A 202 to SUBSCRIBE or NOTIFY.
    pub accepted: Breach,
    /// A response without one of From, To, Call-ID, CSeq, Via.
    pub incomplete: Breach,
}

impl Breach {
    fn add(&mut self, is_one: bool, example: impl FnOnce() -> String) {
        if is_one && self.seen == 0 {
            self.example = example();
        }
        self.seen += u64::from(is_one);
    }
}

impl Sightings {
    /// We sent something.
    pub fn sent(&mut self, bytes: usize) {
        self.traffic.sent += 1;
        self.traffic.sent_bytes += bytes as u64;
    }

    /// Something came.
    pub fn heard(&mut self, bytes: &Bytes, parsed: &Result<Message, ParseError>) {
        self.traffic.received += 1;
        self.traffic.received_bytes += bytes.len() as u64;
        let message = match parsed {
            Ok(message) => message,
            Err(error) => {
                let start = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
                self.malformed
                    .add(true, || format!("{error}, in {start:?}"));
                return;
            }
        };
        let Some(status) = message.status() else {
            return;
        };
        self.responses += 1;
        let code = status.code();
        let shown = || {
            let cseq = message.text(Name::CSeq).unwrap_or_default();
            format!("{code} {} to {cseq}", message.reason())
        };
        let basic = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];
        let lacks = basic.into_iter().filter(|name| !message.has(*name));
        let lacks: Vec<_> = lacks.map(Name::as_str).collect();
        let subscribes = message
            .cseq()
            .is_ok_and(|cseq| matches!(cseq.method.as_str(), "SUBSCRIBE" | "NOTIFY"));
        // What a request does not have can't come back.
        let whole = lacks.is_empty() || code == 400;
        self.incomplete.add(!whole, || {
            format!("{} without {}", shown(), lacks.join(", "))
        });
        let untagged = code >= 200 && message.has(Name::To) && message.to_tag().is_none();
        self.untagged.add(untagged, shown);
        self.provisional.add((101..200).contains(&code), shown);
        self.trying.add(code == 100, shown);
        self.timeouts.add(code == 408, shown);
        self.event_in_response.add(message.has(Name::Event), shown);
        self.accepted.add(code == 202 && subscribes, shown);
    }
}
