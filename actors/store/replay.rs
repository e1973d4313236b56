//! Outcomes of the latest commits, for those that come a second time.

use std::collections::VecDeque;

use rollcall_core::registry::{CommitOutcome, OpId};
use rustc_hash::FxHashMap;

/// How many outcomes are remembered. Whoever asks again does so within seconds.
const REMEMBERED: usize = 4096;

/// Outcomes by operation, the oldest forgotten first.
#[derive(Debug, Default)]
pub(super) struct Replay {
    outcomes: FxHashMap<OpId, CommitOutcome>,
    order: VecDeque<OpId>,
}

impl Replay {
    /// What the operation was answered before.
    pub fn find(&self, op: OpId) -> Option<CommitOutcome> {
        self.outcomes.get(&op).cloned()
    }

    /// Remembers an answer that stands: what was not taken may be asked for again.
    pub fn remember(&mut self, op: OpId, outcome: &CommitOutcome) {
        match outcome {
            CommitOutcome::Committed | CommitOutcome::Conflict(_) => {}
            CommitOutcome::Overloaded
            | CommitOutcome::Unavailable
            | CommitOutcome::Indeterminate => return,
        }
        if self.outcomes.insert(op, outcome.clone()).is_some() {
            return;
        }
        self.order.push_back(op);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.outcomes.remove(&oldest);
        }
    }
}
