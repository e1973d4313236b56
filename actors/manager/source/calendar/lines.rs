//! Content lines of an iCalendar stream (RFC 5545, 3.1): unfolded, split, each with its number in the file.
//!
//! A reader of our own, since errors must name the line of the file and nothing may be recursive: calendars come from
//! anywhere.

use std::fmt;

/// Why a calendar can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IcsError {
    /// The line of the file, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub fault: Fault,
}

impl IcsError {
    pub(super) fn at(line: usize, fault: Fault) -> Self {
        Self { line, fault }
    }
}

impl fmt::Display for IcsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.fault)
    }
}

impl std::error::Error for IcsError {}

/// What is wrong with a line of a calendar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not UTF-8.
    #[error("the file is no UTF-8 text from here on")]
    Encoding,
    /// More than a line may have.
    #[error("the file is longer than {MAX_LEN} bytes")]
    TooLong,
    /// Nothing of a calendar in it.
    #[error("the file has no BEGIN:VCALENDAR")]
    NoCalendar,
    /// Not `NAME:value`.
    #[error("{0:?} is no content line; allowed is NAME:value")]
    NoContentLine(String),
    /// A quote that does not end.
    #[error("a quoted parameter does not end")]
    OpenQuote,
    /// `END` of something else.
    #[error("END:{found} where END:{wanted} is due")]
    WrongEnd {
        /// What was begun.
        wanted: String,
        /// What is ended.
        found: String,
    },
    /// The file ends early.
    #[error("the file ends within {0}")]
    Unfinished(String),
    /// Components within components within …
    #[error("components are nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// A line that belongs to nothing.
    #[error("{0} stands outside of every component")]
    Stray(String),
    /// A property that must be there.
    #[error("the event has no {0}")]
    Missing(&'static str),
    /// A value that is not what the property needs.
    #[error("{property} is {value:?}; allowed is {allowed}")]
    Value {
        /// The property.
        property: String,
        /// What it has.
        value: String,
        /// What it may have.
        allowed: &'static str,
    },
    /// An end before its start.
    #[error("the event ends before it starts")]
    Backwards,
    /// A time zone nobody knows.
    #[error("the time zone {0:?} is neither known nor defined in the file")]
    Zone(String),
    /// A recurrence rule that can't be used, in the words of its reader.
    #[error("the recurrence rule can't be used: {0}")]
    Rule(String),
}

/// The longest file that is read.
pub const MAX_LEN: usize = 16 * 1024 * 1024;
/// The deepest nesting of components; three are usual.
pub const MAX_DEPTH: usize = 16;

/// One content line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Where it begins in the file.
    pub number: usize,
    /// The name, in upper case.
    pub name: String,
    /// Parameters, names in upper case, values without quotes.
    pub params: Vec<(String, String)>,
    /// The value as written.
    pub value: String,
}

impl Line {
    /// A parameter's value.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(param, _)| param == name)
            .map(|(_, value)| value.as_str())
    }

    /// The value of a TEXT property (RFC 5545, 3.3.11).
    pub fn text(&self) -> String {
        unescape(&self.value)
    }

    /// The values of a property that is a list of TEXT.
    pub fn texts(&self) -> Vec<String> {
        let mut parts = vec![String::new()];
        let mut escaped = false;
        for c in self.value.chars() {
            if c == ',' && !escaped {
                parts.push(String::new());
                continue;
            }
            escaped = c == '\\' && !escaped;
            if let Some(part) = parts.last_mut() {
                part.push(c);
            }
        }
        parts.iter().map(|part| unescape(part)).collect()
    }

    /// This line's value is wrong.
    pub fn wrong(&self, allowed: &'static str) -> IcsError {
        let (property, value) = (self.name.clone(), self.value.chars().take(80).collect());
        IcsError::at(
            self.number,
            Fault::Value {
                property,
                value,
                allowed,
            },
        )
    }
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n' | 'N') => out.push('\n'),
                Some(c) => out.push(c),
                None => out.push('\\'),
            },
            c => out.push(c),
        }
    }
    out.trim().to_owned()
}

/// One component: `BEGIN:VEVENT` … `END:VEVENT`, its own lines and those of the components within.
#[derive(Clone, Debug, Default)]
pub(super) struct Component {
    /// Where it begins.
    pub number: usize,
    /// `VEVENT`, in upper case.
    pub name: String,
    /// Its own lines.
    pub lines: Vec<Line>,
    /// The components within it.
    pub within: Vec<Component>,
}

impl Component {
    /// The first line of a name.
    pub fn line(&self, name: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.name == name)
    }

    /// All lines of a name.
    pub fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Line> {
        self.lines.iter().filter(move |line| line.name == name)
    }
}

/// Reads a stream into its calendars.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Component>, IcsError> {
    if bytes.len() > MAX_LEN {
        return Err(IcsError::at(1, Fault::TooLong));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let good = &bytes[..error.valid_up_to()];
        IcsError::at(
            1 + good.iter().filter(|b| **b == b'\n').count(),
            Fault::Encoding,
        )
    })?;
    let mut calendars = Vec::new();
    // The components that are open, the innermost last.
    let mut open: Vec<Component> = Vec::new();
    for (number, content) in unfold(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        let line = split(number, &content)?;
        match line.name.as_str() {
            "BEGIN" if open.len() == MAX_DEPTH => {
                return Err(IcsError::at(number, Fault::TooDeep));
            }
            "BEGIN" => {
                let name = line.value.trim().to_ascii_uppercase();
                open.push(Component {
                    number,
                    name,
                    ..Component::default()
                });
            }
            "END" => {
                let found = line.value.trim().to_ascii_uppercase();
                let Some(component) = open.pop() else {
                    return Err(IcsError::at(number, Fault::Stray(format!("END:{found}"))));
                };
                if component.name != found {
                    let wanted = component.name;
                    return Err(IcsError::at(number, Fault::WrongEnd { wanted, found }));
                }
                match open.last_mut() {
                    Some(parent) => parent.within.push(component),
                    None if component.name == "VCALENDAR" => calendars.push(component),
                    None => {}
                }
            }
            _ => match open.last_mut() {
                Some(component) => component.lines.push(line),
                None => return Err(IcsError::at(number, Fault::Stray(line.name))),
            },
        }
    }
    if let Some(component) = open.pop() {
        return Err(IcsError::at(
            text.lines().count(),
            Fault::Unfinished(component.name),
        ));
    }
    if calendars.is_empty() {
        return Err(IcsError::at(1, Fault::NoCalendar));
    }
    Ok(calendars)
}

/// Joins folded lines: one that begins with a blank goes on from the one before. Empty lines are skipped.
fn unfold(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(rest), Some((_, last))) => last.push_str(rest),
            _ if line.trim().is_empty() => {}
            _ => lines.push((index + 1, line.to_owned())),
        }
    }
    lines
}

/// `NAME;PARAM=value;PARAM="a:b":value`.
fn split(number: usize, content: &str) -> Result<Line, IcsError> {
    let no_line = || {
        IcsError::at(
            number,
            Fault::NoContentLine(content.chars().take(40).collect()),
        )
    };
    let end = content.find([':', ';']).ok_or_else(no_line)?;
    let name = &content[..end];
    let named = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if name.is_empty() || !name.chars().all(named) {
        return Err(no_line());
    }
    let mut params = Vec::new();
    let mut rest = &content[end..];
    while let Some(param) = rest.strip_prefix(';') {
        let equals = param.find(['=', ';', ':']).ok_or_else(no_line)?;
        let key = param[..equals].trim().to_ascii_uppercase();
        rest = &param[equals..];
        let mut value = String::new();
        if let Some(after) = rest.strip_prefix('=') {
            let mut quoted = false;
            let mut at = after.len();
            for (index, c) in after.char_indices() {
                match c {
                    '"' => quoted = !quoted,
                    ';' | ':' if !quoted => {
                        at = index;
                        break;
                    }
                    c => value.push(c),
                }
            }
            if quoted {
                return Err(IcsError::at(number, Fault::OpenQuote));
            }
            rest = &after[at..];
        }
        params.push((key, value));
    }
    let value = rest.strip_prefix(':').ok_or_else(no_line)?.to_owned();
    Ok(Line {
        number,
        name: name.to_ascii_uppercase(),
        params,
        value,
    })
}
