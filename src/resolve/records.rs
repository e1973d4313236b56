//! Records of the DNS, as far as RFC 3263 knows them, and the services that NAPTR names.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use crate::exchange::Transport;

/// The most services of a name that are looked for. There are five transports; a zone with many more would only cost time.
const MOST_SERVICES: usize = 10;

/// A question to the DNS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// The NAPTR records of a name (RFC 3403).
    Naptr(String),
    /// The SRV records of a service (RFC 2782).
    Srv(String),
    /// The A and AAAA records of a host. A name that ends with a dot is whole; another may be short for one.
    Address(String),
}

/// The answer to a [`Question`]. That there is no such record is an empty list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Question::Naptr`].
    Naptr(Vec<Naptr>),
    /// To [`Question::Srv`].
    Srv(Vec<Srv>),
    /// To [`Question::Address`], the preferred one first.
    Addresses(Vec<IpAddr>),
    /// To any: why it was not answered, in words.
    Failed(String),
}

/// A NAPTR record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// A lower one must be used before a higher one.
    pub order: u16,
    /// Among those of the same order a lower one should be used first.
    pub preference: u16,
    /// `s`: the replacement is the name of SRV records.
    pub flags: String,
    /// Which service: `SIP+D2U`.
    pub services: String,
    /// Rewrites the name; services of SIP have none.
    pub regexp: String,
    /// The name of the SRV records.
    pub replacement: String,
}

/// An SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// A lower one must be tried before a higher one.
    pub priority: u16,
    /// Its share among those of the same priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; the root (`.`) stands for "there is no such service".
    pub target: String,
}

/// A transport under which a domain may be served, and the name of its SRV records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub transport: Transport,
    pub name: String,
}

impl Service {
    /// The service of a host by the rule for names (4.2). A WebSocket is never looked up, since it is not ours to open.
    pub fn of(transport: Transport, host: &str) -> Self {
        let labels = match transport {
            Transport::Udp => "_sip._udp",
            Transport::Tcp => "_sip._tcp",
            Transport::Tls => "_sips._tcp",
            Transport::Ws => "_sip._ws",
            Transport::Wss => "_sips._ws",
        };
        Self {
            transport,
            name: format!("{labels}.{host}"),
        }
    }
}

/// The transport of a NAPTR service (3263, 4.1, and IANA's registry of SIP services).
fn transport_of(services: &str) -> Option<Transport> {
    let known = [
        ("SIP+D2U", Transport::Udp),
        ("SIP+D2T", Transport::Tcp),
        ("SIPS+D2T", Transport::Tls),
        ("SIP+D2W", Transport::Ws),
        ("SIPS+D2W", Transport::Wss),
    ];
    let mut known = known.into_iter();
    known
        .find(|(name, _)| name.eq_ignore_ascii_case(services))
        .map(|(_, transport)| transport)
}

/// The services that we can use, best first; those of the same order make one group. A later group is for when an earlier
/// one leads nowhere.
pub(super) fn services(records: Vec<Naptr>, ours: &[Transport]) -> VecDeque<Vec<Service>> {
    let mut usable: Vec<(u16, u16, Service)> = records
        .into_iter()
        .filter(|record| record.flags.eq_ignore_ascii_case("s") && record.regexp.is_empty())
        .filter_map(|record| {
            let transport = transport_of(&record.services).filter(|of| ours.contains(of))?;
            let name = record.replacement;
            Some((record.order, record.preference, Service { transport, name }))
        })
        .collect();
    usable.sort_by_key(|&(order, preference, _)| (order, preference));
    usable.truncate(MOST_SERVICES);
    let mut groups: BTreeMap<u16, Vec<Service>> = BTreeMap::new();
    for (order, _, service) in usable {
        groups.entry(order).or_default().push(service);
    }
    groups.into_values().collect()
}
