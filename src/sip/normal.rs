//! The one name of each presentity and watcher, however it is spelled (RFC 3261, 10.3 step 5 and 19.1.4; RFC 3966, 5).
//!
//! Whatever compares names compares what these functions make: see docs/adr/0017.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use super::escape::normal_user;
use super::params::Pairs;
use super::uri_parts::{HostPart, UriParts};
use super::{Scheme, Uri};
use crate::digits::Decimal;

impl<'a> HostPart<'a> {
    /// The one spelling of the host: in lower case, without the dot of the root, an IPv6 address compressed and in brackets,
    /// and an IPv4 address as itself also where it is mapped into IPv6.
    pub(super) fn text(self) -> Cow<'a, str> {
        match self.folded() {
            Self::Name(name) if name.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                Cow::Owned(name.to_ascii_lowercase())
            }
            Self::Name(name) => Cow::Borrowed(name),
            Self::V4(address) => {
                let mut text = String::with_capacity(15);
                push_v4(&mut text, address);
                Cow::Owned(text)
            }
            Self::V6(address) => Cow::Owned(format!("[{address}]")),
        }
    }

    fn push(self, out: &mut String) {
        match self.folded() {
            Self::Name(name) => out.extend(name.chars().map(|c| c.to_ascii_lowercase())),
            Self::V4(address) => push_v4(out, address),
            other @ Self::V6(_) => out.push_str(&other.text()),
        }
    }

    fn folded(self) -> Self {
        match self {
            Self::Name(name) => match name.trim_end_matches('.') {
                // Dots alone are no name, but they are all there is.
                "" => self,
                bare => Self::of(bare).unwrap_or(self),
            },
            Self::V6(address) => address.to_ipv4_mapped().map_or(self, Self::V4),
            Self::V4(_) => self,
        }
    }
}

impl UriParts<'_> {
    /// See [`Uri::aor`].
    pub fn aor(&self) -> String {
        self.named(false)
    }

    /// See [`Uri::address`].
    pub fn address(&self) -> String {
        self.named(true)
    }

    fn named(&self, with_port: bool) -> String {
        let mut name = String::with_capacity(48);
        if let Some(opaque) = self.opaque {
            name.push_str(self.scheme.as_str());
            name.push(':');
            match self.scheme {
                Scheme::Tel => {
                    let context = Pairs::new(self.params).value("phone-context");
                    push_number(opaque, context, &mut name);
                }
                _ => name.push_str(opaque),
            }
            return name;
        }
        name.push_str("sip:");
        if let Some(user) = self.user {
            let (number, params) = user.split_at(user.find(';').unwrap_or(user.len()));
            if self.is_phone(number) {
                push_number(number, Pairs::new(params).value("phone-context"), &mut name);
            } else {
                normal_user(user, &mut name);
            }
            name.push('@');
        }
        self.host.push(&mut name);
        // Both, as `sips` is no part of the name.
        let said = self.port.filter(|port| !matches!(port, 5060 | 5061));
        if let Some(port) = said.filter(|_| with_port) {
            name.push(':');
            name.push_str(Decimal::of(port.into()).as_str());
        }
        name
    }

    /// Whether the user is a telephone number, whose visual separators mean nothing (RFC 3261, 19.1.1). There are phones that
    /// say so of every user.
    fn is_phone(&self, user: &str) -> bool {
        let said = || Pairs::new(self.params).value("user");
        let is_number = || {
            let plain = lowered(user).replace("%23", "#");
            plain.chars().any(|c| c.is_ascii_digit())
                && plain
                    .chars()
                    .all(|c| c.is_ascii_digit() || is_separator(c) || matches!(c, '+' | '*' | '#'))
        };
        !self.params.is_empty()
            && said().is_some_and(|user| user.eq_ignore_ascii_case("phone"))
            && is_number()
    }
}

/// A number without its visual separators, and the context that a local one is good in. Other parameters say how to call.
fn push_number(number: &str, context: Option<&str>, out: &mut String) {
    let plain = lowered(number);
    let digits: String = plain.chars().filter(|c| !is_separator(*c)).collect();
    // Separators alone are no number, but they are all there is.
    let digits = if digits.is_empty() { plain } else { digits };
    out.push_str(&digits);
    if let Some(context) = context.filter(|_| !digits.starts_with('+')) {
        out.push_str(";phone-context=");
        out.push_str(lowered(context).trim_end_matches('.'));
    }
}

const fn is_separator(c: char) -> bool {
    matches!(c, '-' | '.' | '(' | ')')
}

/// In lower case but for the digits of escapes, which are in capitals.
fn lowered(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    normal_user(text, &mut plain);
    plain.make_ascii_lowercase();
    let mut lowered = String::with_capacity(plain.len());
    normal_user(&plain, &mut lowered);
    lowered
}

fn push_v4(out: &mut String, address: Ipv4Addr) {
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            out.push('.');
        }
        out.push_str(Decimal::of(octet.into()).as_str());
    }
}

/// The name that a text stands for which was written as a name, perhaps by an older version; itself, if it is no URI.
pub fn normal_name(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    match Uri::parse(text).map(|uri| uri.aor()) {
        Ok(name) if name != text => Cow::Owned(name),
        Ok(_) | Err(_) => Cow::Borrowed(text),
    }
}

/// Whether a text is surely a name already, as nearly all are.
fn is_plain(text: &str) -> bool {
    let own = text
        .strip_prefix("sip:")
        .and_then(|rest| rest.split_once('@'));
    own.is_some_and(|(user, host)| {
        let is_user = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'+');
        let is_host =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
        !user.is_empty()
            && user.bytes().all(is_user)
            && host.bytes().all(is_host)
            && !host.ends_with('.')
    })
}

/// A user part in its one spelling, without blanks, quotes, line ends or bytes beyond ASCII.
pub fn plain_user(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    normal_user(text, &mut plain);
    plain
}

/// The name of an account: `user`, or `user@host` where it brings its own, else in `home`. Its user is plain text or escaped
/// as in a URI; one that a phone writes `%2B1` and one that is `+1` are the same.
pub fn account_name(account: &str, home: &str) -> String {
    let (user, host) = account.rsplit_once('@').unwrap_or((account, home));
    let mut name = String::with_capacity(5 + user.len() + host.len());
    name.push_str("sip:");
    normal_user(user, &mut name);
    name.push('@');
    name.push_str(&domain(host));
    name
}

/// The one spelling of a domain or an address, which may stand in brackets or not. Of a text that is neither, as a realm may
/// be, what no host can have becomes `-`.
pub fn domain(text: &str) -> Cow<'_, str> {
    if let Some(host) = HostPart::of(text) {
        return host.text();
    }
    if let Ok(IpAddr::V6(address)) = text.parse() {
        return Cow::Owned(HostPart::V6(address).text().into_owned());
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let host: String = text
        .chars()
        .map(|c| if fits(c) { c.to_ascii_lowercase() } else { '-' })
        .collect();
    Cow::Owned(host)
}

/// A telephone number's name as one in this domain, as it is for whoever serves the domain (RFC 3261, 19.1.6). Other names
/// stay.
pub fn at_home(name: String, home: Option<&str>) -> String {
    match (name.strip_prefix("tel:"), home) {
        (Some(number), Some(home)) => format!("sip:{number}@{home}"),
        _ => name,
    }
}

/// Whom a name names in its domain: what stands before the `@`, or the number.
pub fn user_of(name: &str) -> &str {
    let own = name.split_once(':').map_or(name, |(_, own)| own);
    own.rsplit_once('@').map_or(own, |(user, _)| user)
}

/// The domain that a name is in, if it is in one.
pub fn host_of(name: &str) -> Option<&str> {
    name.rsplit_once('@').map(|(_, host)| host)
}

#[cfg(test)]
#[path = "normal_tests.rs"]
mod tests;
