//! All that the network knows: hosts, sockets, what is under way. One lock around it, never held while others' code runs
//! (but the observer's).

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::hash::BuildHasher;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use rollcall_core::entropy::Entropy;
use rustc_hash::{FxBuildHasher, FxHashMap};
use slab::Slab;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::link::{Carrier, Delivery, Fate, Link, Statistics};
use super::stream::{Connection, Segment, Side};

/// Index of a host.
pub(super) type HostId = u32;

/// First port given for port 0 (IANA's dynamic range).
const FIRST_FREE_PORT: u16 = 49_152;

/// Datagrams that wait in a socket; more are dropped, as the kernel does.
const SOCKET_QUEUE: usize = 16_384;

pub(super) type Observer = Box<dyn FnMut(&Delivery<'_>) + Send>;

pub(super) struct Host {
    pub name: String,
    pub addresses: Vec<IpAddr>,
    /// Counted up by each crash: handles and sockets of an earlier one are dead.
    pub incarnation: u32,
    pub up: bool,
    next_port: u16,
}

pub(super) struct Socket {
    pub host: HostId,
    pub addr: SocketAddr,
    reuse: bool,
    pub dead: bool,
    pub queue: VecDeque<(Bytes, SocketAddr)>,
    pub waker: Option<Waker>,
}

pub(super) struct Listening {
    pub host: HostId,
    pub addr: SocketAddr,
    reuse: bool,
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
    by_name: BTreeMap<String, HostId>,
    aliases: BTreeMap<String, Vec<IpAddr>>,
    by_address: FxHashMap<IpAddr, HostId>,
    pub default_link: Link,
    pub links: FxHashMap<(HostId, HostId), Link>,
    /// Pairs that can't reach each other, both directions listed.
    pub blocked: BTreeSet<(HostId, HostId)>,
    pub queue: BinaryHeap<Scheduled>,
    seq: u64,
    pub sockets: Slab<Socket>,
    bound: FxHashMap<(HostId, SocketAddr), Vec<usize>>,
    pub listeners: Slab<Listening>,
    listening: FxHashMap<(HostId, SocketAddr), Vec<usize>>,
    /// Ordered: crashes and healings walk over them.
    pub connections: BTreeMap<u64, Connection>,
    pub connecting: BTreeMap<u64, Connecting>,
    next_connection: u64,
    /// The latest datagram delivered for each pair of hosts, for the count of reordered ones.
    latest: FxHashMap<(HostId, HostId), u64>,
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

    // ---- hosts and names ----

    pub fn add_host(&mut self, name: &str, addresses: &[IpAddr]) -> HostId {
        if let Some(&known) = self.by_name.get(name) {
            return known;
        }
        let id = u32::try_from(self.hosts.len()).unwrap_or(u32::MAX);
        for &address in addresses {
            self.by_address.entry(address).or_insert(id);
        }
        self.by_name.insert(name.to_owned(), id);
        self.hosts.push(Host {
            name: name.to_owned(),
            addresses: addresses.to_vec(),
            incarnation: 0,
            up: true,
            next_port: FIRST_FREE_PORT,
        });
        id
    }

    pub fn host(&self, name: &str) -> Option<HostId> {
        self.by_name.get(name).copied()
    }

    pub fn alias(&mut self, name: &str, addresses: Vec<IpAddr>) {
        self.aliases.insert(name.to_ascii_lowercase(), addresses);
    }

    pub fn addresses_of(&self, name: &str) -> Option<Vec<IpAddr>> {
        let lower = name.to_ascii_lowercase();
        if let Some(addresses) = self.aliases.get(&lower) {
            return Some(addresses.clone());
        }
        self.hosts
            .iter()
            .find(|h| h.name.eq_ignore_ascii_case(name))
            .map(|h| h.addresses.clone())
    }

    /// The host that has an address, as seen from `from`: loopback is everybody's own.
    pub fn host_at(&self, from: HostId, ip: IpAddr) -> Option<HostId> {
        if let Some(&host) = self.by_address.get(&ip) {
            return Some(host);
        }
        ip.is_loopback().then_some(from)
    }

    /// The address of `host` that a peer at `remote` sees.
    pub fn address_towards(&self, host: HostId, remote: IpAddr) -> io::Result<IpAddr> {
        if remote.is_loopback() && !self.by_address.contains_key(&remote) {
            return Ok(remote);
        }
        self.own_address(host, remote.is_ipv6())
    }

    fn own_address(&self, host: HostId, v6: bool) -> io::Result<IpAddr> {
        let addresses = &self.hosts[host as usize].addresses;
        addresses
            .iter()
            .copied()
            .find(|a| a.is_ipv6() == v6)
            .ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::AddrNotAvailable,
                    "the host has no address of that family",
                )
            })
    }

    /// The address to bind: the host's own for the unspecified one, a free port for port 0.
    fn own(&mut self, host: HostId, addr: SocketAddr) -> io::Result<SocketAddr> {
        let ip = match addr.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => self.own_address(host, false)?,
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => self.own_address(host, true)?,
            ip if self.host_at(host, ip) == Some(host) => ip,
            _ => return Err(io::ErrorKind::AddrNotAvailable.into()),
        };
        let port = if addr.port() == 0 {
            self.free_port(host)
        } else {
            addr.port()
        };
        Ok(SocketAddr::new(ip, port))
    }

    pub fn free_port(&mut self, host: HostId) -> u16 {
        let host = &mut self.hosts[host as usize];
        let port = host.next_port;
        host.next_port = port.checked_add(1).unwrap_or(FIRST_FREE_PORT);
        port
    }

    // ---- sockets ----

    pub fn bind(
        &mut self,
        host: HostId,
        addr: SocketAddr,
        reuse: bool,
    ) -> io::Result<(usize, SocketAddr)> {
        let addr = self.own(host, addr)?;
        let there = self.bound.entry((host, addr)).or_default();
        if there.iter().any(|&key| !(reuse && self.sockets[key].reuse)) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let socket = Socket {
            host,
            addr,
            reuse,
            dead: false,
            queue: VecDeque::new(),
            waker: None,
        };
        let key = self.sockets.insert(socket);
        there.push(key);
        Ok((key, addr))
    }

    pub fn unbind(&mut self, key: usize) {
        if let Some(socket) = self.sockets.try_remove(key) {
            forget(&mut self.bound, (socket.host, socket.addr), key);
        }
    }

    pub fn listen(
        &mut self,
        host: HostId,
        addr: SocketAddr,
        reuse: bool,
    ) -> io::Result<(usize, SocketAddr)> {
        let addr = self.own(host, addr)?;
        let there = self.listening.entry((host, addr)).or_default();
        if there
            .iter()
            .any(|&key| !(reuse && self.listeners[key].reuse))
        {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let listening = Listening {
            host,
            addr,
            reuse,
            dead: false,
            queue: VecDeque::new(),
            waker: None,
        };
        let key = self.listeners.insert(listening);
        there.push(key);
        Ok((key, addr))
    }

    pub fn unlisten(&mut self, key: usize) -> VecDeque<u64> {
        let Some(listening) = self.listeners.try_remove(key) else {
            return VecDeque::new();
        };
        forget(&mut self.listening, (listening.host, listening.addr), key);
        listening.queue
    }

    /// The listener that takes a stream from `from`: a peer sticks to one, as the kernel's sharing does it.
    pub fn listener_for(&self, host: HostId, to: SocketAddr, from: SocketAddr) -> Option<usize> {
        chosen(self.listening.get(&(host, to))?, from)
    }

    pub fn fresh_connection(&mut self) -> u64 {
        self.next_connection += 1;
        self.next_connection
    }

    // ---- links ----

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

    // ---- datagrams ----

    /// Sends a datagram. True if the pump must be told.
    pub fn send(&mut self, key: usize, bytes: &Bytes, to: SocketAddr) -> io::Result<bool> {
        let socket = &self.sockets[key];
        if socket.dead {
            return Err(io::ErrorKind::NotConnected.into());
        }
        if bytes.len() > 65_507 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "message too long for a datagram",
            ));
        }
        let (from_host, from) = (socket.host, socket.addr);
        self.statistics.sent += 1;
        let Some(to_host) = self.host_at(from_host, to.ip()) else {
            self.statistics.unreachable += 1;
            self.observe(from, to, Carrier::Datagram, Fate::Unreachable, bytes);
            return Ok(false);
        };
        let link = self.link(from_host, to_host);
        if self.entropy.chance(link.loss) {
            self.statistics.lost += 1;
            self.observe(from, to, Carrier::Datagram, Fate::Lost, bytes);
            return Ok(false);
        }
        let copies = if self.entropy.chance(link.duplicate) {
            2
        } else {
            1
        };
        self.statistics.duplicated += copies - 1;
        let number = self.statistics.sent;
        let now = Instant::now();
        let mut tell = false;
        for _ in 0..copies {
            let at = now + self.latency(link);
            let event = Event::Datagram {
                from_host,
                from,
                to_host,
                to,
                number,
                bytes: bytes.clone(),
            };
            tell |= self.schedule(at, event);
        }
        Ok(tell)
    }

    /// A datagram is there.
    pub fn arrive(
        &mut self,
        (from_host, from): (HostId, SocketAddr),
        (to_host, to): (HostId, SocketAddr),
        number: u64,
        bytes: Bytes,
    ) {
        let fate = if self.is_blocked(from_host, to_host) {
            self.statistics.partitioned += 1;
            Fate::Partitioned
        } else {
            let receiver = self
                .bound
                .get(&(to_host, to))
                .and_then(|there| chosen(there, from));
            match receiver.map(|key| &mut self.sockets[key]) {
                None => {
                    self.statistics.unreachable += 1;
                    Fate::Unreachable
                }
                Some(socket) if socket.queue.len() >= SOCKET_QUEUE => {
                    self.statistics.overflowed += 1;
                    Fate::Overflowed
                }
                Some(socket) => {
                    socket.queue.push_back((bytes.clone(), from));
                    if let Some(waker) = socket.waker.take() {
                        waker.wake();
                    }
                    self.statistics.delivered += 1;
                    let latest = self.latest.entry((from_host, to_host)).or_default();
                    self.statistics.reordered += u64::from(number < *latest);
                    *latest = number.max(*latest);
                    Fate::Delivered
                }
            }
        };
        self.observe(from, to, Carrier::Datagram, fate, &bytes);
    }

    pub fn observe(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        carrier: Carrier,
        fate: Fate,
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
                bytes,
            });
        }
    }

    // ---- crashes ----

    /// All sockets of a host die; its streams' other ends learn it after the link's delay. True if the pump must be told.
    pub fn crash(&mut self, host: HostId) -> bool {
        let row = &mut self.hosts[host as usize];
        row.up = false;
        row.incarnation += 1;
        for (key, socket) in self
            .sockets
            .iter_mut()
            .filter(|(_, s)| s.host == host && !s.dead)
        {
            socket.dead = true;
            socket.queue.clear();
            forget(&mut self.bound, (host, socket.addr), key);
            if let Some(waker) = socket.waker.take() {
                waker.wake();
            }
        }
        let mut unaccepted = Vec::new();
        for (key, listening) in self
            .listeners
            .iter_mut()
            .filter(|(_, l)| l.host == host && !l.dead)
        {
            listening.dead = true;
            unaccepted.extend(listening.queue.drain(..));
            forget(&mut self.listening, (host, listening.addr), key);
            if let Some(waker) = listening.waker.take() {
                waker.wake();
            }
        }
        // Those who wait for a connect are told by the sender's end being dropped.
        self.connecting
            .retain(|_, connecting| connecting.host != host);
        let tell = self.crash_streams(host);
        for connection in unaccepted {
            self.leave(connection, Side::Server);
        }
        tell
    }
}

/// One of several sockets on one address: by the peer, so that it sticks to it.
fn chosen(there: &[usize], from: SocketAddr) -> Option<usize> {
    let share = match there {
        [] => return None,
        [_] => 0,
        // The upper bits are the well-mixed ones.
        _ => (FxBuildHasher.hash_one(from) >> 32) as usize % there.len(),
    };
    there.get(share).copied()
}

fn forget(
    table: &mut FxHashMap<(HostId, SocketAddr), Vec<usize>>,
    at: (HostId, SocketAddr),
    key: usize,
) {
    if let Some(there) = table.get_mut(&at) {
        there.retain(|&k| k != key);
        if there.is_empty() {
            table.remove(&at);
        }
    }
}
