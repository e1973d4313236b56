//! Where peers of a Manager connect.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::prelude::*;
use rollcall_core::manager::session::{Session, Settings};
use rollcall_core::manager::{Message, to_bytes};
use rollcall_core::room::Rules;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::Counters;
use super::doors::Doors;
use super::session::{ManagerSession, Parts};
use crate::clock::Clock;
use crate::messages::{ManagerIncoming, SessionId};
use crate::transport::{Listener, Network, Stream};
use crate::trouble::Seldom;

/// How long to wait when accepting fails, as it does without file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a peer that is turned away may take to read why.
const TURNED_AWAY: Duration = Duration::from_secs(5);

/// Numbers the sessions of a node, so that no two have the same.
#[derive(Clone, Debug, Default)]
pub struct SessionIds(Arc<AtomicU64>);

impl SessionIds {
    /// The next number.
    pub fn next(&self) -> SessionId {
        SessionId(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// What a listener gives its sessions.
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// Where their messages go.
    pub endpoint: Recipient<ManagerIncoming>,
    /// Heartbeat and patience.
    pub settings: Settings,
    /// Connections at a time, and those of an address; the next one gets the place of one that has said nothing, or is closed
    /// with an `ERROR`.
    pub rules: Rules,
    /// Their numbers.
    pub ids: SessionIds,
    /// Where they count.
    pub counters: Counters,
    /// The node's clock.
    pub clock: Clock,
}

/// A place where peers connect. Dropping it stops listening; sessions that stand go on.
#[derive(Debug)]
pub struct ManagerListener {
    addr: SocketAddr,
    task: JoinHandle<()>,
    doors: Doors,
    counters: Counters,
}

impl ManagerListener {
    /// Begins to listen; each connection becomes a session on the present arbiter.
    pub async fn open(
        network: &Network,
        addr: SocketAddr,
        acceptance: Acceptance,
    ) -> io::Result<Self> {
        let listener = network.listen(addr).await?;
        let addr = listener.local_addr()?;
        let doors = Doors::new(acceptance.rules.clone());
        let counters = acceptance.counters.clone();
        let task = actix_rt::spawn(accept(listener, acceptance, doors.clone()));
        Ok(Self {
            addr,
            task,
            doors,
            counters,
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many sessions stand.
    pub fn sessions(&self) -> usize {
        self.doors.taken()
    }

    /// A picture of it: its sessions, and what they have counted since it listens.
    pub fn snapshot(&self) -> serde_json::Value {
        serde_json::json!({
            "actor": "manager-listener",
            "sessions": self.sessions(),
            "counters": self.counters.snapshot(),
        })
    }

    /// Stops listening and waits until all sessions have ended, which somebody else sees to. False if that took longer
    /// than `limit`.
    pub async fn drain(&self, limit: Duration) -> bool {
        self.task.abort();
        timeout(limit, self.doors.emptied()).await.is_ok()
    }
}

impl Drop for ManagerListener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: Listener, acceptance: Acceptance, doors: Doors) {
    let (mut refusals, mut failures) = (Seldom::default(), Seldom::default());
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                acceptance.counters.add(|of| &of.accept_errors, 1);
                if let Some(times) = failures.again(acceptance.clock.now()) {
                    warn!(%error, times, "a connection could not be accepted");
                }
                sleep(PAUSE).await;
                continue;
            }
        };
        let (id, clock) = (acceptance.ids.next(), acceptance.clock);
        let place = match doors.enter(clock.now(), id, peer.ip()) {
            Ok((place, displaced)) => {
                acceptance
                    .counters
                    .add(|of| &of.displaced, usize::from(displaced));
                place
            }
            Err(full) => {
                acceptance.counters.add(|of| &of.turned_away, 1);
                if let Some(times) = refusals.again(clock.now()) {
                    let limit = acceptance.rules.most;
                    warn!(%peer, limit, reason = %full, times, "turned away: too many connections");
                }
                actix_rt::spawn(turn_away(stream));
                continue;
            }
        };
        acceptance.counters.add(|of| &of.accepted, 1);
        debug!(session = id.0, remote = %peer, "connection accepted");
        let host = peer.ip().to_string();
        let session = ManagerSession::start(Parts {
            id,
            stream,
            session: (
                Session::manager(acceptance.settings.clone(), &host, clock.now()),
                Vec::new(),
            ),
            endpoint: acceptance.endpoint.clone(),
            owner: None,
            place: Some(place),
            counters: acceptance.counters.clone(),
            clock,
        });
        doors.started(id, session);
    }
}

async fn turn_away(mut stream: Stream) {
    let reason = "there are too many connections; try again later".to_owned();
    let writing = async {
        stream.write_all(&to_bytes(&Message::Error(reason))).await?;
        stream.shutdown().await
    };
    // A peer that does not read it is gone anyway.
    let _ = timeout(TURNED_AWAY, writing).await;
}
