//! Room for connections: who gets in, who goes first when it is short, who has been idle for too long (docs/adr/0020).
//!
//! A connection is of use while a request waits on it, and while a subscription, registration or publication stands that was
//! made over it. After that, and after the last message, it is idle since then: it goes after [`Rules::idle`], or at once
//! when somebody else needs its place. Keep-alives are no messages: they are told to nobody here.
//!
//! Places in the order are mended when they are looked at, not with each message: a message costs one look-up.

mod carries;
mod parts;
mod patience;
mod tally;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::exchange::ConnectionId;
use crate::time::Timestamp;
use carries::Carries;

pub use parts::{Fragments, Parts, Records};
pub use patience::{GRACE, Part, Patience, hurry};
pub use tally::Tally;

/// How long a request may wait for its answer, 64*T1: its client has given up then (RFC 3261, 17.1.2.2).
const TRANSACTION: Duration = Duration::from_secs(32);

/// Addresses, and connections, that are looked at to find one that may go.
const TRIES: usize = 32;

/// What is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Connections at a time.
    pub most: usize,
    /// Connections of one address at a time, an IPv6 one with its /64; in all rooms that share a [`Tally`].
    pub share: usize,
    /// Whether loopback addresses have a share as well.
    pub loopback: bool,
    /// Addresses without a share.
    pub exempt: Vec<IpAddr>,
    /// How long a connection may be idle; for ever if `None`.
    pub idle: Option<Duration>,
    /// Whether those that we have opened ourselves are needed as long as they stand: a client's, over which it is called.
    pub keeps_opened: bool,
}

impl Default for Rules {
    /// No bounds.
    fn default() -> Self {
        Self {
            most: usize::MAX,
            share: usize::MAX,
            loopback: false,
            exempt: Vec::new(),
            idle: None,
            keeps_opened: false,
        }
    }
}

impl Rules {
    fn has_share(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        (self.loopback || !ip.is_loopback()) && !self.exempt.contains(&ip)
    }
}

/// An address, or what stands for all that one subscriber has of IPv6: a /64.
pub fn network_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

/// Why a connection gets no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The address has its share, and needs all of it.
    #[error("its address has its share of connections, and none of them is idle")]
    Share,
    /// There are as many as may be, and none that may go for it.
    #[error("there are too many connections, and none of an address with more of them is idle")]
    All,
}

/// What becomes of a connection that has been idle for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// It is closed in order.
    Close(ConnectionId),
    /// It was, and its peer does not let go.
    Drop(ConnectionId),
}

#[derive(Debug)]
struct Row {
    /// Its peer's address.
    place: IpAddr,
    /// Whether it counts for its address's share.
    shared: bool,
    /// Whether it is being closed already.
    closing: bool,
    /// Where it stands in the order.
    key: Timestamp,
    /// The last message.
    active: Timestamp,
    /// Whether somebody waits for an answer.
    busy: bool,
    carries: Carries,
}

impl Row {
    /// Since when it is idle, or from when on it will be.
    fn free(&self) -> Timestamp {
        let waits = if self.busy {
            self.active + TRANSACTION
        } else {
            self.active
        };
        waits.max(self.carries.until())
    }
}

/// The connections of a listener, or of a shard.
#[derive(Debug, Default)]
pub struct Room {
    rules: Rules,
    tally: Tally,
    rows: FxHashMap<ConnectionId, Row>,
    /// All of them, the one that is idle for the longest time first.
    order: BTreeSet<(Timestamp, ConnectionId)>,
    /// Those of an address, likewise.
    places: FxHashMap<IpAddr, BTreeSet<(Timestamp, ConnectionId)>>,
    /// Addresses by how many they have, and since when one of these is idle; of several with as many the latest one first.
    sizes: BTreeSet<(usize, Reverse<Timestamp>, IpAddr)>,
}

impl Room {
    /// An empty one. Rooms that are given the same tally share its count of each address.
    pub fn new(rules: Rules, tally: Tally) -> Self {
        Self {
            rules,
            tally,
            ..Self::default()
        }
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether this one has its place.
    pub fn has(&self, id: ConnectionId) -> bool {
        self.rows.contains_key(&id)
    }

    /// How many addresses have a connection, and how many the one with most has.
    pub fn spread(&self) -> (usize, usize) {
        let most = self.sizes.last().map_or(0, |(size, ..)| *size);
        (self.places.len(), most)
    }

    /// A peer wants a connection. If another one must go for it, that has lost its place and is to be closed at once.
    pub fn enter(
        &mut self,
        now: Timestamp,
        id: ConnectionId,
        ip: IpAddr,
    ) -> Result<Option<ConnectionId>, Full> {
        self.take(now, id, ip, false)
    }

    /// We open a connection. Until the first message goes over it, it is waited for.
    pub fn open(
        &mut self,
        now: Timestamp,
        id: ConnectionId,
        ip: IpAddr,
    ) -> Result<Option<ConnectionId>, Full> {
        self.take(now, id, ip, true)
    }

    fn take(
        &mut self,
        now: Timestamp,
        id: ConnectionId,
        ip: IpAddr,
        opened: bool,
    ) -> Result<Option<ConnectionId>, Full> {
        let place = network_of(ip);
        let shared = self.rules.has_share(ip);
        let mut gone = None;
        if shared && !self.tally.take(place, self.rules.share) {
            let own = self.oldest_of(now, place).ok_or(Full::Share)?;
            self.leave(own);
            gone = Some(own);
            if !self.tally.take(place, self.rules.share) {
                // Another room was faster.
                return Err(Full::Share);
            }
        }
        if self.rows.len() >= self.rules.most {
            let Some(other) = self.longest_idle(now, Some(place)) else {
                if shared {
                    self.tally.give(place);
                }
                return Err(Full::All);
            };
            self.leave(other);
            gone = Some(other);
        }
        let mut carries = Carries::default();
        if opened && self.rules.keeps_opened {
            carries.keep(Timestamp::from_millis(u64::MAX));
        }
        let row = Row {
            place,
            shared,
            closing: false,
            key: now,
            active: now,
            busy: opened,
            carries,
        };
        self.order.insert((row.key, id));
        self.at_place(place, |own| own.insert((now, id)));
        self.rows.insert(id, row);
        Ok(gone)
    }

    /// A connection is no more.
    pub fn leave(&mut self, id: ConnectionId) {
        let Some(row) = self.rows.remove(&id) else {
            return;
        };
        if row.shared {
            self.tally.give(row.place);
        }
        self.order.remove(&(row.key, id));
        self.at_place(row.place, |own| own.remove(&(row.key, id)));
    }

    /// All connections are no more.
    pub fn clear(&mut self) {
        let ids: Vec<ConnectionId> = self.rows.keys().copied().collect();
        for id in ids {
            self.leave(id);
        }
    }

    /// A message came over a connection; `busy` if somebody waits for an answer now.
    pub fn used(&mut self, now: Timestamp, id: ConnectionId, busy: bool) {
        self.change(id, |row| (row.active, row.busy) = (now, busy));
    }

    /// A message that we send over a connection: it may say that the connection is needed, for how long, or no more.
    pub fn sent(&mut self, now: Timestamp, id: ConnectionId, bytes: &[u8], busy: bool) {
        self.change(id, |row| {
            (row.active, row.busy) = (now, busy);
            row.carries.sent(now, bytes);
        });
    }

    /// A response that came over a connection: it may say that the connection is needed no more.
    pub fn answered(&mut self, id: ConnectionId, bytes: &[u8]) {
        self.change(id, |row| row.carries.answered(bytes));
    }

    /// A connection is needed until this time, whatever goes over it.
    pub fn keep(&mut self, id: ConnectionId, until: Timestamp) {
        self.change(id, |row| row.carries.keep(until));
    }

    /// Later places in the order are found when they are looked at; earlier ones would not be.
    fn change(&mut self, id: ConnectionId, how: impl FnOnce(&mut Row)) {
        if let Some(row) = self.rows.get_mut(&id) {
            how(row);
            if row.free() < row.key {
                self.settle(id);
            }
        }
    }

    /// When a connection may be due; early rather than late.
    pub fn next_due(&self) -> Option<Timestamp> {
        let patience = self.rules.idle?;
        self.order.first().map(|(key, _)| *key + patience)
    }

    /// The next one that has been idle for too long. To be asked until there is none; who was told to close stays in the room
    /// until it has left.
    pub fn due(&mut self, now: Timestamp) -> Option<Due> {
        let patience = self.rules.idle?;
        while let Some(&(key, id)) = self.order.first()
            && key + patience <= now
        {
            if self.settle(id) + patience > now {
                continue;
            }
            let row = self.rows.get_mut(&id)?;
            let closing = std::mem::replace(&mut row.closing, true);
            row.active = now;
            row.busy = false;
            row.carries = Carries::default();
            self.settle(id);
            return Some(if closing {
                Due::Drop(id)
            } else {
                Due::Close(id)
            });
        }
        None
    }

    /// The one that may go first, as when the system has no room for another; it has lost its place.
    pub fn spare(&mut self, now: Timestamp) -> Option<ConnectionId> {
        let id = self.longest_idle(now, None)?;
        self.leave(id);
        Some(id)
    }

    /// The longest idle one of the address that has most: of those with more than the newcomer's, or of its own.
    fn longest_idle(&mut self, now: Timestamp, newcomer: Option<IpAddr>) -> Option<ConnectionId> {
        let own = newcomer.map_or(0, |place| self.size(place));
        let largest = self.sizes.iter().rev().map(|(.., place)| *place);
        let largest: Vec<IpAddr> = largest.take(TRIES).collect();
        for place in largest {
            if self.size(place) <= own && newcomer != Some(place) {
                break;
            }
            if let Some(found) = self.oldest_of(now, place) {
                return Some(found);
            }
        }
        // Those need all that they have; somebody else may have forgotten one.
        for _ in 0..TRIES {
            let &(key, id) = self.order.first()?;
            if key > now {
                break;
            }
            if self.settle(id) != key {
                continue;
            }
            let place = self.rows.get(&id)?.place;
            if self.size(place) > own {
                return Some(id);
            }
            break;
        }
        self.oldest_of(now, newcomer?)
    }

    fn size(&self, place: IpAddr) -> usize {
        self.places.get(&place).map_or(0, BTreeSet::len)
    }

    /// The longest idle one of an address.
    fn oldest_of(&mut self, now: Timestamp, place: IpAddr) -> Option<ConnectionId> {
        loop {
            let &(key, id) = self.places.get(&place)?.first()?;
            if key > now {
                return None;
            }
            if self.settle(id) == key {
                return Some(id);
            }
        }
    }

    /// Puts a connection where it belongs; answers since when it is idle.
    fn settle(&mut self, id: ConnectionId) -> Timestamp {
        let Some(row) = self.rows.get(&id) else {
            return Timestamp::default();
        };
        let free = row.free();
        self.put(id, free);
        free
    }

    fn put(&mut self, id: ConnectionId, key: Timestamp) {
        let Some(row) = self.rows.get_mut(&id) else {
            return;
        };
        let old = std::mem::replace(&mut row.key, key);
        if old == key {
            return;
        }
        self.order.remove(&(old, id));
        self.order.insert((key, id));
        let place = row.place;
        self.at_place(place, |own| own.remove(&(old, id)) && own.insert((key, id)));
    }

    /// Changes what an address has, and its own place by that.
    fn at_place(
        &mut self,
        place: IpAddr,
        change: impl FnOnce(&mut BTreeSet<(Timestamp, ConnectionId)>) -> bool,
    ) {
        let own = self.places.entry(place).or_default();
        let rank = |own: &BTreeSet<(Timestamp, ConnectionId)>| {
            own.first()
                .map(|(key, _)| (own.len(), Reverse(*key), place))
        };
        let before = rank(own);
        change(own);
        let after = rank(own);
        if after.is_none() {
            self.places.remove(&place);
        }
        if before != after {
            if let Some(before) = before {
                self.sizes.remove(&before);
            }
            self.sizes.extend(after);
        }
    }
}
