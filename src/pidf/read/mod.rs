//! Reads a document in one pass: checks the root, notes spans, and takes out what composition needs to understand.

mod names;
mod values;

use std::borrow::Cow;

use bytes::Bytes;
use smallvec::SmallVec;

use super::document::{
    Binding, Child, Document, Edit, Group, Id, Item, Meaning, Piece, Tuple, Window,
};
use super::xml::{Declared, Known, Scanner, Start, Token, is_space};
use super::{Limits, Note, PidfError, Priority, parse_moment};
use values::{Capture, Value};

/// Spans are kept as `u32`.
fn spanned(limits: &Limits) -> Limits {
    Limits {
        bytes: limits.bytes.min(u32::MAX as usize),
        ..*limits
    }
}

/// Only the form and the root can be wrong with a document.
pub(super) fn check(raw: &[u8], limits: &Limits) -> Result<(), PidfError> {
    let mut scanner = Scanner::new(raw, spanned(limits))?;
    while let Some(token) = scanner.next()? {
        if let Token::Start(start @ Start { depth: 1, .. }) = token {
            root(&scanner, &start)?;
        }
    }
    Ok(())
}

pub(super) fn read(raw: &Bytes, limits: &Limits) -> Result<Document, PidfError> {
    let mut scanner = Scanner::new(raw, spanned(limits))?;
    let mut reading = Reading {
        plain: scanner.is_version_1_0(),
        ..Reading::default()
    };
    while let Some(token) = scanner.next()? {
        match token {
            Token::Start(start) => reading.start(&scanner, &start)?,
            Token::End { tag, end, depth } => reading.end(tag, end, depth),
            Token::Text(text) => reading.text(text),
            Token::Character(character) => reading.text(character.encode_utf8(&mut [0; 4])),
            Token::Comment(_) => {}
            // A stylesheet for the whole document is not handed on.
            Token::Instruction { depth, .. } => reading.plain &= depth > 1,
        }
    }
    Ok(Document {
        raw: raw.slice(raw.len() - scanner.text().len()..),
        entity: reading.entity,
        plain: reading.plain && reading.edits.is_empty(),
        bindings: reading.bindings,
        children: reading.children,
        edits: reading.edits,
    })
}

#[derive(Default)]
struct Reading {
    entity: String,
    plain: bool,
    bindings: Vec<Binding>,
    /// Bindings by the number of their declaration; [`UNBOUND`] where there is none yet.
    numbers: Vec<u32>,
    children: Vec<Child>,
    edits: Vec<Edit>,
    /// For each open element, the edit that its end tag needs.
    open: Vec<Option<Edit>>,
    top: Top,
    item: Option<OpenItem>,
    /// The child of the group that is open.
    piece: Option<Piece>,
    in_status: bool,
    /// The window of the tuple's child that is open, and where it begins.
    timed: Option<(u32, Window)>,
    capture: Option<Capture>,
}

/// The child of the root that is open.
#[derive(Default)]
enum Top {
    #[default]
    None,
    Tuple(Tuple),
    Person(Group),
    Device(Group),
    Note(Note),
    Other,
}

struct OpenItem {
    item: Item,
    depth: usize,
}

impl Reading {
    fn start(&mut self, scanner: &Scanner<'_>, start: &Start<'_>) -> Result<(), PidfError> {
        let known = scanner.declared(start.declared).known;
        match start.depth {
            1 => {
                self.entity = root(scanner, start)?;
                self.plain &= known == Known::Pidf && scanner.attributes().len() == 1;
            }
            2 => self.child(scanner, start, known),
            _ => self.inner(scanner, start, known),
        }
        let edit = self.names(scanner, start, known);
        self.open.push(edit);
        Ok(())
    }

    fn child(&mut self, scanner: &Scanner<'_>, start: &Start<'_>, known: Known) {
        let id = id(scanner);
        self.top = match (known, start.local) {
            (Known::Pidf, "tuple") => Top::Tuple(Tuple {
                id,
                ..Tuple::default()
            }),
            (Known::DataModel, "person") => Top::Person(Group {
                id: named(id),
                ..Group::default()
            }),
            (Known::DataModel, "device") => Top::Device(Group {
                id: named(id),
                ..Group::default()
            }),
            (Known::Pidf, "note") => {
                self.begin_capture(scanner, start, Value::TopNote);
                Top::Note(Note::default())
            }
            _ => Top::Other,
        };
        match self.top {
            Top::Tuple(_) | Top::Note(_) | Top::Other => self.begin_item(start),
            Top::Person(_) | Top::Device(_) | Top::None => {}
        }
    }

    /// An element inside of a child of the root.
    fn inner(&mut self, scanner: &Scanner<'_>, start: &Start<'_>, known: Known) {
        let value = match (&self.top, start.depth) {
            (Top::Tuple(_), 3) => {
                self.in_status = known == Known::Pidf && start.local == "status";
                let window = window(scanner, known);
                if window.is_timed() {
                    self.timed = Some((position(start.at), window));
                }
                match (known, start.local) {
                    (Known::Pidf, "contact") => {
                        if let (Top::Tuple(tuple), Some(priority)) =
                            (&mut self.top, attribute(scanner, "priority"))
                        {
                            tuple.priority = Priority::of(&priority);
                        }
                        Some(Value::Contact)
                    }
                    (Known::Pidf, "note") => Some(Value::TupleNote),
                    (Known::Pidf, "timestamp") => Some(Value::TupleTimestamp),
                    _ => None,
                }
            }
            (Top::Tuple(_), 4) => {
                (self.in_status && known == Known::Pidf && start.local == "basic")
                    .then_some(Value::Basic)
            }
            (Top::Person(_) | Top::Device(_), 3) => self.begin_piece(scanner, start, known),
            (Top::Person(_) | Top::Device(_), 4) => self.in_piece(start, known),
            _ => None,
        };
        if let Some(value) = value {
            self.begin_capture(scanner, start, value);
        }
    }

    fn begin_piece(
        &mut self,
        scanner: &Scanner<'_>,
        start: &Start<'_>,
        known: Known,
    ) -> Option<Value> {
        self.begin_item(start);
        let (meaning, value) = match (known, start.local) {
            (Known::Rpid, "activities") => (
                Meaning::Activities {
                    names: Vec::new(),
                    notes: Vec::new(),
                },
                None,
            ),
            (Known::DataModel | Known::Pidf, "note") => {
                (Meaning::Note(Note::default()), Some(Value::PieceNote))
            }
            (Known::DataModel, "timestamp") => {
                (Meaning::Timestamp(None), Some(Value::PieceTimestamp))
            }
            // One client writes the timestamp of a person in the namespace of tuples.
            (Known::Pidf, "timestamp") => (Meaning::Other, Some(Value::PieceTimestamp)),
            (Known::DataModel, "deviceID") => {
                (Meaning::DeviceId(String::new()), Some(Value::DeviceId))
            }
            _ => (Meaning::Other, None),
        };
        self.piece = Some(Piece {
            item: Item::default(),
            namespace: namespace(scanner.declared(start.declared)),
            known,
            local: well_known(&LOCALS, start.local),
            window: window(scanner, known),
            meaning,
        });
        value
    }

    fn in_piece(&mut self, start: &Start<'_>, known: Known) -> Option<Value> {
        let Some(Piece {
            meaning: Meaning::Activities { names, .. },
            ..
        }) = &mut self.piece
        else {
            return None;
        };
        match (known, start.local) {
            (Known::Rpid, "note") => Some(Value::ActivityNote),
            (Known::Rpid, "other") => Some(Value::ActivityOther),
            (_, name) => {
                names.push(name.to_owned());
                None
            }
        }
    }

    fn begin_item(&mut self, start: &Start<'_>) {
        let edits = position(self.edits.len());
        let item = Item {
            span: position(start.at)..0,
            name_end: position(start.name_end),
            uses: SmallVec::new(),
            edits: edits..edits,
        };
        self.item = Some(OpenItem {
            item,
            depth: start.depth,
        });
    }

    fn end(&mut self, tag: Option<usize>, end: usize, depth: usize) {
        if let (Some(Some(edit)), Some(tag)) = (self.open.pop(), tag) {
            self.edits.push(Edit {
                at: position(tag + 2),
                ..edit
            });
        }
        if let Some(capture) = self.capture.take_if(|capture| capture.depth == depth) {
            self.captured(capture);
        }
        if depth == 3
            && let (Some((from, window)), Top::Tuple(tuple)) = (self.timed.take(), &mut self.top)
        {
            tuple.timed.push((from..position(end), window));
        }
        let Some(item) = self.item.take_if(|item| item.depth == depth) else {
            if depth == 2 {
                self.end_child(Item::default());
            }
            return;
        };
        let mut item = item.item;
        item.span.end = position(end);
        item.edits.end = position(self.edits.len());
        item.uses.sort_unstable();
        item.uses.dedup();
        if depth == 2 {
            self.end_child(item);
        } else if let (Some(piece), Top::Person(group) | Top::Device(group)) =
            (self.piece.take(), &mut self.top)
        {
            group.pieces.push(Piece { item, ..piece });
        }
    }

    fn end_child(&mut self, item: Item) {
        self.children.push(match std::mem::take(&mut self.top) {
            Top::Tuple(tuple) => Child::Tuple(Tuple { item, ..tuple }),
            Top::Person(group) => Child::Person(group),
            Top::Device(group) => Child::Device(group),
            Top::Note(note) => Child::Note(item, note),
            Top::Other => Child::Other(item),
            Top::None => return,
        });
    }
}

/// Checks the root, and gives the entity.
fn root(scanner: &Scanner<'_>, start: &Start<'_>) -> Result<String, PidfError> {
    let known = scanner.declared(start.declared).known;
    match (known, start.local) {
        (Known::Pidf, "presence") | (Known::PidfDiff, "pidf-full") => {}
        (Known::PidfDiff, "pidf-diff") => return Err(PidfError::Partial),
        _ => return Err(PidfError::WrongRoot(start.local.chars().take(40).collect())),
    }
    attribute(scanner, "entity")
        .map(|value| trim(&value))
        .filter(|entity| !entity.is_empty())
        .ok_or(PidfError::NoEntity)
}

/// A declaration that no part needs yet.
const UNBOUND: u32 = u32::MAX;

/// Prefixes and names that documents are full of: they need no memory of their own.
const PREFIXES: [&str; 4] = ["", "dm", "rpid", "p"];
const LOCALS: [&str; 15] = [
    "activities",
    "note",
    "timestamp",
    "deviceID",
    "user-input",
    "mood",
    "place-is",
    "place-type",
    "privacy",
    "sphere",
    "class",
    "status-icon",
    "time-offset",
    "relationship",
    "service-class",
];

fn well_known(names: &'static [&'static str], name: &str) -> Cow<'static, str> {
    let found = names.iter().find(|own| **own == name);
    found.map_or_else(|| Cow::Owned(name.to_owned()), |own| Cow::Borrowed(*own))
}

fn namespace(declared: &Declared<'_>) -> Cow<'static, str> {
    match declared.known.uri() {
        Some(uri) => Cow::Borrowed(uri),
        None => Cow::Owned(declared.uri.clone().into_owned()),
    }
}

/// The value of an attribute without namespace.
fn attribute<'a>(scanner: &Scanner<'a>, name: &str) -> Option<Cow<'a, str>> {
    let mut attributes = scanner.attributes().iter();
    let found =
        attributes.find(|attribute| attribute.prefix.is_empty() && attribute.local == name)?;
    Some(found.value())
}

fn id(scanner: &Scanner<'_>) -> Option<Id> {
    let mut attributes = scanner.attributes().iter();
    let found =
        attributes.find(|attribute| attribute.prefix.is_empty() && attribute.local == "id")?;
    let value = trim(&found.value());
    let span = position(found.at)..position(found.at + found.raw.len());
    Some(Id { value, span })
}

/// An id that names something.
fn named(id: Option<Id>) -> Option<String> {
    id.map(|id| id.value).filter(|value| !value.is_empty())
}

/// The window of an RPID element; other namespaces mean other things by these attributes (RFC 4481 the past, say).
fn window(scanner: &Scanner<'_>, known: Known) -> Window {
    if known != Known::Rpid {
        return Window::default();
    }
    let moment = |name| attribute(scanner, name).and_then(|value| parse_moment(&value));
    Window {
        from: moment("from"),
        until: moment("until"),
    }
}

fn trim(text: &str) -> String {
    text.trim_matches(is_space).to_owned()
}

/// Sizes are limited to what `u32` holds.
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
