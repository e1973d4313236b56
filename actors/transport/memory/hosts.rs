//! Hosts of the memory network, their names and addresses, what they have bound, and their crashes.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rollcall_core::resolve::{Answer, Question};
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::state::{FIRST_FREE_PORT, Host, HostId, Listening, Socket, State};
use super::stream::Side;

impl State {
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

    /// What the DNS of this network says: what it was told, else the addresses of names, else that there is nothing.
    pub fn answer(&self, question: &Question) -> Answer {
        if let Some(answer) = self.zone.get(question) {
            return answer.clone();
        }
        match question {
            Question::Naptr(_) => Answer::Naptr(Vec::new()),
            Question::Srv(_) => Answer::Srv(Vec::new()),
            Question::Address(name) => {
                let known = self.addresses_of(name.trim_end_matches('.'));
                Answer::Addresses(known.unwrap_or_default())
            }
        }
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
pub(super) fn chosen(there: &[usize], from: SocketAddr) -> Option<usize> {
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
