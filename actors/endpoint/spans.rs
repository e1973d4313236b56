//! A span for each transaction, from its request to its end, in SIP's words. There are none unless somebody wants to see
//! them (level debug): without, each message costs a look at a flag.

use std::collections::BTreeMap;
use std::time::Duration;

use rollcall_core::endpoint::{Effect, Origin};
use rollcall_core::exchange::{Incoming, Outcome, OutcomeResult, Reply, Token};
use rollcall_core::sip::{Message, Method, Name};
use rollcall_core::time::Timestamp;
use tracing::{Level, Span, debug, debug_span};

/// The transactions that are under way, as far as the log follows them.
#[derive(Debug)]
pub(super) struct Spans {
    /// After that a request without an answer is forgotten, as the core forgets it.
    lifetime: Duration,
    /// By the transaction's number, which is also the order of time.
    servers: BTreeMap<u64, (Timestamp, Span)>,
    clients: BTreeMap<(Origin, Token), Span>,
    /// Requests that wait for a way, by ticket.
    asked: BTreeMap<u64, (Origin, Token)>,
}

fn wanted() -> bool {
    tracing::enabled!(Level::DEBUG)
}

impl Spans {
    pub fn new(lifetime: Duration) -> Self {
        Self {
            lifetime,
            servers: BTreeMap::new(),
            clients: BTreeMap::new(),
            asked: BTreeMap::new(),
        }
    }

    /// The core was made anew: requests that came are forgotten, those that modules sent have their outcomes.
    pub fn forget_servers(&mut self) {
        self.servers.clear();
    }

    /// A server transaction begins.
    pub fn request(&mut self, incoming: &Incoming, now: impl FnOnce() -> Timestamp) {
        if !wanted() {
            return;
        }
        let now = now();
        while let Some(entry) = self.servers.first_entry() {
            if entry.get().0 + self.lifetime >= now {
                break;
            }
            let (_, span) = entry.remove();
            debug!(parent: &span, reason = "the module gave no answer", "unanswered");
        }
        let message = &incoming.message;
        let span = debug_span!(
            "server_transaction",
            transport = %incoming.flow.transport,
            remote = %incoming.flow.remote,
            method = message.method().map(Method::as_str),
            presentity = presentity(message),
            call_id = message.call_id().ok(),
            branch = branch(message),
            etag = message.text(Name::SipIfMatch).as_deref(),
        );
        debug!(parent: &span, "request");
        self.servers
            .insert(incoming.transaction.number, (now, span));
    }

    /// A server transaction is answered by its module.
    pub fn reply(&mut self, reply: &Reply) {
        if let Some((_, span)) = self.servers.remove(&reply.transaction.number) {
            let reason = reply.reason.as_deref().unwrap_or(reply.status.reason());
            let etag = header(&reply.head, Name::SipEtag.as_str());
            debug!(parent: &span, status = reply.status.code(), reason, etag, "answer");
        }
    }

    /// What the core made of a message: the endpoint's own answers to requests are not in any transaction.
    pub fn received(&self, effects: &[Effect]) {
        if effects.is_empty() || !wanted() {
            return;
        }
        for effect in effects {
            let Effect::Send { flow, bytes } = effect else {
                continue;
            };
            let Ok(answer) = Message::parse(bytes.clone()) else {
                continue;
            };
            debug!(
                transport = %flow.transport,
                remote = %flow.remote,
                call_id = answer.call_id().ok(),
                branch = branch(&answer),
                status = answer.status().map(|status| status.code()),
                reason = answer.reason(),
                "answered by the endpoint"
            );
        }
    }

    /// A module's request was given to the core, which wants this.
    pub fn sent(&mut self, origin: Origin, token: Token, effects: &[Effect]) {
        if !wanted() {
            return;
        }
        match effects.last() {
            Some(Effect::Send { flow, bytes }) => {
                let Ok(message) = Message::parse(bytes.clone()) else {
                    return;
                };
                let span = debug_span!(
                    "client_transaction",
                    transport = %flow.transport,
                    remote = %flow.remote,
                    method = message.method().map(Method::as_str),
                    presentity = presentity(&message),
                    call_id = message.call_id().ok(),
                    branch = branch(&message),
                    etag = message.text(Name::SipIfMatch).as_deref(),
                );
                debug!(parent: &span, "request");
                self.clients.insert((origin, token), span);
            }
            Some(Effect::Locate { ticket, wanted }) => {
                debug!(host = wanted.host, "the servers of a name are looked for");
                self.asked.insert(*ticket, (origin, token));
            }
            Some(Effect::Route { ticket, host, .. }) => {
                debug!(host, "a way is looked for");
                self.asked.insert(*ticket, (origin, token));
            }
            // It has failed already, and its outcome says so.
            Some(_) | None => {}
        }
    }

    /// The core was told of a way, and wants this.
    pub fn routed(&mut self, ticket: u64, effects: &[Effect]) {
        if let Some((origin, token)) = self.asked.remove(&ticket) {
            self.sent(origin, token, effects);
        }
    }

    /// A client transaction ends.
    pub fn outcome(&mut self, origin: Origin, outcome: &Outcome) {
        if self.clients.is_empty() && self.asked.is_empty() && !wanted() {
            return;
        }
        let key = (origin, outcome.token);
        self.asked.retain(|_, asked| *asked != key);
        let span = self.clients.remove(&key).unwrap_or_else(Span::none);
        match &outcome.result {
            OutcomeResult::Response(response, _) => debug!(
                parent: &span,
                status = response.status().map(|status| status.code()),
                reason = response.reason(),
                etag = response.text(Name::SipEtag).as_deref(),
                "answer"
            ),
            OutcomeResult::Timeout => debug!(parent: &span, reason = "timeout", "no answer"),
            OutcomeResult::TransportError(reason) => {
                debug!(parent: &span, reason, "could not be sent")
            }
        }
    }
}

/// Whom a request is about: its Request-URI, but NOTIFY comes from the presentity, and within a dialog and in REGISTER
/// the Request-URI is a contact or a server.
fn presentity(message: &Message) -> Option<String> {
    let uri = match message.method() {
        Some(Method::Notify) => message.from().map(|from| from.uri),
        Some(Method::Register) => message.to().map(|to| to.uri),
        Some(_) if message.to_tag().is_some() => message.to().map(|to| to.uri),
        Some(_) | None => message.request_uri(),
    };
    uri.ok().map(|uri| uri.aor())
}

fn branch(message: &Message) -> Option<String> {
    let via = message.via().ok()?;
    via.branch().map(str::to_owned)
}

/// The value of a header among whole lines of our own writing.
fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let lines = std::str::from_utf8(head).ok()?.lines();
    lines
        .filter_map(|line| line.split_once(": "))
        .find(|(own, _)| *own == name)
        .map(|(_, value)| value)
}
