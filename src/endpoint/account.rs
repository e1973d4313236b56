//! An account of ours: requests that are challenged go out again with credentials (RFC 3261, 22.2, 22.3).
//!
//! A module sees one request and its last answer. The CSeq of a request that went out again is higher than it had written;
//! the answer tells it.

use std::collections::BTreeMap;

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::Origin;
use crate::digest::{Answerer, Credentials};
use crate::entropy::Entropy;
use crate::exchange::{Outgoing, Token};
use crate::sip::{CSeq, Message, Uri};

/// Times that a request goes out: without credentials, with them, and once more with a fresh nonce.
const MAX_TRIES: u8 = 3;
/// Servers whose challenges are remembered; beyond that all are forgotten, which costs a challenge each.
const MAX_SERVERS: usize = 1024;

/// Our credentials, the servers that have asked for them, and the requests that may have to go out again.
#[derive(Debug)]
pub(super) struct Account {
    credentials: Credentials,
    /// By host of the next hop.
    answerers: BTreeMap<String, Answerer>,
    waiting: FxHashMap<(Origin, Token), Waiting>,
}

#[derive(Debug)]
struct Waiting {
    outgoing: Outgoing,
    tries: u8,
}

impl Account {
    pub fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            answerers: BTreeMap::new(),
            waiting: FxHashMap::default(),
        }
    }

    /// Keeps a request until it has ended.
    pub fn keep(&mut self, origin: Origin, outgoing: &Outgoing) {
        let waiting = Waiting {
            outgoing: outgoing.clone(),
            tries: 1,
        };
        self.waiting.insert((origin, outgoing.token), waiting);
    }

    /// A request has ended.
    pub fn forget(&mut self, origin: Origin, token: Token) {
        self.waiting.remove(&(origin, token));
    }

    /// The header that a request bears for a server which has asked for credentials before, as a line.
    pub fn authorize(&mut self, outgoing: &Outgoing, entropy: &mut Entropy) -> Option<String> {
        let answerer = self.answerers.get_mut(&server(outgoing))?;
        let (name, value) = answerer.authorize(outgoing.method.as_str(), &outgoing.uri, entropy);
        Some(format!("{}: {value}\r\n", name.as_str()))
    }

    /// The request that goes out again, if the response is a challenge that can be answered.
    pub fn answer(&mut self, origin: Origin, token: Token, response: &Message) -> Option<Outgoing> {
        let waiting = self.waiting.get_mut(&(origin, token))?;
        let server = server(&waiting.outgoing);
        if !matches!(response.status()?.code(), 401 | 407) {
            if let Some(answerer) = self.answerers.get_mut(&server) {
                answerer.follow(response);
            }
            return None;
        }
        let before = self.answerers.get(&server).filter(|_| waiting.tries > 1);
        let answerer = Answerer::new(response, &self.credentials, before);
        let Some(answerer) = answerer.filter(|_| waiting.tries < MAX_TRIES) else {
            self.answerers.remove(&server);
            return None;
        };
        if self.answerers.len() >= MAX_SERVERS {
            self.answerers.clear();
        }
        self.answerers.insert(server, answerer);
        waiting.tries += 1;
        waiting.outgoing.head = with_next_cseq(&waiting.outgoing.head)?;
        Some(waiting.outgoing.clone())
    }
}

/// Whom a request goes to: who challenges it.
fn server(outgoing: &Outgoing) -> String {
    let hop = outgoing.first_route.as_deref().unwrap_or(&outgoing.uri);
    match Uri::parse(hop) {
        Ok(uri) => uri.host.to_string(),
        Err(_) => hop.to_owned(),
    }
}

/// Header lines with a CSeq higher by one: a request with other headers is another request (RFC 3261, 22.2).
pub(super) fn with_next_cseq(head: &Bytes) -> Option<Bytes> {
    let text = std::str::from_utf8(head).ok()?;
    let begin = text.find("CSeq: ")? + "CSeq: ".len();
    let end = begin + text[begin..].find("\r\n")?;
    let cseq = CSeq::parse(&text[begin..end]).ok()?;
    let next = format!("{} {}", cseq.number.checked_add(1)?, cseq.method.as_str());
    Some([&text[..begin], &next, &text[end..]].concat().into())
}
