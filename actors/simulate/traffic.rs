//! Counts of what was on the wire, by kind: each message once, and apart from it how often it was on the wire again.

use std::collections::BTreeMap;
use std::hash::{Hash as _, Hasher as _};
use std::net::SocketAddr;

use rollcall_core::sip::{Message, Method, Name, SubscriptionStateValue};
use rustc_hash::{FxHashSet, FxHasher};

/// Messages of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Count {
    /// Different messages.
    pub messages: u64,
    /// Retransmissions and duplicates.
    pub again: u64,
}

/// The counts.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    kinds: BTreeMap<String, Count>,
    /// Hashes of the datagrams seen so far; a retransmission is the same, byte for byte.
    seen: FxHashSet<u64>,
}

impl Traffic {
    /// A datagram was on the wire.
    pub fn datagram(&mut self, from: SocketAddr, bytes: &[u8], kind: String) {
        let mut hasher = FxHasher::default();
        from.hash(&mut hasher);
        hasher.write(bytes);
        let count = self.kinds.entry(kind).or_default();
        if self.seen.insert(hasher.finish()) {
            count.messages += 1;
        } else {
            count.again += 1;
        }
    }

    /// A document of the Manager protocol was on the wire. A stream repeats nothing.
    pub fn document(&mut self, kind: &str) {
        self.kinds
            .entry(format!("Manager {kind}"))
            .or_default()
            .messages += 1;
    }

    /// By kind.
    pub fn kinds(&self) -> &BTreeMap<String, Count> {
        &self.kinds
    }
}

/// `PUBLISH initial`, `NOTIFY active`, `200 to PUBLISH`.
pub fn kind(message: &Message) -> String {
    match (message.method(), message.status()) {
        (Some(method), _) => match purpose(method, message) {
            Some(purpose) => format!("{} {purpose}", method.as_str()),
            None => method.as_str().to_owned(),
        },
        (None, Some(status)) => {
            let method = message.cseq().map(|cseq| cseq.method);
            let method = method.as_ref().map_or("nothing", |method| method.as_str());
            format!("{} to {method}", status.code())
        }
        (None, None) => NOT_SIP.to_owned(),
    }
}

/// What can't be read as SIP.
pub const NOT_SIP: &str = "not SIP";

fn purpose(method: &Method, message: &Message) -> Option<&'static str> {
    let over = message.expires().ok().flatten() == Some(0);
    match method {
        Method::Publish => Some(
            match (message.has(Name::SipIfMatch), message.body().is_empty()) {
                (true, _) if over => "remove",
                (true, true) => "refresh",
                (true, false) => "modify",
                (false, _) => "initial",
            },
        ),
        Method::Subscribe => Some(match message.to_tag() {
            Some(_) if over => "end",
            Some(_) => "refresh",
            None => "initial",
        }),
        Method::Notify => match message.subscription_state().ok().flatten()?.value {
            SubscriptionStateValue::Active => Some("active"),
            SubscriptionStateValue::Pending => Some("pending"),
            SubscriptionStateValue::Terminated => Some("terminated"),
            SubscriptionStateValue::Other(_) => None,
        },
        _ => None,
    }
}

/// The documents of a stretch of a Manager session: type and text of each. A stretch that begins within a document leaves
/// that one out; in the simulation each write is a stretch, and begins with a document.
pub fn documents(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("</xml>").filter_map(|document| {
        let (_, rest) = document.split_once("<type>")?;
        let (kind, _) = rest.split_once("</type>")?;
        Some((kind.trim(), document))
    })
}

/// The version that a state carries as its note, as it stands in XML: `>v17<`.
pub fn version(text: &str) -> Option<&str> {
    text.match_indices(">v").find_map(|(at, _)| {
        let rest = &text[at + 1..];
        let version = &rest[..rest.find('<')?];
        let digits = &version[1..];
        (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(version)
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn read(lines: &[&str], body: &str) -> Message {
        let length = format!("Content-Length: {}", body.len());
        let head: String = lines
            .iter()
            .chain([&length.as_str()])
            .map(|line| format!("{line}\r\n"))
            .collect();
        Message::parse(Bytes::from(format!("{head}\r\n{body}"))).expect("a message")
    }

    #[test]
    fn kinds_say_what_a_request_is_for() {
        let publish = "PUBLISH sip:a@x SIP/2.0";
        let subscribe = "SUBSCRIBE sip:a@x SIP/2.0";
        let notify = "NOTIFY sip:a@x SIP/2.0";
        for (lines, body, expected) in [
            (&[publish, "Expires: 60"][..], "<x/>", "PUBLISH initial"),
            (
                &[publish, "SIP-If-Match: e", "Expires: 60"],
                "<x/>",
                "PUBLISH modify",
            ),
            (
                &[publish, "SIP-If-Match: e", "Expires: 60"],
                "",
                "PUBLISH refresh",
            ),
            (
                &[publish, "SIP-If-Match: e", "Expires: 0"],
                "",
                "PUBLISH remove",
            ),
            (&[subscribe, "To: <sip:a@x>"], "", "SUBSCRIBE initial"),
            (&[subscribe, "To: <sip:a@x>;tag=t"], "", "SUBSCRIBE refresh"),
            (
                &[subscribe, "To: <sip:a@x>;tag=t", "Expires: 0"],
                "",
                "SUBSCRIBE end",
            ),
            (&[notify, "Subscription-State: active"], "", "NOTIFY active"),
            (
                &[notify, "Subscription-State: terminated;reason=timeout"],
                "",
                "NOTIFY terminated",
            ),
            (&["OPTIONS sip:a@x SIP/2.0"], "", "OPTIONS"),
            (&["SIP/2.0 412 No", "CSeq: 3 PUBLISH"], "", "412 to PUBLISH"),
        ] {
            assert_eq!(kind(&read(lines, body)), expected);
        }
    }

    #[test]
    fn a_message_is_counted_once_and_its_retransmissions_apart() {
        let mut traffic = Traffic::default();
        let from: SocketAddr = "10.0.0.1:5060".parse().expect("an address");
        for bytes in ["a", "b", "a", "a"] {
            traffic.datagram(from, bytes.as_bytes(), "NOTIFY active".to_owned());
        }
        traffic.document("ACK");
        let counts: Vec<_> = traffic
            .kinds()
            .iter()
            .map(|(kind, count)| (kind.as_str(), count.messages, count.again))
            .collect();
        assert_eq!(counts, [("Manager ACK", 1, 0), ("NOTIFY active", 2, 2)]);
    }

    #[test]
    fn a_stretch_of_a_session_is_taken_apart() {
        let text = "<xml><type>ACK</type></xml>\n<xml><type> PRESENCE </type><note>v7</note></xml>\n<xml><ty";
        let found: Vec<_> = documents(text)
            .map(|(kind, document)| (kind, version(document)))
            .collect();
        assert_eq!(found, [("ACK", None), ("PRESENCE", Some("v7"))]);
        assert_eq!(version("<note>very</note><note>v</note>"), None);
    }
}
