//! The hub of the Manager: a shell over [`rollcall_core::manager::hub`].

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use actix::prelude::*;
use rollcall_core::manager::hub::{Effect, Hub, Peer, Settings};
use rollcall_core::manager::{Message as Document, Presence};
use tracing::{debug, error, info, warn};

use super::journal;
use crate::alarm::{Alarm, Sleeper};
use crate::clock::Clock;
use crate::fault::{self, Machine};
use crate::files::keep_aside;
use crate::messages::{ManagerIncoming, ModuleInput, SessionId, TakeSnapshot, ToModule, ToSession};
use crate::trouble::{Over, Trouble};

/// The types that the hub claims in its endpoint's module table.
pub const MANAGER_TYPES: [&str; 6] = ["PC", "SOURCE", "PRESENCE", "ACK", "NAK", "BYE"];

/// Source → hub: the state of one presentity, as a source within this process says it.
///
/// `presence.source` is overwritten by `source`, and `presence.seq` is of no use here: a source in the process needs no
/// acknowledgement. Saying the same twice changes nothing; `withdrawn` takes the source's share of the state away.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct FromSource {
    /// The name of the source: what it said of a presentity before is replaced.
    pub source: String,
    /// What it says.
    pub presence: Presence,
}

/// Asks the hub for its last word: the merged state of every presentity, the withdrawn ones included.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Vec<Presence>")]
pub struct TakePresences;

/// Says goodbye to all sessions, writes the journal and ends the hub.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Shutdown;

/// The hub actor.
#[derive(Debug)]
pub struct Manager {
    core: Hub,
    clock: Clock,
    sessions: BTreeMap<SessionId, Recipient<ToSession>>,
    alarm: Alarm,
    journal: Option<Journal>,
}

#[derive(Debug)]
struct Journal {
    file: Arc<journal::Keeper>,
    /// The revision of the hub that stands in the file.
    saved: u64,
    /// A write is under way, or the pause after one.
    busy: bool,
    /// What tells a source that its word is taken, until the revision it rests on stands in the file.
    held: VecDeque<(u64, Effect)>,
    /// The file can't be written at present.
    trouble: Trouble,
}

impl Journal {
    /// Whether this must wait for a write: an `ACK` and the end of a session are what a source goes away by. A disk that
    /// fails keeps nobody: the word of a source is in force, though it may not outlive the process.
    fn holds(&self, effect: &Effect, revision: u64) -> bool {
        self.saved != revision
            && !self.trouble.is_present()
            && matches!(
                effect,
                Effect::Send(_, Document::Ack(_)) | Effect::Close(..)
            )
    }
}

impl Manager {
    /// A hub that knows nothing yet.
    pub fn new(settings: Settings, clock: Clock) -> Self {
        Self {
            core: Hub::new(settings),
            clock,
            sessions: BTreeMap::new(),
            alarm: Alarm::default(),
            journal: None,
        }
    }

    /// Keeps what sources say in a file, and takes back what stands there.
    pub fn with_journal(self, path: PathBuf) -> io::Result<Self> {
        let file = journal::Keeper::new(path)?;
        self.kept_by(file)
    }

    /// The same with a keeper of the file.
    fn kept_by(mut self, file: journal::Keeper) -> io::Result<Self> {
        let (now, file) = (self.clock.now(), Arc::new(file));
        let path = file.path().to_owned();
        let loaded = journal::load(&path, now)?;
        for problem in &loaded.problems {
            warn!(path = %path.display(), problem, "a part of the state file can't be read and is left out");
        }
        let mut kept = loaded.kept;
        let count = loaded.presences.len();
        for presence in loaded.presences {
            if let Err(refusal) = self.core.restore(now, presence) {
                warn!(%refusal, "a state of the state file is left out");
                if kept.is_none() {
                    kept = Some(keep_aside(&path)?);
                }
            }
        }
        if let Some(kept) = kept {
            warn!(path = %path.display(), kept = %kept.display(), "the state file is kept as it was");
        }
        info!(path = %path.display(), count, "state file read");
        let saved = self.core.revision();
        self.journal = Some(Journal {
            file,
            saved,
            busy: false,
            held: VecDeque::new(),
            trouble: Trouble::default(),
        });
        Ok(self)
    }

    fn incoming(&mut self, incoming: ManagerIncoming) {
        let ManagerIncoming {
            session,
            reply,
            message,
        } = incoming;
        fault::point(Machine::Hub, 0);
        log(session, &message);
        let gone = matches!(message, Document::Bye(Some(_)));
        self.sessions.entry(session).or_insert(reply);
        let mut out = Vec::new();
        self.core
            .receive(self.clock.now(), Peer(session.0), message, &mut out);
        self.run(out);
        if gone {
            self.sessions.remove(&session);
        }
    }

    fn run(&mut self, effects: Vec<Effect>) {
        let revision = self.core.revision();
        for effect in effects {
            match &mut self.journal {
                Some(journal) if journal.holds(&effect, revision) => {
                    journal.held.push_back((revision, effect));
                }
                _ => self.perform(effect),
            }
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Send(peer, message) => self.tell(peer, ToSession::Send(message)),
            Effect::Credit(peer, more) => self.tell(peer, ToSession::Credit(more)),
            Effect::Close(peer, message) => {
                self.tell(peer, ToSession::Close(message));
                self.sessions.remove(&SessionId(peer.0));
            }
        }
    }

    fn tell(&self, peer: Peer, message: ToSession) {
        if let Some(session) = self.sessions.get(&SessionId(peer.0)) {
            session.do_send(message);
        }
    }

    /// Sets the alarm, and sees to the journal.
    fn settle(&mut self, ctx: &mut Context<Self>) {
        self.alarm.set(self.core.next_wake(), self.clock, ctx);
        self.save(ctx);
    }

    /// Writes what has changed, at once. What changes meanwhile is gathered for the next write, which waits as long as
    /// this one took: a Manager of many presentities is never busy with its journal for more than half of the time.
    fn save(&mut self, ctx: &mut Context<Self>) {
        let revision = self.core.revision();
        let Some(journal) = &mut self.journal else {
            return;
        };
        if journal.busy || journal.saved == revision {
            return;
        }
        journal.busy = true;
        let begun = self.clock.now();
        let content = journal::encode(self.core.export());
        let file = Arc::clone(&journal.file);
        let saving = tokio::task::spawn_blocking(move || file.save(revision, &content));
        ctx.spawn(saving.into_actor(self).map(move |result, hub, ctx| {
            hub.saved(
                revision,
                result.unwrap_or_else(|panic| Err(io::Error::other(panic))),
            );
            let took = hub.clock.now().since(begun);
            let trouble = hub.journal.as_ref().map(|journal| &journal.trouble);
            let pause = match trouble {
                Some(trouble) if trouble.is_present() => trouble.pause(),
                Some(_) | None => took,
            };
            ctx.run_later(pause, |hub, ctx| {
                if let Some(journal) = &mut hub.journal {
                    journal.busy = false;
                }
                hub.save(ctx);
            });
        }));
    }

    fn saved(&mut self, revision: u64, result: io::Result<()>) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        let (now, path) = (self.clock.now(), journal.file.path().display());
        match result {
            Ok(()) => {
                journal.saved = revision;
                if let Some(Over { failures, took }) = journal.trouble.went_well(now) {
                    info!(%path, failures, seconds = took.as_secs(), "the state file is written again, with all that sources said");
                }
            }
            // Until a write goes well, sources are answered all the same: see `Journal::holds`.
            Err(error) => {
                if let Some(failures) = journal.trouble.failed(now) {
                    let unsaved = revision.saturating_sub(journal.saved);
                    let pause = journal.trouble.pause().as_secs();
                    error!(
                        %path, %error, failures, unsaved, pause,
                        "the state file can't be written: what sources said since the last write is lost if the Manager ends \
                         now; it is tried again"
                    );
                }
            }
        }
        let failing = journal.trouble.is_present();
        let free = journal
            .held
            .iter()
            .take_while(|(rests_on, _)| failing || *rests_on <= revision)
            .count();
        let free: Vec<_> = journal.held.drain(..free).collect();
        for (_, effect) in free {
            self.perform(effect);
        }
    }
}

impl Actor for Manager {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.settle(ctx);
    }
}

impl Sleeper for Manager {
    fn woken(&mut self, ctx: &mut Context<Self>) {
        let mut out = Vec::new();
        self.core.wake(self.clock.now(), &mut out);
        self.run(out);
        self.settle(ctx);
    }
}

impl Handler<ToModule> for Manager {
    type Result = ();

    fn handle(&mut self, ToModule(inputs): ToModule, ctx: &mut Self::Context) {
        for input in inputs {
            match input {
                ModuleInput::Manager(incoming) => self.incoming(incoming),
                // It claims no SIP method, observes none and sends no request.
                ModuleInput::Request(_)
                | ModuleInput::Observed { .. }
                | ModuleInput::Outcome(_)
                | ModuleInput::ConnectionClosed(_) => {}
            }
        }
        self.settle(ctx);
    }
}

impl Handler<FromSource> for Manager {
    type Result = ();

    fn handle(&mut self, FromSource { source, presence }: FromSource, ctx: &mut Self::Context) {
        debug!(source, presentity = presence.entity, "a source speaks");
        let mut out = Vec::new();
        if let Err(refusal) = self
            .core
            .from_source(self.clock.now(), &source, presence, &mut out)
        {
            warn!(source, %refusal, "what a source says is not taken");
        }
        self.run(out);
        self.settle(ctx);
    }
}

impl Handler<TakePresences> for Manager {
    type Result = MessageResult<TakePresences>;

    fn handle(&mut self, _: TakePresences, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.core.presences().cloned().collect())
    }
}

impl Handler<Shutdown> for Manager {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Self::Context) {
        let revision = self.core.revision();
        if let Some(journal) = &self.journal
            && journal.saved != revision
        {
            let content = journal::encode(self.core.export());
            let result = journal.file.save(revision, &content);
            if let Err(error) = &result {
                error!(path = %journal.file.path().display(), %error, "the state file could not be written at the end");
            }
            self.saved(revision, result);
        }
        let mut out = Vec::new();
        self.core.shut_down(&mut out);
        self.run(out);
        if let Some(journal) = self.journal.take() {
            journal.file.release();
        }
        ctx.stop();
    }
}

impl Handler<TakeSnapshot> for Manager {
    type Result = MessageResult<TakeSnapshot>;

    fn handle(&mut self, _: TakeSnapshot, _: &mut Self::Context) -> Self::Result {
        let (presentities, sources, clients) = self.core.sizes();
        MessageResult(serde_json::json!({
            "actor": "manager",
            "counters": self.core.counters(),
            "presentities": presentities,
            "sources": sources,
            "presence_clients": clients,
            "timers": self.alarm.live(),
            "write_failures": self.journal.as_ref().map(|journal| journal.trouble.total()),
        }))
    }
}

/// What came from a peer, in the words of its fields.
fn log(session: SessionId, message: &Document) {
    let (session, kind) = (session.0, message.kind());
    match message {
        Document::Presence(presence) => {
            debug!(
                session,
                kind,
                presentity = presence.entity,
                seq = presence.seq,
                "message"
            )
        }
        Document::Ack(ack) => debug!(session, kind, seq = ack.seq, etag = ack.etag, "message"),
        Document::Nak(nak) => debug!(
            session,
            kind,
            seq = nak.seq,
            code = nak.code,
            reason = nak.reason,
            "message"
        ),
        _ => debug!(session, kind, "message"),
    }
}

#[cfg(test)]
mod tests;
