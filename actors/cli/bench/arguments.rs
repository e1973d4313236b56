//! Arguments that the loads have in common.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use rollcall_core::exchange::Transport;

use crate::bench::{Course, Goal, Load, Options, Pace, Trust};
use crate::cli::{CliError, output, selftest};
use crate::config::SipServer;
use crate::node::NodeError;
use crate::transport::Network;

/// Whom to load, and how the result is told.
#[derive(Debug, Args)]
pub(super) struct Target {
    /// The server, e.g. sip:127.0.0.1:5060
    #[arg(value_name = "SIP-URI")]
    pub server: String,

    /// A process of the server, to measure its processor time and memory, with its children; may be repeated
    #[arg(long, value_name = "PID")]
    pid: Vec<u32>,

    /// The domain of the presentities; without, the host of the URI
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,

    /// How to reach it: udp, tcp or tls; without, as the URI says, or UDP
    #[arg(long, value_name = "TRANSPORT", value_parser = ["udp", "tcp", "tls"])]
    transport: Option<String>,

    /// Over TLS: certificates of the authorities that the server's is checked with, PEM; without, the system's
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,

    /// Over TLS: believe whatever certificate the server shows
    #[arg(long)]
    insecure: bool,

    /// How long an operation may take and the server be silent, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,

    /// The lifetime of publications and subscriptions, in seconds; longer than the run
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(60..=604_800))]
    expires: u32,

    /// Sockets or connections to send from; a server that spreads load by source address needs several for each of its threads
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    sockets: u32,

    /// Never sleep: latencies without the time that waking up takes, for a processor of its own
    #[arg(long)]
    busy_poll: bool,

    /// One JSON object for programs, in place of lines for people
    #[arg(long)]
    pub json: bool,

    /// No progress
    #[arg(long)]
    pub quiet: bool,
}

/// One load.
#[derive(Debug, Args)]
pub(super) struct Plain {
    #[command(flatten)]
    pub target: Target,

    /// Presentities, each published before the measurement
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub presentities: u32,

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
}

/// A load with watchers.
#[derive(Debug, Args)]
pub(super) struct Watched {
    #[command(flatten)]
    pub plain: Plain,

    /// Subscriptions to each presentity, made before the measurement
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub watchers: u32,
}

/// A number of operations a second.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok();
    rate.filter(|rate| (0.01..=10_000_000.0).contains(rate))
        .ok_or_else(|| "allowed is a number from 0.01 to 10000000".to_owned())
}

pub(super) fn wrong(flag: &'static str, sentence: String) -> CliError {
    CliError::Argument { flag, sentence }
}

/// A generator of load keeps a row for each subscription, and a server gives up sooner.
pub(super) fn few_enough(flag: &'static str, subscriptions: u64) -> Result<u32, CliError> {
    const MOST: u32 = 100_000_000;
    let count = u32::try_from(subscriptions).ok().filter(|all| *all <= MOST);
    count.ok_or_else(|| wrong(flag, format!("more than {MOST} subscriptions in all")))
}

impl Plain {
    pub(super) fn course(&self, load: Load, watchers: u32) -> Result<Course, CliError> {
        few_enough(
            "--watchers",
            u64::from(self.presentities) * u64::from(watchers),
        )?;
        Ok(Course {
            load,
            watchers,
            pace: match self.rate {
                Some(rate) => Pace::Rate(rate),
                None => Pace::Concurrency(self.concurrency.unwrap_or(16) as usize),
            },
            goal: match self.duration {
                Some(seconds) => Goal::Duration(Duration::from_secs(seconds)),
                None => Goal::Operations(self.operations.unwrap_or(10_000)),
            },
        })
    }
}

impl Target {
    pub(super) fn options(&self, presentities: u32) -> Result<Options, CliError> {
        let uri = &self.server;
        let server: SipServer = uri
            .parse()
            .map_err(|reason| wrong("SIP-URI", format!("{uri:?} {reason}")))?;
        let named = self.transport.as_deref().and_then(Transport::named);
        let transport = named.or(server.transport).unwrap_or(Transport::Udp);
        if !matches!(transport, Transport::Udp | Transport::Tcp | Transport::Tls) {
            let sentence = format!("{uri:?} asks for {transport}; bench speaks UDP, TCP and TLS");
            return Err(wrong("SIP-URI", sentence));
        }
        for (flag, given) in [("--ca", self.ca.is_some()), ("--insecure", self.insecure)] {
            if given && transport != Transport::Tls {
                let sentence = format!("there is no certificate over {transport}; --transport tls");
                return Err(wrong(flag, sentence));
            }
        }
        let mut run = [0; 4];
        getrandom::fill(&mut run).map_err(|error| NodeError::Randomness(error.to_string()))?;
        let host = selftest::bracketed(&server.host);
        Ok(Options {
            target: self.address(&server, transport)?,
            transport,
            host: server.host.clone(),
            trust: match &self.ca {
                Some(path) => Trust::File(path.clone()),
                None if self.insecure => Trust::Anybody,
                None => Trust::System,
            },
            domain: self.domain.clone().unwrap_or(host),
            run: format!("{:08x}", u32::from_be_bytes(run)),
            presentities,
            timeout: Duration::from_secs(self.timeout),
            expires: self.expires,
            sockets: self.sockets as usize,
            busy: self.busy_poll,
            processes: self.pid.clone(),
        })
    }

    /// The first address of the server's name.
    fn address(&self, server: &SipServer, transport: Transport) -> Result<SocketAddr, CliError> {
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
