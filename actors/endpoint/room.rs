//! Carries out what the core decides about connections: see [`rollcall_core::room`].

use std::net::SocketAddr;

use rollcall_core::exchange::ConnectionId;
use rollcall_core::room::{Due, Full, hurry};
use rollcall_core::time::Timestamp;
use tokio::task::JoinHandle;

use super::Endpoint;

/// A connection that shakes hands.
pub(super) struct Shaking {
    pub task: JoinHandle<()>,
    pub remote: SocketAddr,
    pub since: Timestamp,
}

impl Endpoint {
    /// A connection has got a place or not; who had to go for it is closed.
    pub(super) fn given(
        &mut self,
        now: Timestamp,
        remote: SocketAddr,
        place: Result<Option<ConnectionId>, Full>,
    ) -> Result<(), Full> {
        match place {
            Ok(None) => {}
            Ok(Some(other)) => self.displace(now, other),
            Err(full) => {
                self.counters.connections_refused += 1;
                if let Some(times) = self.refused.again(now) {
                    tracing::warn!(%remote, reason = %full, times, "a connection is refused; see limits.connections");
                }
                return Err(full);
            }
        }
        Ok(())
    }

    /// Closes a connection that is idle, since somebody else needs its place.
    pub(super) fn displace(&mut self, now: Timestamp, id: ConnectionId) {
        self.counters.connections_displaced += 1;
        let whose = self.remote(id);
        if let Some(times) = self.displaced.again(now) {
            tracing::warn!(
                remote = whose.map(tracing::field::display),
                times,
                "there is no room for more connections: an idle one is closed; see limits.connections"
            );
        }
        self.drop_connection(id);
    }

    fn remote(&self, id: ConnectionId) -> Option<SocketAddr> {
        let shaking = self.shaking.get(&id).map(|shaking| shaking.remote);
        shaking.or_else(|| self.connections.remote(id))
    }

    /// Closes a connection at once, in whatever state it is.
    fn drop_connection(&mut self, id: ConnectionId) {
        match self.shaking.remove(&id) {
            Some(shaking) => {
                shaking.task.abort();
                self.counters.handshakes_failed += 1;
                self.connections.room.leave(id);
            }
            None => self.lose(id),
        }
    }

    /// Closes those that have been idle for too long.
    pub(super) fn close_idle(&mut self) {
        let now = self.clock.now();
        while let Some(due) = self.connections.room.due(now) {
            match due {
                Due::Close(id) if !self.shaking.contains_key(&id) => {
                    self.counters.connections_idle += 1;
                    self.connections.close(id);
                }
                Due::Close(id) | Due::Drop(id) => self.drop_connection(id),
            }
        }
    }

    /// The system has no room for another connection: an idle one is closed. False if there is none.
    pub(super) fn make_room(&mut self) -> bool {
        let now = self.clock.now();
        match self.connections.room.spare(now) {
            Some(id) => self.displace(now, id),
            None => return false,
        }
        true
    }

    /// Others wait to shake hands: one who takes long over it is turned out.
    pub(super) fn hurry(&mut self) {
        let shaking = self.shaking.iter();
        let shaking = shaking.map(|(id, shaking)| (*id, shaking.remote.ip(), shaking.since));
        if let Some(id) = hurry(self.clock.now(), shaking) {
            self.drop_connection(id);
        }
    }
}
