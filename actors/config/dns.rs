//! Settings of name resolution.

use std::net::{IpAddr, SocketAddr};

use super::kind::{List, Text};
use super::section::Section;

/// Who is asked for the servers of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    /// Name servers; those of this machine when empty.
    pub servers: Vec<SocketAddr>,
}

impl Dns {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        Self {
            servers: s.key(
                "servers",
                "Name servers to ask for NAPTR, SRV and addresses of SIP servers. Empty means those of this machine, from \
                 /etc/resolv.conf. Names in /etc/hosts are never asked for.",
                List { least: 0, kind: NAME_SERVER },
                Vec::new(),
            ),
        }
    }
}

/// A name server; its port is 53 unless it is said.
pub const NAME_SERVER: Text<SocketAddr> = Text {
    allowed: "\"ADDRESS\", with \":PORT\" if it is not 53",
    read: |text| {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(SocketAddr::new(ip, 53));
        }
        text.parse().map_err(|_| "is no address".to_owned())
    },
    write: SocketAddr::to_string,
};
