//! Kinds of value: how each is read, what of it is allowed, and how it is written.

use std::fmt::{Display, Write as _};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::problem::Place;
use super::value::{Value, What};

/// A kind of value a key can have.
pub trait Kind {
    /// What is meant.
    type Is;
    /// What is allowed, in words that go on from "allowed is".
    fn allowed(&self) -> String;
    /// From what was typed.
    fn read(&self, value: &Value) -> Result<Self::Is, Wrong>;
    /// As it is written in a file.
    fn write(&self, is: &Self::Is) -> String;
}

/// Why a value can't be meant; what is allowed is added to it.
#[derive(Debug)]
pub struct Wrong {
    /// Where it stands; within a list, the entry.
    pub at: Place,
    /// The value, and what is wrong with it.
    pub sentence: String,
}

impl Wrong {
    /// This value is not among the allowed ones.
    pub fn not_allowed(value: &Value) -> Self {
        Self {
            at: value.at.clone(),
            sentence: format!("{} is not allowed", value.quoted()),
        }
    }

    /// This value is wrong for a reason of its own.
    pub fn because(value: &Value, reason: impl Display) -> Self {
        Self {
            at: value.at.clone(),
            sentence: format!("{} {reason}", value.quoted()),
        }
    }
}

/// A number without a fraction.
pub struct Whole<N>(pub RangeInclusive<N>);

impl<N: Copy + Display + PartialOrd + TryFrom<i64>> Kind for Whole<N> {
    type Is = N;

    fn allowed(&self) -> String {
        format!("a whole number from {} to {}", self.0.start(), self.0.end())
    }

    fn read(&self, value: &Value) -> Result<N, Wrong> {
        let number = match &value.what {
            What::Whole(number) => *number,
            What::Typed(text) => text.parse().ok(),
            What::Text(_) | What::Number(_) | What::Truth(_) => None,
            What::List(_) | What::Table(_) | What::Date(_) => None,
        };
        number
            .and_then(|number| N::try_from(number).ok())
            .filter(|number| self.0.contains(number))
            .ok_or_else(|| Wrong::not_allowed(value))
    }

    fn write(&self, is: &N) -> String {
        is.to_string()
    }
}

/// A number that may have a fraction, within a range.
pub struct Number(pub RangeInclusive<f64>);

impl Kind for Number {
    type Is = f64;

    fn allowed(&self) -> String {
        format!("a number from {} to {}", self.0.start(), self.0.end())
    }

    fn read(&self, value: &Value) -> Result<f64, Wrong> {
        let number = match &value.what {
            What::Number(number) => Some(*number),
            // Exact for everything a range here admits.
            What::Whole(number) => number.map(|number| number as f64),
            What::Typed(text) => text.parse().ok(),
            What::Text(_) | What::Truth(_) | What::List(_) | What::Table(_) | What::Date(_) => None,
        };
        number
            .filter(|number| self.0.contains(number))
            .ok_or_else(|| Wrong::not_allowed(value))
    }

    fn write(&self, is: &f64) -> String {
        format!("{is:?}")
    }
}

/// True or false.
pub struct Truth;

impl Kind for Truth {
    type Is = bool;

    fn allowed(&self) -> String {
        "true or false".to_owned()
    }

    fn read(&self, value: &Value) -> Result<bool, Wrong> {
        match &value.what {
            What::Truth(truth) => Ok(*truth),
            What::Typed(text) => text.parse().map_err(|_| Wrong::not_allowed(value)),
            _ => Err(Wrong::not_allowed(value)),
        }
    }

    fn write(&self, is: &bool) -> String {
        is.to_string()
    }
}

/// A span of time: `"500ms"`, `"30s"`, `"5m"`, `"1h"`, `"7d"`, or a number of seconds.
pub struct Span(pub RangeInclusive<Duration>);

impl Span {
    /// A span within a range that is given in seconds.
    pub const fn seconds(least: u64, most: u64) -> Self {
        Self(Duration::from_secs(least)..=Duration::from_secs(most))
    }
}

const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

impl Kind for Span {
    type Is = Duration;

    fn allowed(&self) -> String {
        let (least, most) = (span_text(*self.0.start()), span_text(*self.0.end()));
        format!("a span of time from {least} to {most}, like \"30s\" or \"5m\"")
    }

    fn read(&self, value: &Value) -> Result<Duration, Wrong> {
        let span = match &value.what {
            What::Whole(Some(seconds)) => u64::try_from(*seconds).ok().map(Duration::from_secs),
            What::Text(text) | What::Typed(text) => read_span(text),
            _ => None,
        };
        span.filter(|span| self.0.contains(span))
            .ok_or_else(|| Wrong::not_allowed(value))
    }

    fn write(&self, is: &Duration) -> String {
        format!("{:?}", span_text(*is))
    }
}

fn read_span(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "" => 1_000,
        unit => UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    number.checked_mul(unit).map(Duration::from_millis)
}

/// In the largest unit that needs no fraction.
pub(super) fn span_text(span: Duration) -> String {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let whole = UNITS
        .iter()
        .rev()
        .find(|(_, unit)| millis.is_multiple_of(*unit));
    // One day is told as 24h, as people say it in timers.
    let (name, unit) = match whole {
        Some(("d", _)) if millis < 2 * 86_400_000 => ("h", 3_600_000),
        Some((name, unit)) => (*name, *unit),
        None => ("ms", 1),
    };
    format!("{}{name}", millis / unit)
}

/// One of a few words, each with its meaning.
pub struct OneOf<T: 'static>(pub &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Kind for OneOf<T> {
    type Is = T;

    fn allowed(&self) -> String {
        let mut words = String::new();
        for (n, (word, _)) in self.0.iter().enumerate() {
            let between = match n {
                0 => "",
                n if n + 1 == self.0.len() => " or ",
                _ => ", ",
            };
            // Writing to a String does not fail.
            let _ = write!(words, "{between}{word:?}");
        }
        words
    }

    fn read(&self, value: &Value) -> Result<T, Wrong> {
        let word = value.text().unwrap_or_default();
        self.0
            .iter()
            .find(|(name, _)| *name == word)
            .map(|(_, is)| *is)
            .ok_or_else(|| Wrong::not_allowed(value))
    }

    fn write(&self, is: &T) -> String {
        let word = self
            .0
            .iter()
            .find(|(_, of)| of == is)
            .map_or("", |(word, _)| *word);
        format!("{word:?}")
    }
}

/// A value that is a text with rules of its own.
pub struct Text<T> {
    /// What is allowed, in words.
    pub allowed: &'static str,
    /// From the text; the error goes on from the quoted value.
    pub read: fn(&str) -> Result<T, String>,
    /// Back to the text.
    pub write: fn(&T) -> String,
}

impl<T> Kind for Text<T> {
    type Is = T;

    fn allowed(&self) -> String {
        self.allowed.to_owned()
    }

    fn read(&self, value: &Value) -> Result<T, Wrong> {
        let text = value.text().ok_or_else(|| Wrong::not_allowed(value))?;
        (self.read)(text).map_err(|reason| Wrong::because(value, reason))
    }

    fn write(&self, is: &T) -> String {
        format!("{:?}", (self.write)(is))
    }
}

/// A text of any wording, but not empty.
pub fn words(allowed: &'static str) -> Text<String> {
    Text {
        allowed,
        read: |text| match text.trim() {
            "" => Err("is empty".to_owned()),
            text => Ok(text.to_owned()),
        },
        write: Clone::clone,
    }
}

/// A value or a word for none. TOML has no null, and a file that shows every key needs something to show.
pub struct Optional<K> {
    /// What stands for none: `""`, `"auto"`.
    pub none: &'static str,
    /// What that means, for the help.
    pub meaning: &'static str,
    /// The kind of the value.
    pub kind: K,
}

impl<K: Kind> Kind for Optional<K> {
    type Is = Option<K::Is>;

    fn allowed(&self) -> String {
        format!(
            "{}, or {:?} for {}",
            self.kind.allowed(),
            self.none,
            self.meaning
        )
    }

    fn read(&self, value: &Value) -> Result<Self::Is, Wrong> {
        if value.text() == Some(self.none) {
            return Ok(None);
        }
        self.kind.read(value).map(Some)
    }

    fn write(&self, is: &Self::Is) -> String {
        match is {
            Some(is) => self.kind.write(is),
            None => format!("{:?}", self.none),
        }
    }
}

/// A list; a single value is as good as a list of one.
pub struct List<K> {
    /// How few are enough.
    pub least: usize,
    /// The kind of the entries.
    pub kind: K,
}

impl<K: Kind> Kind for List<K> {
    type Is = Vec<K::Is>;

    fn allowed(&self) -> String {
        match self.least {
            0 => format!("a list, each entry {}", self.kind.allowed()),
            1 => format!(
                "a list that is not empty, each entry {}",
                self.kind.allowed()
            ),
            least => format!(
                "a list of at least {least}, each entry {}",
                self.kind.allowed()
            ),
        }
    }

    fn read(&self, value: &Value) -> Result<Self::Is, Wrong> {
        let What::List(values) = &value.what else {
            return Ok(vec![self.kind.read(value)?]);
        };
        if values.len() < self.least {
            return Err(Wrong::because(value, "is too short"));
        }
        values.iter().map(|value| self.kind.read(value)).collect()
    }

    fn write(&self, is: &Self::Is) -> String {
        let entries: Vec<_> = is.iter().map(|is| self.kind.write(is)).collect();
        format!("[{}]", entries.join(", "))
    }
}
