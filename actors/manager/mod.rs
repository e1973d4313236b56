//! The Manager node: hub, sessions and sources; and the link by which a Presence Client finds its Manager.
//!
//! ```text
//!  Source… ── FromSource ──> Manager (hub) <── ToModule ── Endpoint <── ManagerIncoming ── ManagerSession <── TCP
//!                               └───────────────── ToSession ────────────────────────────────────^
//! ```
//!
//! The protocol is described in docs/manager-protocol.md; its rules are in [`rollcall_core::manager`].

pub mod counters;
mod doors;
pub mod hub;
pub mod journal;
pub mod link;
pub mod listener;
pub mod session;
pub mod source;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::prelude::*;
use rollcall_core::endpoint::{ModuleId, Route};
use rollcall_core::manager::hub::Settings as HubSettings;
use rollcall_core::manager::session::Settings as SessionSettings;
use rollcall_core::room::Rules;

use crate::clock::Clock;
use crate::messages::{Attach, ManagerIncoming};
use crate::transport::Network;

pub use counters::Counters;
pub use hub::{MANAGER_TYPES, Manager};
pub use link::{Link, LinkParts, LinkSettings};
pub use listener::{Acceptance, ManagerListener, SessionIds};
pub use session::ManagerSession;

/// What a Manager is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Its place in the endpoint's module table, where it claims [`routes`].
    pub module: ModuleId,
    /// The hub: name, run, limits. Its heartbeat is that of the sessions.
    pub hub: HubSettings,
    /// Where the last word of each source outlives a restart, if anywhere.
    pub state: Option<PathBuf>,
    /// Where peers connect.
    pub listen: SocketAddr,
    /// Connections at a time, and those of an address.
    pub rules: Rules,
    /// Over what.
    pub network: Network,
    /// The node's clock.
    pub clock: Clock,
}

/// What the Manager claims in its endpoint's module table.
pub fn routes() -> Vec<Route> {
    MANAGER_TYPES
        .iter()
        .map(|kind| Route::manager(kind))
        .collect()
}

/// A running Manager.
#[derive(Debug)]
pub struct RunningManager {
    /// The hub; sources within the process speak to it.
    pub hub: Addr<Manager>,
    /// Where peers connect.
    pub listener: ManagerListener,
}

/// Why a Manager can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its state file can't be used.
    #[error("state file {}: {error}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Its address can't be listened at.
    #[error("cannot listen: {0}")]
    Listen(io::Error),
}

/// Starts a Manager on the present arbiter, behind an endpoint whose module table has it.
pub async fn start<E>(setup: Setup, endpoint: &Addr<E>) -> Result<RunningManager, StartError>
where
    E: Handler<ManagerIncoming> + Handler<Attach>,
    E::Context: ToEnvelope<E, ManagerIncoming> + ToEnvelope<E, Attach>,
{
    let Setup {
        module,
        hub,
        state,
        listen,
        rules,
        network,
        clock,
    } = setup;
    let settings = SessionSettings {
        heartbeat: hub.heartbeat,
        ..SessionSettings::default()
    };
    let mut manager = Manager::new(hub, clock);
    if let Some(path) = state {
        manager = manager
            .with_journal(path.clone())
            .map_err(|error| StartError::State { path, error })?;
    }
    let acceptance = Acceptance {
        endpoint: endpoint.clone().recipient(),
        settings,
        rules,
        ids: SessionIds::default(),
        counters: Counters::default(),
        clock,
    };
    let listener = ManagerListener::open(&network, listen, acceptance)
        .await
        .map_err(StartError::Listen)?;
    let hub = manager.start();
    endpoint.do_send(Attach {
        module,
        recipients: vec![hub.clone().recipient()],
    });
    Ok(RunningManager { hub, listener })
}

impl RunningManager {
    /// Says goodbye to all peers and ends; false if they took longer to go than `limit`.
    pub async fn shut_down(self, limit: Duration) -> bool {
        // A hub that is gone already has said nothing; its sessions end with the node.
        let _ = self.hub.send(hub::Shutdown).timeout(2 * limit).await;
        self.listener.drain(limit).await
    }
}
