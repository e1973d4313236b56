//! What goes wrong in a simulated world, and when: planned from the seed before it begins.

use std::collections::BTreeMap;

use rollcall_core::entropy::Entropy;
use rollcall_core::time::Timestamp;

use super::{BEGINNING, Who};
use crate::config;

/// Something that happens to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The network falls into two parts.
    Partition,
    /// The parts find each other again.
    Heal,
    /// A node loses power.
    Crash(Who),
    /// It comes back.
    Restart(Who),
}

/// The plan.
#[derive(Debug)]
pub struct Faults(BTreeMap<(Timestamp, u32), Fault>);

impl Faults {
    /// Partitions and crashes at random times within the duration; what is broken last may stay broken until its end.
    pub fn plan(settings: &config::Simulate, everybody: Vec<Who>, entropy: &mut Entropy) -> Self {
        let mut plan = BTreeMap::new();
        let mut number = 0;
        let mut put = |at, fault| {
            number += 1;
            plan.insert((at, number), fault);
        };
        let span = u64::try_from(settings.duration.as_millis()).unwrap_or(u64::MAX);
        let sometime = |entropy: &mut Entropy| {
            BEGINNING + std::time::Duration::from_millis(entropy.below(span.max(1)))
        };
        for _ in 0..settings.faults.partitions {
            let at = sometime(entropy);
            put(at, Fault::Partition);
            put(at + settings.faults.partition_length, Fault::Heal);
        }
        for _ in 0..settings.faults.crashes {
            let at = sometime(entropy);
            let count = u64::try_from(everybody.len()).unwrap_or(u64::MAX);
            let drawn = usize::try_from(entropy.below(count)).unwrap_or(0);
            let Some(&who) = everybody.get(drawn) else {
                continue;
            };
            put(at, Fault::Crash(who));
            put(at + settings.faults.crash_length, Fault::Restart(who));
        }
        Self(plan)
    }

    /// When the next one comes.
    pub fn next(&self) -> Option<Timestamp> {
        self.0.first_key_value().map(|((at, _), _)| *at)
    }

    /// Those that are due, in order.
    pub fn due(&mut self, now: Timestamp) -> Vec<Fault> {
        let later = self
            .0
            .split_off(&(Timestamp::from_millis(now.as_millis() + 1), 0));
        std::mem::replace(&mut self.0, later)
            .into_values()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_is_mended_and_the_plan_follows_from_the_seed() {
        let mut settings = config::defaults::<config::Simulate>();
        settings.faults.partitions = 2;
        settings.faults.crashes = 3;
        let plan = |seed| {
            let mut entropy = Entropy::from_number(seed);
            Faults::plan(&settings, vec![Who::Server, Who::Client(0)], &mut entropy)
        };
        let mut faults = plan(1);
        assert_eq!(faults.0, plan(1).0);
        assert_ne!(faults.0, plan(2).0);
        let all = faults.due(BEGINNING + settings.duration * 2);
        let count = |wanted: fn(&Fault) -> bool| all.iter().filter(|fault| wanted(fault)).count();
        assert_eq!(count(|fault| *fault == Fault::Partition), 2);
        assert_eq!(count(|fault| *fault == Fault::Heal), 2);
        assert_eq!(count(|fault| matches!(fault, Fault::Crash(_))), 3);
        assert_eq!(count(|fault| matches!(fault, Fault::Restart(_))), 3);
        assert_eq!(faults.next(), None);
    }
}
