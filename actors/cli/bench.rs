//! `rollcall bench`.

use std::io::{IsTerminal as _, stderr};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use rollcall_core::exchange::Transport;

use super::{CliError, output};
use crate::bench::{self, Floor, Goal, Load, Options, Pace, Progress, Report};
use crate::config::SipServer;
use crate::node::NodeError;
use crate::transport::Network;

/// Load a presence server, ours or any other, and measure what an operation costs it
///
/// Over UDP or TCP. Presentities are made up for the run, and what it makes is left to expire. Exit code: 0 if everything went
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
    /// Run the yardstick: a server that exchanges the messages and understands nothing
    Floor(Yardstick),
    /// Compare two runs that were written with --json
    Compare(Compare),
}

/// What every load needs.
#[derive(Debug, Args)]
struct Plain {
    /// The server, e.g. sip:127.0.0.1:5060
    #[arg(value_name = "SIP-URI")]
    server: String,

    /// A process of the server, to measure its processor time and memory, with its children; may be repeated
    #[arg(long, value_name = "PID")]
    pid: Vec<u32>,

    /// Presentities, each published before the measurement
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    presentities: u32,

    /// Operations to do; without, 10000
    #[arg(long, value_name = "N", conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    operations: Option<u64>,

    /// Seconds in which operations begin, in place of a number of operations
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    duration: Option<u64>,

    /// Operations under way at a time; without, 16
    #[arg(long, value_name = "N", conflicts_with = "rate", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    concurrency: Option<u32>,

    /// Operations due a second, whether the server keeps up or not; latency counts from when each was due
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,

    /// The domain of the presentities; without, the host of the URI
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,

    /// How to reach it: udp or tcp; without, as the URI says, or UDP
    #[arg(long, value_name = "TRANSPORT", value_parser = ["udp", "tcp"])]
    transport: Option<String>,

    /// How long an operation may take and the server be silent, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,

    /// The lifetime of publications and subscriptions, in seconds; longer than the run
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(60..=604_800))]
    expires: u32,

    /// Sockets or connections to send from; a server that spreads load by source address needs several for each of its threads
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    sockets: u32,

    /// One JSON object for programs, in place of lines for people
    #[arg(long)]
    json: bool,

    /// No line of progress each second
    #[arg(long)]
    quiet: bool,
}

#[derive(Debug, Args)]
struct Watched {
    #[command(flatten)]
    plain: Plain,

    /// Subscriptions to each presentity, made before the measurement
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    watchers: u32,
}

#[derive(Debug, Args)]
struct Yardstick {
    /// Listen here; port 0 takes a free one
    #[arg(long, value_name = "udp:ADDRESS:PORT", default_value = "udp:127.0.0.1:5060", value_parser = udp)]
    listen: SocketAddr,
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

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok();
    rate.filter(|rate| (0.01..=10_000_000.0).contains(rate))
        .ok_or_else(|| "allowed is a number from 0.01 to 10000000".to_owned())
}

fn udp(text: &str) -> Result<SocketAddr, String> {
    let address = text.strip_prefix("udp:").map(str::parse);
    address
        .and_then(Result::ok)
        .ok_or_else(|| "allowed is udp:ADDRESS:PORT".to_owned())
}

impl Bench {
    pub(super) fn run(self) -> Result<(), CliError> {
        match self.what {
            What::Publish(plain) => plain.run(Load::Publish, 0),
            What::FanOut(Watched { plain, watchers }) => plain.run(Load::FanOut, watchers),
            What::Subscribe(plain) => plain.run(Load::Subscribe, 0),
            What::Refresh(Watched { plain, watchers }) => plain.run(Load::Refresh, watchers),
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
        let options = self.options(load, watchers)?;
        let shown = !self.quiet && stderr().is_terminal();
        let told = |progress: Progress| {
            if shown {
                output::complain(&line(progress));
            }
        };
        match bench::run(&options, told) {
            Err(error) => {
                output::complain(&format!(
                    "rollcall: {} over {}: {error}",
                    self.server, options.transport
                ));
                Err(CliError::Found)
            }
            Ok(report) => {
                output::say(&if self.json {
                    serde_json::to_string(&report).unwrap_or_default()
                } else {
                    report.to_string()
                });
                if report.is_good() {
                    Ok(())
                } else {
                    Err(CliError::Found)
                }
            }
        }
    }

    fn options(&self, load: Load, watchers: u32) -> Result<Options, CliError> {
        let wrong = |flag, sentence| CliError::Argument { flag, sentence };
        let uri = &self.server;
        let server: SipServer = uri
            .parse()
            .map_err(|reason| wrong("SIP-URI", format!("{uri:?} {reason}")))?;
        let named = self.transport.as_deref().and_then(Transport::named);
        let transport = named.or(server.transport).unwrap_or(Transport::Udp);
        if !matches!(transport, Transport::Udp | Transport::Tcp) {
            let sentence = format!("{uri:?} asks for {transport}; bench speaks UDP and TCP");
            return Err(wrong("SIP-URI", sentence));
        }
        if u64::from(self.presentities) * u64::from(watchers) > 100_000_000 {
            let sentence = "more than 100000000 subscriptions in all".to_owned();
            return Err(wrong("--watchers", sentence));
        }
        let target = self.target(&server, transport)?;
        let mut run = [0; 4];
        getrandom::fill(&mut run).map_err(|error| NodeError::Randomness(error.to_string()))?;
        let host = super::selftest::bracketed(&server.host);
        Ok(Options {
            load,
            target,
            transport,
            domain: self.domain.clone().unwrap_or(host),
            run: format!("{:08x}", u32::from_be_bytes(run)),
            presentities: self.presentities,
            watchers,
            pace: match self.rate {
                Some(rate) => Pace::Rate(rate),
                None => Pace::Concurrency(self.concurrency.unwrap_or(16) as usize),
            },
            goal: match self.duration {
                Some(seconds) => Goal::Duration(Duration::from_secs(seconds)),
                None => Goal::Operations(self.operations.unwrap_or(10_000)),
            },
            timeout: Duration::from_secs(self.timeout),
            expires: self.expires,
            sockets: self.sockets as usize,
            processes: self.pid.clone(),
        })
    }

    /// The first address of the server's name.
    fn target(&self, server: &SipServer, transport: Transport) -> Result<SocketAddr, CliError> {
        let port = server.port.unwrap_or(transport.default_port());
        let asking = async { Network::Real.resolve(&server.host, port).await };
        let found = actix_rt::System::new().block_on(asking);
        let found = found.map_err(|error| format!("{} does not resolve: {error}", server.host));
        let first = found.and_then(|found| {
            let first = found.first().copied();
            first.ok_or_else(|| format!("{} has no address", server.host))
        });
        first.map_err(|reason| {
            output::complain(&format!("rollcall: {}: {reason}", self.server));
            CliError::Found
        })
    }
}

fn floor(listen: SocketAddr) -> Result<(), CliError> {
    let system = |what| move |error| CliError::System { what, error };
    let floor = Floor::bind(listen).map_err(system("cannot listen"))?;
    output::say(&format!("listening on udp:{}", floor.address()));
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

fn line(progress: Progress) -> String {
    let Progress {
        phase,
        elapsed,
        done,
        failed,
        under_way,
    } = progress;
    let seconds = elapsed.as_secs();
    format!("{phase} {seconds} s: {done} done, {failed} failed, {under_way} under way")
}
