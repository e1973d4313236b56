//! Writes a tree out, with every name in its namespace.

use super::tree::{DOCUMENT, Element, Kind, Name, NodeId, Tree};
use super::uris::Uri;
use crate::pidf::PidfError;
use crate::pidf::xml::{Writer, XML_NS, push_attribute, push_text};

/// The document of a tree; it is not written on beyond `limit` bytes.
pub(super) fn print(tree: &Tree, limit: usize) -> Result<Vec<u8>, PidfError> {
    let mut declaration = Writer::new();
    declaration.declaration();
    let mut printer = Printer {
        tree,
        out: declaration.finish(),
        limit,
        scope: vec![
            (String::new(), tree.uris.get("")),
            ("xml".to_owned(), tree.uris.get(XML_NS)),
        ],
    };
    printer.children(DOCUMENT);
    match printer.out.len() {
        size if size > limit => Err(PidfError::TooLarge { size, limit }),
        _ => Ok(printer.out),
    }
}

struct Printer<'a> {
    tree: &'a Tree,
    out: Vec<u8>,
    limit: usize,
    /// Prefix and namespace of all declarations in scope, the innermost last.
    scope: Vec<(String, Uri)>,
}

impl Printer<'_> {
    fn children(&mut self, id: NodeId) {
        let tree = self.tree;
        for child in &tree.node(id).children {
            if self.out.len() > self.limit || tree.is_tired() {
                return;
            }
            match &tree.node(*child).kind {
                Kind::Document => {}
                Kind::Element(element) => self.element(*child, element),
                Kind::Text(text) => push_text(&mut self.out, text),
                Kind::Comment(text) => self.markup("<!--", text, "-->"),
                Kind::Instruction(content) => self.markup("<?", content, "?>"),
            }
        }
    }

    fn markup(&mut self, begin: &str, content: &str, end: &str) {
        for part in [begin, content, end] {
            self.out.extend_from_slice(part.as_bytes());
        }
    }

    fn element(&mut self, id: NodeId, element: &Element) {
        let outer = self.scope.len();
        self.scope.extend_from_slice(&element.declarations);
        let name = self.qname(&element.name, outer, true);
        let attributes: Vec<String> = element
            .attributes
            .iter()
            .map(|(attribute, _)| self.qname(attribute, outer, false))
            .collect();
        self.markup("<", &name, "");
        for (prefix, uri) in &self.scope[outer..] {
            let attribute = match &**prefix {
                "" => "xmlns".to_owned(),
                prefix => ["xmlns:", prefix].concat(),
            };
            push_attribute(&mut self.out, &attribute, uri);
        }
        for (attribute, (_, value)) in attributes.iter().zip(&element.attributes) {
            push_attribute(&mut self.out, attribute, value);
        }
        if self.tree.node(id).children.is_empty() {
            self.out.extend_from_slice(b"/>");
        } else {
            self.out.push(b'>');
            self.children(id);
            self.markup("</", &name, ">");
        }
        self.scope.truncate(outer);
    }

    /// A name with a prefix that is bound to its namespace here: its own, another one, or one that the element, whose
    /// declarations begin at `outer`, declares for it.
    fn qname(&mut self, name: &Name, outer: usize, is_element: bool) -> String {
        if !is_element && name.uri.is_empty() {
            return name.local.clone();
        }
        let fits = |prefix: &str| is_element || !prefix.is_empty();
        let own = &*name.prefix;
        let prefix = if fits(own) && self.bound(own) == Some(&name.uri) {
            own.to_owned()
        } else {
            let other = self.scope.iter().rev().find(|(prefix, uri)| {
                *uri == name.uri && fits(prefix) && self.bound(prefix) == Some(&name.uri)
            });
            match other {
                Some((prefix, _)) => prefix.clone(),
                None => self.declare(name, outer, fits(own)),
            }
        };
        if prefix.is_empty() {
            name.local.clone()
        } else {
            [&*prefix, ":", &*name.local].concat()
        }
    }

    /// The namespace that a prefix is bound to.
    fn bound(&self, prefix: &str) -> Option<&Uri> {
        self.tree.look(self.scope.len());
        let mut declared = self.scope.iter().rev();
        let (_, uri) = declared.find(|(declared, _)| declared == prefix)?;
        Some(uri)
    }

    fn declare(&mut self, name: &Name, outer: usize, own_fits: bool) -> String {
        let is_free = |prefix: &str| self.scope[outer..].iter().all(|(taken, _)| taken != prefix);
        let prefix = if name.uri.is_empty() {
            // Only the default can be taken back.
            String::new()
        } else if own_fits && is_free(&name.prefix) {
            name.prefix.clone()
        } else {
            let mut numbered = (1..).map(|number| format!("ns{number}"));
            numbered
                .find(|prefix| self.bound(prefix).is_none())
                .unwrap_or_default()
        };
        self.scope.push((prefix.clone(), name.uri.clone()));
        prefix
    }
}
