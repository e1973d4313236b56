//! The loop: begins what is due, waits, takes what has come, sends again what was not answered.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::messages::{Messages, Request};
use super::phase::{Phase, Slot, Task, record};
use super::rows::{Dialog, NONE, Publication, Targets};
use super::schedule::{Next, Schedule};
use super::sockets::{Sockets, Wire};
use super::template::Values;
use super::{Goal, Options, Pace, Progress};

/// The first pause before a request is sent again, and the longest: T1 and T2 of RFC 3261, 17.1.2.1.
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// How often it is looked whether something must be sent again or has taken too long, for each so many slots: the look takes a few
/// nanoseconds for each.
const TICK: Duration = Duration::from_millis(20);
const TICK_SLOTS: usize = 100_000;
/// How many requests are begun, and datagrams of one socket taken, before the other is done again: neither may starve.
const AT_ONCE: usize = 64;
/// All presentities and dialogs of a run, and what is under way.
pub(super) struct Engine {
    target: SocketAddr,
    wire: Wire,
    pub sockets: Sockets,
    messages: Messages,
    /// Whether the transport loses nothing, so that nothing is sent again (RFC 3261, 17.1.2.2).
    reliable: bool,
    pub run: Box<[u8]>,
    pub publications: Vec<Publication>,
    pub dialogs: Vec<Dialog>,
    /// The number of the first dialog in Call-IDs and tags: those before it are forgotten.
    pub first: u32,
    pub targets: Targets,
    /// Subscriptions to each presentity (fan-out).
    pub watchers: u32,
    /// How long after it was due an operation may be put off by answers 503 with Retry-After; None: such an answer is a failure.
    pub patience: Option<Duration>,
    timeout: Duration,
    /// Whether to look again and again instead of sleeping.
    busy: bool,
    pub task: Task,
    pub slots: Vec<Slot>,
    free: Vec<u32>,
    /// How many of those under way wait for a Retry-After.
    put_off: usize,
    /// The slot at which the next look begins.
    looked: usize,
    generation: u32,
    /// Subjects that nothing is under way for, the longest idle first.
    idle: VecDeque<u32>,
    pub phase: Phase,
    /// When the server was heard last.
    heard: Instant,
    pub out: Vec<u8>,
}

impl Engine {
    /// Opens its sockets.
    pub(super) fn open(options: &Options, wire: Wire) -> io::Result<Self> {
        let publications = (0..options.presentities).map(|_| Publication::default());
        let reliable = options.transport.is_reliable();
        Ok(Self {
            target: options.target,
            sockets: Sockets::open(options.target, &wire, options.sockets)?,
            wire,
            messages: Messages::new(
                &options.domain,
                &options.run,
                options.expires,
                options.transport,
            ),
            reliable,
            run: options.run.as_bytes().into(),
            publications: publications.collect(),
            dialogs: Vec::new(),
            first: 0,
            targets: Targets::default(),
            watchers: 0,
            patience: None,
            timeout: options.timeout,
            busy: options.busy,
            task: Task::Publish,
            slots: Vec::new(),
            free: Vec::new(),
            put_off: 0,
            looked: 0,
            generation: 0,
            idle: VecDeque::new(),
            phase: Phase::default(),
            heard: Instant::now(),
            out: Vec::new(),
        })
    }

    /// Forgets all dialogs, as a power cut does: NOTIFYs in them get 481 from now on. Connections are made anew; sockets of datagrams stay,
    /// since who comes back has the address it had.
    pub(super) fn forget(&mut self) -> io::Result<()> {
        self.first += self.dialogs.len() as u32;
        self.dialogs = Vec::new();
        self.targets = Targets::default();
        if self.reliable {
            let count = self.sockets.count();
            // All at once, as a power cut ends them.
            self.sockets = Sockets::none();
            self.sockets = Sockets::open(self.target, &self.wire, count)?;
        }
        Ok(())
    }

    /// How many watchers were not shown the last state that the server accepted for their presentity.
    pub(super) fn behind(&self) -> u64 {
        let all = self.publications.len();
        let behind = |(number, dialog): &(usize, &Dialog)| {
            dialog.shown < self.publications[number % all].stored
        };
        self.dialogs.iter().enumerate().filter(behind).count() as u64
    }

    /// Does a task until the goal is reached and nothing is under way, or until the server is gone.
    pub(super) fn run(
        &mut self,
        task: Task,
        pace: Pace,
        goal: Goal,
        name: &'static str,
        told: &mut impl FnMut(Progress),
    ) -> Phase {
        self.task = task;
        self.phase = Phase::default();
        self.idle = match task {
            Task::Publish | Task::FanOut => (0..self.publications.len() as u32).collect(),
            Task::Refresh => (0..self.dialogs.len() as u32).collect(),
            Task::Subscribe | Task::Return | Task::Settle => VecDeque::new(),
        };
        if let (Task::Subscribe | Task::Return, Goal::Operations(all)) = (task, goal) {
            // All at once: a vector that grows is there twice while it moves.
            self.dialogs
                .reserve_exact(usize::try_from(all).unwrap_or_default());
        }
        let start = Instant::now();
        self.heard = start;
        let mut schedule = Schedule::new(pace, goal, start);
        let (mut next_tick, mut next_word) = (start + TICK, start + Duration::from_secs(1));
        let mut ready = Vec::new();
        let mut datagram = vec![0; 65_535];
        loop {
            let now = Instant::now();
            let next = self.begin_due(&mut schedule, now);
            if let Err(error) = self.sockets.flush() {
                self.broken(&error);
            }
            if next == Next::Over && self.under_way() == 0 || self.phase.ended_early.is_some() {
                break;
            }
            let until = match next {
                _ if self.busy => now,
                Next::Due(_) => now,
                Next::Wait(Some(due)) => due.min(next_tick),
                Next::Wait(None) | Next::Over => next_tick,
            };
            self.sockets
                .wait(until.saturating_duration_since(now), &mut ready);
            for &index in &ready {
                self.take(index, &mut datagram);
            }
            let now = Instant::now();
            if now >= next_tick && self.tick(now) {
                next_tick = now + TICK * (1 + self.slots.len() / TICK_SLOTS) as u32;
            }
            if now >= next_word {
                next_word += Duration::from_secs(1);
                told(self.progress(name, goal, now - start));
            }
        }
        self.give_up(goal, schedule.begun());
        std::mem::take(&mut self.phase)
    }

    /// What is left when the server is gone, under way or not begun, has failed.
    fn give_up(&mut self, goal: Goal, begun: u64) {
        let left = match goal {
            Goal::Operations(all) => all - begun,
            Goal::Duration(_) => 0,
        };
        let lost = left + self.under_way() as u64;
        if lost > 0 {
            self.phase.fail("server gone", lost);
        }
        self.slots.clear();
        self.free.clear();
        (self.put_off, self.looked) = (0, 0);
    }

    fn under_way(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn progress(&self, phase: &'static str, goal: Goal, elapsed: Duration) -> Progress {
        Progress {
            phase,
            goal,
            elapsed,
            done: self.phase.done,
            failed: self.phase.failures.values().sum(),
            under_way: self.under_way(),
        }
    }

    /// Begins what is due, but not so much that answers wait. Gives what comes next.
    fn begin_due(&mut self, schedule: &mut Schedule, now: Instant) -> Next {
        for _ in 0..AT_ONCE {
            let due = match schedule.next(now, self.under_way()) {
                Next::Due(due) => due,
                other => return other,
            };
            let subject = match self.task {
                Task::Subscribe | Task::Return => {
                    self.dialogs.push(Dialog::default());
                    self.dialogs.len() as u32 - 1
                }
                Task::Publish | Task::FanOut | Task::Refresh | Task::Settle => {
                    match self.idle.pop_front() {
                        Some(subject) => subject,
                        // What is due waits for a subject, and its time goes on.
                        None => return Next::Wait(None),
                    }
                }
            };
            schedule.begin();
            self.begin(subject, due, now);
        }
        schedule.next(now, self.under_way())
    }

    fn begin(&mut self, subject: u32, due: Instant, now: Instant) {
        let at = self.free.pop().unwrap_or(self.slots.len() as u32);
        let request = if self.task.publishes() {
            let row = &mut self.publications[subject as usize];
            row.slot = at;
            row.cseq += 1;
            row.sent += 1;
            row.behind = if self.task == Task::FanOut {
                self.watchers
            } else {
                0
            };
            if row.etag.is_empty() {
                Request::PublishInitial
            } else {
                Request::PublishModify
            }
        } else {
            let row = &mut self.dialogs[subject as usize];
            row.slot = at;
            row.cseq += 1;
            if row.tag.is_empty() {
                Request::Subscribe
            } else {
                Request::Resubscribe
            }
        };
        let slot = Slot {
            subject,
            generation: self.next_generation(),
            answered: false,
            fresh: false,
            refused: false,
            request,
            due,
            began: now,
            again: now + T1,
            pause: T1,
        };
        match self.slots.get_mut(at as usize) {
            Some(free) => *free = slot,
            None => self.slots.push(slot),
        }
        self.send(at);
    }

    fn next_generation(&mut self) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        self.generation
    }

    /// The server has refused the request of a slot for so many seconds (RFC 3261, 21.5.4). Whether it is asked again then.
    pub(super) fn put_off(&mut self, at: u32, seconds: u32, now: Instant) -> bool {
        let slot = &mut self.slots[at as usize];
        let again = now + Duration::from_secs(seconds.into());
        if self
            .patience
            .is_none_or(|patience| again > slot.due + patience)
        {
            return false;
        }
        (slot.refused, slot.again) = (true, again);
        self.put_off += 1;
        self.phase.refused += 1;
        true
    }

    /// What was refused is asked anew: a transaction of its own, with the next CSeq.
    fn ask_anew(&mut self, at: u32, now: Instant) {
        let generation = self.next_generation();
        let slot = &mut self.slots[at as usize];
        let subject = slot.subject as usize;
        *slot = Slot {
            generation,
            refused: false,
            began: now,
            again: now + T1,
            pause: T1,
            ..*slot
        };
        if self.task.publishes() {
            self.publications[subject].cseq += 1;
        } else {
            self.dialogs[subject].cseq += 1;
        }
        self.put_off -= 1;
        self.send(at);
    }

    /// Sends the request of a slot, for the first time or again: it is rendered alike, since nothing of its subject changes meanwhile.
    fn send(&mut self, at: u32) {
        let slot = self.slots[at as usize];
        let subject = slot.subject;
        let mut values = Values {
            presentity: subject,
            call: subject,
            branch: (at, slot.generation),
            own: self.sockets.own(subject),
            ..Values::default()
        };
        if self.task.publishes() {
            let row = &self.publications[subject as usize];
            (values.cseq, values.sequence) = (row.cseq, row.sent);
            values.entity_tag = &row.etag;
        } else {
            let row = &self.dialogs[subject as usize];
            values.presentity = subject % self.publications.len() as u32;
            (values.call, values.cseq) = (self.first + subject, row.cseq);
            (values.tag, values.target) = (&row.tag, self.targets.uri(row.target));
        }
        let mut out = std::mem::take(&mut self.out);
        self.messages.render(slot.request, &values, &mut out);
        self.sockets.send(subject, &out);
        self.out = out;
    }

    /// The operation of a slot has ended; None means well.
    pub(super) fn finish(&mut self, at: u32, failure: Option<&str>, now: Instant) {
        let slot = std::mem::replace(&mut self.slots[at as usize].subject, NONE);
        if self.task.publishes() {
            self.publications[slot as usize].slot = NONE;
        } else {
            self.dialogs[slot as usize].slot = NONE;
        }
        if !matches!(self.task, Task::Subscribe | Task::Return) {
            self.idle.push_back(slot);
        }
        self.free.push(at);
        match failure {
            None => {
                self.phase.done += 1;
                record(&mut self.phase.latency, self.slots[at as usize].due, now);
            }
            Some(why) => self.phase.fail(why, 1),
        }
    }

    /// Takes messages of one socket.
    fn take(&mut self, index: usize, buffer: &mut [u8]) {
        for _ in 0..AT_ONCE {
            match self.sockets.receive(index, buffer) {
                Ok(Some(length)) => {
                    let now = Instant::now();
                    self.heard = now;
                    self.handle(&buffer[..length], index, now);
                }
                Ok(None) => return,
                Err(error) => return self.broken(&error),
            }
        }
    }

    /// A socket says that the server can't be reached.
    pub(super) fn broken(&mut self, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::Interrupted => {}
            io::ErrorKind::ConnectionRefused => {
                let why = "nothing listens at this address and port (any more)";
                self.phase.ended_early = Some(why.to_owned());
            }
            _ => self.phase.ended_early = Some(error.to_string()),
        }
    }

    /// Sends again, and ends what has taken too long. Whether all slots have been looked at: after so many requests answers come first.
    fn tick(&mut self, now: Instant) -> bool {
        let waiting = self.under_way() > self.put_off;
        if waiting && now >= self.heard + self.timeout {
            let seconds = self.timeout.as_secs();
            let why = format!("it has not said anything for {seconds} s");
            self.phase.ended_early = Some(why);
            return true;
        }
        if !waiting {
            // Silence counts from the next request on.
            self.heard = now;
        }
        let mut sent = 0;
        for at in self.looked as u32..self.slots.len() as u32 {
            if sent == AT_ONCE {
                self.looked = at as usize;
                return false;
            }
            let slot = &mut self.slots[at as usize];
            if slot.subject == NONE {
                continue;
            }
            if slot.refused {
                if now >= slot.again {
                    sent += 1;
                    self.ask_anew(at, now);
                }
            } else if now >= slot.began + self.timeout {
                let why = if slot.answered {
                    "no NOTIFY"
                } else {
                    "timeout"
                };
                self.finish(at, Some(why), now);
            } else if !self.reliable && !slot.answered && now >= slot.again {
                slot.pause = (slot.pause * 2).min(T2);
                slot.again = now + slot.pause;
                self.phase.retransmissions += 1;
                sent += 1;
                self.send(at);
            }
        }
        self.looked = 0;
        true
    }
}
