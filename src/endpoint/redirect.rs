//! Requests of ours that are redirected (RFC 3261, 8.1.3.4): they go out again to where the 3xx points.
//!
//! As with challenges, a module sees one request and its last answer.

use std::collections::{BTreeSet, VecDeque};

use rustc_hash::FxHashMap;

use super::Origin;
use super::account::with_next_cseq;
use crate::exchange::{Destination, Outgoing, Token};
use crate::sip::{Message, NameAddr, Scheme, Uri};

/// Places that one request may be sent on to.
const MOST_PLACES: usize = 5;

/// Requests that may be redirected.
#[derive(Debug, Default)]
pub(super) struct Redirects {
    waiting: FxHashMap<(Origin, Token), Waiting>,
}

#[derive(Debug)]
struct Waiting {
    outgoing: Outgoing,
    /// Places that it was or will be sent to: none twice, or two servers could keep it for ever.
    known: BTreeSet<String>,
    next: VecDeque<String>,
}

impl Redirects {
    /// Keeps a request until it has ended. One within a dialog has its place from that.
    pub fn keep(&mut self, origin: Origin, outgoing: &Outgoing) {
        if !is_in_dialog(outgoing) {
            let waiting = Waiting {
                known: BTreeSet::from([outgoing.uri.clone()]),
                outgoing: outgoing.clone(),
                next: VecDeque::new(),
            };
            self.waiting.insert((origin, outgoing.token), waiting);
        }
    }

    /// A request went out again in another form.
    pub fn renew(&mut self, origin: Origin, outgoing: &Outgoing) {
        if let Some(waiting) = self.waiting.get_mut(&(origin, outgoing.token)) {
            waiting.outgoing = outgoing.clone();
        }
    }

    /// A request has ended.
    pub fn forget(&mut self, origin: Origin, token: Token) {
        self.waiting.remove(&(origin, token));
    }

    /// The request that goes out again, if the response names a place that it has not been at, or if such a place has
    /// nothing for it and there is another.
    pub fn follow(&mut self, origin: Origin, token: Token, response: &Message) -> Option<Outgoing> {
        let waiting = self.waiting.get_mut(&(origin, token))?;
        match response.status()?.code() {
            300..=302 => waiting.add(response),
            404 | 410 | 480 | 500..=599 => {}
            _ => return None,
        }
        let place = waiting.next.pop_front()?;
        let outgoing = &mut waiting.outgoing;
        outgoing.uri = place;
        outgoing.first_route = None;
        outgoing.destination = Destination::NextHop;
        outgoing.head = with_next_cseq(&outgoing.head)?;
        Some(outgoing.clone())
    }
}

impl Waiting {
    /// Takes the places of a 3xx, the most wanted ones first.
    fn add(&mut self, response: &Message) {
        let mut contacts = response.contacts().unwrap_or_default();
        contacts.sort_by_key(|contact| std::cmp::Reverse(contact.q().unwrap_or(1000)));
        let hop = self.outgoing.first_route.as_deref();
        let secure = Uri::parse(hop.unwrap_or(&self.outgoing.uri)).is_ok_and(|uri| is_secure(&uri));
        for contact in contacts.iter().filter(|contact| !contact.is_wildcard()) {
            let Some(place) = place(contact, secure) else {
                continue;
            };
            if self.known.len() <= MOST_PLACES && self.known.insert(place.clone()) {
                self.next.push_back(place);
            }
        }
    }
}

/// A contact as a Request-URI; none for other schemes, and none that would take a request out of TLS.
fn place(contact: &NameAddr, secure: bool) -> Option<String> {
    if !matches!(contact.uri.scheme, Scheme::Sip | Scheme::Sips)
        || secure && !is_secure(&contact.uri)
    {
        return None;
    }
    let mut uri = contact.uri.clone();
    uri.headers = None;
    uri.params.remove("method");
    Some(uri.to_string())
}

fn is_secure(uri: &Uri) -> bool {
    let transport = uri.params.get("transport");
    uri.scheme == Scheme::Sips || transport.is_some_and(|own| own.eq_ignore_ascii_case("tls"))
}

fn is_in_dialog(outgoing: &Outgoing) -> bool {
    let head = String::from_utf8_lossy(&outgoing.head);
    let mut lines = head.split("\r\n");
    lines.any(|line| line.starts_with("To: ") && line.contains(";tag="))
}
