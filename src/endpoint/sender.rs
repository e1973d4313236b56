//! What our requests say of the address that they leave from: Via and Contact, made once for each (RFC 3261, 8.1.1.7, 8.1.1.8).

use std::net::SocketAddr;

use super::Settings;
use crate::exchange::Transport;
use crate::transaction::{branch_start, push_token};

/// Addresses of ours of which what they write in headers is remembered.
const MOST_SENDERS: usize = 64;

/// What requests say of us who leave from one of our addresses.
#[derive(Debug)]
pub(super) struct Sender {
    transport: Transport,
    ours: SocketAddr,
    /// As in Contact.
    contact: String,
    /// The top Via of the last request.
    via: String,
    /// How much of it all have in common: up to the token of the branch.
    fixed: usize,
    /// What stands behind the branch.
    params: &'static str,
}

/// Our addresses that requests leave from: as many as a machine has networks, so walking them is the fastest way.
#[derive(Debug, Default)]
pub(super) struct Senders(Vec<Sender>);

impl Senders {
    /// What is written of an address of ours, `ours`, in requests over a transport.
    pub fn of(
        &mut self,
        settings: &Settings,
        transport: Transport,
        ours: SocketAddr,
    ) -> &mut Sender {
        let known = |sender: &Sender| sender.transport == transport && sender.ours == ours;
        let at = self.0.iter().position(known).unwrap_or_else(|| {
            // Connections that we opened leave from a port each; where we listen at none they show it.
            if self.0.len() >= MOST_SENDERS {
                self.0.clear();
            }
            self.0.push(Sender::new(settings, transport, ours));
            self.0.len() - 1
        });
        &mut self.0[at]
    }
}

impl Sender {
    /// Puts the branch of the next request into its Via.
    pub fn begin(&mut self, token: u64) {
        self.via.truncate(self.fixed);
        push_token(&mut self.via, token);
        self.via.push_str(self.params);
    }

    /// The top Via of the last request (RFC 3261, 8.1.1.7).
    pub fn via(&self) -> &str {
        &self.via
    }

    /// `host:port;transport=…`, as [`crate::exchange::LOCAL_CONTACT`] stands for it.
    pub fn contact(&self) -> &str {
        &self.contact
    }

    fn new(settings: &Settings, transport: Transport, ours: SocketAddr) -> Self {
        let cookie = branch_start(settings.shard);
        let via = format!("SIP/2.0/{} {ours};branch={cookie}", transport.via());
        Self {
            transport,
            ours,
            contact: format!("{ours};transport={}", transport.param()),
            fixed: via.len(),
            via,
            params: match transport {
                Transport::Udp => ";rport",
                Transport::Tls if settings.alias => ";alias",
                Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => "",
            },
        }
    }
}
