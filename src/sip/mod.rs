//! SIP as it stands on the wire (RFC 3261, sections 7, 19, 20, 25): a lazy reader over shared bytes, and a writer.
//!
//! [`Message::parse`] finds the start line, the header lines and the body, and copies nothing; a header is looked into
//! when somebody asks for it. What a message is answered with when it cannot be read is [`ParseError::status`].

mod access;
mod date;
mod error;
mod escape;
mod event;
mod framing;
mod head;
mod header;
mod index;
mod lex;
mod message;
mod method;
mod name_addr;
mod normal;
mod params;
pub mod rsip;
mod status;
mod uri;
mod uri_parts;
mod via;

pub use self::rsip::ConvertError;
pub use access::CSeq;
pub use date::date;
pub use error::{Fault, HeaderError, ParseError};
pub use event::{Event, SubscriptionState, SubscriptionStateValue};
pub use framing::{Frame, Framer, FramingError};
pub use head::{Head, ViaPatch, write_request, write_response};
pub(crate) use head::{push_address, push_number};
pub use header::Name;
pub use message::Message;
pub use method::Method;
pub use name_addr::NameAddr;
pub use normal::{account_name, at_home, domain, host_of, normal_name, plain_user, user_of};
pub use params::Params;
pub use status::StatusCode;
pub use uri::{Host, Scheme, Uri, UriError};
pub use uri_parts::UriParts;
pub use via::Via;

#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod properties;
