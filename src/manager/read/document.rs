//! PIDF documents within a message, which pass through.

use bytes::Bytes;
use quick_xml::events::Event;
use quick_xml::{Reader, Writer};

use super::fields::{namespace_declarations, position};
use super::{Problem, ill_formed};
use crate::pidf::{self, Limits};

/// A whole PIDF document.
pub(super) struct Document {
    /// As it was written.
    pub text: String,
    /// The presentity that it is about.
    pub entity: String,
}

/// The `<presence>` element as it was written; namespaces that the root of the message declares are declared again.
/// What the Presence Server would refuse is refused here, where its source can be told.
pub(super) fn passed_through(raw: &str, outer: &[(String, String)]) -> Result<Document, Problem> {
    let text = redeclared(raw, outer)?;
    let document = pidf::Document::parse(&Bytes::from(text.clone()), &Limits::default());
    let document = document.map_err(Problem::Document)?;
    let entity = document.entity().trim().to_owned();
    Ok(Document { text, entity })
}

fn redeclared(raw: &str, outer: &[(String, String)]) -> Result<String, Problem> {
    let mut reader = Reader::from_str(raw);
    let (mut start, empty) = match reader.read_event().map_err(ill_formed)? {
        Event::Start(start) => (start, false),
        Event::Empty(start) => (start, true),
        _ => return Ok(raw.to_owned()),
    };
    let own = namespace_declarations(&start)?;
    let declared = |name: &str| own.iter().any(|(known, _)| known == name);
    let missing: Vec<_> = outer.iter().filter(|(name, _)| !declared(name)).collect();
    if missing.is_empty() {
        return Ok(raw.to_owned());
    }
    for (name, uri) in missing {
        start.push_attribute((name.as_str(), uri.as_str()));
    }
    let mut writer = Writer::new(Vec::new());
    let event = if empty {
        Event::Empty(start)
    } else {
        Event::Start(start)
    };
    writer.write_event(event).map_err(ill_formed)?;
    let mut text = String::from_utf8(writer.into_inner()).map_err(|_| Problem::Encoding)?;
    text.push_str(&raw[position(&reader)..]);
    Ok(text)
}
