//! What the network shows of a simulated world: the trace digest, messages by kind, the ladder of one presentity, and
//! what the ledger checks on the wire (CSeq and entity-tags).

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};

use rollcall_core::sip::{Message, Method, Name};
use rollcall_core::time::Timestamp;
use rustc_hash::FxHasher;

use super::ladder::Ladder;
use super::ledger::Ledger;
use super::promises::Promises;
use super::sabotage::Sabotage;
use super::traffic::{NOT_SIP, Traffic, documents, kind, version};
use crate::transport::memory::{Carrier, Delivery, Fate};

/// Watches everything that is delivered or lost.
pub struct Observer {
    began: Timestamp,
    digest: FxHasher,
    traffic: Traffic,
    /// Whether messages are still counted; the digest goes on to the end.
    counting: bool,
    names: BTreeMap<IpAddr, String>,
    /// The presentity whose ladder is drawn.
    drawn: Option<String>,
    ladder: Ladder,
    /// What the server has promised.
    pub promises: Promises,
    /// The wire as it is put on the books, if it is told wrong on purpose.
    sabotage: Option<Sabotage>,
    /// The first entity-tag, to be given again (a sabotage).
    first_tag: Option<String>,
}

impl Observer {
    /// An observer of a network whose time begins now. `drawn` is the presentity that gets a ladder.
    pub fn new(
        began: Timestamp,
        drawn: Option<&str>,
        sabotage: Option<Sabotage>,
        promises: Promises,
    ) -> Self {
        Self {
            began,
            digest: FxHasher::default(),
            traffic: Traffic::default(),
            counting: true,
            names: BTreeMap::new(),
            drawn: drawn.map(str::to_owned),
            ladder: Ladder::default(),
            promises,
            sabotage,
            first_tag: None,
        }
    }

    /// What the host at this address is called.
    pub fn name(&mut self, address: IpAddr, name: &str) {
        self.names.insert(address, name.to_owned());
    }

    /// From now on nothing is counted or drawn any more: the people have had their time.
    pub fn stop_counting(&mut self) {
        self.counting = false;
    }

    /// One delivery.
    pub fn see(&mut self, delivery: &Delivery<'_>, ledger: &mut Ledger) {
        self.digest.write_u128(delivery.at.as_micros());
        self.address(delivery.from);
        self.address(delivery.to);
        self.digest.write_u8(fate(delivery.fate));
        self.digest.write(delivery.bytes);
        match delivery.carrier {
            Carrier::Datagram => self.datagram(delivery, ledger),
            Carrier::Stream => self.segment(delivery),
        }
    }

    fn address(&mut self, address: SocketAddr) {
        match address.ip() {
            IpAddr::V4(ip) => self.digest.write_u32(ip.to_bits()),
            IpAddr::V6(ip) => self.digest.write_u128(ip.to_bits()),
        }
        self.digest.write_u16(address.port());
    }

    fn datagram(&mut self, delivery: &Delivery<'_>, ledger: &mut Ledger) {
        let message = Message::parse(delivery.bytes.clone()).ok();
        if let Some(message) = &message {
            let at = self.began + delivery.at;
            self.promises.see(at, delivery, message, ledger);
            if delivery.fate != Fate::Sent {
                self.book(delivery, message, ledger);
            }
        }
        if !self.counting || delivery.fate == Fate::Sent {
            return;
        }
        let kind = message.as_ref().map_or(NOT_SIP.to_owned(), kind);
        if let Some(message) = &message
            && self.is_drawn(message)
        {
            let text = String::from_utf8_lossy(delivery.bytes);
            let label = match version(&text) {
                Some(version) => format!("{kind} {version}"),
                None => kind.clone(),
            };
            self.arrow(delivery, label);
        }
        self.traffic.datagram(delivery.from, delivery.bytes, kind);
    }

    fn is_drawn(&self, message: &Message) -> bool {
        self.drawn.as_ref().is_some_and(|drawn| {
            [Name::From, Name::To].into_iter().any(|name| {
                message
                    .text(name)
                    .is_some_and(|text| names_it(&text, drawn))
            })
        })
    }

    /// What the invariants say of the wire.
    fn book(&mut self, delivery: &Delivery<'_>, message: &Message, ledger: &mut Ledger) {
        let (Ok(call_id), Ok(cseq)) = (message.call_id(), message.cseq()) else {
            return;
        };
        let at = self.began + delivery.at;
        if message.method() == Some(&Method::Notify) {
            let (Some(tag), Ok(via)) = (message.from_tag(), message.via()) else {
                return;
            };
            let branch = via.branch().unwrap_or_default();
            ledger.notify_sent(at, delivery.number, call_id, &tag, cseq.number, branch);
            if self.sabotage == Some(Sabotage::ReusedCseq) {
                self.sabotage = None;
                ledger.notify_sent(at, delivery.number, call_id, &tag, cseq.number, "another");
            }
        } else if cseq.method == Method::Publish
            && let Some(etag) = message.text(Name::SipEtag)
        {
            if self.sabotage == Some(Sabotage::ReusedEntityTag) {
                let first = self.first_tag.get_or_insert_with(|| etag.to_string());
                ledger.entity_tag(at, first, call_id, cseq.number);
            } else {
                ledger.entity_tag(at, &etag, call_id, cseq.number);
            }
        }
    }

    fn segment(&mut self, delivery: &Delivery<'_>) {
        if !self.counting {
            return;
        }
        let text = String::from_utf8_lossy(delivery.bytes);
        for (kind, document) in documents(&text) {
            self.traffic.document(kind);
            let about = self.drawn.as_ref();
            if about.is_some_and(|drawn| names_it(document, drawn)) {
                let label = match version(document) {
                    Some(version) => format!("{kind} {version}"),
                    None => kind.to_owned(),
                };
                self.arrow(delivery, label);
            }
        }
    }

    fn arrow(&mut self, delivery: &Delivery<'_>, label: String) {
        let from = self.host(delivery.from);
        let to = self.host(delivery.to);
        let lost = delivery.fate != Fate::Delivered;
        self.ladder.arrow(delivery.at, &from, &to, label, lost);
    }

    fn host(&self, address: SocketAddr) -> String {
        self.names
            .get(&address.ip())
            .cloned()
            .unwrap_or_else(|| address.ip().to_string())
    }

    /// The digest of everything so far: two runs with the same seed agree on it.
    pub fn digest(&self) -> u64 {
        self.digest.finish()
    }

    /// What was on the wire, lost messages included.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// The ladder, if one was asked for.
    pub fn ladder(&self) -> Option<String> {
        self.drawn.as_ref().map(|_| self.ladder.draw())
    }
}

/// Whether the text names this URI, and not one that is longer.
fn names_it(text: &str, uri: &str) -> bool {
    text.match_indices(uri).any(|(at, _)| {
        let next = text[at + uri.len()..].chars().next();
        !next.is_some_and(|next| next.is_alphanumeric() || matches!(next, '.' | '-'))
    })
}

fn fate(fate: Fate) -> u8 {
    match fate {
        Fate::Delivered => 0,
        Fate::Lost => 1,
        Fate::Partitioned => 2,
        Fate::Unreachable => 3,
        Fate::Overflowed => 4,
        Fate::Sent => 5,
    }
}

#[cfg(test)]
mod tests;
