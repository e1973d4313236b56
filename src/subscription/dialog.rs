//! The dialog of a subscription at the notifier (RFC 3261, 12; RFC 6665, 4.4.1).
//!
//! A row is small: what all NOTIFYs of the dialog have in common is one prepared block of header lines, in which Call-ID
//! and tag are found again by their places; the same block is what the store keeps.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::{EndReason, SubscribeError};
use crate::exchange::{
    Destination, Flow, Identity, Incoming, LOCAL_CONTACT, Outgoing, Shard, Token,
};
use crate::registry::{Span, SubscriptionRecord};
use crate::sip::{Head, HeaderError, Message, Method, Name, NameAddr, Uri};
use crate::time::Timestamp;

/// Bits of CSeq that count NOTIFYs within an epoch of the store (docs/adr/0005).
const COUNTED_BITS: u32 = 20;
/// CSeq stays below 2^31.
const MAX_EPOCHS: u64 = 1 << (31 - COUNTED_BITS);

/// Our tag of a dialog: the shard in two hexadecimal digits, then 64 random bits in sixteen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTag {
    /// Whose dialog it is.
    pub shard: Shard,
    /// Its number there.
    pub dialog: u64,
}

impl LocalTag {
    /// Reads a To tag; `None` if it can't be one of ours.
    pub fn parse(tag: &str) -> Option<Self> {
        let ours = tag.len() == 18 && tag.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !ours {
            return None;
        }
        let (shard, dialog) = tag.split_at(2);
        Some(Self {
            shard: Shard::from_str_radix(shard, 16).ok()?,
            dialog: u64::from_str_radix(dialog, 16).ok()?,
        })
    }
}

impl std::fmt::Display for LocalTag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02x}{:016x}", self.shard, self.dialog)
    }
}

/// A dialog, from the side that sends NOTIFY.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// Our tag.
    pub tag: LocalTag,
    head: Bytes,
    call_id: Span,
    remote_tag: Span,
    target: Arc<str>,
    first_route: Option<Arc<str>>,
    flow: Flow,
    direct: bool,
    /// CSeq of the last SUBSCRIBE.
    pub remote_cseq: u32,
    epoch: u64,
    /// Who watches, where that is not whom From names.
    account: Option<Arc<str>>,
    /// NOTIFYs sent in this epoch.
    sent: u32,
    /// The subscriptions in it, by their rows. Mostly one.
    pub subscriptions: SmallVec<[u32; 2]>,
}

/// What one NOTIFY says beyond what the dialog knows.
#[derive(Clone, Copy, Debug)]
pub struct Notify<'a> {
    /// Event package.
    pub package: &'a str,
    /// `id` of the subscription.
    pub event_id: Option<&'a str>,
    /// Whether it lives.
    pub state: State,
    /// Media type of the body.
    pub content_type: &'a str,
    /// The state; empty: none.
    pub body: &'a Bytes,
}

/// What Subscription-State says (RFC 6665, 4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Accepted, until then.
    Active(Timestamp),
    /// Not decided yet; ends then.
    Pending(Timestamp),
    /// Over.
    Terminated(EndReason),
}

impl Dialog {
    /// The dialog that the 2xx to this SUBSCRIBE makes (RFC 3261, 12.1.1).
    pub fn open(incoming: &Incoming, tag: LocalTag, epoch: u64) -> Result<Self, SubscribeError> {
        let request = &incoming.message;
        let routes = request.routes(Name::RecordRoute)?;
        let mut local = request.to()?;
        local.params.set("tag", Some(&tag.to_string()));
        let remote = request.from()?;
        let call_id = request.call_id()?;
        let mut head = Head::with_capacity(320);
        for route in &routes {
            head.line(Name::Route, route);
        }
        head.line(Name::From, &local).line(Name::To, &remote);
        let call_id_at = head.as_bytes().len() + Name::CallId.as_str().len() + 2;
        head.line(Name::CallId, call_id);
        // The last line: see `forget_contact`.
        head.line(Name::Contact, contact(&incoming.flow));
        let head = head.finish();
        let span = |start: usize, len: usize| {
            Some(Span {
                start: u16::try_from(start).ok()?,
                len: u16::try_from(len).ok()?,
            })
        };
        let remote_tag = match remote.tag() {
            None | Some("") => Some(Span::default()),
            Some(tag) => find(&head, tag.as_bytes()).and_then(|at| span(at, tag.len())),
        };
        Ok(Self {
            tag,
            call_id: span(call_id_at, call_id.len()).ok_or(SubscribeError::DialogTooLarge)?,
            remote_tag: remote_tag.ok_or(SubscribeError::DialogTooLarge)?,
            head,
            target: target(request)?,
            first_route: routes.first().map(|route| route.uri.to_string().into()),
            flow: incoming.flow,
            direct: direct(incoming, routes.is_empty())?,
            remote_cseq: request.cseq()?.number,
            epoch,
            account: account(incoming, &remote)?,
            sent: 0,
            subscriptions: SmallVec::new(),
        })
    }

    /// The dialog of a stored subscription.
    pub fn of(record: &SubscriptionRecord) -> Self {
        Self {
            tag: LocalTag {
                shard: record.shard,
                dialog: record.dialog,
            },
            head: record.head.clone(),
            call_id: record.call_id,
            remote_tag: record.remote_tag,
            target: record.target.clone(),
            first_route: record.first_route.clone(),
            flow: record.flow,
            direct: record.direct,
            remote_cseq: record.remote_cseq,
            epoch: record.epoch,
            account: record.account.clone(),
            sent: 0,
            subscriptions: SmallVec::new(),
        }
    }

    /// What the store keeps of it, with a subscription in it.
    pub fn record(
        &self,
        aor: Arc<str>,
        package: Arc<str>,
        event_id: Option<Arc<str>>,
        expires_at: Timestamp,
    ) -> SubscriptionRecord {
        SubscriptionRecord {
            aor,
            package,
            event_id,
            expires_at,
            dialog: self.tag.dialog,
            shard: self.tag.shard,
            head: self.head.clone(),
            call_id: self.call_id,
            remote_tag: self.remote_tag,
            target: self.target.clone(),
            first_route: self.first_route.clone(),
            flow: self.flow,
            direct: self.direct,
            remote_cseq: self.remote_cseq,
            epoch: self.epoch,
            account: self.account.clone(),
        }
    }

    /// Connections do not outlive the process, and their numbers are given anew: NOTIFY goes to the next hop until the
    /// watcher is heard again.
    pub fn forget_connection(&mut self) {
        self.direct &= !self.flow.transport.is_reliable();
    }

    /// The node may listen elsewhere since it was started anew: what we are reached at is left to whoever sends NOTIFY.
    pub fn forget_contact(&mut self) {
        let Some(at) = memchr::memmem::rfind(&self.head, b"\r\nContact: ") else {
            return;
        };
        let mut head = Head::new();
        head.line(Name::Contact, format_args!("<sip:{LOCAL_CONTACT}>"));
        let mut whole = self.head[..at + 2].to_vec();
        whole.extend_from_slice(head.as_bytes());
        self.head = whole.into();
    }

    /// Whether a request with our tag belongs to it: Call-ID and the peer's tag agree as well (RFC 3261, 12.2.2).
    pub fn matches(&self, request: &Message) -> bool {
        let tag = request.from_tag().unwrap_or_default();
        self.remote_tag.of(&self.head) == tag.as_bytes()
            && request
                .call_id()
                .is_ok_and(|id| self.call_id.of(&self.head) == id.as_bytes())
    }

    /// The Call-ID, for the log and the operator.
    pub fn call_id(&self) -> String {
        String::from_utf8_lossy(self.call_id.of(&self.head)).into_owned()
    }

    /// Who watches: the canonical address of the account that subscribed, or of From where nobody was asked who it is.
    pub fn watcher(&self) -> String {
        if let Some(account) = &self.account {
            return account.to_string();
        }
        // The head is ours: its To line is the subscriber's From.
        let line = find(&self.head, b"\r\nTo: ").map(|at| &self.head[at + 6..]);
        let line = line.and_then(|rest| rest.split(|byte| *byte == b'\r').next());
        let text = line.and_then(|line| std::str::from_utf8(line).ok());
        let to = text.and_then(|text| NameAddr::parse(text).ok());
        to.map_or_else(String::new, |to| to.uri.aor())
    }

    /// Whether a request comes from the account that the dialog belongs to, as far as accounts are asked for.
    pub fn is_of(&self, incoming: &Incoming) -> bool {
        !matches!(incoming.identity, Identity::User(_))
            || incoming.identity.speaks_for(&self.watcher())
    }

    /// The remote target.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// A SUBSCRIBE in the dialog is a target refresh (RFC 3261, 12.2.2), and shows the way to the watcher anew. The
    /// dialog as it will be; without a Contact the target stays.
    pub fn refreshed(&self, incoming: &Incoming) -> Result<Self, SubscribeError> {
        let mut next = self.clone();
        if incoming.message.has(Name::Contact) {
            next.target = target(&incoming.message)?;
        }
        next.flow = incoming.flow;
        next.direct = direct(incoming, self.first_route.is_none())?;
        next.remote_cseq = incoming.message.cseq()?.number;
        Ok(next)
    }

    /// Takes over what [`Dialog::refreshed`] said, once it is stored. What happened meanwhile (NOTIFYs sent) stays.
    pub fn adopt(&mut self, record: &SubscriptionRecord) {
        self.target = record.target.clone();
        self.flow = record.flow;
        self.direct = record.direct;
        self.remote_cseq = self.remote_cseq.max(record.remote_cseq);
    }

    /// The 2xx to a NOTIFY is one to a target refresh: its Contact, if any, is the new target (RFC 3261, 12.2.1.2).
    pub fn answered(&mut self, response: &Message) {
        if response.has(Name::Contact)
            && let Ok(target) = target(response)
        {
            self.target = target;
        }
    }

    /// Whether there is no CSeq left for another NOTIFY that is sure to be higher than all before, also after a restart.
    pub fn is_exhausted(&self, epoch: u64) -> bool {
        self.sent + 2 >= 1 << COUNTED_BITS || epoch.saturating_sub(self.epoch) + 1 >= MAX_EPOCHS
    }

    /// The next NOTIFY.
    pub fn notify(
        &mut self,
        now: Timestamp,
        epoch: u64,
        token: Token,
        notify: &Notify<'_>,
    ) -> Outgoing {
        self.sent += 1;
        let epochs = epoch.saturating_sub(self.epoch).min(MAX_EPOCHS - 1);
        // Below 2^31 by the line above.
        let cseq = (epochs << COUNTED_BITS) as u32 | self.sent.min((1 << COUNTED_BITS) - 1);
        let mut text = String::with_capacity(192);
        let _ = write!(text, "CSeq: {cseq} NOTIFY\r\nEvent: {}", notify.package);
        if let Some(id) = notify.event_id {
            let _ = write!(text, ";id={id}");
        }
        let _ = match notify.state {
            State::Active(end) => {
                let left = end.seconds_from(now);
                write!(text, "\r\nSubscription-State: active;expires={left}\r\n")
            }
            State::Pending(end) => {
                let left = end.seconds_from(now);
                write!(text, "\r\nSubscription-State: pending;expires={left}\r\n")
            }
            State::Terminated(reason) => {
                let reason = reason.as_str();
                write!(
                    text,
                    "\r\nSubscription-State: terminated;reason={reason}\r\n"
                )
            }
        };
        if !notify.body.is_empty() {
            let _ = write!(text, "Content-Type: {}\r\n", notify.content_type);
        }
        let mut head = Vec::with_capacity(self.head.len() + text.len());
        head.extend_from_slice(&self.head);
        head.extend_from_slice(text.as_bytes());
        Outgoing {
            token,
            method: Method::Notify,
            uri: self.target.to_string(),
            first_route: self.first_route.as_deref().map(str::to_owned),
            head: head.into(),
            body: notify.body.clone(),
            destination: if self.direct {
                Destination::Flow(self.flow)
            } else {
                Destination::NextHop
            },
        }
    }
}

/// The address of an account that subscribes in another's name, or under a name that From does not say: with the
/// presentity's host where the account has none of its own.
fn account(incoming: &Incoming, from: &NameAddr) -> Result<Option<Arc<str>>, HeaderError> {
    let Identity::User(user) = &incoming.identity else {
        return Ok(None);
    };
    if incoming.identity.speaks_for(&from.uri.aor()) {
        return Ok(None);
    }
    let address = if user.contains('@') {
        format!("sip:{user}")
    } else {
        format!("sip:{user}@{}", incoming.message.request_uri()?.host)
    };
    let address = Uri::parse(&address).map_or(address, |uri| uri.aor());
    Ok(Some(address.into()))
}

/// Our Contact in a dialog: where the request reached us, so where the next one will (RFC 3261, 12.1.1).
pub fn contact(flow: &Flow) -> String {
    format!("<sip:{};transport={}>", flow.local, flow.transport.param())
}

/// Whether NOTIFY goes back the way the SUBSCRIBE came (docs/adr/0004).
fn direct(incoming: &Incoming, no_routes: bool) -> Result<bool, HeaderError> {
    Ok(incoming.flow.transport.is_reliable() || no_routes && incoming.message.vias()?.len() == 1)
}

/// The remote target: the one Contact, whose URI goes into request lines (RFC 3261, 12.1.1).
fn target(message: &Message) -> Result<Arc<str>, SubscribeError> {
    let mut contacts = message.contacts()?.into_iter();
    match (contacts.next(), contacts.next()) {
        (Some(contact), None) if !contact.is_wildcard() => Ok(request_uri(contact)),
        _ => Err(SubscribeError::NoContact),
    }
}

/// A Request-URI has no headers part (RFC 3261, 19.1.1, table 1).
fn request_uri(contact: NameAddr) -> Arc<str> {
    let uri = Uri {
        headers: None,
        ..contact.uri
    };
    uri.to_string().into()
}

/// Where the To line holds the tag: the last such place, since the Call-ID line comes after it only by chance with the
/// same text, and either is as good to compare with.
fn find(head: &[u8], tag: &[u8]) -> Option<usize> {
    memchr::memmem::rfind(head, tag)
}

#[cfg(test)]
#[path = "dialog_tests.rs"]
mod tests;
