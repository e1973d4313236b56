//! Server transactions of one endpoint (RFC 3261, 17.2.2).

use std::collections::VecDeque;

use hashbrown::HashTable;
use smallvec::SmallVec;

use super::{Timer, Timers, TransactionKey};
use crate::exchange::Flow;
use crate::sip::{Message, StatusCode, ViaPatch};
use crate::slots::Slots;
use crate::time::{Timestamp, Wheel};

/// A request that is with a module.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The request.
    pub request: Message,
    /// Where its response goes.
    pub flow: Flow,
    /// What its top Via is given.
    pub patch: Option<ViaPatch>,
    /// The port in its top Via.
    pub port: Option<u16>,
    /// Whether its sender has shown that it is where it says: then the response may be of any length.
    pub proven: bool,
}

/// In the row itself for nearly all: pieces of their own would lie among those that live longer, and leave holes there.
type Text = SmallVec<[u8; 96]>;

/// What a response says beyond what its request said. With the request, which comes again if the response is wanted again,
/// it makes the same response, and takes a fifth of its room.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// The status.
    pub status: StatusCode,
    /// Whether Record-Route headers of the request are copied.
    pub copy_record_route: bool,
    /// As [`Pending::proven`].
    pub proven: bool,
    /// Tag of To, reason phrase, header lines and body, one behind the other.
    text: Text,
    /// Where the first three end.
    ends: [u32; 3],
}

impl Kept {
    /// Puts the parts together; no `reason` stands for the usual one.
    pub fn new(
        status: StatusCode,
        to_tag: &str,
        reason: Option<&str>,
        copy_record_route: bool,
        head: &[u8],
        body: &[u8],
    ) -> Self {
        let parts = [
            to_tag.as_bytes(),
            reason.unwrap_or_default().as_bytes(),
            head,
            body,
        ];
        let mut text = Text::with_capacity(parts.iter().map(|part| part.len()).sum());
        let ends = parts.map(|part| {
            text.extend_from_slice(part);
            // What our own modules say stays below 4 GiB.
            u32::try_from(text.len()).unwrap_or(u32::MAX)
        });
        Self {
            status,
            copy_record_route,
            proven: false,
            text,
            ends: [ends[0], ends[1], ends[2]],
        }
    }

    /// The tag of To, for a request without one.
    pub fn to_tag(&self) -> &str {
        str::from_utf8(self.part(0, self.ends[0])).unwrap_or_default()
    }

    /// A reason phrase that says more than the usual one.
    pub fn reason(&self) -> Option<&str> {
        let reason = str::from_utf8(self.part(self.ends[0], self.ends[1])).ok();
        reason.filter(|reason| !reason.is_empty())
    }

    /// Header lines.
    pub fn head(&self) -> &[u8] {
        self.part(self.ends[1], self.ends[2])
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        self.text.get(self.ends[2] as usize..).unwrap_or_default()
    }

    fn part(&self, start: u32, end: u32) -> &[u8] {
        let range = start as usize..end as usize;
        self.text.get(range).unwrap_or_default()
    }
}

/// Tables below this many rows are left as they are.
const SMALL: usize = 1024;

/// What a request that came again finds.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// The first one is still with its module: this one is absorbed.
    Trying,
    /// The response, to be made and sent once more.
    Completed(Kept),
}

#[derive(Debug)]
enum State {
    /// Its place among the pending ones: most transactions are completed, and those should not take the room of a request.
    Trying(u32),
    Completed(Kept),
}

#[derive(Debug)]
struct Row {
    key: TransactionKey,
    /// What merged requests have in common, and the hash of the branch, if this one could be one of several.
    merge: Option<(u64, u64)>,
    serial: u32,
    state: State,
}

/// Rows that something happens to after the same time each, so in their order, under one timer for all.
#[derive(Debug, Default)]
struct Queue {
    /// Until when, row and serial.
    rows: VecDeque<(Timestamp, u32, u32)>,
    /// The timer is set: for the first row, or one that was before it.
    armed: bool,
}

impl Queue {
    fn push(
        &mut self,
        until: Timestamp,
        row: u32,
        serial: u32,
        wheel: &mut Wheel<Timer>,
        timer: Timer,
    ) {
        self.rows.push_back((until, row, serial));
        self.arm(wheel, timer);
    }

    fn arm(&mut self, wheel: &mut Wheel<Timer>, timer: Timer) {
        if let Some(&(until, ..)) = self.rows.front()
            && !self.armed
        {
            wheel.insert(until, timer);
            self.armed = true;
        }
    }

    /// The next row whose time is over.
    fn due(&mut self, now: Timestamp) -> Option<(u32, u32)> {
        let &(until, row, serial) = self.rows.front()?;
        (until <= now).then(|| {
            self.rows.pop_front();
            (row, serial)
        })
    }
}

/// All server transactions of one endpoint.
#[derive(Debug)]
pub struct Servers {
    rows: Slots<Row>,
    pending: Slots<Pending>,
    /// Rows by their keys, which stand in the rows.
    by_key: HashTable<u32>,
    /// The first one of those that have in common what merged requests have.
    merges: HashTable<u32>,
    serial: u32,
    /// Those without a response, and some that have one by now.
    waiting: Queue,
    completed: Queue,
    most_completed: usize,
}

impl Servers {
    /// No transactions yet. At most `most_completed` are kept for repetitions of their responses; of more the oldest are
    /// forgotten before Timer J, since 32 s of a flood would fill the memory.
    pub fn new(most_completed: usize) -> Self {
        Self {
            rows: Slots::new(),
            pending: Slots::new(),
            by_key: HashTable::new(),
            merges: HashTable::new(),
            serial: 0,
            waiting: Queue::default(),
            completed: Queue::default(),
            most_completed,
        }
    }

    /// The transaction that a request with this key belongs to.
    pub fn find(&self, key: TransactionKey) -> Option<Found> {
        let is_it = |row: &u32| self.rows[*row as usize].key == key;
        let row = *self.by_key.find(key.hash(), is_it)?;
        Some(match &self.rows[row as usize].state {
            State::Trying(_) => Found::Trying,
            State::Completed(kept) => Found::Completed(kept.clone()),
        })
    }

    /// Whether a request has come on another way already and is being served (RFC 3261, 8.2.2.2); see
    /// [`super::merge_key`].
    pub fn is_merged(&self, (common, branch): (u64, u64)) -> bool {
        self.merges
            .find(common, |row| common_of(&self.rows, *row) == common)
            .and_then(|first| self.rows[*first as usize].merge)
            .is_some_and(|(_, first)| first != branch)
    }

    /// Begins a transaction; the number names it from now on and is not used again.
    pub fn begin(
        &mut self,
        now: Timestamp,
        wheel: &mut Wheel<Timer>,
        timers: &Timers,
        key: TransactionKey,
        merge: Option<(u64, u64)>,
        pending: Pending,
    ) -> u64 {
        self.serial = self.serial.wrapping_add(1);
        let pending = row_number(self.pending.insert(pending));
        let row = row_number(self.rows.insert(Row {
            key,
            merge,
            serial: self.serial,
            state: State::Trying(pending),
        }));
        let rows = &self.rows;
        self.by_key
            .insert_unique(key.hash(), row, |row| rows[*row as usize].key.hash());
        if let Some((common, _)) = merge {
            let common_of = |row: &u32| common_of(rows, *row);
            self.merges
                .entry(common, |row| common_of(row) == common, common_of)
                .or_insert(row);
        }
        let until = now + timers.lifetime();
        self.waiting
            .push(until, row, self.serial, wheel, Timer::Unanswered);
        u64::from(self.serial) << 32 | u64::from(row)
    }

    /// The request of a transaction that has no response yet.
    pub fn pending(&self, number: u64) -> Option<&Pending> {
        match &self.rows.get(self.row(number)? as usize)?.state {
            State::Trying(pending) => self.pending.get(*pending as usize),
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
        kept: Kept,
    ) -> u64 {
        let Some(index) = self.row(number) else {
            return 0;
        };
        let row = &mut self.rows[index as usize];
        let State::Trying(pending) = row.state else {
            return 0;
        };
        let reliable = self.pending[pending as usize].flow.transport.is_reliable();
        let serial = row.serial;
        if reliable {
            self.remove(index);
        } else {
            row.state = State::Completed(kept);
            self.pending.remove(pending as usize);
            let until = now + timers.lifetime();
            self.completed.push(until, index, serial, wheel, Timer::J);
        }
        self.tidy();
        let mut forgotten = 0;
        while self.completed.rows.len() > self.most_completed
            && let Some((_, row, serial)) = self.completed.rows.pop_front()
        {
            if self.is_there(row, serial) {
                self.remove(row);
                forgotten += 1;
            }
        }
        forgotten
    }

    /// Takes [`Timer::J`]: the transactions are gone.
    pub fn expire(&mut self, now: Timestamp, wheel: &mut Wheel<Timer>) {
        self.completed.armed = false;
        while let Some((row, serial)) = self.completed.due(now) {
            if self.is_there(row, serial) {
                self.remove(row);
            }
        }
        self.completed.arm(wheel, Timer::J);
        self.shrink();
    }

    /// Gives memory back after a crowd, when less than an eighth of it is used.
    fn shrink(&mut self) {
        let enough = self.rows.len() * 2;
        if self.rows.capacity() < 8 * enough.max(SMALL) {
            return;
        }
        let rows = &self.rows;
        self.by_key
            .shrink_to(enough, |row| rows[*row as usize].key.hash());
        self.merges.shrink_to(enough, |row| common_of(rows, *row));
        self.completed.rows.shrink_to(enough);
        // Its rows have numbers: only what is free at its end goes.
        self.rows.shrink_to_fit();
    }

    /// Takes [`Timer::Unanswered`]: the transactions are gone, and their modules owed so many answers.
    pub fn give_up(&mut self, now: Timestamp, wheel: &mut Wheel<Timer>) -> u64 {
        self.waiting.armed = false;
        let mut owed = 0;
        while let Some((row, serial)) = self.waiting.due(now) {
            if self.is_trying(row, serial) {
                self.remove(row);
                owed += 1;
            }
        }
        self.tidy();
        self.waiting.arm(wheel, Timer::Unanswered);
        owed
    }

    /// Takes those out of the waiting ones that have their response, when they are the first or too many.
    fn tidy(&mut self) {
        while let Some(&(_, row, serial)) = self.waiting.rows.front()
            && !self.is_trying(row, serial)
        {
            self.waiting.rows.pop_front();
        }
        if self.waiting.rows.len() > 2 * self.pending.len() + 1024 {
            let mut waiting = std::mem::take(&mut self.waiting.rows);
            waiting.retain(|&(_, row, serial)| self.is_trying(row, serial));
            self.waiting.rows = waiting;
        }
    }

    fn is_there(&self, row: u32, serial: u32) -> bool {
        let row = self.rows.get(row as usize);
        row.is_some_and(|row| row.serial == serial)
    }

    fn is_trying(&self, row: u32, serial: u32) -> bool {
        let row = self.rows.get(row as usize);
        row.is_some_and(|row| row.serial == serial && matches!(row.state, State::Trying(_)))
    }

    /// The requests that have no response yet.
    pub fn unanswered(&self) -> impl Iterator<Item = &Pending> {
        self.rows.iter().filter_map(|(_, row)| match row.state {
            State::Trying(pending) => self.pending.get(pending as usize),
            State::Completed(_) => None,
        })
    }

    /// Goes on counting where `other` stands, so that a number of its transactions names none of ours.
    pub fn count_on(&mut self, other: &Self) {
        self.serial = other.serial;
    }

    /// How many requests are with modules.
    pub fn trying(&self) -> usize {
        self.pending.len()
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.by_key.capacity() + self.merges.capacity() + self.completed.rows.capacity()
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.rows.len()
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

    fn remove(&mut self, index: u32) {
        let row = self.rows.remove(index as usize);
        if let Ok(known) = self.by_key.find_entry(row.key.hash(), |row| *row == index) {
            known.remove();
        }
        if let Some((common, _)) = row.merge
            && let Ok(first) = self.merges.find_entry(common, |row| *row == index)
        {
            first.remove();
        }
        if let State::Trying(pending) = row.state {
            self.pending.remove(pending as usize);
        }
    }
}

/// What a row has in common with those that were merged with it.
fn common_of(rows: &Slots<Row>, row: u32) -> u64 {
    let merge = rows[row as usize].merge;
    merge.map_or(0, |(common, _)| common)
}

/// Rows are numbered in 32 bits: memory ends long before.
pub(super) fn row_number(index: usize) -> u32 {
    u32::try_from(index).expect("fewer than 2^32 transactions")
}
