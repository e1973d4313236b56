//! Why a change cannot be applied, in the words of RFC 5261, 5.1.

use std::fmt;

use crate::pidf::PidfError;

/// Which operation failed, and why. Nothing of a change that fails is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchError {
    /// Its place in the document, from 1; `None` if it is the document that cannot be read.
    pub operation: Option<usize>,
    /// Why.
    pub fault: PatchFault,
}

/// Why an operation fails (RFC 5261, 5.1; the names of its error elements stand in front of the text).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchFault {
    /// `sel`, `type`, `pos` or `ws` is missing or has a value that it may not have.
    #[error("invalid-attribute-value: {0}")]
    AttributeValue(&'static str),
    /// A prefix in a selector that the change does not declare, or one that cannot be added or removed.
    #[error("invalid-namespace-prefix: {0}")]
    NamespacePrefix(String),
    /// A namespace name that may not be bound.
    #[error("invalid-namespace-uri: {0:?} cannot be bound")]
    NamespaceUri(String),
    /// What an operation brings is not of the kind of what it is for.
    #[error("invalid-node-types: {0}")]
    NodeTypes(&'static str),
    /// Another element than `add`, `replace` and `remove`, or an attribute that is there already.
    #[error("invalid-patch-directive: {0}")]
    Directive(String),
    /// The root can neither go nor get a sibling.
    #[error("invalid-root-element-operation")]
    RootElement,
    /// `ws` asks for white space to be removed where there is none.
    #[error("invalid-whitespace-directive")]
    Whitespace,
    /// Not exactly one node has been found.
    #[error("unlocated-node: {sel} names {found} nodes")]
    Unlocated {
        /// The selector.
        sel: String,
        /// How many nodes it names.
        found: usize,
    },
    /// The operations have the whole document searched too often.
    #[error("the change has too many operations for a document of this size")]
    TooMuchWork,
    /// The change, the document before it or the one after it cannot be read.
    #[error("{0}")]
    Document(#[from] PidfError),
}

impl fmt::Display for PatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(operation) = self.operation {
            write!(f, "operation {operation} of the change: ")?;
        }
        self.fault.fmt(f)
    }
}

impl std::error::Error for PatchError {}

impl PatchError {
    /// The SIP status for the publisher (RFC 5264, 4.3.2): 413 if a document or the work is too large, else 400.
    pub const fn status(&self) -> u16 {
        match &self.fault {
            PatchFault::Document(error) if error.status() == 413 => 413,
            PatchFault::TooMuchWork => 413,
            _ => 400,
        }
    }
}
