//! Who is owed an answer for what, and what the Presence Clients have said so far.

use std::collections::{BTreeMap, VecDeque};

use super::super::message::{Ack, Message, Nak};
use super::Peer;
use super::feed::Feed;
use super::state::Key;

/// What a Presence Client said of a state.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Published, under this entity-tag.
    Published(Option<String>),
    /// Refused: code and reason.
    Refused(u16, String),
}

/// A message of a source that is not answered yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Owed {
    /// The source.
    pub peer: Peer,
    /// Its number for the message.
    pub seq: u64,
    /// Our number of the state that holds it: this or a newer one must be published.
    pub at: u64,
}

#[derive(Clone, Debug, Default)]
struct Row {
    /// The newest of each Presence Client.
    verdicts: Vec<(Peer, u64, Verdict)>,
    /// In the order of `at`.
    owed: VecDeque<Owed>,
}

/// All open accounts, by presentity.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    rows: BTreeMap<Key, Row>,
}

impl Ledger {
    /// A source waits for an answer.
    pub fn owe(&mut self, key: &Key, owed: Owed) {
        self.rows
            .entry(key.clone())
            .or_default()
            .owed
            .push_back(owed);
    }

    /// A Presence Client has said how it went; only its newest word of a presentity counts.
    pub fn note(&mut self, key: &Key, peer: Peer, seq: u64, verdict: Verdict) {
        let row = self.rows.entry(key.clone()).or_default();
        match row.verdicts.iter_mut().find(|(of, ..)| *of == peer) {
            Some(known) if known.1 > seq => {}
            Some(known) => *known = (peer, seq, verdict),
            None => row.verdicts.push((peer, seq, verdict)),
        }
    }

    /// The newest state of the presentity that this Presence Client has spoken of.
    pub fn spoken(&self, key: &Key, peer: Peer) -> u64 {
        let row = self.rows.get(key);
        let verdict = row.and_then(|row| row.verdicts.iter().find(|(of, ..)| *of == peer));
        verdict.map_or(0, |(_, seq, _)| *seq)
    }

    /// Whether somebody refused the state with this number.
    pub fn is_refused(&self, key: &Key, seq: u64) -> bool {
        self.rows.get(key).is_some_and(|row| {
            row.verdicts
                .iter()
                .any(|(_, at, verdict)| *at >= seq && matches!(verdict, Verdict::Refused(..)))
        })
    }

    /// The presentities for which somebody is owed an answer.
    pub fn open(&self) -> Vec<Key> {
        let open = self.rows.iter().filter(|(_, row)| !row.owed.is_empty());
        open.map(|(key, _)| key.clone()).collect()
    }

    /// Answers what can be answered now that `newest` is the number of the presentity's state: when every connected
    /// Presence Client has spoken of it or of something newer; `NAK` if one of them refused.
    pub fn settle(
        &mut self,
        key: &Key,
        newest: u64,
        feeds: &BTreeMap<Peer, Feed>,
    ) -> Vec<(Owed, Message)> {
        let Some(row) = self.rows.get_mut(key) else {
            return Vec::new();
        };
        row.verdicts.retain(|(peer, ..)| feeds.contains_key(peer));
        let spoken = |peer: &Peer, feed: &Feed| {
            let said = row
                .verdicts
                .iter()
                .find(|(of, ..)| of == peer)
                .map_or(0, |(_, seq, _)| *seq);
            if newest <= feed.resumed { newest } else { said }
        };
        let Some(floor) = feeds.iter().map(|(peer, feed)| spoken(peer, feed)).min() else {
            return Vec::new();
        };
        let mut settled = Vec::new();
        while let Some(owed) = row.owed.front().copied().filter(|owed| owed.at <= floor) {
            row.owed.pop_front();
            settled.push((owed, answer(&row.verdicts, owed)));
        }
        settled
    }

    /// A source is gone: nobody is left to be answered. How many answers that were.
    pub fn abandon(&mut self, peer: Peer) -> u64 {
        let mut abandoned = 0;
        for row in self.rows.values_mut() {
            let before = row.owed.len();
            row.owed.retain(|owed| owed.peer != peer);
            abandoned += (before - row.owed.len()) as u64;
        }
        abandoned
    }

    /// A presentity is forgotten; whoever still waits.
    pub fn forget(&mut self, key: &Key) -> Vec<Owed> {
        self.rows
            .remove(key)
            .map(|row| row.owed.into())
            .unwrap_or_default()
    }
}

fn answer(verdicts: &[(Peer, u64, Verdict)], owed: Owed) -> Message {
    let mut etag = None;
    for (_, at, verdict) in verdicts {
        match verdict {
            Verdict::Refused(code, reason) if *at >= owed.at => {
                return Message::Nak(Nak {
                    seq: owed.seq,
                    code: *code,
                    reason: reason.clone(),
                });
            }
            Verdict::Published(tag) if *at >= owed.at => etag = etag.or_else(|| tag.clone()),
            Verdict::Refused(..) | Verdict::Published(_) => {}
        }
    }
    Message::Ack(Ack {
        seq: owed.seq,
        etag,
    })
}
