//! How nodes come up: for the first time, or again after a crash.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use rollcall_core::egress::Egress;
use rollcall_core::endpoint::{ModuleId, ModuleTable, Sharding};
use rollcall_core::time::Timestamp;
use rollcall_core::watcher;

use super::places::address;
use super::scribe::Scribe;
use super::{MANAGER_PORT, SIP_PORT, Who, World};
use crate::clock::Clock;
use crate::config::{self, HostPort, Listen, SipServer};
use crate::node::{
    ClientNode, Environment, ManagerNode, NodeError, Plan, ServerNode, Stack, Threads,
    publisher_settings,
};
use crate::transport::{MemoryHost, MemoryNetwork, Network};
use crate::watch::{Watch, Watcher, claims};

const WATCHER: ModuleId = ModuleId(1);

impl World {
    /// Brings a node up, for the first time or again. One that is up stays as it is.
    pub async fn restart(&mut self, who: Who) -> Result<(), NodeError> {
        match who {
            Who::Server => self.start_server().await,
            Who::Manager(number) => self.start_manager(number).await,
            Who::Client(number) => self.start_client(number).await,
            Who::Watchers(number) => self.start_watchers(number).await,
        }
    }

    /// What a node lives in that starts now; its clock may be wrong.
    fn environment(&mut self, who: Who, host: &MemoryHost) -> Environment {
        Environment {
            network: Network::Memory(host.clone()),
            clock: Clock::starting_at(shifted(self.clock.now(), self.ahead(who))),
            entropy: self.entropy.fork(),
            threads: Threads::Present,
        }
    }

    /// How long watchers subscribe for, and people are published. A server gives a subscription up whose NOTIFYs nobody answers, and can't say so (RFC
    /// 6665, 4.2.2): the watcher finds out when it refreshes, which must be within the time to settle. And a server whose clock has jumped
    /// has forgotten what would have expired by then.
    fn subscription(&self) -> Duration {
        (self.settings.settle / 2).clamp(Duration::from_secs(60), Duration::from_secs(3600))
    }

    async fn start_server(&mut self) -> Result<(), NodeError> {
        if self.server.1.is_some() {
            return Ok(());
        }
        let host = alive(&self.network, &mut self.server.0);
        let environment = self.environment(Who::Server, &host);
        let at = SocketAddr::new(address(0, 0), SIP_PORT);
        let settings = config::Server {
            listen: vec![Listen::udp(at), Listen::tcp(at)],
            shards: Some(self.settings.shards),
            // Its people have no passwords.
            auth: config::Auth::Off,
            // Nor does anybody here make up an address.
            egress: Egress {
                unbounded: vec![ipnet::Ipv4Net::default().into()],
                ..Egress::default()
            },
            ..config::defaults::<config::Server>()
        };
        let store = Arc::new(self.disk.open());
        let ahead = self.ahead(Who::Server);
        self.server.1 = Some(ServerNode::start_on(store, &settings, environment).await?);
        let now = self.clock.now();
        self.books
            .with(|_, observer| observer.promises.server_starts(now, ahead));
        self.tell_whether_the_server_is_able();
        Ok(())
    }

    async fn start_manager(&mut self, number: usize) -> Result<(), NodeError> {
        if self.managers[number].1.is_some() {
            return Ok(());
        }
        let host = alive(&self.network, &mut self.managers[number].0);
        let environment = self.environment(Who::Manager(number), &host);
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
        let environment = self.environment(Who::Client(number), &host);
        let common = config::ClientCommon {
            expires: self.subscription(),
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
        let mut environment = self.environment(Who::Watchers(number), &host);
        let modules = ModuleTable::builder()
            .module(WATCHER, "watcher", &claims(), Sharding::One)
            .build()?;
        let plan = Plan::client(config::defaults::<config::Client>().common.timers);
        let stack = Stack::start(&plan, &modules, &mut environment);
        let at = Listen::udp(SocketAddr::new(address(4, number), SIP_PORT));
        let own = u32::try_from(number).unwrap_or(u32::MAX);
        let scribe = Scribe::new(own, self.books.clone(), self.clock);
        let scribe = scribe
            .sabotaged(self.sabotage, self.settings.duration)
            .start();
        let settings = watcher::Settings {
            watcher: format!("sip:watcher-{}@example.com", number + 1),
            expires: u32::try_from(self.subscription().as_secs()).unwrap_or(u32::MAX),
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
            environment.clock,
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
}

/// A time as a clock shows it that is so many milliseconds ahead.
fn shifted(at: Timestamp, ahead: i64) -> Timestamp {
    Timestamp::from_millis(at.as_millis().saturating_add_signed(ahead))
}

/// A host that is up: the handle of its present life.
fn alive(network: &MemoryNetwork, host: &mut MemoryHost) -> MemoryHost {
    if !host.is_up() {
        *host = network.restart(host);
    }
    host.clone()
}
