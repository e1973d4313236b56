//! Dialogs: tags, CSeq, route set, remote target (RFC 3261, section 12; RFC 6665, 4.4.1).
//!
//! A [`Dialog`] is what one end must remember to send a request that the other end takes for part of the same
//! conversation. It is a plain value, kept as it is in stores: addresses stand in it as text, ready to be written.
//!
//! ```text
//!  subscriber (UAC)                            notifier (UAS)
//!      | -- SUBSCRIBE (From tag) -------------------> |  Dialog::uas: To tag is ours
//!      | <-- 200 (To tag, Record-Route, Contact) ---- |
//!  Dialog::uac                                        |
//!      | <-- NOTIFY (dialog.request) ---------------- |
//!  dialog.receive                                     |
//! ```

use crate::sip::{Head, HeaderError, Message, Method, Name, NameAddr, StatusCode, Uri};

/// Why a message does not start, or does not belong in, a dialog.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialogError {
    /// A header that is needed is missing or malformed.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A dialog needs exactly one Contact to send requests to (RFC 3261, 8.1.1.8 and 12.1.1).
    #[error("Contact: not exactly one address")]
    Contact,
    /// The tag that would tell the dialog's other end is missing.
    #[error("{0}: no tag")]
    Tag(Name),
    /// The other end counts backwards (RFC 3261, 12.2.2).
    #[error("CSeq: {received} is lower than {seen}")]
    OutOfOrder {
        /// The number of this request.
        received: u32,
        /// The highest number before.
        seen: u32,
    },
}

impl DialogError {
    /// What the sender of the request gets.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Header(error) => error.status(),
            Self::Contact | Self::Tag(_) => StatusCode::BAD_REQUEST,
            Self::OutOfOrder { .. } => StatusCode::SERVER_INTERNAL_ERROR,
        }
    }
}

/// Where a request stands in the order of its dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequence {
    /// Its CSeq is higher than any before.
    Next,
    /// Its CSeq was seen before: the same request once more, after its transaction was forgotten. A restart does that.
    Repeated,
}

/// What belongs into the start line of a request and decides where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The Request-URI.
    pub uri: String,
    /// The URI of the first Route, when that is the next hop: for [`crate::exchange::Outgoing::first_route`].
    pub first_route: Option<String>,
}

/// One end's memory of a dialog.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Dialog {
    call_id: Box<str>,
    /// Our tag.
    local_tag: Box<str>,
    /// The other end's tag; empty if it is as old as RFC 2543 and gave none.
    remote_tag: Box<str>,
    /// Our address as it stands in From of our requests, without tag.
    local: Box<str>,
    /// The other end's address as it stands in To of our requests, without tag.
    remote: Box<str>,
    /// The highest CSeq that we used.
    local_cseq: u32,
    /// The highest CSeq that the other end used.
    remote_cseq: Option<u32>,
    /// Where the other end wants requests sent: a URI.
    target: Box<str>,
    /// Proxies on the way, nearest first: addresses as in Route.
    routes: Box<[Box<str>]>,
}

impl Dialog {
    /// The end that answers: from the request that starts the dialog, and our tag in the answer (RFC 3261, 12.1.1).
    ///
    /// The first request of our own will have the CSeq `cseq + 1`.
    pub fn uas(request: &Message, local_tag: &str, cseq: u32) -> Result<Self, DialogError> {
        let (local, remote) = (request.to()?, request.from()?);
        Ok(Self {
            call_id: request.call_id()?.into(),
            local_tag: local_tag.into(),
            remote_tag: remote.tag().unwrap_or_default().into(),
            local: untagged(local),
            remote: untagged(remote),
            local_cseq: cseq,
            remote_cseq: Some(request.cseq()?.number),
            target: contact(request)?,
            routes: routes(request, false)?,
        })
    }

    /// The end that asked: from the 2xx to the request that starts the dialog (RFC 3261, 12.1.2).
    pub fn uac(response: &Message) -> Result<Self, DialogError> {
        let (local, remote) = (response.from()?, response.to()?);
        Ok(Self {
            call_id: response.call_id()?.into(),
            local_tag: local.tag().ok_or(DialogError::Tag(Name::From))?.into(),
            remote_tag: remote.tag().ok_or(DialogError::Tag(Name::To))?.into(),
            local: untagged(local),
            remote: untagged(remote),
            local_cseq: response.cseq()?.number,
            remote_cseq: None,
            target: contact(response)?,
            routes: routes(response, true)?,
        })
    }

    /// The subscriber's end when the NOTIFY is there before the 2xx, and starts the dialog (RFC 6665, 4.4.1).
    /// A request of ours went out with this CSeq: the next one has a higher one.
    pub fn sent(&mut self, cseq: u32) {
        self.local_cseq = self.local_cseq.max(cseq);
    }

    /// `cseq` is that of the SUBSCRIBE.
    pub fn from_notify(notify: &Message, cseq: u32) -> Result<Self, DialogError> {
        let (local, remote) = (notify.to()?, notify.from()?);
        let local_tag = local.tag().ok_or(DialogError::Tag(Name::To))?.to_owned();
        if remote.tag().is_none() {
            return Err(DialogError::Tag(Name::From));
        }
        Self::uas(notify, &local_tag, cseq)
    }

    /// Takes a request of the other end: its place in the order, and the Contact it brings (RFC 3261, 12.2.2).
    ///
    /// SUBSCRIBE and NOTIFY are target refresh requests: a Contact in them replaces the remote target.
    pub fn receive(&mut self, request: &Message) -> Result<Sequence, DialogError> {
        let received = request.cseq()?.number;
        if let Some(seen) = self.remote_cseq
            && received < seen
        {
            return Err(DialogError::OutOfOrder { received, seen });
        }
        let repeated = self.remote_cseq == Some(received);
        self.refresh(request)?;
        self.remote_cseq = Some(received);
        Ok(if repeated {
            Sequence::Repeated
        } else {
            Sequence::Next
        })
    }

    /// Takes the Contact of a message as the new remote target, if it has one: also for the 2xx to a target refresh
    /// request (RFC 3261, 12.2.1.2).
    pub fn refresh(&mut self, message: &Message) -> Result<(), DialogError> {
        if message.has(Name::Contact) {
            self.target = contact(message)?;
        }
        Ok(())
    }

    /// Whether a request of the other end belongs here (RFC 3261, 12.2.2).
    pub fn matches(&self, request: &Message) -> bool {
        request
            .call_id()
            .is_ok_and(|call_id| call_id == &*self.call_id)
            && request.to_tag().unwrap_or_default() == *self.local_tag
            && request.from_tag().unwrap_or_default() == *self.remote_tag
    }

    /// Starts a request: counts CSeq up by one, writes Route, From, To, Call-ID and CSeq into `head`, and says where the
    /// request goes (RFC 3261, 12.2.1.1).
    pub fn request(&mut self, method: &Method, head: &mut Head) -> Target {
        self.local_cseq = self.local_cseq.saturating_add(1);
        let target = self.write_routes(head);
        head.line(
            Name::From,
            Tagged {
                address: &self.local,
                tag: &self.local_tag,
            },
        );
        head.line(
            Name::To,
            Tagged {
                address: &self.remote,
                tag: &self.remote_tag,
            },
        );
        head.line(Name::CallId, &self.call_id);
        head.line(
            Name::CSeq,
            format_args!("{} {}", self.local_cseq, method.as_str()),
        );
        target
    }

    /// A first proxy without `lr` routes strictly: it expects itself in the Request-URI, and the target at the end of
    /// the route set (RFC 3261, 12.2.1.1).
    fn write_routes(&self, head: &mut Head) -> Target {
        let first = self
            .routes
            .first()
            .and_then(|route| NameAddr::parse(route).ok())
            .map(|first| first.uri);
        match first {
            None => Target {
                uri: self.target.to_string(),
                first_route: None,
            },
            Some(first) if first.params.has("lr") => {
                for route in &self.routes {
                    head.line(Name::Route, route);
                }
                Target {
                    uri: self.target.to_string(),
                    first_route: Some(first.to_string()),
                }
            }
            Some(mut first) => {
                for route in &self.routes[1..] {
                    head.line(Name::Route, route);
                }
                head.line(Name::Route, format_args!("<{}>", self.target));
                // Neither may stand in a Request-URI (RFC 3261, 19.1.1, table 1).
                first.params.remove("method");
                first.headers = None;
                Target {
                    uri: first.to_string(),
                    first_route: None,
                }
            }
        }
    }

    /// Call-ID.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// Our tag.
    pub fn local_tag(&self) -> &str {
        &self.local_tag
    }

    /// The other end's tag; empty if it gave none.
    pub fn remote_tag(&self) -> &str {
        &self.remote_tag
    }

    /// The CSeq of our latest request.
    pub fn local_cseq(&self) -> u32 {
        self.local_cseq
    }

    /// The highest CSeq of the other end.
    pub fn remote_cseq(&self) -> Option<u32> {
        self.remote_cseq
    }

    /// The URI to which requests are sent.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Proxies on the way, nearest first.
    pub fn routes(&self) -> &[Box<str>] {
        &self.routes
    }

    /// The other end's address as in From or To, without tag.
    pub fn remote(&self) -> &str {
        &self.remote
    }

    /// Our address as in From or To, without tag.
    pub fn local(&self) -> &str {
        &self.local
    }
}

/// An address and its tag, if there is one.
struct Tagged<'a> {
    address: &'a str,
    tag: &'a str,
}

impl std::fmt::Display for Tagged<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.address)?;
        if self.tag.is_empty() {
            Ok(())
        } else {
            write!(f, ";tag={}", self.tag)
        }
    }
}

fn untagged(mut address: NameAddr) -> Box<str> {
    address.params.remove("tag");
    address.to_string().into()
}

/// The one Contact, as a URI.
fn contact(message: &Message) -> Result<Box<str>, DialogError> {
    match message.contacts()?.as_slice() {
        [contact] if !contact.is_wildcard() => Ok(uri_text(&contact.uri)),
        _ => Err(DialogError::Contact),
    }
}

fn uri_text(uri: &Uri) -> Box<str> {
    uri.to_string().into()
}

/// The route set: Record-Route as it stands for the end that answers, in reverse for the end that asked.
fn routes(message: &Message, reversed: bool) -> Result<Box<[Box<str>]>, DialogError> {
    if !message.has(Name::RecordRoute) {
        return Ok(Box::default());
    }
    let mut routes: Vec<Box<str>> = message
        .routes(Name::RecordRoute)?
        .iter()
        .map(|route| route.to_string().into())
        .collect();
    if reversed {
        routes.reverse();
    }
    Ok(routes.into())
}

#[cfg(test)]
mod tests;
