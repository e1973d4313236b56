//! The simulated world: nodes on a memory network, and what happens to them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use actix::prelude::*;
use rollcall_core::entropy::Entropy;
use serde_json::Value;
use tokio::task::JoinHandle;

mod birth;
mod harm;
mod places;
mod scribe;

use super::books::Books;
use super::caller::{Caller, Manners};
use super::disk::{Health, SimDisk};
use super::people::People;
use super::sabotage::Sabotage;
use super::source::Source;
use crate::clock::Clock;
use crate::config;
use crate::messages::TakeSnapshot;
use crate::node::{ClientNode, Crash, ManagerNode, NodeError, ServerNode, Stack};
use crate::transport::memory::Link;
use crate::transport::{MemoryHost, MemoryNetwork, Network};
use crate::watch::Watcher;
use places::{address, link, people_of, watchers};

/// Longer than an actor needs for a picture of itself.
const A_MOMENT: Duration = Duration::from_millis(1);

const SIP_PORT: u16 = 5060;
const MANAGER_PORT: u16 = 7000;

/// What can crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The Presence Server.
    Server,
    /// A Manager.
    Manager(usize),
    /// A Presence Client.
    Client(usize),
    /// A host of watchers.
    Watchers(usize),
}

/// The world.
pub struct World {
    settings: config::Simulate,
    clock: Clock,
    entropy: Entropy,
    network: MemoryNetwork,
    books: Books,
    disk: SimDisk,
    health: Health,
    /// The server does nothing.
    is_stalled: bool,
    /// How far clocks are ahead that were set, in milliseconds.
    clocks: BTreeMap<Who, i64>,
    /// Where Presence Clients keep their entity-tags.
    folder: PathBuf,
    server: (MemoryHost, Option<ServerNode>),
    managers: Vec<(MemoryHost, Option<ManagerNode>)>,
    clients: Vec<(MemoryHost, Option<ClientNode>)>,
    watchers: Vec<WatcherHost>,
    sources: Vec<(MemoryHost, JoinHandle<()>)>,
    callers: Vec<(MemoryHost, JoinHandle<()>)>,
    sabotage: Option<Sabotage>,
    /// Last pictures of the actors of nodes that have crashed.
    past: Pictures,
}

/// Pictures of actors, under the names of their nodes.
pub type Pictures = Vec<(String, Vec<Value>)>;

/// A host with one watcher of many presentities.
struct WatcherHost {
    host: MemoryHost,
    entities: Vec<String>,
    running: Option<(Stack, Addr<Watcher>)>,
}

impl World {
    /// A world with everything in its place and nothing running.
    pub fn new(
        settings: &config::Simulate,
        sabotage: Option<Sabotage>,
        clock: Clock,
        books: Books,
        (disk, folder): (SimDisk, PathBuf),
    ) -> Self {
        let mut entropy = Entropy::from_number(settings.seed);
        let network = MemoryNetwork::new(entropy.fork());
        network.set_default_link(link(settings));
        let host = |group, number, name: String| {
            let address = address(group, number);
            books.with(|_, observer| observer.name(address, &name));
            network.host(&name, &[address])
        };
        let server = host(0, 0, "server".to_owned());
        let mut managers = Vec::new();
        let mut clients = Vec::new();
        let mut homes = Vec::new();
        for number in 0..settings.managers {
            managers.push((host(1, number, format!("manager-{}", number + 1)), None));
            clients.push((host(2, number, format!("client-{}", number + 1)), None));
            homes.push(host(3, number, format!("people-{}", number + 1)));
        }
        let watchers = watchers(settings, &mut entropy)
            .into_iter()
            .enumerate()
            .map(|(number, entities)| WatcherHost {
                host: host(4, number, format!("watchers-{}", number + 1)),
                entities,
                running: None,
            })
            .collect();
        let until = clock.now() + settings.duration;
        let mut sources = Vec::new();
        for (number, home) in homes.into_iter().enumerate() {
            let source = Source {
                number: u32::try_from(number).unwrap_or(u32::MAX),
                people: People::new(
                    people_of(settings, number),
                    settings.change_every,
                    clock.now(),
                    entropy.fork(),
                ),
                manager: SocketAddr::new(address(1, number), MANAGER_PORT),
                network: Network::Memory(home.clone()),
                clock,
                books: books.clone(),
                until,
                sabotage: sabotage.filter(|_| number == 0),
            };
            sources.push((home, actix_rt::spawn(source.live())));
        }
        let callers = callers(settings, &network, &books, clock, &mut entropy);
        let observed = books.clone();
        network.observe(move |delivery| {
            observed.with(|ledger, observer| observer.see(delivery, ledger))
        });
        Self {
            settings: settings.clone(),
            clock,
            entropy,
            network,
            books,
            disk,
            health: Health::Good,
            is_stalled: false,
            clocks: BTreeMap::new(),
            folder,
            server: (server, None),
            managers,
            clients,
            watchers,
            sources,
            callers,
            sabotage,
            past: Vec::new(),
        }
    }

    /// Starts everything.
    pub async fn start(&mut self) -> Result<(), NodeError> {
        self.restart(Who::Server).await?;
        for number in 0..self.managers.len() {
            self.restart(Who::Manager(number)).await?;
            self.restart(Who::Client(number)).await?;
        }
        for number in 0..self.watchers.len() {
            self.restart(Who::Watchers(number)).await?;
        }
        Ok(())
    }

    /// Everybody that could crash.
    pub fn everybody(&self) -> Vec<Who> {
        let mut all = vec![Who::Server];
        all.extend(
            (0..self.managers.len()).flat_map(|number| [Who::Manager(number), Who::Client(number)]),
        );
        all.extend((0..self.watchers.len()).map(Who::Watchers));
        all
    }

    /// Ends a node as a power cut would. What its actors have counted is kept for the report.
    pub async fn crash(&mut self, who: Who) {
        // One that is held up shows nothing, and its end does not wait for it.
        let last = tokio::time::timeout(A_MOMENT, self.picture(who)).await;
        self.past.extend(last.ok().flatten());
        let host = match who {
            Who::Server => {
                if let Some(node) = self.server.1.take() {
                    node.crash();
                }
                self.disk.crash();
                self.is_stalled = false;
                self.tell_whether_the_server_is_able();
                &self.server.0
            }
            Who::Manager(number) => {
                if let Some(node) = self.managers[number].1.take() {
                    node.crash();
                }
                &self.managers[number].0
            }
            Who::Client(number) => {
                if let Some(node) = self.clients[number].1.take() {
                    node.crash();
                }
                &self.clients[number].0
            }
            Who::Watchers(number) => {
                if let Some((stack, watcher)) = self.watchers[number].running.take() {
                    watcher.do_send(Crash);
                    stack.crash();
                }
                &self.watchers[number].host
            }
        };
        self.network.crash(host);
    }

    /// Cuts the network in two: each host falls to one side or the other.
    pub fn partition(&mut self) {
        let hosts: Vec<MemoryHost> = self.hosts().cloned().collect();
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for host in &hosts {
            if self.entropy.chance(0.5) {
                left.push(host)
            } else {
                right.push(host)
            }
        }
        self.network.partition(&left, &right);
    }

    fn hosts(&self) -> impl Iterator<Item = &MemoryHost> {
        std::iter::once(&self.server.0)
            .chain(self.managers.iter().map(|(host, _)| host))
            .chain(self.clients.iter().map(|(host, _)| host))
            .chain(self.sources.iter().map(|(host, _)| host))
            .chain(self.callers.iter().map(|(host, _)| host))
            .chain(self.watchers.iter().map(|watcher| &watcher.host))
    }

    /// Ends all partitions.
    pub fn heal(&self) {
        self.network.heal_all();
    }

    /// From now on the network loses, doubles and reorders nothing.
    pub fn calm(&self) {
        self.network.set_default_link(Link {
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            ..link(&self.settings)
        });
    }

    /// Ends everybody but the server, without a goodbye.
    pub async fn crash_all_but_the_server(&mut self) {
        for (host, task) in self.sources.iter().chain(&self.callers) {
            task.abort();
            self.network.crash(host);
        }
        let straggler = self.sabotage == Some(Sabotage::Straggler);
        for who in self.everybody() {
            let stays = who == Who::Server || straggler && who == Who::Client(0);
            if !stays {
                self.crash(who).await;
            }
        }
    }

    /// Records in the server's store.
    pub fn stored(&self) -> usize {
        self.disk.len()
    }

    /// Pictures of the actors of a node, if it is up.
    async fn picture(&self, who: Who) -> Option<(String, Vec<Value>)> {
        match who {
            Who::Server => {
                let node = self.server.1.as_ref()?;
                Some(("server".to_owned(), node.snapshot().await))
            }
            Who::Manager(number) => {
                let node = self.managers[number].1.as_ref()?;
                Some((format!("manager-{}", number + 1), node.snapshot().await))
            }
            Who::Client(number) => {
                let node = self.clients[number].1.as_ref()?;
                Some((format!("client-{}", number + 1), node.snapshot().await))
            }
            Who::Watchers(number) => {
                let (stack, watcher) = self.watchers[number].running.as_ref()?;
                let mut pictures = stack.snapshot().await;
                pictures.extend(watcher.send(TakeSnapshot).await);
                Some((format!("watchers-{}", number + 1), pictures))
            }
        }
    }

    /// Pictures of the actors of all nodes that are up.
    pub async fn present(&self) -> Pictures {
        let mut pictures = Vec::new();
        for who in self.everybody() {
            pictures.extend(self.picture(who).await);
        }
        pictures
    }

    /// Last pictures of the actors that a crash has ended.
    pub fn past(&self) -> &Pictures {
        &self.past
    }

    /// What the network did.
    pub fn network(&self) -> &MemoryNetwork {
        &self.network
    }
}

/// Phones and strangers, on hosts of their own.
fn callers(
    settings: &config::Simulate,
    network: &MemoryNetwork,
    books: &Books,
    clock: Clock,
    entropy: &mut Entropy,
) -> Vec<(MemoryHost, JoinHandle<()>)> {
    let phones =
        (0..settings.faults.phones).map(|number| (5, number, phone(number), Manners::Good));
    let strangers = (0..settings.faults.strangers).map(|number| {
        let own = format!("sip:stranger-{}@example.com", number + 1);
        (6, number, own, Manners::Bad)
    });
    let people: Vec<String> = (0..settings.presentities).map(places::entity).collect();
    phones
        .chain(strangers)
        .map(|(group, number, own, manners)| {
            let ip = address(group, number);
            let name = own[4..].split('@').next().unwrap_or_default().to_owned();
            books.with(|_, observer| observer.name(ip, &name));
            let host = network.host(&name, &[ip]);
            let caller = Caller {
                own,
                at: SocketAddr::new(ip, SIP_PORT),
                server: SocketAddr::new(server_address(), SIP_PORT),
                people: people.clone(),
                manners,
                network: Network::Memory(host.clone()),
                clock,
                entropy: entropy.fork(),
                until: clock.now() + settings.duration,
            };
            (host, actix_rt::spawn(caller.live()))
        })
        .collect()
}

/// The address of record of a phone.
fn phone(number: usize) -> String {
    format!("sip:phone-{}@example.com", number + 1)
}

/// Where the server is.
pub fn server_address() -> IpAddr {
    address(0, 0)
}
