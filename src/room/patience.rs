//! How long is waited for the rest of what has begun.

use std::net::IpAddr;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::network_of;
use crate::exchange::ConnectionId;
use crate::time::Timestamp;

/// How long a handshake goes on undisturbed, whoever waits.
pub const GRACE: Duration = Duration::from_secs(1);

/// What has begun on a connection and is not whole yet: on which layer, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A message in a stream of bytes.
    Message,
    /// A frame, or a message in fragments, of a WebSocket.
    Web(u32),
    /// A record of TLS.
    Record(u32),
}

/// By when what has begun must be whole. The first byte sets it, and further ones change nothing.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    limit: Duration,
    /// What is waited for, and until when.
    waits: Option<(Part, Timestamp)>,
}

impl Patience {
    /// For so long.
    pub fn new(limit: Duration) -> Self {
        Self { limit, waits: None }
    }

    /// All that has come is looked at; this is begun. Answers until when it may take.
    pub fn look(
        &mut self,
        begun: Option<Part>,
        now: impl FnOnce() -> Timestamp,
    ) -> Option<Timestamp> {
        let Some(part) = begun else {
            self.waits = None;
            return None;
        };
        let until = match self.waits {
            // The layer below has handed on what the one above goes on waiting for.
            Some((before, until)) if before == part || !same_layer(before, part) => until,
            Some(_) | None => now() + self.limit,
        };
        self.waits = Some((part, until));
        Some(until)
    }

    /// A message is whole.
    pub fn whole(&mut self) {
        self.waits = None;
    }
}

fn same_layer(one: Part, other: Part) -> bool {
    std::mem::discriminant(&one) == std::mem::discriminant(&other)
}

/// Whom to turn out of those who shake hands when others wait: the oldest of the address with most, if that has gone on for
/// longer than [`GRACE`].
pub fn hurry(
    now: Timestamp,
    shaking: impl Iterator<Item = (ConnectionId, IpAddr, Timestamp)>,
) -> Option<ConnectionId> {
    let mut places: FxHashMap<IpAddr, (usize, Timestamp, ConnectionId)> = FxHashMap::default();
    for (id, ip, since) in shaking {
        let (count, oldest, own) = places.entry(network_of(ip)).or_insert((0, since, id));
        *count += 1;
        if (since, id) < (*oldest, *own) {
            (*oldest, *own) = (since, id);
        }
    }
    let late = places
        .into_values()
        .filter(|(_, oldest, _)| *oldest + GRACE <= now);
    late.max_by_key(|(count, oldest, id)| (*count, std::cmp::Reverse((*oldest, *id))))
        .map(|(_, _, id)| id)
}
