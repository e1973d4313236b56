//! The log, to standard error: for people or as JSON.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;

use super::{CliError, LogArgs};

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts the log. A second start in one process (tests) leaves the first as it is.
pub(super) fn start(args: &LogArgs, default: &str) -> Result<(), CliError> {
    let filter = args.log.as_deref().unwrap_or(default);
    let filter = EnvFilter::builder().parse(filter).map_err(|error| CliError::Argument {
        flag: "--log",
        sentence: format!(
            "{filter:?} is no filter ({error}); allowed is a level (error, warn, info, debug, trace, off) or a list like \
             \"info,rollcall::endpoint=debug\""
        ),
    })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        // Complaints about a log that nobody reads any more have nowhere to go either.
        .log_internal_errors(false);
    let _ = match args.log_format {
        Format::Text => log.try_init(),
        // An event's own span is enough: spans here do not lie in each other.
        Format::Json => log
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .try_init(),
    };
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let message = match payload.downcast_ref::<String>() {
            Some(message) => message.as_str(),
            None => payload
                .downcast_ref::<&str>()
                .copied()
                .unwrap_or("no message"),
        };
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(place, "internal error, please report it: {message}");
    }));
    Ok(())
}
