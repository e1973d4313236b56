//! The command line: one file a command. A command checks its settings, calls [`crate::node`], and says what came of it
//! in sentences.

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Problems;
use crate::node::NodeError;

mod bench;
mod check;
mod client;
mod descriptors;
mod log;
mod manager;
mod output;
mod publish;
mod run;
pub mod selftest;
mod server;
pub mod signals;
mod simulate;
mod store;
mod user;
mod watch;
mod watchers;

const EXIT_CODES: &str = "\
Exit codes:
  0  everything went well
  1  it was started but failed
  2  the command line or a config file is wrong; nothing was started";

/// SIP presence: from where it arises to everybody who watches.
///
/// Three roles, together in one process or each on its own machine: a Manager gathers presence from calendars, commands
/// and anything that can open a TCP connection; a Presence Client publishes it by SIP; a Presence Server tells every
/// watcher.
#[derive(Debug, Parser)]
#[command(name = "rollcall", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    log: LogArgs,

    #[command(subcommand)]
    command: Command,
}

/// Where the log goes is not asked: to standard error.
#[derive(Debug, Args)]
struct LogArgs {
    /// What to log: "debug", or by module, "info,rollcall::endpoint=trace"
    #[arg(long, global = true, value_name = "FILTER", help_heading = "Log")]
    log: Option<String>,

    /// How to log: for people or as one JSON object a line
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text",
        help_heading = "Log"
    )]
    log_format: log::Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Server(server::Server),
    Client(client::Client),
    Manager(manager::Manager),
    Simulate(simulate::Simulate),
    Publish(publish::Publish),
    Watch(watch::Watch),
    Selftest(selftest::Selftest),
    Bench(bench::Bench),
    User(user::User),
    Watchers(watchers::Watchers),
    Store(store::Store),
    Check(check::Check),
}

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// The settings are wrong.
    #[error("{0}")]
    Settings(#[from] Problems),
    /// An argument is wrong, in a way that only the command itself can tell.
    #[error("{flag}: {sentence}")]
    Argument {
        /// Which.
        flag: &'static str,
        /// What is wrong with it.
        sentence: String,
    },
    /// The node could not run.
    #[error("{0}")]
    Node(#[from] NodeError),
    /// A running server could not be asked.
    #[error("{0}")]
    Operator(#[from] crate::operator::AskError),
    /// A damaged store could not be repaired.
    #[error("{0}")]
    Repair(String),
    /// It ran, but what it found is not good; said already.
    #[error("")]
    Found,
    /// The system refuses what every program needs.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What came back.
        error: std::io::Error,
    },
}

impl CliError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Settings(_) | Self::Argument { .. } => 2,
            Self::Node(_)
            | Self::Operator(_)
            | Self::Repair(_)
            | Self::Found
            | Self::System { .. } => 1,
        }
    }
}

impl Cli {
    /// Runs the command to its end.
    pub fn run(self) -> ExitCode {
        let result = log::start(&self.log, self.command.default_filter()).and_then(|()| {
            crate::fault::start();
            self.command.run()
        });
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                for line in error.to_string().lines() {
                    output::complain(&format!("rollcall: {line}"));
                }
                ExitCode::from(error.exit_code())
            }
        }
    }
}

impl Command {
    /// Nodes tell what they do; commands for people only what is wrong.
    fn default_filter(&self) -> &'static str {
        match self {
            Self::Run(_) | Self::Server(_) | Self::Client(_) | Self::Manager(_) => {
                // The store says in a line what its engine says in many, again and again while a disk is full.
                "info,fjall=off,lsm_tree=off"
            }
            // What the engine says of a new folder is of no use to anybody.
            Self::Store(_) => "warn,fjall=off,lsm_tree=off",
            Self::Simulate(_)
            | Self::Publish(_)
            | Self::Watch(_)
            | Self::Selftest(_)
            | Self::Bench(_)
            | Self::User(_)
            | Self::Watchers(_)
            | Self::Check(_) => "warn",
        }
    }

    fn run(self) -> Result<(), CliError> {
        match self {
            Self::Run(run) => run.run(),
            Self::Server(server) => server.run(),
            Self::Client(client) => client.run(),
            Self::Manager(manager) => manager.run(),
            Self::Simulate(simulate) => simulate.run(),
            Self::Publish(publish) => publish.run(),
            Self::Watch(watch) => watch.run(),
            Self::Selftest(selftest) => selftest.run(),
            Self::Bench(bench) => bench.run(),
            Self::User(user) => user.run(),
            Self::Watchers(watchers) => watchers.run(),
            Self::Store(store) => store.run(),
            Self::Check(check) => check.run(),
        }
    }
}

/// Says what is wrong with a command line, or shows the help or version that was asked for.
pub fn explain(error: &clap::Error) -> ExitCode {
    // Nobody may be listening any more (`rollcall --help | head -1`), and that is no error.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
