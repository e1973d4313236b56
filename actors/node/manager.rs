//! The Manager node: an endpoint without SIP, the hub, its listener and its sources.

use std::net::SocketAddr;
use std::time::Duration;

use actix::prelude::*;
use rollcall_core::endpoint::{ModuleId, ModuleTable, Sharding};
use rollcall_core::manager::hub;
use rollcall_core::room::Rules;
use serde_json::Value;

use super::environment::Environment;
use super::stack::{Plan, Stack};
use super::{Listening, NodeError};
use crate::config;
use crate::manager::{self, Manager, RunningManager, StartError, source};
use crate::messages::TakeSnapshot;
use crate::watchdog::Watched;

const HUB: ModuleId = ModuleId(1);

/// How long sessions may take to read their goodbye.
const FAREWELL: Duration = Duration::from_secs(2);

/// A running Manager.
#[derive(Debug)]
pub struct ManagerNode {
    running: RunningManager,
    sources: Vec<source::Running>,
    pub(super) stack: Stack,
}

/// Who may connect. Sessions end by their own rules, so none is idle for too long.
fn rules(settings: &config::Manager) -> Rules {
    let limits = &settings.limits;
    let share = limits.source_connections;
    Rules {
        most: limits.connections,
        share: share.unwrap_or_else(|| limits.connections.div_ceil(4)),
        loopback: limits.loopback,
        ..Rules::default()
    }
}

impl ManagerNode {
    /// Starts hub, listener and sources.
    pub async fn start(
        settings: &config::Manager,
        mut environment: Environment,
    ) -> Result<Self, NodeError> {
        let modules = ModuleTable::builder()
            .module(HUB, "manager", &manager::routes(), Sharding::One)
            .build()?;
        let stack = Stack::start(&Plan::default(), &modules, &mut environment);
        let clock = environment.clock;
        let setup = manager::Setup {
            module: HUB,
            hub: hub::Settings {
                heartbeat: settings.heartbeat,
                unacknowledged: settings.limits.unacknowledged,
                presentities: settings.limits.presentities,
                forget_after: settings.linger,
                // Another name for each run, so that Presence Clients know that its numbers begin anew.
                ..hub::Settings::new(&settings.id, &environment.entropy.token())
            },
            state: settings.state.clone(),
            listen: settings.listen,
            rules: rules(settings),
            network: environment.network.clone(),
            clock,
        };
        let running =
            manager::start(setup, &stack.endpoints[0])
                .await
                .map_err(|error| match error {
                    StartError::State { path, error } => NodeError::State { path, error },
                    StartError::Listen(error) => NodeError::Listen {
                        what: format!("manager:{}", settings.listen),
                        error,
                    },
                })?;
        let sources = settings
            .sources
            .iter()
            .map(|source| source::start(source.clone(), clock, running.hub.clone().recipient()))
            .collect();
        Ok(Self {
            running,
            sources,
            stack,
        })
    }

    /// The hub.
    pub fn hub(&self) -> &Addr<Manager> {
        &self.running.hub
    }

    /// Where peers connect.
    pub fn address(&self) -> SocketAddr {
        self.running.listener.local_addr()
    }

    /// The same, to be told to people.
    pub fn listening(&self) -> Listening {
        Listening::Manager(self.address())
    }

    /// What a watchdog looks after.
    pub fn watched(&self) -> Vec<Watched> {
        let mut watched = self.stack.watched();
        watched.push(Watched::new("hub", self.running.hub.clone().recipient()));
        let sources = self.sources.iter();
        watched.extend(sources.map(|source| Watched::new("source", source.ping.clone())));
        watched
    }

    /// Pictures of its actors.
    pub async fn snapshot(&self) -> Vec<Value> {
        let mut pictures = self.stack.snapshot().await;
        pictures.extend(self.running.hub.send(TakeSnapshot).await);
        pictures.push(self.running.listener.snapshot());
        for source in &self.sources {
            pictures.extend(source.snapshot.send(TakeSnapshot).await);
        }
        pictures
    }

    /// Ends sources, says goodbye to all sessions, writes the state file.
    pub async fn stop(self) {
        for source in &self.sources {
            source.stop.do_send(source::Stop);
        }
        self.running.shut_down(FAREWELL).await;
        self.stack.stop().await;
    }
}
