//! The dialog of a subscription at the notifier (RFC 3261, 12; RFC 6665, 4.4.1).
//!
//! A row is small: what all NOTIFYs of the dialog have in common is one prepared block of header lines, in which Call-ID
//! and tag are found again by their places. What can be written as fast as copied is left out of it: our From and Contact.

use std::sync::Arc;

use super::block::{Block, Parts};
use super::from::FromLine;
use super::members::Members;
use super::way::Way;
use super::{LocalTag, Notify, SubscribeError};
use crate::digits;
use crate::exchange::{Flow, Incoming, LOCAL_CONTACT, Outgoing, Token};
use crate::registry::{Span, SubscriptionRecord};
use crate::sip::{Head, Message, Method, Name, NameAddr, Uri, push_address};
use crate::time::Timestamp;

/// Bits of CSeq that count NOTIFYs within an epoch of the store (docs/adr/0005).
const COUNTED_BITS: u32 = 20;
/// CSeq stays below 2^31.
const MAX_EPOCHS: u64 = 1 << (31 - COUNTED_BITS);

/// A dialog, from the side that sends NOTIFY.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// Our tag.
    pub tag: LocalTag,
    /// Header lines from Route to Call-ID without what `from` says, target, first route, account and flow.
    pub(super) block: Block,
    from: FromLine,
    call_id: Span,
    remote_tag: Span,
    pub(super) way: Way,
    /// Our Contact is left to whoever sends NOTIFY; else it is where the last SUBSCRIBE reached us.
    contact_unknown: bool,
    /// CSeq of the last SUBSCRIBE.
    pub remote_cseq: u32,
    epoch: u64,
    /// NOTIFYs sent in this epoch.
    pub(super) sent: u32,
    /// The subscriptions in it, by their rows. Mostly one.
    pub subscriptions: Members,
}

impl Dialog {
    /// The dialog that the 2xx to this SUBSCRIBE for a presentity makes (RFC 3261, 12.1.1). `watcher` is the name of whoever
    /// watches, where From does not say it.
    pub fn open(
        incoming: &Incoming,
        aor: &str,
        watcher: Option<&str>,
        tag: LocalTag,
        epoch: u64,
    ) -> Result<Self, SubscribeError> {
        let request = &incoming.message;
        let routes = request.routes(Name::RecordRoute)?;
        let to = request.text(Name::To).unwrap_or_default();
        let remote = request.text(Name::From).unwrap_or_default();
        let remote_tag = request.checked_from_tag()?.unwrap_or_default();
        let call_id = request.call_id()?;
        let too_large = || SubscribeError::DialogTooLarge;
        let mut head = Head::with_capacity(320);
        for route in &routes {
            head.line(Name::Route, route);
        }
        // To is our From, with our tag.
        let known = to.strip_prefix('<').and_then(|uri| uri.strip_suffix('>')) == Some(aor);
        let from_at = u16::try_from(head.as_bytes().len()).map_err(|_| too_large())?;
        if !known {
            let mut local = request.to()?;
            local.params.set("tag", Some(digits::text(&tag.digits())));
            head.line(Name::From, &local);
        }
        let remote_at = head.as_bytes().len();
        head.text(Name::To, &remote);
        let call_id_at = head.as_bytes().len() + Name::CallId.as_str().len() + 2;
        head.text(Name::CallId, call_id);
        let span = |start: usize, len: usize| {
            Some(Span {
                start: u16::try_from(start).ok()?,
                len: u16::try_from(len).ok()?,
            })
        };
        let remote_tag = match &*remote_tag {
            "" => Some(Span::default()),
            // Where the To line holds the tag: the last such place.
            tag => {
                let line = &head.as_bytes()[remote_at..call_id_at];
                memchr::memmem::rfind(line, tag.as_bytes())
                    .and_then(|at| span(remote_at + at, tag.len()))
            }
        };
        let call_id = span(call_id_at, call_id.len()).ok_or_else(too_large)?;
        let remote_tag = remote_tag.ok_or_else(too_large)?;
        let mut head = Vec::from(head);
        let (from, call_id, remote_tag) = if known {
            (FromLine::Line(from_at), call_id, remote_tag)
        } else {
            let from = FromLine::take(&mut head, aor, tag).ok_or_else(too_large)?;
            let without = |span| from.without(span, aor);
            (from, without(call_id), without(remote_tag))
        };
        let target = target(request)?;
        let first_route = routes.first().map(|route| route.uri.to_string());
        let parts = Parts {
            head: &head,
            target: &target,
            first_route: first_route.as_deref().unwrap_or_default(),
            account: watcher.unwrap_or_default(),
            flow: incoming.flow,
        };
        Ok(Self {
            tag,
            block: Block::new(&parts).ok_or_else(too_large)?,
            from,
            call_id,
            remote_tag,
            way: Way::of(
                incoming,
                direct(incoming, routes.is_empty()),
                first_route.as_deref().unwrap_or(&target),
            ),
            contact_unknown: false,
            remote_cseq: request.cseq()?.number,
            epoch,
            sent: 0,
            subscriptions: Members::default(),
        })
    }

    /// The dialog of a stored subscription; `None` if it is too large.
    pub fn of(record: &SubscriptionRecord) -> Option<Self> {
        let tag = LocalTag {
            shard: record.shard,
            dialog: record.dialog,
        };
        let contact_at = memchr::memmem::rfind(&record.head, b"\r\nContact: ");
        let lines = contact_at.map_or(record.head.len(), |at| at + 2);
        let mut head = record.head[..lines].to_vec();
        let from = FromLine::take(&mut head, &record.aor, tag)?;
        let parts = Parts {
            head: &head,
            target: &record.target,
            first_route: record.first_route.as_deref().unwrap_or_default(),
            account: record.account.as_deref().unwrap_or_default(),
            flow: record.flow,
        };
        Some(Self {
            tag,
            block: Block::new(&parts)?,
            from,
            call_id: from.without(record.call_id, &record.aor),
            remote_tag: from.without(record.remote_tag, &record.aor),
            way: Way::restored(record.way),
            contact_unknown: false,
            remote_cseq: record.remote_cseq,
            epoch: record.epoch,
            sent: 0,
            subscriptions: Members::default(),
        })
    }

    /// What the store keeps of it, with a subscription in it.
    pub fn record(
        &self,
        aor: Arc<str>,
        package: Arc<str>,
        event_id: Option<Arc<str>>,
        expires_at: Timestamp,
        fresh: Option<u64>,
    ) -> SubscriptionRecord {
        let mut head = Vec::with_capacity(self.block.head().len() + aor.len() + 112);
        self.write_head(&aor, &mut head);
        let (call_id, remote_tag) = (
            self.from.with(self.call_id, &aor),
            self.from.with(self.remote_tag, &aor),
        );
        SubscriptionRecord {
            aor,
            package,
            event_id,
            expires_at,
            dialog: self.tag.dialog,
            shard: self.tag.shard,
            head: head.into(),
            call_id,
            remote_tag,
            target: self.block.target().into(),
            first_route: self.block.first_route().map(Into::into),
            flow: self.block.flow(),
            way: self.way.record(),
            remote_cseq: self.remote_cseq,
            epoch: self.epoch,
            account: self.block.account().map(Into::into),
            fresh,
        }
    }

    /// Bytes of memory that it takes.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.block.size() + 16
    }

    /// The header lines that all NOTIFYs have in common: Route, From, To, Call-ID, Contact.
    pub(super) fn write_head(&self, aor: &str, out: &mut Vec<u8>) {
        self.from.put(self.block.head(), aor, self.tag, out);
        out.extend_from_slice(b"Contact: <");
        if self.contact_unknown {
            out.extend_from_slice(b"sip:");
            out.extend_from_slice(LOCAL_CONTACT.as_bytes());
        } else {
            push_contact(out, &self.block.flow());
        }
        out.extend_from_slice(b">\r\n");
    }

    /// Connections do not outlive the process, and their numbers are given anew: NOTIFY goes to the next hop until the
    /// watcher is heard again.
    pub fn forget_connection(&mut self) {
        self.way.forget_connection(&self.block.flow());
    }

    /// The node may listen elsewhere since it was started anew: what we are reached at is left to whoever sends NOTIFY.
    pub fn forget_contact(&mut self) {
        self.contact_unknown = true;
    }

    /// Whether a request with our tag belongs to it: Call-ID and the peer's tag agree as well (RFC 3261, 12.2.2).
    pub fn matches(&self, request: &Message) -> bool {
        let head = self.block.head();
        request.has_from_tag(self.remote_tag.of(head))
            && request
                .call_id()
                .is_ok_and(|id| self.call_id.of(head) == id.as_bytes())
    }

    /// The Call-ID, for the log and the operator.
    pub fn call_id(&self) -> String {
        String::from_utf8_lossy(self.call_id.of(self.block.head())).into_owned()
    }

    /// Who watches: the name that was found when the dialog was opened, or that From says.
    pub fn watcher(&self) -> String {
        if let Some(account) = self.block.account() {
            return account.to_owned();
        }
        // The head is ours: its To line is the subscriber's From.
        let head = self.block.head();
        let line = match head.strip_prefix(b"To: ") {
            Some(line) => Some(line),
            None => memchr::memmem::rfind(head, b"\r\nTo: ").map(|at| &head[at + 6..]),
        };
        let line = line.and_then(|rest| rest.split(|byte| *byte == b'\r').next());
        let text = line.and_then(|line| std::str::from_utf8(line).ok());
        let to = text.and_then(|text| NameAddr::parse(text).ok());
        to.map_or_else(String::new, |to| to.uri.aor())
    }

    /// The remote target.
    pub fn target(&self) -> &str {
        self.block.target()
    }

    /// A SUBSCRIBE in the dialog is a target refresh (RFC 3261, 12.2.2), and shows the way to the watcher anew. The
    /// dialog as it will be; without a Contact the target stays.
    pub fn refreshed(&self, incoming: &Incoming) -> Result<Self, SubscribeError> {
        let request = &incoming.message;
        // Mostly it is the one that is known.
        let same = !request.has(Name::Contact) || request.is_sole_contact(self.target());
        let target = match same {
            true => None,
            false => Some(target(request)?),
        };
        let no_routes = self.block.first_route().is_none();
        let hop = match self.block.first_route() {
            Some(route) => route,
            None => target.as_deref().unwrap_or(self.target()),
        };
        let way = Way::of(incoming, direct(incoming, no_routes), hop);
        let mut next = Self {
            way,
            remote_cseq: incoming.message.cseq()?.number,
            contact_unknown: false,
            ..self.clone()
        };
        next.lead(target.as_deref(), incoming.flow)?;
        next.go_on(self);
        Ok(next)
    }

    /// Takes over what [`Dialog::refreshed`] said, once it is stored. What happened meanwhile (NOTIFYs sent) stays.
    pub fn adopt(&mut self, mut next: Self) {
        next.go_on(self);
        self.block = next.block;
        self.way = next.way;
        self.contact_unknown = next.contact_unknown;
        self.remote_cseq = self.remote_cseq.max(next.remote_cseq);
    }

    /// The 2xx to a NOTIFY is one to a target refresh: its Contact, if any, is the new target (RFC 3261, 12.2.1.2).
    pub fn answered(&mut self, response: &Message) {
        if response.has(Name::Contact)
            && let Ok(target) = target(response)
        {
            let flow = self.block.flow();
            let other = target != self.target();
            // One that is too long changes nothing.
            if self.lead(Some(&target), flow).is_ok() && other && self.block.first_route().is_none()
            {
                self.way.turn(&flow, &target, response.raw().len());
            }
        }
    }

    /// Puts another target and way into the block, if they are others.
    fn lead(&mut self, target: Option<&str>, flow: Flow) -> Result<(), SubscribeError> {
        let parts = self.block.parts();
        let target = target.unwrap_or(parts.target);
        if target != parts.target || flow != parts.flow {
            let parts = Parts {
                target,
                flow,
                ..parts
            };
            self.block = Block::new(&parts).ok_or(SubscribeError::DialogTooLarge)?;
        }
        Ok(())
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
        let mut epochs = epoch.saturating_sub(self.epoch).min(MAX_EPOCHS - 1);
        if crate::sabotaged!(ReuseCseq) {
            epochs = 0;
        }
        // Below 2^31 by the line above.
        let cseq = (epochs << COUNTED_BITS) as u32 | self.sent.min((1 << COUNTED_BITS) - 1);
        // Room for our tag and Contact, and for the lines that tell this NOTIFY from others.
        let length = self.block.head().len() + notify.presentity.len();
        let mut head = Vec::with_capacity(length + 288);
        self.write_head(notify.presentity, &mut head);
        notify.write(now, cseq, &mut head);
        Outgoing {
            token,
            method: Method::Notify,
            uri: self.block.target().to_owned(),
            first_route: self.block.first_route().map(str::to_owned),
            head: head.into(),
            body: notify.body.clone(),
            destination: self.way.destination(self.block.flow()),
        }
    }
}

/// Our Contact in a dialog: where the request reached us, so where the next one will (RFC 3261, 12.1.1). Without the brackets
/// around it.
pub fn push_contact(out: &mut Vec<u8>, flow: &Flow) {
    out.extend_from_slice(b"sip:");
    push_address(out, flow.local);
    out.extend_from_slice(b";transport=");
    out.extend_from_slice(flow.transport.param().as_bytes());
}

/// Whether NOTIFY goes back the way the SUBSCRIBE came (docs/adr/0004).
fn direct(incoming: &Incoming, no_routes: bool) -> bool {
    let several = incoming.message.has_several_vias();
    incoming.flow.transport.is_reliable() || no_routes && !several
}

/// The remote target: the one Contact, whose URI goes into request lines (RFC 3261, 12.1.1).
fn target(message: &Message) -> Result<String, SubscribeError> {
    if let Some(uri) = message.printed_contact() {
        return Ok(uri);
    }
    let mut contacts = message.contacts()?.into_iter();
    match (contacts.next(), contacts.next()) {
        (Some(contact), None) if !contact.is_wildcard() => Ok(request_uri(contact)),
        _ => Err(SubscribeError::NoContact),
    }
}

/// A Request-URI has no headers part (RFC 3261, 19.1.1, table 1).
fn request_uri(contact: NameAddr) -> String {
    let uri = Uri {
        headers: None,
        ..contact.uri
    };
    uri.to_string()
}

#[cfg(test)]
#[path = "dialog_tests.rs"]
mod tests;
