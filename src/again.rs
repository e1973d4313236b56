//! When a client tries again: after a failure ever later, and with what it holds before that lapses. The same for
//! publications, subscriptions and connections, and always spread, since those that failed or began together must not
//! come back together.

use std::time::Duration;

use crate::entropy::Entropy;

/// A `Retry-After` is honoured up to an hour: a server that names a year by mistake is still found without a human.
const LONGEST_RETRY_AFTER: u32 = 3600;

/// How long to wait after so many failures in a row: doubled with each, from the first wait to the longest, less up to a
/// half by chance.
pub fn back_off(
    first: Duration,
    longest: Duration,
    failures: u32,
    entropy: &mut Entropy,
) -> Duration {
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(30));
    let full = doubled.min(longest).max(Duration::from_millis(2));
    let half = millis(full) / 2;
    Duration::from_millis(half + entropy.below(half + 1))
}

/// The same, and not shorter than a server asks by `Retry-After` (RFC 3261, 20.33).
pub fn back_off_as_asked(
    first: Duration,
    longest: Duration,
    failures: u32,
    retry_after: Option<u32>,
    entropy: &mut Entropy,
) -> Duration {
    let asked = retry_after.unwrap_or(0).min(LONGEST_RETRY_AFTER);
    back_off(first, longest, failures, entropy).max(Duration::from_secs(u64::from(asked)))
}

/// When to refresh what is granted for so long: after 80 to 90 %, so that there is time for another attempt.
pub fn refresh(granted: Duration, entropy: &mut Entropy) -> Duration {
    let share = 800 + entropy.below(101);
    Duration::from_millis((millis(granted).saturating_mul(share) / 1000).max(1000))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_double_up_to_the_longest_and_are_never_below_a_half() {
        let mut entropy = Entropy::from_number(1);
        for (failures, full) in [
            (0, 1),
            (1, 1),
            (2, 2),
            (3, 4),
            (6, 32),
            (7, 60),
            (u32::MAX, 60),
        ] {
            let full = SECOND * full;
            for _ in 0..100 {
                let wait = back_off(SECOND, SECOND * 60, failures, &mut entropy);
                assert!(full / 2 <= wait && wait <= full, "{failures}: {wait:?}");
            }
        }
        let most = back_off(Duration::MAX, Duration::MAX, u32::MAX, &mut entropy);
        assert!(most >= Duration::from_millis(u64::MAX / 2 - 1), "{most:?}");
        assert!(back_off(Duration::ZERO, Duration::ZERO, 1, &mut entropy) > Duration::ZERO);
    }

    #[test]
    fn a_server_is_obeyed_within_reason() {
        let mut entropy = Entropy::from_number(1);
        let mut asked =
            |after| back_off_as_asked(SECOND, SECOND * 60, 1, Some(after), &mut entropy);
        assert!(asked(0) <= SECOND);
        assert_eq!(asked(30), SECOND * 30);
        assert_eq!(asked(u32::MAX), SECOND * 3600);
    }

    #[test]
    fn a_refresh_comes_in_the_last_fifth_but_not_at_the_end() {
        let mut entropy = Entropy::from_number(1);
        for _ in 0..100 {
            let after = refresh(SECOND * 3600, &mut entropy);
            assert!(
                SECOND * 2880 <= after && after <= SECOND * 3240,
                "{after:?}"
            );
        }
        assert_eq!(refresh(SECOND, &mut entropy), SECOND);
        refresh(Duration::MAX, &mut entropy);
    }
}
