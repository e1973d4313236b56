//! One session of the Manager protocol as a value, for either end.
//!
//! ```text
//!  peer                     Manager end                         module (hub)
//!   | -- PC / SOURCE hello --> |  within 10 s                       |
//!   |                          | -- Forward hello ----------------> |
//!   | <-------- WELCOME ------ | <------------------------ send --- |
//!   | <=== PRESENCE, ACK … ==> | <=== under credit of the module => |
//!   | <-- PING, PONG --------> |  every `heartbeat`; silence of three times that ends the session
//!   | -- BYE or end of stream  | -- Forward BYE ------------------> |  Leaving: what is owed is still written
//!   | <-------- BYE ---------- | <----------------------- close --- |
//! ```
//!
//! `PING`, `PONG` and `ERROR` end here; so do documents that can't be read and messages out of place, which get an
//! `ERROR` (or a `NAK`, if a `PRESENCE` has a `seq`).

mod backoff;
mod resume;

use std::time::Duration;

use super::frame::{Frame, FrameError};
use super::message::{Message, Nak, Presence};
use super::read::read;
use crate::time::Timestamp;

pub use backoff::Backoff;
pub use resume::Resume;

/// The version of the protocol spoken here.
pub const VERSION: u32 = 1;

/// Settings of a session.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often a `PING` is sent. The Manager's own; a client takes it from the `WELCOME`.
    pub heartbeat: Duration,
    /// How long a peer may take for its hello, or its answer to ours.
    pub greeting: Duration,
    /// How long a document may take from its first byte to its last.
    pub document: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(30),
            greeting: Duration::from_secs(10),
            document: Duration::from_secs(10),
        }
    }
}

/// What a session wants done, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Write this message to the peer.
    Write(Message),
    /// Give this message to the module that claimed its type. The first is the hello, or at the client's end the
    /// `WELCOME`: a module that wants more gives credit for it.
    Forward(Message),
    /// The peer complained, in words; for the log.
    Complaint(String),
    /// It is over: write what is queued, close the connection. The last effect of a session.
    End(End),
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum End {
    /// The peer said `BYE`, with a reason if it gave one.
    #[error("the peer said BYE{}", .0.as_deref().map(|it| format!(": {it}")).unwrap_or_default())]
    Bye(Option<String>),
    /// The peer closed the connection.
    #[error("the peer closed the connection")]
    Closed,
    /// We closed it.
    #[error("closed from this end")]
    Ours,
    /// No hello, or no answer to it, in time.
    #[error("no hello within {0:?}")]
    NoGreeting(Duration),
    /// A document has begun, and its rest did not come in time.
    #[error("a document was not whole within {0:?}")]
    Unfinished(Duration),
    /// Nothing heard for three heartbeats.
    #[error("nothing heard for {0:?}")]
    Silence(Duration),
    /// Documents can't be told apart any more.
    #[error("{0}")]
    Framing(FrameError),
    /// The connection broke, in the system's words.
    #[error("connection lost: {0}")]
    Broken(String),
}

impl End {
    /// What the peer is told before the connection closes, if it can still be told.
    fn farewell(&self) -> Option<Message> {
        match self {
            Self::Bye(_) => Some(Message::Bye(None)),
            Self::NoGreeting(_) | Self::Unfinished(_) | Self::Silence(_) | Self::Framing(_) => {
                Some(Message::Error(self.to_string()))
            }
            Self::Closed | Self::Ours | Self::Broken(_) => None,
        }
    }
}

/// Which end this is.
#[derive(Clone, Debug)]
enum Side {
    /// The Manager's. `name` stands for peers that do not say their own.
    Manager { name: String },
    /// A Presence Client's (or a source's).
    Client { hello: Message, resume: Resume },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    PresenceClient,
    Source,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// The hello, or at the client's end the `WELCOME`, is awaited.
    Greeting { until: Timestamp },
    /// Messages flow; `role` is that of the client.
    Open { role: Role },
    /// The peer says nothing more; what the module owes it is still written.
    Leaving { until: Timestamp },
    /// Nothing happens any more.
    Ended,
}

/// A session.
#[derive(Clone, Debug)]
pub struct Session {
    side: Side,
    phase: Phase,
    settings: Settings,
    credit: usize,
    /// When the peer was heard last; the time that we did not read for want of credit is not counted as silence.
    heard: Timestamp,
    ping_at: Timestamp,
    /// By when a document that has begun must be whole.
    whole_by: Option<Timestamp>,
}

impl Session {
    /// The Manager's end of a connection from `host`, whose name a peer gets that does not say its own.
    ///
    /// The name has no port, so that what a script says from one connection replaces what it said from another.
    pub fn manager(settings: Settings, host: &str, now: Timestamp) -> Self {
        Self::new(
            Side::Manager {
                name: host.to_owned(),
            },
            settings,
            now,
        )
    }

    /// The client's end: `hello` is written at once. A Presence Client resumes where `resume` says.
    pub fn client(
        settings: Settings,
        mut hello: Message,
        resume: Resume,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Self {
        if let Message::PresenceClient(hello) | Message::Source(hello) = &mut hello {
            hello.version = Some(VERSION);
        }
        if let Message::PresenceClient(hello) = &mut hello {
            (hello.run, hello.last_seq) = resume.hello();
        }
        out.push(Effect::Write(hello.clone()));
        Self::new(Side::Client { hello, resume }, settings, now)
    }

    fn new(side: Side, settings: Settings, now: Timestamp) -> Self {
        Self {
            side,
            phase: Phase::Greeting {
                until: now + settings.greeting,
            },
            credit: 0,
            heard: now,
            ping_at: now + settings.heartbeat,
            whole_by: None,
            settings,
        }
    }

    /// Whether the peer may be read now: not without credit, and not when it is over.
    pub fn may_read(&self) -> bool {
        match self.phase {
            Phase::Greeting { .. } => true,
            Phase::Open { .. } => self.credit > 0,
            Phase::Leaving { .. } | Phase::Ended => false,
        }
    }

    /// Whether the peers have greeted each other.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open { .. })
    }

    /// Where a later session of this client goes on; empty at the Manager's end.
    pub fn resume(&self) -> Resume {
        match &self.side {
            Side::Manager { .. } => Resume::default(),
            Side::Client { resume, .. } => resume.clone(),
        }
    }

    /// The module can take this many messages more.
    pub fn credit(&mut self, now: Timestamp, more: usize) {
        if self.credit == 0 {
            self.heard = now;
            self.whole_by = None;
        }
        self.credit = self.credit.saturating_add(more);
    }

    /// The frame finder has found something.
    pub fn receive(&mut self, now: Timestamp, frame: Frame, out: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Leaving { .. } | Phase::Ended) {
            return;
        }
        self.heard = now;
        self.whole_by = None;
        match frame {
            Frame::Document(document) => match read(&document, now) {
                Ok(message) => self.message(now, message, out),
                Err(error) => out.push(Effect::Write(match error.seq {
                    Some(seq) => Message::Nak(Nak {
                        seq,
                        code: 400,
                        reason: error.to_string(),
                    }),
                    None => Message::Error(error.to_string()),
                })),
            },
            Frame::Malformed(error) => out.push(Effect::Write(Message::Error(error.to_string()))),
            Frame::Lost(error) => self.end(End::Framing(error), out),
        }
    }

    /// All that has come is looked at; `within` if it ends in a document. The first byte says by when that must be whole, and
    /// further ones change nothing.
    pub fn looked(&mut self, now: Timestamp, within: bool) {
        self.whole_by = within.then(|| self.whole_by.unwrap_or(now + self.settings.document));
    }

    fn message(&mut self, now: Timestamp, message: Message, out: &mut Vec<Effect>) {
        match message {
            Message::Ping => out.push(Effect::Write(Message::Pong)),
            Message::Pong => {}
            // Never answered with an ERROR of our own: two peers could go on for ever.
            Message::Error(reason) => out.push(Effect::Complaint(reason)),
            Message::Bye(reason) => self.leave(now, End::Bye(reason), out),
            message => match (&self.side, self.phase) {
                (Side::Manager { .. }, Phase::Greeting { .. }) => self.greeted(message, out),
                (Side::Manager { .. }, Phase::Open { role }) => self.said(role, message, out),
                (Side::Client { .. }, Phase::Greeting { .. }) => self.answered(now, message, out),
                (Side::Client { .. }, Phase::Open { .. }) => self.told(message, out),
                (_, Phase::Leaving { .. } | Phase::Ended) => {}
            },
        }
    }

    /// Manager's end, before the hello.
    fn greeted(&mut self, mut message: Message, out: &mut Vec<Effect>) {
        let role = match message {
            Message::PresenceClient(_) => Role::PresenceClient,
            Message::Source(_) => Role::Source,
            other => return refuse(&other, "say who you are first, by type PC or SOURCE", out),
        };
        if let (Side::Manager { name }, Message::PresenceClient(hello) | Message::Source(hello)) =
            (&self.side, &mut message)
        {
            hello.id.get_or_insert_with(|| name.clone());
        }
        self.phase = Phase::Open { role };
        out.push(Effect::Forward(message));
    }

    /// Manager's end, after the hello.
    fn said(&mut self, role: Role, message: Message, out: &mut Vec<Effect>) {
        match (role, message) {
            (Role::Source, message @ Message::Presence(_))
            | (Role::PresenceClient, message @ (Message::Ack(_) | Message::Nak(_))) => {
                self.forward(message, out);
            }
            // The module table knows whether somebody claims it; if nobody does, the endpoint gives the credit back.
            (_, message @ Message::Other { .. }) => self.forward(message, out),
            (_, message @ (Message::PresenceClient(_) | Message::Source(_))) => {
                refuse(&message, "you have said who you are", out);
            }
            (Role::Source, message) => refuse(&message, "a SOURCE sends PRESENCE", out),
            (Role::PresenceClient, message) => refuse(&message, "a PC sends ACK and NAK", out),
        }
    }

    /// Client's end, before the answer to the hello.
    fn answered(&mut self, now: Timestamp, message: Message, out: &mut Vec<Effect>) {
        let Message::Welcome(welcome) = message else {
            return refuse(&message, "WELCOME comes first", out);
        };
        let Side::Client { hello, resume } = &mut self.side else {
            return;
        };
        let role = match hello {
            Message::Source(_) => Role::Source,
            _ => Role::PresenceClient,
        };
        resume.welcomed(&welcome.run);
        if welcome.heartbeat > 0 {
            self.settings.heartbeat = Duration::from_secs(welcome.heartbeat.into());
        }
        self.ping_at = now + self.settings.heartbeat;
        self.phase = Phase::Open { role };
        out.push(Effect::Forward(Message::Welcome(welcome)));
    }

    /// Client's end, after the answer.
    fn told(&mut self, message: Message, out: &mut Vec<Effect>) {
        match message {
            Message::Presence(presence) => {
                if let Side::Client { resume, .. } = &mut self.side {
                    resume.received(&presence);
                }
                self.forward(Message::Presence(presence), out);
            }
            message @ (Message::Ack(_) | Message::Nak(_)) => self.forward(message, out),
            message @ Message::Other { .. } => self.forward(message, out),
            message => refuse(&message, "a Manager sends PRESENCE", out),
        }
    }

    fn forward(&mut self, message: Message, out: &mut Vec<Effect>) {
        self.credit = self.credit.saturating_sub(1);
        out.push(Effect::Forward(message));
    }

    /// A module sends a message.
    pub fn send(&mut self, message: Message, out: &mut Vec<Effect>) {
        if self.phase == Phase::Ended {
            return;
        }
        if let (Side::Client { resume, .. }, Message::Ack(ack)) = (&mut self.side, &message) {
            resume.acknowledged(ack.seq);
        }
        out.push(Effect::Write(message));
    }

    /// A module, or the node, ends the session with a last message.
    pub fn close(&mut self, message: Message, out: &mut Vec<Effect>) {
        if self.phase != Phase::Ended {
            out.push(Effect::Write(message));
            self.end(End::Ours, out);
        }
    }

    /// The peer will send nothing more, though it may still read. `cut_off` if that was within a document.
    pub fn end_of_stream(&mut self, now: Timestamp, cut_off: bool, out: &mut Vec<Effect>) {
        if cut_off && !matches!(self.phase, Phase::Leaving { .. } | Phase::Ended) {
            let reason = "the document was cut off by the end of the stream".to_owned();
            out.push(Effect::Write(Message::Error(reason)));
        }
        self.leave(now, End::Closed, out);
    }

    /// The connection broke.
    pub fn broken(&mut self, reason: String, out: &mut Vec<Effect>) {
        self.end(End::Broken(reason), out);
    }

    /// At the Manager's end a source that leaves in order still gets the acknowledgements that it waits for.
    fn leave(&mut self, now: Timestamp, end: End, out: &mut Vec<Effect>) {
        match (&self.side, self.phase) {
            (Side::Manager { .. }, Phase::Open { .. }) => {
                self.phase = Phase::Leaving {
                    until: now + self.silence(),
                };
                out.push(Effect::Forward(Message::Bye(None)));
            }
            (_, Phase::Greeting { .. } | Phase::Open { .. }) => self.end(end, out),
            (_, Phase::Leaving { .. } | Phase::Ended) => {}
        }
    }

    fn end(&mut self, end: End, out: &mut Vec<Effect>) {
        let known = match self.phase {
            Phase::Ended => return,
            Phase::Greeting { .. } => false,
            Phase::Open { .. } | Phase::Leaving { .. } => matches!(self.side, Side::Manager { .. }),
        };
        self.phase = Phase::Ended;
        out.extend(end.farewell().map(Effect::Write));
        if known {
            // With a reason: nobody is left to be answered.
            out.push(Effect::Forward(Message::Bye(Some(end.to_string()))));
        }
        out.push(Effect::End(end));
    }

    fn silence(&self) -> Duration {
        self.settings.heartbeat * 3
    }

    /// When the session wants to be woken.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let whole_by = self.whole_by.unwrap_or(Timestamp::from_millis(u64::MAX));
        match self.phase {
            Phase::Greeting { until } | Phase::Leaving { until } => Some(until),
            Phase::Open { .. } if self.credit == 0 => Some(self.ping_at),
            Phase::Open { .. } => {
                let silent = self.heard + self.silence();
                Some(self.ping_at.min(silent).min(whole_by))
            }
            Phase::Ended => None,
        }
    }

    /// Does what is due.
    pub fn wake(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        match self.phase {
            Phase::Greeting { until } if now >= until => {
                self.end(End::NoGreeting(self.settings.greeting), out);
            }
            Phase::Leaving { until } if now >= until => self.end(End::Closed, out),
            Phase::Open { .. } if self.credit > 0 && now >= self.heard + self.silence() => {
                self.end(End::Silence(self.silence()), out);
            }
            Phase::Open { .. } if self.credit > 0 && self.whole_by.is_some_and(|by| now >= by) => {
                self.end(End::Unfinished(self.settings.document), out);
            }
            Phase::Open { .. } if now >= self.ping_at => {
                self.ping_at = now + self.settings.heartbeat;
                out.push(Effect::Write(Message::Ping));
            }
            Phase::Greeting { .. } | Phase::Open { .. } | Phase::Leaving { .. } | Phase::Ended => {}
        }
    }
}

/// A message out of place. A `PRESENCE` with a `seq` is refused by `NAK`, so that its sender does not wait for ever.
fn refuse(message: &Message, reason: &str, out: &mut Vec<Effect>) {
    let reason = format!("{} is out of place: {reason}", message.kind());
    out.push(Effect::Write(match message {
        Message::Presence(presence) => match **presence {
            Presence { seq: Some(seq), .. } => Message::Nak(Nak {
                seq,
                code: 400,
                reason,
            }),
            Presence { seq: None, .. } => Message::Error(reason),
        },
        _ => Message::Error(reason),
    }));
}

#[cfg(test)]
mod tests;
