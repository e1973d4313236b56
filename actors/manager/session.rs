//! One connection of the Manager protocol, at either end: a shell over [`rollcall_core::manager::session`].
//!
//! ```text
//!  TCP ── bytes ──> FrameFinder ──> Session ── ManagerIncoming ──> endpoint ──> module
//!      <─ bytes ──────────────────────  <────────── ToSession ────────────────────┘
//! ```
//!
//! At most one read, one write and one timer are under way. A read begins only when the module has given credit and the
//! peer takes what it is sent: so what is not read waits in the peer.

use std::time::Duration;

use actix::prelude::*;
use bytes::BytesMut;
use rollcall_core::manager::session::{Effect, End, Resume, Session};
use rollcall_core::manager::{FrameFinder, Message as Document, Welcome, write};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tracing::field::Empty;
use tracing::{Span, debug, info, info_span, trace};

use super::Counters;
use super::doors::Place;
use crate::alarm::{Alarm, Sleeper};
use crate::clock::Clock;
use crate::messages::{ManagerIncoming, SessionId, TakeSnapshot, ToSession};
use crate::transport::Stream;

/// How much one read takes at most.
const READ: usize = 16 * 1024;
/// With more than this unwritten, the peer is not read: whoever does not take answers may not ask.
const HIGH_WATER: usize = 256 * 1024;
/// How long the last words may take to be written.
const FAREWELL: Duration = Duration::from_secs(5);

/// Session → its owner: what became of it.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub enum SessionEvent {
    /// At the client's end: the Manager has answered.
    Welcomed(SessionId, Welcome),
    /// It is over, and a later session may go on from there.
    Ended(SessionId, End, Resume),
}

/// What a session is made of.
pub struct Parts {
    /// Its number.
    pub id: SessionId,
    /// The connection.
    pub stream: Stream,
    /// The machine, and what it wants done at once.
    pub session: (Session, Vec<Effect>),
    /// Where messages go.
    pub endpoint: Recipient<ManagerIncoming>,
    /// Who wants to know when it ends.
    pub owner: Option<Recipient<SessionEvent>>,
    /// Its place among the connections allowed, given back at the end.
    pub place: Option<Place>,
    /// Where it counts.
    pub counters: Counters,
    /// The node's clock.
    pub clock: Clock,
}

/// The actor of one connection.
pub struct ManagerSession {
    id: SessionId,
    core: Session,
    /// Done when the actor starts.
    first: Vec<Effect>,
    finder: FrameFinder,
    clock: Clock,
    endpoint: Recipient<ManagerIncoming>,
    owner: Option<Recipient<SessionEvent>>,
    place: Option<Place>,
    /// Not here while a read is under way; the input neither.
    reader: Option<ReadHalf<Stream>>,
    input: BytesMut,
    end_of_stream: bool,
    /// Not here while a write is under way.
    writer: Option<WriteHalf<Stream>>,
    output: Vec<u8>,
    end: Option<End>,
    alarm: Alarm,
    counters: Counters,
    /// From the connection to its end; what happens within names it as its parent.
    span: Span,
}

impl ManagerSession {
    /// Starts the session on the present arbiter.
    pub fn start(parts: Parts) -> Addr<Self> {
        let span = info_span!(
            "manager_session",
            session = parts.id.0,
            remote = parts.stream.peer_addr().ok().map(display),
            peer = Empty,
        );
        let (reader, writer) = tokio::io::split(parts.stream);
        let (core, first) = parts.session;
        let actor = Self {
            id: parts.id,
            core,
            first,
            finder: FrameFinder::default(),
            clock: parts.clock,
            endpoint: parts.endpoint,
            owner: parts.owner,
            place: parts.place,
            reader: Some(reader),
            input: BytesMut::new(),
            end_of_stream: false,
            writer: Some(writer),
            output: Vec::new(),
            end: None,
            alarm: Alarm::default(),
            counters: parts.counters,
            span,
        };
        Actor::start(actor)
    }

    /// Gives the core one input, and does what follows.
    fn ask(&mut self, ctx: &mut Context<Self>, input: impl FnOnce(&mut Session, &mut Vec<Effect>)) {
        let mut out = Vec::new();
        input(&mut self.core, &mut out);
        self.follow(out, ctx);
    }

    fn follow(&mut self, effects: Vec<Effect>, ctx: &mut Context<Self>) {
        self.run(effects, ctx);
        self.read_on(ctx);
        self.write_on(ctx);
        self.alarm.set(self.core.next_wake(), self.clock, ctx);
    }

    fn run(&mut self, effects: Vec<Effect>, ctx: &mut Context<Self>) {
        for effect in effects {
            match effect {
                Effect::Write(message) => {
                    trace!(parent: &self.span, kind = message.kind(), "to the peer");
                    self.counters.add(|of| &of.sent, 1);
                    if let Document::Error(reason) = &message {
                        self.counters.add(|of| &of.errors_sent, 1);
                        debug!(parent: &self.span, reason, "the peer is told of an error");
                    }
                    write(&message, &mut self.output);
                }
                Effect::Forward(message) => {
                    trace!(parent: &self.span, kind = message.kind(), "from the peer");
                    self.greeted(&message);
                    if let (Document::Welcome(welcome), Some(owner)) = (&message, &self.owner) {
                        owner.do_send(SessionEvent::Welcomed(self.id, welcome.clone()));
                    }
                    let reply = ctx.address().recipient();
                    self.endpoint.do_send(ManagerIncoming {
                        session: self.id,
                        reply,
                        message,
                    });
                }
                Effect::Complaint(reason) => {
                    self.counters.add(|of| &of.complaints, 1);
                    debug!(parent: &self.span, reason, "the peer complains");
                }
                Effect::End(end) => {
                    info!(parent: &self.span, reason = %end, "session ends");
                    self.end = Some(end);
                    // Whoever does not read its farewell misses it.
                    ctx.run_later(FAREWELL, |_, ctx| ctx.stop());
                }
            }
        }
    }

    /// Whoever greets says who it is, and the span tells.
    fn greeted(&self, message: &Document) {
        let peer = match message {
            Document::PresenceClient(hello) | Document::Source(hello) => hello.id.as_deref(),
            Document::Welcome(welcome) => Some(welcome.id.as_str()),
            _ => return,
        };
        if let Some(place) = &self.place {
            place.greeted();
        }
        self.span.record("peer", peer);
        info!(parent: &self.span, kind = message.kind(), "greeted");
    }

    /// Takes documents out of what was read, and reads more, as long as the module has room.
    fn read_on(&mut self, ctx: &mut Context<Self>) {
        if self.reader.is_none() && !self.end_of_stream {
            return;
        }
        while self.core.may_read() && self.output.len() < HIGH_WATER {
            let mut out = Vec::new();
            let now = self.clock.now();
            match self.finder.next(&mut self.input) {
                Some(frame) => {
                    self.counters.add(|of| &of.received, 1);
                    self.core.receive(now, frame, &mut out);
                }
                None if self.end_of_stream => {
                    self.core
                        .end_of_stream(now, self.finder.is_within(), &mut out);
                }
                None => {
                    self.core.looked(now, self.finder.is_within());
                    return self.read(ctx);
                }
            }
            self.run(out, ctx);
        }
    }

    fn read(&mut self, ctx: &mut Context<Self>) {
        let Some(mut reader) = self.reader.take() else {
            return;
        };
        let mut input = std::mem::take(&mut self.input);
        let reading = async move {
            input.reserve(READ);
            let result = reader.read_buf(&mut input).await;
            (reader, input, result)
        };
        ctx.spawn(
            reading
                .into_actor(self)
                .map(|(reader, input, result), session, ctx| {
                    session.input = input;
                    match result {
                        Ok(0) => session.end_of_stream = true,
                        Ok(read) => {
                            session.counters.add(|of| &of.bytes_read, read);
                            session.reader = Some(reader);
                        }
                        Err(error) => {
                            return session
                                .ask(ctx, |core, out| core.broken(error.to_string(), out));
                        }
                    }
                    session.ask(ctx, |_, _| {});
                }),
        );
    }

    /// Writes what is queued; when the session has ended, closes the connection after it.
    fn write_on(&mut self, ctx: &mut Context<Self>) {
        let ended = self.end.is_some();
        if self.output.is_empty() && !ended {
            return;
        }
        let Some(mut writer) = self.writer.take() else {
            return;
        };
        let output = std::mem::take(&mut self.output);
        let writing = async move {
            let mut result = writer.write_all(&output).await;
            if result.is_ok() {
                result = if ended {
                    writer.shutdown().await
                } else {
                    writer.flush().await
                };
            }
            (writer, output.len(), result)
        };
        ctx.spawn(
            writing
                .into_actor(self)
                .map(move |(writer, written, result), session, ctx| {
                    session.counters.add(|of| &of.bytes_written, written);
                    match result {
                        Ok(()) if ended => ctx.stop(),
                        Ok(()) => {
                            session.writer = Some(writer);
                            session.ask(ctx, |_, _| {});
                        }
                        Err(error) => {
                            session.ask(ctx, |core, out| core.broken(error.to_string(), out));
                            // Nothing more can be written, so there is nothing to wait for.
                            ctx.stop();
                        }
                    }
                }),
        );
    }
}

impl Actor for ManagerSession {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        debug!(parent: &self.span, "session begins");
        let first = std::mem::take(&mut self.first);
        self.ask(ctx, |_, out| out.extend(first));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        debug!(parent: &self.span, "session is over");
        if let Some(owner) = &self.owner {
            let end = self.end.take().unwrap_or(End::Ours);
            owner.do_send(SessionEvent::Ended(self.id, end, self.core.resume()));
        }
    }
}

impl Sleeper for ManagerSession {
    fn woken(&mut self, ctx: &mut Context<Self>) {
        let now = self.clock.now();
        self.ask(ctx, |core, out| core.wake(now, out));
    }
}

impl Handler<ToSession> for ManagerSession {
    type Result = ();

    fn handle(&mut self, message: ToSession, ctx: &mut Self::Context) {
        let now = self.clock.now();
        self.ask(ctx, |core, out| match message {
            ToSession::Send(message) => core.send(message, out),
            ToSession::Credit(more) => core.credit(now, more),
            ToSession::Close(message) => core.close(message, out),
        });
    }
}

impl Handler<TakeSnapshot> for ManagerSession {
    type Result = MessageResult<TakeSnapshot>;

    fn handle(&mut self, _: TakeSnapshot, _: &mut Self::Context) -> Self::Result {
        MessageResult(serde_json::json!({
            "actor": "manager-session",
            "session": self.id.0,
            "open": self.core.is_open(),
            "may_read": self.core.may_read(),
            "unwritten": self.output.len(),
            "timers": self.alarm.live(),
        }))
    }
}
