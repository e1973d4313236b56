//! The Presence Server node: for each shard an endpoint and a registry on one thread, and the store they share.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::future::join_all;
use rollcall_core::endpoint::{ModuleId, ModuleTable, Sharding};
use rollcall_core::registry::{Books, Shares};
use rollcall_core::room::{Rules, Tally};
use rollcall_core::{pidf, registry};
use serde_json::Value;

use super::authentication::{Lasting, authentication, home};
use super::certificates;
use super::environment::{Environment, Threads};
use super::memory;
use super::stack::{Plan, Stack};
use super::{Listening, NodeError};
use crate::config::{self, Expiry};
use crate::endpoint::Admission;
use crate::messages::{Settle, TakeSnapshot};
use crate::operator::{self, Desk};
use crate::registry::{Composer, Parts, Registry, claims};
use crate::secret::{self, Exposure};
use crate::store::{self, Persistence, Store, StoreError, StoreUrl};
use crate::transport::Tls;
use crate::watchdog::Watched;

const REGISTRY: ModuleId = ModuleId(1);

/// A running Presence Server.
#[derive(Debug)]
pub struct ServerNode {
    /// Where it listens.
    pub listening: Vec<Listening>,
    /// By shard.
    pub registries: Vec<Addr<Registry>>,
    pub(super) stack: Stack,
    store: Arc<dyn Store>,
    tls: Tls,
    /// Nonces bear its MAC; it stays when accounts are read again.
    lasting: Lasting,
    /// Its socket goes with it.
    operator: Option<operator::Listener>,
}

/// The registry's settings from what is configured. `books`: what the shards count together.
fn registry_settings(settings: &config::Server, books: Books) -> registry::Settings {
    let presence = registry::Package {
        publication: durations(settings.publish),
        subscription: durations(settings.subscribe),
        ..registry::Package::presence()
    };
    let winfo = registry::Package {
        subscription: durations(settings.subscribe),
        ..registry::Package::presence_winfo()
    };
    registry::Settings {
        domains: settings.domains.clone(),
        home: home(settings),
        packages: vec![presence, winfo],
        registration: durations(settings.register),
        limits: registry::Limits {
            presentities: settings.limits.presentities,
            publications: settings.limits.publications,
            subscriptions: settings.limits.subscriptions,
            body: settings.limits.body,
            state: settings.limits.state,
            memory: settings.limits.memory.unwrap_or_else(memory::budget),
            ..registry::Limits::default()
        },
        pacing: settings.notify.pacing,
        shares: Shares {
            accounts: settings.authenticates(),
            ..settings.limits.shares.clone()
        },
        books,
        // All but the last of them are tolerated.
        notify_timeouts: settings.notify.timeouts.saturating_sub(1),
        offline_document: settings.notify.offline,
        registrar: settings.registrar,
        policy: settings.watchers.policy,
        keep_waiting: settings.watchers.keep_waiting,
        remember_settled: settings.store != config::Store::Memory,
        egress: Arc::new(settings.egress.clone()),
        ..registry::Settings::default()
    }
}

fn durations(expiry: Expiry) -> registry::Durations {
    let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    registry::Durations {
        default: seconds(expiry.default),
        min: seconds(expiry.min),
        max: seconds(expiry.max),
    }
}

/// How the store bears a disk that fails.
fn persistence(settings: &config::Server) -> Persistence {
    Persistence {
        deadline: settings.persistence.deadline,
        give_up: settings.persistence.give_up,
        ..Persistence::default()
    }
}

/// Who may connect. Proxies that need no password have no share: they speak for thousands.
fn admission(settings: &config::Server) -> Admission {
    let limits = &settings.limits;
    let mut exempt = limits.shares.exempt.clone();
    if settings.authenticates() {
        exempt.extend(&settings.digest.trusted);
    }
    Admission {
        rules: Rules {
            most: limits.connections,
            share: limits.share_of_connections(),
            loopback: limits.shares.loopback,
            exempt,
            idle: Some(limits.connection_idle),
            keeps_opened: false,
        },
        tally: Tally::default(),
        whole: limits.message_time,
    }
}

/// How long the registries have at the end to store who knows what.
const SETTLE_WITHIN: Duration = Duration::from_secs(2);

/// What a Presence Server claims of SIP.
fn modules(settings: &registry::Settings) -> Result<ModuleTable, NodeError> {
    let table = ModuleTable::builder()
        .module(
            REGISTRY,
            "registry",
            &claims(settings),
            Sharding::ByPresentity,
        )
        .accepts(&[pidf::CONTENT_TYPE, pidf::PARTIAL_CONTENT_TYPE])
        .supports(&registry::options(settings))
        .build()?;
    Ok(table)
}

impl ServerNode {
    /// Opens the configured store, starts on it, and opens the operator's socket.
    pub async fn start(
        settings: &config::Server,
        environment: Environment,
    ) -> Result<Self, NodeError> {
        let url = match &settings.store {
            config::Store::Memory => StoreUrl::Memory,
            config::Store::File(path) => StoreUrl::File(path.clone()),
        };
        let store = store::open(&url, persistence(settings))?;
        let mut node = Self::start_on(store, settings, environment).await?;
        if let Some(path) = settings.control_path() {
            let desk = Desk::new(
                registry_settings(settings, Books::default()),
                node.registries.clone(),
            );
            node.operator = Some(operator::listen(path, desk)?);
        }
        Ok(node)
    }

    /// Starts on this store, with what it holds.
    pub async fn start_on(
        store: Arc<dyn Store>,
        settings: &config::Server,
        mut environment: Environment,
    ) -> Result<Self, NodeError> {
        let shards = settings.shard_count();
        // What can't be read now may be read soon: the shards answer 503 until then. A folder that makes no sense stays so.
        let mut records = match store.load() {
            Ok(records) => store::by_shard(records, shards)
                .into_iter()
                .map(Some)
                .collect(),
            Err(error @ (StoreError::Failed(_) | StoreError::Down(_))) => {
                tracing::error!(%error, "the store can't be read; the shards go on asking for their state");
                vec![None; usize::from(shards)]
            }
            Err(error) => return Err(error.into()),
        };
        let lasting = Lasting::new(&mut environment.entropy);
        let tls = Tls::open(&certificates::of_server(settings))?;
        if let Some(fingerprint) = tls.fingerprint() {
            tracing::info!(sha256 = fingerprint, "peers are shown this certificate");
        }
        let plan = Plan {
            shards,
            authentication: authentication(settings, &lasting)?,
            credentials: None,
            timers: settings.timers,
            server_name: settings.server_name.clone(),
            user_agent: settings.server_name.clone(),
            in_flight: settings.limits.in_flight,
            admission: admission(settings),
            datagram: settings.limits.datagram,
            egress: Arc::new(settings.egress.clone()),
            udp_offload: settings.udp_offload,
            // A phone that has moved says so by its next SUBSCRIBE.
            follow_redirects: false,
            tls: tls.clone(),
            name_servers: settings.dns.servers.clone(),
        };
        let own = registry_settings(settings, Books::new(&mut environment.entropy));
        let stack = Stack::start(&plan, &modules(&own)?, &mut environment);
        let endpoints = stack.recipients();
        let composer = (environment.threads == Threads::Own).then(Composer::start);
        let registries: Vec<Addr<Registry>> = (0..shards)
            .map(|shard| {
                let parts = Parts {
                    settings: own.clone(),
                    shard,
                    shards,
                    module: REGISTRY,
                    store: Arc::clone(&store),
                    records: records[usize::from(shard)].take(),
                    endpoints: endpoints.clone(),
                    clock: environment.clock,
                    entropy: environment.entropy.fork(),
                    composer: composer.clone(),
                };
                stack.threads[usize::from(shard)].start(move || Registry::new(parts))
            })
            .collect();
        let recipients: Vec<_> = registries
            .iter()
            .map(|registry| registry.clone().recipient())
            .collect();
        stack.attach(REGISTRY, &recipients);
        let listening = stack.listen(&settings.listen, settings.advertise).await?;
        Ok(Self {
            listening,
            registries,
            stack,
            store,
            tls,
            lasting,
            operator: None,
        })
    }

    /// Reads the files of accounts and certificates again. What can't be read stays as it was.
    pub fn reload(&self, settings: &config::Server) -> Result<(), NodeError> {
        let how = authentication(settings, &self.lasting)?;
        for path in settings.secrets() {
            if let Exposure::Readable(sentence) = secret::exposure(path) {
                tracing::warn!("{sentence}");
            }
        }
        self.tls.reload(&certificates::of_server(settings))?;
        if let Some(how) = how {
            self.stack.set_authentication(&how);
        }
        Ok(())
    }

    /// What a watchdog looks after, beside the store.
    pub fn watched(&self) -> Vec<Watched> {
        let mut watched = self.stack.watched();
        let registries = self.registries.iter().zip(0..);
        watched.extend(registries.map(|(registry, shard)| {
            Watched::new("registry", registry.clone().recipient()).of_shard(shard)
        }));
        watched
    }

    /// What it keeps its state in.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// Pictures of its actors.
    pub async fn snapshot(&self) -> Vec<Value> {
        let mut pictures = self.stack.snapshot().await;
        for registry in &self.registries {
            pictures.extend(registry.send(TakeSnapshot).await);
        }
        pictures
    }

    /// Closes the sockets, then the store. Watchers are not told: after a restart the server knows them still. An error: the disk
    /// fails or hangs, and the store could not be closed in order.
    pub async fn stop(mut self) -> Result<(), NodeError> {
        drop(self.operator.take());
        self.stack.close().await;
        let settled = self.registries.iter().map(|registry| registry.send(Settle));
        // What is not remembered is told once more after the start, so nobody waits long for an actor that is stuck.
        let _ = tokio::time::timeout(SETTLE_WITHIN, join_all(settled)).await;
        self.stack.stop().await;
        self.store.close();
        let health = self.store.health();
        match health.works() {
            true => Ok(()),
            false => Err(StoreError::Down(health.reason).into()),
        }
    }
}
