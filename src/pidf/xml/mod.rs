//! XML 1.0 with namespaces, as the network may bring it: a strict reader, and a writer.
//!
//! What a SIP server must refuse is refused: an unclosed or second root, text outside it, control characters, undeclared
//! prefixes, attributes twice under two prefixes, a DOCTYPE. [`Scanner`] does so with limits, in one pass and in linear
//! time. Why it is our own: docs/adr/0010.

mod attributes;
mod chars;
mod markup;
mod scanner;
mod scope;
#[cfg(test)]
mod tests;
mod writer;

pub use attributes::Attribute;
pub(in crate::pidf) use chars::split_qname;
pub use chars::{is_char, is_ncname, is_space, to_ncname};
pub use scanner::{Limits, Scanner, Start, Token, check};
pub use scope::{Declared, Known};
pub(in crate::pidf) use scope::{XML_NS, XMLNS_NS};
pub(in crate::pidf) use writer::push_text;
pub(crate) use writer::push_value;
pub use writer::{Writer, push_attribute};
