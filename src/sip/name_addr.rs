//! Addresses.
use super::{Params, Uri};
use std::fmt;

/// An address as in From, To, Contact, Route.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NameAddr {
    /// The display name as written, quotes included.
    pub display: Option<String>,
    /// The URI.
    pub uri: Uri,
    /// Parameters of the header, not of the URI.
    pub params: Params,
    wildcard: bool,
}

impl NameAddr {
    /// An address without display name and parameters.
    pub fn new(uri: Uri) -> Self {
        Self {
            display: None,
            uri,
            params: Params::new(),
            wildcard: false,
        }
    }

    /// Reads one address; `Err` says in words what is wrong.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let _ = text;
        todo!()
    }

    /// The `tag` parameter.
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag")
    }

    /// Whether this is `*` (RFC 3261, 10.2.2).
    pub fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// The `q` parameter in thousandths.
    pub fn q(&self) -> Option<u16> {
        todo!()
    }

    /// The `expires` parameter of a Contact.
    pub fn expires(&self) -> Option<u32> {
        todo!()
    }

    /// The display name without quotes.
    pub fn display_text(&self) -> Option<String> {
        todo!()
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
    }
}
