//! The command source: a program run at an interval, whose output is the state.
//!
//! What it prints is one of three: a word (`open`, `closed`, or an activity like `busy`), lines of `key: value` with
//! `status`, `activity`, `note`, `mood` and `place`, or a whole `PRESENCE` document of the Manager protocol. A run
//! that fails leaves the last state in place.

use std::io;
use std::process::Stdio;

use actix::prelude::*;
use rollcall_core::manager::{self, Basic, Message as ManagerMessage, Note, Presence};
use rollcall_core::pidf::vocabulary::{ACTIVITIES, MOODS, PLACES, find};
use rollcall_core::time::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tracing::{debug, warn};

use super::Stop;
use crate::clock::Clock;
use crate::config::CommandSource;
use crate::manager::hub::FromSource;
use crate::messages::TakeSnapshot;

/// The longest output that is read; as long as a Manager message may be.
const MAX_OUTPUT: u64 = 64 * 1024;
/// How much of what a failed command complained is told.
const MAX_COMPLAINT: usize = 200;

/// Why a run gave no state.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not be run or read.
    #[error("it can't be run: {0}")]
    Io(#[from] io::Error),
    /// It took too long and was killed.
    #[error("it was killed since it took longer than {0} s")]
    Timeout(f64),
    /// It says itself that it failed.
    #[error("it ended with {status}{complaint}")]
    Failed {
        /// `exit status: 1`.
        status: String,
        /// What it said on standard error.
        complaint: String,
    },
    /// It printed something else than a state.
    #[error("{0}")]
    Output(#[from] OutputError),
}

/// Why an output is no state.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum OutputError {
    /// Nothing but blanks.
    #[error("it printed nothing")]
    Empty,
    /// More than a message can be.
    #[error("it printed more than {MAX_OUTPUT} bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("what it printed is no UTF-8 text")]
    Encoding,
    /// One word, but not a known one.
    #[error(
        "it printed {0:?}; allowed is open, closed, an activity such as busy, lines of key: value, or XML"
    )]
    Word(String),
    /// A line that has another key.
    #[error("line {line} has the key {key:?}; allowed are status, activity, note, mood and place")]
    Key {
        /// Which line.
        line: usize,
        /// Its key.
        key: String,
    },
    /// A line without a colon.
    #[error("line {0} is no key: value")]
    Line(usize),
    /// A key with a value that it can't have.
    #[error("line {line}: {key} is {value:?}; allowed is {allowed}")]
    Value {
        /// Which line.
        line: usize,
        /// Its key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// A document that can't be read.
    #[error("its document can't be read: {0}")]
    Document(String),
    /// A message that is no state.
    #[error("its document is no PRESENCE")]
    NoPresence,
    /// A state of somebody else.
    #[error("its document is about {0:?}, which it is not configured for")]
    Stranger(String),
}

/// Reads what a command printed as the state of `entity`.
pub fn read_output(bytes: &[u8], entity: &str, now: Timestamp) -> Result<Presence, OutputError> {
    if bytes.len() as u64 > MAX_OUTPUT {
        return Err(OutputError::TooLong);
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|_| OutputError::Encoding)?
        .trim();
    if text.is_empty() {
        return Err(OutputError::Empty);
    }
    if text.starts_with('<') {
        return read_document(text, entity, now);
    }
    let mut presence = Presence {
        entity: entity.to_owned(),
        ..Presence::default()
    };
    if !text.contains(':') {
        read_word(text, &mut presence)?;
        return Ok(presence);
    }
    for (index, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        read_line(index + 1, line, &mut presence)?;
    }
    // Whoever says what they do can be reached, unless they say otherwise.
    presence.basic = presence.basic.or(Some(Basic::Open));
    Ok(presence)
}

fn read_document(text: &str, entity: &str, now: Timestamp) -> Result<Presence, OutputError> {
    let message = manager::read(text.as_bytes(), now)
        .map_err(|error| OutputError::Document(error.to_string()))?;
    let ManagerMessage::Presence(mut presence) = message else {
        return Err(OutputError::NoPresence);
    };
    if manager::normal(&presence.entity).ok() != manager::normal(entity).ok() {
        return Err(OutputError::Stranger(presence.entity));
    }
    entity.clone_into(&mut presence.entity);
    Ok(*presence)
}

fn read_word(word: &str, presence: &mut Presence) -> Result<(), OutputError> {
    presence.basic = Some(match word {
        "closed" => Basic::Closed,
        "open" => Basic::Open,
        word => {
            let known = find(ACTIVITIES, word);
            let known = known.ok_or_else(|| OutputError::Word(word.chars().take(80).collect()))?;
            presence.activities.push(known.to_owned());
            Basic::Open
        }
    });
    Ok(())
}

fn read_line(line: usize, text: &str, presence: &mut Presence) -> Result<(), OutputError> {
    let (key, value) = text.split_once(':').ok_or(OutputError::Line(line))?;
    let value = value.trim();
    let wrong = |key, allowed| OutputError::Value {
        line,
        key,
        value: value.to_owned(),
        allowed,
    };
    match key.trim() {
        "status" => {
            presence.basic = Some(match value {
                "open" => Basic::Open,
                "closed" => Basic::Closed,
                _ => return Err(wrong("status", "open or closed")),
            });
        }
        "activity" => {
            for word in value
                .split(',')
                .map(str::trim)
                .filter(|word| !word.is_empty())
            {
                let known = find(ACTIVITIES, word)
                    .ok_or_else(|| wrong("activity", "an activity of RPID such as busy"))?;
                presence.activities.push(known.to_owned());
            }
        }
        "note" if value.is_empty() => {}
        "note" => presence.notes.push(Note {
            lang: None,
            text: value.to_owned(),
        }),
        "mood" => {
            let known = find(MOODS, value).ok_or_else(|| wrong("mood", "a mood of RPID"))?;
            presence.mood = Some(known.to_owned());
        }
        "place" => {
            let known =
                find(PLACES, value).ok_or_else(|| wrong("place", "a place-type of RPID"))?;
            presence.place = Some(known.to_owned());
        }
        key => {
            return Err(OutputError::Key {
                line,
                key: key.chars().take(80).collect(),
            });
        }
    }
    Ok(())
}

/// What a command source has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Runs that gave a state.
    pub runs: u64,
    /// Runs that failed, took too long, or printed something else.
    pub errors: u64,
    /// States told to the hub, since they differed from the one before.
    pub told: u64,
}

/// Runs one command again and again.
pub struct CommandActor {
    source: CommandSource,
    clock: Clock,
    hub: Recipient<FromSource>,
    told: Option<Presence>,
    last_error: Option<String>,
    counters: Counters,
}

impl CommandActor {
    /// A source that tells `hub`.
    pub fn new(source: CommandSource, clock: Clock, hub: Recipient<FromSource>) -> Self {
        Self {
            source,
            clock,
            hub,
            told: None,
            last_error: None,
            counters: Counters::default(),
        }
    }

    fn run(&mut self, ctx: &mut Context<Self>) {
        let source = self.source.clone();
        let run = async move { output(&source).await };
        ctx.spawn(run.into_actor(self).map(|output, actor, ctx| {
            let now = actor.clock.now();
            let result =
                output.and_then(|output| Ok(read_output(&output, &actor.source.presentity, now)?));
            actor.ran(result);
            ctx.run_later(actor.source.interval, Self::run);
        }));
    }

    fn ran(&mut self, result: Result<Presence, RunError>) {
        match result {
            Ok(presence) => {
                self.counters.runs += 1;
                self.last_error = None;
                self.tell(presence);
            }
            Err(error) => {
                self.counters.errors += 1;
                let error = error.to_string();
                let (source, presentity) = (&self.source.name, &self.source.presentity);
                // A command that is broken is broken every time; once is enough.
                if self.last_error.as_ref() == Some(&error) {
                    debug!(source, presentity, command = ?self.source.command, "{error}");
                } else {
                    warn!(source, presentity, command = ?self.source.command, "{error}");
                }
                self.last_error = Some(error);
            }
        }
    }

    fn tell(&mut self, presence: Presence) {
        if self.told.as_ref() == Some(&presence) {
            return;
        }
        self.counters.told += 1;
        self.told = Some(presence.clone());
        self.hub.do_send(FromSource {
            source: self.source.name.clone(),
            presence,
        });
    }
}

/// Runs the command to its end, and takes what it printed.
async fn output(source: &CommandSource) -> Result<Vec<u8>, RunError> {
    let (program, arguments) = source
        .command
        .split_first()
        .ok_or_else(|| io::Error::other("it is empty"))?;
    let mut child = Command::new(program)
        .args(arguments)
        // It is not the one that the service manager waits to hear of.
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let whole = async {
        // Both pipes are read to their end: a command that waits for a full one would never end itself.
        let (stdout, stderr) = tokio::join!(drain(stdout), drain(stderr));
        Ok::<_, io::Error>((child.wait().await?, stdout?, stderr?))
    };
    let (status, stdout, stderr) = tokio::time::timeout(source.timeout, whole)
        .await
        .map_err(|_| RunError::Timeout(source.timeout.as_secs_f64()))??;
    if status.success() {
        return Ok(stdout);
    }
    let text = String::from_utf8_lossy(&stderr);
    let complaint = match text.lines().rfind(|line| !line.trim().is_empty()) {
        Some(line) => format!(
            ": {}",
            line.trim().chars().take(MAX_COMPLAINT).collect::<String>()
        ),
        None => String::new(),
    };
    Err(RunError::Failed {
        status: status.to_string(),
        complaint,
    })
}

/// Reads to the end, but keeps no more than a little over what is allowed.
async fn drain(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    if let Some(mut pipe) = pipe {
        (&mut pipe)
            .take(MAX_OUTPUT + 1)
            .read_to_end(&mut kept)
            .await?;
        tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    }
    Ok(kept)
}

impl Actor for CommandActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.run(ctx);
    }
}

impl Handler<Stop> for CommandActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) {
        ctx.stop();
    }
}

impl Handler<TakeSnapshot> for CommandActor {
    type Result = MessageResult<TakeSnapshot>;

    fn handle(&mut self, _: TakeSnapshot, _: &mut Self::Context) -> Self::Result {
        MessageResult(json!({
            "actor": "source",
            "kind": "command",
            "source": self.source.name,
            "presentity": self.source.presentity,
            "last_error": self.last_error,
            "counters": self.counters,
        }))
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
