//! Addresses as in From, To, Contact, Route and Record-Route (RFC 3261, 20.10 and 25.1: name-addr, addr-spec).

use std::fmt;

use memchr::memchr;

use super::lex::{cut, is_balanced, quoted_end, seconds, trim_text, unquote};
use super::params::Pairs;
use super::uri::Scheme;
use super::{Params, Uri, UriParts};

/// An address with its parameters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NameAddr {
    /// The display name as written, quotes included.
    pub display: Option<String>,
    /// The URI. Of `*` it means nothing.
    pub uri: Uri,
    /// Parameters of the header, not of the URI.
    pub params: Params,
    wildcard: bool,
}

/// An address where it stands.
pub(super) struct Parts<'a> {
    pub(super) display: &'a str,
    pub(super) uri: &'a str,
    pub(super) params: &'a str,
}

impl<'a> Parts<'a> {
    pub(super) fn of(text: &'a str) -> Result<Self, &'static str> {
        let text = trim_text(text);
        let bytes = text.as_bytes();
        let open = if text.starts_with('"') {
            let end = quoted_end(bytes, 0).ok_or("unterminated quoted string")?;
            end + memchr(b'<', &bytes[end..]).ok_or("no address after the display name")?
        } else {
            // Behind `:` or `;` a bracket belongs to a parameter of an address that itself has no brackets.
            match memchr(b'<', bytes) {
                Some(open) if !bytes[..open].iter().any(|b| matches!(b, b':' | b';')) => open,
                _ => return Self::of_plain(text),
            }
        };
        let display = trim_text(&text[..open]);
        if !is_balanced(display) {
            return Err("unterminated quoted string");
        }
        let (uri, params) = cut(&text[open + 1..], b'>').ok_or("no closing angle bracket")?;
        Self {
            display,
            uri: trim_text(uri),
            params: trim_text(params),
        }
        .checked()
    }

    /// Without brackets, what follows the first `;` belongs to the header (RFC 3261, 20.10).
    fn of_plain(text: &'a str) -> Result<Self, &'static str> {
        let (uri, params) = text.split_at(memchr(b';', text.as_bytes()).unwrap_or(text.len()));
        Self {
            display: "",
            uri: trim_text(uri),
            params,
        }
        .checked()
    }

    fn checked(self) -> Result<Self, &'static str> {
        if self.uri.is_empty() {
            return Err("no address");
        }
        if !(self.params.is_empty() || self.params.starts_with(';')) {
            return Err("text after the address");
        }
        if !is_balanced(self.params) {
            return Err("unterminated quoted string");
        }
        Ok(self)
    }

    /// The `tag` parameter.
    pub(super) fn tag(&self) -> Option<&'a str> {
        Pairs::new(self.params)
            .value("tag")
            .filter(|tag| !tag.is_empty())
    }
}

/// Whether a text is one address, and its `tag` parameter; `Err` says in words what is wrong.
pub(super) fn check(text: &str) -> Result<Option<&str>, &'static str> {
    if trim_text(text) == "*" {
        return Err("no scheme in URI");
    }
    let parts = Parts::of(text)?;
    UriParts::of(parts.uri).map_err(super::UriError::reason)?;
    Ok(parts.tag())
}

impl NameAddr {
    /// An address without display name and parameters.
    pub const fn new(uri: Uri) -> Self {
        Self {
            display: None,
            uri,
            params: Params::new(),
            wildcard: false,
        }
    }

    /// Reads one address; `Err` says in words what is wrong.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if trim_text(text) == "*" {
            let uri = Uri::opaque(Scheme::Other("*".into()), "");
            return Ok(Self {
                wildcard: true,
                ..Self::new(uri)
            });
        }
        let parts = Parts::of(text)?;
        Ok(Self {
            display: Some(parts.display)
                .filter(|display| !display.is_empty())
                .map(str::to_owned),
            uri: Uri::parse(parts.uri).map_err(super::UriError::reason)?,
            params: Params::parse(parts.params).ok_or("malformed parameters")?,
            wildcard: false,
        })
    }

    /// The `tag` parameter, when it has a value.
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }

    /// Whether this is `*`, "all my contacts" (RFC 3261, 10.2.2).
    pub const fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// The `q` parameter in thousandths; None when it is absent or not between 0 and 1.
    pub fn q(&self) -> Option<u16> {
        let text = self.params.get("q")?;
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let thousandths = fraction.bytes().chain(std::iter::repeat(b'0')).take(3);
        let fraction = thousandths.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        match (whole, fraction) {
            ("0" | "", fraction) => Some(fraction),
            ("1", 0) => Some(1000),
            _ => None,
        }
    }

    /// The `expires` parameter of a Contact. A malformed one counts as 3600 (RFC 3261, 20.10).
    pub fn expires(&self) -> Option<u32> {
        self.params
            .get("expires")
            .map(|text| seconds(text).unwrap_or(3600))
    }

    /// The display name without its quotes.
    pub fn display_text(&self) -> Option<String> {
        self.display
            .as_deref()
            .map(|display| unquote(display).into_owned())
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.wildcard {
            return f.write_str("*");
        }
        if let Some(display) = &self.display {
            write!(f, "{display} ")?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> NameAddr {
        NameAddr::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn white_space_around_the_parameters_of_an_address_is_allowed() {
        for text in [
            "<sip:a@h> ;tag=4",
            "<sip:a@h>; tag=4",
            "<sip:a@h>;tag = 4",
            " <sip:a@h>\t; tag= 4 ",
        ] {
            assert_eq!(address(text).tag(), Some("4"), "{text}");
            assert_eq!(address(text).to_string(), "<sip:a@h>;tag=4");
        }
    }

    #[test]
    fn without_brackets_parameters_are_those_of_the_header() {
        let read = address("sip:a@h;tag=1;x");
        assert_eq!(
            (read.uri.params.as_str(), read.params.as_str()),
            ("", ";tag=1;x")
        );
        let read = address("<sip:a@h;x>;tag=1");
        assert_eq!(
            (read.uri.params.as_str(), read.params.as_str()),
            (";x", ";tag=1")
        );
    }

    #[test]
    fn a_display_name_may_hold_anything_in_quotes() {
        let read = address(r#""Bob <the, \"B\">; x" <sip:b@h>;tag=2"#);
        assert_eq!(read.display.as_deref(), Some(r#""Bob <the, \"B\">; x""#));
        assert_eq!(read.display_text().as_deref(), Some(r#"Bob <the, "B">; x"#));
        assert_eq!(read.tag(), Some("2"));
        assert_eq!(
            address("Bob B.<sip:b@h>").display.as_deref(),
            Some("Bob B.")
        );
    }

    #[test]
    fn a_bracket_in_a_parameter_does_not_open_an_address() {
        let read = address(r#"sip:a@h;x="<sip:b@h>""#);
        assert_eq!(read.uri.to_string(), "sip:a@h");
        assert_eq!(read.params.get("x"), Some(r#""<sip:b@h>""#));
    }

    #[test]
    fn a_star_is_all_contacts_and_prints_as_a_star() {
        let read = address(" * ");
        assert!(read.is_wildcard());
        assert_eq!(read.to_string(), "*");
        assert!(!address("<sip:*@h>").is_wildcard());
    }

    #[test]
    fn a_telephone_number_keeps_its_plus() {
        assert_eq!(
            address("<tel:+1234>;tag=x").to_string(),
            "<tel:+1234>;tag=x"
        );
    }

    #[test]
    fn what_is_no_address_is_refused_in_words() {
        for (text, reason) in [
            ("", "no address"),
            ("<>", "no address"),
            (r#""Mr. J <sip:a@h>"#, "unterminated quoted string"),
            (r#""Mr. J" sip:a@h"#, "no address after the display name"),
            ("<sip:a@h", "no closing angle bracket"),
            ("<sip:a@h> x", "text after the address"),
            (r#"<sip:a@h>;x="y"#, "unterminated quoted string"),
            ("alice", "no scheme in URI"),
        ] {
            assert_eq!(NameAddr::parse(text), Err(reason), "{text}");
        }
    }

    #[test]
    fn preference_is_in_thousandths() {
        for (text, q) in [
            ("0.33", Some(330)),
            ("1", Some(1000)),
            ("1.000", Some(1000)),
            ("0", Some(0)),
            (".5", Some(500)),
            ("1.1", None),
            ("2", None),
            ("x", None),
            ("0.1234", None),
        ] {
            assert_eq!(address(&format!("<sip:a@h>;q={text}")).q(), q, "{text}");
        }
        assert_eq!(address("<sip:a@h>").q(), None);
    }

    #[test]
    fn a_malformed_lifetime_of_a_contact_is_an_hour() {
        assert_eq!(address("<sip:a@h>;expires=60").expires(), Some(60));
        assert_eq!(address("<sip:a@h>;expires=soon").expires(), Some(3600));
        assert_eq!(
            address("<sip:a@h>;expires=99999999999").expires(),
            Some(u32::MAX)
        );
        assert_eq!(address("<sip:a@h>").expires(), None);
    }
}
