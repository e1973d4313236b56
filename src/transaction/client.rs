//! Client transactions of one endpoint (RFC 3261, 17.1.2).

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use crate::slots::Slots;
use bytes::Bytes;

use super::server::row_number;
use super::{Timer, Timers};
use crate::exchange::{Flow, Token};
use crate::sip::{Method, StatusCode};
use crate::time::{TimerKey, Timestamp, Wheel};

/// A request as it begins its transaction. `O` says whose it is.
#[derive(Clone, Debug)]
pub struct Request<O> {
    /// Whose it is.
    pub origin: O,
    /// Its owner's name for it.
    pub token: Token,
    /// The token in its branch, by which its responses are known.
    pub branch: u64,
    /// Its method, which a response must name in CSeq.
    pub method: Method,
    /// Where it goes.
    pub flow: Flow,
    /// Whole, as it stands on the wire.
    pub bytes: Bytes,
    /// Bytes that its repetitions may take together.
    pub room: u32,
}

/// Whose request has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended<O> {
    /// Whose it is.
    pub origin: O,
    /// Its owner's name for it.
    pub token: Token,
}

/// What a response means to the transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received<O> {
    /// No request of ours had it as an answer.
    Stray,
    /// Provisional: Timer E slows down, nothing else.
    Provisional,
    /// The final response once more.
    Repeated,
    /// The final response.
    Final(Ended<O>),
}

/// What follows from a timer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fired<O> {
    /// Timer E: send this again.
    Retransmit(Flow, Bytes),
    /// Timer F: nobody answered.
    TimedOut(Ended<O>),
    /// Timer E, of a request that must not be repeated any more: its place has not answered yet.
    Silent,
    /// Timer K: the transaction is gone.
    Gone,
}

/// A request without a final response: state Trying or Proceeding of RFC 3261.
#[derive(Debug)]
struct Row<O> {
    ended: Ended<O>,
    /// Its place among the branches.
    place: u32,
    method: Method,
    flow: Flow,
    bytes: Bytes,
    /// Bytes that its repetitions may still take.
    room: u32,
    /// A provisional response came.
    proceeding: bool,
    /// Current interval of Timer E.
    interval: Duration,
    /// When Timer F fires.
    until: Timestamp,
    /// What fires next: Timer E or, when that would be later, Timer F. None before the first shot of Timer E, which is not in
    /// the wheel.
    timer: Option<TimerKey>,
}

/// What a branch of ours stands for.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The random half of the branch.
    check: u32,
    /// The row, or [`COMPLETED`].
    row: u32,
}

/// In place of a row: the request has its final response.
const COMPLETED: u32 = u32::MAX;

/// All client transactions of one endpoint.
///
/// A branch of ours holds the number of its place, so a response finds its request without a search, and 32 random bits, so
/// that nobody who has not seen the request can answer it.
#[derive(Debug)]
pub struct Clients<O> {
    rows: Slots<Row<O>>,
    places: Slots<Place>,
    /// The first shots of Timer E, and the branches. All come as long after their requests, so they fire in the order of these,
    /// and one timer is enough; most find their request answered.
    first: VecDeque<(Timestamp, u64)>,
    /// State Completed of RFC 3261, in which repetitions of the final response are absorbed: until when, and the place. All
    /// stay equally long, so they end in their order, and one Timer K is enough for all.
    completed: VecDeque<(Timestamp, u32)>,
}

impl<O: Copy> Clients<O> {
    /// No transactions yet.
    pub fn new() -> Self {
        Self {
            rows: Slots::new(),
            places: Slots::new(),
            first: VecDeque::new(),
            completed: VecDeque::new(),
        }
    }

    /// The token that the branch of the next request must have, made of 32 random bits.
    pub fn next_branch(&self, random: u32) -> u64 {
        token(random, row_number(self.places.vacant_key()))
    }

    /// Begins a transaction. Its branch is the one that [`Clients::next_branch`] gave last. The caller sends the request.
    pub fn begin(
        &mut self,
        now: Timestamp,
        wheel: &mut Wheel<Timer>,
        timers: &Timers,
        request: Request<O>,
    ) {
        let Request {
            origin,
            token: owner,
            branch,
            method,
            flow,
            bytes,
            room,
        } = request;
        let unreliable = !flow.transport.is_reliable();
        let until = now + timers.lifetime();
        let row = self.rows.vacant_key();
        let timer = if unreliable {
            if self.first.is_empty() {
                wheel.insert(now + timers.t1, Timer::FirstE);
            }
            self.first.push_back((now + timers.t1, branch));
            None
        } else {
            Some(wheel.insert(until, Timer::F(row_number(row))))
        };
        let place = self.places.insert(Place {
            check: check_of(branch),
            row: row_number(row),
        });
        debug_assert_eq!(place_of(branch), place, "a branch that was not given");
        self.rows.insert(Row {
            ended: Ended {
                origin,
                token: owner,
            },
            place: row_number(place),
            method,
            flow,
            bytes,
            room,
            proceeding: false,
            interval: timers.t1,
            until,
            timer,
        });
    }

    /// Takes a response, known by the token in its branch and the method in its CSeq (17.1.3).
    pub fn receive(
        &mut self,
        now: Timestamp,
        wheel: &mut Wheel<Timer>,
        timers: &Timers,
        branch: u64,
        method: &Method,
        status: StatusCode,
    ) -> Received<O> {
        let Some(index) = self.find(branch) else {
            return Received::Stray;
        };
        if index == COMPLETED {
            return Received::Repeated;
        }
        let row = &mut self.rows[index as usize];
        if row.method != *method {
            return Received::Stray;
        }
        if status.is_provisional() {
            // From here on Timer E fires every T2; the shot that is already set stays (17.1.2.2).
            row.proceeding = true;
            return Received::Provisional;
        }
        let (ended, place) = (row.ended, row.place);
        let reliable = row.flow.transport.is_reliable();
        self.take(wheel, index);
        if reliable {
            self.places.remove(place as usize);
        } else {
            let until = now + timers.t4;
            if self.completed.is_empty() {
                wheel.insert(until, Timer::K);
            }
            self.completed.push_back((until, place));
            self.places[place as usize].row = COMPLETED;
        }
        Received::Final(ended)
    }

    /// Takes [`Timer::FirstE`], again and again until it gives nothing more: requests whose first Timer E has fired.
    pub fn first_shot(
        &mut self,
        now: Timestamp,
        wheel: &mut Wheel<Timer>,
        timers: &Timers,
    ) -> Option<Fired<O>> {
        while let Some(&(at, branch)) = self.first.front() {
            let row = self.find(branch).filter(|row| *row != COMPLETED);
            if row.is_some() && at > now {
                wheel.insert(at, Timer::FirstE);
                return None;
            }
            self.first.pop_front();
            if let Some(row) = row {
                return Some(self.retransmit(now, wheel, timers, row));
            }
        }
        None
    }

    /// Takes Timer E.
    pub fn retransmit(
        &mut self,
        now: Timestamp,
        wheel: &mut Wheel<Timer>,
        timers: &Timers,
        index: u32,
    ) -> Fired<O> {
        let Some(row) = self.rows.get_mut(index as usize) else {
            return Fired::Gone;
        };
        row.interval = if row.proceeding {
            timers.t2
        } else {
            timers.t2.min(row.interval * 2)
        };
        let length = u32::try_from(row.bytes.len()).unwrap_or(u32::MAX);
        if row.room < length {
            // Nothing more goes out, and Timer F is still to come.
            row.timer = Some(wheel.insert(row.until, Timer::F(index)));
            return Fired::Silent;
        }
        if row.room != u32::MAX {
            row.room -= length;
        }
        let next = now + row.interval;
        row.timer = Some(if next < row.until {
            wheel.insert(next, Timer::E(index))
        } else {
            wheel.insert(row.until, Timer::F(index))
        });
        Fired::Retransmit(row.flow, row.bytes.clone())
    }

    /// Whether a response may come from there: the answer to a request of bounded length proves that its place is what it says,
    /// so it must come from that place.
    pub fn may_come_from(&self, branch: u64, ip: IpAddr) -> bool {
        let row = self.find(branch).filter(|row| *row != COMPLETED);
        let row = row.and_then(|row| self.rows.get(row as usize));
        row.is_none_or(|row| row.room == u32::MAX || row.flow.remote.ip() == ip)
    }

    /// Whether a provisional response to this one came.
    pub fn is_proceeding(&self, index: u32) -> bool {
        let row = self.rows.get(index as usize);
        row.is_some_and(|row| row.proceeding)
    }

    /// Takes Timer F.
    pub fn time_out(&mut self, wheel: &mut Wheel<Timer>, index: u32) -> Fired<O> {
        match self.abort(wheel, index) {
            Some(ended) => Fired::TimedOut(ended),
            None => Fired::Gone,
        }
    }

    /// Takes Timer K.
    pub fn expire(&mut self, now: Timestamp, wheel: &mut Wheel<Timer>) {
        while let Some(&(until, place)) = self.completed.front() {
            if until > now {
                wheel.insert(until, Timer::K);
                return;
            }
            self.completed.pop_front();
            self.places.remove(place as usize);
        }
    }

    /// Ends all requests without a response whose way has failed, row by row, and says whose they were.
    pub fn fail(
        &mut self,
        wheel: &mut Wheel<Timer>,
        over: impl Fn(&Flow) -> bool,
    ) -> Vec<Ended<O>> {
        self.fail_those(wheel, |_, flow| over(flow))
    }

    /// The same for some requests only.
    pub fn fail_those(
        &mut self,
        wheel: &mut Wheel<Timer>,
        which: impl Fn(&Ended<O>, &Flow) -> bool,
    ) -> Vec<Ended<O>> {
        let failed = |(_, row): &(usize, &Row<O>)| which(&row.ended, &row.flow);
        let failed: Vec<usize> = self
            .rows
            .iter()
            .filter(failed)
            .map(|(index, _)| index)
            .collect();
        failed
            .into_iter()
            .filter_map(|index| self.abort(wheel, row_number(index)))
            .collect()
    }

    /// Whose requests have no final response yet, row by row.
    pub fn unanswered(&self) -> impl Iterator<Item = Ended<O>> {
        self.rows.iter().map(|(_, row)| row.ended)
    }

    /// How many transactions there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The row of a branch, or [`COMPLETED`].
    fn find(&self, branch: u64) -> Option<u32> {
        let place = self.places.get(place_of(branch))?;
        (place.check == check_of(branch)).then_some(place.row)
    }

    /// Ends a transaction that has no final response.
    fn abort(&mut self, wheel: &mut Wheel<Timer>, index: u32) -> Option<Ended<O>> {
        let row = self.rows.get(index as usize)?;
        let (ended, place) = (row.ended, row.place);
        self.take(wheel, index);
        self.places.remove(place as usize);
        Some(ended)
    }

    /// Takes a row out, but leaves its place.
    fn take(&mut self, wheel: &mut Wheel<Timer>, index: u32) {
        if let Some(timer) = self.rows.remove(index as usize).timer {
            wheel.cancel(timer);
        }
    }
}

/// The token of a branch.
fn token(check: u32, place: u32) -> u64 {
    u64::from(check) << 32 | u64::from(place)
}

fn check_of(branch: u64) -> u32 {
    // The upper half.
    (branch >> 32) as u32
}

fn place_of(branch: u64) -> usize {
    // The lower half.
    branch as u32 as usize
}

impl<O: Copy> Default for Clients<O> {
    fn default() -> Self {
        Self::new()
    }
}
