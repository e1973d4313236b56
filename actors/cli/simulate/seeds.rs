//! `rollcall simulate --seeds N`: many worlds, and which of them broke an invariant.

use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::super::{CliError, output};
use crate::config;
use crate::simulate::{Options, Seeds, Tally, run_seeds};

/// How often a script is told how far it is.
const EVERY: Duration = Duration::from_secs(10);

/// Runs the worlds, and says what came of them.
pub(super) fn run(
    settings: &config::Simulate,
    seeds: Seeds,
    options: Options<'_>,
    json: bool,
) -> Result<(), CliError> {
    let begun = Instant::now();
    let bar = bar(seeds.count);
    let told = std::sync::Mutex::new(begun);
    let tell = |tally: Tally| {
        bar.set_position(tally.done);
        bar.set_message(format!("{} broken", tally.broken));
        let mut told = told
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if bar.is_hidden() && told.elapsed() >= EVERY {
            *told = Instant::now();
            let (done, all, seconds) = (tally.done, seeds.count, begun.elapsed().as_secs());
            output::complain(&format!(
                "{done} of {all} worlds in {seconds} s, {} broken",
                tally.broken
            ));
        }
    };
    let summary = run_seeds(settings, seeds, options, &tell);
    bar.finish_and_clear();
    let summary = summary?;
    if json {
        output::say(&summary.json(command).to_string());
    } else {
        output::say(&summary.text(command));
    }
    let (worlds, broken) = (summary.worlds, summary.broken.len());
    let seconds = begun.elapsed().as_secs();
    output::complain(&format!(
        "{worlds} worlds in {seconds} s, {broken} broke an invariant"
    ));
    match summary.broken.is_empty() {
        true => Ok(()),
        false => Err(CliError::Found),
    }
}

/// How the world of a seed is repeated: the command line as it was typed, with this seed in the place of many.
fn command(seed: u64) -> String {
    command_of(std::env::args().skip(1), seed)
}

fn command_of(arguments: impl IntoIterator<Item = String>, seed: u64) -> String {
    let mut words = vec!["rollcall".to_owned()];
    let mut arguments = arguments.into_iter();
    while let Some(word) = arguments.next() {
        let name = word.split('=').next().unwrap_or_default();
        match name {
            "--seeds" | "--first" | "--threads" | "--seed" => {
                if name == word {
                    arguments.next();
                }
            }
            "--json" => {}
            _ => words.push(word),
        }
    }
    words.extend(["--seed".to_owned(), seed.to_string()]);
    words.join(" ")
}

fn bar(worlds: u64) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(worlds);
    let template = "{wide_bar} {pos} of {len} worlds, {msg}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_repeats_a_world_has_its_seed_and_all_else_that_was_typed() {
        let typed = "simulate --vary --seeds 500 --first=7 --loss 0.1 --threads 2 --json";
        let words = typed.split(' ').map(str::to_owned);
        assert_eq!(
            command_of(words, 17),
            "rollcall simulate --vary --loss 0.1 --seed 17"
        );
    }
}
