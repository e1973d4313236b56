//! How much of the node one account or one address may have, and what whoever asks for more gets (docs/adr/0016).

use std::net::IpAddr;

use super::books::What;
use crate::exchange::{Identity, Incoming};
use crate::sip::{Head, Name, StatusCode, user_of};

/// Bounds of one owner, over all shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Subscriptions, and watchers that wait for a decision.
    pub subscriptions: u64,
    /// Publications.
    pub publications: u64,
    /// Contacts of addresses of record.
    pub bindings: u64,
    /// Bytes of published documents.
    pub bytes: u64,
    /// Requests in a second, in the long run.
    pub rate: u64,
    /// Requests at once.
    pub burst: u64,
}

impl Share {
    pub(super) fn of(&self, what: What) -> u64 {
        match what {
            What::Subscriptions => self.subscriptions,
            What::Publications => self.publications,
            What::Bindings => self.bindings,
            What::Bytes => self.bytes,
        }
    }
}

/// Who is bounded, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Of an account that has logged in.
    pub account: Share,
    /// Of an address from which requests come without, an IPv6 one with its whole /64.
    pub source: Share,
    /// Whether accounts are asked for: then what is loaded belongs to them.
    pub accounts: bool,
    /// Whether loopback addresses are bounded.
    pub loopback: bool,
    /// Addresses that are not.
    pub exempt: Vec<IpAddr>,
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            account: Share {
                subscriptions: 10_000,
                publications: 1000,
                bindings: 1000,
                bytes: 8 << 20,
                rate: 200,
                burst: 2000,
            },
            source: Share {
                subscriptions: 250_000,
                publications: 100_000,
                bindings: 100_000,
                bytes: 256 << 20,
                rate: 10_000,
                burst: 50_000,
            },
            accounts: false,
            loopback: false,
            exempt: Vec::new(),
        }
    }
}

/// Whom something belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// An account, by its name.
    Account(String),
    /// An address, or the network of an IPv6 one.
    Source(IpAddr),
}

impl Owner {
    /// As bytes: no account has the name of an address.
    pub fn name(&self) -> Vec<u8> {
        match self {
            Self::Account(name) => [b"a", name.as_bytes()].concat(),
            Self::Source(IpAddr::V4(ip)) => [b"4", &ip.octets()[..]].concat(),
            Self::Source(IpAddr::V6(ip)) => [b"6", &ip.octets()[..]].concat(),
        }
    }
}

impl Shares {
    /// Who is behind a request; `None`: somebody without bounds.
    pub(super) fn owner(&self, incoming: &Incoming) -> Option<Owner> {
        match &incoming.identity {
            Identity::Trusted => None,
            Identity::User(account) if account.is_for_anybody() => None,
            Identity::User(account) => Some(Owner::Account(account.name().to_string())),
            Identity::Unchecked => self.source(incoming.flow.remote.ip()),
        }
    }

    /// Who is behind an address.
    pub(super) fn source(&self, ip: IpAddr) -> Option<Owner> {
        let ip = ip.to_canonical();
        if (ip.is_loopback() && !self.loopback) || self.exempt.contains(&ip) {
            return None;
        }
        Some(Owner::Source(match ip {
            IpAddr::V4(_) => ip,
            IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() >> 64 << 64).into()),
        }))
    }

    /// The account whose address of record this is, as far as accounts are asked for. `home`: where accounts are good with
    /// every host, the one of their names.
    pub(super) fn account_of(&self, aor: &str, home: Option<&str>) -> Option<Owner> {
        let name = || match home {
            Some(home) => format!("sip:{}@{home}", user_of(aor)),
            None => aor.to_owned(),
        };
        self.accounts.then(|| Owner::Account(name()))
    }

    /// The bounds of an owner.
    pub(super) fn share(&self, owner: &Owner) -> Share {
        match owner {
            Owner::Account(_) => self.account,
            Owner::Source(_) => self.source,
        }
    }
}

/// Why somebody who asks for more than his share is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Over {
    /// It has as much as it may; to come back later is of no use (RFC 3261, 21.4.4).
    #[error("{what}: {limit} are the most for one account or address")]
    Quota {
        /// Of what.
        what: &'static str,
        /// How many.
        limit: u64,
    },
    /// It asks too often.
    #[error("too many requests of one account or address")]
    Rate {
        /// Seconds after which there is room.
        retry_after: u32,
        /// Whether the request came by a proxy, which would take a 503 for the end of this server (RFC 3261, 21.5.4).
        proxied: bool,
    },
    /// The node keeps as much as it may.
    #[error("no memory for more state")]
    Memory {
        /// Seconds after which to try again.
        retry_after: u32,
    },
}

impl Over {
    pub(super) fn quota(what: What, limit: u64) -> Self {
        let what = match what {
            What::Subscriptions => "subscriptions",
            What::Publications => "publications",
            What::Bindings => "contacts",
            What::Bytes => "bytes of documents",
        };
        Self::Quota { what, limit }
    }

    /// The answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Quota { .. } => StatusCode::FORBIDDEN,
            Self::Rate { proxied: true, .. } => StatusCode::SERVER_INTERNAL_ERROR,
            Self::Rate { proxied: false, .. } | Self::Memory { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// Writes the headers that the answer needs.
    pub fn write(&self, head: &mut Head) {
        match self {
            Self::Quota { .. } => {}
            Self::Rate { retry_after, .. } | Self::Memory { retry_after } => {
                head.line(Name::RetryAfter, retry_after);
            }
        }
    }
}
