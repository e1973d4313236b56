//! `sel` and `type`: the part of XPath 1.0 that RFC 5261 allows (4.1, and the patterns in 8).

use super::error::PatchFault;
use super::tree::{NodeId, Tree};
use super::uris::Uri;
use crate::pidf::xml::{is_ncname, is_space, split_qname};

/// Bytes of a selector. Selectors of partial presence have some tens; the limit bounds the work of a change.
const MAX_LEN: usize = 1024;

/// A location path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selector {
    pub steps: Vec<Step>,
    pub last: Last,
}

/// One step along the child axis.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub test: Test,
    pub predicates: Vec<Predicate>,
}

/// What a step selects.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// Any element.
    Any,
    /// Elements of this name.
    Element { uri: Uri, local: String },
    /// The element with this id, wherever it is.
    Id(String),
    /// Text.
    Text,
    /// Comments.
    Comment,
    /// Processing instructions, of one target or of any.
    Instruction(Option<String>),
}

/// What a step asks of the nodes that it selects.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Predicate {
    /// The place among those selected so far, from 1.
    Position(usize),
    /// An attribute has this value.
    Attribute {
        uri: Uri,
        local: String,
        value: String,
    },
    /// A child element has this string-value.
    Child {
        uri: Uri,
        local: String,
        value: String,
    },
    /// The string-value is this.
    Value(String),
}

/// What is selected of the node that the steps lead to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// The node itself.
    Node,
    /// An attribute.
    Attribute { uri: Uri, local: String },
    /// A namespace declaration, by its prefix.
    Namespace(String),
}

/// Where a selector stands, for what its prefixes mean.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    /// The change.
    pub tree: &'a Tree,
    /// The operation.
    pub id: NodeId,
}

impl Context<'_> {
    /// An element without prefix has the default namespace, other than in XPath (4.2.1).
    fn element(self, prefix: &str) -> Result<Uri, PatchFault> {
        let uri = self.tree.resolve(self.id, prefix);
        uri.ok_or_else(|| PatchFault::NamespacePrefix(prefix.to_owned()))
    }

    fn attribute(self, prefix: &str) -> Result<Uri, PatchFault> {
        let uri = self.tree.resolve_attribute(self.id, prefix);
        uri.ok_or_else(|| PatchFault::NamespacePrefix(prefix.to_owned()))
    }
}

/// Reads `sel`.
pub(super) fn parse(text: &str, context: Context<'_>) -> Result<Selector, PatchFault> {
    if text.len() > MAX_LEN {
        return Err(PatchFault::AttributeValue("a selector beyond 1024 bytes"));
    }
    let mut reader = Reader {
        rest: text.trim_matches(is_space),
        context,
    };
    reader.take("/");
    let mut steps = Vec::new();
    loop {
        reader.skip_space();
        let last = if reader.take("@") {
            let (uri, local) = reader.attribute_name()?;
            Some(Last::Attribute { uri, local })
        } else if reader.take("namespace::") {
            Some(Last::Namespace(reader.ncname()?))
        } else {
            None
        };
        if let Some(last) = last {
            return reader.finish(Selector { steps, last });
        }
        let test = reader.test(steps.is_empty())?;
        let is_element = matches!(test, Test::Any | Test::Element { .. } | Test::Id(_));
        let predicates = reader.predicates(is_element)?;
        steps.push(Step { test, predicates });
        reader.skip_space();
        if !(is_element && reader.take("/")) {
            let last = Last::Node;
            return reader.finish(Selector { steps, last });
        }
    }
}

/// What `type` says to add.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// An attribute, its prefix as written.
    Attribute {
        prefix: String,
        uri: Uri,
        local: String,
    },
    /// A namespace declaration for this prefix.
    Namespace(String),
}

/// Reads `type`.
pub(super) fn parse_type(text: &str, context: Context<'_>) -> Result<Added, PatchFault> {
    let text = text.trim_matches(is_space);
    let bad = PatchFault::AttributeValue("type is neither @name nor namespace::prefix");
    if let Some(prefix) = text.strip_prefix("namespace::") {
        return match is_ncname(prefix) {
            true => Ok(Added::Namespace(prefix.to_owned())),
            false => Err(bad),
        };
    }
    let (prefix, local) = text.strip_prefix('@').and_then(split_qname).ok_or(bad)?;
    Ok(Added::Attribute {
        prefix: prefix.to_owned(),
        uri: context.attribute(prefix)?,
        local: local.to_owned(),
    })
}

struct Reader<'a> {
    rest: &'a str,
    context: Context<'a>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches(is_space);
    }

    fn expect(&mut self, token: &str) -> Result<(), PatchFault> {
        self.skip_space();
        if self.take(token) { Ok(()) } else { Err(bad()) }
    }

    fn finish(mut self, selector: Selector) -> Result<Selector, PatchFault> {
        self.skip_space();
        if self.rest.is_empty() {
            Ok(selector)
        } else {
            Err(bad())
        }
    }

    /// The characters up to the next one that ends a name.
    fn name(&mut self) -> &'a str {
        let end = self
            .rest
            .find(|c: char| "/[]()='\"@*".contains(c) || is_space(c))
            .unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        name
    }

    fn ncname(&mut self) -> Result<String, PatchFault> {
        let name = self.name();
        if is_ncname(name) {
            Ok(name.to_owned())
        } else {
            Err(bad())
        }
    }

    fn attribute_name(&mut self) -> Result<(Uri, String), PatchFault> {
        let (prefix, local) = split_qname(self.name()).ok_or_else(bad)?;
        Ok((self.context.attribute(prefix)?, local.to_owned()))
    }

    fn element_name(&mut self) -> Result<(Uri, String), PatchFault> {
        let (prefix, local) = split_qname(self.name()).ok_or_else(bad)?;
        Ok((self.context.element(prefix)?, local.to_owned()))
    }

    fn literal(&mut self) -> Result<String, PatchFault> {
        let quote = match self.rest.chars().next() {
            Some(quote @ ('\'' | '"')) => quote,
            _ => return Err(bad()),
        };
        let (value, rest) = self.rest[1..].split_once(quote).ok_or_else(bad)?;
        self.rest = rest;
        Ok(value.to_owned())
    }

    fn test(&mut self, is_first: bool) -> Result<Test, PatchFault> {
        if self.take("*") {
            return Ok(Test::Any);
        }
        if self.take("text()") {
            return Ok(Test::Text);
        }
        if self.take("comment()") {
            return Ok(Test::Comment);
        }
        if self.take("processing-instruction(") {
            self.skip_space();
            let target = match self.rest.starts_with(')') {
                true => None,
                false => Some(self.literal()?),
            };
            self.expect(")")?;
            return Ok(Test::Instruction(target));
        }
        if is_first && self.take("id(") {
            self.skip_space();
            let id = self.literal()?;
            self.expect(")")?;
            return Ok(Test::Id(id));
        }
        let (uri, local) = self.element_name()?;
        Ok(Test::Element { uri, local })
    }

    fn predicates(&mut self, of_element: bool) -> Result<Vec<Predicate>, PatchFault> {
        let mut predicates = Vec::new();
        loop {
            self.skip_space();
            if !self.take("[") {
                return Ok(predicates);
            }
            self.skip_space();
            let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
            let predicate = if digits > 0 {
                let (number, rest) = self.rest.split_at(digits);
                self.rest = rest;
                // A number that does not fit is the place of no node.
                Predicate::Position(number.parse().unwrap_or(usize::MAX))
            } else if !of_element {
                return Err(bad());
            } else if self.take("@") {
                let (uri, local) = self.attribute_name()?;
                let value = self.comparison()?;
                Predicate::Attribute { uri, local, value }
            } else if self.rest.starts_with(['.', '=']) {
                self.expect(".")?;
                Predicate::Value(self.comparison()?)
            } else {
                let (uri, local) = self.element_name()?;
                let value = self.comparison()?;
                Predicate::Child { uri, local, value }
            };
            self.expect("]")?;
            predicates.push(predicate);
        }
    }

    fn comparison(&mut self) -> Result<String, PatchFault> {
        self.expect("=")?;
        self.skip_space();
        self.literal()
    }
}

fn bad() -> PatchFault {
    PatchFault::AttributeValue("sel is no selector of RFC 5261")
}
