//! Reads one document into a [`Message`], or says in words what is wrong with it.

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::entity::{self, EntityError};
use super::frame::MAX_DEPTH;
use super::message::{Ack, Basic, Hello, Message, Nak, Note, Presence, Welcome};
use crate::pidf::{PIDF_NS, parse_moment};
use crate::time::Timestamp;

/// Why a document is no message, with as much of it as could be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{problem}")]
pub struct ReadError {
    /// The `seq` of a `PRESENCE`: its sender gets a `NAK` with the reason rather than an `ERROR`.
    pub seq: Option<u64>,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a document.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Problem {
    /// Not UTF-8.
    #[error("the document is not UTF-8")]
    Encoding,
    /// A character that XML does not allow.
    #[error("the document has the character U+{0:04X}, which XML does not allow")]
    Character(u32),
    /// Not well-formed XML.
    #[error("not well-formed: {0}")]
    IllFormed(String),
    /// An entity that is none of the five of XML.
    #[error(
        "the entity &{0}; is not known; allowed are &amp; &lt; &gt; &quot; &apos; and character references"
    )]
    UnknownEntity(String),
    /// No `<type>`.
    #[error("there is no <type>")]
    NoType,
    /// An element that is needed is not there, or empty.
    #[error("{kind} needs <{element}>")]
    Missing {
        /// The type of the message.
        kind: &'static str,
        /// The name of the element.
        element: &'static str,
    },
    /// An element that may stand there once stands there twice.
    #[error("<{0}> stands there more than once")]
    Twice(&'static str),
    /// A value that is none of those allowed.
    #[error("<{element}> is {value:?}; allowed is {allowed}")]
    Value {
        /// The name of the element.
        element: &'static str,
        /// What was written, shortened.
        value: String,
        /// What may be written.
        allowed: &'static str,
    },
    /// The presentity's name is none.
    #[error("<entity> is {0:?}: {1}")]
    Entity(String, EntityError),
    /// The `<presence>` document is not one.
    #[error("<presence> is no PIDF document: {0}")]
    Document(&'static str),
}

/// A child of the root element.
struct Field {
    name: String,
    /// `lang` or `xml:lang`.
    lang: Option<String>,
    /// The text, entities resolved, without what stands in elements inside.
    text: String,
    /// Of `<presence>`: the whole element.
    document: Option<Document>,
}

struct Document {
    text: String,
    entity: Option<String>,
}

/// Reads a document that the [`FrameFinder`](super::FrameFinder) found. `now` gives idle seconds their meaning.
pub fn read(document: &[u8], now: Timestamp) -> Result<Message, ReadError> {
    let mut fields = Fields::default();
    match fields
        .collect(document)
        .and_then(|text| fields.message(text, now))
    {
        Ok(message) => Ok(message),
        Err(problem) => Err(ReadError {
            seq: fields.presence_seq(),
            problem,
        }),
    }
}

#[derive(Default)]
struct Fields(Vec<Field>);

impl Fields {
    /// Takes the document apart. What was read before a fault stays.
    fn collect<'a>(&mut self, document: &'a [u8]) -> Result<&'a str, Problem> {
        let text = str::from_utf8(document).map_err(|_| Problem::Encoding)?;
        if let Some(bad) = text.chars().find(|c| !is_xml_char(*c)) {
            return Err(Problem::Character(bad.into()));
        }
        let mut reader = Reader::from_str(text);
        reader.config_mut().check_comments = true;
        let mut depth = 0usize;
        let mut begin = 0usize;
        let mut namespaces = Vec::new();
        loop {
            let before = position(&reader);
            match reader
                .read_event()
                .map_err(ill_formed)?
            {
                Event::Start(start) => {
                    depth += 1;
                    match depth {
                        1 => namespaces = namespace_declarations(&start)?,
                        2 => {
                            begin = before;
                            self.0.push(field(&start)?);
                        }
                        // The scanner refuses it earlier; this holds for documents from elsewhere.
                        _ if depth > MAX_DEPTH => {
                            return Err(Problem::IllFormed("nested too deep".into()));
                        }
                        _ => check_attributes(&start)?,
                    }
                }
                Event::Empty(start) => match depth {
                    0 => return Err(Problem::NoType),
                    1 => {
                        self.0.push(field(&start)?);
                        self.element_ended(&text[before..position(&reader)], &namespaces)?;
                    }
                    _ => check_attributes(&start)?,
                },
                Event::End(_) => {
                    depth = depth.saturating_sub(1);
                    if depth == 1 {
                        self.element_ended(&text[begin..position(&reader)], &namespaces)?;
                    }
                }
                Event::Text(content) => self.append(depth, &content.xml10_content()),
                Event::CData(content) => self.append(depth, &content.xml10_content()),
                Event::GeneralRef(reference) => {
                    let mut buffer = [0; 4];
                    self.append(depth, resolve(&reference)?.encode_utf8(&mut buffer));
                }
                Event::Decl(declaration) => {
                    if let Some(Ok(encoding)) = declaration.encoding()
                        && !["utf-8", "utf8", "us-ascii"]
                            .contains(&encoding.to_ascii_lowercase().as_str())
                    {
                        return Err(Problem::Encoding);
                    }
                }
                Event::Comment(_) => {}
                Event::PI(_) | Event::DocType(_) => {
                    return Err(Problem::IllFormed(
                        "a document type or processing instruction".into(),
                    ));
                }
                Event::Eof => break,
            }
        }
        if depth != 0 {
            return Err(Problem::IllFormed("an element does not end".into()));
        }
        Ok(text)
    }

    /// Text counts directly within a child of the root only.
    fn append(&mut self, depth: usize, text: &str) {
        if depth == 2
            && let Some(field) = self.0.last_mut()
        {
            field.text.push_str(text);
        }
    }

    fn element_ended(&mut self, raw: &str, namespaces: &[(String, String)]) -> Result<(), Problem> {
        match self.0.last_mut() {
            Some(field) if field.name == "presence" => {
                field.document = Some(passed_through(raw, namespaces)?);
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    fn kind(&self) -> Option<String> {
        let field = self.0.iter().find(|field| field.name == "type")?;
        let kind = field.text.trim().to_ascii_uppercase();
        (!kind.is_empty()).then_some(kind)
    }

    fn presence_seq(&self) -> Option<u64> {
        let seq = self
            .0
            .iter()
            .find(|field| field.name == "seq")?
            .text
            .trim()
            .parse()
            .ok()?;
        (self.kind()? == "PRESENCE").then_some(seq)
    }

    fn message(&self, document: &str, now: Timestamp) -> Result<Message, Problem> {
        self.single("type")?;
        let kind = self.kind().ok_or(Problem::NoType)?;
        Ok(match kind.as_str() {
            "PC" => Message::PresenceClient(self.hello()?),
            "SOURCE" => Message::Source(self.hello()?),
            "WELCOME" => Message::Welcome(Welcome {
                id: self.owned("id")?.unwrap_or_default(),
                version: self.number("version")?.unwrap_or(1),
                run: self.owned("run")?.unwrap_or_default(),
                heartbeat: self.number("heartbeat")?.unwrap_or(0),
            }),
            "PRESENCE" => Message::Presence(Box::new(self.presence(now)?)),
            "ACK" => Message::Ack(Ack {
                seq: self.seq("ACK")?,
                etag: self.owned("etag")?,
            }),
            "NAK" => Message::Nak(Nak {
                seq: self.seq("NAK")?,
                code: self.number("code")?.unwrap_or(0),
                reason: self.owned("reason")?.unwrap_or_default(),
            }),
            "PING" => Message::Ping,
            "PONG" => Message::Pong,
            "ERROR" => Message::Error(self.owned("reason")?.unwrap_or_default()),
            "BYE" => Message::Bye(self.owned("reason")?),
            _ => Message::Other {
                kind: self.single("type")?.unwrap_or_default().to_owned(),
                document: document.to_owned(),
            },
        })
    }

    fn hello(&self) -> Result<Hello, Problem> {
        Ok(Hello {
            id: self.owned("id")?,
            version: self.number("version")?,
            last_seq: self.number("last-seq")?,
            run: self.owned("run")?,
        })
    }

    fn presence(&self, now: Timestamp) -> Result<Presence, Problem> {
        let mut documents = self.0.iter().filter_map(|field| field.document.as_ref());
        let document = documents.next();
        if documents.next().is_some() {
            return Err(Problem::Twice("presence"));
        }
        let entity = match (
            self.owned("entity")?,
            document.and_then(|it| it.entity.clone()),
        ) {
            (Some(said), Some(written)) => {
                // A document about somebody else would be refused by the server, or worse, shown.
                let meant =
                    entity::normal(&written).map_err(|error| Problem::Entity(written, error))?;
                if entity::normal(&said).is_ok_and(|said| said != meant) {
                    return Err(Problem::Document(
                        "its entity is another than that of <entity>",
                    ));
                }
                said
            }
            (Some(entity), None) | (None, Some(entity)) => entity,
            (None, None) => {
                return Err(Problem::Missing {
                    kind: "PRESENCE",
                    element: "entity",
                });
            }
        };
        entity::normal(&entity).map_err(|error| Problem::Entity(shortened(&entity), error))?;
        Ok(Presence {
            seq: self.number("seq")?,
            entity,
            source: self.owned("source")?,
            basic: self.basic()?,
            activities: self.activities()?,
            notes: self.notes(),
            mood: self.name("mood", "the name of a mood, such as happy")?,
            place: self.name("place", "the name of a place, such as office")?,
            since: self.date("since")?,
            until: self.date("until")?,
            idle_since: self.idle(now)?,
            document: document.map(|it| it.text.clone()),
            withdrawn: self.withdrawn()?,
        })
    }

    fn basic(&self) -> Result<Option<Basic>, Problem> {
        let Some(value) = self.single("basic")? else {
            return Ok(None);
        };
        if value.eq_ignore_ascii_case("open") {
            Ok(Some(Basic::Open))
        } else if value.eq_ignore_ascii_case("closed") {
            Ok(Some(Basic::Closed))
        } else {
            Err(bad("basic", value, "open or closed"))
        }
    }

    fn activities(&self) -> Result<Vec<String>, Problem> {
        let mut activities = Vec::new();
        for field in self.0.iter().filter(|field| field.name == "activity") {
            let value = field.text.trim().to_ascii_lowercase();
            if value.is_empty() || activities.contains(&value) {
                continue;
            }
            if !is_name(&value) {
                return Err(bad(
                    "activity",
                    &value,
                    "the name of an activity, such as on-the-phone",
                ));
            }
            activities.push(value);
        }
        Ok(activities)
    }

    fn notes(&self) -> Vec<Note> {
        let notes = self.0.iter().filter(|field| field.name == "note");
        notes
            .map(|field| Note {
                lang: field.lang.clone(),
                text: field.text.trim().to_owned(),
            })
            .filter(|note| !note.text.is_empty())
            .collect()
    }

    fn idle(&self, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
        let Some(value) = self.single("idle")? else {
            return Ok(None);
        };
        let since = match value.parse::<u64>() {
            Ok(seconds) => Some(now - std::time::Duration::from_secs(seconds)),
            Err(_) => parse_moment(value),
        };
        since.map(Some).ok_or_else(|| {
            bad(
                "idle",
                value,
                "a number of seconds, or a date as for <since>",
            )
        })
    }

    fn withdrawn(&self) -> Result<bool, Problem> {
        let mut fields = self.0.iter().filter(|field| field.name == "withdrawn");
        let Some(field) = fields.next() else {
            return Ok(false);
        };
        if fields.next().is_some() {
            return Err(Problem::Twice("withdrawn"));
        }
        match field.text.trim() {
            "" | "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            other => Err(bad("withdrawn", other, "true or false")),
        }
    }

    fn seq(&self, kind: &'static str) -> Result<u64, Problem> {
        self.number("seq")?.ok_or(Problem::Missing {
            kind,
            element: "seq",
        })
    }

    /// The text of an element that may stand there once; empty is as good as absent, so that a script may leave a
    /// variable empty.
    fn single(&self, name: &'static str) -> Result<Option<&str>, Problem> {
        let mut fields = self.0.iter().filter(|field| field.name == name);
        let value = fields
            .next()
            .map(|field| field.text.trim())
            .filter(|text| !text.is_empty());
        if fields.next().is_some() {
            return Err(Problem::Twice(name));
        }
        Ok(value)
    }

    fn owned(&self, name: &'static str) -> Result<Option<String>, Problem> {
        Ok(self.single(name)?.map(str::to_owned))
    }

    fn number<N: std::str::FromStr>(&self, name: &'static str) -> Result<Option<N>, Problem> {
        let Some(value) = self.single(name)? else {
            return Ok(None);
        };
        value
            .parse()
            .map(Some)
            .map_err(|_| bad(name, value, "a whole number that is not too large"))
    }

    fn name(&self, name: &'static str, allowed: &'static str) -> Result<Option<String>, Problem> {
        let Some(value) = self.single(name)? else {
            return Ok(None);
        };
        let value = value.to_ascii_lowercase();
        if is_name(&value) {
            Ok(Some(value))
        } else {
            Err(bad(name, &value, allowed))
        }
    }

    fn date(&self, name: &'static str) -> Result<Option<Timestamp>, Problem> {
        let Some(value) = self.single(name)? else {
            return Ok(None);
        };
        let allowed = "a date such as 2026-11-23T09:00:00Z (RFC 3339)";
        parse_moment(value)
            .map(Some)
            .ok_or_else(|| bad(name, value, allowed))
    }
}

fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

fn bad(element: &'static str, value: &str, allowed: &'static str) -> Problem {
    Problem::Value {
        element,
        value: shortened(value),
        allowed,
    }
}

fn ill_formed(error: impl std::fmt::Display) -> Problem {
    // It may quote names of any length.
    Problem::IllFormed(shortened(&error.to_string()))
}

fn shortened(value: &str) -> String {
    value.chars().take(120).collect()
}

/// Whether a text may be the name of an element in RPID: a name of XML without a prefix, in ASCII.
fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
}

/// XML 1.0, 2.2.
pub(super) fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fn resolve(reference: &BytesRef) -> Result<char, Problem> {
    let unknown = || Problem::UnknownEntity(shortened(reference));
    match reference.resolve_char_ref().map_err(|_| unknown())? {
        Some(c) if is_xml_char(c) => Ok(c),
        Some(c) => Err(Problem::Character(c.into())),
        None => match &**reference {
            "amp" => Ok('&'),
            "lt" => Ok('<'),
            "gt" => Ok('>'),
            "quot" => Ok('"'),
            "apos" => Ok('\''),
            _ => Err(unknown()),
        },
    }
}

fn field(start: &BytesStart) -> Result<Field, Problem> {
    let mut lang = None;
    for attribute in start.attributes() {
        let attribute = attribute.map_err(ill_formed)?;
        let name: &str = attribute.key.as_ref();
        if name == "lang" || name == "xml:lang" {
            lang = Some(value(&attribute)?).filter(|lang| !lang.is_empty());
        }
    }
    let qualified: &str = start.name().0;
    // A passed-through document may have a prefix of its own; the other names are ours.
    let local: &str = start.local_name().into_inner();
    let name = if local == "presence" {
        local
    } else {
        qualified
    };
    Ok(Field {
        name: name.to_owned(),
        lang,
        text: String::new(),
        document: None,
    })
}

fn value(attribute: &quick_xml::events::attributes::Attribute) -> Result<String, Problem> {
    let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0);
    Ok(value
        .map_err(ill_formed)?
        .into_owned())
}

/// Attributes deep inside are not looked at, but they must be well formed: they are passed on as they are.
fn check_attributes(start: &BytesStart) -> Result<(), Problem> {
    for attribute in start.attributes() {
        let attribute = attribute.map_err(ill_formed)?;
        value(&attribute)?;
    }
    Ok(())
}

/// The namespace declarations of an element: name of the attribute and value as written.
fn namespace_declarations(start: &BytesStart) -> Result<Vec<(String, String)>, Problem> {
    let mut found = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(ill_formed)?;
        value(&attribute)?;
        let name: &str = attribute.key.as_ref();
        if name == "xmlns" || name.starts_with("xmlns:") {
            found.push((name.to_owned(), value(&attribute)?));
        }
    }
    Ok(found)
}

/// The `<presence>` element as it was written; namespaces that the root of the message declares are declared again.
fn passed_through(raw: &str, outer: &[(String, String)]) -> Result<Document, Problem> {
    let mut reader = Reader::from_str(raw);
    let (start, empty) = match reader.read_event().map_err(ill_formed)? {
        Event::Start(start) => (start, false),
        Event::Empty(start) => (start, true),
        _ => return Err(Problem::Document("it has no start tag")),
    };
    let own = namespace_declarations(&start)?;
    let name: &str = start.name().0;
    let declaration = match name.split_once(':') {
        Some((prefix, _)) => format!("xmlns:{prefix}"),
        None => "xmlns".to_owned(),
    };
    let find = |list: &[(String, String)]| {
        list.iter()
            .find(|(name, _)| *name == declaration)
            .map(|(_, uri)| uri.clone())
    };
    if find(&own).or_else(|| find(outer)).as_deref() != Some(PIDF_NS) {
        return Err(Problem::Document(
            "its namespace is not urn:ietf:params:xml:ns:pidf",
        ));
    }
    let mut entity = None;
    for attribute in start.attributes().flatten() {
        let key: &str = attribute.key.as_ref();
        if key == "entity" {
            entity = Some(value(&attribute)?.trim().to_owned()).filter(|entity| !entity.is_empty());
        }
    }
    let missing = outer
        .iter()
        .filter(|(name, _)| !own.iter().any(|(known, _)| known == name));
    let mut again = start.to_owned();
    for (name, uri) in missing {
        again.push_attribute((name.as_str(), uri.as_str()));
    }
    if again.len() == start.len() {
        return Ok(Document {
            text: raw.to_owned(),
            entity,
        });
    }
    let mut writer = quick_xml::Writer::new(Vec::new());
    let event = if empty {
        Event::Empty(again)
    } else {
        Event::Start(again)
    };
    writer
        .write_event(event)
        .map_err(ill_formed)?;
    let mut text = String::from_utf8(writer.into_inner()).map_err(|_| Problem::Encoding)?;
    text.push_str(&raw[position(&reader)..]);
    Ok(Document { text, entity })
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
