//! A URI where it stands, read and checked without a copy (RFC 3261, 19.1).

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use memchr::memchr;

use super::escape::are_valid;
use super::lex::{cut, is_balanced};
use super::params::is_normal;
use super::uri::{Scheme, port};
use super::{Host, Params, Uri, UriError};

/// A host where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostPart<'a> {
    Name(&'a str),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// A URI where it stands: what [`Uri`] holds, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UriParts<'a> {
    /// The scheme.
    pub scheme: Scheme,
    pub(super) user: Option<&'a str>,
    pub(super) password: Option<&'a str>,
    pub(super) host: HostPart<'a>,
    pub(super) port: Option<u16>,
    pub(super) params: &'a str,
    pub(super) headers: Option<&'a str>,
    pub(super) opaque: Option<&'a str>,
}

impl<'a> HostPart<'a> {
    /// Reads a name, an IPv4 address, or an IPv6 address in brackets.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            return inner.strip_suffix(']')?.parse().ok().map(Self::V6);
        }
        if text.is_empty() {
            return None;
        }
        // Underscores are forbidden in names, and in use.
        if !text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        {
            return None;
        }
        // No top-level domain begins with a digit, so this saves most names a vain attempt.
        match text.ends_with(|last: char| last.is_ascii_digit()) {
            true => Some(text.parse().map_or(Self::Name(text), Self::V4)),
            false => Some(Self::Name(text)),
        }
    }

    pub(super) fn to_host(self) -> Host {
        match self {
            Self::Name(name) => Host::Name(name.to_ascii_lowercase().into()),
            Self::V4(address) => Host::V4(address),
            Self::V6(address) => Host::V6(address),
        }
    }
}

impl<'a> From<&'a Host> for HostPart<'a> {
    fn from(host: &'a Host) -> Self {
        match host {
            Host::Name(name) => Self::Name(name),
            Host::V4(address) => Self::V4(*address),
            Host::V6(address) => Self::V6(*address),
        }
    }
}

impl<'a> UriParts<'a> {
    /// Reads a whole URI, without angle brackets.
    pub fn of(text: &'a str) -> Result<Self, UriError> {
        // Without a branch for each byte, so that many are looked at at once.
        let forbidden = |b: u8| (b <= b' ') | (b == 0x7f) | (b == b'<') | (b == b'>') | (b == b'"');
        if text
            .bytes()
            .fold(false, |found, byte| found | forbidden(byte))
        {
            return Err(UriError::Character);
        }
        let (scheme, rest) = cut(text, b':').ok_or(UriError::Scheme)?;
        let scheme = Scheme::of(scheme).ok_or(UriError::Scheme)?;
        match scheme {
            Scheme::Sip | Scheme::Sips | Scheme::Pres | Scheme::Im => {
                Self::user_and_host(scheme, rest)
            }
            Scheme::Tel => {
                let at = memchr(b';', rest.as_bytes()).unwrap_or(rest.len());
                Self::opaque(scheme, &rest[..at], &rest[at..])
            }
            Scheme::Other(_) => Self::opaque(scheme, rest, ""),
        }
    }

    fn user_and_host(scheme: Scheme, text: &'a str) -> Result<Self, UriError> {
        if !are_valid(text) {
            return Err(UriError::Escape);
        }
        // Neither `;` nor `?` ends the user, but `@` does: `user;par=u@host` has a user with a parameter in it.
        let (user, password, text) = match cut(text, b'@') {
            Some((info, text)) => match cut(info, b':') {
                Some((user, password)) => (Some(user), Some(password), text),
                None => (Some(info), None, text),
            },
            None => (None, None, text),
        };
        if user == Some("") {
            return Err(UriError::User);
        }
        let (text, headers) = match cut(text, b'?') {
            Some((text, headers)) => (text, Some(headers)),
            None => (text, None),
        };
        let (hostport, params) = text.split_at(memchr(b';', text.as_bytes()).unwrap_or(text.len()));
        let (host, rest) = Host::split(hostport);
        let port = match rest.strip_prefix(':') {
            Some(digits) => Some(port(digits).ok_or(UriError::Port)?),
            None if rest.is_empty() => None,
            None => return Err(UriError::Host),
        };
        let host = HostPart::of(host).ok_or(UriError::Host)?;
        Self {
            scheme,
            user,
            password,
            host,
            port,
            params,
            headers,
            opaque: None,
        }
        .checked()
    }

    fn opaque(scheme: Scheme, rest: &'a str, params: &'a str) -> Result<Self, UriError> {
        Self {
            scheme,
            user: None,
            password: None,
            host: HostPart::Name(""),
            port: None,
            params,
            headers: None,
            opaque: Some(rest),
        }
        .checked()
    }

    fn checked(self) -> Result<Self, UriError> {
        // Params::parse would refuse it.
        match is_balanced(self.params) {
            true => Ok(self),
            false => Err(UriError::Character),
        }
    }

    /// Whether `text`, which it was read from, is a Request-URI as it would be printed. False may be said of one that is, if it is
    /// a strange one.
    pub(super) fn is_printed(&self, text: &str) -> bool {
        let host = match self.host {
            HostPart::Name(name) => !name.bytes().any(|byte| byte.is_ascii_uppercase()),
            HostPart::V4(_) => true,
            HostPart::V6(_) => false,
        };
        host && self.opaque.is_none()
            && self.headers.is_none()
            && text.starts_with(self.scheme.as_str())
            // A port with zeros before it.
            && !text.contains(":0")
            && is_normal(self.params.as_bytes())
    }

    /// A copy of its own.
    pub fn to_uri(&self) -> Result<Uri, UriError> {
        Ok(Uri {
            scheme: self.scheme.clone(),
            user: self.user.map(str::to_owned),
            password: self.password.map(str::to_owned),
            host: self.host.to_host(),
            port: self.port,
            params: Params::parse(self.params).ok_or(UriError::Character)?,
            headers: self.headers.map(str::to_owned),
            opaque: self.opaque.map(Into::into),
        })
    }

    /// The host in its one spelling: in lower case, without the dot of the root, an IPv6 address in brackets and an IPv4 address
    /// as itself; empty when the scheme has none.
    pub fn host(&self) -> Cow<'a, str> {
        self.host.text()
    }
}
