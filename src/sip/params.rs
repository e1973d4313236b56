//! `;name=value` lists, as they follow URIs, addresses, Vias and events (RFC 3261, 25.1: generic-param).

use std::borrow::Cow;
use std::fmt;

use super::lex::{cut, find_unquoted, is_balanced, trim_text, unquote};

/// Parameters in the order they were written. Names are compared without regard to case; a quoted value keeps its quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Params {
    /// The normal text, `;a=b;c`, with no white space around names and values. One string instead of a list of pairs:
    /// parameters are few and read once or twice.
    text: String,
}

/// Goes through parameters where they stand, without a copy.
#[derive(Clone)]
pub(super) struct Pairs<'a> {
    rest: &'a str,
}

impl<'a> Pairs<'a> {
    /// `text` is empty or begins with `;`, perhaps after white space.
    pub(super) const fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// The value of the first parameter of that name, as written; empty for one without a value.
    pub(super) fn value(mut self, name: &str) -> Option<&'a str> {
        self.find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.unwrap_or(""))
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, Option<&'a str>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let text = trim_text(self.rest).strip_prefix(';')?;
            let (pair, rest) = text.split_at(find_unquoted(text.as_bytes(), b';'));
            self.rest = rest;
            let (name, value) = match cut(pair, b'=') {
                Some((name, value)) => (trim_text(name), Some(trim_text(value))),
                None => (trim_text(pair), None),
            };
            if !name.is_empty() {
                return Some((name, value));
            }
        }
    }
}

/// Whether parameters, without the white space around them, are already as they are printed: nearly always.
pub(super) fn is_normal(text: &[u8]) -> bool {
    let mut before = b'=';
    for &byte in text {
        let empty_name = before == b';' && matches!(byte, b';' | b'=');
        if empty_name || matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'"') {
            return false;
        }
        before = byte;
    }
    before != b';'
}

impl Params {
    /// No parameters.
    pub const fn new() -> Self {
        Self {
            text: String::new(),
        }
    }

    /// Reads a list: empty, or beginning with `;`. None when it begins otherwise or a quoted value does not end.
    pub fn parse(text: &str) -> Option<Self> {
        let text = trim_text(text);
        if !(text.is_empty() || text.starts_with(';')) || !is_balanced(text) {
            return None;
        }
        if is_normal(text.as_bytes()) {
            return Some(Self {
                text: text.to_owned(),
            });
        }
        let mut params = Self {
            text: String::with_capacity(text.len()),
        };
        for (name, value) in Pairs::new(text) {
            params.push(name, value);
        }
        Some(params)
    }

    /// The value of the first parameter of that name, as written; empty for one without a value.
    pub fn get(&self, name: &str) -> Option<&str> {
        Pairs::new(&self.text).value(name)
    }

    /// As [`Params::get`], with quotes taken off.
    pub fn unquoted(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).map(unquote)
    }

    /// Whether there is a parameter of that name.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        Pairs::new(&self.text)
    }

    /// Replaces the first parameter of that name in its place and drops others of it, or adds one at the end. The value
    /// is a token, a host or a quoted string: whoever sets it quotes it.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        let mut changed = Self {
            text: String::with_capacity(self.text.len() + name.len() + 8),
        };
        let mut done = false;
        for (known, old) in self.iter() {
            if !known.eq_ignore_ascii_case(name) {
                changed.push(known, old);
            } else if !done {
                changed.push(name, value);
                done = true;
            }
        }
        if !done {
            changed.push(name, value);
        }
        *self = changed;
    }

    /// Takes every parameter of that name away.
    pub fn remove(&mut self, name: &str) {
        let mut changed = Self {
            text: String::with_capacity(self.text.len()),
        };
        for (known, value) in self
            .iter()
            .filter(|(known, _)| !known.eq_ignore_ascii_case(name))
        {
            changed.push(known, value);
        }
        *self = changed;
    }

    /// The text as it is printed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn push(&mut self, name: &str, value: Option<&str>) {
        self.text.push(';');
        self.text.push_str(name);
        if let Some(value) = value {
            self.text.push('=');
            self.text.push_str(value);
        }
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> Params {
        Params::parse(text).expect("parameters")
    }

    #[test]
    fn white_space_around_names_and_values_goes_and_order_stays() {
        let read = params(" ; tag = 5 ;ob;; Q=0.3");
        assert_eq!(read.as_str(), ";tag=5;ob;Q=0.3");
        assert_eq!(
            read.iter().collect::<Vec<_>>(),
            [("tag", Some("5")), ("ob", None), ("Q", Some("0.3"))]
        );
    }

    #[test]
    fn names_have_no_case_and_no_value_is_an_empty_one() {
        let read = params(";Branch=z9;LR;empty=");
        assert_eq!(read.get("branch"), Some("z9"));
        assert_eq!(read.get("lr"), Some(""));
        assert_eq!(read.get("EMPTY"), Some(""));
        assert_eq!(read.get("none"), None);
    }

    #[test]
    fn separators_inside_quotes_and_colons_belong_to_the_value() {
        let read = params(r#";x="a;b,\"c=d";gr=urn:uuid:1-2;y=1"#);
        assert_eq!(read.get("x"), Some(r#""a;b,\"c=d""#));
        assert_eq!(read.unquoted("x").as_deref(), Some(r#"a;b,"c=d"#));
        assert_eq!(read.get("gr"), Some("urn:uuid:1-2"));
        assert_eq!(read.get("y"), Some("1"));
    }

    #[test]
    fn what_does_not_end_or_begin_well_is_refused() {
        assert_eq!(Params::parse(r#";x="a"#), None);
        assert_eq!(Params::parse("x=1"), None);
        assert_eq!(Params::parse("  "), Some(Params::new()));
    }

    #[test]
    fn setting_replaces_in_place_and_removing_takes_all() {
        let mut read = params(";a;RPORT;b=2;rport");
        read.set("rport", Some("5062"));
        assert_eq!(read.as_str(), ";a;rport=5062;b=2");
        read.set("received", Some("::1"));
        assert_eq!(read.as_str(), ";a;rport=5062;b=2;received=::1");
        read.remove("B");
        assert_eq!(read.as_str(), ";a;rport=5062;received=::1");
    }
}
