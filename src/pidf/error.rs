//! What can be wrong with a document, where, and what the publisher is told.

/// Why a document is refused. Positions are bytes from its begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PidfError {
    /// Larger than the limit.
    #[error("the document has {size} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// [`Limits::bytes`](super::Limits::bytes).
        limit: usize,
    },
    /// Elements, attributes or namespaces beyond the limit.
    #[error("more than {limit} {what} at byte {at}")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// Where it is passed.
        at: usize,
    },
    /// Elements nested beyond the limit.
    #[error("elements are nested more than {limit} deep at byte {at}")]
    TooDeep {
        /// [`Limits::depth`](super::Limits::depth).
        limit: usize,
        /// Where it is passed.
        at: usize,
    },
    /// Another encoding than UTF-8, by mark or by declaration.
    #[error("the document is in {0}, only UTF-8 is read")]
    Encoding(String),
    /// Not XML, or XML that is never accepted.
    #[error("{fault} at byte {at}")]
    Malformed {
        /// What is wrong.
        fault: Fault,
        /// Where.
        at: usize,
    },
    /// The root is not `presence` of the PIDF namespace.
    #[error("the root element {0} is not a PIDF presence element")]
    WrongRoot(String),
    /// A change where a full state is asked for (RFC 5264, 4.3.2).
    #[error("invalid partial publication: a pidf-diff document is no full state")]
    Partial,
    /// `presence` has no entity (RFC 3863, 4.1.1).
    #[error("the presence element has no entity")]
    NoEntity,
}

impl PidfError {
    /// The SIP status for the publisher: 413 for size, 415 for another format or encoding, else 400.
    pub const fn status(&self) -> u16 {
        match self {
            Self::TooLarge { .. } | Self::TooMany { .. } => 413,
            Self::Encoding(_) => 415,
            Self::TooDeep { .. }
            | Self::Malformed { .. }
            | Self::WrongRoot(_)
            | Self::Partial
            | Self::NoEntity => 400,
        }
    }
}

/// What is wrong with an XML document (XML 1.0, fifth edition; Namespaces in XML 1.0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// Octets that are not UTF-8.
    #[error("octets that are not UTF-8")]
    Utf8,
    /// A character that XML forbids, as itself or as a reference.
    #[error("a character that XML forbids")]
    Character,
    /// A tag, comment, instruction or reference that does not end.
    #[error("markup that does not end")]
    Unfinished,
    /// Markup that XML does not know.
    #[error("unknown markup")]
    Markup,
    /// `<!DOCTYPE`.
    #[error("a document type declaration, which is never accepted")]
    Doctype,
    /// `<?xml …?>` not at the begin, or badly made.
    #[error("a misplaced or malformed XML declaration")]
    Declaration,
    /// An instruction with a bad target.
    #[error("a malformed processing instruction")]
    Instruction,
    /// `--` in a comment.
    #[error("a comment with two hyphens inside")]
    Comment,
    /// A name with forbidden characters, or with two colons.
    #[error("a malformed name")]
    Name,
    /// A prefix that is not declared.
    #[error("a prefix that is not declared")]
    Prefix,
    /// A namespace declaration that the recommendation forbids.
    #[error("a forbidden namespace declaration")]
    NamespaceDeclaration,
    /// An attribute without quotes, without space before it, or with `<` in it.
    #[error("a malformed attribute")]
    Attribute,
    /// The same attribute twice, also under two prefixes.
    #[error("an attribute that is there twice")]
    DuplicateAttribute,
    /// Another entity than the five.
    #[error("an unknown entity")]
    Entity,
    /// `]]>` in text.
    #[error("the end of a CDATA section in text")]
    CdataEnd,
    /// An end tag for another element than the open one.
    #[error("an end tag that does not match")]
    EndTag,
    /// Text before or after the root element.
    #[error("text outside the root element")]
    Outside,
    /// A second root element.
    #[error("a second root element")]
    SecondRoot,
    /// No root element.
    #[error("no root element")]
    NoRoot,
    /// The input ends inside an element.
    #[error("an element that does not end")]
    Unclosed,
}
