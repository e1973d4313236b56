//! REGISTER: what a request means for the bindings that are there (RFC 3261, 10.3).
//!
//! As with PUBLISH, [`decide`] changes nothing; the registry carries the decision out when the store has it.

use std::borrow::Cow;

use crate::sip::{Head, HeaderError, Message, Name, NameAddr, Params, Scheme, StatusCode, Uri};
use crate::time::Timestamp;

use super::settings::Settings;
use super::shares::Over;
use super::store::BindingRecord;

/// Option tag of RFC 3327.
const PATH: &str = "path";
/// Option tag of RFC 5626.
pub(super) const OUTBOUND: &str = "outbound";
/// Option tag of RFC 5627.
pub(super) const GRUU: &str = "gruu";

/// Option tags that the registrar understands, for Require and Supported.
pub fn options(settings: &Settings) -> Vec<&'static str> {
    let gruu = settings.registrar.gruu.then_some(GRUU);
    [PATH, OUTBOUND].into_iter().chain(gruu).collect()
}

/// A live binding, as far as decisions need it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound<'a> {
    pub contact: &'a Uri,
    pub flow: Option<(&'a str, u32)>,
    pub call_id: &'a str,
    pub cseq: u32,
}

/// What a REGISTER does to one contact. Indices are places among the bindings that it was decided from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// A contact more.
    Bind(Asked),
    /// A contact lives on.
    Refresh { index: usize, asked: Asked },
    /// A contact goes.
    Unbind { index: usize },
}

/// A Contact that is to be bound.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub contact: Uri,
    pub q: Option<u16>,
    pub expires: u32,
    /// `+sip.instance` without quotes.
    pub instance: Option<String>,
    /// Where outbound is used (RFC 5626, 6).
    pub reg_id: Option<u32>,
    /// All other parameters, as they came.
    pub params: String,
}

/// Why a REGISTER is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RegisterError {
    #[error("{0} is not served here")]
    NotFound(String),
    #[error("only {0} may register for itself")]
    NotYours(String),
    #[error("{0}")]
    BadHeader(#[from] HeaderError),
    #[error("`*` stands alone and with Expires: 0")]
    BadWildcard,
    #[error("expires is below the minimum of {0} s")]
    IntervalTooBrief(u32),
    #[error("CSeq is not higher than that of an earlier request")]
    OutOfOrder,
    #[error("a proxy has added a Path, and the client does not support that")]
    PathUnsupported,
    #[error("the first hop does not support outbound")]
    FirstHop,
    #[error("one flow is registered at a time")]
    SeveralFlows,
    #[error("the contact of a device is another SIP URI than its address of record")]
    LeadsBack,
    #[error("address of record has {0} contacts already")]
    TooManyContacts(usize),
    #[error("no room for another address of record")]
    Full { retry_after: u32 },
    #[error("{0}")]
    Over(#[from] Over),
    #[error("the change could not be stored")]
    NotStored { retry_after: u32 },
}

impl RegisterError {
    /// The answer the client gets.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::BadHeader(error) => error.status(),
            Self::BadWildcard | Self::SeveralFlows => StatusCode::BAD_REQUEST,
            Self::PathUnsupported => StatusCode::BAD_EXTENSION,
            Self::FirstHop => StatusCode::FIRST_HOP_LACKS_OUTBOUND_SUPPORT,
            Self::IntervalTooBrief(_) => StatusCode::INTERVAL_TOO_BRIEF,
            Self::OutOfOrder => StatusCode::SERVER_INTERNAL_ERROR,
            Self::LeadsBack | Self::TooManyContacts(_) | Self::NotYours(_) => StatusCode::FORBIDDEN,
            Self::Over(over) => over.status(),
            Self::Full { .. } | Self::NotStored { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// A reason phrase, where the standard one leaves the client guessing.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::BadHeader(_)
            | Self::BadWildcard
            | Self::SeveralFlows
            | Self::OutOfOrder
            | Self::LeadsBack
            | Self::TooManyContacts(_)
            | Self::NotYours(_)
            | Self::Over(_)
            | Self::Full { .. } => Some(self.to_string()),
            Self::NotFound(_)
            | Self::IntervalTooBrief(_)
            | Self::PathUnsupported
            | Self::FirstHop
            | Self::NotStored { .. } => None,
        }
    }

    /// Writes the headers that the answer needs.
    pub fn write(&self, head: &mut Head) {
        match self {
            Self::IntervalTooBrief(min) => {
                head.line(Name::MinExpires, min);
            }
            Self::Over(over) => over.write(head),
            Self::Full { retry_after } | Self::NotStored { retry_after } => {
                head.line(Name::RetryAfter, retry_after);
            }
            Self::PathUnsupported => {
                head.line(Name::Unsupported, PATH);
            }
            Self::NotFound(_)
            | Self::BadHeader(_)
            | Self::BadWildcard
            | Self::FirstHop
            | Self::SeveralFlows
            | Self::OutOfOrder
            | Self::LeadsBack
            | Self::TooManyContacts(_)
            | Self::NotYours(_) => {}
        }
    }
}

/// Decides about a REGISTER whose domain has been found (steps 5 to 7). Without Contact it changes nothing and asks for
/// the bindings.
pub(super) fn decide(
    request: &Message,
    aor: &str,
    settings: &Settings,
    bound: &[Bound<'_>],
) -> Result<Vec<Step>, RegisterError> {
    let outbound = outbound(request)?;
    let contacts = request.contacts()?;
    let header = request.expires()?;
    let call_id = request.call_id()?;
    let cseq = request.cseq()?.number;
    // Step 6 and 7: an update that comes late fails as a whole.
    let late = |held: &Bound<'_>| held.call_id == call_id && cseq <= held.cseq;
    if contacts.iter().any(NameAddr::is_wildcard) {
        if contacts.len() > 1 || header != Some(0) {
            return Err(RegisterError::BadWildcard);
        }
        if bound.iter().any(late) {
            return Err(RegisterError::OutOfOrder);
        }
        return Ok((0..bound.len())
            .map(|index| Step::Unbind { index })
            .collect());
    }
    let (mut living, mut flows) = (0, false);
    let mut steps = Vec::with_capacity(contacts.len());
    for contact in &contacts {
        let asked = contact.expires().or(header);
        let expires = settings
            .registration
            .grant(asked)
            .map_err(RegisterError::IntervalTooBrief)?;
        let instance = instance(contact);
        if settings.registrar.gruu
            && instance.is_some()
            && expires > 0
            && leads_back(&contact.uri, aor)
        {
            return Err(RegisterError::LeadsBack);
        }
        // Without an instance, or where nobody keeps a flow open, the number of a flow means nothing (RFC 5626, 6).
        let reg_id = instance
            .as_ref()
            .filter(|_| outbound)
            .and_then(|_| reg_id(contact));
        let flow = instance.as_deref().zip(reg_id);
        let known = bound.iter().position(|held| match flow {
            Some(_) => held.flow == flow,
            None => held.contact.equals(&contact.uri),
        });
        if known.is_some_and(|index| late(&bound[index])) {
            return Err(RegisterError::OutOfOrder);
        }
        let asked = Asked {
            contact: contact.uri.clone(),
            q: contact.q(),
            expires,
            instance: instance.map(|instance| instance.into_owned()),
            reg_id,
            params: others(&contact.params),
        };
        living += usize::from(expires > 0);
        flows |= expires > 0 && reg_id.is_some();
        steps.push(match (known, expires) {
            (Some(index), 0) => Step::Unbind { index },
            (Some(index), _) => Step::Refresh { index, asked },
            (None, 0) => continue,
            (None, _) => Step::Bind(asked),
        });
    }
    if flows && living > 1 {
        return Err(RegisterError::SeveralFlows);
    }
    let more = steps
        .iter()
        .filter(|step| matches!(step, Step::Bind { .. }))
        .count();
    let most = settings.limits.bindings;
    if more > 0 && bound.len() + more > most {
        return Err(RegisterError::TooManyContacts(most));
    }
    Ok(steps)
}

/// Whether flows count, and Path is understood (RFC 3327, 5.3; RFC 5626, 6).
fn outbound(request: &Message) -> Result<bool, RegisterError> {
    let mut path = request.values(Name::Path);
    let first = path.next();
    if first.is_some() && !supports(request, PATH) {
        return Err(RegisterError::PathUnsupported);
    }
    if !supports(request, OUTBOUND) {
        return Ok(false);
    }
    let direct = request.values(Name::Via).count() == 1;
    let edge = first
        .as_deref()
        .and_then(|first| NameAddr::parse(first).ok());
    if direct || edge.is_some_and(|edge| edge.uri.params.has("ob")) {
        return Ok(true);
    }
    if request
        .contacts()?
        .iter()
        .any(|contact| reg_id(contact).is_some())
    {
        return Err(RegisterError::FirstHop);
    }
    Ok(false)
}

/// Whether a request that was taken was about flows, so that the 200 says so (RFC 5626, 6).
pub(super) fn uses_outbound(request: &Message) -> bool {
    let numbered = |contact: &NameAddr| instance(contact).is_some() && reg_id(contact).is_some();
    outbound(request).unwrap_or(false)
        && request
            .contacts()
            .is_ok_and(|contacts| contacts.iter().any(numbered))
}

/// Whether requests to a contact would come back to its address of record, or can't be sent by SIP (RFC 5627, 5.1). A
/// public GRUU of the address equals it as a URI.
fn leads_back(contact: &Uri, aor: &str) -> bool {
    let loops = Uri::parse(aor).is_ok_and(|aor| aor.equals(contact));
    loops || !matches!(contact.scheme, Scheme::Sip | Scheme::Sips)
}

/// The parameters of a Contact without those that the binding has as values, and without GRUUs, which nobody but the
/// registrar gives (RFC 5627, 5.1).
fn others(params: &Params) -> String {
    const KNOWN: [&str; 6] = [
        "q",
        "expires",
        "+sip.instance",
        "reg-id",
        "pub-gruu",
        "temp-gruu",
    ];
    let mut others = params.clone();
    for name in KNOWN {
        others.remove(name);
    }
    others.to_string()
}

/// Whether the client says that it supports an extension.
pub(super) fn supports(request: &Message, option: &str) -> bool {
    let mut options = request.values(Name::Supported);
    options.any(|own| own.eq_ignore_ascii_case(option))
}

/// The device: a URN in brackets (RFC 5626, 4.1). Nothing else, since it names records: `sip:bob@192.0.2.1` with the number
/// of a flow would be the name of another binding, whose contact has that number as a parameter.
fn instance(contact: &NameAddr) -> Option<Cow<'_, str>> {
    let instance = contact.params.unquoted("+sip.instance")?;
    (instance.starts_with('<') && instance.ends_with('>')).then_some(instance)
}

/// The number of a flow: 1 to 2^31 (RFC 5626, 4.2).
fn reg_id(contact: &NameAddr) -> Option<u32> {
    let id = contact.params.get("reg-id")?.parse().ok()?;
    (1..=1 << 31).contains(&id).then_some(id)
}

/// One Contact of the 200: the binding, and how long it has still to live (RFC 3261, 10.3, step 8).
pub(super) fn contact(record: &BindingRecord, now: Timestamp, gruu: bool) -> String {
    let mut line = format!("<{}>", record.contact);
    match record.q {
        Some(q) if q >= 1000 => line += ";q=1",
        Some(q) => line += &format!(";q=0.{q:03}"),
        None => {}
    }
    line += &format!(";expires={}", record.expires_at.seconds_from(now));
    if let Some(instance) = &record.instance {
        line += &format!(";+sip.instance={}", quoted(instance));
        if let Some(reg_id) = record.reg_id {
            line += &format!(";reg-id={reg_id}");
        }
        if let Some(gruu) = public_gruu(&record.aor, instance).filter(|_| gruu) {
            line += &format!(";pub-gruu=\"{gruu}\"");
        }
    }
    line + &record.params
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The address of one device for as long as it is registered: the address of record with the instance in `gr` (RFC 5627,
/// 5.4). `None` for an instance that is no plain URN.
fn public_gruu(aor: &str, instance: &str) -> Option<String> {
    let urn = instance.strip_prefix('<')?.strip_suffix('>')?;
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-' | b'.' | b'_');
    let good = aor.starts_with("sip:") && !urn.is_empty() && urn.bytes().all(plain);
    good.then(|| format!("{aor};gr={urn}"))
}
