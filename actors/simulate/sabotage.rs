//! Breaches on purpose, to see that each invariant is really watched. For tests only.

/// What is broken: one for each invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// A host of watchers loses whatever it is told after half of the time, as if NOTIFYs got lost for good.
    LostNotifies,
    /// Sources tell states that they do not put on the books.
    MadeUpStates,
    /// A CSeq is used by two NOTIFYs of a dialog.
    ReusedCseq,
    /// A watcher is shown the first state of a presentity again after newer ones.
    StaleState,
    /// Two PUBLISH are answered with the same entity-tag.
    ReusedEntityTag,
    /// A Presence Client lives on when everybody should be gone, and refreshes what it has published.
    Straggler,
    /// The source hears an answer twice.
    SecondAnswer,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::LostNotifies,
        Self::MadeUpStates,
        Self::ReusedCseq,
        Self::StaleState,
        Self::ReusedEntityTag,
        Self::Straggler,
        Self::SecondAnswer,
    ];

    /// As the command line takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LostNotifies => "lost-notifies",
            Self::MadeUpStates => "made-up-states",
            Self::ReusedCseq => "reused-cseq",
            Self::StaleState => "stale-state",
            Self::ReusedEntityTag => "reused-entity-tag",
            Self::Straggler => "straggler",
            Self::SecondAnswer => "second-answer",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
