//! The SIP stack of a node: an endpoint for each shard, and the sockets they share.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use rollcall_core::digest::{Authentication, Credentials};
use rollcall_core::egress::Egress;
use rollcall_core::endpoint::{ModuleId, ModuleTable, Settings};
use rollcall_core::exchange::Shard;
use rollcall_core::room::Rules;
use rollcall_core::transaction;
use serde_json::Value;

use super::environment::{Environment, Thread};
use super::{Listening, NodeError};
use crate::config;
use crate::endpoint::{self, Admission, Endpoint};
use crate::messages::{Attach, FromModule, TakeSnapshot, ToModule};
use crate::transport::Tls;
use crate::watchdog::Watched;

/// How long an endpoint may take to close its sockets.
const FAREWELL: Duration = Duration::from_secs(5);

/// How the endpoints of a node behave.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many shards.
    pub shards: Shard,
    /// How requests are authenticated.
    pub authentication: Option<Arc<Authentication>>,
    /// What challenges are answered with.
    pub credentials: Option<Credentials>,
    /// T1, T2, T4.
    pub timers: config::Timers,
    /// Server header of responses.
    pub server_name: Option<String>,
    /// User-Agent header of requests.
    pub user_agent: Option<String>,
    /// Unanswered requests of a shard.
    pub in_flight: usize,
    /// Who may connect to the node.
    pub admission: Admission,
    /// The longest request over UDP; see [`Settings::datagram`].
    pub datagram: Option<usize>,
    /// Where may be sent to.
    pub egress: Arc<Egress>,
    /// Whether the kernel takes and gives datagrams of one place together.
    pub udp_offload: bool,
    /// Whether requests follow a 3xx; see [`Settings::follow_redirects`].
    pub follow_redirects: bool,
    /// Certificates.
    pub tls: Tls,
    /// Who is asked for the servers of names; those of this machine when empty.
    pub name_servers: Vec<SocketAddr>,
}

impl Default for Plan {
    /// One shard, with the timers of RFC 3261.
    fn default() -> Self {
        Self::client(config::Client::default().common.timers)
    }
}

impl Plan {
    /// One shard for a client, which has few peers.
    pub fn client(timers: config::Timers) -> Self {
        Self {
            shards: 1,
            authentication: None,
            credentials: None,
            timers,
            server_name: None,
            user_agent: Some(concat!("rollcall/", env!("CARGO_PKG_VERSION")).to_owned()),
            in_flight: 4096,
            admission: Admission {
                rules: Rules {
                    most: 1024,
                    idle: Some(Duration::from_secs(30)),
                    keeps_opened: true,
                    ..Rules::default()
                },
                ..Admission::default()
            },
            datagram: None,
            egress: Arc::default(),
            udp_offload: true,
            follow_redirects: true,
            tls: Tls::default(),
            name_servers: Vec::new(),
        }
    }
}

impl Plan {
    /// The kernel spreads connections evenly, so each shard has its part of them. Addresses are counted over all shards.
    fn admission_of_a_shard(&self) -> Admission {
        let mut admission = self.admission.clone();
        let most = admission.rules.most.div_ceil(usize::from(self.shards));
        admission.rules.most = most;
        admission
    }
}

/// Running endpoints, each on the thread of its shard.
#[derive(Debug)]
pub struct Stack {
    /// By shard.
    pub endpoints: Vec<Addr<Endpoint>>,
    /// By shard.
    pub threads: Vec<Thread>,
}

impl Stack {
    /// Starts the endpoints. They have no sockets and no modules yet: modules come first, so that no request finds
    /// nobody at home.
    pub fn start(plan: &Plan, modules: &ModuleTable, environment: &mut Environment) -> Self {
        let threads: Vec<Thread> = (0..plan.shards).map(|_| environment.thread()).collect();
        let endpoints: Vec<Addr<Endpoint>> = threads
            .iter()
            .zip(0..)
            .map(|(thread, shard)| {
                let parts = endpoint::Parts {
                    settings: Settings {
                        shard,
                        shards: plan.shards,
                        authentication: plan.authentication.clone(),
                        credentials: plan.credentials.clone(),
                        timers: transaction::Timers {
                            t1: plan.timers.t1,
                            t2: plan.timers.t2,
                            t4: plan.timers.t4,
                        },
                        server_name: plan.server_name.clone(),
                        user_agent: plan.user_agent.clone(),
                        max_in_flight: plan.in_flight,
                        datagram: plan.datagram,
                        egress: Arc::clone(&plan.egress),
                        follow_redirects: plan.follow_redirects,
                        alias: plan.tls.has_certificate(),
                        ..Settings::default()
                    },
                    modules: modules.clone(),
                    network: environment.network.clone(),
                    name_servers: plan.name_servers.clone(),
                    clock: environment.clock,
                    tls: plan.tls.clone(),
                    entropy: environment.entropy.fork(),
                    udp_offload: plan.udp_offload,
                    admission: plan.admission_of_a_shard(),
                };
                thread.start(move || Endpoint::new(parts))
            })
            .collect();
        let peers: Vec<_> = endpoints
            .iter()
            .map(|peer| peer.clone().recipient())
            .collect();
        for endpoint in &endpoints {
            endpoint.do_send(endpoint::SetPeers(peers.clone()));
        }
        Self { endpoints, threads }
    }

    /// Tells every endpoint a module's mailboxes, one for each shard of the module.
    pub fn attach(&self, module: ModuleId, recipients: &[Recipient<ToModule>]) {
        for endpoint in &self.endpoints {
            endpoint.do_send(Attach {
                module,
                recipients: recipients.to_vec(),
            });
        }
    }

    /// Opens the sockets: all shards share each address.
    pub async fn listen(
        &self,
        addresses: &[config::Listen],
        advertise: Option<IpAddr>,
    ) -> Result<Vec<Listening>, NodeError> {
        let mut listening = Vec::new();
        for &wanted in addresses {
            let mut addr = wanted.addr;
            for endpoint in &self.endpoints {
                let listen = endpoint::Listen {
                    transport: wanted.transport,
                    addr,
                    advertise: advertise.map(|ip| (ip, 0).into()),
                };
                // Port 0 is what the first shard was given; the others share it.
                addr = endpoint
                    .send(listen)
                    .await
                    .map_err(|_| NodeError::Ended("endpoint"))?
                    .map_err(|error| NodeError::Listen {
                        what: wanted.to_string(),
                        error,
                    })?;
            }
            listening.push(Listening::Sip(config::Listen { addr, ..wanted }));
        }
        Ok(listening)
    }

    /// Where modules send what they want, by shard.
    pub fn recipients(&self) -> Vec<Recipient<FromModule>> {
        self.endpoints
            .iter()
            .map(|endpoint| endpoint.clone().recipient())
            .collect()
    }

    /// Gives every endpoint other accounts.
    pub fn set_authentication(&self, how: &Arc<Authentication>) {
        for endpoint in &self.endpoints {
            endpoint.do_send(endpoint::SetAuthentication(Arc::clone(how)));
        }
    }

    /// What a watchdog looks after.
    pub fn watched(&self) -> Vec<Watched> {
        let endpoints = self.endpoints.iter().zip(0..);
        let watched = endpoints.map(|(endpoint, shard)| {
            Watched::new("endpoint", endpoint.clone().recipient()).of_shard(shard)
        });
        watched.collect()
    }

    /// Pictures of all endpoints.
    pub async fn snapshot(&self) -> Vec<Value> {
        let mut pictures = Vec::new();
        for endpoint in &self.endpoints {
            pictures.extend(endpoint.send(TakeSnapshot).await);
        }
        pictures
    }

    /// Closes the sockets and ends the endpoints. Modules are still there.
    pub async fn close(&self) {
        for endpoint in &self.endpoints {
            // An endpoint that has ended already is as good, and one that is stuck keeps nobody.
            let _ = endpoint.send(endpoint::Shutdown).timeout(FAREWELL).await;
        }
    }

    /// Closes the sockets and ends endpoints and threads.
    pub async fn stop(self) {
        self.close().await;
        for thread in self.threads {
            thread.stop();
        }
    }
}
