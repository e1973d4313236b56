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
    use_small_pages();
    keep_to_the_owner();
    // The allocator does so by itself only when it is asked for more: a server that is idle after a crowd would keep it. Without the
    // thread it is so, and nothing else is amiss.
    let _ = thread::Builder::new().name("tidy".to_owned()).spawn(tidy);
    match Cli::try_parse() {
        Ok(cli) => cli.run(),
        Err(error) => cli::explain(&error),
    }
}

/// No huge pages: the allocator asks for them, and each that is touched is cleared whole, 2 MiB for a few rows. A new subscription cost up
/// to a third more by that, and an idle server took twice the memory. Programs that this one starts inherit it.
fn use_small_pages() {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_thp_disable(true);
}

/// State, with who talks to whom and where phones are, is for the owner's eyes, whatever the umask was. Programs that this one starts
/// inherit that, too.
fn keep_to_the_owner() {
    #[cfg(target_os = "linux")]
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
}

fn tidy() {
    loop {
        thread::sleep(TIDY);
        // SAFETY: it may be called at any time and from any thread; without force it waits for nobody.
        unsafe { libmimalloc_sys::mi_collect(false) };
    }
}
