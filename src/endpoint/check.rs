//! What the endpoint checks before a module sees a request, in the order of RFC 3261, section 8.2.

use std::borrow::Cow;

use super::{Claimed, ModuleId, ModuleTable, Sharding};
use crate::sip::{CSeq, Fault, Head, HeaderError, Message, Method, Name, Scheme, StatusCode};

/// Why the endpoint answers a request by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The message could be read only in part.
    #[error("{1}")]
    Unreadable(StatusCode, Fault),
    /// A header that every request needs is missing or malformed.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// CSeq names another method than the request line (8.1.1.5).
    #[error("CSeq: not the method of the request")]
    CSeqMethod,
    /// A method that nobody has heard of (21.5.2).
    #[error("method not known")]
    UnknownMethod,
    /// A method that no module has claimed (8.2.1).
    #[error("method not allowed")]
    UnclaimedMethod,
    /// A Request-URI that is neither a SIP URI nor a presentity's (8.2.2.1; RFC 3859).
    #[error("URI scheme not supported")]
    Scheme,
    /// The request came here before, on another way (8.2.2.2).
    #[error("merged request")]
    Merged,
    /// Extensions that no module understands (8.2.2.3).
    #[error("extensions not understood: {0}")]
    Extensions(String),
    /// No module has claimed the event package, or there is none (RFC 3903, 6, step 2; RFC 6665, 7.2 has no other answer
    /// to a missing Event).
    #[error("event package not supported")]
    Event,
    /// CANCEL without a transaction to cancel (9.2).
    #[error("nothing to cancel")]
    NothingToCancel,
    /// More requests are with modules than [`super::Settings::max_in_flight`] (21.5.4).
    #[error("overloaded")]
    Overloaded,
    /// The endpoint failed while the request was with a module (21.5.1); see [`super::Endpoint::succeed`].
    #[error("internal error")]
    Failed,
}

impl Refusal {
    /// The answer its sender gets.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Unreadable(status, _) => *status,
            Self::Header(error) => error.status(),
            Self::CSeqMethod => StatusCode::BAD_REQUEST,
            Self::UnknownMethod => StatusCode::NOT_IMPLEMENTED,
            Self::UnclaimedMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::Scheme => StatusCode::UNSUPPORTED_URI_SCHEME,
            Self::Merged => StatusCode::LOOP_DETECTED,
            Self::Extensions(_) => StatusCode::BAD_EXTENSION,
            Self::Event => StatusCode::BAD_EVENT,
            Self::NothingToCancel => StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
            Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed => StatusCode::SERVER_INTERNAL_ERROR,
        }
    }

    /// A reason phrase that helps whoever looks for the mistake; the standard one says it all in most cases.
    pub(super) fn reason(&self) -> Option<String> {
        (self.status() == StatusCode::BAD_REQUEST).then(|| format!("Bad Request ({self})"))
    }

    /// Header lines that belong to the answer.
    pub(super) fn head(&self, modules: &ModuleTable, retry_after: u32) -> Head {
        let mut head = Head::new();
        match self {
            Self::UnknownMethod | Self::UnclaimedMethod => {
                head.line(Name::Allow, modules.allow());
            }
            Self::Event => {
                head.line(Name::AllowEvents, modules.allow_events());
            }
            Self::Extensions(options) => {
                head.line(Name::Unsupported, options);
            }
            Self::Overloaded => {
                head.line(Name::RetryAfter, retry_after);
            }
            Self::Unreadable(..)
            | Self::Header(_)
            | Self::CSeqMethod
            | Self::Scheme
            | Self::Merged
            | Self::NothingToCancel
            | Self::Failed => {}
        }
        head
    }
}

/// What is known of a request once its form is right.
pub(super) struct Form<'a> {
    pub from_tag: Option<Cow<'a, str>>,
    pub to_tag: Option<Cow<'a, str>>,
    pub cseq: CSeq,
    scheme: Scheme,
}

/// Who answers a request that is in order.
pub(super) enum Verdict {
    /// This module.
    Module(ModuleId, Sharding),
    /// The endpoint, with what it can do.
    Options,
    /// The endpoint: 200 or 481.
    Cancel,
}

/// Checks the form: what every request must have (8.1.1). A missing From tag is let through; it is as old as RFC 2543.
pub(super) fn form<'a>(
    message: &'a Message,
    method: &Method,
    modules: &ModuleTable,
) -> Result<Form<'a>, Refusal> {
    let from_tag = message.checked_from_tag()?;
    let to_tag = message.checked_to_tag()?;
    message.call_id()?;
    let cseq = message.cseq()?;
    let scheme = message.request_uri_parts()?.scheme;
    // A method that we don't know may have rules that we don't know either: 501 says more than 400 (RFC 4475, 3.1.2.18).
    if matches!(method, Method::Other(_)) && !modules.has_method(method) {
        return Err(Refusal::UnknownMethod);
    }
    if cseq.method != *method {
        return Err(Refusal::CSeqMethod);
    }
    Ok(Form {
        from_tag,
        to_tag,
        cseq,
        scheme,
    })
}

/// Checks what a request asks for, and finds who answers it. `is_merged` is asked in its turn.
pub(super) fn content(
    message: &Message,
    form: &Form<'_>,
    method: &Method,
    modules: &ModuleTable,
    is_merged: impl FnOnce() -> bool,
) -> Result<Verdict, Refusal> {
    if *method == Method::Cancel {
        return Ok(Verdict::Cancel);
    }
    let claimed = modules.has_method(method);
    if !claimed && *method != Method::Options {
        return Err(Refusal::UnclaimedMethod);
    }
    match &form.scheme {
        Scheme::Sip | Scheme::Sips | Scheme::Pres => {}
        Scheme::Tel | Scheme::Im | Scheme::Other(_) => return Err(Refusal::Scheme),
    }
    // None left is no reason to refuse: it forbids to forward, and requests end here (RFC 4475, 3.3.11). But what is no
    // number is malformed.
    message.max_forwards()?;
    if is_merged() {
        return Err(Refusal::Merged);
    }
    if message.has(Name::Require) {
        let known = |option: &str| {
            modules
                .supported()
                .iter()
                .any(|known| known.eq_ignore_ascii_case(option))
        };
        let unknown: Vec<_> = message
            .values(Name::Require)
            .filter(|option| !known(option))
            .collect();
        if !unknown.is_empty() {
            return Err(Refusal::Extensions(unknown.join(", ")));
        }
    }
    if !claimed {
        return Ok(Verdict::Options);
    }
    let package = message.event_package()?;
    match modules.find(method, package.as_deref()) {
        Claimed::By(module, sharding) => Ok(Verdict::Module(module, sharding)),
        Claimed::NoPackage => Err(Refusal::Event),
        Claimed::NoMethod => Err(Refusal::UnclaimedMethod),
    }
}
