//! `rollcall simulate`.

use std::io::{IsTerminal as _, stderr};
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{CliError, output};
use crate::config::{self, Flags, address};
use crate::node::{self, Progress};
use crate::simulate::{Options, Sabotage, Seeds, vary};

mod seeds;

/// Simulate Managers, people, Presence Clients, server, watchers and a bad network in virtual time
///
/// Ends with a report: messages by kind, buffer statistics, latency from Manager event to NOTIFY, a digest of the trace,
/// and whether all invariants held. The same seed gives the same trace.
#[derive(Debug, Args)]
pub(super) struct Simulate {
    /// A TOML file; see config/simulate.toml for every key
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Everything random follows from it
    #[arg(long, value_name = "N")]
    seed: Option<String>,

    /// Run so many worlds with consecutive seeds on all cores, and list those that broke an invariant
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "ladder")]
    seeds: Option<u64>,

    /// The first of those seeds [default: the seed]
    #[arg(long, value_name = "SEED", requires = "seeds")]
    first: Option<u64>,

    /// Worlds that live at the same time [default: one for each core]
    #[arg(long, value_name = "N", requires = "seeds", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// Draw size, network and faults of each world from its seed: small worlds, where much goes wrong
    #[arg(long)]
    vary: bool,

    /// Simulated people
    #[arg(long, value_name = "N")]
    presentities: Option<String>,

    /// Subscriptions to them
    #[arg(long, value_name = "N")]
    subscriptions: Option<String>,

    /// Virtual time in which people change their state, e.g. 1h
    #[arg(long, value_name = "TIME")]
    duration: Option<String>,

    /// The time a message takes, e.g. 20ms
    #[arg(long, value_name = "TIME")]
    delay: Option<String>,

    /// The most that is added to it at random
    #[arg(long, value_name = "TIME")]
    jitter: Option<String>,

    /// Share of datagrams lost, from 0 to 0.9
    #[arg(long, value_name = "SHARE")]
    loss: Option<String>,

    /// Share of datagrams that arrive twice
    #[arg(long, value_name = "SHARE")]
    duplicate: Option<String>,

    /// Share of datagrams held back behind later ones
    #[arg(long, value_name = "SHARE")]
    reorder: Option<String>,

    /// How often the network falls into two parts
    #[arg(long, value_name = "N")]
    partitions: Option<String>,

    /// How often a node crashes
    #[arg(long, value_name = "N")]
    crashes: Option<String>,

    /// Show the messages about this presentity as a ladder, e.g. sip:person-1@example.com
    #[arg(long, value_name = "URI")]
    ladder: Option<String>,

    /// Report as JSON
    #[arg(long)]
    json: bool,

    /// Break an invariant on purpose, to see that it is found; for tests
    #[arg(long, value_name = "KIND", hide = true, value_parser = sabotages())]
    sabotage: Option<String>,
}

impl Simulate {
    pub(super) fn run(self) -> Result<(), CliError> {
        let loaded = config::load::<config::Simulate>(self.config.as_deref(), self.flags())?;
        output::warn(&loaded.warnings);
        if let Some(uri) = &self.ladder {
            address::presentity(uri).map_err(|reason| CliError::Argument {
                flag: "--ladder",
                sentence: format!("{uri:?} {reason}"),
            })?;
        }
        let options = Options {
            ladder: self.ladder.as_deref(),
            only: None,
            sabotage: self.sabotage.as_deref().and_then(Sabotage::named),
            #[cfg(feature = "sabotage")]
            mistake: (self.sabotage.as_deref()).and_then(rollcall_core::sabotage::Mistake::named),
        };
        if let Some(seeds) = self.seeds(&loaded.settings) {
            return seeds::run(&loaded.settings, seeds, options, self.json);
        }
        let settings = match self.vary {
            true => vary(&loaded.settings),
            false => loaded.settings,
        };
        let bar = bar();
        let result = node::simulate(&settings, options, &mut |progress| {
            show(&bar, progress);
        });
        bar.finish_and_clear();
        let simulated = result?;
        if self.json {
            output::say(&simulated.json.to_string());
        } else {
            output::say(simulated.text.trim_end());
        }
        if simulated.passed {
            Ok(())
        } else {
            Err(CliError::Found)
        }
    }

    fn seeds(&self, settings: &config::Simulate) -> Option<Seeds> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Some(Seeds {
            first: self.first.unwrap_or(settings.seed),
            count: self.seeds?,
            threads: self.threads.map_or(cores, usize::from),
            vary: self.vary,
            one_is_enough: false,
        })
    }

    fn flags(&self) -> Flags {
        let mut flags = Flags::default();
        flags.set("--seed", &["seed"], self.seed.as_ref());
        flags.set(
            "--presentities",
            &["presentities"],
            self.presentities.as_ref(),
        );
        flags.set(
            "--subscriptions",
            &["subscriptions"],
            self.subscriptions.as_ref(),
        );
        flags.set("--duration", &["duration"], self.duration.as_ref());
        flags.set("--delay", &["network", "delay"], self.delay.as_ref());
        flags.set("--jitter", &["network", "jitter"], self.jitter.as_ref());
        flags.set("--loss", &["network", "loss"], self.loss.as_ref());
        flags.set(
            "--duplicate",
            &["network", "duplicate"],
            self.duplicate.as_ref(),
        );
        flags.set("--reorder", &["network", "reorder"], self.reorder.as_ref());
        flags.set(
            "--partitions",
            &["faults", "partitions"],
            self.partitions.as_ref(),
        );
        flags.set("--crashes", &["faults", "crashes"], self.crashes.as_ref());
        flags
    }
}

/// What may be broken on purpose; mistakes of the server only in a build for tests.
fn sabotages() -> Vec<&'static str> {
    let names = Sabotage::ALL.into_iter().map(Sabotage::name);
    #[cfg(feature = "sabotage")]
    let names = names.chain(rollcall_core::sabotage::Mistake::ALL.map(|mistake| mistake.name()));
    names.collect()
}

/// A progress bar for people; scripts get none.
fn bar() -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {percent:>3} % {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message("virtual time");
    bar
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.total.as_secs());
    bar.set_position(progress.passed.as_secs());
}
