//! A document as a tree, with the nodes of the XPath 1.0 data model that RFC 5261 can patch.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::uris::{Uri, Uris};
use crate::pidf::xml::{Declared, Limits, Scanner, Token, XML_NS, is_space};
use crate::pidf::{PIDF_DIFF_NS, PIDF_NS, PidfError};

/// The place of a node in its tree.
pub(super) type NodeId = usize;

/// The node above the root element.
pub(super) const DOCUMENT: NodeId = 0;

/// Nodes that one change may have looked at: some 10 ms of work. A change of a hundred operations to a document of a thousand
/// elements takes less than half of it.
const MOST_LOOKS: usize = 500_000;

/// A document. Nodes that were taken out stay in `nodes`, and are no one's children.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    pub uris: Rc<Uris>,
    /// Nodes that were looked at since it was read.
    looks: Cell<usize>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub parent: NodeId,
    pub children: Vec<NodeId>,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Document,
    Element(Element),
    Text(String),
    Comment(String),
    /// Target and content.
    Instruction(String),
}

#[derive(Clone, Debug)]
pub(super) struct Element {
    pub name: Name,
    /// Prefix and namespace name of its own declarations.
    pub declarations: Vec<(String, Uri)>,
    pub attributes: Vec<(Name, String)>,
}

/// An expanded name, and the prefix that it is written with.
#[derive(Clone, Debug)]
pub(super) struct Name {
    pub prefix: String,
    pub uri: Uri,
    pub local: String,
}

impl Name {
    pub fn is(&self, uri: &Uri, local: &str) -> bool {
        self.local == local && self.uri == *uri
    }

    /// Whether a document of this root is the full state of a presentity: partial PIDF calls it so, and selectors may
    /// name the one or the other (RFC 5264, 6 has `presence` for the root of a `pidf-full`).
    fn is_full_state(uri: &str, local: &str) -> bool {
        (uri == PIDF_NS && local == "presence") || (uri == PIDF_DIFF_NS && local == "pidf-full")
    }

    /// Whether the root is named, by its own name or by the other one of full state.
    pub fn is_root(&self, uri: &Uri, local: &str) -> bool {
        self.is(uri, local)
            || (Self::is_full_state(&self.uri, &self.local) && Self::is_full_state(uri, local))
    }
}

impl Tree {
    /// Reads a document; a change and its target share their `uris`.
    pub fn parse(raw: &[u8], limits: Limits, uris: &Rc<Uris>) -> Result<Self, PidfError> {
        let mut scanner = Scanner::new(raw, limits)?;
        let mut tree = Self {
            nodes: vec![Node {
                parent: DOCUMENT,
                children: Vec::new(),
                kind: Kind::Document,
            }],
            uris: uris.clone(),
            looks: Cell::new(0),
        };
        // By the number of their declaration.
        let mut declared: BTreeMap<usize, Uri> = BTreeMap::new();
        let mut open = DOCUMENT;
        while let Some(token) = scanner.next()? {
            match token {
                Token::Start(start) => {
                    let mut uri_of = |declaration: &Declared<'_>| {
                        let uri = declared.entry(declaration.number);
                        uri.or_insert_with(|| uris.get(&declaration.uri)).clone()
                    };
                    let mut name = |prefix: &str, declared: usize, local: &str| Name {
                        prefix: prefix.to_owned(),
                        uri: uri_of(scanner.declared(declared)),
                        local: local.to_owned(),
                    };
                    let element = Element {
                        name: name(start.prefix, start.declared, start.local),
                        declarations: scanner
                            .own_declarations()
                            .map(|own| (own.prefix.to_owned(), uris.get(&own.uri)))
                            .collect(),
                        attributes: scanner
                            .attributes()
                            .iter()
                            .map(|own| {
                                let name = name(own.prefix, own.declared, own.local);
                                (name, own.value().into_owned())
                            })
                            .collect(),
                    };
                    open = tree.append(open, Kind::Element(element));
                }
                Token::End { .. } => open = tree.node(open).parent,
                Token::Text(text) => tree.append_text(open, &one_line_break(text)),
                Token::Character(character) => {
                    tree.append_text(open, character.encode_utf8(&mut [0; 4]));
                }
                Token::Comment(text) => {
                    tree.append(open, Kind::Comment(one_line_break(text)));
                }
                Token::Instruction { content, .. } => {
                    tree.append(open, Kind::Instruction(one_line_break(content)));
                }
            }
        }
        Ok(tree)
    }

    /// So many nodes are looked at, or moved.
    pub fn look(&self, nodes: usize) {
        self.looks.set(self.looks.get().saturating_add(nodes));
    }

    /// Whether that was too much for one change.
    pub fn is_tired(&self) -> bool {
        self.looks.get() > MOST_LOOKS
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id]
    }

    pub fn element(&self, id: NodeId) -> Option<&Element> {
        match &self.nodes[id].kind {
            Kind::Element(element) => Some(element),
            Kind::Document | Kind::Text(_) | Kind::Comment(_) | Kind::Instruction(_) => None,
        }
    }

    pub fn element_mut(&mut self, id: NodeId) -> Option<&mut Element> {
        match &mut self.nodes[id].kind {
            Kind::Element(element) => Some(element),
            Kind::Document | Kind::Text(_) | Kind::Comment(_) | Kind::Instruction(_) => None,
        }
    }

    /// The root element; every document has one.
    pub fn root(&self) -> NodeId {
        let mut children = self.nodes[DOCUMENT].children.iter().copied();
        let root = children.find(|id| self.element(*id).is_some());
        root.unwrap_or(DOCUMENT)
    }

    /// A node that is nobody's child yet.
    pub fn create(&mut self, parent: NodeId, kind: Kind) -> NodeId {
        self.nodes.push(Node {
            parent,
            children: Vec::new(),
            kind,
        });
        self.nodes.len() - 1
    }

    pub fn append(&mut self, parent: NodeId, kind: Kind) -> NodeId {
        let id = self.create(parent, kind);
        self.nodes[parent].children.push(id);
        id
    }

    fn append_text(&mut self, parent: NodeId, more: &str) {
        let last = self.nodes[parent].children.last().copied();
        match last.map(|last| &mut self.nodes[last].kind) {
            Some(Kind::Text(text)) => text.push_str(more),
            _ if more.is_empty() => {}
            _ => {
                self.append(parent, Kind::Text(more.to_owned()));
            }
        }
    }

    /// The place of a node among its parent's children.
    pub fn place(&self, id: NodeId) -> usize {
        let siblings = &self.nodes[self.nodes[id].parent].children;
        self.look(siblings.len());
        siblings
            .iter()
            .position(|sibling| *sibling == id)
            .unwrap_or_default()
    }

    /// Joins text nodes that have become neighbours, and drops empty ones: the data model knows neither.
    pub fn join_texts(&mut self, parent: NodeId) {
        let children = std::mem::take(&mut self.nodes[parent].children);
        self.look(children.len());
        let mut joined: Vec<NodeId> = Vec::with_capacity(children.len());
        for id in children {
            let Kind::Text(text) = &mut self.nodes[id].kind else {
                joined.push(id);
                continue;
            };
            let text = std::mem::take(text);
            if text.is_empty() {
                continue;
            }
            match joined.last().map(|last| &mut self.nodes[*last].kind) {
                Some(Kind::Text(before)) => before.push_str(&text),
                _ => {
                    self.nodes[id].kind = Kind::Text(text);
                    joined.push(id);
                }
            }
        }
        self.nodes[parent].children = joined;
    }

    /// Whether a node is text of white space only.
    pub fn is_blank(&self, id: NodeId) -> bool {
        matches!(&self.nodes[id].kind, Kind::Text(text) if text.chars().all(is_space))
    }

    /// The namespace that an attribute's prefix is bound to at a node; without prefix it has none, whatever the default
    /// is.
    pub fn resolve_attribute(&self, id: NodeId, prefix: &str) -> Option<Uri> {
        match prefix {
            "" => Some(self.uris.get("")),
            prefix => self.resolve(id, prefix),
        }
    }

    /// The namespace that a prefix is bound to at a node; the empty prefix is always bound, if to nothing.
    pub fn resolve(&self, id: NodeId, prefix: &str) -> Option<Uri> {
        let mut at = id;
        loop {
            if let Some(element) = self.element(at) {
                let mut own = element.declarations.iter();
                if let Some((_, uri)) = own.find(|(declared, _)| declared == prefix) {
                    return Some(uri.clone());
                }
            }
            if at == DOCUMENT {
                return match prefix {
                    "" => Some(self.uris.get("")),
                    "xml" => Some(self.uris.get(XML_NS)),
                    _ => None,
                };
            }
            at = self.nodes[at].parent;
        }
    }

    /// Whether the string-value of a node (XPath 1.0, 5) is `value`; no more of it is looked at than needed.
    pub fn has_value(&self, id: NodeId, value: &str) -> bool {
        let mut rest = value;
        self.strip_value(id, &mut rest) && rest.is_empty()
    }

    /// Takes the string-value of a node off the begin of `rest`; false if it does not begin so.
    fn strip_value(&self, id: NodeId, rest: &mut &str) -> bool {
        self.look(1);
        let node = &self.nodes[id];
        match &node.kind {
            Kind::Text(text) => match rest.strip_prefix(text.as_str()) {
                Some(after) => {
                    *rest = after;
                    true
                }
                None => false,
            },
            Kind::Element(_) | Kind::Document => node
                .children
                .iter()
                .all(|child| self.strip_value(*child, rest)),
            Kind::Comment(_) | Kind::Instruction(_) => true,
        }
    }
}

/// Line breaks as XML reads them (XML 1.0, 2.11).
fn one_line_break(text: &str) -> String {
    if text.contains('\r') {
        text.replace("\r\n", "\n").replace('\r', "\n")
    } else {
        text.to_owned()
    }
}
