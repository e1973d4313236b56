//! Takes a document apart into the children of its root.

use quick_xml::Reader;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::super::frame::MAX_DEPTH;
use super::document::{Document, passed_through};
use super::{Problem, bad, ill_formed, is_name, is_xml_char, shortened};
use crate::pidf::parse_moment;
use crate::time::Timestamp;

/// A child of the root element.
pub(super) struct Field {
    pub name: String,
    /// `lang` or `xml:lang`.
    pub lang: Option<String>,
    /// The text, entities resolved, without what stands in elements inside.
    pub text: String,
    /// Of `<presence>`: the whole element.
    pub document: Option<Document>,
}

/// The children of the root, in order.
#[derive(Default)]
pub(super) struct Fields(pub Vec<Field>);

impl Fields {
    /// Takes the document apart. What was read before a fault stays.
    pub(super) fn collect<'a>(&mut self, document: &'a [u8]) -> Result<&'a str, Problem> {
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
            match reader.read_event().map_err(ill_formed)? {
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

    pub(super) fn kind(&self) -> Option<String> {
        let field = self.0.iter().find(|field| field.name == "type")?;
        let kind = field.text.trim().to_ascii_uppercase();
        (!kind.is_empty()).then_some(kind)
    }

    pub(super) fn presence_seq(&self) -> Option<u64> {
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

    /// The text of an element that may stand there once; empty is as good as absent, so that a script may leave a
    /// variable empty.
    pub(super) fn single(&self, name: &'static str) -> Result<Option<&str>, Problem> {
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

    pub(super) fn owned(&self, name: &'static str) -> Result<Option<String>, Problem> {
        Ok(self.single(name)?.map(str::to_owned))
    }

    pub(super) fn number<N: std::str::FromStr>(
        &self,
        name: &'static str,
    ) -> Result<Option<N>, Problem> {
        let Some(value) = self.single(name)? else {
            return Ok(None);
        };
        value
            .parse()
            .map(Some)
            .map_err(|_| bad(name, value, "a whole number that is not too large"))
    }

    pub(super) fn name(
        &self,
        name: &'static str,
        allowed: &'static str,
    ) -> Result<Option<String>, Problem> {
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

    pub(super) fn date(&self, name: &'static str) -> Result<Option<Timestamp>, Problem> {
        let Some(value) = self.single(name)? else {
            return Ok(None);
        };
        let allowed = "a date such as 2026-11-23T09:00:00Z (RFC 3339)";
        parse_moment(value)
            .map(Some)
            .ok_or_else(|| bad(name, value, allowed))
    }
}

pub(super) fn position(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
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

fn value(attribute: &Attribute) -> Result<String, Problem> {
    let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0);
    Ok(value.map_err(ill_formed)?.into_owned())
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
pub(super) fn namespace_declarations(start: &BytesStart) -> Result<Vec<(String, String)>, Problem> {
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
