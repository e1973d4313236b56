//! How a store does: for those who watch over a node.

use std::time::Instant;

/// How a store does. The default is that of one that works.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Since when the disk has not answered a request that is under way; `None`: it answers in time.
    pub hanging_since: Option<Instant>,
    /// Since when it takes no commits, as writing or reading has failed; `None`: it takes them.
    pub failing_since: Option<Instant>,
    /// Why it hangs or fails, in words; empty while it works.
    pub reason: String,
    /// When it carried out something last; `None`: nothing yet.
    pub last_success: Option<Instant>,
}

impl Health {
    /// Whether commits are taken.
    pub fn works(&self) -> bool {
        self.hanging_since.is_none() && self.failing_since.is_none()
    }
}
