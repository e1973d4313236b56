//! All that the network knows: hosts, sockets, what is under way. One lock around it, never held while others' code runs
//! (but the observer's).

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use rollcall_core::entropy::Entropy;
use rollcall_core::resolve::{Answer, Question};
use rustc_hash::FxHashMap;
use slab::Slab;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::link::{Carrier, Delivery, Fate, Link, Statistics};
use super::stream::{Connection, Segment, Side};

/// Index of a host.
pub(super) type HostId = u32;

/// First port given for port 0 (IANA's dynamic range).
pub(super) const FIRST_FREE_PORT: u16 = 49_152;

/// Datagrams that wait in a socket; more are dropped, as the kernel does.
pub(super) const SOCKET_QUEUE: usize = 16_384;

pub(super) type Observer = Box<dyn FnMut(&Delivery<'_>) + Send>;

pub(super) struct Host {
    pub name: String,
    pub addresses: Vec<IpAddr>,
    /// Counted up by each crash: handles and sockets of an earlier one are dead.
    pub incarnation: u32,
    pub up: bool,
    pub next_port: u16,
}

pub(super) struct Socket {
    pub host: HostId,
    pub addr: SocketAddr,
    pub reuse: bool,
    pub dead: bool,
    pub queue: VecDeque<(Bytes, SocketAddr)>,
    pub waker: Option<Waker>,
}

pub(super) struct Listening {
    pub host: HostId,
    pub addr: SocketAddr,
    pub reuse: bool,
    pub dead: bool,
    /// Connections to be accepted.
    pub queue: VecDeque<u64>,
    pub waker: Option<Waker>,
}

/// A connect under way: who waits for it.
pub(super) struct Connecting {
    pub host: HostId,
    pub from: SocketAddr,
    pub to_host: HostId,
    pub to: SocketAddr,
    pub give_up: Instant,
    pub waiting: oneshot::Sender<io::Result<u64>>,
}

pub(super) enum Event {
    Datagram {
        from_host: HostId,
        from: SocketAddr,
        to_host: HostId,
        to: SocketAddr,
        number: u64,
        bytes: Bytes,
    },
    Segment {
        connection: u64,
        sender: Side,
        segment: Segment,
    },
    /// A partition has healed: what waited goes on.
    Release {
        connection: u64,
        sender: Side,
    },
    /// A stream has stalled for too long, if it has stalled since then.
    GiveUp {
        connection: u64,
        sender: Side,
        since: Instant,
    },
    Syn {
        connect: u64,
    },
    Established {
        connect: u64,
        connection: u64,
    },
    Refused {
        connect: u64,
    },
}

pub(super) struct Scheduled {
    pub at: Instant,
    /// Order among things due at the same instant.
    seq: u64,
    pub event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.seq == other.seq
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Reversed: the heap's greatest is the earliest.
        (other.at, other.seq).cmp(&(self.at, self.seq))
    }
}

pub(super) struct State {
    pub entropy: Entropy,
    pub born: Instant,
    pub hosts: Vec<Host>,
    pub by_name: BTreeMap<String, HostId>,
    pub aliases: BTreeMap<String, Vec<IpAddr>>,
    /// Answers of its DNS, beyond the addresses of names.
    pub zone: BTreeMap<Question, Answer>,
    pub by_address: FxHashMap<IpAddr, HostId>,
    pub default_link: Link,
    pub links: FxHashMap<(HostId, HostId), Link>,
    /// Pairs that can't reach each other, both directions listed.
    pub blocked: BTreeSet<(HostId, HostId)>,
    pub queue: BinaryHeap<Scheduled>,
    seq: u64,
    pub sockets: Slab<Socket>,
    pub bound: FxHashMap<(HostId, SocketAddr), Vec<usize>>,
    pub listeners: Slab<Listening>,
    pub listening: FxHashMap<(HostId, SocketAddr), Vec<usize>>,
    /// Ordered: crashes and healings walk over them.
    pub connections: BTreeMap<u64, Connection>,
    pub connecting: BTreeMap<u64, Connecting>,
    pub next_connection: u64,
    /// The latest datagram delivered for each pair of hosts, for the count of reordered ones.
    pub latest: FxHashMap<(HostId, HostId), u64>,
    pub statistics: Statistics,
    pub observer: Option<Observer>,
    /// When the pump will look next; `None` while it waits to be told.
    pub armed: Option<Instant>,
    pub pumping: bool,
}

impl State {
    pub fn new(entropy: Entropy) -> Self {
        Self {
            entropy,
            born: Instant::now(),
            hosts: Vec::new(),
            by_name: BTreeMap::new(),
            aliases: BTreeMap::new(),
            zone: BTreeMap::new(),
            by_address: FxHashMap::default(),
            default_link: Link::default(),
            links: FxHashMap::default(),
            blocked: BTreeSet::new(),
            queue: BinaryHeap::new(),
            seq: 0,
            sockets: Slab::new(),
            bound: FxHashMap::default(),
            listeners: Slab::new(),
            listening: FxHashMap::default(),
            connections: BTreeMap::new(),
            connecting: BTreeMap::new(),
            next_connection: 0,
            latest: FxHashMap::default(),
            statistics: Statistics::default(),
            observer: None,
            armed: None,
            pumping: false,
        }
    }

    pub fn link(&self, from: HostId, to: HostId) -> Link {
        if let Some(link) = self.links.get(&(from, to)) {
            return *link;
        }
        // A host reaches itself at once.
        if from == to {
            Link::default()
        } else {
            self.default_link
        }
    }

    pub fn is_blocked(&self, a: HostId, b: HostId) -> bool {
        !self.blocked.is_empty() && self.blocked.contains(&(a, b))
    }

    /// How long the next thing takes over a link.
    pub fn latency(&mut self, link: Link) -> Duration {
        let jitter = u64::try_from(link.jitter.as_micros()).unwrap_or(u64::MAX);
        link.delay
            + Duration::from_micros(
                self.entropy
                    .below(jitter.saturating_add(u64::from(jitter > 0))),
            )
    }

    /// Puts something on its way. True if the pump must be told, since it would look too late.
    pub fn schedule(&mut self, at: Instant, event: Event) -> bool {
        self.seq += 1;
        self.queue.push(Scheduled {
            at,
            seq: self.seq,
            event,
        });
        match self.armed {
            Some(armed) if armed <= at => false,
            _ => {
                self.armed = Some(at);
                true
            }
        }
    }

    pub fn observe(
        &mut self,
        (from, to): (SocketAddr, SocketAddr),
        carrier: Carrier,
        fate: Fate,
        number: u64,
        bytes: &Bytes,
    ) {
        if let Some(observer) = &mut self.observer {
            let at = self.born.elapsed();
            observer(&Delivery {
                at,
                from,
                to,
                carrier,
                fate,
                number,
                bytes,
            });
        }
    }
}
