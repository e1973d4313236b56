//! What tells transactions apart (RFC 3261, 17.1.3 and 17.2.3).
//!
//! Keys are built in a buffer that is used again and again, and what is kept of them is a keyed hash. Parts are divided by a
//! zero byte, which no header value has.

use std::net::IpAddr;

use crate::digits;
use crate::exchange::{Flow, Shard};
use crate::keyed::Secret;
use crate::sip::{CSeq, Host, Message, Method, Name, Via};

/// Begins every branch that identifies its transaction (RFC 3261, 8.1.1.7).
pub const COOKIE: &str = "z9hG4bK";

/// A branch of ours begins with the cookie and the shard in two hexadecimal digits; [`push_token`] adds the rest.
pub fn branch_start(shard: Shard) -> String {
    format!("{COOKIE}{shard:02x}")
}

/// Adds a token in 16 hexadecimal digits.
pub fn push_token(branch: &mut String, token: u64) {
    branch.push_str(digits::text(&digits::hex(token)));
}

/// The shard and the token of a branch that [`branch_start`] and [`push_token`] made; None for anybody else's.
pub fn branch_of_ours(branch: &str) -> Option<(Shard, u64)> {
    let ours = branch
        .strip_prefix(COOKIE)
        .filter(|ours| ours.len() == 18)?;
    // Upper case and signs are what from_str_radix would take, and we never write.
    if !ours
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    {
        return None;
    }
    let (shard, token) = ours.split_at(2);
    Some((
        Shard::from_str_radix(shard, 16).ok()?,
        u64::from_str_radix(token, 16).ok()?,
    ))
}

/// What a server transaction is known by: a keyed hash of what [`server_key`] says, in two halves, of which each is one by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionKey(u64, u64);

impl TransactionKey {
    fn new(digest: u128) -> Self {
        // The halves, not a conversion that loses something.
        #[allow(clippy::cast_possible_truncation)]
        Self((digest >> 64) as u64, digest as u64)
    }

    /// For a table of hashes.
    pub(super) const fn hash(self) -> u64 {
        self.1
    }
}

/// The key of the server transaction that a request of `method` with these headers belongs to. `buffer` is used for building
/// it.
///
/// Usually branch, sent-by and method. Without the magic cookie, or with nothing behind it, the rules of RFC 2543:
/// Request-URI, tags, Call-ID, CSeq and the whole top Via. In both cases the source address as well: Twinkle seeds its
/// random numbers with the second of its start, so two of them behind two NATs may have branch, Call-ID, tag, CSeq and
/// even sent-by in common.
///
/// `method` is given apart from the message because CANCEL looks for the transaction of another method (9.2).
pub fn server_key(
    secret: Secret,
    buffer: &mut Vec<u8>,
    message: &Message,
    method: &Method,
    via: &Via,
    flow: &Flow,
) -> TransactionKey {
    let key = buffer;
    key.clear();
    source(key, flow);
    text(key, method.as_str());
    match via.branch() {
        Some(branch) if branch.len() > COOKIE.len() && branch.starts_with(COOKIE) => {
            text(key, branch);
            sent_by(key, via);
        }
        Some(_) | None => {
            text(key, message.uri_text());
            text(key, &message.from_tag().unwrap_or_default());
            text(key, &message.to_tag().unwrap_or_default());
            text(key, message.call_id().unwrap_or_default());
            let number = message.cseq().map_or(0, |cseq| cseq.number);
            key.extend_from_slice(&number.to_be_bytes());
            text(key, &message.text(Name::Via).unwrap_or_default());
        }
    }
    TransactionKey::new(secret.digest(key))
}

/// What a merged request has in common with its twin (RFC 3261, 8.2.2.2), and what it has not: two hashes, of the
/// former and of the branch.
///
/// In common: From tag, Call-ID and CSeq; also the Request-URI and who wrote the request first, the lowest Via. Without
/// the last two, two Twinkles that were started in the same second would be taken for one.
pub fn merge_key(
    secret: Secret,
    buffer: &mut Vec<u8>,
    message: &Message,
    from_tag: &str,
    cseq: &CSeq,
    via: &Via,
) -> (u64, u64) {
    let common = buffer;
    common.clear();
    for part in [
        from_tag,
        message.call_id().unwrap_or_default(),
        cseq.method.as_str(),
        message.uri_text(),
    ] {
        text(common, part);
    }
    common.extend_from_slice(&cseq.number.to_be_bytes());
    let lowest = message.values(Name::Via).skip(1).last();
    match lowest.map(|lowest| Via::parse(&lowest)) {
        Some(Ok(lowest)) => sent_by(common, &lowest),
        Some(Err(_)) | None => sent_by(common, via),
    }
    let branch = via.branch().unwrap_or_default();
    (secret.hash(common), secret.hash(branch.as_bytes()))
}

fn text(key: &mut Vec<u8>, part: &str) {
    key.extend_from_slice(part.as_bytes());
    key.push(0);
}

fn source(key: &mut Vec<u8>, flow: &Flow) {
    match flow.remote.ip() {
        IpAddr::V4(address) => key.extend_from_slice(&address.octets()),
        IpAddr::V6(address) => key.extend_from_slice(&address.octets()),
    }
    key.extend_from_slice(&flow.remote.port().to_be_bytes());
    key.push(flow.transport as u8);
}

fn sent_by(key: &mut Vec<u8>, via: &Via) {
    match &via.host {
        Host::Name(name) => text(key, name),
        // After a zero, with which no name begins.
        Host::V4(address) => {
            key.push(0);
            key.extend_from_slice(&address.octets());
        }
        Host::V6(address) => {
            key.push(0);
            key.extend_from_slice(&address.octets());
        }
    }
    key.extend_from_slice(&via.port.unwrap_or(5060).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Entropy;
    use crate::exchange::{ConnectionId, Transport};

    const PUBLISH: &str = "PUBLISH sip:bob@example.com SIP/2.0\r\n\
        Via: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bKa\r\n\
        From: <sip:bob@example.com>;tag=a1\r\n\
        To: <sip:bob@example.com>\r\n\
        Call-ID: c1\r\n\
        CSeq: 7 PUBLISH\r\n\
        Content-Length: 0\r\n\r\n";

    fn flow(port: u16) -> Flow {
        Flow {
            shard: 0,
            transport: Transport::Udp,
            local: ([127, 0, 0, 1], 5060).into(),
            remote: ([127, 0, 0, 1], port).into(),
            connection: ConnectionId(0),
        }
    }

    fn key(text: &str, port: u16) -> TransactionKey {
        let message = Message::parse(text.to_owned().into()).expect("a message");
        let via = message.via().expect("a Via");
        server_key(
            Secret::draw(&mut Entropy::from_number(1)),
            &mut Vec::new(),
            &message,
            message.method().expect("a request"),
            &via,
            &flow(port),
        )
    }

    #[test]
    fn our_branches_carry_shard_and_token() {
        let mut ours = branch_start(10);
        push_token(&mut ours, 0xfeed);
        assert_eq!(ours, "z9hG4bK0a000000000000feed");
        assert_eq!(branch_of_ours(&ours), Some((10, 0xfeed)));
        for other in [
            "",
            "z9hG4bK",
            "z9hG4bK0a000000000000fee",
            "z9hG4bK0a00000000000+feed",
            "z9hG4bK0A000000000000FEED",
        ] {
            assert_eq!(branch_of_ours(other), None, "{other}");
        }
    }

    #[test]
    fn branch_sent_by_method_and_source_tell_transactions_apart() {
        let same = key(PUBLISH, 5062);
        assert_eq!(
            same,
            key(
                &PUBLISH.replace("a1", "a2").replace("CSeq: 7", "CSeq: 8"),
                5062
            )
        );
        assert_ne!(same, key(&PUBLISH.replace("bKa", "bKb"), 5062), "branch");
        assert_ne!(
            same,
            key(&PUBLISH.replace("1:5062", "1:5063"), 5062),
            "port of sent-by"
        );
        assert_ne!(
            same,
            key(&PUBLISH.replace("127.0.0.1:5062", "localhost:5062"), 5062),
            "host of sent-by"
        );
        assert_ne!(
            same,
            key(&PUBLISH.replace("PUBLISH", "SUBSCRIBE"), 5062),
            "method"
        );
        assert_ne!(same, key(PUBLISH, 5064), "source");
        let [name, address] =
            ["abc", "97.98.99.0"].map(|host| key(&PUBLISH.replace("127.0.0.1:5062", host), 5062));
        assert_ne!(name, address, "a name with the bytes of an address");
    }

    #[test]
    fn without_a_branch_of_this_century_everything_is_compared() {
        for old in ["", ";branch=z9hG4bK", ";branch=1"] {
            let old = PUBLISH.replace(";branch=z9hG4bKa", old);
            let same = key(&old, 5062);
            assert_eq!(same, key(&old, 5062));
            for (what, other) in [
                (
                    "Request-URI",
                    old.replace("PUBLISH sip:bob", "PUBLISH sip:eve"),
                ),
                ("From tag", old.replace("a1", "a2")),
                (
                    "To tag",
                    old.replace(
                        "To: <sip:bob@example.com>",
                        "To: <sip:bob@example.com>;tag=x",
                    ),
                ),
                ("Call-ID", old.replace("c1", "c2")),
                ("CSeq", old.replace("CSeq: 7", "CSeq: 8")),
                ("Via", old.replace("1:5062", "1:5063")),
            ] {
                assert_ne!(same, key(&other, 5062), "{what}");
            }
        }
    }
}
