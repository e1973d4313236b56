//! Partial presence: applies a change document to the full state before it (RFC 5261 and 5262).
//!
//! ```text
//!  change ── Tree::parse ── for each add, replace, remove:  sel ── selector ── locate ── the one node ── changed
//!  state  ── Tree::parse ───────────────────────────────────────────────────────┘           │
//!                                                                              print ── full state again
//! ```
//!
//! All of a change is applied or nothing: [`apply`] gives a new document and leaves the old one alone.

mod error;
mod import;
mod locate;
mod print;
mod selector;
#[cfg(test)]
mod tests;
mod tree;
mod uris;

use std::rc::Rc;

use bytes::Bytes;

pub use error::{PatchError, PatchFault};

use super::xml::{Limits, XML_NS, XMLNS_NS};
use import::{import, localise};
use locate::{Found, attribute, locate};
use selector::{Added, Context};
use tree::{DOCUMENT, Element, Kind, Name, NodeId, Tree};
use uris::{Uri, Uris};

/// The full state after a change. `state` and `change` are read within `limits`, each for itself; whether the result is
/// still within them is for its reader to say. The work is
/// bounded, whatever the two are.
pub fn apply(state: &[u8], change: &[u8], limits: &Limits) -> Result<Bytes, PatchError> {
    let whole = |error| PatchError {
        operation: None,
        fault: PatchFault::Document(error),
    };
    let uris = Rc::new(Uris::default());
    let change = Tree::parse(change, *limits, &uris).map_err(whole)?;
    let mut state = Tree::parse(state, *limits, &uris).map_err(whole)?;
    let root = change.root();
    let mut operation = 0;
    for id in &change.node(root).children {
        let is_operation = match &change.node(*id).kind {
            Kind::Element(_) => true,
            Kind::Text(_) => !change.is_blank(*id),
            Kind::Comment(_) | Kind::Instruction(_) | Kind::Document => false,
        };
        if is_operation {
            operation += 1;
            let patch = Patch::read(&change, root, *id);
            patch
                .and_then(|patch| patch.carry_out(&mut state))
                .map_err(|fault| PatchError {
                    operation: Some(operation),
                    fault,
                })?;
        }
    }
    let document = print::print(&state, limits.bytes).map_err(whole)?;
    if state.is_tired() {
        return Err(PatchError {
            operation: None,
            fault: PatchFault::TooMuchWork,
        });
    }
    Ok(document.into())
}

/// One operation of a change.
struct Patch<'a> {
    change: &'a Tree,
    id: NodeId,
    operation: Operation,
    sel: &'a str,
}

#[derive(Clone, Copy)]
enum Operation {
    Add,
    Replace,
    Remove,
}

impl<'a> Patch<'a> {
    fn read(change: &'a Tree, root: NodeId, id: NodeId) -> Result<Self, PatchFault> {
        let text = || PatchFault::Directive("text between the operations".to_owned());
        let name = &change.element(id).ok_or_else(text)?.name;
        let is_ours = change
            .element(root)
            .is_some_and(|root| root.name.uri == name.uri);
        let operation = match &*name.local {
            "add" if is_ours => Operation::Add,
            "replace" if is_ours => Operation::Replace,
            "remove" if is_ours => Operation::Remove,
            other => return Err(PatchFault::Directive(other.chars().take(40).collect())),
        };
        let mut patch = Self {
            change,
            id,
            operation,
            sel: "",
        };
        patch.sel = patch
            .directive("sel")
            .ok_or(PatchFault::AttributeValue("an operation without sel"))?;
        Ok(patch)
    }

    fn carry_out(&self, state: &mut Tree) -> Result<(), PatchFault> {
        let context = Context {
            tree: self.change,
            id: self.id,
        };
        let selector = selector::parse(self.sel, context)?;
        let found = locate(state, &selector, self.sel)?;
        match (self.operation, found) {
            (Operation::Add, Found::Node(id)) => match self.directive("type") {
                Some(kind) => self.add_to_tag(state, id, selector::parse_type(kind, context)?),
                None => self.add_nodes(state, id),
            },
            (Operation::Add, _) => Err(PatchFault::NodeTypes("nothing is added to an attribute")),
            (Operation::Replace, Found::Node(id)) => self.replace_node(state, id),
            (Operation::Remove, Found::Node(id)) => self.remove_node(state, id),
            (Operation::Remove, _) if self.directive("ws").is_some() => {
                Err(PatchFault::AttributeValue("ws with an attribute"))
            }
            (operation, Found::Attribute(id, at)) => {
                let value = self.text()?;
                let Some(element) = state.element_mut(id) else {
                    return Ok(());
                };
                if matches!(operation, Operation::Remove) {
                    element.attributes.remove(at);
                } else {
                    element.attributes[at].1 = value;
                }
                Ok(())
            }
            (Operation::Remove, Found::Namespace(id, at)) => remove_namespace(state, id, at),
            (Operation::Replace, Found::Namespace(id, at)) => {
                let uri = self.namespace()?;
                let Some(element) = state.element_mut(id) else {
                    return Ok(());
                };
                let (prefix, bound) = &mut element.declarations[at];
                *bound = uri.clone();
                let prefix = prefix.clone();
                rebind(state, id, &prefix, &uri);
                Ok(())
            }
        }
    }

    /// An attribute of the operation.
    fn directive(&self, local: &str) -> Option<&'a str> {
        let element = self.change.element(self.id)?;
        let mut attributes = element.attributes.iter();
        let found = attributes.find(|(name, _)| name.uri.is_empty() && name.local == local)?;
        Some(&found.1)
    }

    /// The content of an operation that brings text.
    fn text(&self) -> Result<String, PatchFault> {
        let mut text = String::new();
        for child in &self.change.node(self.id).children {
            match &self.change.node(*child).kind {
                Kind::Text(more) => text.push_str(more),
                _ => return Err(PatchFault::NodeTypes("only text is expected here")),
            }
        }
        Ok(text)
    }

    /// The content of an operation that brings a namespace name which a prefix may be bound to (Namespaces in XML 1.0,
    /// 3).
    fn namespace(&self) -> Result<Uri, PatchFault> {
        let uri = self.text()?;
        match &*uri {
            "" | XML_NS | XMLNS_NS => Err(PatchFault::NamespaceUri(uri)),
            uri => Ok(self.change.uris.get(uri)),
        }
    }

    /// An attribute or a declaration more (4.3.2, 4.3.3).
    fn add_to_tag(&self, state: &mut Tree, id: NodeId, added: Added) -> Result<(), PatchFault> {
        let is_there = || PatchFault::Directive("what is added is there already".to_owned());
        let no_element = PatchFault::NodeTypes("type is for elements");
        match added {
            Added::Attribute { prefix, uri, local } => {
                let name = Name { prefix, uri, local };
                let name = localise(name, state, id);
                let element = state.element_mut(id).ok_or(no_element)?;
                if attribute(element, &name.uri, &name.local).is_some() {
                    return Err(is_there());
                }
                element.attributes.push((name, self.text()?));
            }
            Added::Namespace(prefix) => {
                if matches!(&*prefix, "xml" | "xmlns") {
                    return Err(PatchFault::NamespacePrefix(prefix));
                }
                let uri = self.namespace()?;
                let element = state.element_mut(id).ok_or(no_element)?;
                if element.declarations.iter().any(|(own, _)| *own == prefix) {
                    return Err(is_there());
                }
                element.declarations.push((prefix, uri));
            }
        }
        Ok(())
    }

    /// Nodes more, by `pos` (4.3).
    fn add_nodes(&self, state: &mut Tree, id: NodeId) -> Result<(), PatchFault> {
        let (parent, at) = match self.directive("pos") {
            Some("before") => (state.node(id).parent, state.place(id)),
            Some("after") => (state.node(id).parent, state.place(id) + 1),
            None | Some("prepend") if state.element(id).is_none() => {
                return Err(PatchFault::NodeTypes("only elements have children"));
            }
            Some("prepend") => (id, 0),
            None => (id, state.node(id).children.len()),
            Some(_) => return Err(PatchFault::AttributeValue("an unknown pos")),
        };
        let nodes = import(self.change, self.id, state, parent);
        if parent == DOCUMENT
            && nodes.iter().any(|id| {
                !matches!(
                    state.node(*id).kind,
                    Kind::Comment(_) | Kind::Instruction(_)
                )
            })
        {
            return Err(PatchFault::RootElement);
        }
        state.node_mut(parent).children.splice(at..at, nodes);
        state.join_texts(parent);
        Ok(())
    }

    /// Another node in its place (4.4).
    fn replace_node(&self, state: &mut Tree, id: NodeId) -> Result<(), PatchFault> {
        let parent = state.node(id).parent;
        if let Kind::Text(_) = state.node(id).kind {
            state.node_mut(id).kind = Kind::Text(self.text()?);
            state.join_texts(parent);
            return Ok(());
        }
        let mut nodes = import(self.change, self.id, state, parent);
        // White space around it is how people lay their documents out.
        nodes.retain(|id| !state.is_blank(*id));
        match *nodes {
            [new] if of_one_kind(&state.node(new).kind, &state.node(id).kind) => {
                let at = state.place(id);
                state.node_mut(parent).children[at] = new;
                Ok(())
            }
            _ => Err(PatchFault::NodeTypes(
                "a node is replaced by one of its kind",
            )),
        }
    }

    /// A node less, with the white space around it that `ws` names (4.5).
    fn remove_node(&self, state: &mut Tree, id: NodeId) -> Result<(), PatchFault> {
        let parent = state.node(id).parent;
        if parent == DOCUMENT && state.element(id).is_some() {
            return Err(PatchFault::RootElement);
        }
        let (before, after) = match self.directive("ws") {
            None => (false, false),
            Some(_) if matches!(state.node(id).kind, Kind::Text(_)) => {
                return Err(PatchFault::AttributeValue("ws with text"));
            }
            Some("before") => (true, false),
            Some("after") => (false, true),
            Some("both") => (true, true),
            Some(_) => return Err(PatchFault::AttributeValue("an unknown ws")),
        };
        let at = state.place(id);
        let siblings = &state.node(parent).children;
        let is_blank = |at: Option<usize>| {
            at.and_then(|at| siblings.get(at))
                .is_some_and(|id| state.is_blank(*id))
        };
        if (before && !is_blank(at.checked_sub(1))) || (after && !is_blank(Some(at + 1))) {
            return Err(PatchFault::Whitespace);
        }
        let range = at - usize::from(before)..=at + usize::from(after);
        state.node_mut(parent).children.drain(range);
        state.join_texts(parent);
        Ok(())
    }
}

const fn of_one_kind(one: &Kind, other: &Kind) -> bool {
    matches!(
        (one, other),
        (Kind::Element(_), Kind::Element(_))
            | (Kind::Comment(_), Kind::Comment(_))
            | (Kind::Instruction(_), Kind::Instruction(_))
    )
}

/// A declaration goes, if nothing needs it (4.5.3).
fn remove_namespace(state: &mut Tree, id: NodeId, at: usize) -> Result<(), PatchFault> {
    let Some(element) = state.element(id) else {
        return Ok(());
    };
    let prefix = element.declarations[at].0.clone();
    if is_used(state, id, &prefix) {
        return Err(PatchFault::NamespacePrefix(prefix));
    }
    if let Some(element) = state.element_mut(id) {
        element.declarations.remove(at);
    }
    Ok(())
}

/// The elements below, and at, an element for which its declaration of a prefix holds.
fn governed(state: &Tree, id: NodeId, prefix: &str) -> Vec<NodeId> {
    let mut governed = vec![id];
    let mut at = 0;
    while let Some(id) = governed.get(at).copied() {
        at += 1;
        state.look(1 + state.node(id).children.len());
        governed.extend(state.node(id).children.iter().filter(|child| {
            let redeclares =
                |element: &Element| element.declarations.iter().any(|(own, _)| own == prefix);
            state
                .element(**child)
                .is_some_and(|element| !redeclares(element))
        }));
    }
    governed
}

fn is_used(state: &Tree, id: NodeId, prefix: &str) -> bool {
    let uses = |element: &Element| {
        let mut attributes = element.attributes.iter();
        element.name.prefix == prefix || attributes.any(|(name, _)| name.prefix == prefix)
    };
    governed(state, id, prefix)
        .into_iter()
        .any(|id| state.element(id).is_some_and(uses))
}

/// Names of a prefix get the namespace that it is bound to now (4.4.3).
fn rebind(state: &mut Tree, id: NodeId, prefix: &str, uri: &Uri) {
    for id in governed(state, id, prefix) {
        let Some(element) = state.element_mut(id) else {
            continue;
        };
        let attributes = element.attributes.iter_mut().map(|(name, _)| name);
        for name in attributes.chain([&mut element.name]) {
            if name.prefix == prefix {
                name.uri = uri.clone();
            }
        }
    }
}
