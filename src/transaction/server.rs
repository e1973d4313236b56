//! Server transactions of one endpoint (RFC 3261, 17.2.2).

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use slab::Slab;

use super::{Timer, Timers};
use crate::exchange::Flow;
use crate::keyed::{KeyedMap, Secret};
use crate::sip::Message;
use crate::time::{TimerKey, Timestamp, Wheel};

/// A request that is with a module.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The request.
    pub request: Message,
    /// Where it came from.
    pub flow: Flow,
}

/// A response and its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Whole, as it stands on the wire.
    pub bytes: Bytes,
    /// Where it goes.
    pub flow: Flow,
}

/// What a request that came again finds.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// The first one is still with its module: this one is absorbed.
    Trying,
    /// The response, to be sent once more.
    Completed(Answer),
}

#[derive(Debug)]
enum State {
    /// Boxed, because most transactions are completed ones, and those should not take its room.
    Trying(Box<Pending>),
    Completed(Answer),
}

#[derive(Debug)]
struct Row {
    /// Shared with the index, so that a transaction costs one allocation for it.
    key: Arc<[u8]>,
    /// What merged requests have in common, if this one could be one of several.
    merge: Option<u64>,
    serial: u32,
    timer: TimerKey,
    state: State,
}

/// All server transactions of one endpoint.
#[derive(Debug)]
pub struct Servers {
    rows: Slab<Row>,
    by_key: KeyedMap<Arc<[u8]>, u32>,
    /// By what merged requests have in common: the hash of the first one's branch.
    merges: FxHashMap<u64, (u32, u64)>,
    serial: u32,
    trying: usize,
    /// Completed transactions by row and serial, the oldest first. All are kept equally long, so the first is also the
    /// first that Timer J takes.
    completed: VecDeque<(u32, u32)>,
    most_completed: usize,
}

impl Servers {
    /// No transactions yet. At most `most_completed` are kept for repetitions of their responses; of more the oldest are
    /// forgotten before Timer J, since 32 s of a flood would fill the memory.
    pub fn new(secret: Secret, most_completed: usize) -> Self {
        Self {
            rows: Slab::new(),
            by_key: KeyedMap::with_hasher(secret),
            merges: FxHashMap::default(),
            serial: 0,
            trying: 0,
            completed: VecDeque::new(),
            most_completed,
        }
    }

    /// The transaction that a request with this key belongs to.
    pub fn find(&self, key: &[u8]) -> Option<Found> {
        let row = &self.rows[*self.by_key.get(key)? as usize];
        Some(match &row.state {
            State::Trying(_) => Found::Trying,
            State::Completed(answer) => Found::Completed(answer.clone()),
        })
    }

    /// Whether a request has come on another way already and is being served (RFC 3261, 8.2.2.2); see
    /// [`super::merge_key`].
    pub fn is_merged(&self, (common, branch): (u64, u64)) -> bool {
        self.merges
            .get(&common)
            .is_some_and(|&(_, first)| first != branch)
    }

    /// Begins a transaction; the number names it from now on and is not used again.
    pub fn begin(
        &mut self,
        now: Timestamp,
        wheel: &mut Wheel<Timer>,
        timers: &Timers,
        key: &[u8],
        merge: Option<(u64, u64)>,
        pending: Pending,
    ) -> u64 {
        self.serial = self.serial.wrapping_add(1);
        let vacant = self.rows.vacant_entry();
        let row = row_number(vacant.key());
        let key: Arc<[u8]> = key.into();
        vacant.insert(Row {
            key: Arc::clone(&key),
            merge: merge.map(|(common, _)| common),
            serial: self.serial,
            timer: wheel.insert(now + timers.lifetime(), Timer::Unanswered(row)),
            state: State::Trying(Box::new(pending)),
        });
        self.by_key.insert(key, row);
        if let Some((common, branch)) = merge {
            self.merges.insert(common, (row, branch));
        }
        self.trying += 1;
        u64::from(self.serial) << 32 | u64::from(row)
    }

    /// The request of a transaction that has no response yet.
    pub fn pending(&self, number: u64) -> Option<&Pending> {
        match &self.rows.get(self.row(number)? as usize)?.state {
            State::Trying(pending) => Some(pending),
            State::Completed(_) => None,
        }
    }

    /// Takes the response: kept for Timer J on an unreliable transport, forgotten at once on a reliable one. How many
    /// older ones had to be forgotten for it.
    pub fn complete(
        &mut self,
        now: Timestamp,
        wheel: &mut Wheel<Timer>,
        timers: &Timers,
        number: u64,
        answer: Answer,
    ) -> u64 {
        let Some(index) = self.row(number) else {
            return 0;
        };
        let row = &mut self.rows[index as usize];
        if matches!(row.state, State::Completed(_)) {
            return 0;
        }
        wheel.cancel(row.timer);
        if answer.flow.transport.is_reliable() {
            self.remove(index);
            return 0;
        }
        row.timer = wheel.insert(now + timers.lifetime(), Timer::J(index));
        row.state = State::Completed(answer);
        self.trying -= 1;
        self.completed.push_back((index, row.serial));
        let mut forgotten = 0;
        while self.completed.len() > self.most_completed
            && let Some(oldest) = self.completed.pop_front()
        {
            if let Some(row) = self.completed_row(oldest) {
                wheel.cancel(row.timer);
                self.remove(oldest.0);
                forgotten += 1;
            }
        }
        forgotten
    }

    /// Takes Timer J or [`Timer::Unanswered`]: the transaction is gone. True if the module owed an answer.
    pub fn expire(&mut self, index: u32) -> bool {
        let owed =
            self.rows.contains(index as usize) && matches!(self.remove(index), State::Trying(_));
        while let Some(&oldest) = self.completed.front()
            && self.completed_row(oldest).is_none()
        {
            self.completed.pop_front();
        }
        owed
    }

    fn completed_row(&self, (index, serial): (u32, u32)) -> Option<&Row> {
        self.rows
            .get(index as usize)
            .filter(|row| row.serial == serial)
    }

    /// The requests that have no response yet, row by row.
    pub fn unanswered(&self) -> impl Iterator<Item = &Pending> {
        self.rows.iter().filter_map(|(_, row)| match &row.state {
            State::Trying(pending) => Some(&**pending),
            State::Completed(_) => None,
        })
    }

    /// Goes on counting where `other` stands, so that a number of its transactions names none of ours.
    pub fn count_on(&mut self, other: &Self) {
        self.serial = other.serial;
    }

    /// How many requests are with modules.
    pub fn trying(&self) -> usize {
        self.trying
    }

    /// How many transactions there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row of a number, if it still has the transaction that the number was given to.
    fn row(&self, number: u64) -> Option<u32> {
        let index = u32::try_from(number & u64::from(u32::MAX)).ok()?;
        let row = self.rows.get(index as usize)?;
        (u64::from(row.serial) == number >> 32).then_some(index)
    }

    fn remove(&mut self, index: u32) -> State {
        let row = self.rows.remove(index as usize);
        self.by_key.remove(&row.key);
        if let Some(common) = row.merge
            && self
                .merges
                .get(&common)
                .is_some_and(|&(first, _)| first == index)
        {
            self.merges.remove(&common);
        }
        if matches!(row.state, State::Trying(_)) {
            self.trying -= 1;
        }
        row.state
    }
}

/// Rows are numbered in 32 bits: memory ends long before.
pub(super) fn row_number(index: usize) -> u32 {
    u32::try_from(index).expect("fewer than 2^32 transactions")
}
