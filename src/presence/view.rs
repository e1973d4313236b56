//! Which parts of the publications make up the composed state, in which order, under which ids.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::Source;
use crate::pidf::xml::Known;
use crate::pidf::{Basic, Child, Document, Group, Item, Meaning, Note, Piece, Priority, Tuple};
use crate::time::Timestamp;

/// The composed state, by reference into the documents.
#[derive(Debug)]
pub(super) struct View<'a> {
    /// In the order in which they are told.
    pub tuples: Vec<Service<'a>>,
    pub notes: Vec<(&'a Document, &'a Item, &'a Note)>,
    pub person: Option<Merged<'a>>,
    pub devices: Vec<Merged<'a>>,
    pub others: Vec<(&'a Document, &'a Item)>,
    pub changes_at: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct Service<'a> {
    pub document: &'a Document,
    pub tuple: &'a Tuple,
    pub id: String,
    /// How fresh the publication is (0: the freshest), and the place in it.
    rank: (usize, usize),
}

/// A person or device put together from several.
#[derive(Debug)]
pub(super) struct Merged<'a> {
    pub id: String,
    pub pieces: Vec<(&'a Document, &'a Piece)>,
    /// How many persons or devices it stands for.
    groups: usize,
}

/// A person or device as published.
struct Published<'a> {
    document: &'a Document,
    group: &'a Group,
    /// As for services, but what says that it is younger comes first within a publication.
    rank: (usize, Reverse<Option<Timestamp>>, usize),
}

impl<'a> View<'a> {
    pub fn of(sources: &[Source<'a>], now: Timestamp) -> Self {
        let mut fresh: Vec<&Source<'a>> = sources.iter().collect();
        fresh.sort_by_key(|source| (Reverse(source.published), source.key));
        let mut ranked: Vec<(usize, &Source<'a>)> = fresh.iter().copied().enumerate().collect();
        // Ids are given in the order of the keys, so that a change of freshness changes no id.
        ranked.sort_by_key(|(_, source)| source.key);

        let mut ids = Ids::default();
        let mut tuples = Vec::new();
        let mut persons = Vec::new();
        let mut person_id = None;
        let mut devices: BTreeMap<DeviceKey<'a>, (String, Vec<Published<'a>>)> = BTreeMap::new();
        for (freshness, source) in ranked {
            let document = source.document;
            for (place, child) in document.children().iter().enumerate() {
                let published = |group: &'a Group| Published {
                    document,
                    group,
                    rank: (freshness, Reverse(group.timestamp), place),
                };
                match child {
                    Child::Tuple(tuple) => {
                        let wanted = tuple.id.as_ref().map(|id| &*id.value);
                        let wanted = wanted.filter(|id| !id.is_empty());
                        let id = ids.give(wanted, "t", source.key);
                        tuples.push(Service {
                            document,
                            tuple,
                            id,
                            rank: (freshness, place),
                        });
                    }
                    Child::Person(group) => {
                        person_id
                            .get_or_insert_with(|| ids.give(group.id.as_deref(), "p", source.key));
                        persons.push(published(group));
                    }
                    Child::Device(group) => {
                        let key = DeviceKey::of(group, (freshness, place));
                        let device = devices.entry(key);
                        let give = || (ids.give(group.id.as_deref(), "d", source.key), Vec::new());
                        device.or_insert_with(give).1.push(published(group));
                    }
                    Child::Note(..) | Child::Other(_) => {}
                }
            }
        }
        tuples.sort_by_key(|service| {
            let reachable = match service.tuple.basic {
                Some(Basic::Open) => 0,
                Some(Basic::Closed) => 1,
                None => 2,
            };
            // No priority says no more than the lowest.
            let priority = service.tuple.priority.unwrap_or(Priority::LOWEST);
            (reachable, Reverse(priority), service.rank)
        });

        let mut changes = Changes { now, at: None };
        for service in &tuples {
            service
                .tuple
                .timed
                .iter()
                .for_each(|(_, window)| changes.add(window.changes_after(now)));
        }
        let person = person_id.map(|id| merge(id, persons, &mut changes));
        let mut devices: Vec<_> = devices
            .into_values()
            .map(|(id, groups)| (groups, id))
            .collect();
        devices.sort_by_key(|(groups, _)| groups.iter().map(|published| published.rank).min());
        let devices = devices
            .into_iter()
            .map(|(groups, id)| merge(id, groups, &mut changes))
            .collect();

        let (notes, others) = loose(&fresh);
        Self {
            tuples,
            notes,
            person,
            devices,
            others,
            changes_at: changes.at,
        }
    }

    /// Whether the only document says exactly this already.
    pub fn is_unchanged(&self, document: &Document) -> bool {
        let mut kept = self.notes.len() + self.others.len();
        for service in &self.tuples {
            let same_id = service
                .tuple
                .id
                .as_ref()
                .is_some_and(|id| id.value == service.id);
            if !same_id || !service.tuple.timed.is_empty() {
                return false;
            }
            kept += 1;
        }
        for merged in self.person.iter().chain(&self.devices) {
            let timed = merged
                .pieces
                .iter()
                .any(|(_, piece)| piece.window.is_timed());
            if merged.groups != 1 || timed {
                return false;
            }
            kept += 1;
        }
        let merged = || self.person.iter().chain(&self.devices);
        let pieces: usize = merged().map(|merged| merged.pieces.len()).sum();
        let said: usize = document
            .children()
            .iter()
            .filter_map(group)
            .map(|group| group.pieces.len())
            .sum();
        let mut given: Vec<_> = merged().map(|merged| Some(&*merged.id)).collect();
        let mut had: Vec<_> = document
            .children()
            .iter()
            .filter_map(group)
            .map(|group| group.id.as_deref())
            .collect();
        given.sort_unstable();
        had.sort_unstable();
        document.is_plain()
            && kept == document.children().len()
            && pieces == said
            && given == had
            && self.tuples.is_sorted_by_key(|service| service.rank)
    }
}

fn group(child: &Child) -> Option<&Group> {
    match child {
        Child::Person(group) | Child::Device(group) => Some(group),
        Child::Tuple(_) | Child::Note(..) | Child::Other(_) => None,
    }
}

/// What makes two devices one: the device ID. Those without are each their own.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum DeviceKey<'a> {
    Named(&'a str),
    Unnamed(usize, usize),
}

impl<'a> DeviceKey<'a> {
    fn of(group: &'a Group, (freshness, place): (usize, usize)) -> Self {
        let mut named = group
            .pieces
            .iter()
            .filter_map(|piece| match &piece.meaning {
                Meaning::DeviceId(id) if !id.is_empty() => Some(&**id),
                _ => None,
            });
        named
            .next()
            .map_or(Self::Unnamed(freshness, place), Self::Named)
    }
}

/// The notes about the whole, each text once, and the extensions, freshest publication first.
#[allow(clippy::type_complexity, reason = "the two lists of a view")]
fn loose<'a>(
    fresh: &[&Source<'a>],
) -> (
    Vec<(&'a Document, &'a Item, &'a Note)>,
    Vec<(&'a Document, &'a Item)>,
) {
    let mut told = BTreeSet::new();
    let (mut notes, mut others) = (Vec::new(), Vec::new());
    for source in fresh {
        let document = source.document;
        for child in document.children() {
            match child {
                Child::Note(item, note) if told.insert(note) => notes.push((document, item, note)),
                Child::Note(..) | Child::Tuple(_) | Child::Person(_) | Child::Device(_) => {}
                Child::Other(item) => others.push((document, item)),
            }
        }
    }
    (notes, others)
}

/// Picks the statements of one person or device. Of each name, the freshest publication that says something holds; RPID
/// elements are not repeated (RFC 4480, 5), and one with a window goes before one without. Extensions come first, then
/// the device ID, notes and timestamp, as the schema has it.
fn merge<'a>(id: String, mut groups: Vec<Published<'a>>, changes: &mut Changes) -> Merged<'a> {
    groups.sort_by_key(|published| published.rank);
    let mut chosen: Vec<(&'a Document, &'a Piece)> = Vec::new();
    // By name: which group says it, and where the first of it stands in `chosen`.
    let mut said: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
    let mut told = BTreeSet::new();
    let (mut empty, mut notes, mut device_id, mut timestamp) = (Vec::new(), Vec::new(), None, None);
    for (
        number,
        Published {
            document, group, ..
        },
    ) in groups.iter().enumerate()
    {
        for piece in &group.pieces {
            changes.add(piece.window.changes_after(changes.now));
            if !piece.window.holds(changes.now) {
                continue;
            }
            let part = (*document, piece);
            match &piece.meaning {
                Meaning::Note(note) => {
                    if told.insert(note) {
                        notes.push(part);
                    }
                }
                Meaning::Timestamp(_) => {
                    timestamp.get_or_insert(part);
                }
                Meaning::DeviceId(_) => {
                    device_id.get_or_insert(part);
                }
                // Phones with nothing to say send it empty, or as unknown (RFC 4480, 3.2); that must not silence a calendar.
                Meaning::Activities { names, notes }
                    if notes.is_empty() && names.iter().all(|name| name == "unknown") =>
                {
                    empty.push(part);
                }
                Meaning::Activities { .. } | Meaning::Other => {
                    match said.get(&(&*piece.namespace, &*piece.local)) {
                        None => {
                            said.insert((&piece.namespace, &piece.local), (number, chosen.len()));
                            chosen.push(part);
                        }
                        Some((owner, at)) if *owner == number => {
                            let single =
                                matches!(piece.known, Known::Rpid | Known::DataModel | Known::Pidf);
                            if !single {
                                chosen.push(part);
                            } else if piece.window.is_timed() && !chosen[*at].1.window.is_timed() {
                                chosen[*at] = part;
                            }
                        }
                        Some(_) => {}
                    }
                }
            }
        }
    }
    let unsaid = |(_, piece): &(_, &Piece)| !said.contains_key(&(&*piece.namespace, &*piece.local));
    chosen.extend(empty.into_iter().find(unsaid));
    chosen.extend(device_id);
    chosen.extend(notes);
    chosen.extend(timestamp);
    Merged {
        id,
        pieces: chosen,
        groups: groups.len(),
    }
}

/// The next instant at which the state changes by itself.
struct Changes {
    now: Timestamp,
    at: Option<Timestamp>,
}

impl Changes {
    fn add(&mut self, at: Option<Timestamp>) {
        self.at = self.at.into_iter().chain(at).min();
    }
}

/// Ids given in the document so far.
#[derive(Default)]
struct Ids {
    given: BTreeSet<String>,
    /// How often an id was asked for again, so that a flood of equal ones stays cheap.
    repeated: BTreeMap<String, u32>,
}

impl Ids {
    /// The id that is wanted if it is free, else one made of it and the publication's key.
    fn give(&mut self, wanted: Option<&str>, otherwise: &str, key: &str) -> String {
        if let Some(wanted) = wanted.filter(|wanted| !self.given.contains(*wanted)) {
            self.given.insert(wanted.to_owned());
            return wanted.to_owned();
        }
        let base = [wanted.unwrap_or(otherwise), "-", &short_hash(key)].concat();
        let repeated = self.repeated.entry(base.clone()).or_default();
        loop {
            *repeated += 1;
            let id = if *repeated == 1 {
                base.clone()
            } else {
                [&*base, "-", &repeated.to_string()].concat()
            };
            if self.given.insert(id.clone()) {
                return id;
            }
        }
    }
}

/// Eight hexadecimal digits that stand for a key (FNV-1a): the same in every run, and nothing that a watcher could use
/// to touch the publication.
fn short_hash(key: &str) -> String {
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let folded = (hash >> 32) ^ (hash & 0xffff_ffff);
    (0..8)
        .rev()
        .map(|digit| char::from_digit((folded >> (4 * digit)) as u32 & 0xf, 16).unwrap_or('0'))
        .collect()
}
