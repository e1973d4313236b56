//! What all sources together say of each presentity, and in which order it changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::super::entity::{EntityError, normal};
use super::super::message::Presence;
use super::Peer;
use super::merge::{MAX_STATE, encoded_len, merge};
use crate::time::Timestamp;

/// The normal form of a presentity's name; shared by all tables.
pub type Key = Arc<str>;

/// How long a presentity that nobody says anything of any more is remembered, so that Presence Clients that were away
/// learn of it.
const REMEMBER_WITHDRAWN: Duration = Duration::from_secs(24 * 3600);
/// How many sources may speak of one presentity.
const MOST_SHARES: usize = 32;

/// Why a statement is not taken.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The presentity's name is none.
    #[error("entity {0:?}: {1}")]
    Entity(String, EntityError),
    /// More presentities than the Manager is allowed to know.
    #[error("the manager knows {0} presentities and takes no more")]
    TooMany(usize),
    /// More sources than one presentity may have.
    #[error("{MOST_SHARES} sources speak of this presentity already")]
    TooManySources,
    /// Too large to be passed on in one document.
    #[error("the state takes {0} bytes; allowed are {MAX_STATE}")]
    TooLarge(usize),
}

impl Refusal {
    /// The code of the `NAK`.
    pub fn code(&self) -> u16 {
        match self {
            Self::Entity(..) => 400,
            Self::TooLarge(_) => 413,
            Self::TooMany(_) | Self::TooManySources => 503,
        }
    }
}

/// What a statement led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Stated {
    /// The presentity.
    pub key: Key,
    /// The number of its state now.
    pub seq: u64,
    /// The number of its state before, if that has changed.
    pub replaced: Option<u64>,
}

/// What one source says of a presentity.
#[derive(Clone, Debug)]
struct Share {
    source: String,
    /// The connection it came over; `None` for sources in the process and after a restart.
    via: Option<Peer>,
    presence: Presence,
    /// When it goes because its connection is gone.
    forget_at: Option<Timestamp>,
}

impl Share {
    fn ends(&self) -> Option<Timestamp> {
        [self.presence.until, self.forget_at]
            .into_iter()
            .flatten()
            .min()
    }
}

#[derive(Clone, Debug)]
struct Row {
    /// The newest statement first.
    shares: Vec<Share>,
    /// The merged state with its number.
    told: Presence,
    seq: u64,
    /// Since when nobody says anything.
    withdrawn_at: Option<Timestamp>,
    /// Its entry in the table of due times.
    due: Option<Timestamp>,
}

impl Row {
    /// Of a presentity that was not known; it has no number yet.
    fn new(presence: &Presence) -> Self {
        let told = Presence {
            entity: presence.entity.clone(),
            source: presence.source.clone(),
            ..Presence::default()
        };
        Self {
            shares: Vec::new(),
            told,
            seq: 0,
            withdrawn_at: None,
            due: None,
        }
    }
}

/// The state of all presentities.
#[derive(Clone, Debug)]
pub struct State {
    rows: BTreeMap<Key, Row>,
    /// Each presentity once, at the number of its newest state.
    by_seq: BTreeMap<u64, Key>,
    due: BTreeSet<(Timestamp, Key)>,
    seq: u64,
    /// Counts changes of shares, also of those that the merged state does not show.
    revision: u64,
    limit: usize,
    forget_after: Option<Duration>,
}

impl State {
    /// No presentities yet, at most `limit` of them; a share outlives its connection by `forget_after`, if given.
    pub fn new(limit: usize, forget_after: Option<Duration>) -> Self {
        Self {
            rows: BTreeMap::new(),
            by_seq: BTreeMap::new(),
            due: BTreeSet::new(),
            seq: 0,
            revision: 0,
            limit,
            forget_after,
        }
    }

    /// The number of the last change.
    pub fn last_seq(&self) -> u64 {
        self.seq
    }

    /// Grows with every change of what [`State::export`] gives.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How many presentities are known, the withdrawn ones included.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The merged state of a presentity, with its number.
    pub fn get(&self, key: &str) -> Option<&Presence> {
        self.rows.get(key).map(|row| &row.told)
    }

    /// All merged states, by presentity.
    pub fn all(&self) -> impl Iterator<Item = &Presence> {
        self.rows.values().map(|row| &row.told)
    }

    /// The first state that is newer than `seq`.
    pub fn next_after(&self, seq: u64) -> Option<(u64, &Key)> {
        self.by_seq
            .range(seq.saturating_add(1)..)
            .next()
            .map(|(seq, key)| (*seq, key))
    }

    /// The presentity whose newest state has this number.
    pub fn at(&self, seq: u64) -> Option<&Key> {
        self.by_seq.get(&seq)
    }

    /// A source says something. The same again changes nothing, not even whose word is the newest.
    pub fn state(
        &mut self,
        now: Timestamp,
        source: &str,
        via: Option<Peer>,
        mut presence: Presence,
    ) -> Result<Stated, Refusal> {
        let key = normal(&presence.entity)
            .map_err(|error| Refusal::Entity(presence.entity.chars().take(80).collect(), error))?;
        presence.seq = None;
        presence.source = Some(source.to_owned());
        let len = encoded_len(&presence);
        if len > MAX_STATE {
            return Err(Refusal::TooLarge(len));
        }
        let gone = presence.withdrawn || presence.until.is_some_and(|until| until <= now);
        let key: Key = key.into();
        if !self.rows.contains_key(&key) && self.rows.len() >= self.limit {
            return Err(Refusal::TooMany(self.limit));
        }
        let row = self
            .rows
            .entry(key.clone())
            .or_insert_with(|| Row::new(&presence));
        let shares = &mut row.shares;
        let before = shares.iter().position(|share| share.source == source);
        match before {
            Some(at) if !gone && shares[at].presence == presence => {
                shares[at].via = via;
                shares[at].forget_at = None;
            }
            _ => {
                if before.is_none() && !gone && shares.len() >= MOST_SHARES {
                    return Err(Refusal::TooManySources);
                }
                self.revision += 1;
                if let Some(at) = before {
                    shares.remove(at);
                }
                if !gone {
                    let share = Share {
                        source: source.to_owned(),
                        via,
                        presence,
                        forget_at: None,
                    };
                    shares.insert(0, share);
                }
            }
        }
        let replaced = self.refresh(now, &key);
        let seq = self.rows.get(&key).map_or(0, |row| row.seq);
        Ok(Stated { key, seq, replaced })
    }

    /// Tells a state anew though it has not changed; its number before and now.
    pub fn retell(&mut self, key: &str) -> Option<(u64, u64)> {
        let (key, row) = self.rows.get_key_value(key)?;
        let (key, before) = (key.clone(), row.seq);
        self.renumber(&key);
        Some((before, self.seq))
    }

    /// Merges anew. The number of the state before, if it has changed.
    fn refresh(&mut self, now: Timestamp, key: &Key) -> Option<u64> {
        let row = self.rows.get_mut(key)?;
        let merged = merge(row.shares.iter().map(|share| &share.presence));
        row.withdrawn_at = match merged {
            Some(_) => None,
            None => row.withdrawn_at.or(Some(now)),
        };
        let merged = merged.unwrap_or_else(|| Presence {
            entity: row.told.entity.clone(),
            source: row.told.source.clone(),
            withdrawn: true,
            ..Presence::default()
        });
        let before = row.seq;
        let changed = before == 0
            || Presence {
                seq: row.told.seq,
                ..merged.clone()
            } != row.told;
        if changed {
            row.told = merged;
            self.renumber(key);
        }
        self.rearm(key);
        changed.then_some(before)
    }

    fn renumber(&mut self, key: &Key) {
        let Some(row) = self.rows.get_mut(key) else {
            return;
        };
        self.by_seq.remove(&row.seq);
        self.seq += 1;
        row.seq = self.seq;
        row.told.seq = Some(self.seq);
        self.by_seq.insert(self.seq, key.clone());
    }

    fn rearm(&mut self, key: &Key) {
        let Some(row) = self.rows.get_mut(key) else {
            return;
        };
        let lapse = row.shares.iter().filter_map(Share::ends).min();
        let due = lapse.or(row.withdrawn_at.map(|at| at + REMEMBER_WITHDRAWN));
        if row.due == due {
            return;
        }
        if let Some(old) = std::mem::replace(&mut row.due, due) {
            self.due.remove(&(old, key.clone()));
        }
        if let Some(new) = due {
            self.due.insert((new, key.clone()));
        }
    }

    /// A connection is gone: what came over it is forgotten in time, if the Manager is told to.
    pub fn connection_gone(&mut self, now: Timestamp, peer: Peer) {
        let Some(forget_after) = self.forget_after else {
            return;
        };
        let mut touched = Vec::new();
        for (key, row) in &mut self.rows {
            let shares = row
                .shares
                .iter_mut()
                .filter(|share| share.via == Some(peer));
            let mut found = false;
            for share in shares {
                share.forget_at = Some(now + forget_after);
                found = true;
            }
            if found {
                touched.push(key.clone());
            }
        }
        touched.iter().for_each(|key| self.rearm(key));
    }

    /// When something lapses.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Drops what has lapsed: presentities whose state has changed, with the number before, and those forgotten.
    pub fn wake(&mut self, now: Timestamp) -> (Vec<(Key, u64)>, Vec<Key>) {
        let (mut changed, mut forgotten) = (Vec::new(), Vec::new());
        while let Some((at, key)) = self.due.first().cloned() {
            if at > now {
                break;
            }
            let Some(row) = self.rows.get_mut(&key) else {
                self.due.pop_first();
                continue;
            };
            self.revision += 1;
            row.shares
                .retain(|share| share.ends().is_none_or(|ends| ends > now));
            if row.shares.is_empty() && row.withdrawn_at.is_some() {
                self.due.pop_first();
                self.by_seq.remove(&row.seq);
                self.rows.remove(&key);
                forgotten.push(key);
                continue;
            }
            if let Some(before) = self.refresh(now, &key) {
                changed.push((key, before));
            }
        }
        (changed, forgotten)
    }

    /// Everything that must outlive a restart: each share as its source said it, of one presentity the oldest first; of
    /// presentities that nobody says anything of, that it is so.
    pub fn export(&self) -> impl Iterator<Item = Presence> {
        self.rows.values().flat_map(|row| {
            let withdrawn = row.shares.is_empty().then(|| Presence {
                seq: None,
                since: row.withdrawn_at,
                ..row.told.clone()
            });
            row.shares
                .iter()
                .rev()
                .map(|share| share.presence.clone())
                .chain(withdrawn)
        })
    }

    /// Takes back what [`State::export`] gave. What lapsed in the meantime has lapsed.
    pub fn restore(&mut self, now: Timestamp, presence: Presence) -> Result<(), Refusal> {
        let source = presence.source.clone().unwrap_or_default();
        let withdrawn_at = presence.since.filter(|_| presence.withdrawn);
        let key = self.state(now, &source, None, presence)?.key;
        if let Some(row) = self.rows.get_mut(&key) {
            if row.shares.is_empty() {
                row.withdrawn_at = withdrawn_at.or(row.withdrawn_at);
            }
            if let Some(forget_after) = self.forget_after {
                row.shares
                    .iter_mut()
                    .for_each(|share| share.forget_at = Some(now + forget_after));
            }
        }
        self.rearm(&key);
        Ok(())
    }
}
