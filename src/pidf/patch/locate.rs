//! Finds the one node that a selector names (RFC 5261, 4.1).

use super::error::PatchFault;
use super::selector::{Last, Predicate, Selector, Step, Test};
use super::tree::{DOCUMENT, Element, Kind, Name, NodeId, Tree};
use super::uris::Uri;
use crate::pidf::xml::{XML_NS, is_space};

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An element, text, comment or instruction.
    Node(NodeId),
    /// An attribute, by its place.
    Attribute(NodeId, usize),
    /// A declaration, by its place.
    Namespace(NodeId, usize),
}

/// Finds it; `sel` is the selector as written, for the error.
pub(super) fn locate(tree: &Tree, selector: &Selector, sel: &str) -> Result<Found, PatchFault> {
    let mut nodes = vec![DOCUMENT];
    for step in &selector.steps {
        nodes = nodes
            .into_iter()
            .flat_map(|context| take(tree, step, context))
            .collect();
        if tree.is_tired() {
            return Err(PatchFault::TooMuchWork);
        }
    }
    let found: Vec<Found> = nodes
        .into_iter()
        .filter_map(|id| last(tree, &selector.last, id))
        .collect();
    match *found {
        [one] => Ok(one),
        _ => Err(PatchFault::Unlocated {
            sel: sel.to_owned(),
            found: found.len(),
        }),
    }
}

fn last(tree: &Tree, last: &Last, id: NodeId) -> Option<Found> {
    match last {
        Last::Node => Some(Found::Node(id)),
        Last::Attribute { uri, local } => {
            let place = attribute(tree.element(id)?, uri, local)?;
            Some(Found::Attribute(id, place))
        }
        Last::Namespace(prefix) => {
            let mut own = tree.element(id)?.declarations.iter();
            let place = own.position(|(declared, _)| declared == prefix)?;
            Some(Found::Namespace(id, place))
        }
    }
}

/// The place of an attribute.
pub(super) fn attribute(element: &Element, uri: &Uri, local: &str) -> Option<usize> {
    let mut attributes = element.attributes.iter();
    attributes.position(|(name, _)| name.is(uri, local))
}

/// The nodes that a step leads to from one node.
fn take(tree: &Tree, step: &Step, context: NodeId) -> Vec<NodeId> {
    let mut nodes: Vec<NodeId> = match &step.test {
        Test::Id(id) => {
            let mut found = Vec::new();
            with_id(tree, context, id, &mut found);
            found
        }
        test => {
            let children = &tree.node(context).children;
            tree.look(children.len());
            let children = children.iter().copied();
            children
                .filter(|child| matches(tree, test, *child))
                .collect()
        }
    };
    for predicate in &step.predicates {
        tree.look(nodes.len());
        if tree.is_tired() {
            break;
        }
        if let Predicate::Position(position) = predicate {
            let one = position
                .checked_sub(1)
                .and_then(|at| nodes.get(at).copied());
            nodes = one.into_iter().collect();
        } else {
            nodes.retain(|id| holds(tree, predicate, *id));
        }
    }
    nodes
}

fn matches(tree: &Tree, test: &Test, id: NodeId) -> bool {
    let node = tree.node(id);
    match (test, &node.kind) {
        (Test::Any, Kind::Element(_)) | (Test::Text, Kind::Text(_)) => true,
        (Test::Comment, Kind::Comment(_)) => true,
        (Test::Element { uri, local }, Kind::Element(element)) => {
            if node.parent == DOCUMENT {
                element.name.is_root(uri, local)
            } else {
                element.name.is(uri, local)
            }
        }
        (Test::Instruction(asked), Kind::Instruction(content)) => asked
            .as_ref()
            .is_none_or(|asked| content.split(is_space).next() == Some(asked)),
        _ => false,
    }
}

/// The elements with an id: `xml:id`, or an `id` without namespace, which the schemas of PIDF and its extensions declare
/// as `xs:ID`.
fn with_id(tree: &Tree, id: NodeId, value: &str, found: &mut Vec<NodeId>) {
    tree.look(1);
    if let Some(element) = tree.element(id) {
        let is_it = |(name, is): &(Name, String)| {
            let is_id = name.local == "id" && matches!(&*name.uri, "" | XML_NS);
            is_id && is.trim_matches(is_space) == value
        };
        if element.attributes.iter().any(is_it) {
            found.push(id);
        }
    }
    for child in &tree.node(id).children {
        with_id(tree, *child, value, found);
    }
}

fn holds(tree: &Tree, predicate: &Predicate, id: NodeId) -> bool {
    match predicate {
        Predicate::Position(_) => true,
        Predicate::Attribute { uri, local, value } => tree.element(id).is_some_and(|element| {
            attribute(element, uri, local).is_some_and(|at| element.attributes[at].1 == *value)
        }),
        Predicate::Child { uri, local, value } => {
            let children = &tree.node(id).children;
            tree.look(children.len());
            children.iter().any(|child| {
                tree.element(*child)
                    .is_some_and(|element| element.name.is(uri, local))
                    && tree.has_value(*child, value)
            })
        }
        Predicate::Value(value) => tree.has_value(id, value),
    }
}
