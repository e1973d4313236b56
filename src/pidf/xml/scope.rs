//! Namespace declarations in scope (Namespaces in XML 1.0, 3 and 6).

use std::borrow::Cow;

use crate::pidf::{DATA_MODEL_NS, PIDF_DIFF_NS, PIDF_NS, RPID_NS};

/// Namespace of the prefix `xml`, which needs no declaration.
pub(in crate::pidf) const XML_NS: &str = "http://www.w3.org/XML/1998/namespace";
/// Namespace of the prefix `xmlns`.
pub(in crate::pidf) const XMLNS_NS: &str = "http://www.w3.org/2000/xmlns/";

/// Namespaces that the program has a use for, so that they are compared once, where they are declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Known {
    /// No namespace.
    None,
    /// PIDF (RFC 3863).
    Pidf,
    /// Data model (RFC 4479).
    DataModel,
    /// RPID (RFC 4480).
    Rpid,
    /// Partial PIDF (RFC 5262).
    PidfDiff,
    /// `xml:lang` and its kin.
    Xml,
    /// Any other.
    Other,
}

impl Known {
    /// The name of a namespace that is known.
    pub fn uri(self) -> Option<&'static str> {
        match self {
            Self::None => Some(""),
            Self::Pidf => Some(PIDF_NS),
            Self::DataModel => Some(DATA_MODEL_NS),
            Self::Rpid => Some(RPID_NS),
            Self::PidfDiff => Some(PIDF_DIFF_NS),
            Self::Xml => Some(XML_NS),
            Self::Other => None,
        }
    }

    /// Which of them a namespace name is.
    pub fn of(uri: &str) -> Self {
        match uri {
            "" => Self::None,
            PIDF_NS => Self::Pidf,
            DATA_MODEL_NS => Self::DataModel,
            RPID_NS => Self::Rpid,
            PIDF_DIFF_NS => Self::PidfDiff,
            XML_NS => Self::Xml,
            _ => Self::Other,
        }
    }
}

/// One declaration.
#[derive(Clone, Debug)]
pub struct Declared<'a> {
    /// The prefix; empty for the default namespace.
    pub prefix: &'a str,
    /// The prefix as a number, as far as that goes: see [`key`].
    key: u64,
    /// The namespace name; empty where the default is taken back.
    pub uri: Cow<'a, str>,
    /// Which one it is.
    pub known: Known,
    /// How deep the element with the declaration lies: 1 is the root, 0 what holds without declaration.
    pub depth: usize,
    /// Counts all declarations of the document, so that one can be told from another of the same prefix.
    pub number: usize,
}

/// Prefixes shorter than this are told apart by their keys alone.
const KEYED: usize = size_of::<u64>();

/// The length of a prefix and its first seven bytes.
fn key(prefix: &str) -> u64 {
    let first = prefix.bytes().take(KEYED - 1);
    // The length counts up to 255, which is enough to tell it from a shorter one.
    first.fold(prefix.len().min(255) as u64, |key, byte| {
        key << 8 | u64::from(byte)
    })
}

/// All that is in scope, the innermost last.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    stack: Vec<Declared<'a>>,
    count: usize,
}

impl<'a> Scope<'a> {
    pub fn new() -> Self {
        let implied = |prefix, uri: &'static str, number| Declared {
            prefix,
            key: key(prefix),
            uri: Cow::Borrowed(uri),
            known: Known::of(uri),
            depth: 0,
            number,
        };
        let mut stack = Vec::with_capacity(8);
        stack.extend([implied("", "", 0), implied("xml", XML_NS, 1)]);
        Self { stack, count: 2 }
    }

    /// Number of declarations in scope, the two implied ones not counted.
    pub fn len(&self) -> usize {
        self.stack.len() - 2
    }

    /// Adds a declaration; false if the recommendation forbids it.
    pub fn declare(&mut self, prefix: &'a str, uri: Cow<'a, str>, depth: usize) -> bool {
        let known = Known::of(&uri);
        let allowed = match prefix {
            "xmlns" => false,
            "xml" => known == Known::Xml,
            "" => known != Known::Xml && uri != XMLNS_NS,
            _ => !matches!(known, Known::Xml | Known::None) && uri != XMLNS_NS,
        };
        if allowed {
            self.stack.push(Declared {
                prefix,
                key: key(prefix),
                uri,
                known,
                depth,
                number: self.count,
            });
            self.count += 1;
        }
        allowed
    }

    /// Drops the declarations of an element at `depth` that has ended.
    pub fn leave(&mut self, depth: usize) {
        while self
            .stack
            .last()
            .is_some_and(|declared| declared.depth >= depth)
        {
            self.stack.pop();
        }
    }

    /// The declarations of the innermost element, which lies at `depth`, in their order.
    pub fn at_depth(&self, depth: usize) -> impl Iterator<Item = &Declared<'a>> {
        let outer = self
            .stack
            .iter()
            .rposition(|declared| declared.depth < depth);
        self.stack[outer.map_or(0, |at| at + 1)..].iter()
    }

    /// The index of the declaration that holds for a prefix.
    pub fn find(&self, prefix: &str) -> Option<usize> {
        let key = key(prefix);
        // The number tells nearly always, and comparing texts would be a call for each of them.
        self.stack.iter().rposition(|declared| {
            declared.key == key && (prefix.len() < KEYED || declared.prefix == prefix)
        })
    }

    pub fn get(&self, index: usize) -> &Declared<'a> {
        &self.stack[index]
    }
}
