//! Attributes and references (XML 1.0, 3.1, 3.3.3, 4.1), and the XML declaration (2.8).

use std::borrow::Cow;

use super::chars::{is_char, is_space_byte};
use super::markup::instruction_end;
use crate::pidf::{Fault, PidfError};

/// One attribute of the element that began last; namespace declarations are not among them.
#[derive(Clone, Copy, Debug)]
pub struct Attribute<'a> {
    /// The prefix; empty if there is none.
    pub prefix: &'a str,
    /// The local name.
    pub local: &'a str,
    /// The value as written.
    pub raw: &'a str,
    /// Where the value begins.
    pub at: usize,
    /// Where the prefix is declared, for [`Scanner::declared`](super::Scanner::declared).
    pub declared: usize,
}

impl<'a> Attribute<'a> {
    /// The value as meant.
    pub fn value(&self) -> Cow<'a, str> {
        expand(self.raw)
    }
}

/// Reads `name = "value"` one after the other.
#[derive(Debug)]
pub(super) struct RawAttributes<'a> {
    /// What stands in the tag after the name.
    pub text: &'a str,
    /// How far it is read.
    pub at: usize,
}

/// One `name = "value"`; positions are relative to the text.
#[derive(Debug)]
pub(super) struct RawAttribute<'a> {
    pub name: &'a str,
    pub name_at: usize,
    pub value: &'a str,
    pub value_at: usize,
}

impl<'a> RawAttributes<'a> {
    /// The next one; `None` at the end; an error if there is something else.
    pub fn next(&mut self) -> Result<Option<RawAttribute<'a>>, ()> {
        let name_at = self.skip_space(self.at);
        if name_at == self.text.len() {
            return Ok(None);
        }
        if name_at == self.at {
            return Err(());
        }
        let bytes = self.text.as_bytes();
        let length = bytes[name_at..]
            .iter()
            .position(|byte| matches!(byte, b'=' | b' ' | b'\t' | b'\r' | b'\n'));
        let name_end = name_at + length.ok_or(())?;
        let equals = self.skip_space(name_end);
        if bytes.get(equals) != Some(&b'=') {
            return Err(());
        }
        let quote_at = self.skip_space(equals + 1);
        let quote = *bytes
            .get(quote_at)
            .filter(|byte| matches!(byte, b'"' | b'\''))
            .ok_or(())?;
        let value_at = quote_at + 1;
        let value_end = value_at + memchr::memchr(quote, &bytes[value_at..]).ok_or(())?;
        self.at = value_end + 1;
        let (name, value) = (
            &self.text[name_at..name_end],
            &self.text[value_at..value_end],
        );
        Ok(Some(RawAttribute {
            name,
            name_at,
            value,
            value_at,
        }))
    }

    fn skip_space(&self, from: usize) -> usize {
        let space = self.text.as_bytes()[from..]
            .iter()
            .take_while(|byte| is_space_byte(**byte))
            .count();
        from + space
    }
}

/// The character that a reference stands for: what is between `&` and `;`.
pub(super) fn resolve(reference: &str) -> Result<char, Fault> {
    let number = match reference {
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "amp" => return Ok('&'),
        "apos" => return Ok('\''),
        "quot" => return Ok('"'),
        _ => reference.strip_prefix('#').ok_or(Fault::Entity)?,
    };
    let (digits, radix) = match number.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    // `from_str_radix` would also read a sign.
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(Fault::Entity);
    }
    let code = u32::from_str_radix(digits, radix).map_err(|_| Fault::Character)?;
    char::from_u32(code)
        .filter(|character| is_char(*character))
        .ok_or(Fault::Character)
}

/// Checks an attribute value: no `<`, only references that can be resolved. An error carries its position in the value.
pub(super) fn check_value(value: &str) -> Result<(), (usize, Fault)> {
    let bytes = value.as_bytes();
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'<', b'&', &bytes[at..]) {
        at += found;
        if bytes[at] == b'<' {
            return Err((at, Fault::Attribute));
        }
        let length = memchr::memchr(b';', &bytes[at..]).ok_or((at, Fault::Unfinished))?;
        resolve(&value[at + 1..at + length]).map_err(|fault| (at, fault))?;
        at += length + 1;
    }
    Ok(())
}

/// A checked attribute value as meant: references resolved, white space as spaces (3.3.3).
pub(super) fn expand(raw: &str) -> Cow<'_, str> {
    // All below the blank, or `&`: seen without a branch for each byte.
    let meant_otherwise = |byte: u8| (byte < b' ') | (byte == b'&');
    if !raw
        .bytes()
        .fold(false, |found, byte| found | meant_otherwise(byte))
    {
        return Cow::Borrowed(raw);
    }
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find(['&', '\t', '\r', '\n']) {
        value.push_str(&rest[..at]);
        rest = &rest[at..];
        let reference = rest.strip_prefix('&').and_then(|rest| rest.split_once(';'));
        rest = match reference.and_then(|(name, after)| Some((resolve(name).ok()?, after))) {
            Some((character, after)) => {
                value.push(character);
                after
            }
            None => {
                value.push(' ');
                // A line break of two characters is one.
                rest.strip_prefix("\r\n").unwrap_or(&rest[1..])
            }
        };
    }
    value.push_str(rest);
    Cow::Owned(value)
}

/// Reads the XML declaration if the document begins with one, and says whether its version is 1.0.
///
/// Other 1.x versions are read as 1.0 (2.8). Other encodings than UTF-8 are refused by name, before their octets are
/// looked at, so that the publisher learns the reason.
pub(super) fn check_declaration(bytes: &[u8]) -> Result<bool, PidfError> {
    let malformed = || PidfError::Malformed {
        fault: Fault::Declaration,
        at: 0,
    };
    let Some(rest) = bytes.strip_prefix(b"<?xml") else {
        return Ok(true);
    };
    if !rest
        .first()
        .is_some_and(|byte| *byte == b'?' || is_space_byte(*byte))
    {
        // An instruction whose target only begins so, such as `xml-stylesheet`.
        return Ok(true);
    }
    let end = instruction_end(rest).ok_or_else(malformed)?;
    let text = std::str::from_utf8(&rest[..end]).map_err(|_| malformed())?;
    let mut attributes = RawAttributes { text, at: 0 };
    let mut next = || attributes.next().map_err(|()| malformed());
    let version = next()?
        .filter(|attribute| attribute.name == "version")
        .ok_or_else(malformed)?
        .value;
    let minor = version.strip_prefix("1.").ok_or_else(malformed)?;
    if minor.is_empty() || !minor.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed());
    }
    let mut following = next()?;
    if let Some(encoding) = following
        .as_ref()
        .filter(|attribute| attribute.name == "encoding")
    {
        let name = encoding.value;
        let ascii = name.eq_ignore_ascii_case("us-ascii") && bytes.is_ascii();
        if !ascii && !name.eq_ignore_ascii_case("utf-8") {
            return Err(PidfError::Encoding(name.chars().take(40).collect()));
        }
        following = next()?;
    }
    if let Some(standalone) = following
        && (standalone.name != "standalone"
            || !matches!(standalone.value, "yes" | "no")
            || next()?.is_some())
    {
        return Err(malformed());
    }
    Ok(version == "1.0")
}
