//! What the server has promised on the wire, and whether it keeps it: read from the datagrams that leave and reach it, and from its
//! disk, never from what the server says of itself.
//!
//! A promise is doubtful, and then not held against the server, when something on the wire may have ended it that the wire does not
//! show: a PUBLISH of that entity-tag that was carried out before a crash swallowed its answer, say.

mod notify;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use rollcall_core::sip::{Message, Method, Name};
use rollcall_core::time::Timestamp;

use super::disk::{Proof, SimDisk};
use super::ledger::{Invariant, Ledger};
use crate::transport::memory::{Delivery, Fate};

/// A request is answered within this: all retransmissions of a transaction (64*T1), and some more.
const ANSWERED_WITHIN: Duration = Duration::from_secs(40);
/// An unanswered NOTIFY of this age may have ended its subscription (Timer F is 32 s; a host may be slow meanwhile).
const NOTIFY_MAY_FAIL: Duration = Duration::from_secs(25);
/// A promise is held against the server until so long before it ends.
const MARGIN: Duration = Duration::from_secs(2);

/// Promises of the server.
pub struct Promises {
    server: IpAddr,
    disk: SimDisk,
    /// Lives of the server: counted up by each start.
    life: u32,
    /// Whether it is up, and no disk or host holds it up.
    is_able: bool,
    /// How much later the server's clock is than ours, in milliseconds.
    ahead: i64,
    /// Requests that reached the server, by branch.
    requests: BTreeMap<String, Request>,
    tags: BTreeMap<String, Tag>,
    dialogs: BTreeMap<(String, String), Dialog>,
    /// Until when, by address of record and contact, on the server's clock.
    bindings: BTreeMap<(String, String), Timestamp>,
    /// Watchers that are blocked, by presentity and watcher: no state for them.
    blocked: BTreeSet<(String, String)>,
}

#[derive(Debug)]
struct Request {
    first: Timestamp,
    life: u32,
    /// Whether the server could do its work from then on.
    is_owed: bool,
    method: Method,
    id: (String, u32),
    uri: String,
    if_match: Option<String>,
    /// A REGISTER that takes contacts out.
    unbinds: bool,
    answered: Option<u16>,
}

#[derive(Debug)]
struct Tag {
    presentity: String,
    given: Timestamp,
    /// On the server's clock.
    until: Timestamp,
    /// The request that was answered 2xx with this tag in SIP-If-Match.
    used_by: Option<(String, u32)>,
}

#[derive(Debug, Default)]
struct Dialog {
    /// On the server's clock.
    until: Option<Timestamp>,
    /// Something may have ended it.
    doubtful: bool,
    /// CSeq of the NOTIFY that said `terminated`, and the life of the server that sent it.
    terminated: Option<(u32, u32)>,
    /// NOTIFYs without a 2xx, by branch.
    open: BTreeMap<String, Timestamp>,
    /// All NOTIFYs, by branch.
    sent: BTreeSet<String>,
}

impl Promises {
    /// None yet, of the server at this address.
    pub fn new(server: IpAddr, disk: SimDisk) -> Self {
        Self {
            server,
            disk,
            life: 0,
            is_able: false,
            ahead: 0,
            requests: BTreeMap::new(),
            tags: BTreeMap::new(),
            dialogs: BTreeMap::new(),
            bindings: BTreeMap::new(),
            blocked: BTreeSet::new(),
        }
    }

    /// The server has come up, with a clock so many milliseconds ahead of ours.
    pub fn server_starts(&mut self, at: Timestamp, ahead: i64) {
        // What has ended on its clock has ended, even if the clock is set back later.
        self.forget_expired(at);
        self.life += 1;
        self.ahead = ahead;
        self.is_able = true;
        self.forget_expired(at);
    }

    fn forget_expired(&mut self, at: Timestamp) {
        let now = self.on_servers_clock(at);
        let is_alive = |until: Timestamp| until > now + MARGIN;
        self.tags.retain(|_, tag| is_alive(tag.until));
        self.bindings.retain(|_, until| is_alive(*until));
        for dialog in self.dialogs.values_mut() {
            dialog.until = dialog.until.filter(|until| is_alive(*until));
        }
    }

    /// The server can or can't do its work from now on: it has crashed, is slow, or its disk hangs. What it was asked before is not owed
    /// an answer any more.
    pub fn server_is_able(&mut self, at: Timestamp, is_able: bool, ledger: &mut Ledger) {
        if is_able == self.is_able {
            return;
        }
        self.check_answers(at, ledger);
        self.is_able = is_able;
        // A slow host may think that a NOTIFY was not answered in time.
        for dialog in self.dialogs.values_mut() {
            dialog.doubtful |= !dialog.open.is_empty();
        }
        for request in self.requests.values_mut() {
            request.is_owed = false;
        }
    }

    /// It was decided and stored that this watcher is blocked, or not any more.
    pub fn block(&mut self, presentity: &str, watcher: &str, is_blocked: bool) {
        let names = (presentity.to_owned(), watcher.to_owned());
        if is_blocked {
            self.blocked.insert(names);
        } else {
            self.blocked.remove(&names);
        }
    }

    fn on_servers_clock(&self, at: Timestamp) -> Timestamp {
        let shift = Duration::from_millis(self.ahead.unsigned_abs());
        if self.ahead >= 0 {
            at + shift
        } else {
            Timestamp::from_millis(at.as_millis().saturating_sub(self.ahead.unsigned_abs()))
        }
    }

    /// A datagram that could be read.
    pub fn see(
        &mut self,
        at: Timestamp,
        delivery: &Delivery<'_>,
        message: &Message,
        ledger: &mut Ledger,
    ) {
        let (Ok(call_id), Ok(cseq)) = (message.call_id(), message.cseq()) else {
            return;
        };
        let Some(branch) = message.top_branch() else {
            return;
        };
        let id = (call_id.to_owned(), cseq.number);
        if delivery.fate == Fate::Sent && delivery.from.ip() == self.server {
            match message.status() {
                Some(status) if status.code() >= 200 => {
                    self.answered(at, &branch, status.code(), message, ledger);
                }
                Some(_) => {}
                None => self.notified(at, &branch, cseq.number, message, ledger),
            }
        } else if delivery.fate == Fate::Delivered && delivery.to.ip() == self.server {
            match message.method() {
                Some(method @ (Method::Publish | Method::Subscribe | Method::Register)) => {
                    let unbinds = *method == Method::Register && message.expires() == Ok(Some(0));
                    if unbinds {
                        // Carried out, maybe, and not answered.
                        self.unbind(message);
                    }
                    if *method == Method::Subscribe && message.expires() == Ok(Some(0)) {
                        self.unsubscribe(message);
                    }
                    self.requests
                        .entry(branch.into_owned())
                        .or_insert_with(|| Request {
                            first: at,
                            life: self.life,
                            is_owed: self.is_able,
                            method: method.clone(),
                            id,
                            uri: message.uri_text().to_owned(),
                            if_match: message.text(Name::SipIfMatch).map(|tag| tag.into_owned()),
                            unbinds,
                            answered: None,
                        });
                }
                Some(_) => {}
                None if cseq.method == Method::Notify => self.notify_answered(&branch, message),
                None => {}
            }
        }
    }

    /// The server answers a request.
    fn answered(
        &mut self,
        at: Timestamp,
        branch: &str,
        code: u16,
        message: &Message,
        ledger: &mut Ledger,
    ) {
        let Some(request) = self.requests.get_mut(branch) else {
            return;
        };
        let is_first = request.answered.is_none();
        request.answered = Some(code);
        request.is_owed = false;
        if !is_first {
            return;
        }
        let (method, id, life) = (request.method.clone(), request.id.clone(), request.life);
        let (unbinds, first) = (request.unbinds, request.first);
        let expires = message.expires().ok().flatten().unwrap_or(0);
        let is_success = (200..300).contains(&code);
        match method {
            Method::Publish if is_success => self.published(at, branch, expires, message, ledger),
            Method::Publish if code == 412 => self.tag_refused(at, branch, life, ledger),
            Method::Subscribe if is_success => {
                self.subscribed(at, id, expires, first, message, ledger)
            }
            Method::Subscribe if code == 481 => self.dialog_refused(at, message, ledger),
            Method::Register if is_success && unbinds => self.unbind(message),
            Method::Register if is_success => self.registered(at, id, message, ledger),
            _ => {}
        }
    }

    fn published(
        &mut self,
        at: Timestamp,
        branch: &str,
        expires: u32,
        message: &Message,
        ledger: &mut Ledger,
    ) {
        let Some(request) = self.requests.get(branch) else {
            return;
        };
        // Granted when it is decided, which may be long before a slow disk lets the answer leave.
        let until = self.on_servers_clock(request.first) + Duration::from_secs(expires.into());
        let (presentity, id) = (request.uri.clone(), request.id.clone());
        let before = request.if_match.clone();
        if let Some(before) = before.and_then(|tag| self.tags.get_mut(&tag)) {
            match &before.used_by {
                Some(other) if *other != id => {
                    let what = format!(
                        "PUBLISH {other:?} and {id:?} were both answered 2xx for one entity-tag of {presentity}"
                    );
                    ledger.violation(Invariant::OneSuccess, at, what);
                }
                Some(_) | None => before.used_by = Some(id),
            }
        }
        let Some(etag) = message.text(Name::SipEtag) else {
            return;
        };
        if expires == 0 {
            return;
        }
        self.prove(at, Proof::Publication(etag.to_string()), ledger);
        let tag = Tag {
            presentity,
            given: at,
            until,
            used_by: None,
        };
        self.tags.insert(etag.into_owned(), tag);
    }

    /// A 2xx is leaving: what it promises must be on disk.
    fn prove(&self, at: Timestamp, proof: Proof, ledger: &mut Ledger) {
        if !self.disk.has_had(&proof) {
            let what = format!("a 2xx left before {proof:?} was on disk");
            ledger.violation(Invariant::AnswerAfterCommit, at, what);
        }
    }

    /// 412: the tag must have ended.
    fn tag_refused(&mut self, at: Timestamp, branch: &str, life: u32, ledger: &mut Ledger) {
        let now = self.on_servers_clock(at);
        let Some(name) = self
            .requests
            .get(branch)
            .and_then(|request| request.if_match.clone())
        else {
            return;
        };
        let Some(tag) = self.tags.get(&name) else {
            return;
        };
        // Carried out in an earlier life, or by another request, of which we have not heard; or a publisher that had lost its tag took
        // the publication over (docs/adr/0007).
        let doubtful = tag.used_by.is_some()
            || life != self.life
            || self.requests.iter().any(|(other, request)| {
                other != branch
                    && match &request.if_match {
                        Some(tag) => *tag == name,
                        None => {
                            request.method == Method::Publish
                                && request.uri == tag.presentity
                                && request.first + ANSWERED_WITHIN >= tag.given
                        }
                    }
            });
        if !doubtful && tag.until > now + MARGIN {
            let left = tag.until.since(now).as_secs();
            let what = format!(
                "{} was answered 2xx with entity-tag {name}, which was refused {left} s before it ends",
                tag.presentity
            );
            ledger.violation(Invariant::AcknowledgedLoss, at, what);
        }
    }

    fn subscribed(
        &mut self,
        at: Timestamp,
        id: (String, u32),
        expires: u32,
        first: Timestamp,
        message: &Message,
        ledger: &mut Ledger,
    ) {
        let Some(tag) = message.to_tag() else { return };
        let until = self.on_servers_clock(first) + Duration::from_secs(expires.into());
        let dialog = self.dialogs.entry((id.0.clone(), tag)).or_default();
        if expires == 0 {
            dialog.until = None;
            return;
        }
        dialog.until = Some(until);
        self.prove(at, Proof::Subscription(id.0, id.1), ledger);
    }

    /// The end of a subscription is asked for: carried out, maybe, and not answered.
    fn unsubscribe(&mut self, message: &Message) {
        if let (Some(tag), Ok(call_id)) = (message.to_tag(), message.call_id())
            && let Some(dialog) = self.dialogs.get_mut(&(call_id.to_owned(), tag))
        {
            dialog.until = None;
        }
    }

    /// 481: the subscription must have ended.
    fn dialog_refused(&mut self, at: Timestamp, message: &Message, ledger: &mut Ledger) {
        let now = self.on_servers_clock(at);
        let (Some(tag), Ok(call_id)) = (message.to_tag(), message.call_id()) else {
            return;
        };
        let Some(dialog) = self.dialogs.get(&(call_id.to_owned(), tag)) else {
            return;
        };
        let unanswered = dialog
            .open
            .values()
            .any(|sent| *sent + NOTIFY_MAY_FAIL < at);
        let doubtful = dialog.doubtful || dialog.terminated.is_some() || unanswered;
        if let Some(until) = dialog.until
            && !doubtful
            && until > now + MARGIN
        {
            let left = until.since(now).as_secs();
            let what = format!(
                "subscription {call_id} was answered 2xx, and was not known {left} s before it ends"
            );
            ledger.violation(Invariant::AcknowledgedLoss, at, what);
        }
    }

    fn registered(
        &mut self,
        at: Timestamp,
        id: (String, u32),
        message: &Message,
        ledger: &mut Ledger,
    ) {
        let now = self.on_servers_clock(at);
        let Ok(to) = message.to() else { return };
        let aor = to.uri.to_string();
        let listed: BTreeMap<String, u64> = message
            .contacts()
            .unwrap_or_default()
            .iter()
            .map(|contact| {
                let expires = contact
                    .params
                    .get("expires")
                    .and_then(|text| text.parse().ok());
                (contact.uri.to_string(), expires.unwrap_or(0))
            })
            .collect();
        for ((of, contact), until) in &self.bindings {
            if *of == aor && *until > now + MARGIN && !listed.contains_key(contact) {
                let left = until.since(now).as_secs();
                let what = format!(
                    "{contact} of {aor} was registered, and was not known {left} s before it ends"
                );
                ledger.violation(Invariant::AcknowledgedLoss, at, what);
            }
        }
        if !listed.is_empty()
            && !self.disk.has_had(&Proof::Binding(id.0.clone(), id.1))
            && !self.is_query(&id)
        {
            self.prove(at, Proof::Binding(id.0, id.1), ledger);
        }
        self.bindings.retain(|(of, _), _| *of != aor);
        for (contact, expires) in listed {
            let until = now + Duration::from_secs(expires);
            self.bindings.insert((aor.clone(), contact), until);
        }
    }

    fn unbind(&mut self, register: &Message) {
        if let Ok(to) = register.to() {
            let aor = to.uri.to_string();
            self.bindings.retain(|(of, _), _| *of != aor);
        }
    }

    /// Whether the REGISTER had no Contact: phones ask with a Call-ID that says so.
    fn is_query(&self, id: &(String, u32)) -> bool {
        id.0.starts_with("query")
    }

    /// The end: every request that the server could answer must have been.
    pub fn settle(&mut self, at: Timestamp, ledger: &mut Ledger) {
        let conflicts = self.disk.conflicts();
        if conflicts > 0 {
            let what = format!("{conflicts} commits were decided from an old version");
            ledger.violation(Invariant::SingleWriter, at, what);
        }
        self.check_answers(at, ledger);
    }

    fn check_answers(&self, at: Timestamp, ledger: &mut Ledger) {
        for request in self.requests.values() {
            if request.is_owed && request.first + ANSWERED_WITHIN < at {
                let what = format!(
                    "{} {:?} was never answered",
                    request.method.as_str(),
                    request.id
                );
                ledger.violation(Invariant::EveryAnswer, at, what);
            }
        }
    }
}
