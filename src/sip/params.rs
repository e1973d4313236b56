//! `;name=value` lists, as they follow URIs, addresses, Vias and events (RFC 3261, 25.1: generic-param).

use std::borrow::Cow;
use std::fmt;

/// Parameters in the order they were written. Names are compared without regard to case; a quoted value keeps its quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Params {
    /// The normal text, `;a=b;c`, with no white space around names and values. One string instead of a list of pairs:
    /// parameters are read once or twice and there are few of them.
    text: String,
}

impl Params {
    /// No parameters.
    pub const fn new() -> Self {
        Self {
            text: String::new(),
        }
    }

    /// Reads a list: empty, or beginning with `;`. None when a quoted value does not end.
    pub fn parse(text: &str) -> Option<Self> {
        let _ = text;
        todo!()
    }

    /// The value of the first parameter of that name, as written; empty for one without a value.
    pub fn get(&self, name: &str) -> Option<&str> {
        let _ = name;
        todo!()
    }

    /// As [`Params::get`], with quotes taken off.
    pub fn unquoted(&self, name: &str) -> Option<Cow<'_, str>> {
        let _ = name;
        todo!()
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
        std::iter::empty()
    }

    /// Replaces the parameter in its place, or adds it at the end.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        let _ = (name, value);
        todo!()
    }

    /// Takes the parameter away.
    pub fn remove(&mut self, name: &str) {
        let _ = name;
        todo!()
    }

    /// The text as it is printed.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
