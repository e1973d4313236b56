//! Client transactions of one endpoint (RFC 3261, 17.1.2).

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use slab::Slab;

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
    /// Timer K: the transaction is gone.
    Gone,
}

/// A request without a final response: state Trying or Proceeding of RFC 3261.
#[derive(Debug)]
struct Row<O> {
    ended: Ended<O>,
    branch: u64,
    method: Method,
    flow: Flow,
    bytes: Bytes,
    /// A provisional response came.
    proceeding: bool,
    /// Current interval of Timer E.
    interval: Duration,
    /// Timer E, on unreliable transports.
    retransmit: Option<TimerKey>,
    /// Timer F.
    timeout: TimerKey,
}

/// In place of a row: the request has its final response.
const COMPLETED: u32 = u32::MAX;

/// All client transactions of one endpoint.
#[derive(Debug)]
pub struct Clients<O> {
    rows: Slab<Row<O>>,
    /// By the token in the branch. It is our own randomness: nobody can choose it to make collisions.
    by_branch: FxHashMap<u64, u32>,
    /// State Completed of RFC 3261, in which repetitions of the final response are absorbed: until when, and the token of the
    /// branch. All stay equally long, so they end in their order, and one Timer K is enough for all.
    completed: VecDeque<(Timestamp, u64)>,
}

impl<O: Copy> Clients<O> {
    /// No transactions yet.
    pub fn new() -> Self {
        Self {
            rows: Slab::new(),
            by_branch: FxHashMap::default(),
            completed: VecDeque::new(),
        }
    }

    /// Begins a transaction. The caller sends the request.
    pub fn begin(
        &mut self,
        now: Timestamp,
        wheel: &mut Wheel<Timer>,
        timers: &Timers,
        request: Request<O>,
    ) {
        let Request {
            origin,
            token,
            branch,
            method,
            flow,
            bytes,
        } = request;
        let vacant = self.rows.vacant_entry();
        let index = row_number(vacant.key());
        let unreliable = !flow.transport.is_reliable();
        vacant.insert(Row {
            ended: Ended { origin, token },
            branch,
            method,
            flow,
            bytes,
            proceeding: false,
            interval: timers.t1,
            retransmit: unreliable.then(|| wheel.insert(now + timers.t1, Timer::E(index))),
            timeout: wheel.insert(now + timers.lifetime(), Timer::F(index)),
        });
        self.by_branch.insert(branch, index);
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
        let Some(&index) = self.by_branch.get(&branch) else {
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
        let (ended, reliable) = (row.ended, row.flow.transport.is_reliable());
        self.remove(wheel, index);
        if !reliable {
            let until = now + timers.t4;
            if self.completed.is_empty() {
                wheel.insert(until, Timer::K);
            }
            self.completed.push_back((until, branch));
            self.by_branch.insert(branch, COMPLETED);
        }
        Received::Final(ended)
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
        row.retransmit = Some(wheel.insert(now + row.interval, Timer::E(index)));
        Fired::Retransmit(row.flow, row.bytes.clone())
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
        while let Some(&(until, branch)) = self.completed.front() {
            if until > now {
                wheel.insert(until, Timer::K);
                return;
            }
            self.completed.pop_front();
            self.by_branch.remove(&branch);
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
        self.rows.len() + self.completed.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.completed.is_empty()
    }

    /// Ends a transaction that has no final response.
    fn abort(&mut self, wheel: &mut Wheel<Timer>, index: u32) -> Option<Ended<O>> {
        let ended = self.rows.get(index as usize)?.ended;
        self.remove(wheel, index);
        Some(ended)
    }

    fn remove(&mut self, wheel: &mut Wheel<Timer>, index: u32) {
        let row = self.rows.remove(index as usize);
        self.by_branch.remove(&row.branch);
        for timer in row.retransmit.into_iter().chain([row.timeout]) {
            wheel.cancel(timer);
        }
    }
}

impl<O: Copy> Default for Clients<O> {
    fn default() -> Self {
        Self::new()
    }
}
