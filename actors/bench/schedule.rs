//! When the next operation is due.

use std::time::{Duration, Instant};

/// How operations follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// A closed loop: so many are under way, and the end of one begins the next.
    Concurrency(usize),
    /// An open loop: so many a second are due, however long the server takes. The latency of each counts from when it was due, not from
    /// when it could be sent, so that a server that stalls is charged for all that waited meanwhile.
    Rate(f64),
    /// An open loop in which all is due in the first moment.
    AtOnce,
}

/// How much is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// So many operations.
    Operations(u64),
    /// As many as begin in this time.
    Duration(Duration),
}

/// The operations of a run, one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    pace: Pace,
    goal: Goal,
    start: Instant,
    /// How many were handed out.
    begun: u64,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// One more, which was due then.
    Due(Instant),
    /// Nothing before then; None: before one ends.
    Wait(Option<Instant>),
    /// Nothing any more.
    Over,
}

impl Schedule {
    pub(super) fn new(pace: Pace, goal: Goal, start: Instant) -> Self {
        Self {
            pace,
            goal,
            start,
            begun: 0,
        }
    }

    /// How many were handed out.
    pub(super) fn begun(&self) -> u64 {
        self.begun
    }

    /// What is to be done at `now`, while so many are under way. What is due is handed out only by [`Schedule::begin`].
    pub(super) fn next(&self, now: Instant, under_way: usize) -> Next {
        let over = match self.goal {
            Goal::Operations(all) => self.begun >= all,
            Goal::Duration(_) => false,
        };
        if over {
            return Next::Over;
        }
        let due = match self.pace {
            Pace::Concurrency(_) => now,
            Pace::Rate(rate) => self.start + Duration::from_secs_f64(self.begun as f64 / rate),
            Pace::AtOnce => self.start,
        };
        // In an open loop what was due in time is done, however late it is: else a stalled server would be spared.
        if let Goal::Duration(length) = self.goal
            && due >= self.start + length
        {
            return Next::Over;
        }
        match self.pace {
            Pace::Concurrency(limit) if under_way >= limit => Next::Wait(None),
            Pace::Rate(_) if due > now => Next::Wait(Some(due)),
            Pace::Concurrency(_) | Pace::Rate(_) | Pace::AtOnce => Next::Due(due),
        }
    }

    /// One was begun.
    pub(super) fn begin(&mut self) {
        self.begun += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_closed_loop_has_so_many_under_way_and_no_more() {
        let start = Instant::now();
        let mut schedule = Schedule::new(Pace::Concurrency(2), Goal::Operations(3), start);
        assert_eq!(schedule.next(start, 0), Next::Due(start));
        schedule.begin();
        assert_eq!(schedule.next(start, 1), Next::Due(start));
        schedule.begin();
        assert_eq!(schedule.next(start + MS, 2), Next::Wait(None));
        assert_eq!(schedule.next(start + 5 * MS, 1), Next::Due(start + 5 * MS));
        schedule.begin();
        assert_eq!(schedule.next(start + 5 * MS, 1), Next::Over);
        assert_eq!(schedule.begun(), 3);
    }

    #[test]
    fn an_open_loop_is_due_at_its_rate_whatever_is_under_way() {
        let start = Instant::now();
        let mut schedule = Schedule::new(Pace::Rate(100.0), Goal::Operations(3), start);
        assert_eq!(schedule.next(start, 1_000_000), Next::Due(start));
        schedule.begin();
        let second = start + 10 * MS;
        assert_eq!(schedule.next(start + 3 * MS, 0), Next::Wait(Some(second)));
        assert_eq!(schedule.next(second, 0), Next::Due(second));
    }

    #[test]
    fn all_at_once_is_due_in_the_first_moment_however_late_it_is_sent() {
        let start = Instant::now();
        let mut schedule = Schedule::new(Pace::AtOnce, Goal::Operations(2), start);
        assert_eq!(schedule.next(start, 0), Next::Due(start));
        schedule.begin();
        assert_eq!(schedule.next(start + 70 * MS, 9), Next::Due(start));
        schedule.begin();
        assert_eq!(schedule.next(start + 70 * MS, 9), Next::Over);
    }

    /// A server that stalls for a second: each of those that could not be sent counts from its own time.
    #[test]
    fn what_could_not_be_sent_in_time_counts_from_when_it_was_due() {
        let start = Instant::now();
        let mut schedule = Schedule::new(Pace::Rate(100.0), Goal::Operations(1000), start);
        let late = start + 1000 * MS;
        let mut waited = Vec::new();
        while let Next::Due(due) = schedule.next(late, 0) {
            waited.push((late - due).as_millis());
            schedule.begin();
        }
        assert_eq!(waited.len(), 101);
        assert_eq!(waited[..3], [1000, 990, 980]);
        assert_eq!(waited[100], 0);
    }

    #[test]
    fn a_duration_ends_what_begins_and_in_an_open_loop_only_what_was_due_later() {
        let start = Instant::now();
        let goal = Goal::Duration(20 * MS);
        let closed = Schedule::new(Pace::Concurrency(1), goal, start);
        assert_eq!(closed.next(start + 19 * MS, 0), Next::Due(start + 19 * MS));
        assert_eq!(closed.next(start + 19 * MS, 1), Next::Wait(None));
        assert_eq!(closed.next(start + 20 * MS, 1), Next::Over);
        let mut open = Schedule::new(Pace::Rate(100.0), goal, start);
        open.begin();
        assert_eq!(open.next(start + 500 * MS, 9), Next::Due(start + 10 * MS));
        open.begin();
        assert_eq!(open.next(start + 500 * MS, 9), Next::Over);
    }
}
