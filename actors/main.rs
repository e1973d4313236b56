//! The program `rollcall`: parses the command line, runs the command, chooses the exit code.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Parser as _;
use rollcall::cli::{self, Cli};

/// See Cargo.toml for the reason.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often freed memory is given back to the system.
const TIDY: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    // The allocator does so by itself only when it is asked for more: a server that is idle after a crowd would keep it. Without the
    // thread it is so, and nothing else is amiss.
    let _ = thread::Builder::new().name("tidy".to_owned()).spawn(tidy);
    match Cli::try_parse() {
        Ok(cli) => cli.run(),
        Err(error) => cli::explain(&error),
    }
}

fn tidy() {
    loop {
        thread::sleep(TIDY);
        // SAFETY: it may be called at any time and from any thread; without force it waits for nobody.
        unsafe { libmimalloc_sys::mi_collect(false) };
    }
}
