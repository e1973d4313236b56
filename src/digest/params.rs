//! `Digest name=value, …`: what stands in challenges and credentials (RFC 7616, 3.3, 3.4; RFC 3261, 25.1).

use std::fmt::Write as _;

/// The parameters, in order. Names are lower-case, values unquoted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads the value of a header; `None` if it is of another scheme, malformed, or has a parameter twice. Control
    /// characters are malformed even between quotes (RFC 3261, 25.1): what was read may be sent back.
    pub fn parse(value: &str) -> Option<Self> {
        if value.chars().any(|c| c.is_control() && c != '\t') {
            return None;
        }
        let (scheme, mut rest) = value.trim().split_once([' ', '\t'])?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let mut params = Self::default();
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                return Some(params);
            }
            let (name, after) = rest.split_once('=')?;
            let name = name.trim().to_ascii_lowercase();
            let after = after.trim_start();
            let value = match after.strip_prefix('"') {
                Some(quoted) => {
                    let (value, end) = unquote(quoted)?;
                    rest = quoted.get(end..)?;
                    value
                }
                None => {
                    let end = after.find([',', ' ', '\t']).unwrap_or(after.len());
                    rest = &after[end..];
                    after[..end].to_owned()
                }
            };
            let more = rest.trim_start();
            if name.is_empty()
                || params.get(&name).is_some()
                || !(more.is_empty() || more.starts_with(','))
            {
                return None;
            }
            params.0.push((name, value));
        }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| &**value)
    }
}

/// Reads up to the closing quote; gives the text and the position after the quote.
fn unquote(text: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, at + 1)),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// Writes a header value.
#[derive(Debug)]
pub(super) struct Writer(String);

impl Writer {
    pub fn new() -> Self {
        Self("Digest ".to_owned())
    }

    pub fn token(&mut self, name: &str, value: &str) -> &mut Self {
        self.separate();
        // Writing to a string does not fail.
        let _ = write!(self.0, "{name}={value}");
        self
    }

    pub fn quoted(&mut self, name: &str, value: &str) -> &mut Self {
        self.separate();
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
        let _ = write!(self.0, "{name}=\"{escaped}\"");
        self
    }

    pub fn finish(self) -> String {
        self.0
    }

    fn separate(&mut self) {
        if !self.0.ends_with(' ') {
            self.0.push_str(", ");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_malformed_also_between_quotes() {
        for nonce in ["n\0", "n\u{1b}[2J", "n\u{7f}"] {
            let value = format!("Digest realm=\"b\", nonce=\"{nonce}\"");
            assert_eq!(Params::parse(&value), None, "{nonce:?}");
        }
        let value = "Digest realm=\"b\",\tnonce=\"a\tb\"";
        let params = Params::parse(value).expect("a tab is white space");
        assert_eq!(params.get("nonce"), Some("a\tb"));
    }
}
