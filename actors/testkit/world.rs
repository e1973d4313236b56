//! A memory network with hosts by name.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rollcall_core::entropy::Entropy;

use crate::transport::{MemoryHost, MemoryNetwork, Network};

/// Hosts on a memory network, with addresses 10.0.0.1, 10.0.0.2, … in the order of their names.
#[derive(Clone, Debug)]
pub struct World {
    network: MemoryNetwork,
}

impl World {
    /// Hosts of these names, joined by perfect links.
    ///
    /// # Panics
    /// If there are more than 250 hosts.
    pub fn new(seed: u64, hosts: &[&str]) -> Self {
        let network = MemoryNetwork::new(Entropy::from_number(seed));
        for (name, last) in hosts.iter().zip(1u8..) {
            network.host(name, &[IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))]);
        }
        assert!(hosts.len() <= 250, "too many hosts for one network");
        Self { network }
    }

    /// The network itself: links, partitions, statistics, observers.
    pub fn memory(&self) -> &MemoryNetwork {
        &self.network
    }

    /// A host as it is now.
    ///
    /// # Panics
    /// If there is no host of that name.
    pub fn host(&self, name: &str) -> MemoryHost {
        self.network
            .find(name)
            .unwrap_or_else(|| panic!("no host is called {name}"))
    }

    /// A host's network, as an actor gets it.
    ///
    /// # Panics
    /// If there is no host of that name.
    pub fn network(&self, name: &str) -> Network {
        Network::Memory(self.host(name))
    }

    /// An address on a host.
    ///
    /// # Panics
    /// If there is no host of that name.
    pub fn addr(&self, name: &str, port: u16) -> SocketAddr {
        let ip = self
            .host(name)
            .address()
            .unwrap_or_else(|| panic!("{name} has no address"));
        SocketAddr::new(ip, port)
    }

    /// Cuts hosts off from each other.
    ///
    /// # Panics
    /// If there is no host of one of the names.
    pub fn partition(&self, a: &str, b: &str) {
        self.network.partition(&[&self.host(a)], &[&self.host(b)]);
    }

    /// Ends all partitions.
    pub fn heal(&self) {
        self.network.heal_all();
    }

    /// Kills a host and brings it up again without sockets.
    ///
    /// # Panics
    /// If there is no host of that name.
    pub fn restart(&self, name: &str) -> Network {
        let host = self.host(name);
        self.network.crash(&host);
        Network::Memory(self.network.restart(&host))
    }
}
