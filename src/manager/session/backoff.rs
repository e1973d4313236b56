//! How long to wait before the next attempt to connect.

use std::time::Duration;

use crate::again;
use crate::entropy::Entropy;

/// [`again::back_off`] with the count of failures.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
    entropy: Entropy,
}

impl Backoff {
    /// A fresh one. The usual waits are from 0.5 s to 30 s.
    pub fn new(first: Duration, longest: Duration, entropy: Entropy) -> Self {
        Self {
            first,
            longest,
            failures: 0,
            entropy,
        }
    }

    /// How long to wait now.
    pub fn next_wait(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        again::back_off(self.first, self.longest, self.failures, &mut self.entropy)
    }

    /// It worked: the next wait is a short one again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual(seed: u64) -> Backoff {
        Backoff::new(
            Duration::from_millis(500),
            Duration::from_secs(30),
            Entropy::from_number(seed),
        )
    }

    #[test]
    fn waits_double_up_to_half_a_minute_and_begin_anew_after_a_success() {
        let mut backoff = usual(1);
        for longest in [
            500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000,
        ] {
            let wait = backoff.next_wait();
            let longest = Duration::from_millis(longest);
            assert!(
                longest / 2 <= wait && wait <= longest,
                "{wait:?} of {longest:?}"
            );
        }
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(500));
    }

    #[test]
    fn two_clients_wait_differently() {
        let waits = |seed| {
            let mut backoff = usual(seed);
            std::iter::repeat_with(|| backoff.next_wait())
                .take(5)
                .collect::<Vec<_>>()
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }
}
