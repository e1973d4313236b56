//! The order in which servers are tried (RFC 2782; RFC 3263, 4.2).

use std::net::SocketAddr;

use crate::entropy::Entropy;
use crate::exchange::Transport;

/// The most targets that one request tries. Each that is silent costs a whole timeout (64*T1).
pub const MOST_TARGETS: usize = 8;

/// Where a request may be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// How.
    pub transport: Transport,
    /// Where.
    pub remote: SocketAddr,
}

/// A server of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// Which of the services it belongs to: an earlier one comes first.
    pub rank: usize,
    pub priority: u16,
    pub weight: u16,
    pub transport: Transport,
    /// The preferred one first; never empty.
    pub addresses: Vec<SocketAddr>,
}

/// The servers of a name, with their priorities and weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers(Vec<Server>);

impl Servers {
    /// Puts them in order by service and priority.
    pub(super) fn new(mut servers: Vec<Server>) -> Self {
        servers.sort_by_key(|server| (server.rank, server.priority));
        Self(servers)
    }

    /// Where one request goes: first, and after each failure. Servers of the same priority come in an order drawn by their
    /// weights, anew for each request; the addresses of a server follow each other. At most [`MOST_TARGETS`], none twice.
    pub fn order(&self, entropy: &mut Entropy) -> Vec<Target> {
        let mut targets: Vec<Target> = Vec::new();
        for alike in self
            .0
            .chunk_by(|a, b| (a.rank, a.priority) == (b.rank, b.priority))
        {
            for server in by_weight(alike, entropy) {
                for &remote in &server.addresses {
                    let target = Target {
                        transport: server.transport,
                        remote,
                    };
                    if !targets.contains(&target) {
                        targets.push(target);
                    }
                }
            }
        }
        targets.truncate(MOST_TARGETS);
        targets
    }

    /// All their addresses, the best first.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.0
            .iter()
            .flat_map(|server| server.addresses.iter().copied())
    }
}

/// Draws one after the other, each with the chance that its weight is of the sum of what is left. Those without a weight
/// stand first, so that they have a small chance beside others.
fn by_weight<'a>(alike: &'a [Server], entropy: &mut Entropy) -> Vec<&'a Server> {
    let mut left: Vec<&Server> = alike.iter().collect();
    left.sort_by_key(|server| server.weight != 0);
    let mut drawn = Vec::with_capacity(left.len());
    while left.len() > 1 {
        let sum: u64 = left.iter().map(|server| u64::from(server.weight)).sum();
        let mut rest = entropy.below(sum + 1);
        let at = left.iter().position(|server| {
            let weight = u64::from(server.weight);
            if weight >= rest {
                return true;
            }
            rest -= weight;
            false
        });
        drawn.push(left.remove(at.unwrap_or_default()));
    }
    drawn.append(&mut left);
    drawn
}
