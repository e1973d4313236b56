//! How far a run is: a bar for each of its phases, where somebody looks.

use indicatif::{ProgressBar, ProgressStyle};

use crate::bench::{Goal, Progress};

/// What is shown on standard error; nothing where that is no terminal.
pub(super) struct Shown {
    is_quiet: bool,
    bar: Option<(&'static str, ProgressBar)>,
}

impl Shown {
    pub(super) fn new(is_quiet: bool) -> Self {
        Self {
            is_quiet,
            bar: None,
        }
    }

    /// Shows where the run stands.
    pub(super) fn show(&mut self, progress: Progress) {
        if self.is_quiet {
            return;
        }
        if self
            .bar
            .as_ref()
            .is_none_or(|(phase, _)| *phase != progress.phase)
        {
            self.end();
            self.bar = Some((progress.phase, bar(progress.goal)));
        }
        if let Some((_, bar)) = &self.bar {
            bar.set_position(match progress.goal {
                Goal::Operations(_) => progress.done + progress.failed,
                Goal::Duration(_) => progress.elapsed.as_secs(),
            });
            bar.set_message(line(progress));
        }
    }

    /// Leaves the last bar as it is.
    pub(super) fn end(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.abandon();
        }
    }
}

fn bar(goal: Goal) -> ProgressBar {
    let (length, unit) = match goal {
        Goal::Operations(all) => (all, ""),
        Goal::Duration(length) => (length.as_secs(), " s"),
    };
    let template = format!("[{{bar:30}}] {{pos}} of {{len}}{unit}, {{eta}} left, {{msg}}");
    let style = ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::new(length).with_style(style)
}

fn line(progress: Progress) -> String {
    let Progress {
        phase,
        goal: _,
        elapsed,
        done,
        failed,
        under_way,
    } = progress;
    let seconds = elapsed.as_secs();
    format!("{phase} {seconds} s: {done} done, {failed} failed, {under_way} under way")
}
