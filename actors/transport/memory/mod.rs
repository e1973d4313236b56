//! The memory network: hosts in one process, joined by links that delay, lose, duplicate, reorder and break.
//!
//! All randomness comes from one [`Entropy`], all time from the runtime's clock, and everything is moved by one task in
//! order of (time, sequence): the same seed and the same actors give the same run, bit for bit, on a paused clock and
//! one thread. There is no task and no timer per packet.
//!
//! ```text
//!  try_send_to ──> fate (loss, copies) ──> queue by (deliver at, sequence) ──> pump ──> socket's queue ──> try_recv
//! ```

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rollcall_core::entropy::Entropy;
use rollcall_core::resolve::{Answer, Question};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

mod datagram;
mod handles;
mod hosts;
mod link;
mod pump;
mod state;
mod stream;
#[cfg(test)]
mod tests;

pub use link::{Carrier, Delivery, Fate, Link, Statistics};

pub(super) use datagram::MemoryDatagram;
pub(super) use handles::{MemoryListener, MemoryStream};
use state::{Connecting, Event, HostId, State};

use stream::{PATIENCE, Side};

/// State of a network and the way to its pump.
struct Shared {
    state: Mutex<State>,
    told: Arc<Notify>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock can only be the observer's; the state is whole all the same.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the pump to look again, if `so`.
    fn tell(self: &Arc<Self>, so: bool) {
        if !so {
            return;
        }
        if !std::mem::replace(&mut self.lock().pumping, true) {
            // At the first use, since only then it is sure that a runtime is there.
            tokio::spawn(pump::pump(Arc::downgrade(self), Arc::clone(&self.told)));
        }
        self.told.notify_one();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The pump finds the network gone and ends.
        self.told.notify_one();
    }
}

/// A network of hosts within the process. Clones are handles of the same network.
#[derive(Clone)]
pub struct MemoryNetwork {
    shared: Arc<Shared>,
}

impl fmt::Debug for MemoryNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryNetwork")
            .field("hosts", &self.shared.lock().hosts.len())
            .finish()
    }
}

impl MemoryNetwork {
    /// A network without hosts, whose links are perfect until they are set. Its time begins now.
    pub fn new(entropy: Entropy) -> Self {
        let shared = Shared {
            state: Mutex::new(State::new(entropy)),
            told: Arc::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Adds a host; its name resolves to its addresses. A name that is there already gives that host.
    pub fn host(&self, name: &str, addresses: &[IpAddr]) -> MemoryHost {
        let mut state = self.shared.lock();
        let id = state.add_host(name, addresses);
        let incarnation = state.hosts[id as usize].incarnation;
        MemoryHost {
            shared: Arc::clone(&self.shared),
            id,
            incarnation,
        }
    }

    /// The host of that name, as it is now.
    pub fn find(&self, name: &str) -> Option<MemoryHost> {
        let state = self.shared.lock();
        let id = state.host(name)?;
        let incarnation = state.hosts[id as usize].incarnation;
        Some(MemoryHost {
            shared: Arc::clone(&self.shared),
            id,
            incarnation,
        })
    }

    /// Lets a further name, such as a domain, resolve to addresses.
    pub fn alias(&self, name: &str, addresses: &[IpAddr]) {
        self.shared.lock().alias(name, addresses.to_vec());
    }

    /// Lets the DNS of this network answer a question so, from now on: NAPTR and SRV, or an address that can't be found.
    pub fn answer(&self, question: Question, answer: Answer) {
        self.shared.lock().zone.insert(question, answer);
    }

    /// How all links behave that are not set one by one.
    pub fn set_default_link(&self, link: Link) {
        self.shared.lock().default_link = link;
    }

    /// How the link between two hosts behaves, in both directions.
    pub fn set_link(&self, a: &MemoryHost, b: &MemoryHost, link: Link) {
        let mut state = self.shared.lock();
        state.links.insert((a.id, b.id), link);
        state.links.insert((b.id, a.id), link);
    }

    /// Cuts every host of `a` off from every host of `b`. Datagrams vanish; streams stall, and break after a minute.
    pub fn partition(&self, a: &[&MemoryHost], b: &[&MemoryHost]) {
        let mut state = self.shared.lock();
        for (x, y) in pairs(a, b) {
            state.blocked.insert((x, y));
            state.blocked.insert((y, x));
        }
    }

    /// Joins every host of `a` with every host of `b` again.
    pub fn heal(&self, a: &[&MemoryHost], b: &[&MemoryHost]) {
        let mut state = self.shared.lock();
        for (x, y) in pairs(a, b) {
            state.blocked.remove(&(x, y));
            state.blocked.remove(&(y, x));
        }
        let tell = state.release_streams();
        drop(state);
        self.shared.tell(tell);
    }

    /// Ends all partitions.
    pub fn heal_all(&self) {
        let mut state = self.shared.lock();
        state.blocked.clear();
        let tell = state.release_streams();
        drop(state);
        self.shared.tell(tell);
    }

    /// Kills a host: its sockets and streams die at once, what is under way to it vanishes when it arrives, the other
    /// ends of its streams are reset, and its handles are of no use any more.
    pub fn crash(&self, host: &MemoryHost) {
        let tell = self.shared.lock().crash(host.id);
        self.shared.tell(tell);
    }

    /// Brings a crashed host up again, without sockets. Gives the handle for its new life.
    pub fn restart(&self, host: &MemoryHost) -> MemoryHost {
        let mut state = self.shared.lock();
        let row = &mut state.hosts[host.id as usize];
        row.up = true;
        MemoryHost {
            shared: Arc::clone(&self.shared),
            id: host.id,
            incarnation: row.incarnation,
        }
    }

    /// What happened so far.
    pub fn statistics(&self) -> Statistics {
        self.shared.lock().statistics
    }

    /// Shows everything that leaves, arrives or is lost to `observer`, in order. It runs under the network's lock: it must not
    /// call the network.
    pub fn observe(&self, observer: impl FnMut(&Delivery<'_>) + Send + 'static) {
        self.shared.lock().observer = Some(Box::new(observer));
    }
}

fn pairs<'a>(
    a: &'a [&MemoryHost],
    b: &'a [&MemoryHost],
) -> impl Iterator<Item = (HostId, HostId)> + 'a {
    a.iter()
        .flat_map(move |x| b.iter().map(move |y| (x.id, y.id)))
        .filter(|(x, y)| x != y)
}

/// One host of a [`MemoryNetwork`], in one of its lives: after a crash the handle is dead, and a new one is needed.
#[derive(Clone)]
pub struct MemoryHost {
    shared: Arc<Shared>,
    id: HostId,
    incarnation: u32,
}

impl fmt::Debug for MemoryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MemoryHost").field(&self.name()).finish()
    }
}

impl MemoryHost {
    /// Its name.
    pub fn name(&self) -> String {
        self.shared.lock().hosts[self.id as usize].name.clone()
    }

    /// Its first address.
    pub fn address(&self) -> Option<IpAddr> {
        self.shared.lock().hosts[self.id as usize]
            .addresses
            .first()
            .copied()
    }

    /// Whether it is up, in the same life as this handle.
    pub fn is_up(&self) -> bool {
        let state = self.shared.lock();
        let row = &state.hosts[self.id as usize];
        row.up && row.incarnation == self.incarnation
    }

    fn alive(&self) -> io::Result<()> {
        if self.is_up() {
            Ok(())
        } else {
            Err(io::Error::new(
                io::ErrorKind::NetworkDown,
                "the host has crashed",
            ))
        }
    }

    pub(super) fn listen(&self, addr: SocketAddr, shared: bool) -> io::Result<MemoryListener> {
        self.alive()?;
        let (key, addr) = self.shared.lock().listen(self.id, addr, shared)?;
        Ok(MemoryListener {
            shared: Arc::clone(&self.shared),
            key,
            addr,
        })
    }

    pub(super) fn datagram(
        &self,
        addr: SocketAddr,
        reuse_port: bool,
    ) -> io::Result<MemoryDatagram> {
        self.alive()?;
        let (key, addr) = self.shared.lock().bind(self.id, addr, reuse_port)?;
        Ok(MemoryDatagram {
            shared: Arc::clone(&self.shared),
            key,
            addr,
        })
    }

    pub(super) async fn connect(&self, to: SocketAddr) -> io::Result<MemoryStream> {
        self.alive()?;
        let mut pending = self.start_connect(to)?;
        match (&mut pending.outcome).await {
            Ok(result) => {
                let id = result?;
                pending.taken = true;
                MemoryStream::of(&self.shared, id, Side::Client)
            }
            // The network forgot the connect: this host has crashed.
            Err(_) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    fn start_connect(&self, to: SocketAddr) -> io::Result<Pending> {
        let mut state = self.shared.lock();
        let to_host = state
            .host_at(self.id, to.ip())
            .ok_or(io::ErrorKind::NetworkUnreachable)?;
        let ip = state.address_towards(self.id, to.ip())?;
        let from = SocketAddr::new(ip, state.free_port(self.id));
        let (waiting, outcome) = oneshot::channel();
        let connect = state.fresh_connection();
        let now = Instant::now();
        let connecting = Connecting {
            host: self.id,
            from,
            to_host,
            to,
            give_up: now + PATIENCE,
            waiting,
        };
        state.connecting.insert(connect, connecting);
        let link = state.link(self.id, to_host);
        let delay = state.latency(link);
        let tell = state.schedule(now + delay, Event::Syn { connect });
        drop(state);
        self.shared.tell(tell);
        Ok(Pending {
            shared: Arc::clone(&self.shared),
            connect,
            outcome,
            taken: false,
        })
    }

    pub(super) fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let addresses = match self.shared.lock().addresses_of(host) {
            Some(addresses) if !addresses.is_empty() => addresses,
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("{host} has no address"),
                ));
            }
        };
        Ok(addresses
            .into_iter()
            .map(|ip| SocketAddr::new(ip, port))
            .collect())
    }

    pub(crate) fn ask(&self, question: &Question) -> Answer {
        self.shared.lock().answer(question)
    }

    pub(super) fn local_towards(&self, remote: SocketAddr) -> io::Result<IpAddr> {
        self.shared.lock().address_towards(self.id, remote.ip())
    }
}

/// A connect somebody waits for; whoever stops waiting leaves nothing behind.
struct Pending {
    shared: Arc<Shared>,
    connect: u64,
    outcome: oneshot::Receiver<io::Result<u64>>,
    taken: bool,
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.taken {
            return;
        }
        let mut state = self.shared.lock();
        state.connecting.remove(&self.connect);
        self.outcome.close();
        let mut tell = false;
        if let Ok(Ok(connection)) = self.outcome.try_recv() {
            tell = state.leave(connection, Side::Client);
        }
        drop(state);
        self.shared.tell(tell);
    }
}
