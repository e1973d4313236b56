//! URIs.
use super::Params;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

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
    NoScheme,
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
    #[error("forbidden character")]
    Character,
    /// `%` without two hexadecimal digits.
    #[error("malformed escape")]
    Escape,
}

/// A URI. For `sip`, `sips`, `pres` and `im` its parts; for others the text after the scheme is `opaque`.
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
    /// The part after the scheme of a URI that is not made of user and host: a telephone number, say.
    pub opaque: Option<Box<str>>,
}

impl Uri {
    /// Reads a whole URI, without angle brackets.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let _ = text;
        todo!()
    }

    /// The canonical identity of a presentity.
    pub fn aor(&self) -> String {
        todo!()
    }

    /// Whether both name the same resource (RFC 3261, 19.1.4).
    pub fn equals(&self, other: &Self) -> bool {
        let _ = other;
        todo!()
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
        let _ = f;
        todo!()
    }
}
