//! The simulated world: nodes on a memory network, and what happens to them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use actix::prelude::*;
use rollcall_core::endpoint::{ModuleId, ModuleTable, Sharding};
use rollcall_core::entropy::Entropy;
use rollcall_core::watcher::{self, News};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::books::Books;
use super::people::{People, version_in};
use super::source::Source;
use crate::clock::Clock;
use crate::config::{self, HostPort, Listen, SipServer};
use crate::node::publisher_settings;
use crate::node::{
    ClientNode, Crash, Environment, ManagerNode, NodeError, Plan, ServerNode, Stack, Threads,
};
use crate::store::MemoryDisk;
use crate::transport::memory::Link;
use crate::transport::{MemoryHost, MemoryNetwork, Network};
use crate::watch::{Watch, Watched, Watcher, claims};

const SIP_PORT: u16 = 5060;
const MANAGER_PORT: u16 = 7000;
const WATCHER: ModuleId = ModuleId(1);

/// What can crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    disk: MemoryDisk,
    /// Where Presence Clients keep their entity-tags.
    folder: PathBuf,
    server: (MemoryHost, Option<ServerNode>),
    managers: Vec<(MemoryHost, Option<ManagerNode>)>,
    clients: Vec<(MemoryHost, Option<ClientNode>)>,
    watchers: Vec<WatcherHost>,
    sources: Vec<(MemoryHost, JoinHandle<()>)>,
}

/// A host with one watcher of many presentities.
struct WatcherHost {
    host: MemoryHost,
    entities: Vec<String>,
    running: Option<(Stack, Addr<Watcher>)>,
}

/// Writes down what a watcher is shown.
struct Scribe {
    number: u32,
    books: Books,
    clock: Clock,
}

impl Actor for Scribe {
    type Context = Context<Self>;
}

impl Handler<Watched> for Scribe {
    type Result = ();

    fn handle(&mut self, Watched(watched): Watched, _: &mut Self::Context) {
        if let News::State { summary, .. } = watched.news {
            let notes = summary.iter().flat_map(|summary| &summary.notes);
            let version = version_in(notes.map(|note| note.text.as_str()));
            let now = self.clock.now();
            self.books
                .with(|ledger, _| ledger.shown(now, self.number, &watched.uri, version));
        }
    }
}

fn address(group: u8, number: usize) -> IpAddr {
    let [_, _, high, low] = u32::try_from(number + 1).unwrap_or(u32::MAX).to_be_bytes();
    Ipv4Addr::new(10, group, high, low).into()
}

impl World {
    /// A world with everything in its place and nothing running.
    pub fn new(settings: &config::Simulate, clock: Clock, books: Books, folder: PathBuf) -> Self {
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
            };
            sources.push((home, actix_rt::spawn(source.live())));
        }
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
            disk: MemoryDisk::new(),
            folder,
            server: (server, None),
            managers,
            clients,
            watchers,
            sources,
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

    fn environment(&mut self, host: &MemoryHost) -> Environment {
        Environment {
            network: Network::Memory(host.clone()),
            clock: self.clock,
            entropy: self.entropy.fork(),
            threads: Threads::Present,
        }
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

    /// Ends a node as a power cut would.
    pub fn crash(&mut self, who: Who) {
        let host = match who {
            Who::Server => {
                if let Some(node) = self.server.1.take() {
                    node.crash();
                }
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

    /// Brings a node up, for the first time or again. One that is up stays as it is.
    pub async fn restart(&mut self, who: Who) -> Result<(), NodeError> {
        match who {
            Who::Server => self.start_server().await,
            Who::Manager(number) => self.start_manager(number).await,
            Who::Client(number) => self.start_client(number).await,
            Who::Watchers(number) => self.start_watchers(number).await,
        }
    }

    async fn start_server(&mut self) -> Result<(), NodeError> {
        if self.server.1.is_some() {
            return Ok(());
        }
        let host = alive(&self.network, &mut self.server.0);
        let environment = self.environment(&host);
        let at = SocketAddr::new(address(0, 0), SIP_PORT);
        let settings = config::Server {
            listen: vec![Listen::udp(at), Listen::tcp(at)],
            shards: Some(self.settings.shards),
            ..config::defaults::<config::Server>()
        };
        let store = Arc::new(self.disk.open());
        self.server.1 = Some(ServerNode::start_on(store, &settings, environment).await?);
        Ok(())
    }

    async fn start_manager(&mut self, number: usize) -> Result<(), NodeError> {
        if self.managers[number].1.is_some() {
            return Ok(());
        }
        let host = alive(&self.network, &mut self.managers[number].0);
        let environment = self.environment(&host);
        let settings = config::Manager {
            listen: SocketAddr::new(address(1, number), MANAGER_PORT),
            id: format!("manager-{}", number + 1),
            // Sources say everything again when they come back, and virtual time waits for no disk.
            state: None,
            ..config::defaults::<config::Manager>()
        };
        self.managers[number].1 = Some(ManagerNode::start(&settings, environment).await?);
        Ok(())
    }

    async fn start_client(&mut self, number: usize) -> Result<(), NodeError> {
        if self.clients[number].1.is_some() {
            return Ok(());
        }
        let host = alive(&self.network, &mut self.clients[number].0);
        let environment = self.environment(&host);
        let common = config::ClientCommon {
            listen: vec![Listen::udp(SocketAddr::new(address(2, number), SIP_PORT))],
            state: Some(self.folder.join(format!("client-{number}.tags"))),
            ..config::defaults::<config::Client>().common
        };
        let server = SipServer::at(Listen::udp(SocketAddr::new(address(0, 0), SIP_PORT)));
        let publisher = publisher_settings(&common, &server);
        let mut node = ClientNode::start(&common, &server, publisher, environment).await?;
        node.link(
            &common,
            &HostPort {
                host: address(1, number).to_string(),
                port: MANAGER_PORT,
            },
        );
        self.clients[number].1 = Some(node);
        Ok(())
    }

    async fn start_watchers(&mut self, number: usize) -> Result<(), NodeError> {
        if self.watchers[number].running.is_some() {
            return Ok(());
        }
        let host = alive(&self.network, &mut self.watchers[number].host);
        let mut environment = self.environment(&host);
        let modules = ModuleTable::builder()
            .module(WATCHER, "watcher", &claims(), Sharding::One)
            .build()?;
        let plan = Plan::client(config::defaults::<config::Client>().common.timers);
        let stack = Stack::start(&plan, &modules, &mut environment);
        let at = Listen::udp(SocketAddr::new(address(4, number), SIP_PORT));
        let own = u32::try_from(number).unwrap_or(u32::MAX);
        let scribe = Scribe {
            number: own,
            books: self.books.clone(),
            clock: self.clock,
        }
        .start();
        let settings = watcher::Settings {
            watcher: format!("sip:watcher-{}@example.com", number + 1),
            server: Some(SipServer::at(Listen::udp(SocketAddr::new(address(0, 0), SIP_PORT))).uri),
            ..watcher::Settings::default()
        };
        let endpoint = stack.endpoints[0].clone().recipient();
        let entropy = environment.entropy.fork();
        let watcher = Watcher::new(
            settings,
            WATCHER,
            endpoint,
            scribe.recipient(),
            self.clock,
            entropy,
        )
        .start();
        stack.attach(WATCHER, &[watcher.clone().recipient()]);
        stack.listen(&[at], None).await?;
        for entity in &self.watchers[number].entities {
            self.books.with(|ledger, _| ledger.watches(own, entity));
            watcher.do_send(Watch(entity.clone()));
        }
        self.watchers[number].running = Some((stack, watcher));
        Ok(())
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

    /// Randomness of the world, for its faults.
    pub fn entropy(&mut self) -> &mut Entropy {
        &mut self.entropy
    }

    /// Ends everybody but the server, without a goodbye.
    pub fn crash_all_but_the_server(&mut self) {
        for (host, source) in &self.sources {
            source.abort();
            self.network.crash(host);
        }
        for who in self.everybody() {
            if who != Who::Server {
                self.crash(who);
            }
        }
    }

    /// Records in the server's store.
    pub fn stored(&self) -> usize {
        self.disk.len()
    }

    /// Pictures of the actors of all nodes that are up, under the names of their nodes.
    pub async fn snapshot(&self) -> Vec<(String, Vec<Value>)> {
        let mut pictures = Vec::new();
        if let Some(node) = &self.server.1 {
            pictures.push(("server".to_owned(), node.snapshot().await));
        }
        for (number, (_, node)) in self.managers.iter().enumerate() {
            if let Some(node) = node {
                pictures.push((format!("manager-{}", number + 1), node.snapshot().await));
            }
        }
        for (number, (_, node)) in self.clients.iter().enumerate() {
            if let Some(node) = node {
                pictures.push((format!("client-{}", number + 1), node.snapshot().await));
            }
        }
        pictures
    }

    /// What the network did.
    pub fn network(&self) -> &MemoryNetwork {
        &self.network
    }
}

/// A host that is up: the handle of its present life.
fn alive(network: &MemoryNetwork, host: &mut MemoryHost) -> MemoryHost {
    if !host.is_up() {
        *host = network.restart(host);
    }
    host.clone()
}

fn link(settings: &config::Simulate) -> Link {
    let network = settings.network;
    Link {
        delay: network.delay,
        jitter: network.jitter,
        loss: network.loss,
        duplicate: network.duplicate,
        reorder: network.reorder,
    }
}

fn entity(number: usize) -> String {
    format!("sip:person-{number}@example.com")
}

/// The people of one Manager: they are dealt out in turn.
fn people_of(settings: &config::Simulate, manager: usize) -> Vec<String> {
    (manager..settings.presentities)
        .step_by(settings.managers)
        .map(entity)
        .collect()
}

/// Who watches whom: each host of watchers watches distinct presentities, drawn at random.
fn watchers(settings: &config::Simulate, entropy: &mut Entropy) -> Vec<Vec<String>> {
    if settings.subscriptions == 0 {
        return Vec::new();
    }
    // Half of the presentities on each host keeps the draw random, and hosts few.
    let each = settings
        .presentities
        .div_ceil(2)
        .min(settings.subscriptions);
    let hosts = settings.subscriptions.div_ceil(each);
    let mut left = settings.subscriptions;
    (0..hosts)
        .map(|_| {
            let mut all: Vec<usize> = (0..settings.presentities).collect();
            let count = each.min(left);
            left -= count;
            for place in 0..count {
                let span = u64::try_from(all.len() - place).unwrap_or(u64::MAX);
                let other = place + usize::try_from(entropy.below(span)).unwrap_or(0);
                all.swap(place, other);
            }
            all.truncate(count);
            all.into_iter().map(entity).collect()
        })
        .collect()
}
