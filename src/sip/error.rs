//! What is wrong with a message, and what its sender gets for it.

use super::{Message, Method, Name, StatusCode};

/// Why bytes are not a SIP message that can be worked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nothing but line ends, as keep-alives are.
    #[error("nothing but empty lines")]
    Empty,
    /// The first line is neither a request line nor a status line.
    #[error("malformed start line")]
    StartLine,
    /// White space or bytes that are not UTF-8 in the Request-URI.
    #[error("malformed Request-URI")]
    RequestUri,
    /// A version other than SIP/2.0.
    #[error("SIP version not supported")]
    Version,
    /// No empty line after the headers.
    #[error("the headers do not end")]
    Truncated,
    /// Content-Length is no number, or negative, or beyond every bound.
    #[error("malformed Content-Length")]
    ContentLength,
    /// Two Content-Length headers that disagree (RFC 4475, 3.3.9).
    #[error("conflicting Content-Length headers")]
    ConflictingLengths,
    /// The body ends before Content-Length does (RFC 3261, 18.3).
    #[error("body shorter than Content-Length")]
    ShortBody,
    /// A stream has no other way to tell where a message ends (RFC 3261, 18.3).
    #[error("no Content-Length on a stream")]
    NoContentLength,
    /// More than [`Message::MAX_LEN`] bytes, or more than the framer takes.
    #[error("message too large")]
    TooLarge,
    /// A body that is larger than the framer takes.
    #[error("body too large")]
    BodyTooLarge,
    /// More than [`Message::MAX_HEADERS`] header lines.
    #[error("too many header lines")]
    TooManyHeaders,
    /// A header longer than [`Message::MAX_LINE`] bytes.
    #[error("header line too long")]
    LineTooLong,
    /// A start line longer than [`Message::MAX_LINE`] bytes.
    #[error("Request-URI too long")]
    StartLineTooLong,
}

impl Fault {
    /// What a request with this fault is answered with.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Empty
            | Self::StartLine
            | Self::RequestUri
            | Self::Truncated
            | Self::ContentLength
            | Self::ConflictingLengths
            | Self::ShortBody
            | Self::NoContentLength => StatusCode::BAD_REQUEST,
            Self::Version => StatusCode::VERSION_NOT_SUPPORTED,
            Self::TooLarge | Self::TooManyHeaders | Self::LineTooLong => {
                StatusCode::MESSAGE_TOO_LARGE
            }
            Self::BodyTooLarge => StatusCode::REQUEST_ENTITY_TOO_LARGE,
            Self::StartLineTooLong => StatusCode::REQUEST_URI_TOO_LONG,
        }
    }
}

/// A [`Fault`] together with as much of the message as an answer needs.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{fault}")]
pub struct ParseError {
    fault: Fault,
    message: Option<Box<Message>>,
}

impl ParseError {
    pub(super) fn new(fault: Fault, message: Option<Message>) -> Self {
        Self {
            fault,
            message: message.filter(answerable).map(Box::new),
        }
    }

    /// What is wrong.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// What the sender gets. None for responses, for ACK, and when there is no Via to send an answer along: those are
    /// dropped in silence.
    pub fn status(&self) -> Option<StatusCode> {
        self.message.as_ref().map(|_| self.fault.status())
    }

    /// The request as far as it could be read, when it can be answered: it has a Via. From, To, Call-ID and CSeq may be
    /// missing from it, and its body is empty.
    pub fn message(&self) -> Option<&Message> {
        self.message.as_deref()
    }
}

/// Whether an answer could be sent to this, and would be: there is none to ACK.
pub(super) fn answerable(message: &Message) -> bool {
    message
        .method()
        .is_some_and(|method| *method != Method::Ack)
        && message.has(Name::Via)
}

/// A name for people.
const fn label(name: Name) -> &'static str {
    match name {
        Name::Other => "Request-URI",
        name => name.as_str(),
    }
}

/// Why a header of a message that was otherwise read can't be used. A request gets [`HeaderError::status`] for it when the
/// header is one that is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", label(*name))]
pub struct HeaderError {
    /// Which header; [`Name::Other`] stands for the Request-URI.
    pub name: Name,
    /// What is wrong with it, in words.
    pub reason: &'static str,
}

impl HeaderError {
    /// About the header `name`.
    pub const fn new(name: Name, reason: &'static str) -> Self {
        Self { name, reason }
    }

    /// The header is not there.
    pub const fn missing(name: Name) -> Self {
        Self {
            name,
            reason: "missing",
        }
    }

    /// What a request that needs the header is answered with: 400.
    pub const fn status(&self) -> StatusCode {
        StatusCode::BAD_REQUEST
    }
}
