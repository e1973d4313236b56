//! Reads one document into a [`Message`], or says in words what is wrong with it.

mod document;
mod fields;
mod message;
#[cfg(test)]
mod tests;

use super::entity::EntityError;
use super::message::Message;
use crate::pidf::PidfError;
use crate::time::Timestamp;
use fields::Fields;

/// Why a document is no message, with as much of it as could be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{problem}")]
pub struct ReadError {
    /// The `seq` of a `PRESENCE`: its sender gets a `NAK` with the reason rather than an `ERROR`.
    pub seq: Option<u64>,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a document.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Problem {
    /// Not UTF-8.
    #[error("the document is not UTF-8")]
    Encoding,
    /// A character that XML does not allow.
    #[error("the document has the character U+{0:04X}, which XML does not allow")]
    Character(u32),
    /// Not well-formed XML.
    #[error("not well-formed: {0}")]
    IllFormed(String),
    /// An entity that is none of the five of XML.
    #[error(
        "the entity &{0}; is not known; allowed are &amp; &lt; &gt; &quot; &apos; and character references"
    )]
    UnknownEntity(String),
    /// No `<type>`.
    #[error("there is no <type>")]
    NoType,
    /// An element that is needed is not there, or empty.
    #[error("{kind} needs <{element}>")]
    Missing {
        /// The type of the message.
        kind: &'static str,
        /// The name of the element.
        element: &'static str,
    },
    /// An element that may stand there once stands there twice.
    #[error("<{0}> stands there more than once")]
    Twice(&'static str),
    /// A value that is none of those allowed.
    #[error("<{element}> is {value:?}; allowed is {allowed}")]
    Value {
        /// The name of the element.
        element: &'static str,
        /// What was written, shortened.
        value: String,
        /// What may be written.
        allowed: &'static str,
    },
    /// The presentity's name is none.
    #[error("<entity> is {0:?}: {1}")]
    Entity(String, EntityError),
    /// The `<presence>` document is not one.
    #[error("<presence> is no PIDF document: {0}")]
    Document(PidfError),
    /// The `<presence>` document is about somebody else than `<entity>` says.
    #[error("<presence> is about {0:?}, another than <entity>")]
    OtherEntity(String),
}

/// Reads a document that the [`FrameFinder`](super::FrameFinder) found. `now` gives idle seconds their meaning.
pub fn read(document: &[u8], now: Timestamp) -> Result<Message, ReadError> {
    let mut fields = Fields::default();
    match fields
        .collect(document)
        .and_then(|text| fields.message(text, now))
    {
        Ok(message) => Ok(message),
        Err(problem) => Err(ReadError {
            seq: fields.presence_seq(),
            problem,
        }),
    }
}

fn bad(element: &'static str, value: &str, allowed: &'static str) -> Problem {
    Problem::Value {
        element,
        value: shortened(value),
        allowed,
    }
}

fn ill_formed(error: impl std::fmt::Display) -> Problem {
    // It may quote names of any length.
    Problem::IllFormed(shortened(&error.to_string()))
}

fn shortened(value: &str) -> String {
    value.chars().take(120).collect()
}

/// Whether a text may be the name of an element in RPID: a name of XML without a prefix, in ASCII.
fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
}

/// XML 1.0, 2.2.
pub(super) fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}
