//! The hub of the Manager as a value: merges what all sources say, tells every Presence Client, and answers the sources.
//!
//! ```text
//!  source            hub                             Presence Clients
//!   | -- PRESENCE 7 --> | merged state changes: 41      |
//!   |                   | -- PRESENCE 41 ------------> | (each)
//!   |                   | <------------------- ACK 41 - | (each: ACK or NAK)
//!   | <-- ACK 7 ------- | all have spoken of 41 or of something newer of that presentity
//! ```
//!
//! Changes are numbered through the whole hub, and a presentity stands in that order once, at its newest state. So a
//! Presence Client needs a place in the order and nothing more: what it has not been told is what comes behind, a
//! snapshot is what comes behind 0, and a state that is replaced before it was sent is simply not sent.

mod feed;
mod ledger;
mod merge;
mod settings;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::message::{Hello, Message, Nak, Presence, Welcome};
use super::session::VERSION;
use crate::time::Timestamp;
use feed::Feed;
use ledger::{Ledger, Owed, Verdict};
pub use merge::MAX_STATE;
pub use settings::{Counters, Effect, Settings};
pub use state::Refusal;
use state::{Key, State, Stated};

/// A session, as its node numbers it. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer(pub u64);

#[derive(Clone, Debug)]
struct Source {
    name: String,
    owed: usize,
    /// It says nothing more and goes when it has its answers.
    leaving: bool,
}

/// The hub.
#[derive(Clone, Debug)]
pub struct Hub {
    settings: Settings,
    state: State,
    ledger: Ledger,
    sources: BTreeMap<Peer, Source>,
    feeds: BTreeMap<Peer, Feed>,
    counters: Counters,
}

impl Hub {
    /// A hub that knows nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            state: State::new(settings.presentities, settings.forget_after),
            settings,
            ledger: Ledger::default(),
            sources: BTreeMap::new(),
            feeds: BTreeMap::new(),
            counters: Counters::default(),
        }
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many presentities, sources and Presence Clients there are.
    pub fn sizes(&self) -> (usize, usize, usize) {
        (self.state.len(), self.sources.len(), self.feeds.len())
    }

    /// The merged state of every presentity, the withdrawn ones included.
    pub fn presences(&self) -> impl Iterator<Item = &Presence> {
        self.state.all()
    }

    /// The merged state of one presentity, by any spelling of its name.
    pub fn presence(&self, entity: &str) -> Option<&Presence> {
        self.state.get(&super::entity::normal(entity).ok()?)
    }

    /// Grows with every change of what [`Hub::export`] gives.
    pub fn revision(&self) -> u64 {
        self.state.revision()
    }

    /// What must outlive a restart, as messages of the sources.
    pub fn export(&self) -> impl Iterator<Item = Presence> {
        self.state.export()
    }

    /// Takes back what [`Hub::export`] gave, before any session.
    pub fn restore(&mut self, now: Timestamp, presence: Presence) -> Result<(), Refusal> {
        self.state.restore(now, presence)
    }

    /// A message from a session.
    pub fn receive(&mut self, now: Timestamp, peer: Peer, message: Message, out: &mut Vec<Effect>) {
        match message {
            Message::PresenceClient(hello) => self.presence_client(peer, &hello, out),
            Message::Source(hello) => self.source(peer, hello, out),
            Message::Presence(presence) => self.presence_from(now, peer, *presence, out),
            Message::Ack(ack) => {
                self.verdict(peer, ack.seq, Verdict::Published(ack.etag), out);
            }
            Message::Nak(nak) => {
                self.verdict(peer, nak.seq, Verdict::Refused(nak.code, nak.reason), out);
            }
            Message::Bye(reason) => self.bye(now, peer, reason.is_some(), out),
            Message::Welcome(_)
            | Message::Ping
            | Message::Pong
            | Message::Error(_)
            | Message::Other { .. } => {
                let reason = format!("{} means nothing to a Manager", message.kind());
                out.push(Effect::Send(peer, Message::Error(reason)));
            }
        }
    }

    /// A source within the process says something; it is not answered but for a refusal.
    pub fn from_source(
        &mut self,
        now: Timestamp,
        source: &str,
        presence: Presence,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let stated = self.take(now, source, None, presence)?;
        self.publish(&stated, out);
        Ok(())
    }

    /// Everybody is told to go.
    pub fn shut_down(&mut self, out: &mut Vec<Effect>) {
        let peers = self.sources.keys().chain(self.feeds.keys());
        out.extend(
            peers.map(|peer| Effect::Close(*peer, Message::Bye(Some("shutting down".into())))),
        );
        self.sources.clear();
        self.feeds.clear();
    }

    fn welcome(&self) -> Message {
        Message::Welcome(Welcome {
            id: self.settings.id.clone(),
            version: VERSION,
            run: self.settings.run.clone(),
            heartbeat: u32::try_from(self.settings.heartbeat.as_secs())
                .unwrap_or(u32::MAX)
                .max(1),
        })
    }

    fn presence_client(&mut self, peer: Peer, hello: &Hello, out: &mut Vec<Effect>) {
        let same_run = hello.run.as_deref() == Some(self.settings.run.as_str());
        let resumed = hello
            .last_seq
            .filter(|seq| same_run && *seq <= self.state.last_seq());
        out.push(Effect::Send(peer, self.welcome()));
        // Its answers are never more than what it was sent; the rest is for answers to an earlier session.
        out.push(Effect::Credit(
            peer,
            self.settings.unacknowledged.saturating_mul(2),
        ));
        self.feeds.insert(peer, Feed::new(resumed.unwrap_or(0)));
        self.pump(peer, out);
        // What it has spoken of in an earlier session is not sent again: sources that said the same meanwhile, while
        // nobody was connected, get their answers now.
        for key in self.ledger.open() {
            self.settle(&key, out);
        }
    }

    fn source(&mut self, peer: Peer, hello: Hello, out: &mut Vec<Effect>) {
        out.push(Effect::Send(peer, self.welcome()));
        out.push(Effect::Credit(peer, self.settings.source_credit));
        let name = hello.id.unwrap_or_default();
        self.sources.insert(
            peer,
            Source {
                name,
                owed: 0,
                leaving: false,
            },
        );
    }

    fn presence_from(
        &mut self,
        now: Timestamp,
        peer: Peer,
        presence: Presence,
        out: &mut Vec<Effect>,
    ) {
        let Some(source) = self.sources.get(&peer) else {
            let reason = "PRESENCE is taken from a SOURCE only".to_owned();
            out.push(Effect::Close(peer, Message::Error(reason)));
            return;
        };
        let name = presence
            .source
            .clone()
            .unwrap_or_else(|| source.name.clone());
        let seq = presence.seq;
        let stated = match self.take(now, &name, Some(peer), presence) {
            Ok(stated) => stated,
            Err(refusal) => {
                let (code, reason) = (refusal.code(), refusal.to_string());
                let answer = match seq {
                    Some(seq) => Message::Nak(Nak { seq, code, reason }),
                    None => Message::Error(reason),
                };
                out.push(Effect::Send(peer, answer));
                out.push(Effect::Credit(peer, 1));
                return;
            }
        };
        match seq {
            Some(seq) => {
                self.counters.accepted += 1;
                if let Some(source) = self.sources.get_mut(&peer) {
                    source.owed += 1;
                }
                self.ledger.owe(
                    &stated.key,
                    Owed {
                        peer,
                        seq,
                        at: stated.seq,
                    },
                );
            }
            None => out.push(Effect::Credit(peer, 1)),
        }
        self.publish(&stated, out);
        self.settle(&stated.key, out);
    }

    fn take(
        &mut self,
        now: Timestamp,
        source: &str,
        via: Option<Peer>,
        presence: Presence,
    ) -> Result<Stated, Refusal> {
        let stated = self.state.state(now, source, via, presence);
        match &stated {
            Ok(_) => self.counters.statements += 1,
            Err(_) => self.counters.refused += 1,
        }
        let mut stated = stated?;
        // Who says again what was refused wants another attempt.
        if stated.replaced.is_none()
            && self.ledger.is_refused(&stated.key, stated.seq)
            && let Some((before, seq)) = self.state.retell(&stated.key)
        {
            (stated.replaced, stated.seq) = (Some(before), seq);
        }
        Ok(stated)
    }

    fn publish(&mut self, stated: &Stated, out: &mut Vec<Effect>) {
        let Some(before) = stated.replaced else {
            return;
        };
        self.counters.changes += 1;
        self.coalesce(before);
        self.pump_all(out);
    }

    fn coalesce(&mut self, before: u64) {
        let waiting = self
            .feeds
            .values()
            .filter(|feed| before > feed.cursor)
            .count();
        self.counters.coalesced += waiting as u64;
    }

    fn pump_all(&mut self, out: &mut Vec<Effect>) {
        let peers: Vec<Peer> = self.feeds.keys().copied().collect();
        peers.into_iter().for_each(|peer| self.pump(peer, out));
    }

    /// Tells a Presence Client what it has not been told, as far as its window allows.
    fn pump(&mut self, peer: Peer, out: &mut Vec<Effect>) {
        let Some(feed) = self.feeds.get_mut(&peer) else {
            return;
        };
        while feed.unanswered() < self.settings.unacknowledged.max(1) {
            let Some((seq, key)) = self.state.next_after(feed.cursor) else {
                return;
            };
            feed.cursor = seq;
            // It may have spoken of it already, when the answer came too late for an earlier session.
            if self.ledger.spoken(key, peer) >= seq {
                continue;
            }
            let Some(presence) = self.state.get(key) else {
                continue;
            };
            out.push(Effect::Send(
                peer,
                Message::Presence(Box::new(presence.clone())),
            ));
            self.counters.told += 1;
            feed.sent(seq, key.clone());
        }
    }

    fn verdict(&mut self, peer: Peer, seq: u64, verdict: Verdict, out: &mut Vec<Effect>) {
        let Some(feed) = self.feeds.get_mut(&peer) else {
            return;
        };
        out.push(Effect::Credit(peer, 1));
        let key: Key = match feed.answered(seq).or_else(|| self.state.at(seq).cloned()) {
            Some(key) => key,
            None => {
                self.counters.stray += 1;
                return;
            }
        };
        self.ledger.note(&key, peer, seq, verdict);
        self.settle(&key, out);
        self.pump(peer, out);
    }

    /// Answers the sources of a presentity as far as the Presence Clients have spoken.
    fn settle(&mut self, key: &Key, out: &mut Vec<Effect>) {
        let newest = self
            .state
            .get(key)
            .and_then(|presence| presence.seq)
            .unwrap_or(0);
        for (owed, answer) in self.ledger.settle(key, newest, &self.feeds) {
            self.answer(owed, answer, out);
        }
    }

    fn answer(&mut self, owed: Owed, answer: Message, out: &mut Vec<Effect>) {
        match answer {
            Message::Nak(_) => self.counters.naked += 1,
            _ => self.counters.acked += 1,
        }
        out.push(Effect::Send(owed.peer, answer));
        let Some(source) = self.sources.get_mut(&owed.peer) else {
            return;
        };
        source.owed = source.owed.saturating_sub(1);
        if !source.leaving {
            out.push(Effect::Credit(owed.peer, 1));
        } else if source.owed == 0 {
            self.sources.remove(&owed.peer);
            out.push(Effect::Close(owed.peer, Message::Bye(None)));
        }
    }

    /// A session says nothing more; when it is `gone`, it can't be told anything either.
    fn bye(&mut self, now: Timestamp, peer: Peer, gone: bool, out: &mut Vec<Effect>) {
        if self.feeds.remove(&peer).is_some() {
            if !gone {
                out.push(Effect::Close(peer, Message::Bye(None)));
            }
            // The others may all have spoken.
            for key in self.ledger.open() {
                self.settle(&key, out);
            }
            return;
        }
        let Some(source) = self.sources.get_mut(&peer) else {
            return;
        };
        let was_leaving = std::mem::replace(&mut source.leaving, true);
        let owed = source.owed;
        if gone || owed == 0 {
            self.sources.remove(&peer);
        }
        if gone && owed > 0 {
            self.counters.abandoned += self.ledger.abandon(peer);
        } else if !gone && owed == 0 {
            out.push(Effect::Close(peer, Message::Bye(None)));
        }
        if !was_leaving {
            self.state.connection_gone(now, peer);
            self.wake(now, out);
        }
    }

    /// When something lapses.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.state.next_wake()
    }

    /// Does what is due.
    pub fn wake(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if self.next_wake().is_none_or(|at| at > now) {
            return;
        }
        let (changed, forgotten) = self.state.wake(now);
        for (_, before) in &changed {
            self.counters.lapsed += 1;
            self.counters.changes += 1;
            self.coalesce(*before);
        }
        for key in forgotten {
            for owed in self.ledger.forget(&key) {
                let reason = "no Presence Client took it in time".to_owned();
                self.answer(
                    owed,
                    Message::Nak(Nak {
                        seq: owed.seq,
                        code: 0,
                        reason,
                    }),
                    out,
                );
            }
        }
        self.pump_all(out);
    }
}
