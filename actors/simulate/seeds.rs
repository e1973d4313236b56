//! Many worlds, each from a seed of its own, on several threads: a world lives on one thread, and worlds share nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde_json::{Value, json};

use super::{Invariant, Options, run, vary};
use crate::config;
use crate::node::{NodeError, Simulated};

/// Broken worlds beyond this many are counted, not described.
const MOST_DESCRIBED: usize = 20;

/// Which worlds.
#[derive(Clone, Copy, Debug)]
pub struct Seeds {
    /// The first seed; the others follow it.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// Worlds that live at the same time.
    pub threads: usize,
    /// Size, network and faults of each are drawn from its seed ([`vary`]).
    pub vary: bool,
    /// Whether it is enough to find one that breaks an invariant.
    pub one_is_enough: bool,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Worlds that have ended.
    pub done: u64,
    /// Of them, those that broke an invariant.
    pub broken: u64,
}

/// A world that broke an invariant.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Its seed.
    pub seed: u64,
    /// What it was made of.
    pub settings: config::Simulate,
    /// Its report.
    pub simulated: Simulated,
}

impl Broken {
    /// What was broken, by name, and how often.
    pub fn invariants(&self) -> BTreeMap<String, u64> {
        let all = self.simulated.json["invariants"].as_array();
        let broken = all.into_iter().flatten().filter_map(|invariant| {
            let name = invariant["invariant"].as_str()?;
            let count = invariant["broken"].as_u64()?;
            (count > 0).then(|| (name.to_owned(), count))
        });
        broken.collect()
    }

    /// The first violation in words.
    fn first(&self) -> Option<&str> {
        self.simulated.json["violations"][0]["what"].as_str()
    }
}

/// What came of them.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Worlds that lived to their end.
    pub worlds: u64,
    /// Those that broke an invariant, by seed.
    pub broken: Vec<Broken>,
    /// Of all traces together: the same whatever the number of threads.
    pub digest: u64,
}

#[derive(Default)]
struct Found {
    tally: Tally,
    broken: Vec<Broken>,
    digest: u64,
    error: Option<NodeError>,
}

/// Runs the worlds. `tell` hears of each that has ended, on its thread.
pub fn run_seeds(
    settings: &config::Simulate,
    seeds: Seeds,
    options: Options<'_>,
    tell: &(dyn Fn(Tally) + Sync),
) -> Result<Summary, NodeError> {
    let next = AtomicU64::new(0);
    let enough = AtomicBool::new(false);
    let found = Mutex::new(Found::default());
    let live = || {
        while !enough.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= seeds.count {
                return;
            }
            let settings = of_seed(settings, seeds.first + number, seeds.vary);
            let result = run(&settings, options, &mut |_| {});
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                Ok(simulated) => found.take(settings, simulated),
                Err(error) => found.error = Some(error),
            }
            if found.error.is_some() || seeds.one_is_enough && !found.broken.is_empty() {
                enough.store(true, Ordering::Relaxed);
            }
            tell(found.tally);
        }
    };
    thread::scope(|scope| {
        for _ in 0..seeds.threads.max(1) {
            scope.spawn(live);
        }
    });
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = found.error {
        return Err(error);
    }
    let mut broken = found.broken;
    broken.sort_by_key(|broken| broken.seed);
    Ok(Summary {
        worlds: found.tally.done,
        broken,
        digest: found.digest,
    })
}

/// What the world of a seed is made of.
pub fn of_seed(settings: &config::Simulate, seed: u64, varied: bool) -> config::Simulate {
    let settings = config::Simulate {
        seed,
        ..settings.clone()
    };
    if varied { vary(&settings) } else { settings }
}

impl Found {
    fn take(&mut self, settings: config::Simulate, simulated: Simulated) {
        self.tally.done += 1;
        let digest = simulated.json["digest"].as_str();
        let digest = digest.and_then(|digest| u64::from_str_radix(digest, 16).ok());
        // A sum, since the worlds end in any order.
        self.digest = self.digest.wrapping_add(digest.unwrap_or(0));
        if !simulated.passed {
            self.tally.broken += 1;
            self.broken.push(Broken {
                seed: settings.seed,
                settings,
                simulated,
            });
        }
    }
}

impl Summary {
    /// In how many worlds an invariant was broken.
    fn worlds_that_broke(&self, invariant: Invariant) -> usize {
        let name = json!(invariant);
        let name = name.as_str().unwrap_or_default();
        let broken = self.broken.iter();
        broken
            .filter(|world| world.invariants().contains_key(name))
            .count()
    }

    /// For people; `command` says how the world of a seed is repeated.
    pub fn text(&self, command: impl Fn(u64) -> String) -> String {
        let mut text = format!("{} worlds\n\nInvariants\n", self.worlds);
        for invariant in Invariant::ALL {
            let verdict = match self.worlds_that_broke(invariant) {
                0 => "held".to_owned(),
                1 => "BROKEN in one world".to_owned(),
                count => format!("BROKEN in {count} worlds"),
            };
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {verdict:<8}  {}", invariant.sentence());
        }
        for broken in self.broken.iter().take(MOST_DESCRIBED) {
            let names: Vec<_> = broken.invariants().into_keys().collect();
            let _ = writeln!(text, "\nSeed {}: {}", broken.seed, names.join(", "));
            let _ = writeln!(text, "    {}", broken.first().unwrap_or_default());
            let _ = writeln!(text, "    {}", command(broken.seed));
        }
        let more = self.broken.len().saturating_sub(MOST_DESCRIBED);
        if more > 0 {
            let _ = writeln!(text, "\n… and {more} more");
        }
        let _ = write!(text, "\nDigest of all traces {:016x}", self.digest);
        text
    }

    /// For programs.
    pub fn json(&self, command: impl Fn(u64) -> String) -> Value {
        let broken = self.broken.iter().map(|broken| {
            json!({
                "seed": broken.seed,
                "invariants": broken.invariants(),
                "violations": broken.simulated.json["violations"],
                "command": command(broken.seed),
            })
        });
        json!({
            "worlds": self.worlds,
            "passed": self.broken.is_empty(),
            "digest": format!("{:016x}", self.digest),
            "broken": broken.collect::<Vec<_>>(),
        })
    }
}
