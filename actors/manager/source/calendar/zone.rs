//! Time zones of a calendar (RFC 5545, 3.2.19 and 3.6.5): known by name, or defined in the file as other programs do.

use chrono::{DateTime, Duration, MappedLocalTime, NaiveDateTime, Offset as _, TimeZone as _, Utc};
use chrono_tz::Tz;

use super::lines::{Component, Fault, IcsError, Line};
use super::recurrence::Rule;
use super::value;

/// How wall-clock time becomes a point in time, told in seconds since the epoch.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Zone {
    /// By the time zone database; UTC is one of them.
    Named(Tz),
    /// By the file's own definition.
    Defined(Vec<Onset>),
}

/// A change of the offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Onset {
    /// The wall clock at which it comes, by the offset before.
    at: NaiveDateTime,
    /// The offset before, in seconds.
    from: i64,
    /// The offset after, in seconds.
    to: i64,
}

/// What a definition's rules are followed to: later times use the last offset.
const LAST_YEAR: &str = "21000101T000000";
/// A zone changes its offset twice a year, and files define it from 1601 on.
const MAX_ONSETS: usize = 2000;

impl Zone {
    /// Seconds since the epoch at which clocks show `local`. A time that clocks skip is taken by the offset before the
    /// gap, one that they show twice is the first (RFC 5545, 3.3.5).
    pub fn seconds(&self, local: NaiveDateTime) -> i64 {
        let wall = local.and_utc().timestamp();
        match self {
            Self::Named(tz) => match tz.from_local_datetime(&local) {
                MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(at, _) => at.timestamp(),
                MappedLocalTime::None => {
                    // The widest gap there ever was is a day (Samoa, 2011).
                    let before = local
                        .checked_sub_signed(Duration::hours(25))
                        .unwrap_or(local);
                    let offset = tz.offset_from_utc_datetime(&before).fix().local_minus_utc();
                    wall - i64::from(offset)
                }
            },
            Self::Defined(onsets) => wall - offset(onsets, local),
        }
    }

    /// What clocks show at a point in time.
    pub fn local(&self, seconds: i64) -> Option<NaiveDateTime> {
        let utc = DateTime::<Utc>::from_timestamp(seconds, 0)?.naive_utc();
        Some(match self {
            Self::Named(tz) => tz.from_utc_datetime(&utc).naive_local(),
            Self::Defined(onsets) => {
                // Onsets are told in wall-clock time, which is being looked for: the second step corrects the first.
                let near = utc.checked_add_signed(Duration::seconds(offset(onsets, utc)))?;
                utc.checked_add_signed(Duration::seconds(offset(onsets, near)))?
            }
        })
    }

    /// A zone by its name: of the database, or with a prefix as some programs write it.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.trim().trim_matches('"');
        let suffixes = name.match_indices('/').map(|(at, _)| &name[at + 1..]);
        std::iter::once(name)
            .chain(suffixes)
            .find_map(|name| name.parse().ok())
            .map(Self::Named)
    }

    /// A zone as a VTIMEZONE defines it, with its name.
    pub fn defined(component: &Component) -> Result<Option<(String, Self)>, IcsError> {
        let Some(name) = component.line("TZID") else {
            return Ok(None);
        };
        let mut onsets = Vec::new();
        for observance in &component.within {
            if matches!(observance.name.as_str(), "STANDARD" | "DAYLIGHT") {
                read_observance(observance, &mut onsets)?;
            }
        }
        if onsets.is_empty() {
            return Ok(None);
        }
        onsets.sort_by_key(|onset: &Onset| onset.at);
        Ok(Some((name.text(), Self::Defined(onsets))))
    }
}

fn offset(onsets: &[Onset], local: NaiveDateTime) -> i64 {
    let passed = onsets.partition_point(|onset| onset.at <= local);
    let Some(onset) = passed.checked_sub(1).and_then(|last| onsets.get(last)) else {
        return onsets.first().map_or(0, |first| first.from);
    };
    // Within the gap that a step forward leaves, the offset before holds.
    let gap = (onset.to - onset.from).max(0);
    if (local - onset.at).num_seconds() < gap {
        onset.from
    } else {
        onset.to
    }
}

fn read_observance(component: &Component, onsets: &mut Vec<Onset>) -> Result<(), IcsError> {
    let need = |name| {
        component
            .line(name)
            .ok_or_else(|| IcsError::at(component.number, Fault::Missing(name)))
    };
    let start_line = need("DTSTART")?;
    let start = value::date_time(&start_line.value)
        .ok_or_else(|| start_line.wrong("a date and time like 19701025T030000"))?
        .local;
    let from = utc_offset(need("TZOFFSETFROM")?)?;
    let to = utc_offset(need("TZOFFSETTO")?)?;
    let mut add = |at| onsets.push(Onset { at, from, to });
    add(start);
    let last = value::date_time(LAST_YEAR).map(|last| last.local);
    for line in component.lines("RRULE") {
        // UNTIL of an observance is in UTC; its offset before makes it wall-clock time.
        let rule = Rule::read(line, start, &|at| Some(at + Duration::seconds(from)))?;
        for at in rule.from(None).take(MAX_ONSETS) {
            if last.is_some_and(|last| at > last) {
                break;
            }
            add(at);
        }
    }
    for line in component.lines("RDATE") {
        for part in line.value.split(',') {
            add(value::date_time(part)
                .ok_or_else(|| line.wrong("dates and times"))?
                .local);
        }
    }
    Ok(())
}

fn utc_offset(line: &Line) -> Result<i64, IcsError> {
    let text = line.value.trim();
    let wrong = || line.wrong("an offset like +0100");
    let (sign, digits) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(digits), _) => (1, digits),
        (None, Some(digits)) => (-1, digits),
        (None, None) => return Err(wrong()),
    };
    if !matches!(digits.len(), 4 | 6) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let number = |range: std::ops::Range<usize>| {
        digits
            .get(range)
            .map_or(Ok(0), str::parse::<i64>)
            .map_err(|_| wrong())
    };
    Ok(sign * (number(0..2)? * 3600 + number(2..4)? * 60 + number(4..6)?))
}
