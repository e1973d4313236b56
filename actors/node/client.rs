//! The Presence Client node: an endpoint, the two actors of the client, and the link to the Manager.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use actix::prelude::*;
use rollcall_core::buffer;
use rollcall_core::endpoint::{ModuleId, ModuleTable, Sharding};
use rollcall_core::exchange::Transport;
use rollcall_core::publisher;
use serde_json::Value;

use super::environment::{Environment, Thread};
use super::stack::{Plan, Stack};
use super::{Listening, NodeError, certificates};
use crate::client::{self, Client};
use crate::config::client::WhenFull;
use crate::config::{ClientCommon, HostPort, Listen, SipServer};
use crate::manager::link::Disconnect;
use crate::manager::{Link, LinkParts, LinkSettings, SessionIds};
use crate::messages::TakeSnapshot;
use crate::resolve::Resolver;
use crate::transport::{Network, Tls};
use crate::watchdog::Watched;

const BUFFER: ModuleId = ModuleId(1);
const PUBLISHER: ModuleId = ModuleId(2);

/// How long removing all publications may take at the end.
const UNPUBLISH: Duration = Duration::from_secs(5);

/// A running Presence Client, linked to a Manager or not.
#[derive(Debug)]
pub struct ClientNode {
    /// Its two actors.
    pub client: Client,
    /// Where it listens for SIP.
    pub listening: Vec<Listening>,
    pub(super) stack: Stack,
    threads: (Thread, Thread),
    pub(super) link: Option<Addr<Link>>,
    environment: Environment,
}

/// The publisher's settings from what is configured.
pub fn publisher_settings(common: &ClientCommon, server: &SipServer) -> publisher::Settings {
    publisher::Settings {
        server: Some(server.uri.clone()),
        expires: u32::try_from(common.expires.as_secs()).unwrap_or(u32::MAX),
        window: common.window,
        ..publisher::Settings::default()
    }
}

impl ClientNode {
    /// Starts endpoint, buffer and publisher.
    pub async fn start(
        common: &ClientCommon,
        server: &SipServer,
        publisher: publisher::Settings,
        mut environment: Environment,
    ) -> Result<Self, NodeError> {
        let modules = ModuleTable::builder()
            .module(BUFFER, "publish buffer", &client::claims(), Sharding::One)
            .module(PUBLISHER, "publisher", &[], Sharding::One)
            .build()?;
        let plan = Plan {
            credentials: common.account.clone(),
            tls: Tls::open(&certificates::of_client(&common.tls))?,
            name_servers: common.dns.servers.clone(),
            ..Plan::client(common.timers)
        };
        let stack = Stack::start(&plan, &modules, &mut environment);
        let threads = (environment.thread(), environment.thread());
        let setup = client::Setup {
            buffer: buffer::Settings {
                capacity: common.buffer.capacity,
                overflow: match common.buffer.when_full {
                    WhenFull::Block => buffer::Overflow::Block,
                    WhenFull::Overwrite => buffer::Overflow::Overwrite,
                },
                domains: common.domains.clone(),
            },
            publisher,
            tags: common.state.clone(),
            listener: None,
            module: PUBLISHER,
            arbiters: threads.0.handle().zip(threads.1.handle()),
        };
        let endpoint = stack.endpoints[0].clone().recipient();
        let client = client::start(
            setup,
            endpoint,
            environment.clock,
            environment.entropy.fork(),
        );
        stack.attach(BUFFER, &[client.buffer.clone().recipient()]);
        stack.attach(PUBLISHER, &[client.publisher.clone().recipient()]);
        let addresses = match common.listen.as_slice() {
            [] => {
                let network = &environment.network;
                match listen_towards(server, network, &common.dns.servers).await {
                    Ok(found) => found,
                    // The name may be known later, as when machine and network start together: nothing is lost until then.
                    Err(error) => {
                        tracing::warn!(%error, "the server is not known yet");
                        listen_everywhere(network)
                    }
                }
            }
            configured => configured.to_vec(),
        };
        let listening = stack.listen(&addresses, None).await?;
        Ok(Self {
            client,
            listening,
            stack,
            threads,
            link: None,
            environment,
        })
    }

    /// Connects to a Manager, and again whenever the connection is lost.
    pub fn link(&mut self, common: &ClientCommon, manager: &HostPort) {
        let settings = LinkSettings {
            id: common.id.clone(),
            backoff_min: common.link.backoff_min,
            backoff_max: common.link.backoff_max,
            connect_timeout: common.link.connect_timeout,
            ..LinkSettings::new(&manager.host, manager.port)
        };
        let parts = LinkParts {
            settings,
            network: self.environment.network.clone(),
            endpoint: self.stack.endpoints[0].clone().recipient(),
            ids: SessionIds::default(),
            clock: self.environment.clock,
            entropy: self.environment.entropy.fork(),
        };
        self.link = Some(self.threads.0.start(move || Link::new(parts)));
    }

    /// What a watchdog looks after.
    pub fn watched(&self) -> Vec<Watched> {
        let mut watched = self.stack.watched();
        let (buffer, publisher) = (self.client.buffer.clone(), self.client.publisher.clone());
        watched.push(Watched::new("publish buffer", buffer.recipient()));
        watched.push(Watched::new("publisher", publisher.recipient()));
        let link = self.link.iter();
        watched.extend(link.map(|link| Watched::new("manager link", link.clone().recipient())));
        watched
    }

    /// Pictures of its actors.
    pub async fn snapshot(&self) -> Vec<Value> {
        let mut pictures = self.stack.snapshot().await;
        pictures.extend(self.client.buffer.send(TakeSnapshot).await);
        pictures.extend(self.client.publisher.send(TakeSnapshot).await);
        if let Some(link) = &self.link {
            pictures.extend(link.send(TakeSnapshot).await);
        }
        pictures
    }

    /// Ends it, after it has removed its publications if that is wanted.
    pub async fn stop(self, unpublish: bool) {
        if let Some(link) = &self.link {
            link.do_send(Disconnect);
        }
        let unpublish = unpublish.then_some(UNPUBLISH);
        // A publisher that has ended has nothing to remove.
        let _ = self
            .client
            .publisher
            .send(client::Shutdown { unpublish })
            .timeout(2 * UNPUBLISH)
            .await;
        self.stack.stop().await;
        self.threads.0.stop();
        self.threads.1.stop();
    }
}

/// A free UDP port in each address family of a server, on loopback if the server is.
pub async fn listen_towards(
    server: &SipServer,
    network: &Network,
    name_servers: &[SocketAddr],
) -> Result<Vec<Listen>, NodeError> {
    let addresses: Vec<SocketAddr> = match server.host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, 0)],
        Err(_) => {
            let ours = [Transport::Udp, Transport::Tcp, Transport::Tls];
            let resolver = Resolver::new(network, name_servers);
            let servers = resolver.locate(server.wanted(), &ours).await;
            let servers = servers.map_err(NodeError::Resolve)?;
            servers.addresses().collect()
        }
    };
    let (v4, v6): (Vec<_>, Vec<_>) = addresses.iter().partition(|address| address.is_ipv4());
    let mut families: Vec<Vec<SocketAddr>> = vec![v4, v6];
    families.retain(|family| !family.is_empty());
    if families.len() > 1 {
        // A machine without a way to one of them may have no such sockets either.
        families.retain(|family| network.local_towards(family[0]).is_ok());
    }
    let listens: Vec<Listen> = families
        .iter()
        .filter_map(|family| {
            let beyond = family.iter().find(|address| !address.ip().is_loopback());
            let address = beyond.or(family.first())?;
            Some(ClientCommon::free_port_towards(address.ip()))
        })
        .collect();
    if listens.is_empty() {
        return Err(NodeError::Resolve(format!(
            "no way to any address of {}",
            server.host
        )));
    }
    Ok(listens)
}

/// A free UDP port in each address family that leads anywhere.
fn listen_everywhere(network: &Network) -> Vec<Listen> {
    // Addresses that are nobody's (RFC 5737, RFC 3849): nothing is sent, only the way is looked up.
    let v4 = (Ipv4Addr::new(192, 0, 2, 1), 5060).into();
    let v6 = (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 5060).into();
    let mut ways: Vec<SocketAddr> = vec![v4, v6];
    ways.retain(|way| network.local_towards(*way).is_ok());
    if ways.is_empty() {
        ways.push(v4);
    }
    ways.iter()
        .map(|way| ClientCommon::free_port_towards(way.ip()))
        .collect()
}
