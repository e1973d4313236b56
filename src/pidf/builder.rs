//! Writes PIDF documents: elements in the order of the schemas, the usual prefixes on the root, everything escaped.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::vocabulary::{self, ACTIVITIES, MOODS, PLACES};
use super::xml::{Writer, to_ncname};
use super::{
    Basic, DATA_MODEL_NS, LOCATION_TYPE_NS, Note, PIDF_NS, Priority, RPID_NS, write_moment,
};
use crate::time::Timestamp;

/// A document in the making. Tuples, persons and notes may be given in any order.
#[derive(Clone, Debug)]
pub struct Builder {
    entity: String,
    timestamp: Option<Timestamp>,
    tuples: Vec<(String, Service)>,
    notes: Vec<Note>,
    persons: Vec<(String, Person)>,
    /// Ids given so far: they are unique in a document, whatever they belong to.
    ids: BTreeSet<String>,
}

/// What a tuple says (RFC 3863, 4.1.2; RFC 4480, 3.14).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Service {
    /// Reachable or not; `None` leaves `status` empty.
    pub basic: Option<Basic>,
    /// Where it is reached: a URI.
    pub contact: Option<String>,
    /// The priority of `contact`.
    pub priority: Option<Priority>,
    /// Text for people.
    pub notes: Vec<Note>,
    /// Idle since this last input of the user.
    pub idle_since: Option<Timestamp>,
}

/// What is said of the person (RFC 4479, 3.2; RFC 4480).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Person {
    /// RPID activities by element name; others become `other` with the name as text.
    pub activities: Vec<String>,
    /// When the activities began.
    pub since: Option<Timestamp>,
    /// When they end by themselves.
    pub until: Option<Timestamp>,
    /// RPID mood by element name, as for activities.
    pub mood: Option<String>,
    /// RFC 4589 place type by element name, as for activities.
    pub place: Option<String>,
    /// Text for people.
    pub notes: Vec<Note>,
}

impl Builder {
    /// An empty document about `entity`, a URI.
    pub fn new(entity: &str) -> Self {
        Self {
            entity: entity.to_owned(),
            timestamp: None,
            tuples: Vec::new(),
            notes: Vec::new(),
            persons: Vec::new(),
            ids: BTreeSet::new(),
        }
    }

    /// When the state was so; stands in every tuple and person.
    pub fn timestamp(mut self, at: Timestamp) -> Self {
        self.timestamp = Some(at);
        self
    }

    /// Adds a tuple. An id that is no `xs:ID`, or is taken, is changed to the nearest one that is right.
    pub fn tuple(mut self, id: &str, service: Service) -> Self {
        let id = self.free_id(id);
        self.tuples.push((id, service));
        self
    }

    /// Adds a person, with its id as for a tuple.
    pub fn person(mut self, id: &str, person: Person) -> Self {
        let id = self.free_id(id);
        self.persons.push((id, person));
        self
    }

    /// Adds a note about the whole state.
    pub fn note(mut self, note: Note) -> Self {
        self.notes.push(note);
        self
    }

    /// The document.
    pub fn finish(self) -> Bytes {
        let mut writer = Writer::new();
        writer.declaration();
        writer.start("presence");
        writer.attribute("xmlns", PIDF_NS);
        let idle = self
            .tuples
            .iter()
            .any(|(_, service)| service.idle_since.is_some());
        if !self.persons.is_empty() {
            writer.attribute("xmlns:dm", DATA_MODEL_NS);
        }
        if !self.persons.is_empty() || idle {
            writer.attribute("xmlns:rpid", RPID_NS);
        }
        let known_place = |place: &String| vocabulary::find(PLACES, place).is_some();
        if self
            .persons
            .iter()
            .filter_map(|(_, person)| person.place.as_ref())
            .any(known_place)
        {
            writer.attribute("xmlns:lt", LOCATION_TYPE_NS);
        }
        writer.attribute("entity", &self.entity);
        for (id, service) in &self.tuples {
            writer.line();
            write_tuple(&mut writer, id, service, self.timestamp);
        }
        for note in &self.notes {
            writer.line();
            write_note(&mut writer, "note", note);
        }
        for (id, person) in &self.persons {
            writer.line();
            write_person(&mut writer, id, person, self.timestamp);
        }
        writer.line();
        Bytes::from(writer.finish())
    }

    fn free_id(&mut self, wanted: &str) -> String {
        let wanted = to_ncname(wanted);
        let mut id = wanted.clone();
        let mut number = 2;
        while !self.ids.insert(id.clone()) {
            id = [wanted.as_str(), "-", &number.to_string()].concat();
            number += 1;
        }
        id
    }
}

fn write_tuple(writer: &mut Writer, id: &str, service: &Service, timestamp: Option<Timestamp>) {
    writer.start("tuple");
    writer.attribute("id", id);
    writer.start("status");
    if let Some(basic) = service.basic {
        writer.leaf("basic", basic.as_str());
    }
    writer.end();
    if let Some(since) = service.idle_since {
        writer.start("rpid:user-input");
        writer.attribute("last-input", &write_moment(since));
        writer.text("idle");
        writer.end();
    }
    if let Some(contact) = &service.contact {
        writer.start("contact");
        if let Some(priority) = service.priority {
            writer.attribute("priority", &priority.to_string());
        }
        writer.text(contact);
        writer.end();
    }
    for note in &service.notes {
        write_note(writer, "note", note);
    }
    if let Some(at) = timestamp {
        writer.leaf("timestamp", &write_moment(at));
    }
    writer.end();
}

fn write_person(writer: &mut Writer, id: &str, person: &Person, timestamp: Option<Timestamp>) {
    writer.start("dm:person");
    writer.attribute("id", id);
    if !person.activities.is_empty() {
        writer.start("rpid:activities");
        if let Some(since) = person.since {
            writer.attribute("from", &write_moment(since));
        }
        if let Some(until) = person.until {
            writer.attribute("until", &write_moment(until));
        }
        for activity in &person.activities {
            // `unknown` may not stand beside others.
            if activity != "unknown" || person.activities.len() == 1 {
                write_word(writer, ACTIVITIES, "rpid:", activity);
            }
        }
        writer.end();
    }
    if let Some(mood) = &person.mood {
        writer.start("rpid:mood");
        write_word(writer, MOODS, "rpid:", mood);
        writer.end();
    }
    if let Some(place) = &person.place {
        writer.start("rpid:place-type");
        write_word(writer, PLACES, "lt:", place);
        writer.end();
    }
    for note in &person.notes {
        write_note(writer, "dm:note", note);
    }
    if let Some(at) = timestamp {
        writer.leaf("dm:timestamp", &write_moment(at));
    }
    writer.end();
}

fn write_note(writer: &mut Writer, name: &'static str, note: &Note) {
    writer.start(name);
    if let Some(lang) = &note.lang {
        writer.attribute("xml:lang", lang);
    }
    writer.text(&note.text);
    writer.end();
}

fn write_word(
    writer: &mut Writer,
    words: &'static [&'static str],
    prefix: &'static str,
    word: &str,
) {
    match vocabulary::find(words, word.trim()) {
        Some(known) => writer.empty_with_prefix(prefix, known),
        None => writer.leaf("rpid:other", word),
    }
}
