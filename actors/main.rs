//! The program `rollcall`: parses the command line, runs the command, chooses the exit code.

use std::process::ExitCode;

use clap::Parser as _;
use rollcall::cli::{self, Cli};

/// See Cargo.toml for the reason.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => cli.run(),
        Err(error) => cli::explain(&error),
    }
}
