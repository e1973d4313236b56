//! What goes wrong in a simulated world, and when: planned from the seed before it begins.
//!
//! Each fault is drawn for itself, so that one that is left out changes none of the others: that is how the shortest plan is found that
//! still breaks an invariant.

use std::collections::BTreeMap;
use std::time::Duration;

use rollcall_core::entropy::Entropy;
use rollcall_core::time::Timestamp;
use rollcall_core::watcherinfo::Handling;

use super::disk::Health;
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
    /// A node loses power, and will come back with its clock so many milliseconds ahead.
    Jump(Who, i64),
    /// A node does nothing for so long.
    Stall(Who, Duration),
    /// The stalled node goes on.
    GoOn(Who),
    /// The server's disk does this from now on.
    Disk(Health),
    /// It is decided how a phone is treated that watches a person.
    Decide {
        /// Number of the person.
        person: usize,
        /// Number of the phone.
        phone: usize,
        /// How.
        handling: Handling,
    },
}

/// The plan.
#[derive(Debug)]
pub struct Faults(BTreeMap<(Timestamp, usize), Fault>);

/// One planned fault: what happens, and what ends it.
type Planned = (Timestamp, Fault, Option<(Duration, Fault)>);

/// Draws one fault of a kind.
type Kind<'a> = &'a dyn Fn(&mut Draw<'_>) -> Planned;

/// Draws the faults of one world.
struct Draw<'a> {
    settings: &'a config::Simulate,
    everybody: &'a [Who],
    entropy: Entropy,
}

impl Draw<'_> {
    fn number(&mut self, below: usize) -> usize {
        let below = u64::try_from(below).unwrap_or(u64::MAX);
        usize::try_from(self.entropy.below(below)).unwrap_or(0)
    }

    fn sometime(&mut self) -> Timestamp {
        let span = u64::try_from(self.settings.duration.as_millis()).unwrap_or(u64::MAX);
        BEGINNING + Duration::from_millis(self.entropy.below(span.max(1)))
    }

    /// Up to this, and at least a tenth of it.
    fn length(&mut self, most: Duration) -> Duration {
        most.mul_f64(0.1 + 0.9 * (self.entropy.below(1000) as f64 / 1000.0))
    }

    /// The server as often as all others together: it is what this is about.
    fn who(&mut self) -> Who {
        let drawn = self.number(self.everybody.len());
        match self.entropy.chance(0.5) {
            true => Who::Server,
            false => self.everybody.get(drawn).copied().unwrap_or(Who::Server),
        }
    }

    fn offset(&mut self) -> i64 {
        let most = self.settings.faults.clock_jump.as_millis();
        let most = i64::try_from(most).unwrap_or(i64::MAX / 4);
        let drawn = self.entropy.below(2 * most.unsigned_abs() + 1);
        i64::try_from(drawn).unwrap_or(0) - most
    }

    fn crash(&mut self) -> Planned {
        let (at, who) = (self.sometime(), self.who());
        let back = (self.settings.faults.crash_length, Fault::Restart(who));
        (at, Fault::Crash(who), Some(back))
    }

    fn disk(&mut self) -> Planned {
        let kinds = [Health::Full, Health::Failing, Health::Hung, Health::Slow];
        let health = kinds[self.number(kinds.len())];
        let length = self.length(self.settings.faults.disk_length);
        let good = (length, Fault::Disk(Health::Good));
        (self.sometime(), Fault::Disk(health), Some(good))
    }

    fn jump(&mut self) -> Planned {
        let (at, who) = (self.sometime(), self.who());
        let back = (Duration::from_secs(1), Fault::Restart(who));
        (at, Fault::Jump(who, self.offset()), Some(back))
    }

    fn stall(&mut self) -> Planned {
        let (at, who) = (self.sometime(), self.who());
        let length = self.length(self.settings.faults.stall_length);
        (
            at,
            Fault::Stall(who, length),
            Some((length, Fault::GoOn(who))),
        )
    }

    fn decide(&mut self) -> Planned {
        let kinds = [
            Handling::Block,
            Handling::Block,
            Handling::Confirm,
            Handling::PoliteBlock,
            Handling::Allow,
        ];
        let decide = Fault::Decide {
            person: self.number(self.settings.presentities),
            phone: self.number(self.settings.faults.phones),
            handling: kinds[self.number(kinds.len())],
        };
        (self.sometime(), decide, None)
    }
}

impl Faults {
    /// Faults at random times within the duration; what is broken last may stay broken until its end. `only` keeps those of these
    /// numbers, counted from 0 in the order in which they were planned. Gives their number too.
    pub fn plan(
        settings: &config::Simulate,
        everybody: &[Who],
        only: Option<&[usize]>,
    ) -> (Self, usize) {
        let faults = &settings.faults;
        let partition = |draw: &mut Draw<'_>| {
            let healed = (faults.partition_length, Fault::Heal);
            (draw.sometime(), Fault::Partition, Some(healed))
        };
        let decisions = if faults.phones > 0 {
            faults.decisions
        } else {
            0
        };
        let kinds: [(u32, Kind<'_>); 6] = [
            (faults.partitions, &partition),
            (faults.crashes, &|draw: &mut Draw<'_>| draw.crash()),
            (faults.disk, &|draw: &mut Draw<'_>| draw.disk()),
            (faults.clock_jumps, &|draw: &mut Draw<'_>| draw.jump()),
            (faults.stalls, &|draw: &mut Draw<'_>| draw.stall()),
            (decisions, &|draw: &mut Draw<'_>| draw.decide()),
        ];
        let mut plan = BTreeMap::new();
        let mut number = 0;
        for (kind, (count, planned)) in (1_u64..).zip(kinds) {
            for of_kind in 0..u64::from(count) {
                let own = settings.seed ^ (kind << 56) ^ (of_kind + 1).wrapping_mul(0x9e37_79b9);
                let (at, fault, end) = planned(&mut Draw {
                    settings,
                    everybody,
                    entropy: Entropy::from_number(own),
                });
                if only.is_none_or(|only| only.contains(&number)) {
                    plan.insert((at, 2 * number), fault);
                    if let Some((length, end)) = end {
                        plan.insert((at + length, 2 * number + 1), end);
                    }
                }
                number += 1;
            }
        }
        (Self(plan), number)
    }

    /// How far the clock of a node is off in the beginning, in milliseconds.
    pub fn skew(settings: &config::Simulate, who: Who) -> i64 {
        let number = match who {
            Who::Server => 1,
            Who::Manager(number) => 4 * number + 2,
            Who::Client(number) => 4 * number + 3,
            Who::Watchers(number) => 4 * number + 4,
        };
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        let own = settings.seed ^ (9 << 56) ^ number.wrapping_mul(0x9e37_79b9);
        let mut draw = Draw {
            settings,
            everybody: &[],
            entropy: Entropy::from_number(own),
        };
        draw.offset()
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

    fn settings() -> config::Simulate {
        let mut settings = config::defaults::<config::Simulate>();
        settings.faults.partitions = 2;
        settings.faults.crashes = 3;
        settings.faults.disk = 4;
        settings
    }

    const ALL: [Who; 2] = [Who::Server, Who::Client(0)];

    #[test]
    fn what_breaks_is_mended_and_the_plan_follows_from_the_seed() {
        let settings = settings();
        let other = config::Simulate {
            seed: 2,
            ..settings.clone()
        };
        let (mut faults, count) = Faults::plan(&settings, &ALL, None);
        assert_eq!(count, 2 + 3 + 4 + 1 + 1 + 2);
        assert_eq!(faults.0, Faults::plan(&settings, &ALL, None).0.0);
        assert_ne!(faults.0, Faults::plan(&other, &ALL, None).0.0);
        let all = faults.due(BEGINNING + settings.duration * 2);
        let count = |wanted: fn(&Fault) -> bool| all.iter().filter(|fault| wanted(fault)).count();
        assert_eq!(count(|fault| *fault == Fault::Partition), 2);
        assert_eq!(count(|fault| *fault == Fault::Heal), 2);
        assert_eq!(count(|fault| matches!(fault, Fault::Crash(_))), 3);
        // A clock that is set is set by a start.
        assert_eq!(count(|fault| matches!(fault, Fault::Restart(_))), 4);
        assert_eq!(count(|fault| matches!(fault, Fault::Disk(_))), 8);
        assert_eq!(faults.next(), None);
    }

    #[test]
    fn a_fault_that_is_left_out_changes_none_of_the_others() {
        let settings = settings();
        let (all, count) = Faults::plan(&settings, &ALL, None);
        for left_out in 0..count {
            let only: Vec<usize> = (0..count).filter(|number| *number != left_out).collect();
            let (others, _) = Faults::plan(&settings, &ALL, Some(&only));
            assert!(others.0.len() < all.0.len());
            let as_before = |(key, fault)| all.0.get(key) == Some(fault);
            assert!(others.0.iter().all(as_before), "without {left_out}");
        }
    }
}
