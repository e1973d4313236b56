//! `rollcall bench`.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use rollcall_core::exchange::Transport;
use serde::Serialize;

use super::{CliError, output};
use crate::bench::{self, BenchError, Capacity, Floor, Load, Options, PowerCut, Progress, Report};

mod arguments;
mod progress;

use arguments::{Plain, Target, Watched, few_enough, rate, wrong};
use progress::Shown;

/// Load a presence server, ours or any other, and measure what an operation costs it
///
/// Over UDP, TCP or TLS. Presentities are made up for the run, and what it makes is left to expire. Exit code: 0 if everything went
/// well, 1 if anything failed or a watcher was left behind, 2 if the command line is wrong.
#[derive(Debug, Args)]
pub(super) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// PUBLISHes that modify a publication, until their answers
    Publish(Plain),
    /// PUBLISHes that are watched, until all watchers have been told
    FanOut(Watched),
    /// SUBSCRIBEs that make subscriptions, until answer and first NOTIFY
    Subscribe(Plain),
    /// SUBSCRIBEs that refresh subscriptions, until answer and NOTIFY
    Refresh(Watched),
    /// How much memory presentities and subscriptions take, and what keeping them costs
    ///
    /// Publishes and subscribes as fast as the server takes it, and waits after each for transactions to end. Then each subscription is
    /// refreshed once in its lifetime, and at last some presentities change their state. Answers 503 of the set-up are honoured.
    Capacity(Kept),
    /// A power cut: all watchers have lost their state and subscribe anew in the same moment
    ///
    /// Publishes and subscribes, waits for transactions to end, forgets all subscriptions and asks for each once more, all in one moment:
    /// with retransmissions over UDP, honouring 503 with Retry-After, until it is accepted and has shown the current state.
    Herd(Crowd),
    /// Run the yardstick: a server that exchanges the messages and understands nothing
    Floor(Yardstick),
    /// Compare two runs that were written with --json
    Compare(Compare),
}

#[derive(Debug, Args)]
struct Kept {
    #[command(flatten)]
    target: Target,

    /// Presentities, with a publication each
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    presentities: u32,

    /// Subscriptions in all, spread over the presentities
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(0..))]
    subscriptions: u64,

    /// Subscribe to presentities that have no publication
    #[arg(long)]
    unpublished: bool,

    /// Requests of the set-up, and PUBLISHes at the end, under way at a time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    concurrency: u32,

    /// The wait after publishing and after subscribing, in seconds: the server's transactions take 32 to end
    #[arg(long, value_name = "SECONDS", default_value_t = 40, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    settle: u64,

    /// Seconds in which subscriptions are refreshed; 0 for none
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    duration: u64,

    /// Refreshes due a second; without, as many as there are subscriptions, divided by --expires
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,

    /// PUBLISHes at the end, each changing the state of a presentity; 0 for none
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(0..=1_000_000_000))]
    operations: u64,
}

#[derive(Debug, Args)]
struct Crowd {
    #[command(flatten)]
    target: Target,

    /// Presentities, with a publication each
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    presentities: u32,

    /// Watchers that come back
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    watchers: u32,

    /// Presentities that each of them watches
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    each: u32,

    /// Requests of the set-up under way at a time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    concurrency: u32,

    /// The wait before the power cut, in seconds: the server's transactions take 32 to end
    #[arg(long, value_name = "SECONDS", default_value_t = 40, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    settle: u64,

    /// How long the server may put a subscription off with 503 and Retry-After, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    limit: u64,
}

#[derive(Debug, Args)]
struct Yardstick {
    /// Listen here, by udp or tcp; port 0 takes a free one
    #[arg(long, value_name = "TRANSPORT:ADDRESS:PORT", default_value = "udp:127.0.0.1:5060", value_parser = place)]
    listen: (Transport, SocketAddr),
}

#[derive(Debug, Args)]
struct Compare {
    /// The run that counts as one
    #[arg(value_name = "A.json")]
    first: PathBuf,

    /// The run that is divided by it
    #[arg(value_name = "B.json")]
    second: PathBuf,
}

fn place(text: &str) -> Result<(Transport, SocketAddr), String> {
    let known = [("udp:", Transport::Udp), ("tcp:", Transport::Tcp)];
    let mut known = known.into_iter();
    let found = known.find_map(|(prefix, transport)| {
        let address = text.strip_prefix(prefix)?.parse().ok()?;
        Some((transport, address))
    });
    found.ok_or_else(|| "allowed is udp:ADDRESS:PORT or tcp:ADDRESS:PORT".to_owned())
}

impl Bench {
    pub(super) fn run(self) -> Result<(), CliError> {
        match self.what {
            What::Publish(plain) => plain.run(Load::Publish, 0),
            What::FanOut(Watched { plain, watchers }) => plain.run(Load::FanOut, watchers),
            What::Subscribe(plain) => plain.run(Load::Subscribe, 0),
            What::Refresh(Watched { plain, watchers }) => plain.run(Load::Refresh, watchers),
            What::Capacity(kept) => kept.run(),
            What::Herd(crowd) => crowd.run(),
            What::Floor(Yardstick { listen }) => floor(listen),
            What::Compare(Compare { first, second }) => {
                let names = [&first, &second].map(|path| name(path));
                let reports = [read(&first)?, read(&second)?];
                let [a, b] = &reports;
                output::say(&bench::compare([&names[0], &names[1]], [a, b]));
                Ok(())
            }
        }
    }
}

impl Plain {
    fn run(self, load: Load, watchers: u32) -> Result<(), CliError> {
        let course = self.course(load, watchers)?;
        let options = self.target.options(self.presentities)?;
        let report = self
            .target
            .run(&options, |told| bench::run(&options, course, told))?;
        self.target.tell(&report, report.is_good())
    }
}

impl Kept {
    fn run(self) -> Result<(), CliError> {
        if self.unpublished && self.subscriptions == 0 {
            let sentence = "without subscriptions nothing is left to measure";
            return Err(wrong("--unpublished", sentence.to_owned()));
        }
        let what = Capacity {
            subscriptions: few_enough("--subscriptions", self.subscriptions)?,
            published: !self.unpublished,
            concurrency: self.concurrency as usize,
            settle: Duration::from_secs(self.settle),
            refreshing: Duration::from_secs(self.duration),
            rate: self.rate,
            publishes: self.operations,
        };
        let options = self.target.options(self.presentities)?;
        let size = self
            .target
            .run(&options, |told| bench::capacity(&options, what, told))?;
        self.target.tell(&size, size.is_good())
    }
}

impl Crowd {
    fn run(self) -> Result<(), CliError> {
        if self.each > self.presentities {
            let sentence = format!("there are only {} presentities", self.presentities);
            return Err(wrong("--each", sentence));
        }
        few_enough(
            "--watchers",
            u64::from(self.watchers) * u64::from(self.each),
        )?;
        let what = PowerCut {
            watchers: self.watchers,
            each: self.each,
            concurrency: self.concurrency as usize,
            settle: Duration::from_secs(self.settle),
            limit: Duration::from_secs(self.limit),
        };
        let options = self.target.options(self.presentities)?;
        let report = self
            .target
            .run(&options, |told| bench::herd(&options, what, told))?;
        self.target.tell(&report, report.is_good())
    }
}

impl Target {
    /// Runs a load with its progress shown, and says why there is no report.
    fn run<T>(
        &self,
        options: &Options,
        load: impl FnOnce(&mut dyn FnMut(Progress)) -> Result<T, BenchError>,
    ) -> Result<T, CliError> {
        let mut shown = Shown::new(self.quiet);
        let result = load(&mut |progress| shown.show(progress));
        shown.end();
        result.map_err(|error| {
            output::complain(&format!(
                "rollcall: {} over {}: {error}",
                self.server, options.transport
            ));
            CliError::Found
        })
    }

    /// Says what came of it.
    fn tell<T: Display + Serialize>(&self, report: &T, is_good: bool) -> Result<(), CliError> {
        output::say(&if self.json {
            serde_json::to_string(report).unwrap_or_default()
        } else {
            report.to_string().trim_end().to_owned()
        });
        if is_good {
            Ok(())
        } else {
            Err(CliError::Found)
        }
    }
}

fn floor((transport, address): (Transport, SocketAddr)) -> Result<(), CliError> {
    let system = |what| move |error| CliError::System { what, error };
    let floor = Floor::bind(transport, address).map_err(system("cannot listen"))?;
    output::say(&format!("listening on {transport}:{}", floor.address()));
    Err(system("cannot receive")(floor.run()))
}

fn read(path: &Path) -> Result<Report, CliError> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
    let report =
        text.and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()));
    report.map_err(|reason| CliError::Argument {
        flag: "FILE",
        sentence: format!(
            "{} is no report of rollcall bench --json: {reason}",
            path.display()
        ),
    })
}

fn name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or(path.as_os_str());
    stem.to_string_lossy().into_owned()
}
