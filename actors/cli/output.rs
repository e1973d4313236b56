//! Lines for people and scripts. A reader that has gone away (`| head -1`) is no error and no panic.

use std::io::{self, Write};

use crate::config::Problem;
use crate::node::Listening;

/// Whether anybody still reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// Yes.
    There,
    /// No.
    Gone,
}

/// Writes a line to standard output at once.
pub(super) fn say(line: &str) -> Reader {
    let mut out = io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Ok(()) => Reader::There,
        // A full disk behind a redirection is told apart from nobody: but there is no better place to say so.
        Err(_) => Reader::Gone,
    }
}

/// Writes a line to standard error.
pub(super) fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// One line for each address, as scripts wait for it.
pub(super) fn listening(addresses: &[Listening]) {
    for address in addresses {
        say(&format!("listening on {address}"));
    }
}

/// What is allowed but worth a word.
pub(super) fn warn(warnings: &[Problem]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}
