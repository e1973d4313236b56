//! Settings: config files, flags that override them, checks and defaults.
//!
//! What was typed ([`value`]) and what is meant ([`Server`], [`Client`], …) are two types. Each key is defined in one
//! place, its `read`: name, help, kind with the allowed range, default. Reading collects every problem, not only the
//! first, each as a sentence with file, line, column, key and what is allowed.

use std::path::{Path, PathBuf};
use std::time::Duration;

pub mod address;
pub mod all_in_one;
pub mod client;
pub mod digest;
pub mod dns;
pub mod kind;
pub mod manager;
pub mod problem;
pub mod section;
pub mod server;
pub mod simulate;
mod size;
pub mod source;
pub mod tls;
pub mod value;

#[cfg(test)]
mod tests;

pub use address::{HostPort, Listen, SipServer};
pub use all_in_one::AllInOne;
pub use client::{Client, ClientCommon};
pub use dns::Dns;
pub use manager::Manager;
pub use problem::{Place, Problem, Problems};
pub use section::{Key, Section};
pub use server::{Auth, Expiry, Server, Store};
pub use simulate::Simulate;
pub use source::{CalendarPath, CalendarSource, CommandSource, Source, TimeZone};
pub use tls::Tls;
pub use value::Flags;

use kind::{Span, Text, span_text};
use section::Report;
use value::Table;

/// The settings of a role.
pub trait Settings: Sized {
    /// The role, as the command line calls it.
    const ROLE: &'static str;
    /// What its file is about, for the head of the shipped one.
    const ABOUT: &'static str;
    /// Takes every key out of the file; those left over are unknown.
    fn read(section: &mut Section<'_>) -> Self;
}

/// Settings without a problem, and what is noteworthy about them.
#[derive(Clone, Debug)]
pub struct Loaded<S> {
    /// What is meant.
    pub settings: S,
    /// What is allowed but worth a word.
    pub warnings: Vec<Problem>,
}

/// Reads a config file, if one is given, puts the flags over it, and checks the whole.
pub fn load<S: Settings>(file: Option<&Path>, flags: Flags) -> Result<Loaded<S>, Problems> {
    let Some(path) = file else {
        return read(None, "", flags);
    };
    let name = path.display().to_string();
    let whole = |sentence: String| {
        let (place, file, key) = (Place::Nowhere, Some(name.clone()), String::new());
        Problems(vec![Problem {
            place,
            file,
            key,
            sentence,
        }])
    };
    let bytes = std::fs::read(path).map_err(|error| whole(format!("can't be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        whole(format!("is no UTF-8 text: byte {good} is wrong"))
    })?;
    read(Some(&name), &text, flags)
}

/// Reads the text of a config file and checks it.
pub fn read<S: Settings>(
    file: Option<&str>,
    text: &str,
    flags: Flags,
) -> Result<Loaded<S>, Problems> {
    let (mut table, problems) = value::parse(text, file.unwrap_or_default());
    // What a broken file says is not what was meant, so nothing else about it is worth saying.
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    flags.over(&mut table);
    let mut report = Report {
        file: file.map(str::to_owned),
        ..Report::default()
    };
    let settings = Section::root(table, &mut report, S::read);
    if report.problems.is_empty() {
        return Ok(Loaded {
            settings,
            warnings: report.warnings,
        });
    }
    report.problems.sort();
    Err(Problems(report.problems))
}

/// The settings of a role when nothing is configured.
pub fn defaults<S: Settings>() -> S {
    Section::root(Table::new(), &mut Report::default(), S::read)
}

/// Every key of a role.
pub fn keys<S: Settings>() -> Vec<Key> {
    let mut report = Report {
        listing: true,
        ..Report::default()
    };
    Section::root(Table::new(), &mut report, S::read);
    report.keys
}

macro_rules! defaulted {
    ($($role:ty),*) => { $(
        impl Default for $role {
            fn default() -> Self {
                defaults()
            }
        }
    )* };
}
defaulted!(Server, Client, Manager, AllInOne, Simulate);

/// Timers of SIP transactions (RFC 3261, 17.1.1.1 and table 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Estimate of a round trip.
    pub t1: Duration,
    /// The longest pause between retransmissions.
    pub t2: Duration,
    /// How long a message can stay in the network.
    pub t4: Duration,
}

impl Timers {
    fn read(s: &mut Section<'_>) -> Self {
        let span = || Span(Duration::from_millis(10)..=Duration::from_secs(60));
        let is = Self {
            t1: s.key(
                "t1",
                "Estimate of a round trip; the first retransmission comes after it, and 64 of them are the end. As in \
                 RFC 3261.",
                span(),
                Duration::from_millis(500),
            ),
            t2: s.key(
                "t2",
                "The longest pause between retransmissions, as in RFC 3261.",
                span(),
                Duration::from_secs(4),
            ),
            t4: s.key(
                "t4",
                "How long a message can stay in the network, as in RFC 3261.",
                span(),
                Duration::from_secs(5),
            ),
        };
        if is.t1 > is.t2 {
            s.problem(
                "t1",
                format!("{} is more than t2, {}", span_text(is.t1), span_text(is.t2)),
            );
        }
        is
    }
}

/// The path of a file.
const PATH: Text<PathBuf> = Text {
    allowed: "the path of a file",
    read: |text| match text.trim() {
        "" => Err("is empty".to_owned()),
        path => Ok(PathBuf::from(path)),
    },
    write: |path| path.display().to_string(),
};
