//! Where the servers of a URI are (RFC 3263, 4): what to ask the DNS next, as a value.
//!
//! ```text
//!   transport said, or told by the port ──────────────┐
//!                                                     V
//!   neither ──> NAPTR ──> services, or the usual ──> SRV ──> A, AAAA ──> servers ──> targets, in order
//!                                                                ^
//!   port said ───────────────────────────────────────────────────┘
//! ```
//!
//! Answers go in, questions come out, at last the [`Servers`]. Each request puts them in an order of its own
//! ([`Servers::order`]), as weights ask for it (RFC 2782). A host that is an address needs none of this and never comes
//! here. What fails in the DNS counts as absent, so that a name server which knows nothing of NAPTR is no obstacle; only
//! when there is no address at last, the first failure is told.

mod avoid;
mod order;
mod records;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

pub use avoid::{AVOID, Avoided};
pub use order::{MOST_TARGETS, Servers, Target};
pub use records::{Answer, Naptr, Question, Srv};

use crate::exchange::Transport;
use order::Server;
use records::{Service, services};

/// The most servers that are looked up of one answer: the best ones by priority. A zone with more is somebody's mistake,
/// or somebody's trap.
const MOST_SERVERS: usize = 32;

/// What a URI says of where it leads. The host is a name: an address needs no resolution.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wanted {
    /// The scheme is `sips`: only TLS will do.
    pub secure: bool,
    /// The `transport` parameter.
    pub transport: Option<Transport>,
    /// The name.
    pub host: String,
    /// The port.
    pub port: Option<u16>,
}

/// Why there is no server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The DNS works, and has no address of it.
    #[error("no address for host {0}: the DNS knows none")]
    Unknown(String),
    /// A look-up failed.
    #[error("no address for host {0}: {1}")]
    Failed(String, String),
    /// Its records say that there is no such service (RFC 2782: the target is the root).
    #[error("no address for host {0}: it says that it has no SIP server")]
    Refused(String),
    /// The URI wants encryption, or a transport, that we have not.
    #[error("no address for host {0}: it wants a transport that is none of ours")]
    Transport(String),
}

/// What a resolution wants next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Answers to these, all at once, in their order.
    Ask(Vec<Question>),
    /// Nothing more.
    Done(Result<Servers, ResolveError>),
}

#[derive(Clone, Debug)]
enum State {
    /// NAPTR is asked for.
    Services,
    /// SRV is asked for each service of the first group.
    Srv,
    /// Addresses are asked for.
    Addresses(Vec<Wish>),
}

/// A server of which only the name is known.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wish {
    /// Which of the services it belongs to: an earlier one comes first.
    rank: usize,
    transport: Transport,
    priority: u16,
    weight: u16,
    host: String,
    port: u16,
}

/// The resolution of one name.
#[derive(Clone, Debug)]
pub struct Resolution {
    wanted: Wanted,
    /// What we can open, the best first.
    ours: Vec<Transport>,
    state: State,
    /// Services still to be looked for; those of a group are as good as each other.
    groups: VecDeque<Vec<Service>>,
    /// The transport if there is no SRV.
    usual: Transport,
    /// A service is there, and its record says that it is not served.
    refused: bool,
    failure: Option<String>,
}

impl Resolution {
    /// Begins. `ours` are the transports that we can open, the preferred one first.
    pub fn begin(wanted: Wanted, ours: &[Transport]) -> (Self, Step) {
        let fits = |transport: &Transport| {
            transport.can_be_opened() && (transport.is_secure() || !wanted.secure)
        };
        let ours: Vec<Transport> = ours.iter().copied().filter(fits).collect();
        // What sips names by TCP is TLS over it (RFC 3261, 26.2.2).
        let said = match wanted.transport {
            Some(Transport::Tcp) if wanted.secure => Some(Transport::Tls),
            other => other,
        };
        let usual = said.or_else(|| usual(&wanted, &ours));
        let Some(usual) = usual.filter(|usual| ours.contains(usual)) else {
            let error = ResolveError::Transport(wanted.host.clone());
            return (
                Self::new(wanted, ours, Transport::Udp),
                Step::Done(Err(error)),
            );
        };
        let mut is = Self::new(wanted, ours, usual);
        let step = match (said, is.wanted.port) {
            (_, Some(port)) => {
                let own = is.own(port);
                is.ask_addresses(vec![own])
            }
            (Some(transport), None) => {
                is.groups = [vec![Service::of(transport, &is.wanted.host)]].into();
                is.ask_srv()
            }
            (None, None) => Step::Ask(vec![Question::Naptr(is.wanted.host.clone())]),
        };
        (is, step)
    }

    fn new(wanted: Wanted, ours: Vec<Transport>, usual: Transport) -> Self {
        Self {
            wanted,
            ours,
            state: State::Services,
            groups: VecDeque::new(),
            usual,
            refused: false,
            failure: None,
        }
    }

    /// Takes the answers to what was asked, in its order.
    pub fn answer(&mut self, answers: Vec<Answer>) -> Step {
        for answer in &answers {
            if let Answer::Failed(reason) = answer {
                self.failure.get_or_insert_with(|| reason.clone());
            }
        }
        match std::mem::replace(&mut self.state, State::Srv) {
            State::Services => self.take_naptr(answers),
            State::Srv => self.take_srv(answers),
            State::Addresses(wishes) => self.take_addresses(wishes, answers),
        }
    }

    /// Services by NAPTR; without any that we can use, those of the transports that we have (4.1).
    fn take_naptr(&mut self, answers: Vec<Answer>) -> Step {
        let records = answers.into_iter().flat_map(|answer| match answer {
            Answer::Naptr(records) => records,
            Answer::Srv(_) | Answer::Addresses(_) | Answer::Failed(_) => Vec::new(),
        });
        self.groups = services(records.collect(), &self.ours);
        match self.groups.front().and_then(|group| group.first()) {
            Some(best) => self.usual = best.transport,
            None => {
                // `_sips` is for sips URIs alone, where a sip URI does not say TLS.
                let fitting = |transport: &&Transport| self.wanted.secure || !transport.is_secure();
                let usual = self.ours.iter().filter(fitting);
                let of = |&transport: &Transport| Service::of(transport, &self.wanted.host);
                self.groups = [usual.map(of).collect()].into();
            }
        }
        self.ask_srv()
    }

    /// Asks for the servers of the next services; if there are none left, for the addresses of the name itself (4.2).
    fn ask_srv(&mut self) -> Step {
        if let Some(group) = self.groups.front() {
            self.state = State::Srv;
            let questions = group.iter().map(|s| Question::Srv(s.name.clone()));
            return Step::Ask(questions.collect());
        }
        if self.refused {
            return Step::Done(Err(ResolveError::Refused(self.wanted.host.clone())));
        }
        let own = self.own(self.usual.default_port());
        self.ask_addresses(vec![own])
    }

    fn take_srv(&mut self, answers: Vec<Answer>) -> Step {
        let group = self.groups.pop_front().unwrap_or_default();
        let mut wishes = Vec::new();
        for ((rank, service), answer) in group.into_iter().enumerate().zip(answers) {
            let Answer::Srv(mut records) = answer else {
                continue;
            };
            records.sort_by_key(|record| record.priority);
            for record in records {
                if record.target.trim_end_matches('.').is_empty() {
                    self.refused = true;
                    continue;
                }
                wishes.push(Wish {
                    rank,
                    transport: service.transport,
                    priority: record.priority,
                    weight: record.weight,
                    host: record.target,
                    port: record.port,
                });
            }
        }
        if wishes.is_empty() {
            return self.ask_srv();
        }
        wishes.truncate(MOST_SERVERS);
        self.ask_addresses(wishes)
    }

    fn ask_addresses(&mut self, wishes: Vec<Wish>) -> Step {
        let step = Step::Ask(names(&wishes).into_iter().map(Question::Address).collect());
        self.state = State::Addresses(wishes);
        step
    }

    fn take_addresses(&mut self, wishes: Vec<Wish>, answers: Vec<Answer>) -> Step {
        let known: BTreeMap<String, Vec<IpAddr>> = names(&wishes)
            .into_iter()
            .zip(answers)
            .filter_map(|(name, answer)| match answer {
                Answer::Addresses(addresses) => Some((name, addresses)),
                Answer::Naptr(_) | Answer::Srv(_) | Answer::Failed(_) => None,
            })
            .collect();
        let servers: Vec<Server> = wishes
            .into_iter()
            .filter_map(|wish| {
                let addresses = known.get(&wish.host).filter(|known| !known.is_empty())?;
                Some(Server {
                    rank: wish.rank,
                    priority: wish.priority,
                    weight: wish.weight,
                    transport: wish.transport,
                    addresses: addresses
                        .iter()
                        .map(|&ip| SocketAddr::new(ip, wish.port))
                        .collect(),
                })
            })
            .collect();
        if !servers.is_empty() {
            return Step::Done(Ok(Servers::new(servers)));
        }
        if !self.groups.is_empty() {
            return self.ask_srv();
        }
        let host = self.wanted.host.clone();
        Step::Done(Err(match self.failure.take() {
            Some(reason) => ResolveError::Failed(host, reason),
            None => ResolveError::Unknown(host),
        }))
    }

    /// The name itself as the only server.
    fn own(&self, port: u16) -> Wish {
        Wish {
            rank: 0,
            transport: self.usual,
            priority: 0,
            weight: 0,
            host: self.wanted.host.clone(),
            port,
        }
    }
}

/// What is spoken where nothing else is said: TLS for sips, else UDP if we have it (4.1).
fn usual(wanted: &Wanted, ours: &[Transport]) -> Option<Transport> {
    let rule = if wanted.secure {
        Transport::Tls
    } else {
        Transport::Udp
    };
    ours.iter()
        .find(|&&transport| transport == rule)
        .or_else(|| ours.first())
        .copied()
}

/// The names of servers, each once, in their order.
fn names(wishes: &[Wish]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for wish in wishes {
        if !names.contains(&wish.host) {
            names.push(wish.host.clone());
        }
    }
    names
}
