//! Something that keeps failing: how long until the next try, and how often it is worth a line in the log.

use std::time::Duration;

use rollcall_core::time::Timestamp;

/// Between two lines about the same trouble.
const SILENCE: Duration = Duration::from_secs(10);
/// Between two lines about what strangers do.
const MOMENT: Duration = Duration::from_secs(1);
/// The first pause; each is twice the one before it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Counts failures in a row. All is well as long as there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    present: Option<Present>,
    total: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Present {
    since: Timestamp,
    told: Timestamp,
    failures: u64,
}

/// Says a thing once a second: strangers must not fill the log.
#[derive(Debug, Default)]
pub struct Seldom {
    said: Option<Timestamp>,
    times: u64,
}

impl Seldom {
    /// It has happened again: how often since it was said last, if it may be said now.
    pub fn again(&mut self, now: Timestamp) -> Option<u64> {
        self.times += 1;
        if self.said.is_some_and(|at| now < at + MOMENT) {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.times))
    }
}

/// What a trouble was, when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// How often it failed.
    pub failures: u64,
    /// From the first failure until now.
    pub took: Duration,
}

impl Trouble {
    /// It has failed. The failures in a row, if a line is due: for the first one, then every 10 s.
    pub fn failed(&mut self, now: Timestamp) -> Option<u64> {
        self.total += 1;
        let Some(present) = &mut self.present else {
            self.present = Some(Present {
                since: now,
                told: now,
                failures: 1,
            });
            return Some(1);
        };
        present.failures += 1;
        if now.since(present.told) < SILENCE {
            return None;
        }
        present.told = now;
        Some(present.failures)
    }

    /// It went well. What was before, if anything.
    pub fn went_well(&mut self, now: Timestamp) -> Option<Over> {
        let present = self.present.take()?;
        Some(Over {
            failures: present.failures,
            took: now.since(present.since),
        })
    }

    /// How long to wait before the next try: a second at first, 30 at last.
    pub fn pause(&self) -> Duration {
        let failures = self.present.as_ref().map_or(0, |present| present.failures);
        let doublings = u32::try_from(failures.saturating_sub(1))
            .unwrap_or(u32::MAX)
            .min(8);
        (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
    }

    /// Whether the last try failed.
    pub fn is_present(&self) -> bool {
        self.present.is_some()
    }

    /// Failures in all.
    pub fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn pauses_grow_from_a_second_to_half_a_minute() {
        let mut trouble = Trouble::default();
        let pauses: Vec<u64> = (0..8)
            .map(|_| {
                trouble.failed(START);
                trouble.pause().as_secs()
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
        trouble.went_well(START);
        trouble.failed(START);
        assert_eq!(trouble.pause().as_secs(), 1);
    }

    #[test]
    fn the_first_failure_is_told_then_one_every_ten_seconds_and_the_end() {
        let mut trouble = Trouble::default();
        let told: Vec<_> = (0..25)
            .map(|second| trouble.failed(START + Duration::from_secs(second)))
            .collect();
        let lines: Vec<_> = (0..25)
            .zip(told)
            .filter_map(|(at, told)| Some((at, told?)))
            .collect();
        assert_eq!(lines, [(0, 1), (10, 11), (20, 21)]);
        let end = START + Duration::from_secs(30);
        let over = Over {
            failures: 25,
            took: Duration::from_secs(30),
        };
        assert_eq!(trouble.went_well(end), Some(over));
        assert_eq!(trouble.went_well(end), None);
        assert_eq!(trouble.total(), 25);
    }
}
