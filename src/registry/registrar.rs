//! REGISTER: what a request means for the bindings that are there (RFC 3261, 10.3).
//!
//! As with PUBLISH, [`decide`] changes nothing; the registry carries the decision out when the store has it.

use crate::sip::{Head, HeaderError, Message, Name, NameAddr, StatusCode, Uri};
use crate::time::Timestamp;

use super::settings::{Durations, Limits};

/// A live binding, as far as decisions need it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound<'a> {
    pub contact: &'a Uri,
    pub call_id: &'a str,
    pub cseq: u32,
}

/// What a REGISTER does to one contact. Indices are places among the bindings that it was decided from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// A contact more.
    Bind {
        contact: Uri,
        q: Option<u16>,
        expires: u32,
    },
    /// A contact lives on.
    Refresh {
        index: usize,
        q: Option<u16>,
        expires: u32,
    },
    /// A contact goes.
    Unbind { index: usize },
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
    #[error("address of record has {0} contacts already")]
    TooManyContacts(usize),
    #[error("no room for another address of record")]
    Full { retry_after: u32 },
    #[error("the change could not be stored")]
    NotStored { retry_after: u32 },
}

impl RegisterError {
    /// The answer the client gets.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::BadHeader(error) => error.status(),
            Self::BadWildcard => StatusCode::BAD_REQUEST,
            Self::IntervalTooBrief(_) => StatusCode::INTERVAL_TOO_BRIEF,
            Self::OutOfOrder => StatusCode::SERVER_INTERNAL_ERROR,
            Self::TooManyContacts(_) | Self::NotYours(_) => StatusCode::FORBIDDEN,
            Self::Full { .. } | Self::NotStored { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// A reason phrase, where the standard one leaves the client guessing.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::BadHeader(_)
            | Self::BadWildcard
            | Self::OutOfOrder
            | Self::TooManyContacts(_)
            | Self::NotYours(_)
            | Self::Full { .. } => Some(self.to_string()),
            Self::NotFound(_) | Self::IntervalTooBrief(_) | Self::NotStored { .. } => None,
        }
    }

    /// Writes the headers that the answer needs.
    pub fn write(&self, head: &mut Head) {
        match self {
            Self::IntervalTooBrief(min) => {
                head.line(Name::MinExpires, min);
            }
            Self::Full { retry_after } | Self::NotStored { retry_after } => {
                head.line(Name::RetryAfter, retry_after);
            }
            Self::NotFound(_)
            | Self::BadHeader(_)
            | Self::BadWildcard
            | Self::OutOfOrder
            | Self::TooManyContacts(_)
            | Self::NotYours(_) => {}
        }
    }
}

/// Decides about a REGISTER whose domain has been found (steps 5 to 7). Without Contact it changes nothing and asks for
/// the bindings.
pub(super) fn decide(
    request: &Message,
    durations: Durations,
    limits: &Limits,
    bound: &[Bound<'_>],
) -> Result<Vec<Step>, RegisterError> {
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
    let mut steps = Vec::with_capacity(contacts.len());
    for contact in &contacts {
        let asked = contact.expires().or(header);
        let expires = durations
            .grant(asked)
            .map_err(RegisterError::IntervalTooBrief)?;
        let known = bound
            .iter()
            .position(|held| held.contact.equals(&contact.uri));
        if known.is_some_and(|index| late(&bound[index])) {
            return Err(RegisterError::OutOfOrder);
        }
        let q = contact.q();
        steps.push(match (known, expires) {
            (Some(index), 0) => Step::Unbind { index },
            (Some(index), _) => Step::Refresh { index, q, expires },
            (None, 0) => continue,
            (None, _) => Step::Bind {
                contact: contact.uri.clone(),
                q,
                expires,
            },
        });
    }
    let more = steps
        .iter()
        .filter(|step| matches!(step, Step::Bind { .. }))
        .count();
    if more > 0 && bound.len() + more > limits.bindings {
        return Err(RegisterError::TooManyContacts(limits.bindings));
    }
    Ok(steps)
}

/// One Contact of the 200: the binding, and how long it has still to live (RFC 3261, 10.3, step 8).
pub(super) fn contact(uri: &str, q: Option<u16>, expires_at: Timestamp, now: Timestamp) -> String {
    let expires = expires_at.seconds_from(now);
    match q {
        Some(q) if q >= 1000 => format!("<{uri}>;q=1;expires={expires}"),
        Some(q) => format!("<{uri}>;q=0.{q:03};expires={expires}"),
        None => format!("<{uri}>;expires={expires}"),
    }
}
