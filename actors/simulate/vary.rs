//! A world whose size, network and faults are drawn from its seed.
//!
//! Each kind of fault is left out of some worlds: what one fault hides, a world without it shows.

use std::ops::RangeInclusive;
use std::time::Duration;

use rollcall_core::entropy::Entropy;

use crate::config;

/// The draw must not go along with what the world itself draws from the same seed.
const APART: u64 = 0x7661_7279;

/// These settings with everything but seed and time to settle drawn from the seed: small worlds, where much goes wrong.
pub fn vary(settings: &config::Simulate) -> config::Simulate {
    let mut draw = Draw(Entropy::from_number(settings.seed ^ APART));
    let presentities = draw.number(2..=8);
    config::Simulate {
        seed: settings.seed,
        settle: settings.settle,
        presentities: size(presentities),
        subscriptions: size(draw.number(1..=3 * presentities)),
        duration: draw.seconds(90..=300),
        change_every: draw.seconds(8..=60),
        managers: size(draw.number(1..=2)),
        shards: u8::try_from(draw.number(1..=3)).unwrap_or(1),
        network: config::simulate::Links {
            delay: Duration::from_millis(draw.number(1..=60)),
            jitter: Duration::from_millis(draw.sometimes(0..=120)),
            loss: draw.share(300),
            duplicate: draw.share(100),
            reorder: draw.share(100),
        },
        faults: config::simulate::Faults {
            partitions: draw.count(3),
            partition_length: draw.seconds(2..=90),
            crashes: draw.count(8),
            crash_length: draw.seconds(1..=70),
            disk: draw.count(4),
            disk_length: draw.seconds(2..=60),
            clock_jumps: draw.count(3),
            clock_jump: Duration::from_secs(draw.sometimes(1..=300)),
            stalls: draw.count(4),
            stall_length: draw.seconds(1..=40),
            decisions: draw.count(8),
            phones: size(draw.sometimes(1..=3)),
            strangers: size(draw.sometimes(1..=2)),
        },
    }
}

struct Draw(Entropy);

impl Draw {
    fn number(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.0.below(range.end() - range.start() + 1)
    }

    /// A number of the range in two of three worlds, zero in the third.
    fn sometimes(&mut self, range: RangeInclusive<u64>) -> u64 {
        let drawn = self.number(range);
        if self.0.below(3) == 0 { 0 } else { drawn }
    }

    fn count(&mut self, most: u64) -> u32 {
        u32::try_from(self.sometimes(1..=most)).unwrap_or(0)
    }

    fn share(&mut self, most_of_thousand: u64) -> f64 {
        self.sometimes(1..=most_of_thousand) as f64 / 1000.0
    }

    fn seconds(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_secs(self.number(range))
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worlds() -> Vec<config::Simulate> {
        let settings = config::defaults::<config::Simulate>();
        let seeds = 1..=200;
        let worlds = seeds.map(|seed| {
            vary(&config::Simulate {
                seed,
                ..settings.clone()
            })
        });
        worlds.collect()
    }

    #[test]
    fn the_same_seed_draws_the_same_world() {
        assert_eq!(worlds(), worlds());
    }

    #[test]
    fn each_kind_of_fault_is_in_some_worlds_and_not_in_others() {
        let worlds = worlds();
        let kinds: [fn(&config::Simulate) -> bool; 10] = [
            |world| world.faults.crashes > 0,
            |world| world.faults.partitions > 0,
            |world| world.faults.disk > 0,
            |world| world.faults.clock_jumps > 0,
            |world| world.faults.stalls > 0,
            |world| world.faults.phones > 0,
            |world| world.faults.strangers > 0,
            |world| world.network.loss > 0.0,
            |world| world.network.jitter > Duration::ZERO,
            |world| world.shards > 1,
        ];
        for has in kinds {
            let count = worlds.iter().filter(|world| has(world)).count();
            assert!((20..200).contains(&count), "{count} of 200");
        }
    }
}
