//! The Presence Client: links Manager and Presence Server, so that neither depends on the other.
//!
//! Two actors, one towards each side, which may run on two arbiters. Neither waits for the other, and nothing is locked:
//! they are synchronised by demand.
//!
//! ```text
//!  session          PublishBuffer                Publisher           endpoint
//!     | ── PRESENCE ──> |                            |                   |
//!     | <── Credit ──── | <── Demand(room) ───────── |                   |
//!     |                 | ── Take(entries) ────────> | ── PUBLISH ─────> |
//!     | <── ACK, NAK ── | <── Report(outcomes) ───── | <── Outcome ───── |
//! ```
//!
//! The session reads the Manager's socket only under [`Credit`](crate::messages::ToSession::Credit), so a slow Presence
//! Server slows the Manager down instead of filling memory.
//!
//! After `kill -9` the client has lost its entity-tags, and its publications live on at the server until they lapse,
//! beside the new ones. With a [tag journal](tags) it modifies its earlier publications instead; without one the
//! server's composition still shows the freshest, and `expires` bounds how long the old one lives.

mod buffer;
pub mod once;
mod publisher;
pub mod tags;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use actix::prelude::*;
use actix_rt::ArbiterHandle;
use rollcall_core::buffer::{self as core_buffer, Entry, EntryId, Outcome};
use rollcall_core::endpoint::{ModuleId, Route};
use rollcall_core::entropy::Entropy;
use rollcall_core::publisher::{self as core_publisher, Tag};

use crate::clock::Clock;
use crate::messages::FromModule;

pub use buffer::PublishBuffer;
pub use publisher::Publisher;

/// What the [`PublishBuffer`] claims in its endpoint's module table: the states, and the greeting that tells which run
/// of the Manager counts their sequence numbers.
pub fn claims() -> [Route; 2] {
    [Route::manager("PRESENCE"), Route::manager("WELCOME")]
}

/// Publisher → buffer: it has room for so many entries more, to be sent there.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Demand {
    /// How many more than it has asked for before.
    pub room: usize,
    /// Where to.
    pub to: Recipient<Take>,
}

/// Buffer → publisher: what it asked for, or a part of it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Take(pub Vec<Entry>);

/// Publisher → buffer: how publications ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Report {
    /// Each entry once, unless it is handed out again.
    pub done: Vec<(EntryId, Outcome)>,
    /// The server answers again: what was put back need not wait.
    pub recovered: bool,
}

/// Ends the publisher in order. Answered when nothing is left to wait for, or the time is over.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Shutdown {
    /// How long removing all publications may take; without a limit they are left at the server, to lapse.
    pub unpublish: Option<Duration>,
}

/// Publisher → whoever asked: the server has a publication of ours, newly published, modified or refreshed.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Kept(pub Tag);

/// What a Presence Client is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The circular buffer.
    pub buffer: core_buffer::Settings,
    /// The publication agent.
    pub publisher: core_publisher::Settings,
    /// Where entity-tags are kept over a restart, if anywhere.
    pub tags: Option<PathBuf>,
    /// Who is told of each success, if anybody.
    pub listener: Option<Recipient<Kept>>,
    /// The publisher's place in the endpoint's module table.
    pub module: ModuleId,
    /// Two threads, for the side towards the Manager and the side towards the server; the present one if `None`.
    pub arbiters: Option<(ArbiterHandle, ArbiterHandle)>,
}

/// A running Presence Client. Its two actors are to be attached to the endpoint: the buffer as the module with [`claims`], the
/// publisher as [`Setup::module`], which claims nothing and gets the outcomes of its requests.
#[derive(Clone, Debug)]
pub struct Client {
    /// The side towards the Manager.
    pub buffer: Addr<PublishBuffer>,
    /// The side towards the Presence Server.
    pub publisher: Addr<Publisher>,
}

/// Starts both actors. `endpoint` sends the publisher's requests.
pub fn start(
    setup: Setup,
    endpoint: Recipient<FromModule>,
    clock: Clock,
    entropy: Entropy,
) -> Client {
    let Setup {
        buffer,
        publisher,
        tags,
        listener,
        module,
        arbiters,
    } = setup;
    match arbiters {
        None => {
            let buffer = PublishBuffer::new(buffer, clock).start();
            let publisher = Publisher::new(publisher, module, endpoint, &buffer, clock, entropy)
                .journal(tags)
                .listener(listener)
                .start();
            Client { buffer, publisher }
        }
        Some((towards_manager, towards_server)) => {
            let buffer = PublishBuffer::start_in_arbiter(&towards_manager, move |_| {
                PublishBuffer::new(buffer, clock)
            });
            let side = buffer.clone();
            let publisher = Publisher::start_in_arbiter(&towards_server, move |_| {
                Publisher::new(publisher, module, endpoint, &side, clock, entropy)
                    .journal(tags)
                    .listener(listener)
            });
            Client { buffer, publisher }
        }
    }
}
