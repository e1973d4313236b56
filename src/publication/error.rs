//! Why a PUBLISH is refused, and what the publisher gets.

use crate::pidf::PidfError;
use crate::pidf::patch::PatchError;
use crate::registry::Over;
use crate::sip::{Head, HeaderError, Name, StatusCode};

/// Why a PUBLISH is refused (RFC 3903, 6).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// A presentity of somebody else.
    #[error("{0} is not served here")]
    NotFound(String),
    /// A presentity that the sender does not speak for.
    #[error("only {0} may publish for itself")]
    NotYours(String),
    /// No such event package here, or none named.
    #[error("event package is not known")]
    BadEvent {
        /// Those that are.
        allow_events: String,
    },
    /// More than one entity-tag in SIP-If-Match.
    #[error("more than one entity-tag in SIP-If-Match")]
    SeveralConditions,
    /// The publication is not, or no longer, here.
    #[error("no publication has entity-tag {0}")]
    UnknownEntityTag(String),
    /// Expires is below this many seconds.
    #[error("expires is below the minimum of {0} s")]
    IntervalTooBrief(u32),
    /// A body of a type the package doesn't have.
    #[error("media type is not one of {accept}")]
    UnsupportedMediaType {
        /// Those that it has.
        accept: String,
    },
    /// A compressed body.
    #[error("content encoding is not identity")]
    UnsupportedEncoding,
    /// An initial publication without a body.
    #[error("initial publication has no body")]
    MissingBody,
    /// A body beyond the limit.
    #[error("body has {size} bytes, more than {limit}")]
    TooLarge {
        /// Bytes of the body.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A body that can't be read.
    #[error("{0}")]
    BadBody(#[from] PidfError),
    /// A change that can't be applied; the state stays as it was.
    #[error("{0}")]
    BadChange(#[from] PatchError),
    /// A header that can't be read.
    #[error("{0}")]
    BadHeader(#[from] HeaderError),
    /// The presentity has as many publications as it may.
    #[error("presentity has {0} publications already")]
    TooManyPublications(usize),
    /// The presentity's bodies would be too much together.
    #[error("presentity would have {size} bytes of documents, more than {limit}")]
    StateTooLarge {
        /// Bytes of its bodies with this one.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// No room for another presentity.
    #[error("no room for another presentity")]
    Full {
        /// Seconds after which to try again.
        retry_after: u32,
    },
    /// The sender's share, or the node, is used up.
    #[error("{0}")]
    Over(#[from] Over),
    /// The store did not take the change.
    #[error("the change could not be stored")]
    NotStored {
        /// Seconds after which to try again.
        retry_after: u32,
    },
}

impl PublishError {
    /// The answer the publisher gets.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::BadEvent { .. } => StatusCode::BAD_EVENT,
            Self::SeveralConditions | Self::MissingBody => StatusCode::BAD_REQUEST,
            Self::UnknownEntityTag(_) => StatusCode::CONDITIONAL_REQUEST_FAILED,
            Self::IntervalTooBrief(_) => StatusCode::INTERVAL_TOO_BRIEF,
            Self::UnsupportedMediaType { .. } | Self::UnsupportedEncoding => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Self::TooLarge { .. } | Self::StateTooLarge { .. } => {
                StatusCode::REQUEST_ENTITY_TOO_LARGE
            }
            Self::BadBody(error) => {
                StatusCode::new(error.status()).unwrap_or(StatusCode::BAD_REQUEST)
            }
            Self::BadChange(error) => {
                StatusCode::new(error.status()).unwrap_or(StatusCode::BAD_REQUEST)
            }
            Self::BadHeader(error) => error.status(),
            Self::TooManyPublications(_) | Self::NotYours(_) => StatusCode::FORBIDDEN,
            Self::Over(over) => over.status(),
            Self::Full { .. } | Self::NotStored { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// A reason phrase, where the standard one leaves the publisher guessing.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::SeveralConditions
            | Self::MissingBody
            | Self::BadBody(_)
            | Self::BadChange(_)
            | Self::BadHeader(_)
            | Self::TooManyPublications(_)
            | Self::StateTooLarge { .. }
            | Self::NotYours(_)
            | Self::Over(_)
            | Self::Full { .. } => Some(self.to_string()),
            Self::NotFound(_)
            | Self::BadEvent { .. }
            | Self::UnknownEntityTag(_)
            | Self::IntervalTooBrief(_)
            | Self::UnsupportedMediaType { .. }
            | Self::UnsupportedEncoding
            | Self::TooLarge { .. }
            | Self::NotStored { .. } => None,
        }
    }

    /// Writes the headers that the answer needs.
    pub fn write(&self, head: &mut Head) {
        match self {
            Self::BadEvent { allow_events } => {
                head.line(Name::AllowEvents, allow_events);
            }
            Self::IntervalTooBrief(min) => {
                head.line(Name::MinExpires, min);
            }
            Self::UnsupportedMediaType { accept } => {
                head.line(Name::Accept, accept);
            }
            Self::UnsupportedEncoding => {
                head.line(Name::AcceptEncoding, "identity");
            }
            Self::Over(over) => over.write(head),
            Self::Full { retry_after } | Self::NotStored { retry_after } => {
                head.line(Name::RetryAfter, retry_after);
            }
            Self::NotFound(_)
            | Self::SeveralConditions
            | Self::UnknownEntityTag(_)
            | Self::MissingBody
            | Self::TooLarge { .. }
            | Self::BadBody(_)
            | Self::BadChange(_)
            | Self::BadHeader(_)
            | Self::TooManyPublications(_)
            | Self::StateTooLarge { .. }
            | Self::NotYours(_) => {}
        }
    }
}
