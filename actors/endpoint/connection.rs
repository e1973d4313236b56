//! Streams: one task per connection reads and writes it; the actor has a row for each.
//!
//! Reading waits until the actor has handled what was read. Writing has a queue with a limit: a peer that does not read
//! loses its connection, and nobody else waits for it. A connection that ends is told to the core and to all modules.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use rollcall_core::exchange::{ConnectionId, Flow, Shard, Transport};
use rollcall_core::room::Room;
use rollcall_core::sip::Frame;
use rollcall_core::time::Timestamp;
use rustc_hash::FxHashMap;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::stream::{InputEnd, Line, OVERHEAD, StreamInput, serve};
use super::{Admission, Endpoint, trace};
use crate::clock::Clock;
use crate::messages::{ModuleInput, ToModule};
use crate::transport::Wire;
use crate::transport::tls::Shown;

/// Bytes that wait for a peer to read them; one that lets more wait is too slow.
const QUEUE: usize = 1 << 20;

/// The answer to a keep-alive.
const PONG: &[u8] = b"\r\n";

/// A connection's task has ended.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Gone(pub ConnectionId);

struct Row {
    flow: Flow,
    /// To the writer; none once we have closed.
    queue: Option<mpsc::UnboundedSender<Bytes>>,
    queued: Rc<Cell<usize>>,
    task: JoinHandle<()>,
    /// Requests that came and were not answered yet: a peer that ends its side may still wait for the answers.
    owed: usize,
    ended: bool,
    /// The host that the peer's certificate was checked to speak for.
    verified: Option<String>,
    /// The certificate of a peer that has connected to us.
    shown: Option<Shown>,
    /// Where it says that it may be reached over this connection, too (RFC 5923).
    alias: Option<SocketAddr>,
}

/// The connections of a shard.
pub(super) struct Connections {
    shard: Shard,
    opened: u64,
    /// Who has a place, those included that are being opened or shake hands.
    pub room: Room,
    /// How long a message may take from its first byte to its last.
    whole: Duration,
    /// Ordered, so that closing all of them takes the same order in every run.
    rows: BTreeMap<ConnectionId, Row>,
    by_remote: FxHashMap<(Transport, SocketAddr), ConnectionId>,
    /// Connections over TLS whose peers are reached at this place as well, the latest last. Several, since anybody may say so.
    by_alias: FxHashMap<SocketAddr, Vec<ConnectionId>>,
}

/// What became of bytes for a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Queued {
    Yes,
    /// The connection is gone.
    Gone,
    /// Too much waits already.
    Full,
}

impl Connections {
    pub fn new(shard: Shard, admission: Admission) -> Self {
        Self {
            shard,
            opened: 0,
            room: Room::new(admission.rules, admission.tally),
            whole: admission.whole,
            rows: BTreeMap::new(),
            by_remote: FxHashMap::default(),
            by_alias: FxHashMap::default(),
        }
    }

    pub fn len(&self) -> usize {
        self.room.len()
    }

    /// The number of the next connection.
    pub fn next_id(&mut self) -> ConnectionId {
        self.opened += 1;
        ConnectionId(u64::from(self.shard) << 56 | self.opened)
    }

    /// The shard that has a connection: it stands in the top byte of its number.
    pub fn owner(connection: ConnectionId) -> Shard {
        connection.0.to_be_bytes()[0]
    }

    /// Takes the stream of a connection that has its number, and its place in the room.
    pub fn open(&mut self, wire: Wire, flow: Flow, clock: Clock, endpoint: Addr<Endpoint>) {
        let id = flow.connection;
        let (queue, receiver) = mpsc::unbounded_channel();
        let queued = Rc::new(Cell::new(0));
        let line = Line {
            id,
            queue: receiver,
            queued: Rc::clone(&queued),
            whole: self.whole,
            clock,
            endpoint,
        };
        let task = actix_rt::spawn(serve(wire, line));
        self.rows.insert(
            id,
            Row {
                flow,
                queue: Some(queue),
                queued,
                task,
                owed: 0,
                ended: false,
                verified: None,
                shown: None,
                alias: None,
            },
        );
        self.by_remote.insert((flow.transport, flow.remote), id);
    }

    /// Remembers whom the peer's certificate speaks for.
    pub fn verified(&mut self, id: ConnectionId, host: String) {
        if let Some(row) = self.rows.get_mut(&id) {
            row.verified = Some(host);
        }
    }

    /// Remembers the certificate of a peer that has connected to us.
    pub fn shown(&mut self, id: ConnectionId, shown: Shown) {
        if let Some(row) = self.rows.get_mut(&id) {
            row.shown = Some(shown);
        }
    }

    /// Requests to the peer at this port of its address take its connection, if its certificate speaks for the host that they
    /// are for (RFC 5923, 8.2).
    pub fn alias(&mut self, id: ConnectionId, port: u16) {
        let Some(row) = self.rows.get_mut(&id) else {
            return;
        };
        let place = SocketAddr::new(row.flow.remote.ip(), port);
        let before = row.alias.replace(place);
        if before != Some(place) {
            self.forget_alias(id, before);
            self.by_alias.entry(place).or_default().push(id);
        }
    }

    /// The flow of a connection to this peer that can still be written to. Over TLS it must have been checked to be
    /// `host`: who shares an address with it is not it (RFC 5922, 7.3).
    pub fn to(&self, transport: Transport, remote: SocketAddr, host: &str) -> Option<Flow> {
        let usable = |id: &ConnectionId| {
            let row = self.rows.get(id)?;
            let is_it = |verified: &String| verified.eq_ignore_ascii_case(host);
            let sure = !transport.is_secure()
                || row.verified.as_ref().is_some_and(is_it)
                || row.shown.as_ref().is_some_and(|shown| shown.names(host));
            (row.queue.is_some() && !row.ended && sure).then_some(row.flow)
        };
        let own = self.by_remote.get(&(transport, remote)).and_then(usable);
        let offered = || {
            let offered = self.by_alias.get(&remote)?;
            offered.iter().rev().find_map(usable)
        };
        own.or_else(|| offered().filter(|flow| flow.transport == transport))
    }

    fn forget_alias(&mut self, id: ConnectionId, place: Option<SocketAddr>) {
        let Some(place) = place else { return };
        if let Some(offered) = self.by_alias.get_mut(&place) {
            offered.retain(|own| *own != id);
            if offered.is_empty() {
                self.by_alias.remove(&place);
            }
        }
    }

    pub fn send(&mut self, now: Timestamp, id: ConnectionId, bytes: Bytes) -> Queued {
        let Some(row) = self.rows.get_mut(&id) else {
            return Queued::Gone;
        };
        let Some(queue) = &row.queue else {
            return Queued::Gone;
        };
        let queued = row.queued.get() + bytes.len() + OVERHEAD;
        if queued > QUEUE {
            return Queued::Full;
        }
        row.queued.set(queued);
        let answer = is_final_response(&bytes);
        if answer {
            row.owed = row.owed.saturating_sub(1);
        }
        if bytes != PONG {
            self.room.sent(now, id, &bytes, row.owed > 0);
        }
        if queue.send(bytes).is_err() {
            return Queued::Gone;
        }
        if answer {
            self.close_if_done(id);
        }
        Queued::Yes
    }

    /// Messages have come over a connection.
    fn spoken(&mut self, now: Timestamp, id: ConnectionId) {
        if let Some(row) = self.rows.get(&id) {
            self.room.used(now, id, row.owed > 0);
        }
    }

    /// Closes after what is queued has been written.
    pub fn close(&mut self, id: ConnectionId) {
        if let Some(row) = self.rows.get_mut(&id) {
            row.queue = None;
        }
    }

    fn close_if_done(&mut self, id: ConnectionId) {
        if self
            .rows
            .get(&id)
            .is_some_and(|row| row.ended && row.owed == 0)
        {
            self.close(id);
        }
    }

    /// The other end of a connection.
    pub fn remote(&self, id: ConnectionId) -> Option<SocketAddr> {
        self.flow(id).map(|flow| flow.remote)
    }

    fn flow(&self, id: ConnectionId) -> Option<Flow> {
        self.rows.get(&id).map(|row| row.flow)
    }

    fn forget(&mut self, id: ConnectionId) -> bool {
        self.room.leave(id);
        let Some(row) = self.rows.remove(&id) else {
            return false;
        };
        // Ends a task that hangs in a write; one that has ended already does not mind.
        row.task.abort();
        let place = (row.flow.transport, row.flow.remote);
        if self.by_remote.get(&place) == Some(&id) {
            self.by_remote.remove(&place);
        }
        self.forget_alias(id, row.alias);
        true
    }

    /// Lets all connections write what is queued and close.
    pub fn close_all(&mut self) {
        self.rows.clear();
        self.room.clear();
        self.by_remote.clear();
        self.by_alias.clear();
    }
}

fn is_final_response(bytes: &[u8]) -> bool {
    bytes.starts_with(b"SIP/2.0 ") && bytes.get(8) != Some(&b'1')
}

fn is_response(bytes: &[u8]) -> bool {
    bytes
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"))
}

impl Handler<StreamInput> for Endpoint {
    type Result = ();

    fn handle(
        &mut self,
        StreamInput {
            connection,
            frames,
            end,
        }: StreamInput,
        ctx: &mut Context<Self>,
    ) {
        let Some(flow) = self.connections.flow(connection) else {
            // We have closed it since.
            self.counters.late_frames += frames.len() as u64;
            return;
        };
        let now = self.clock.now();
        let mut spoken = false;
        for frame in frames {
            // Running effects on the way may have closed it.
            if self.connections.flow(connection).is_none() {
                break;
            }
            match frame {
                Frame::Message(bytes) => {
                    trace::message("received", &flow, &bytes);
                    self.counters.stream_messages += 1;
                    spoken = true;
                    if is_response(&bytes) {
                        self.connections.room.answered(connection, &bytes);
                    } else if let Some(row) = self.connections.rows.get_mut(&connection) {
                        row.owed += 1;
                    }
                    self.receive(self.clock.now(), flow, bytes);
                }
                Frame::Ping => {
                    self.counters.keep_alives += 1;
                    // In the order of what came: answers before it go first.
                    self.run_effects(ctx);
                    let pong = Bytes::from_static(PONG);
                    if self.connections.send(now, connection, pong) == Queued::Full {
                        self.too_slow(&flow);
                    }
                }
                Frame::Pong => self.counters.keep_alives += 1,
            }
        }
        if spoken {
            self.connections.spoken(now, connection);
        }
        match end {
            None => {}
            Some(InputEnd::Late) => {
                self.counters.messages_unfinished += 1;
                tracing::debug!(remote = %flow.remote, "the rest of a message did not come: its connection is closed");
                self.lose(connection);
            }
            Some(InputEnd::Framing(error)) => {
                self.counters.framing_errors += 1;
                tracing::debug!(remote = %flow.remote, %error, "a stream lost its framing");
                let before = self.effects.len();
                self.ask(|core, now, out| core.framing_error(now, flow, &error, out));
                self.spans.received(&self.effects[before..]);
                self.run_effects(ctx);
                self.connections.close(connection);
            }
            Some(InputEnd::Ended) => {
                if let Some(row) = self.connections.rows.get_mut(&connection) {
                    row.ended = true;
                }
                self.run_effects(ctx);
                self.connections.close_if_done(connection);
            }
        }
        self.settle(ctx);
    }
}

impl Handler<Gone> for Endpoint {
    type Result = ();

    fn handle(&mut self, Gone(connection): Gone, ctx: &mut Context<Self>) {
        self.lose(connection);
        self.settle(ctx);
    }
}

impl Endpoint {
    /// A peer does not read what it is sent.
    pub(super) fn too_slow(&mut self, flow: &Flow) {
        self.counters.slow_readers += 1;
        tracing::debug!(remote = %flow.remote, "a peer does not read: its connection is closed");
        self.lose(flow.connection);
    }

    /// A connection is no more: the core and all modules learn it.
    pub(super) fn lose(&mut self, connection: ConnectionId) {
        if !self.connections.forget(connection) {
            return;
        }
        // A core that panics at it has a successor, which must learn it as well.
        let told = self.ask(|core, now, out| core.connection_closed(now, connection, out));
        if !told {
            self.ask(|core, now, out| core.connection_closed(now, connection, out));
        }
        self.closed.push(connection);
    }

    /// Tells all modules which connections are gone, after the ends of the requests that were sent over them.
    pub(super) fn tell_closed(&mut self) {
        for connection in self.closed.drain(..) {
            for recipient in self.modules.values().flatten() {
                recipient.do_send(ToModule(vec![ModuleInput::ConnectionClosed(connection)]));
            }
        }
    }
}
