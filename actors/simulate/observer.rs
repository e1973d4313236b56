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
use crate::transport::memory::{Carrier, Delivery, Fate};

/// Watches everything that is delivered or lost.
pub struct Observer {
    began: Timestamp,
    digest: FxHasher,
    kinds: BTreeMap<String, u64>,
    names: BTreeMap<IpAddr, String>,
    /// The presentity whose ladder is drawn.
    drawn: Option<String>,
    ladder: Ladder,
    /// Whether a breach is put on the books that nobody committed, to see that breaches are found (tests only).
    sabotage: bool,
}

impl Observer {
    /// An observer of a network whose time begins now. `drawn` is the presentity that gets a ladder.
    pub fn new(began: Timestamp, drawn: Option<&str>) -> Self {
        Self {
            began,
            digest: FxHasher::default(),
            kinds: BTreeMap::new(),
            names: BTreeMap::new(),
            drawn: drawn.map(str::to_owned),
            ladder: Ladder::default(),
            sabotage: false,
        }
    }

    /// What the host at this address is called.
    pub fn name(&mut self, address: IpAddr, name: &str) {
        self.names.insert(address, name.to_owned());
    }

    /// From now on one NOTIFY is booked twice under different branches, as if the server had used a CSeq again.
    pub fn sabotage(&mut self) {
        self.sabotage = true;
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
        let Ok(message) = Message::parse(delivery.bytes.clone()) else {
            *self.kinds.entry("not SIP".to_owned()).or_default() += 1;
            return;
        };
        let label = label(&message);
        self.book(delivery, &message, ledger);
        let about = self.drawn.as_ref().is_some_and(|drawn| {
            [Name::From, Name::To]
                .into_iter()
                .any(|name| message.text(name).is_some_and(|text| text.contains(drawn)))
        });
        if about {
            let version = version(delivery.bytes)
                .map(|version| format!(" {version}"))
                .unwrap_or_default();
            self.arrow(delivery, format!("{label}{version}"));
        }
        *self.kinds.entry(label).or_default() += 1;
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
            if std::mem::take(&mut self.sabotage) {
                ledger.notify_sent(at, delivery.number, call_id, &tag, cseq.number, "sabotage");
            }
        } else if cseq.method == Method::Publish
            && let Some(etag) = message.text(Name::SipEtag)
        {
            ledger.entity_tag(at, &etag, call_id, cseq.number);
        }
    }

    fn segment(&mut self, delivery: &Delivery<'_>) {
        *self
            .kinds
            .entry("Manager protocol, segments".to_owned())
            .or_default() += 1;
        let text = String::from_utf8_lossy(delivery.bytes);
        let Some(drawn) = &self.drawn else { return };
        if !text.contains(drawn.as_str()) {
            return;
        }
        // A segment may carry many documents; those about the presentity are drawn.
        let documents: Vec<String> = text
            .split("</xml>")
            .filter(|document| document.contains(drawn.as_str()))
            .map(|document| {
                let kind = between(document, "<type>", "</type>")
                    .unwrap_or("XML")
                    .trim()
                    .to_owned();
                version(document.as_bytes())
                    .map_or(kind.clone(), |version| format!("{kind} {version}"))
            })
            .collect();
        for label in documents {
            self.arrow(delivery, label);
        }
    }

    fn arrow(&mut self, delivery: &Delivery<'_>, label: String) {
        let from = self.host(delivery.from);
        let to = self.host(delivery.to);
        self.ladder.arrow(
            delivery.at,
            &from,
            &to,
            label,
            delivery.fate != Fate::Delivered,
        );
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

    /// How many messages of each kind were on the wire, lost ones included.
    pub fn kinds(&self) -> &BTreeMap<String, u64> {
        &self.kinds
    }

    /// The ladder, if one was asked for.
    pub fn ladder(&self) -> Option<String> {
        self.drawn.as_ref().map(|_| self.ladder.draw())
    }
}

/// `PUBLISH`, or `200 to PUBLISH`.
fn label(message: &Message) -> String {
    match (message.method(), message.status()) {
        (Some(method), _) => method.as_str().to_owned(),
        (None, Some(status)) => {
            let method = message
                .cseq()
                .map(|cseq| cseq.method.as_str().to_owned())
                .unwrap_or_default();
            format!("{} to {method}", status.code())
        }
        (None, None) => "not SIP".to_owned(),
    }
}

fn fate(fate: Fate) -> u8 {
    match fate {
        Fate::Delivered => 0,
        Fate::Lost => 1,
        Fate::Partitioned => 2,
        Fate::Unreachable => 3,
        Fate::Overflowed => 4,
    }
}

/// The version that a state carries as its note, as it stands in XML: `>v17<`.
fn version(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    text.match_indices(">v").find_map(|(at, _)| {
        let rest = &text[at + 2..];
        let digits = &rest[..rest.find('<')?];
        digits
            .parse::<u64>()
            .ok()
            .map(|number| format!("v{number}"))
    })
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let rest = &text[text.find(before)? + before.len()..];
    Some(&rest[..rest.find(after)?])
}
