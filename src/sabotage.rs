//! Mistakes built into the server on purpose, to see that the simulation finds them. Only with the feature `sabotage`, which tests turn
//! on and a release does not: without it `sabotaged!` is `false`, and nothing of this is in the program.

use std::cell::Cell;

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// The registry acts on a commit before the store has it.
    AnswerBeforeCommit,
    /// A commit whose outcome nobody knows counts as stored.
    IndeterminateAsCommitted,
    /// A request for what is being changed does not wait.
    ForgetLock,
    /// A request that waits behind another is dropped.
    DropQueued,
    /// An entity-tag stays when its publication is modified.
    KeepEntityTag,
    /// Any entity-tag will do.
    TakeAnyEntityTag,
    /// Entity-tags are not counted.
    ReuseEntityTag,
    /// NOTIFYs are counted from the same number in each epoch.
    ReuseCseq,
    /// The epoch is not bumped when the store is opened.
    KeepEpoch,
    /// The last record of a load is lost.
    LoseLastRecord,
    /// Nothing expires.
    NeverExpire,
    /// One more NOTIFY follows the last.
    NotifyAfterTerminated,
    /// Blocked watchers are treated as if nothing had been decided.
    ForgetBlock,
    /// Pending watchers are shown the state.
    ShowPending,
    /// The registry is never woken.
    NeverWake,
}

impl Mistake {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::AnswerBeforeCommit,
        Self::IndeterminateAsCommitted,
        Self::ForgetLock,
        Self::DropQueued,
        Self::KeepEntityTag,
        Self::TakeAnyEntityTag,
        Self::ReuseEntityTag,
        Self::ReuseCseq,
        Self::KeepEpoch,
        Self::LoseLastRecord,
        Self::NeverExpire,
        Self::NotifyAfterTerminated,
        Self::ForgetBlock,
        Self::ShowPending,
        Self::NeverWake,
    ];

    /// As the command line takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AnswerBeforeCommit => "answer-before-commit",
            Self::IndeterminateAsCommitted => "indeterminate-as-committed",
            Self::ForgetLock => "forget-lock",
            Self::DropQueued => "drop-queued",
            Self::KeepEntityTag => "keep-entity-tag",
            Self::TakeAnyEntityTag => "take-any-entity-tag",
            Self::ReuseEntityTag => "reuse-entity-tag",
            Self::ReuseCseq => "reuse-cseq",
            Self::KeepEpoch => "keep-epoch",
            Self::LoseLastRecord => "lose-last-record",
            Self::NeverExpire => "never-expire",
            Self::NotifyAfterTerminated => "notify-after-terminated",
            Self::ForgetBlock => "forget-block",
            Self::ShowPending => "show-pending",
            Self::NeverWake => "never-wake",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mistake| mistake.name() == name)
    }
}

thread_local! {
    /// A simulated world lives on one thread.
    static MADE: Cell<Option<Mistake>> = const { Cell::new(None) };
}

/// Whether this mistake is made on this thread.
pub fn is_made(mistake: Mistake) -> bool {
    MADE.get() == Some(mistake)
}

/// While it lives, a mistake is made on this thread.
#[derive(Debug)]
pub struct Made(());

/// From now on this mistake is made, if there is one.
pub fn make(mistake: Option<Mistake>) -> Made {
    MADE.set(mistake);
    Made(())
}

impl Drop for Made {
    fn drop(&mut self) {
        MADE.set(None);
    }
}
