//! The way of NOTIFYs, and how much may go there (docs/adr/0004, docs/adr/0015).

use std::net::{IpAddr, SocketAddr};

use crate::egress::Egress;
use crate::endpoint::Hop;
use crate::exchange::{Bounds, Destination, Flow, Identity, Incoming, Source, Transport};

/// Bytes for the one NOTIFY after a restart to a watcher that had not answered, as far as the store knows: enough for one
/// without a body.
const AFTER_RESTART: u16 = 900;

/// Which way NOTIFYs take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// The flow that the SUBSCRIBE came over; if that is a connection which is gone, the next hop.
    Flow,
    /// The same, but the next hop is at another address.
    Away,
    /// That flow or none: nobody who may say so has named another place.
    Alone,
    /// The next hop: the first Route, or else the Contact.
    Hop,
}

/// The way to a watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    direction: Direction,
    /// Who subscribed may name places elsewhere.
    free: bool,
    /// The SUBSCRIBE came by others, not over a connection: by the RFC NOTIFY goes to the next hop.
    indirect: bool,
    /// Who is there has answered us.
    proven: bool,
    /// Bytes that the next NOTIFY may take with its repetitions, while nobody has answered. None is sent without room.
    room: u16,
}

/// What the store keeps of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WayRecord {
    /// NOTIFY goes along the flow of the last SUBSCRIBE rather than to the next hop.
    pub direct: bool,
    /// And nowhere else.
    pub alone: bool,
    /// Who subscribed may name places elsewhere.
    pub free: bool,
    /// Who is there has answered us.
    pub proven: bool,
}

impl Way {
    /// The way that a SUBSCRIBE shows whose next hop is `hop`. `direct`: it came straight from its sender.
    pub fn of(incoming: &Incoming, direct: bool, hop: &str) -> Self {
        let Source {
            proven,
            is_proxy,
            room,
        } = incoming.source;
        let free = is_proxy || !matches!(incoming.identity, Identity::Unchecked);
        let direction = direction(&incoming.flow, direct, free, hop);
        let elsewhere = direction == Direction::Hop && !is_at(hop, incoming.flow.remote.ip());
        Self {
            direction,
            free,
            indirect: !direct,
            proven: proven && !elsewhere,
            room: u16::try_from(room).unwrap_or(u16::MAX),
        }
    }

    /// From the store.
    pub fn restored(record: WayRecord) -> Self {
        let direction = match record {
            WayRecord { alone: true, .. } => Direction::Alone,
            WayRecord { direct: true, .. } => Direction::Flow,
            WayRecord { .. } => Direction::Hop,
        };
        Self {
            direction,
            free: record.free,
            // It was judged when it subscribed.
            indirect: false,
            proven: record.proven,
            room: AFTER_RESTART,
        }
    }

    /// For the store.
    pub fn record(self) -> WayRecord {
        WayRecord {
            direct: self.direction != Direction::Hop,
            alone: self.direction == Direction::Alone,
            free: self.free,
            // A connection has, and nobody elsewhere.
            proven: self.proven && self.direction != Direction::Away,
        }
    }

    /// Nobody makes up an address of these networks.
    pub fn believe(&mut self, egress: &Egress, flow: &Flow) {
        let here = self.direction != Direction::Hop;
        self.proven |= here && egress.is_unbounded(flow.remote.ip());
    }

    /// The connection is gone for good.
    pub fn forget_connection(&mut self, flow: &Flow) {
        if flow.transport.is_reliable() {
            self.direction = match self.direction {
                Direction::Flow | Direction::Hop => Direction::Hop,
                Direction::Away => {
                    self.proven = false;
                    Direction::Hop
                }
                Direction::Alone => Direction::Alone,
            };
        }
    }

    /// Takes over what was known of the same way before.
    pub fn go_on(&mut self, before: Self, same_place: bool) {
        self.proven |= before.proven && same_place && before.direction == self.direction;
    }

    /// The next hop is another one now, as an answer of `length` bytes says.
    pub fn turn(&mut self, flow: &Flow, hop: &str, length: usize) {
        let direct = self.direction != Direction::Hop;
        let before = self.direction;
        self.direction = direction(
            flow,
            direct && self.direction != Direction::Alone || flow.transport.is_reliable(),
            self.free,
            hop,
        );
        if self.direction == Direction::Hop || before != self.direction {
            let elsewhere = self.direction == Direction::Hop && !is_at(hop, flow.remote.ip());
            self.proven &= !elsewhere;
            let drawn = length * crate::egress::AMPLIFICATION;
            self.room = u16::try_from(drawn).unwrap_or(u16::MAX);
        }
    }

    /// Whether the RFC sends NOTIFY to the next hop, be that followed or not.
    pub fn is_indirect(self) -> bool {
        self.indirect
    }

    /// Who is there has answered.
    pub fn prove(&mut self) {
        self.proven = true;
    }

    /// Whether who is there has answered.
    pub fn is_proven(self) -> bool {
        self.proven
    }

    /// Bytes that the next NOTIFY may take, if they are bounded.
    pub fn room(self) -> Option<usize> {
        (!self.proven).then_some(self.room.into())
    }

    /// The bounded NOTIFY has left; another one needs an answer, or another SUBSCRIBE.
    pub fn spend(&mut self) {
        if !self.proven {
            self.room = 0;
        }
    }

    /// Where a NOTIFY goes that is sent now.
    pub fn destination(self, flow: Flow) -> Destination {
        let room = (!self.proven).then_some(self.room.into());
        match (self.direction, room) {
            (Direction::Flow, None) => Destination::Flow(flow),
            (Direction::Hop, None) => Destination::NextHop,
            (Direction::Flow, Some(_)) => Destination::Bounded(Bounds {
                flow: Some(flow),
                alone: false,
                room,
            }),
            // The room counts for datagrams: none goes over the connection.
            (Direction::Away, _) => Destination::Bounded(Bounds {
                flow: Some(flow),
                alone: false,
                room: Some(self.room.into()),
            }),
            (Direction::Alone, _) => Destination::Bounded(Bounds {
                flow: Some(flow),
                alone: true,
                room,
            }),
            (Direction::Hop, Some(_)) => Destination::Bounded(Bounds {
                flow: None,
                alone: false,
                room,
            }),
        }
    }
}

fn direction(flow: &Flow, direct: bool, free: bool, hop: &str) -> Direction {
    let near = || is_at(hop, flow.remote.ip());
    match (direct, flow.transport.is_reliable()) {
        (true, false) => Direction::Flow,
        (true, true) if near() => Direction::Flow,
        (true, true) if free => Direction::Away,
        (false, _) if free || near() => Direction::Hop,
        (true, true) | (false, _) => Direction::Alone,
    }
}

/// Whether a next hop is said to be at this address.
fn is_at(hop: &str, ip: IpAddr) -> bool {
    place(hop).is_some_and(|(_, place)| place.ip().to_canonical() == ip.to_canonical())
}

/// The place of a next hop that is an address.
pub(super) fn place(hop: &str) -> Option<(Transport, SocketAddr)> {
    Hop::of(hop).ok()?.place()
}
