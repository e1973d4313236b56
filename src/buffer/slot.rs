//! A slot of the ring: what waits in it, what of it is being published, and whom to tell how it ended.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::manager::Presence;
use crate::time::Timestamp;

/// So many superseded sequence numbers one slot remembers; then the oldest is refused. Otherwise a presentity that
/// changes all day while the server is away would fill the memory with numbers.
pub(super) const MOST_SEQS: usize = 1024;

/// The place of one presentity.
#[derive(Debug)]
pub(super) struct Slot {
    pub aor: String,
    /// What the publisher has.
    pub taken: Option<Taken>,
    /// What waits, the newest state only.
    pub waiting: Option<Waiting>,
    /// Not to be taken before this time.
    pub held: Option<Timestamp>,
}

impl Slot {
    /// Whether this sequence number is here already.
    pub fn has(&self, run: u32, seq: u64) -> bool {
        let taken = self
            .taken
            .as_ref()
            .is_some_and(|taken| taken.seqs.has(run, seq));
        taken
            || self
                .waiting
                .as_ref()
                .is_some_and(|waiting| waiting.seqs.has(run, seq))
    }
}

/// A state that the publisher has.
#[derive(Debug)]
pub(super) struct Taken {
    pub presence: Arc<Presence>,
    pub seqs: Seqs,
}

/// A state that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub presence: Arc<Presence>,
    pub seqs: Seqs,
}

/// The sequence numbers that end with a state: its own and those of the states it replaced, oldest first, each with the
/// run of the Manager that counted it.
#[derive(Debug, Default)]
pub(super) struct Seqs(VecDeque<(u32, u64)>);

impl Seqs {
    pub fn of(run: u32, seq: Option<u64>) -> Self {
        Self(seq.into_iter().map(|seq| (run, seq)).collect())
    }

    /// Adds one; what falls out at the old end when there are too many is returned.
    pub fn push(&mut self, run: u32, seq: Option<u64>) -> Option<(u32, u64)> {
        let seq = seq?;
        let surplus = if self.0.len() >= MOST_SEQS {
            self.0.pop_front()
        } else {
            None
        };
        self.0.push_back((run, seq));
        surplus
    }

    pub fn has(&self, run: u32, seq: u64) -> bool {
        self.0.contains(&(run, seq))
    }

    pub fn into_iter(self) -> impl Iterator<Item = (u32, u64)> {
        self.0.into_iter()
    }
}
