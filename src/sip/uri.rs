//! URIs (RFC 3261, 19.1; RFC 3859 `pres`; RFC 3966 `tel`), and the one rule that says which presentity a URI names.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use memchr::memchr;

use super::Params;
use super::escape::{normal, same};
use super::uri_parts::{HostPart, UriParts};

/// The scheme of a URI.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip` (RFC 3261, 19.1).
    Sip,
    /// `sips` (RFC 3261, 19.1).
    Sips,
    /// `tel` (RFC 3966).
    Tel,
    /// `pres` (RFC 3859).
    Pres,
    /// `im` (RFC 3860).
    Im,
    /// Any other, in lower case.
    Other(Box<str>),
}

/// The host of a URI or a Via.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A domain name, in lower case.
    Name(Box<str>),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, written in brackets.
    V6(Ipv6Addr),
}

/// Why text is not a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// No `scheme:` in front.
    #[error("no scheme")]
    Scheme,
    /// An empty user before `@`.
    #[error("empty user")]
    User,
    /// No host, or one that is no name and no address.
    #[error("malformed host")]
    Host,
    /// A port that is no number up to 65535.
    #[error("malformed port")]
    Port,
    /// White space, quotes, angle brackets or controls.
    #[error("forbidden character in URI")]
    Character,
    /// `%` without two hexadecimal digits.
    #[error("malformed escape in URI")]
    Escape,
}

/// A URI. `sip`, `sips`, `pres` and `im` are taken apart; of others the text after the scheme is `opaque`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Uri {
    /// The scheme.
    pub scheme: Scheme,
    /// The user, as written: escapes are kept, and so are user parameters (`user;par=u`).
    pub user: Option<String>,
    /// The password after the user, as written.
    pub password: Option<String>,
    /// The host; an empty name when the scheme has none.
    pub host: Host,
    /// The port, when one is written: an explicit default port is not the same as none.
    pub port: Option<u16>,
    /// URI parameters.
    pub params: Params,
    /// What follows `?`, as written.
    pub headers: Option<String>,
    /// What follows the scheme of a URI that is not made of user and host: a telephone number, say.
    pub opaque: Option<Box<str>>,
}

impl UriError {
    /// What is wrong, in words.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Scheme => "no scheme in URI",
            Self::User => "empty user in URI",
            Self::Host => "malformed host in URI",
            Self::Port => "malformed port in URI",
            Self::Character => "forbidden character in URI",
            Self::Escape => "malformed escape in URI",
        }
    }
}

impl Scheme {
    pub(super) fn of(text: &str) -> Option<Self> {
        const KNOWN: [(&str, Scheme); 5] = [
            ("sip", Scheme::Sip),
            ("sips", Scheme::Sips),
            ("tel", Scheme::Tel),
            ("pres", Scheme::Pres),
            ("im", Scheme::Im),
        ];
        if let Some((_, scheme)) = KNOWN
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text))
        {
            return Some(scheme.clone());
        }
        let mut bytes = text.bytes();
        let valid = bytes
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic())
            && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        valid.then(|| Self::Other(text.to_ascii_lowercase().into()))
    }

    /// As it stands before the colon.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sip => "sip",
            Self::Sips => "sips",
            Self::Tel => "tel",
            Self::Pres => "pres",
            Self::Im => "im",
            Self::Other(name) => name,
        }
    }
}

impl Host {
    /// Reads a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn parse(text: &str) -> Option<Self> {
        HostPart::of(text).map(HostPart::to_host)
    }

    /// The address, when it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(address) => Some(IpAddr::V4(*address)),
            Self::V6(address) => Some(IpAddr::V6(*address)),
        }
    }

    /// Splits `host`, `host:port`, `[v6]:port` after the host.
    pub(super) fn split(text: &str) -> (&str, &str) {
        let end = if text.starts_with('[') {
            memchr(b']', text.as_bytes()).map_or(text.len(), |at| at + 1)
        } else {
            memchr(b':', text.as_bytes()).unwrap_or(text.len())
        };
        text.split_at(end)
    }
}

/// A port: digits only, up to 65535.
pub(super) fn port(text: &str) -> Option<u16> {
    super::lex::number(text).and_then(|number| u16::try_from(number).ok())
}

impl Uri {
    /// Reads a whole URI, without angle brackets.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        UriParts::of(text)?.to_uri()
    }

    pub(super) fn opaque(scheme: Scheme, rest: &str) -> Self {
        Self {
            scheme,
            user: None,
            password: None,
            host: Host::Name("".into()),
            port: None,
            params: Params::new(),
            headers: None,
            opaque: Some(rest.into()),
        }
    }

    /// The one name of the presentity or watcher that the URI names, however it is spelled: `sip:user@host`.
    ///
    /// The user keeps its case, and is escaped only where it must be: `%61` is `a` and `%2B` is `+`, but `%00` and `%40` stay,
    /// in capitals. The host is in lower case and without the dot of the root; an IPv4 address that is mapped into IPv6 is
    /// itself. Port, password, parameters and headers are left out: they say how somebody is reached, not who it is. `sips`, `pres` and
    /// `im` name the same as `sip`. A telephone number (`tel`, or `user=phone`) loses its visual separators (RFC 3966, 5) and
    /// parameters but the `phone-context` of a local one. A URI of another scheme stays as it is.
    pub fn aor(&self) -> String {
        self.parts().aor()
    }

    /// The same as [`Uri::aor`], for a client, which has to write it into requests: a port stays unless it is a default one.
    pub fn address(&self) -> String {
        self.parts().address()
    }

    /// Its parts, not copied.
    pub fn parts(&self) -> UriParts<'_> {
        UriParts {
            scheme: self.scheme.clone(),
            user: self.user.as_deref(),
            password: self.password.as_deref(),
            host: (&self.host).into(),
            port: self.port,
            params: self.params.as_str(),
            headers: self.headers.as_deref(),
            opaque: self.opaque.as_deref(),
        }
    }

    /// Whether both name the same resource by the rules of RFC 3261, 19.1.4.
    pub fn equals(&self, other: &Self) -> bool {
        if self.scheme != other.scheme || self.opaque.is_some() {
            return self.scheme == other.scheme && self.aor() == other.aor();
        }
        self.host == other.host
            && self.port == other.port
            && same_option(self.user.as_deref(), other.user.as_deref())
            && same_option(self.password.as_deref(), other.password.as_deref())
            && params_match(&self.params, &other.params)
            && params_match(&other.params, &self.params)
            && headers_match(self.headers.as_deref(), other.headers.as_deref())
    }
}

/// `host` or `host:port`.
pub(super) fn push_host(out: &mut String, host: &Host, port: Option<u16>) {
    use fmt::Write;
    // Writing to a String does not fail.
    let _ = match port {
        Some(port) => write!(out, "{host}:{port}"),
        None => write!(out, "{host}"),
    };
}

fn same_option(one: Option<&str>, two: Option<&str>) -> bool {
    match (one, two) {
        (Some(one), Some(two)) => same(one, two),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// A parameter that both have must agree; of those that one has alone, some matter even at their default. One that stands
/// there twice, as none should (19.1.1), counts by its first value.
fn params_match(one: &Params, two: &Params) -> bool {
    one.iter().all(|(name, _)| match two.get(name) {
        Some(other) => {
            let value = one.get(name).unwrap_or("");
            same(&value.to_ascii_lowercase(), &other.to_ascii_lowercase())
        }
        None => !["user", "ttl", "method", "maddr", "transport"]
            .iter()
            .any(|n| n.eq_ignore_ascii_case(name)),
    })
}

/// The same headers in any order.
fn headers_match(one: Option<&str>, two: Option<&str>) -> bool {
    let list = |headers: Option<&str>| {
        let mut list: Vec<(String, String)> = headers
            .unwrap_or("")
            .split('&')
            .filter(|header| !header.is_empty())
            .map(|header| {
                let (name, value) = header.split_once('=').unwrap_or((header, ""));
                let mut normal_value = String::new();
                normal(value, &mut normal_value);
                (name.to_ascii_lowercase(), normal_value)
            })
            .collect();
        list.sort();
        list
    };
    list(one) == list(two)
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => write!(f, "{address}"),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme)?;
        if let Some(opaque) = &self.opaque {
            return write!(f, "{opaque}{}", self.params);
        }
        if let Some(user) = &self.user {
            f.write_str(user)?;
            if let Some(password) = &self.password {
                write!(f, ":{password}")?;
            }
            f.write_str("@")?;
        }
        write!(f, "{}", self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.params)?;
        match &self.headers {
            Some(headers) => write!(f, "?{headers}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "uri_tests.rs"]
mod tests;
