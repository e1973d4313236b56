//! How often the progress of something long is told.

use std::time::{Duration, Instant};

/// At most so often, and nothing of what is done sooner.
const EVERY: Duration = Duration::from_secs(1);

/// Says when progress is to be told.
#[derive(Debug)]
pub(crate) struct Pace {
    next: Instant,
}

impl Pace {
    pub fn new() -> Self {
        Self {
            next: Instant::now() + EVERY,
        }
    }

    /// Whether it is to be told now.
    pub fn due(&mut self) -> bool {
        self.due_at(Instant::now())
    }

    fn due_at(&mut self, now: Instant) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + EVERY;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_a_second_at_most() {
        let mut pace = Pace::new();
        let start = pace.next;
        let moments = [0, 1, 999, 1000, 1500, 2600, 3599, 3600];
        let told: Vec<_> = moments
            .into_iter()
            .filter(|millis| pace.due_at(start + Duration::from_millis(*millis)))
            .collect();
        assert_eq!(told, [0, 1000, 2600, 3600]);
        let mut early = Pace::new();
        assert!(!early.due_at(early.next - Duration::from_millis(1)));
    }
}
