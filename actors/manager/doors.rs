//! Who has a place at a Manager's listener: a shell over [`rollcall_core::room`].

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::prelude::*;
use rollcall_core::exchange::ConnectionId;
use rollcall_core::manager::Message;
use rollcall_core::room::{Full, Room, Rules, Tally};
use rollcall_core::time::Timestamp;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use super::session::ManagerSession;
use crate::messages::{SessionId, ToSession};

/// The places of a listener.
#[derive(Clone, Debug)]
pub(super) struct Doors(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    /// Somebody has left.
    left: Notify,
}

#[derive(Debug)]
struct Inner {
    room: Room,
    sessions: FxHashMap<SessionId, Addr<ManagerSession>>,
}

/// The place of a session. Dropping it gives it back.
#[derive(Debug)]
pub struct Place {
    doors: Doors,
    id: SessionId,
}

impl Doors {
    /// So many, and so many for an address, as the rules say.
    pub fn new(rules: Rules) -> Self {
        let inner = Inner {
            room: Room::new(rules, Tally::default()),
            sessions: FxHashMap::default(),
        };
        Self(Arc::new(Shared {
            inner: Mutex::new(inner),
            left: Notify::new(),
        }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing within panics half done.
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new session. One that has not greeted yet may have to go for it; `true` if so.
    pub fn enter(&self, now: Timestamp, id: SessionId, ip: IpAddr) -> Result<(Place, bool), Full> {
        let mut inner = self.inner();
        let gone = inner.room.enter(now, ConnectionId(id.0), ip)?;
        if let Some(other) = gone
            && let Some(session) = inner.sessions.remove(&SessionId(other.0))
        {
            let reason = "another connection gets the place of this one, which has said nothing";
            session.do_send(ToSession::Close(Message::Error(reason.to_owned())));
        }
        let doors = self.clone();
        Ok((Place { doors, id }, gone.is_some()))
    }

    /// The session has started.
    pub fn started(&self, id: SessionId, session: Addr<ManagerSession>) {
        self.inner().sessions.insert(id, session);
    }

    /// How many places are taken.
    pub fn taken(&self) -> usize {
        self.inner().room.len()
    }

    /// Waits until all have left.
    pub async fn emptied(&self) {
        loop {
            let left = self.0.left.notified();
            if self.taken() == 0 {
                return;
            }
            left.await;
        }
    }
}

impl Place {
    /// Its peer has said who it is: it goes for nobody.
    pub fn greeted(&self) {
        let for_ever = Timestamp::from_millis(u64::MAX);
        self.doors
            .inner()
            .room
            .keep(ConnectionId(self.id.0), for_ever);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = self.doors.inner();
        inner.room.leave(ConnectionId(self.id.0));
        inner.sessions.remove(&self.id);
        drop(inner);
        self.doors.0.left.notify_waiters();
    }
}
