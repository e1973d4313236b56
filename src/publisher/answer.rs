//! What an answer to PUBLISH means (RFC 3903, section 5; RFC 3261, section 21).

use crate::exchange::OutcomeResult;
use crate::sip::{Message, Name};

/// The meaning of an answer, or of its absence.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// 2xx.
    Accepted {
        etag: Option<String>,
        expires: Option<u32>,
    },
    /// 412: the server does not know the entity-tag.
    UnknownTag,
    /// 423: `Expires` was too short.
    TooBrief { min: Option<u32> },
    /// 401, 407: we have no credentials, or wrong ones.
    Unauthorised { code: u16 },
    /// Not now. `code` is 0 if nothing was answered.
    NotNow {
        code: u16,
        reason: String,
        after: Option<u32>,
        lost: Lost,
    },
    /// Never.
    Refused { code: u16, reason: String },
}

/// Whether a request got an answer at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// It was answered.
    No,
    /// Timer F fired.
    Timeout,
    /// It could not be sent.
    Transport,
}

pub(super) fn read(result: OutcomeResult) -> Verdict {
    match result {
        OutcomeResult::Response(message, _) => response(&message),
        OutcomeResult::Timeout => Verdict::NotNow {
            code: 408,
            reason: "no answer from the presence server".to_owned(),
            after: None,
            lost: Lost::Timeout,
        },
        OutcomeResult::TransportError(reason) => Verdict::NotNow {
            code: 0,
            reason,
            after: None,
            lost: Lost::Transport,
        },
    }
}

fn response(message: &Message) -> Verdict {
    let code = message.status().map_or(0, |status| status.code());
    let reason = || message.reason().to_owned();
    match code {
        200..=299 => Verdict::Accepted {
            etag: message
                .text(Name::SipEtag)
                .map(|tag| tag.into_owned())
                .filter(|tag| !tag.is_empty()),
            expires: message.expires().ok().flatten(),
        },
        412 => Verdict::UnknownTag,
        423 => Verdict::TooBrief {
            min: message.min_expires().ok().flatten(),
        },
        401 | 407 => Verdict::Unauthorised { code },
        // 501, 505 and 513 will be the same tomorrow; the other failures of a server pass.
        501 | 505 | 513 => Verdict::Refused {
            code,
            reason: reason(),
        },
        408 | 429 | 480 | 486 | 491 | 500..=599 | 600 => Verdict::NotNow {
            code,
            reason: reason(),
            after: message.retry_after().ok().flatten(),
            lost: Lost::No,
        },
        // Not for good: others have guessed passwords where we are (docs/adr/0008).
        403 if message.has(Name::RetryAfter) => Verdict::NotNow {
            code,
            reason: reason(),
            after: message.retry_after().ok().flatten(),
            lost: Lost::No,
        },
        _ => Verdict::Refused {
            code,
            reason: reason(),
        },
    }
}
