//! What is done when the disk of a `file:` store fails or hangs.

use std::time::Duration;

use crate::config::Section;
use crate::config::kind::Span;

/// What is done when the disk of a `file:` store fails or hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// How long a request waits for the disk before it is answered 503.
    pub deadline: Duration,
    /// How long the disk may fail or hang before the server ends with exit code 1.
    pub give_up: Duration,
}

impl Persistence {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        Self {
            deadline: s.key(
                "deadline",
                "How long a request waits for the disk before it is answered 503. Clients give up after 32 s (RFC 3261, timer F).",
                Span::seconds(1, 30),
                Duration::from_secs(5),
            ),
            give_up: s.key(
                "give_up",
                "How long the disk may fail or hang before the server ends with exit code 1, so that whoever started it may try \
                 again. Until then it answers 503 to what would be stored, and tries by itself.",
                Span::seconds(10, 86_400),
                Duration::from_secs(300),
            ),
        }
    }
}
