//! Addresses in settings: where a node listens, where it connects to, and SIP URIs.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use rollcall_core::exchange::Transport;
use rollcall_core::resolve::Wanted;
use rollcall_core::sip::{Host, Scheme, Uri, domain};

use super::kind::Text;

/// A transport and an address to listen at: `udp:127.0.0.1:5060`. Port 0 is a free one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Listen {
    /// Which one.
    pub transport: Transport,
    /// Where.
    pub addr: SocketAddr,
}

impl Listen {
    /// Over UDP.
    pub const fn udp(addr: SocketAddr) -> Self {
        Self {
            transport: Transport::Udp,
            addr,
        }
    }

    /// Over TCP.
    pub const fn tcp(addr: SocketAddr) -> Self {
        Self {
            transport: Transport::Tcp,
            addr,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport, self.addr)
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (transport, addr) = text.split_once(':').ok_or("names no transport")?;
        let transport = Transport::named(transport)
            .ok_or_else(|| format!("names the transport {transport:?}, which there is not"))?;
        Ok(Self {
            transport,
            addr: socket_address(addr)?,
        })
    }
}

/// A host by name or address, and a port: `manager.example.com:7000`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// A name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl From<SocketAddr> for HostPort {
    fn from(addr: SocketAddr) -> Self {
        Self {
            host: addr.ip().to_string(),
            port: addr.port(),
        }
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').ok_or("has no port")?;
        let port = match port.parse() {
            Ok(0) | Err(_) => return Err(format!("has the port {port:?}")),
            Ok(port) => port,
        };
        let host = match host.strip_prefix('[') {
            Some(v6) => {
                let v6 = v6
                    .strip_suffix(']')
                    .ok_or("has a bracket that is not closed")?;
                v6.parse::<IpAddr>()
                    .map_err(|_| format!("has the address {v6:?}"))?
                    .to_string()
            }
            None if host_name(host) => host.to_owned(),
            None => return Err(format!("has the host {host:?}")),
        };
        Ok(Self { host, port })
    }
}

/// A SIP server that requests are sent to: `sip:example.com:5060;transport=tcp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipServer {
    /// The URI, as written.
    pub uri: String,
    /// A name, or an address without brackets.
    pub host: String,
    /// The port, when it is said.
    pub port: Option<u16>,
    /// The transport, when it is said.
    pub transport: Option<Transport>,
}

impl SipServer {
    /// The server at this address.
    pub fn at(listen: Listen) -> Self {
        Self {
            uri: match listen.transport {
                Transport::Udp => format!("sip:{}", listen.addr),
                stream => format!("sip:{};transport={}", listen.addr, stream.param()),
            },
            host: listen.addr.ip().to_string(),
            port: Some(listen.addr.port()),
            transport: Some(listen.transport).filter(|transport| transport.is_reliable()),
        }
    }
}

impl SipServer {
    /// What its URI says of where it is.
    pub fn wanted(&self) -> Wanted {
        let secure = self
            .uri
            .get(..5)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"));
        Wanted {
            secure,
            // That sips means TLS needs no saying, and what is not said is looked up.
            transport: self.transport.filter(|_| !secure),
            host: self.host.clone(),
            port: self.port,
        }
    }
}

impl fmt::Display for SipServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)
    }
}

impl FromStr for SipServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri = Uri::parse(text).map_err(|error| format!("is no SIP URI: {error}"))?;
        let secure = uri.scheme == Scheme::Sips;
        if !secure && uri.scheme != Scheme::Sip {
            return Err("is no sip: or sips: URI".to_owned());
        }
        if uri.user.is_some() {
            return Err("names a user where a server is wanted".to_owned());
        }
        let transport = match uri.params.get("transport") {
            None => None,
            Some(name) => match Transport::named(name).filter(|named| named.can_be_opened()) {
                Some(transport) => Some(transport),
                None => return Err(format!("asks for the transport {name:?}")),
            },
        };
        let transport = match (transport, secure) {
            (None | Some(Transport::Tcp | Transport::Tls), true) => Some(Transport::Tls),
            (Some(Transport::Udp), true) => {
                return Err("asks for UDP, which is not encrypted".to_owned());
            }
            (other, _) => other,
        };
        let host = match &uri.host {
            Host::Name(name) => name.to_string(),
            Host::V4(v4) => v4.to_string(),
            Host::V6(v6) => v6.to_string(),
        };
        Ok(Self {
            uri: text.to_owned(),
            host,
            port: uri.port,
            transport,
        })
    }
}

/// Checks that a text names a presentity: a `sip:`, `sips:` or `pres:` URI with a user.
pub fn presentity(text: &str) -> Result<String, String> {
    let uri = Uri::parse(text).map_err(|error| format!("is no SIP URI: {error}"))?;
    match uri.scheme {
        Scheme::Sip | Scheme::Sips | Scheme::Pres => {}
        Scheme::Tel | Scheme::Im | Scheme::Other(_) => {
            return Err("is no sip:, sips: or pres: URI".to_owned());
        }
    }
    if !text.contains('@') {
        return Err("names no user".to_owned());
    }
    Ok(text.to_owned())
}

/// Checks that a text names a watcher: a presentity, or a telephone number.
pub fn watcher(text: &str) -> Result<String, String> {
    match Uri::parse(text) {
        Ok(Uri {
            scheme: Scheme::Tel,
            ..
        }) => Ok(text.to_owned()),
        _ => presentity(text),
    }
}

/// An address to listen at for SIP.
pub const LISTEN: Text<Listen> = Text {
    allowed: "\"TRANSPORT:ADDRESS:PORT\" with udp, tcp, tls, ws or wss",
    read: str::parse,
    write: Listen::to_string,
};

/// An address to listen at.
pub const ADDRESS: Text<SocketAddr> = Text {
    allowed: "\"ADDRESS:PORT\"",
    read: socket_address,
    write: SocketAddr::to_string,
};

/// A host and a port to connect to.
pub const HOST_PORT: Text<HostPort> = Text {
    allowed: "\"HOST:PORT\"",
    read: str::parse,
    write: HostPort::to_string,
};

/// A SIP server to send to.
pub const SIP_SERVER: Text<SipServer> = Text {
    allowed: "\"sip:HOST\", with \":PORT\" and \";transport=udp\", tcp or tls if need be; or \"sips:HOST\"",
    read: str::parse,
    write: SipServer::to_string,
};

/// A presentity.
pub const PRESENTITY: Text<String> = Text {
    allowed: "a URI like \"sip:alice@example.com\"",
    read: presentity,
    write: String::clone,
};

/// An address without a port.
pub const IP: Text<IpAddr> = Text {
    allowed: "an IPv4 or IPv6 address",
    read: |text| text.parse().map_err(|_| "is no address".to_owned()),
    write: IpAddr::to_string,
};

/// The domain of a presentity: a host name or an address.
pub const DOMAIN: Text<String> = Text {
    allowed: "a domain like \"example.com\" or an address",
    read: |text| {
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .unwrap_or(text);
        if host_name(text) || bare.parse::<IpAddr>().is_ok() {
            Ok(domain(text).into_owned())
        } else {
            Err("is no domain".to_owned())
        }
    },
    write: String::clone,
};

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(addr) = text.parse() {
        return Ok(addr);
    }
    if text.parse::<IpAddr>().is_ok() {
        return Err("has no port".to_owned());
    }
    let (host, port) = text.rsplit_once(':').ok_or("has no port")?;
    let port: u16 = port.parse().map_err(|_| format!("has the port {port:?}"))?;
    if host == "localhost" {
        return Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
    }
    if host.parse::<std::net::Ipv6Addr>().is_ok() {
        return Err(format!("needs brackets: [{host}]:{port}"));
    }
    Err(format!(
        "has the address {host:?}, which is none of this machine's"
    ))
}

fn host_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    text.len() <= 253 && text.trim_end_matches('.').split('.').all(label)
}
