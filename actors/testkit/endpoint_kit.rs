//! An Endpoint actor with sockets, and probes in its modules' places.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use actix::prelude::*;
use rollcall_core::endpoint::{ModuleId, ModuleTable, Settings};
use rollcall_core::entropy::Entropy;
use rollcall_core::exchange::{ConnectionId, Incoming, Outcome, Outgoing, Reply, Transport};
use rollcall_core::sip::StatusCode;
use rollcall_core::time::Timestamp;

use super::{Probe, SessionProbe, SipPeer};
use crate::clock::Clock;
use crate::endpoint::{Endpoint, Listen, Parts};
use crate::messages::{
    Attach, FromModule, ManagerIncoming, ModuleInput, ModuleOutput, SessionId, ToModule,
};
use crate::transport::Network;

/// An endpoint on its own: it listens on UDP and TCP, and each module of its table is a [`ModuleProbe`].
pub struct EndpointKit {
    /// The endpoint.
    pub endpoint: Addr<Endpoint>,
    udp: SocketAddr,
    tcp: SocketAddr,
    modules: BTreeMap<ModuleId, ModuleProbe>,
    sessions: Cell<u64>,
}

impl EndpointKit {
    /// Starts an endpoint with these modules on the host's own address, or on 127.0.0.1 with real sockets.
    ///
    /// # Panics
    /// If it can't listen.
    pub async fn start(network: Network, table: ModuleTable) -> Self {
        let local = match &network {
            Network::Real => Ipv4Addr::LOCALHOST,
            Network::Memory(_) => Ipv4Addr::UNSPECIFIED,
        };
        Self::start_with(network, table, Settings::default(), local.into()).await
    }

    /// Starts an endpoint with these settings on free ports of an address.
    ///
    /// # Panics
    /// If it can't listen.
    pub async fn start_with(
        network: Network,
        table: ModuleTable,
        settings: Settings,
        local: IpAddr,
    ) -> Self {
        let ids: Vec<_> = table.modules().map(|(id, _)| id).collect();
        let clock = match &network {
            Network::Real => Clock::system(),
            Network::Memory(_) => Clock::starting_at(Timestamp::from_millis(1_700_000_000_000)),
        };
        let entropy = Entropy::from_number(1);
        let parts = Parts {
            settings,
            modules: table,
            network,
            name_servers: Vec::new(),
            clock,
            tls: crate::transport::Tls::default(),
            entropy,
            udp_offload: true,
            admission: Default::default(),
        };
        let endpoint = Endpoint::new(parts).start();
        let mut modules = BTreeMap::new();
        for module in ids {
            let probe = Probe::start();
            endpoint.do_send(Attach {
                module,
                recipients: vec![probe.recipient()],
            });
            let endpoint = endpoint.clone().recipient();
            modules.insert(
                module,
                ModuleProbe {
                    module,
                    endpoint,
                    probe,
                    waiting: VecDeque::new(),
                },
            );
        }
        let udp = listen(&endpoint, Transport::Udp, local).await;
        let tcp = listen(&endpoint, Transport::Tcp, local).await;
        Self {
            endpoint,
            udp,
            tcp,
            modules,
            sessions: Cell::new(0),
        }
    }

    /// Where it listens on UDP.
    pub fn udp(&self) -> SocketAddr {
        self.udp
    }

    /// Where it listens on TCP.
    pub fn tcp(&self) -> SocketAddr {
        self.tcp
    }

    /// Puts an actor in a module's place, instead of the probe.
    pub fn attach(&self, module: ModuleId, recipient: Recipient<ToModule>) {
        let recipients = vec![recipient];
        self.endpoint.do_send(Attach { module, recipients });
    }

    /// A Manager-protocol session before it, without a connection.
    pub fn session(&self) -> SessionProbe {
        let number = self.sessions.get() + 1;
        self.sessions.set(number);
        SessionProbe::start(SessionId(number), self.endpoint.clone().recipient())
    }

    /// The probe in a module's place.
    ///
    /// # Panics
    /// If the table has no such module.
    pub fn module(&mut self, id: ModuleId) -> &mut ModuleProbe {
        self.modules
            .get_mut(&id)
            .unwrap_or_else(|| panic!("no module has the id {}", id.0))
    }

    /// A peer that speaks to it over UDP, from a free port.
    pub async fn udp_peer(&self, network: &Network) -> SipPeer {
        let local = match (network, self.udp.is_ipv6()) {
            (Network::Real, _) => self.udp.ip(),
            (Network::Memory(_), false) => Ipv4Addr::UNSPECIFIED.into(),
            (Network::Memory(_), true) => Ipv6Addr::UNSPECIFIED.into(),
        };
        SipPeer::udp(network, SocketAddr::new(local, 0), self.udp).await
    }

    /// A peer that speaks to it over TCP.
    pub async fn tcp_peer(&self, network: &Network) -> SipPeer {
        SipPeer::tcp(network, self.tcp).await
    }
}

async fn listen(endpoint: &Addr<Endpoint>, transport: Transport, local: IpAddr) -> SocketAddr {
    let listen = Listen {
        transport,
        addr: SocketAddr::new(local, 0),
        advertise: None,
    };
    endpoint
        .send(listen)
        .await
        .expect("an endpoint that lives")
        .expect("a free port")
}

/// Stands in a module's place: shows what the endpoint brings it, one by one, and speaks for it.
pub struct ModuleProbe {
    module: ModuleId,
    endpoint: Recipient<FromModule>,
    probe: Probe<ToModule>,
    waiting: VecDeque<ModuleInput>,
}

impl ModuleProbe {
    /// The next thing for the module.
    ///
    /// # Panics
    /// If nothing comes.
    pub async fn next(&mut self) -> ModuleInput {
        loop {
            if let Some(input) = self.waiting.pop_front() {
                return input;
            }
            let ToModule(inputs) = self.probe.next().await;
            self.waiting.extend(inputs);
        }
    }

    /// The next thing, which is a request.
    ///
    /// # Panics
    /// If anything else comes, or nothing.
    pub async fn request(&mut self) -> Incoming {
        match self.next().await {
            ModuleInput::Request(incoming) => incoming,
            other => panic!("{other:?} came instead of a request"),
        }
    }

    /// The next thing, which is the end of a request that was sent.
    ///
    /// # Panics
    /// If anything else comes, or nothing.
    pub async fn outcome(&mut self) -> Outcome {
        match self.next().await {
            ModuleInput::Outcome(outcome) => outcome,
            other => panic!("{other:?} came instead of an outcome"),
        }
    }

    /// The next thing, which is a closed connection.
    ///
    /// # Panics
    /// If anything else comes, or nothing.
    pub async fn closed(&mut self) -> ConnectionId {
        match self.next().await {
            ModuleInput::ConnectionClosed(connection) => connection,
            other => panic!("{other:?} came instead of a closed connection"),
        }
    }

    /// The next thing, which is a message of the Manager protocol.
    ///
    /// # Panics
    /// If anything else comes, or nothing.
    pub async fn manager(&mut self) -> ManagerIncoming {
        match self.next().await {
            ModuleInput::Manager(incoming) => incoming,
            other => panic!("{other:?} came instead of a Manager message"),
        }
    }

    /// Waits to see that nothing comes.
    ///
    /// # Panics
    /// If something comes.
    pub async fn expect_nothing(&mut self, during: Duration) {
        assert!(self.waiting.is_empty(), "{:?} came", self.waiting);
        self.probe.expect_nothing(during).await;
    }

    /// Answers a request with a bare response.
    pub fn answer(&self, incoming: &Incoming, status: StatusCode) {
        self.reply(Reply::new(incoming.transaction, status));
    }

    /// Answers a request.
    pub fn reply(&self, reply: Reply) {
        self.outputs(vec![ModuleOutput::Reply(reply)]);
    }

    /// Sends a request.
    pub fn send(&self, outgoing: Outgoing) {
        self.outputs(vec![ModuleOutput::Send(outgoing)]);
    }

    /// Tells the endpoint several things at once.
    pub fn outputs(&self, outputs: Vec<ModuleOutput>) {
        self.endpoint.do_send(FromModule {
            module: self.module,
            shard: 0,
            outputs,
        });
    }
}
