//! The next hop of a request, as far as its text tells (RFC 3261, 8.1.2; RFC 3263, 4).

use std::net::{IpAddr, SocketAddr};

use crate::exchange::{Outgoing, Transport};
use crate::sip::{Host, Scheme, Uri};

/// Where a request goes, as far as its text tells.
#[derive(Debug, PartialEq)]
pub struct Hop {
    /// Whether its scheme asks for TLS.
    pub secure: bool,
    /// The transport, when it is said.
    pub transport: Option<Transport>,
    /// The host; `maddr` goes before it.
    pub host: Host,
    /// The port, when it is said.
    pub port: Option<u16>,
}

/// Why a request can't even be tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HopError {
    /// It can't be read.
    #[error("next hop is not a URI: {0}")]
    Uri(String),
    /// It is none of SIP.
    #[error("no transport for scheme {0}")]
    Scheme(String),
    /// Nobody here speaks it, or it can't be opened from here.
    #[error("no transport {0}")]
    Transport(String),
}

/// The first Route, or else the Request-URI; `maddr` goes before the host (RFC 3263, 4).
pub(super) fn next_hop(outgoing: &Outgoing) -> Result<Hop, HopError> {
    Hop::of(outgoing.first_route.as_deref().unwrap_or(&outgoing.uri))
}

impl Hop {
    /// Where the URI of a Route, or a Request-URI, leads.
    pub fn of(text: &str) -> Result<Self, HopError> {
        let uri = Uri::parse(text).map_err(|_| HopError::Uri(text.to_owned()))?;
        let secure = match uri.scheme {
            Scheme::Sip | Scheme::Pres => false,
            Scheme::Sips => true,
            Scheme::Tel | Scheme::Im | Scheme::Other(_) => {
                let scheme = text.split(':').next().unwrap_or_default();
                return Err(HopError::Scheme(scheme.to_owned()));
            }
        };
        let named = uri.params.get("transport").filter(|name| !name.is_empty());
        let transport = match (named.map(|name| (name, Transport::named(name))), secure) {
            (None, _) => None,
            // What sips names runs over TLS, over TCP (26.2.1, 26.2.2).
            (Some((_, Some(Transport::Tcp | Transport::Tls))), true) => Some(Transport::Tls),
            (Some((_, Some(transport))), false) if transport.can_be_opened() => Some(transport),
            (Some((name, _)), _) => return Err(HopError::Transport(name.to_owned())),
        };
        // Read as part of a URI, so that a name, an address and an address in brackets are told apart in one place.
        let maddr = uri
            .params
            .get("maddr")
            .and_then(|maddr| Uri::parse(&format!("sip:{maddr}")).ok());
        let host = maddr.map_or(uri.host, |maddr| maddr.host);
        Ok(Hop {
            secure,
            transport,
            host,
            port: uri.port,
        })
    }

    /// Its place, when it is named by an address. Without a transport that is UDP, or TLS where the scheme asks for it
    /// (RFC 3263, 4.1).
    pub fn place(&self) -> Option<(Transport, SocketAddr)> {
        let ip = match self.host {
            Host::V4(ip) => IpAddr::from(ip),
            Host::V6(ip) => ip.into(),
            Host::Name(_) => return None,
        };
        let usual = if self.secure {
            Transport::Tls
        } else {
            Transport::Udp
        };
        let transport = self.transport.unwrap_or(usual);
        let port = self.port.unwrap_or(transport.default_port());
        Some((transport, SocketAddr::new(ip, port)))
    }
}
