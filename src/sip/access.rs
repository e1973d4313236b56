//! The headers that everybody asks for, each read when it is asked for (RFC 3261, 20; RFC 6665, 8.2).

use std::borrow::Cow;

use super::event::package_of;
use super::lex::{cut_at_blank, is_token_text, number, seconds, trim_text};
use super::name_addr::{Parts, check};
use super::params::Pairs;
use super::{
    Event, HeaderError, Message, Method, Name, NameAddr, SubscriptionState, UriParts, Via,
};

/// The CSeq header (RFC 3261, 20.16).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CSeq {
    /// Below 2^31.
    pub number: u32,
    /// Must be that of the request.
    pub method: Method,
}

impl CSeq {
    /// Reads a header value; `Err` says in words what is wrong.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (digits, method) = cut_at_blank(trim_text(text)).ok_or("no method")?;
        let digits = number(digits).ok_or("not a number")?;
        let number = u32::try_from(digits)
            .ok()
            .filter(|number| *number < 1 << 31)
            .ok_or("beyond 2^31 - 1")?;
        let method = trim_text(method);
        if !is_token_text(method.as_bytes()) {
            return Err("malformed method");
        }
        Ok(Self {
            number,
            method: Method::from(method),
        })
    }
}

impl std::fmt::Display for CSeq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

impl Message {
    /// The From header.
    pub fn from(&self) -> Result<NameAddr, HeaderError> {
        self.address(Name::From)
    }

    /// The To header.
    pub fn to(&self) -> Result<NameAddr, HeaderError> {
        self.address(Name::To)
    }

    /// Checks From as [`Message::from`] does, and gives its tag alone.
    pub fn checked_from_tag(&self) -> Result<Option<Cow<'_, str>>, HeaderError> {
        self.checked_tag(Name::From)
    }

    /// Checks To as [`Message::to`] does, and gives its tag alone.
    pub fn checked_to_tag(&self) -> Result<Option<Cow<'_, str>>, HeaderError> {
        self.checked_tag(Name::To)
    }

    /// Whether the tag of From is this one; no tag is the empty one.
    pub fn has_from_tag(&self, tag: &[u8]) -> bool {
        let text = self.text(Name::From).unwrap_or_default();
        let own = Parts::of(&text).ok().and_then(|parts| parts.tag());
        own.unwrap_or_default().as_bytes() == tag
    }

    /// The URI of the one Contact, if it stands there as it would be printed: nearly always.
    pub fn printed_contact(&self) -> Option<String> {
        let mut contacts = self.values(Name::Contact);
        let (Some(text), None) = (contacts.next(), contacts.next()) else {
            return None;
        };
        let uri = Parts::of(&text).ok()?.uri;
        let parts = UriParts::of(uri).ok()?;
        parts.is_printed(uri).then(|| uri.to_owned())
    }

    /// Whether this is the URI of the one Contact, as written.
    pub fn is_sole_contact(&self, uri: &str) -> bool {
        let mut contacts = self.values(Name::Contact);
        match (contacts.next(), contacts.next()) {
            (Some(text), None) => Parts::of(&text).is_ok_and(|parts| parts.uri == uri),
            (Some(_), Some(_)) | (None, _) => false,
        }
    }

    /// The tag of From, when there is one.
    pub fn from_tag(&self) -> Option<String> {
        self.tag(Name::From)
    }

    /// The tag of To, when there is one: the request is in a dialog.
    pub fn to_tag(&self) -> Option<String> {
        self.tag(Name::To)
    }

    /// The Call-ID, compared byte by byte.
    pub fn call_id(&self) -> Result<&str, HeaderError> {
        let name = Name::CallId;
        let mut lines = self.lines_of(name);
        let line = lines.next().ok_or(HeaderError::missing(name))?;
        if lines.next().is_some() {
            return Err(HeaderError::new(name, "more than one"));
        }
        let text = str::from_utf8(self.line_bytes(line))
            .map_err(|_| HeaderError::new(name, "not UTF-8"))?;
        if text.is_empty() || text.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return Err(HeaderError::new(name, "empty, or white space inside"));
        }
        Ok(text)
    }

    /// The CSeq header.
    pub fn cseq(&self) -> Result<CSeq, HeaderError> {
        let name = Name::CSeq;
        let text = self.single(name)?.ok_or(HeaderError::missing(name))?;
        CSeq::parse(&text).map_err(|reason| HeaderError::new(name, reason))
    }

    /// The topmost Via.
    pub fn via(&self) -> Result<Via, HeaderError> {
        let text = self
            .values(Name::Via)
            .next()
            .ok_or(HeaderError::missing(Name::Via))?;
        Via::parse(&text).map_err(|reason| HeaderError::new(Name::Via, reason))
    }

    /// The branch in the topmost Via, if that is `SIP/2.0` and has one; nothing else of it is looked at.
    pub fn top_branch(&self) -> Option<Cow<'_, str>> {
        match self.values(Name::Via).next()? {
            Cow::Borrowed(text) => branch_in(text).map(Cow::Borrowed),
            Cow::Owned(text) => branch_in(&text).map(|branch| Cow::Owned(branch.to_owned())),
        }
    }

    /// Whether there is a second Via.
    pub fn has_several_vias(&self) -> bool {
        self.values(Name::Via).nth(1).is_some()
    }

    /// All Vias from the top.
    pub fn vias(&self) -> Result<Vec<Via>, HeaderError> {
        self.values(Name::Via)
            .map(|text| Via::parse(&text).map_err(|reason| HeaderError::new(Name::Via, reason)))
            .collect()
    }

    /// All contacts; `*` is one that [`NameAddr::is_wildcard`].
    pub fn contacts(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.routes(Name::Contact)
    }

    /// All addresses of Route, Record-Route, Path, Service-Route, in order.
    pub fn routes(&self, name: Name) -> Result<Vec<NameAddr>, HeaderError> {
        self.values(name)
            .map(|text| NameAddr::parse(&text).map_err(|reason| HeaderError::new(name, reason)))
            .collect()
    }

    /// The Expires header; what exceeds 2^32 - 1 counts as that (RFC 3261, 20.19).
    pub fn expires(&self) -> Result<Option<u32>, HeaderError> {
        self.seconds(Name::Expires)
    }

    /// The Min-Expires header.
    pub fn min_expires(&self) -> Result<Option<u32>, HeaderError> {
        self.seconds(Name::MinExpires)
    }

    /// The seconds of the Retry-After header; its comment and parameters are passed over (RFC 3261, 20.33).
    pub fn retry_after(&self) -> Result<Option<u32>, HeaderError> {
        let name = Name::RetryAfter;
        let Some(text) = self.single(name)? else {
            return Ok(None);
        };
        let end = text.find([';', '(', ' ', '\t']).unwrap_or(text.len());
        seconds(&text[..end])
            .map(Some)
            .ok_or(HeaderError::new(name, "not a number of seconds"))
    }

    /// The Max-Forwards header: 0 to 255 (RFC 3261, 20.22).
    pub fn max_forwards(&self) -> Result<Option<u32>, HeaderError> {
        match self.seconds(Name::MaxForwards) {
            Ok(Some(256..)) => Err(HeaderError::new(Name::MaxForwards, "beyond 255")),
            other => other,
        }
    }

    /// The Event header.
    pub fn event(&self) -> Result<Option<Event>, HeaderError> {
        self.parsed(Name::Event, Event::parse)
    }

    /// The package that the Event header names.
    pub fn event_package(&self) -> Result<Option<Cow<'_, str>>, HeaderError> {
        let wrong = |reason| HeaderError::new(Name::Event, reason);
        Ok(match self.single(Name::Event)? {
            None => None,
            Some(Cow::Borrowed(text)) => Some(Cow::Borrowed(package_of(text).map_err(wrong)?)),
            Some(Cow::Owned(text)) => {
                Some(Cow::Owned(package_of(&text).map_err(wrong)?.to_owned()))
            }
        })
    }

    /// The Subscription-State header.
    pub fn subscription_state(&self) -> Result<Option<SubscriptionState>, HeaderError> {
        self.parsed(Name::SubscriptionState, SubscriptionState::parse)
    }

    /// The type of the body, `type/subtype` in lower case and without parameters.
    pub fn content_type(&self) -> Option<String> {
        self.text(Name::ContentType).map(|text| media_type(&text))
    }

    /// The types of all Accept headers as [`Message::content_type`] has them; None when there is no such header, which is
    /// something else than one that accepts nothing.
    pub fn accepts(&self) -> Option<Vec<String>> {
        self.has(Name::Accept).then(|| {
            self.values(Name::Accept)
                .map(|text| media_type(&text))
                .collect()
        })
    }

    fn address(&self, name: Name) -> Result<NameAddr, HeaderError> {
        let address = self
            .parsed(name, NameAddr::parse)?
            .ok_or(HeaderError::missing(name))?;
        if address.is_wildcard() {
            return Err(HeaderError::new(name, "no scheme in URI"));
        }
        Ok(address)
    }

    fn checked_tag(&self, name: Name) -> Result<Option<Cow<'_, str>>, HeaderError> {
        let wrong = |reason| HeaderError::new(name, reason);
        match self.single(name)?.ok_or(HeaderError::missing(name))? {
            Cow::Borrowed(text) => Ok(check(text).map_err(wrong)?.map(Cow::Borrowed)),
            Cow::Owned(text) => {
                let tag = check(&text).map_err(wrong)?;
                Ok(tag.map(|tag| Cow::Owned(tag.to_owned())))
            }
        }
    }

    /// Whether To has a tag, without a copy of it.
    pub(super) fn has_to_tag(&self) -> bool {
        let text = self.text(Name::To);
        text.is_some_and(|text| Parts::of(&text).is_ok_and(|parts| parts.tag().is_some()))
    }

    fn tag(&self, name: Name) -> Option<String> {
        let text = self.text(name)?;
        Parts::of(&text).ok()?.tag().map(str::to_owned)
    }

    fn seconds(&self, name: Name) -> Result<Option<u32>, HeaderError> {
        self.parsed(name, |text| seconds(text).ok_or("not a number"))
    }

    fn parsed<T>(
        &self,
        name: Name,
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Result<Option<T>, HeaderError> {
        let Some(text) = self.single(name)? else {
            return Ok(None);
        };
        parse(&text)
            .map(Some)
            .map_err(|reason| HeaderError::new(name, reason))
    }

    /// The header of a name that may stand once only (RFC 4475, 3.3.8).
    fn single(&self, name: Name) -> Result<Option<Cow<'_, str>>, HeaderError> {
        let mut texts = self.texts(name);
        let first = texts.next();
        match texts.next() {
            Some(_) => Err(HeaderError::new(name, "more than one")),
            None => Ok(first),
        }
    }
}

fn branch_in(via: &str) -> Option<&str> {
    let params = via.strip_prefix("SIP/2.0/")?;
    let at = params.bytes().position(|byte| byte == b';')?;
    Pairs::new(&params[at..]).value("branch")
}

fn media_type(text: &str) -> String {
    let end = text.find(';').unwrap_or(text.len());
    // White space around the slash is allowed (RFC 3261, 25.1: SLASH).
    text[..end]
        .chars()
        .filter(|c| !matches!(c, ' ' | '\t'))
        .map(|c| c.to_ascii_lowercase())
        .collect()
}
