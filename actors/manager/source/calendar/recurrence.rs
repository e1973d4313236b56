//! Recurrence rules (RFC 5545, 3.3.10) in wall-clock time.
//!
//! The rule is expanded on a clock without time zone, and each occurrence is placed in its zone afterwards. So an
//! occurrence in the hour that a zone skips is not lost, and a rule can be entered in the middle: on such a clock
//! every interval of hours, days or weeks has the same length.

use std::num::NonZeroU16;

use chrono::{Duration, NaiveDateTime, TimeZone as _};
use rrule::{Frequency, RRule, RRuleSet, Unvalidated};

use super::lines::{Fault, IcsError, Line};
use super::value;

/// A rule with its first occurrence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    start: NaiveDateTime,
    rule: RRule<Unvalidated>,
    until: Option<NaiveDateTime>,
}

/// Makes wall-clock time of a time in UTC.
pub(super) type ToLocal<'a> = &'a dyn Fn(NaiveDateTime) -> Option<NaiveDateTime>;

impl Rule {
    /// Reads the rule of an event that starts at `start`.
    pub fn read(
        line: &Line,
        start: NaiveDateTime,
        to_local: ToLocal<'_>,
    ) -> Result<Self, IcsError> {
        let mut until = None;
        let mut parts = Vec::new();
        for part in line.value.trim().split(';').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                // The end is kept apart, since its zone is the event's and files mix its types.
                Some((name, end)) if name.eq_ignore_ascii_case("UNTIL") => {
                    until = Some(read_until(line, end, to_local)?);
                }
                _ => parts.push(part),
            }
        }
        let fault =
            |error: &dyn ToString| IcsError::at(line.number, Fault::Rule(error.to_string()));
        let rule: RRule<Unvalidated> = parts
            .join(";")
            .parse()
            .map_err(|error: rrule::RRuleError| fault(&error))?;
        if rule.get_freq() == Frequency::Secondly {
            return Err(fault(&"nobody's state changes every second"));
        }
        let is = Self { start, rule, until };
        is.rule
            .clone()
            .validate(utc(start))
            .map_err(|error| fault(&error))?;
        Ok(is)
    }

    /// The occurrences in their order, from about `begin` on; what lies before it may or may not be among them.
    pub fn from(&self, begin: Option<NaiveDateTime>) -> impl Iterator<Item = NaiveDateTime> {
        let start = begin.map_or(self.start, |begin| self.enter(begin));
        // It was valid at its own start, and neither limit nor interval changes with another one.
        let rule = self.rule.clone().validate(utc(start)).ok();
        let set = rule.map(|rule| RRuleSet::new(utc(start)).rrule(rule).limit());
        let until = self.until;
        set.into_iter()
            .flat_map(|set| (&set).into_iter())
            .map(|at| at.naive_utc())
            .take_while(move |at| until.is_none_or(|until| *at <= until))
    }

    /// The last start at or before `begin` that gives the same occurrences from there on.
    fn enter(&self, begin: NaiveDateTime) -> NaiveDateTime {
        let unit = match self.rule.get_freq() {
            Frequency::Minutely => 60,
            Frequency::Hourly => 3600,
            Frequency::Daily => 86_400,
            Frequency::Weekly => 7 * 86_400,
            // Months and years differ in length, but even from the year 1601 there are few of them.
            Frequency::Secondly | Frequency::Monthly | Frequency::Yearly => return self.start,
        };
        let (None, Some(interval)) = (
            self.rule.get_count(),
            NonZeroU16::new(self.rule.get_interval()),
        ) else {
            return self.start;
        };
        let step = unit * i64::from(interval.get());
        // One interval earlier, since the set of an interval may lie before its start (weeks, BYHOUR).
        let whole = (begin - self.start).num_seconds() / step - 1;
        if whole <= 0 {
            return self.start;
        }
        self.start
            .checked_add_signed(Duration::seconds(whole * step))
            .unwrap_or(self.start)
    }
}

fn read_until(line: &Line, end: &str, to_local: ToLocal<'_>) -> Result<NaiveDateTime, IcsError> {
    let wrong = || line.wrong("a rule whose UNTIL is a date or a date and time");
    let end = value::date_time(end).ok_or_else(wrong)?;
    if end.date_only {
        // All of that day.
        return end
            .local
            .checked_add_signed(Duration::seconds(86_399))
            .ok_or_else(wrong);
    }
    if end.utc {
        to_local(end.local).ok_or_else(wrong)
    } else {
        Ok(end.local)
    }
}

fn utc(local: NaiveDateTime) -> chrono::DateTime<rrule::Tz> {
    rrule::Tz::UTC.from_utc_datetime(&local)
}
