//! The link from a Presence Client to its Manager: connects, and connects again.
//!
//! Each connection is a new session that goes on where the last one had acknowledged; between attempts it waits, longer
//! each time, until a Manager answers.

use std::io;
use std::time::Duration;

use actix::prelude::*;
use rollcall_core::entropy::Entropy;
use rollcall_core::manager::session::{Backoff, Resume, Session, Settings};
use rollcall_core::manager::{Hello, Message as Document};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::Counters;
use super::listener::SessionIds;
use super::session::{ManagerSession, Parts, SessionEvent};
use crate::clock::Clock;
use crate::fault::{self, Machine};
use crate::messages::{ManagerIncoming, SessionId, TakeSnapshot, ToSession};
use crate::transport::{Network, Stream};

/// How a Presence Client finds its Manager.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    /// The Manager's host.
    pub host: String,
    /// The Manager's port.
    pub port: u16,
    /// The client's name, for the Manager's log.
    pub id: Option<String>,
    /// The first wait after a failure.
    pub backoff_min: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
    /// How long a connection may take.
    pub connect_timeout: Duration,
}

impl LinkSettings {
    /// The usual settings, for this Manager.
    pub fn new(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
            id: None,
            backoff_min: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
        }
    }
}

/// What a link is made of.
#[derive(Debug)]
pub struct LinkParts {
    /// Where to.
    pub settings: LinkSettings,
    /// Over what.
    pub network: Network,
    /// Where the Manager's messages go.
    pub endpoint: Recipient<ManagerIncoming>,
    /// Numbers of sessions.
    pub ids: SessionIds,
    /// The node's clock.
    pub clock: Clock,
    /// For the jitter of waits.
    pub entropy: Entropy,
}

/// Says goodbye to the Manager and ends the link.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Disconnect;

#[derive(Debug)]
enum State {
    /// An attempt is under way, or the next one is waited for.
    Trying,
    /// A session stands.
    Up {
        id: SessionId,
        session: Addr<ManagerSession>,
        welcomed: bool,
    },
    /// Told to end.
    Ending,
}

#[derive(Clone, Debug, Default, serde::Serialize)]
struct Attempts {
    attempts: u64,
    failures: u64,
    sessions: u64,
    welcomes: u64,
}

/// The link actor.
#[derive(Debug)]
pub struct Link {
    settings: LinkSettings,
    network: Network,
    endpoint: Recipient<ManagerIncoming>,
    ids: SessionIds,
    clock: Clock,
    backoff: Backoff,
    resume: Resume,
    state: State,
    counters: Attempts,
    /// Of all its sessions.
    sessions: Counters,
}

impl Link {
    /// A link that will connect once it is started.
    pub fn new(parts: LinkParts) -> Self {
        let LinkParts {
            settings,
            network,
            endpoint,
            ids,
            clock,
            entropy,
        } = parts;
        let backoff = Backoff::new(settings.backoff_min, settings.backoff_max, entropy);
        Self {
            settings,
            network,
            endpoint,
            ids,
            clock,
            backoff,
            resume: Resume::default(),
            state: State::Trying,
            counters: Attempts::default(),
            sessions: Counters::default(),
        }
    }

    fn connect(&mut self, ctx: &mut Context<Self>) {
        if matches!(self.state, State::Ending) {
            return;
        }
        self.counters.attempts += 1;
        let (network, limit) = (self.network.clone(), self.settings.connect_timeout);
        let (host, port) = (self.settings.host.clone(), self.settings.port);
        let connecting = async move {
            match timeout(limit, connect(&network, &host, port)).await {
                Ok(result) => result,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            }
        };
        ctx.spawn(
            connecting
                .into_actor(self)
                .map(|result, link, ctx| match result {
                    Ok(stream) => link.connected(stream, ctx),
                    Err(error) => {
                        link.counters.failures += 1;
                        link.retry(&error.to_string(), ctx);
                    }
                }),
        );
    }

    fn connected(&mut self, stream: Stream, ctx: &mut Context<Self>) {
        if matches!(self.state, State::Ending) {
            return;
        }
        self.counters.sessions += 1;
        let id = self.ids.next();
        info!(
            session = id.0,
            host = self.settings.host,
            port = self.settings.port,
            "connected to the Manager"
        );
        let hello = Document::PresenceClient(Hello {
            id: self.settings.id.clone(),
            ..Hello::default()
        });
        let mut first = Vec::new();
        let (settings, resume) = (Settings::default(), std::mem::take(&mut self.resume));
        let session = Session::client(settings, hello, resume, self.clock.now(), &mut first);
        let session = ManagerSession::start(Parts {
            id,
            stream,
            session: (session, first),
            endpoint: self.endpoint.clone(),
            owner: Some(ctx.address().recipient()),
            place: None,
            counters: self.sessions.clone(),
            clock: self.clock,
        });
        self.state = State::Up {
            id,
            session,
            welcomed: false,
        };
    }

    fn retry(&mut self, reason: &str, ctx: &mut Context<Self>) {
        if matches!(self.state, State::Ending) {
            return;
        }
        self.state = State::Trying;
        let wait = self.backoff.next_wait();
        warn!(
            host = self.settings.host,
            port = self.settings.port,
            reason,
            ?wait,
            "no Manager; trying again"
        );
        ctx.run_later(wait, |link, ctx| link.connect(ctx));
    }
}

/// The first address of the name that answers.
async fn connect(network: &Network, host: &str, port: u16) -> io::Result<Stream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for addr in network.resolve(host, port).await? {
        match network.connect(addr).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Actor for Link {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.connect(ctx);
    }
}

impl Handler<SessionEvent> for Link {
    type Result = ();

    fn handle(&mut self, event: SessionEvent, ctx: &mut Self::Context) {
        fault::point(Machine::Link, 0);
        match event {
            SessionEvent::Welcomed(session, welcome) => {
                debug!(
                    session = session.0,
                    manager = welcome.id,
                    run = welcome.run,
                    "welcomed"
                );
                self.counters.welcomes += 1;
                self.backoff.reset();
                if let State::Up { id, welcomed, .. } = &mut self.state {
                    *welcomed |= *id == session;
                }
            }
            SessionEvent::Ended(session, end, resume) => match &self.state {
                State::Up { id, .. } if *id == session => {
                    self.resume = resume;
                    self.retry(&end.to_string(), ctx);
                }
                State::Ending => ctx.stop(),
                State::Up { .. } | State::Trying => {}
            },
        }
    }
}

impl Handler<Disconnect> for Link {
    type Result = ();

    fn handle(&mut self, _: Disconnect, ctx: &mut Self::Context) {
        match std::mem::replace(&mut self.state, State::Ending) {
            State::Up { session, .. } => {
                let bye = Document::Bye(Some("shutting down".to_owned()));
                session.do_send(ToSession::Close(bye));
            }
            State::Trying | State::Ending => ctx.stop(),
        }
    }
}

impl Handler<TakeSnapshot> for Link {
    type Result = MessageResult<TakeSnapshot>;

    fn handle(&mut self, _: TakeSnapshot, _: &mut Self::Context) -> Self::Result {
        let (session, welcomed) = match &self.state {
            State::Up { id, welcomed, .. } => (Some(id.0), *welcomed),
            State::Trying | State::Ending => (None, false),
        };
        MessageResult(serde_json::json!({
            "actor": "manager-link",
            "manager": format!("{}:{}", self.settings.host, self.settings.port),
            "session": session,
            "welcomed": welcomed,
            "counters": self.counters,
            "sessions": self.sessions.snapshot(),
        }))
    }
}
