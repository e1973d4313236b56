//! XML 1.0 with namespaces, as the network may bring it: a strict reader on top of quick-xml's events, and a writer.
//!
//! quick-xml leaves to its users what a SIP server must refuse: an unclosed or second root, text outside it, control
//! characters, undeclared prefixes, attributes twice under two prefixes, a DOCTYPE. [`Scanner`] adds all of it, with
//! limits, in one pass and in linear time.

mod attributes;
mod chars;
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
