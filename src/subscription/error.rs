//! Why a SUBSCRIBE is refused, and what the watcher gets.

use std::net::SocketAddr;

use crate::egress::Barred;
use crate::registry::Over;
use crate::sip::{Head, HeaderError, Name, StatusCode};

/// Why a SUBSCRIBE is refused (RFC 6665, 4.2.1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// A presentity of somebody else.
    #[error("{0} is not served here")]
    NotFound(String),
    /// No such event package here, or none named.
    #[error("event package is not known")]
    BadEvent {
        /// Those that are.
        allow_events: String,
    },
    /// The watcher reads none of the package's types.
    #[error("none of {accept} is acceptable to the watcher")]
    NotAcceptable {
        /// The package's types.
        accept: String,
    },
    /// Expires is below this many seconds.
    #[error("expires is below the minimum of {0} s")]
    IntervalTooBrief(u32),
    /// A dialog has one remote target (RFC 3261, 12.1.1).
    #[error("a SUBSCRIBE needs one Contact")]
    NoContact,
    /// A header that can't be read.
    #[error("{0}")]
    BadHeader(#[from] HeaderError),
    /// Call-ID, tags and routes that would fill a record.
    #[error("dialog identifiers and route set are too long")]
    DialogTooLarge,
    /// NOTIFY would have to go where nothing may.
    #[error("nothing is sent to {0}: it is {1}")]
    Barred(SocketAddr, Barred),
    /// It is too short for a NOTIFY to a place that has not answered (docs/adr/0015).
    #[error("too short to draw a NOTIFY from here: subscribe over TCP")]
    TooShort,
    /// No such dialog, or no such subscription in it (RFC 6665, 4.2.1; RFC 3261, 12.2.2).
    #[error("no such subscription")]
    NoSuchSubscription,
    /// CSeq is lower than before (RFC 3261, 12.2.2).
    #[error("CSeq is lower than that of an earlier request")]
    OutOfOrder,
    /// The presentity, or the default policy, does not let this watcher (RFC 6665, 4.2.1.1).
    #[error("the watcher is blocked")]
    Blocked,
    /// Watcher information is for the presentity alone (RFC 3857, 4.6).
    #[error("only {0} itself may watch its watchers")]
    NotYours(String),
    /// Another account speaks in the dialog than the one that made it.
    #[error("the subscription belongs to another account")]
    OtherAccount,
    /// The presentity has as many watchers as it may.
    #[error("presentity has {0} subscriptions already")]
    TooManySubscriptions(usize),
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

impl SubscribeError {
    /// The answer the watcher gets.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::BadEvent { .. } => StatusCode::BAD_EVENT,
            Self::NotAcceptable { .. } => StatusCode::NOT_ACCEPTABLE,
            Self::IntervalTooBrief(_) => StatusCode::INTERVAL_TOO_BRIEF,
            Self::NoContact | Self::DialogTooLarge => StatusCode::BAD_REQUEST,
            Self::BadHeader(error) => error.status(),
            Self::NoSuchSubscription => StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST,
            Self::OutOfOrder => StatusCode::SERVER_INTERNAL_ERROR,
            Self::Blocked
            | Self::NotYours(_)
            | Self::OtherAccount
            | Self::Barred(..)
            | Self::TooShort
            | Self::TooManySubscriptions(_) => StatusCode::FORBIDDEN,
            Self::Over(over) => over.status(),
            Self::NotStored { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// A reason phrase, where the standard one leaves the watcher guessing.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::NoContact
            | Self::DialogTooLarge
            | Self::BadHeader(_)
            | Self::OutOfOrder
            | Self::NotYours(_)
            | Self::OtherAccount
            | Self::TooManySubscriptions(_)
            | Self::Barred(..)
            | Self::TooShort
            | Self::Over(_) => Some(self.to_string()),
            Self::NotFound(_)
            | Self::BadEvent { .. }
            | Self::NotAcceptable { .. }
            | Self::IntervalTooBrief(_)
            | Self::NoSuchSubscription
            | Self::Blocked
            | Self::NotStored { .. } => None,
        }
    }

    /// Writes the headers that the answer needs.
    pub fn write(&self, head: &mut Head) {
        match self {
            Self::BadEvent { allow_events } => {
                head.line(Name::AllowEvents, allow_events);
            }
            Self::NotAcceptable { accept } => {
                head.line(Name::Accept, accept);
            }
            Self::IntervalTooBrief(min) => {
                head.line(Name::MinExpires, min);
            }
            Self::Over(over) => over.write(head),
            Self::NotStored { retry_after } => {
                head.line(Name::RetryAfter, retry_after);
            }
            Self::NotFound(_)
            | Self::NoContact
            | Self::BadHeader(_)
            | Self::DialogTooLarge
            | Self::NoSuchSubscription
            | Self::OutOfOrder
            | Self::Blocked
            | Self::NotYours(_)
            | Self::OtherAccount
            | Self::Barred(..)
            | Self::TooShort
            | Self::TooManySubscriptions(_) => {}
        }
    }
}
