//! PIDF documents with the data model and RPID: reader and writer (RFC 3863, 4479, 4480).
//!
//! [`Document::parse`] reads a document once, strictly in what XML and its namespaces ask (RFC 3863, 4.1.1: no DTD, one
//! root, its namespace, its entity), liberally in what only a schema asks: phones publish `<basic>unknown</basic>`, and
//! the RFCs' own samples break their schemas. It keeps the byte span of every part that composition moves around, so
//! that what nobody here understands survives verbatim. [`Builder`] writes documents of our own.

mod builder;
mod document;
mod error;
mod moment;
pub mod patch;
mod read;
pub mod vocabulary;
pub mod xml;

#[cfg(test)]
mod tests;

use std::fmt;

pub use builder::{Builder, Person, Service};
pub use document::{
    Binding, Child, Document, Edit, Group, Id, Item, Meaning, Piece, Tuple, Usual, Window,
};
pub use error::{Fault, PidfError};
pub use moment::{parse_moment, write_moment};
pub use xml::Limits;

/// Content type of the documents here (RFC 3863, 5.1).
pub const CONTENT_TYPE: &str = "application/pidf+xml";
/// Content type of partial presence: a full state or a change to one (RFC 5262, 5.2).
pub const PARTIAL_CONTENT_TYPE: &str = "application/pidf-diff+xml";
/// Namespace of `presence`, `tuple`, `status`, … (RFC 3863, 4.1).
pub const PIDF_NS: &str = "urn:ietf:params:xml:ns:pidf";
/// Namespace of `person`, `device`, `deviceID` (RFC 4479, 5.1).
pub const DATA_MODEL_NS: &str = "urn:ietf:params:xml:ns:pidf:data-model";
/// Namespace of `activities`, `mood`, … (RFC 4480, 5).
pub const RPID_NS: &str = "urn:ietf:params:xml:ns:pidf:rpid";
/// Namespace of place types (RFC 4589).
pub const LOCATION_TYPE_NS: &str = "urn:ietf:params:xml:ns:location-type";
/// Namespace of `pidf-full` and `pidf-diff` (RFC 5262, 4).
pub const PIDF_DIFF_NS: &str = "urn:ietf:params:xml:ns:pidf-diff";

/// Whether a service, or somebody, can be reached (RFC 3863, 4.1.4). Any other word in `basic` says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Basic {
    /// Reachable.
    Open,
    /// Not reachable.
    Closed,
}

impl Basic {
    /// As it stands in `basic`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }

    /// Reads the text of `basic`. White space around it is forgiven, as people write it so; other words are no status.
    pub fn of(text: &str) -> Option<Self> {
        match text.trim_matches(xml::is_space) {
            "open" => Some(Self::Open),
            "closed" => Some(Self::Closed),
            _ => None,
        }
    }
}

/// Text for people, in a language if it is known (RFC 3863, 4.1.6).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Note {
    /// `xml:lang`.
    pub lang: Option<String>,
    /// The text.
    pub text: String,
}

/// Priority of a contact in thousandths, 0 to 1000 (RFC 3863, 4.1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u16);

impl Priority {
    /// The lowest.
    pub const LOWEST: Self = Self(0);
    /// The highest.
    pub const MAX: Self = Self(1000);

    /// A priority from thousandths; `None` above 1000.
    pub const fn from_thousandths(thousandths: u16) -> Option<Self> {
        if thousandths <= 1000 {
            Some(Self(thousandths))
        } else {
            None
        }
    }

    /// Reads `0`, `0.8`, `1.000`; what is out of range or has more decimals counts as absent.
    pub fn of(text: &str) -> Option<Self> {
        let text = text.trim_matches(xml::is_space);
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        if decimals.len() > 3 || !decimals.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let mut thousandths = match whole {
            "0" => 0,
            "1" => 1000,
            _ => return None,
        };
        let mut weight = 100;
        for digit in decimals.bytes() {
            thousandths += u16::from(digit - b'0') * weight;
            weight /= 10;
        }
        Self::from_thousandths(thousandths)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 1000, self.0 % 1000) {
            (whole, rest) if rest % 100 == 0 => write!(f, "{whole}.{}", rest / 100),
            (whole, rest) if rest % 10 == 0 => write!(f, "{whole}.{:02}", rest / 10),
            (whole, rest) => write!(f, "{whole}.{rest:03}"),
        }
    }
}
