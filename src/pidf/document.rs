//! A PIDF document as it was read: its meaning as far as composition needs it, and the byte spans of its parts.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use smallvec::SmallVec;

use super::xml::Known;
use super::{Basic, Limits, Note, PidfError, Priority};
use crate::time::Timestamp;

/// One document. Spans are byte positions in [`Document::raw`]; they fit `u32` as the size is limited.
#[derive(Clone, Debug)]
pub struct Document {
    pub(super) raw: Bytes,
    pub(super) entity: String,
    pub(super) bindings: Vec<Binding>,
    pub(super) children: Vec<Child>,
    pub(super) edits: Vec<Edit>,
    pub(super) plain: bool,
}

impl Document {
    /// Reads a `presence` (or `pidf-full`) document.
    pub fn parse(raw: &Bytes, limits: &Limits) -> Result<Self, PidfError> {
        super::read::read(raw, limits)
    }

    /// Whether [`Document::parse`] would read it, with the same errors and less work: nothing is kept of it.
    pub fn check(raw: &[u8], limits: &Limits) -> Result<(), PidfError> {
        super::read::check(raw, limits)
    }

    /// The document as it came, without a byte order mark.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The presentity it claims to be about.
    pub fn entity(&self) -> &str {
        &self.entity
    }

    /// The children of the root, in order.
    pub fn children(&self) -> &[Child] {
        &self.children
    }

    /// The tuples, in order.
    pub fn tuples(&self) -> impl Iterator<Item = &Tuple> {
        self.children.iter().filter_map(|child| match child {
            Child::Tuple(tuple) => Some(tuple),
            Child::Person(_) | Child::Device(_) | Child::Note(..) | Child::Other(_) => None,
        })
    }

    /// A namespace binding that [`Item::uses`] names.
    pub fn binding(&self, index: u32) -> &Binding {
        &self.bindings[index as usize]
    }

    /// The edits that an item needs for the usual prefixes.
    pub fn edits(&self, item: &Item) -> &[Edit] {
        &self.edits[item.edits.start as usize..item.edits.end as usize]
    }

    /// Whether the document could be handed on as it is, as far as its form goes: the usual prefixes, nothing on the
    /// root but namespaces and entity, no processing instruction, XML 1.0.
    pub fn is_plain(&self) -> bool {
        self.plain
    }
}

/// A child of the root.
#[derive(Clone, Debug)]
pub enum Child {
    /// A service (RFC 3863, 4.1.2).
    Tuple(Tuple),
    /// The person (RFC 4479, 3.2).
    Person(Group),
    /// A device (RFC 4479, 3.4).
    Device(Group),
    /// A note about the whole.
    Note(Item, Note),
    /// An extension that is not understood, and kept.
    Other(Item),
}

/// A namespace binding that is declared outside of an [`Item`] and used inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The prefix; empty for the default namespace.
    pub prefix: Cow<'static, str>,
    /// The namespace name; empty for none.
    pub uri: Cow<'static, str>,
    /// Which one it is.
    pub known: Known,
}

/// An element that composition moves as a whole.
#[derive(Clone, Debug, Default)]
pub struct Item {
    /// From `<` to after the last `>`.
    pub span: Range<u32>,
    /// After the element's name, where a declaration can be put in.
    pub name_end: u32,
    /// The bindings it needs from outside, ascending, each once.
    pub uses: SmallVec<[u32; 4]>,
    /// Its part of [`Document::edits`].
    pub edits: Range<u32>,
}

/// A tag whose prefix is not the usual one of its namespace. Phones that read PIDF by pattern want the usual ones.
#[derive(Clone, Copy, Debug)]
pub struct Edit {
    /// The prefix with its colon, in the tag; empty at the name where there is none.
    pub at: u32,
    /// Its length.
    pub len: u32,
    /// The usual prefix.
    pub to: Usual,
    /// The binding that the tag needs while it is not edited, if it comes from outside of the item.
    pub binding: Option<u32>,
}

/// The prefixes everybody uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usual {
    /// None: the default namespace.
    Pidf,
    /// `dm`.
    DataModel,
    /// `rpid`.
    Rpid,
}

impl Usual {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pidf, Self::DataModel, Self::Rpid];

    /// The usual prefix of a namespace, if it has one.
    pub const fn of(known: Known) -> Option<Self> {
        match known {
            Known::Pidf => Some(Self::Pidf),
            Known::DataModel => Some(Self::DataModel),
            Known::Rpid => Some(Self::Rpid),
            Known::None | Known::PidfDiff | Known::Xml | Known::Other => None,
        }
    }

    /// The prefix; empty for the default namespace.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Pidf => "",
            Self::DataModel => "dm",
            Self::Rpid => "rpid",
        }
    }

    /// The prefix as it stands in a tag, with its colon.
    pub const fn in_tag(self) -> &'static str {
        match self {
            Self::Pidf => "",
            Self::DataModel => "dm:",
            Self::Rpid => "rpid:",
        }
    }

    /// The namespace.
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Pidf => super::PIDF_NS,
            Self::DataModel => super::DATA_MODEL_NS,
            Self::Rpid => super::RPID_NS,
        }
    }
}

/// An `id` attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id {
    /// Its value without blanks around it; empty if there is nothing else, and then it names nothing.
    pub value: String,
    /// Where the value stands, between the quotes.
    pub span: Range<u32>,
}

/// A service.
#[derive(Clone, Debug, Default)]
pub struct Tuple {
    /// The element.
    pub item: Item,
    /// Its `id` attribute, if it has one.
    pub id: Option<Id>,
    /// Its basic status.
    pub basic: Option<Basic>,
    /// Where it is reached.
    pub contact: Option<String>,
    /// The priority of `contact`.
    pub priority: Option<Priority>,
    /// When the publisher says it was so.
    pub timestamp: Option<Timestamp>,
    /// Text for people.
    pub notes: Vec<Note>,
    /// RPID children that hold for a time only.
    pub timed: Vec<(Range<u32>, Window)>,
}

/// A person or a device: an id, and children that composition picks one by one.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Its id, if it has one.
    pub id: Option<String>,
    /// The children.
    pub pieces: Vec<Piece>,
    /// When the publisher says it was so.
    pub timestamp: Option<Timestamp>,
}

/// A child of a person or device.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The element.
    pub item: Item,
    /// Its namespace, by name for those that the program does not know.
    pub namespace: Cow<'static, str>,
    /// Which one it is.
    pub known: Known,
    /// Its local name.
    pub local: Cow<'static, str>,
    /// When it holds.
    pub window: Window,
    /// What it says.
    pub meaning: Meaning,
}

/// What a [`Piece`] says.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    /// `rpid:activities`: the activities by local name (the text of `other`), and its notes.
    Activities {
        /// The activities, in order.
        names: Vec<String>,
        /// `rpid:note`.
        notes: Vec<Note>,
    },
    /// `dm:note`.
    Note(Note),
    /// `dm:timestamp`.
    Timestamp(Option<Timestamp>),
    /// `dm:deviceID`.
    DeviceId(String),
    /// Anything else.
    Other,
}

/// The time for which an element holds (RFC 4480, `from` and `until`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// From then on.
    pub from: Option<Timestamp>,
    /// Until then; no longer at that very instant.
    pub until: Option<Timestamp>,
}

impl Window {
    /// Whether there is a window at all.
    pub const fn is_timed(self) -> bool {
        self.from.is_some() || self.until.is_some()
    }

    /// Whether the element holds at `now`.
    pub fn holds(self, now: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= now) && self.until.is_none_or(|until| now < until)
    }

    /// When that changes next.
    pub fn changes_after(self, now: Timestamp) -> Option<Timestamp> {
        if self
            .from
            .zip(self.until)
            .is_some_and(|(from, until)| until <= from)
        {
            return None;
        }
        [self.from, self.until]
            .into_iter()
            .flatten()
            .filter(|at| *at > now)
            .min()
    }
}
