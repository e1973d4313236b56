//! `rollcall watchers`: who watches whom at a running Presence Server, and who may.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use rollcall_core::pidf::write_moment;
use rollcall_core::time::Timestamp;

use super::CliError;
use super::output::{self, Reader};
use super::publish::{argument, presentity};
use crate::config::address;
use crate::operator::{self, Answer, MOST_WATCHERS, Request, Watcher};

/// List the watchers of a running Presence Server, and decide about them
#[derive(Debug, Args)]
pub(super) struct Watchers {
    #[command(subcommand)]
    what: What,

    /// The server's socket: control of its config
    #[arg(
        long,
        global = true,
        value_name = "SOCKET",
        default_value = "rollcall-data/server/control"
    )]
    control: PathBuf,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List who watches, waits for a decision, or was decided about
    List {
        /// Whose watchers; everybody's without
        #[arg(value_name = "PRESENTITY")]
        presentity: Option<String>,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Let a watcher see a presentity
    Allow(Pair),
    /// Refuse a watcher, and end its subscriptions
    Block(Pair),
    /// Show a watcher somebody who is offline
    PoliteBlock(Pair),
    /// Leave a watcher pending
    Confirm(Pair),
    /// Take a decision back: the default policy holds again
    Forget(Pair),
}

/// Who, and whom.
#[derive(Debug, Args)]
struct Pair {
    /// Who is watched, e.g. sip:alice@example.com
    #[arg(value_name = "PRESENTITY")]
    presentity: String,
    /// Who watches
    #[arg(value_name = "WATCHER")]
    watcher: String,
}

impl Watchers {
    pub(super) fn run(self) -> Result<(), CliError> {
        let (request, json) = match &self.what {
            What::List {
                presentity: of,
                json,
            } => {
                let presentity = of.as_deref().map(presentity).transpose()?;
                (Request::List { presentity }, *json)
            }
            What::Allow(pair) => (pair.decide(Some("allow"))?, false),
            What::Block(pair) => (pair.decide(Some("block"))?, false),
            What::PoliteBlock(pair) => (pair.decide(Some("polite-block"))?, false),
            What::Confirm(pair) => (pair.decide(Some("confirm"))?, false),
            What::Forget(pair) => (pair.decide(None)?, false),
        };
        match operator::ask(&self.control, &request)? {
            Answer::Watchers(watchers) => {
                list(&watchers, json);
                Ok(())
            }
            Answer::Subscriptions(subscriptions) => {
                output::say(&decided(&request, subscriptions));
                Ok(())
            }
            Answer::Error(sentence) => {
                output::complain(&format!("rollcall: {sentence}"));
                Err(CliError::Found)
            }
        }
    }
}

impl Pair {
    fn decide(&self, handling: Option<&str>) -> Result<Request, CliError> {
        Ok(Request::Decide {
            presentity: presentity(&self.presentity)?,
            watcher: argument(&self.watcher, address::watcher)?,
            handling: handling.map(str::to_owned),
        })
    }
}

/// `sip:alice@example.com sip:bob@example.com pending until 2026-01-01T00:00:00Z`.
fn list(watchers: &[Watcher], json: bool) {
    for watcher in watchers {
        let line = if json {
            serde_json::to_string(watcher).unwrap_or_default()
        } else {
            line(watcher)
        };
        if output::say(&line) == Reader::Gone {
            return;
        }
    }
    if watchers.len() == MOST_WATCHERS {
        output::complain("rollcall: there may be more; name a presentity");
    }
}

fn line(watcher: &Watcher) -> String {
    let at = write_moment(Timestamp::from_millis(watcher.at));
    let decision = watcher.decision.as_deref();
    let state = match (watcher.status.as_deref(), decision) {
        (Some("waiting"), _) => format!("waiting since {at}"),
        (Some(status), None) => format!("{status} until {at}"),
        (Some(status), Some(decision)) => format!("{status} until {at}, decided: {decision}"),
        (None, decision) => format!(
            "not there, decided: {}, {at}",
            decision.unwrap_or("nothing")
        ),
    };
    format!("{} {} {state}", watcher.presentity, watcher.watcher)
}

fn decided(request: &Request, subscriptions: usize) -> String {
    let Request::Decide {
        presentity,
        watcher,
        handling,
    } = request
    else {
        return String::new();
    };
    let how = handling.as_deref().unwrap_or("the default policy");
    let whom = match subscriptions {
        0 => "no subscription now".to_owned(),
        1 => "1 subscription".to_owned(),
        more => format!("{more} subscriptions"),
    };
    format!("{watcher} at {presentity}: {how}, {whom}")
}
