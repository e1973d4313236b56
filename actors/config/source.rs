//! Settings of the Manager's sources.

use std::path::PathBuf;
use std::time::Duration;

use super::address::{PRESENTITY, presentity};
use super::kind::{List, Span, Text, words};
use super::section::Section;

/// One source of presence.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A calendar, or a folder of them.
    Calendar(CalendarSource),
    /// A command whose output is the state.
    Command(CommandSource),
}

/// A calendar, or a folder of them.
#[derive(Clone, Debug, PartialEq)]
pub struct CalendarSource {
    /// Its name: what it says replaces what it said before.
    pub name: String,
    /// Where it is.
    pub path: CalendarPath,
    /// Whose calendar it is; `{name}` in it stands for the file's name without `.ics`.
    pub presentity: String,
    /// How often the file is looked at for changes.
    pub refresh: Duration,
    /// The time zone of times that name none.
    pub timezone: TimeZone,
}

/// Where a calendar is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CalendarPath {
    /// The calendar within the program: a meeting every other minute.
    Demo,
    /// A file, or a folder whose `.ics` files are one presentity each.
    File(PathBuf),
}

/// The time zone of calendar times that name none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeZone {
    /// This machine's.
    System,
    /// This one.
    Named(chrono_tz::Tz),
}

/// A command whose output is the state.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandSource {
    /// Its name: what it says replaces what it said before.
    pub name: String,
    /// The program and its arguments; no shell is involved.
    pub command: Vec<String>,
    /// Whose state it tells.
    pub presentity: String,
    /// The pause between two runs.
    pub interval: Duration,
    /// How long a run may take.
    pub timeout: Duration,
}

/// Reads `[[source.calendar]]` and `[[source.command]]`.
pub(super) fn read(s: &mut Section<'_>) -> Vec<Source> {
    let calendars = s.sections("calendar", CalendarSource::read);
    let commands = s.sections("command", CommandSource::read);
    let calendars = calendars.into_iter().map(Source::Calendar);
    calendars
        .chain(commands.into_iter().map(Source::Command))
        .collect()
}

impl CalendarSource {
    /// The calendar of `rollcall run` when nothing else is configured.
    pub fn demo() -> Self {
        Self {
            name: "calendar".to_owned(),
            path: CalendarPath::Demo,
            presentity: "sip:demo@127.0.0.1".to_owned(),
            refresh: Duration::from_secs(10),
            timezone: TimeZone::System,
        }
    }

    fn read(s: &mut Section<'_>) -> Option<Self> {
        let name = s.key(
            "name",
            "The name of the source. Two sources may tell of the same presentity, and then need two names.",
            words("a name"),
            "calendar".to_owned(),
        );
        let path = s.required(
            "path",
            "An .ics file, or a folder of them, one presentity each; demo: is a calendar with a meeting every other minute.",
            CALENDAR,
            "\"calendars\"",
        );
        let presentity = s.required(
            "presentity",
            "Whose calendar it is. {name} stands for the file's name without .ics.",
            TEMPLATE,
            "\"sip:{name}@example.com\"",
        );
        let refresh = s.key(
            "refresh",
            "How often the file is looked at for changes. It is only read when its time or size has changed.",
            Span::seconds(1, 3600),
            Duration::from_secs(10),
        );
        let timezone = s.key(
            "timezone",
            "The time zone of times that name none, as people write them: this machine's.",
            ZONE,
            TimeZone::System,
        );
        Some(Self {
            name,
            path: path?,
            presentity: presentity?,
            refresh,
            timezone,
        })
    }
}

impl CommandSource {
    fn read(s: &mut Section<'_>) -> Option<Self> {
        let name = s.key(
            "name",
            "The name of the source. Two sources may tell of the same presentity, and then need two names.",
            words("a name"),
            "command".to_owned(),
        );
        let command = s.required(
            "command",
            "The program and its arguments. No shell, so nothing needs quoting.",
            List {
                least: 1,
                kind: words("a text"),
            },
            r#"["/usr/local/bin/desk-state", "alice"]"#,
        );
        let presentity = s.required(
            "presentity",
            "Whose state the command tells.",
            PRESENTITY,
            "\"sip:alice@example.com\"",
        );
        let interval = s.key(
            "interval",
            "The pause between two runs.",
            Span::seconds(1, 86_400),
            Duration::from_secs(60),
        );
        let timeout = s.key(
            "timeout",
            "How long a run may take before it is killed and counts as failed.",
            Span(Duration::from_millis(100)..=Duration::from_secs(600)),
            Duration::from_secs(10),
        );
        Some(Self {
            name,
            command: command?,
            presentity: presentity?,
            interval,
            timeout,
        })
    }
}

const CALENDAR: Text<CalendarPath> = Text {
    allowed: "the path of an .ics file or a folder, or \"demo:\"",
    read: |text| match text.trim() {
        "" => Err("is empty".to_owned()),
        "demo:" => Ok(CalendarPath::Demo),
        path => Ok(CalendarPath::File(PathBuf::from(path))),
    },
    write: |path| match path {
        CalendarPath::Demo => "demo:".to_owned(),
        CalendarPath::File(path) => path.display().to_string(),
    },
};

const TEMPLATE: Text<String> = Text {
    allowed: "a URI like \"sip:alice@example.com\" or \"sip:{name}@example.com\"",
    read: |text| {
        presentity(&text.replace("{name}", "name"))?;
        Ok(text.to_owned())
    },
    write: String::clone,
};

const ZONE: Text<TimeZone> = Text {
    allowed: "\"system\" or a name like \"Europe/Berlin\"",
    read: |text| match text {
        "system" => Ok(TimeZone::System),
        name => name
            .parse()
            .map(TimeZone::Named)
            .map_err(|_| "is no time zone".to_owned()),
    },
    write: |zone| match zone {
        TimeZone::System => "system".to_owned(),
        TimeZone::Named(zone) => zone.name().to_owned(),
    },
};
