//! Copies what a change brings into the document, with the document's own prefixes (RFC 5261, 4.2.3).

use super::tree::{Element, Kind, Name, NodeId, Tree};
use super::uris::Uri;

/// Copies the children of an operation, to become children of `parent`, which is the evaluation context.
pub(super) fn import(from: &Tree, operation: NodeId, to: &mut Tree, parent: NodeId) -> Vec<NodeId> {
    let mut importing = Importing {
        in_scope: in_scope(to, parent),
        context: to.element(parent).map(|element| element.name.clone()),
        local: Vec::new(),
        missing: Vec::new(),
        from,
    };
    let children = &from.node(operation).children;
    children
        .iter()
        .map(|child| {
            let copy = importing.copy(*child, to, parent);
            if let Some(element) = to.element_mut(copy) {
                element.declarations.append(&mut importing.missing);
            }
            copy
        })
        .collect()
}

/// Gives a name that an operation brings the prefix that it has in the document.
pub(super) fn localise(name: Name, to: &Tree, element: NodeId) -> Name {
    let importing = Importing {
        in_scope: in_scope(to, element),
        context: None,
        local: Vec::new(),
        missing: Vec::new(),
        from: to,
    };
    match importing.known_prefix(&name, false) {
        Some(prefix) => Name { prefix, ..name },
        None => name,
    }
}

/// Prefixes and the namespaces that they are bound to at an element, ascending.
fn in_scope(tree: &Tree, id: NodeId) -> Vec<(String, Uri)> {
    let mut prefixes: Vec<(String, Uri)> = Vec::new();
    let mut at = id;
    while let Some(element) = tree.element(at) {
        for (prefix, uri) in &element.declarations {
            if prefixes.iter().all(|(inner, _)| inner != prefix) {
                prefixes.push((prefix.clone(), uri.clone()));
            }
        }
        at = tree.node(at).parent;
    }
    prefixes.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    prefixes
}

struct Importing<'a> {
    from: &'a Tree,
    in_scope: Vec<(String, Uri)>,
    /// The name of the evaluation context node.
    context: Option<Name>,
    /// Prefixes that are declared inside of what is copied; they are copied as they are.
    local: Vec<String>,
    /// Declarations of the change that the document lacks.
    missing: Vec<(String, Uri)>,
}

impl Importing<'_> {
    fn copy(&mut self, id: NodeId, to: &mut Tree, parent: NodeId) -> NodeId {
        let node = self.from.node(id);
        let outer = self.local.len();
        let kind = match &node.kind {
            Kind::Element(element) => Kind::Element(self.element(element)),
            other => other.clone(),
        };
        let copy = to.create(parent, kind);
        for child in &node.children {
            let child = self.copy(*child, to, copy);
            to.node_mut(copy).children.push(child);
        }
        self.local.truncate(outer);
        copy
    }

    fn element(&mut self, element: &Element) -> Element {
        let declared = element
            .declarations
            .iter()
            .map(|(prefix, _)| prefix.clone());
        self.local.extend(declared);
        let name = self.name(&element.name, true);
        let attributes = element
            .attributes
            .iter()
            .map(|(name, value)| (self.name(name, false), value.clone()))
            .collect();
        Element {
            name,
            declarations: element.declarations.clone(),
            attributes,
        }
    }

    fn name(&mut self, name: &Name, is_element: bool) -> Name {
        let needs_none = name.uri.is_empty() || name.prefix == "xml";
        if needs_none || self.local.contains(&name.prefix) {
            return name.clone();
        }
        let prefix = self.known_prefix(name, is_element).unwrap_or_else(|| {
            let missing = (name.prefix.clone(), name.uri.clone());
            if !self.missing.contains(&missing) {
                self.missing.push(missing);
            }
            name.prefix.clone()
        });
        Name {
            prefix,
            ..name.clone()
        }
    }

    /// The prefix of the document for a namespace: the same one, that of the context node, or the one that comes closest
    /// before it in the alphabet (the three rules of 4.2.3). The default namespace is none for attributes.
    fn known_prefix(&self, name: &Name, is_element: bool) -> Option<String> {
        let fits = |prefix: &str| is_element || !prefix.is_empty();
        let bound: Vec<&str> = self
            .in_scope
            .iter()
            .filter(|(prefix, uri)| *uri == name.uri && fits(prefix))
            .map(|(prefix, _)| &**prefix)
            .collect();
        if bound.contains(&&*name.prefix) {
            return Some(name.prefix.clone());
        }
        if let Some(context) = &self.context
            && context.uri == name.uri
            && bound.contains(&&*context.prefix)
        {
            return Some(context.prefix.clone());
        }
        let before = bound.iter().rev().find(|prefix| **prefix < &*name.prefix);
        before.or(bound.first()).map(|prefix| (*prefix).to_owned())
    }
}
