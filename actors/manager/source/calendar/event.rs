//! Events of a calendar (RFC 5545, 3.6.1) as what they mean for presence.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Duration, NaiveDateTime};
use rollcall_core::pidf::vocabulary::ACTIVITIES;

use super::lines::{Component, Fault, IcsError, Line};
use super::recurrence::Rule;
use super::value::{self, Length, Written};
use super::zone::Zone;

/// Zones of a file: those that it defines, and the one of times that name none.
pub(super) struct Zones {
    /// By TZID.
    pub defined: BTreeMap<String, Zone>,
    /// For floating times and whole days.
    pub floating: Zone,
}

/// An event in which somebody is busy.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// What overrides belong to.
    pub uid: Option<String>,
    /// The occurrence of a recurring event that this one stands for, in seconds since the epoch.
    pub replaces: Option<i64>,
    /// The newer of two versions has the higher number.
    pub sequence: i64,
    /// Whether it takes place and takes time: cancelled and transparent events only replace others.
    pub counts: bool,
    /// The RPID activity (RFC 4480, 3.2).
    pub activity: &'static str,
    /// What may be told about it.
    pub note: Option<String>,
    zone: Zone,
    start: NaiveDateTime,
    length: Length,
    rules: Vec<Rule>,
    extra: Vec<(i64, Option<Length>)>,
    excluded: BTreeSet<i64>,
    excluded_days: BTreeSet<NaiveDateTime>,
}

/// An occurrence: from its first to before its last second since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// Its first second.
    pub start: i64,
    /// The second after its last.
    pub end: i64,
}

/// How many occurrences of an event are looked at for one answer; a daily event has that many in 27 years.
const MAX_OCCURRENCES: usize = 10_000;

impl Event {
    /// Reads a VEVENT.
    pub fn read(component: &Component, zones: &Zones) -> Result<Self, IcsError> {
        let start_line = component
            .line("DTSTART")
            .ok_or_else(|| IcsError::at(component.number, Fault::Missing("DTSTART")))?;
        let (start, zone) = when(start_line, &start_line.value, zones)?;
        let to_local = |at: NaiveDateTime| zone.local(at.and_utc().timestamp());
        let rules = component
            .lines("RRULE")
            .map(|line| Rule::read(line, start.local, &to_local))
            .collect::<Result<_, _>>()?;
        let mut event = Self {
            uid: component.line("UID").map(Line::text),
            replaces: None,
            sequence: component
                .line("SEQUENCE")
                .and_then(|l| l.value.trim().parse().ok())
                .unwrap_or(0),
            counts: counts(component),
            activity: activity(component, start.date_only),
            note: note(component),
            length: length(component, &start, &zone, zones)?,
            start: start.local,
            rules,
            extra: Vec::new(),
            excluded: BTreeSet::new(),
            excluded_days: BTreeSet::new(),
            zone,
        };
        if let Some(line) = component.line("RECURRENCE-ID") {
            let (at, zone) = when(line, &line.value, zones)?;
            event.replaces = Some(zone.seconds(at.local));
        }
        event.read_dates(component, &start, zones)?;
        Ok(event)
    }

    fn read_dates(
        &mut self,
        component: &Component,
        start: &Written,
        zones: &Zones,
    ) -> Result<(), IcsError> {
        for line in component.lines("EXDATE") {
            for part in line.value.split(',').filter(|part| !part.trim().is_empty()) {
                let (at, zone) = when(line, part, zones)?;
                // A day takes out all that begins on it, even if the event has a time.
                if at.date_only && !start.date_only {
                    self.excluded_days.insert(at.local);
                } else {
                    self.excluded.insert(zone.seconds(at.local));
                }
            }
        }
        for line in component.lines("RDATE") {
            for part in line.value.split(',').filter(|part| !part.trim().is_empty()) {
                let (first, last) = match part.split_once('/') {
                    Some((first, last)) => (first, Some(last)),
                    None => (part, None),
                };
                let (at, zone) = when(line, first, zones)?;
                let begin = zone.seconds(at.local);
                let length = match last {
                    None => None,
                    Some(last) if last.trim_start().starts_with(['P', '+']) => {
                        Some(value::duration(last).ok_or_else(|| line.wrong("a period"))?)
                    }
                    Some(last) => {
                        let (end, zone) = when(line, last, zones)?;
                        let seconds = zone.seconds(end.local) - begin;
                        Some(Length {
                            days: 0,
                            seconds: seconds.max(0),
                        })
                    }
                };
                self.extra.push((begin, length));
            }
        }
        Ok(())
    }

    /// This occurrence has an event of its own.
    pub fn exclude(&mut self, at: i64) {
        self.excluded.insert(at);
    }

    /// The occurrences in force at `now`, and the first that begins after it.
    pub fn around(&self, now: i64) -> (Vec<Slot>, Option<Slot>) {
        let mut in_force = Vec::new();
        let mut next: Option<Slot> = None;
        let mut look = |slot: Slot| {
            if slot.start > now {
                if next.is_none_or(|next| slot.start < next.start) {
                    next = Some(slot);
                }
            } else if slot.end > now && !in_force.contains(&slot) {
                in_force.push(slot);
            }
        };
        if let Some(slot) = self.slot(self.start) {
            look(slot);
        }
        for (start, length) in &self.extra {
            if self.excluded.contains(start) {
                continue;
            }
            if let Some(local) = self.zone.local(*start) {
                let length = length.unwrap_or(self.length);
                look(Slot {
                    start: *start,
                    end: self.end(local, *start, length),
                });
            }
        }
        let begin = self.zone.local(now - self.length.at_most());
        for rule in &self.rules {
            for local in rule.from(begin).take(MAX_OCCURRENCES) {
                let Some(slot) = self.slot(local) else {
                    continue;
                };
                look(slot);
                if slot.start > now {
                    break;
                }
            }
        }
        (in_force, next)
    }

    /// The occurrence that begins when clocks show `local`, unless it is taken out.
    fn slot(&self, local: NaiveDateTime) -> Option<Slot> {
        let start = self.zone.seconds(local);
        let day = local.date().into();
        if self.excluded.contains(&start) || self.excluded_days.contains(&day) {
            return None;
        }
        Some(Slot {
            start,
            end: self.end(local, start, self.length),
        })
    }

    fn end(&self, local: NaiveDateTime, start: i64, length: Length) -> i64 {
        if length.days == 0 {
            return start + length.seconds;
        }
        let day = local
            .checked_add_signed(Duration::days(length.days))
            .unwrap_or(local);
        self.zone.seconds(day) + length.seconds
    }
}

/// A date or time of a property with its zone: UTC, the one that TZID names, or the floating one.
fn when(line: &Line, text: &str, zones: &Zones) -> Result<(Written, Zone), IcsError> {
    let written = value::date_time(text)
        .ok_or_else(|| line.wrong("a date like 20260102, or with a time like 20260102T030405Z"))?;
    if written.utc {
        return Ok((written, Zone::Named(chrono_tz::UTC)));
    }
    let zone = match line.param("TZID").filter(|_| !written.date_only) {
        None => zones.floating.clone(),
        Some(name) => Zone::named(name)
            .or_else(|| zones.defined.get(name).cloned())
            .ok_or_else(|| IcsError::at(line.number, Fault::Zone(name.to_owned())))?,
    };
    Ok((written, zone))
}

fn length(
    component: &Component,
    start: &Written,
    zone: &Zone,
    zones: &Zones,
) -> Result<Length, IcsError> {
    if let Some(line) = component.line("DTEND") {
        let (end, end_zone) = when(line, &line.value, zones)?;
        let length = if start.date_only && end.date_only {
            Length {
                days: (end.local - start.local).num_days(),
                seconds: 0,
            }
        } else {
            let seconds = end_zone.seconds(end.local) - zone.seconds(start.local);
            Length { days: 0, seconds }
        };
        if length.days < 0 || length.seconds < 0 {
            return Err(IcsError::at(line.number, Fault::Backwards));
        }
        return Ok(length);
    }
    if let Some(line) = component.line("DURATION") {
        return value::duration(&line.value).ok_or_else(|| line.wrong("a duration like PT1H30M"));
    }
    // A whole day, or a moment that takes no time (RFC 5545, 3.6.1).
    Ok(Length {
        days: i64::from(start.date_only),
        seconds: 0,
    })
}

fn value_of(component: &Component, name: &str) -> String {
    component
        .line(name)
        .map(|line| line.value.trim().to_ascii_uppercase())
        .unwrap_or_default()
}

const BUSY_STATUS: &str = "X-MICROSOFT-CDO-BUSYSTATUS";

fn counts(component: &Component) -> bool {
    value_of(component, "STATUS") != "CANCELLED"
        && value_of(component, "TRANSP") != "TRANSPARENT"
        && value_of(component, BUSY_STATUS) != "FREE"
}

/// A category that is an activity says it best; then Outlook's "out of office"; then whether there is company.
fn activity(component: &Component, whole_days: bool) -> &'static str {
    for category in component.lines("CATEGORIES").flat_map(Line::texts) {
        let word = category.to_lowercase().replace(' ', "-");
        if let Some(activity) = ACTIVITIES.iter().find(|activity| **activity == word) {
            return activity;
        }
    }
    let alone = component.line("ATTENDEE").is_none();
    if value_of(component, BUSY_STATUS) == "OOF" {
        if whole_days { "vacation" } else { "away" }
    } else if alone && value_of(component, "TRANSP") == "OPAQUE" {
        "busy"
    } else {
        "meeting"
    }
}

/// What is private is nobody's business: watchers see the activity only.
fn note(component: &Component) -> Option<String> {
    let class = value_of(component, "CLASS");
    if !class.is_empty() && class != "PUBLIC" {
        return None;
    }
    component
        .line("SUMMARY")
        .map(Line::text)
        .filter(|text| !text.is_empty())
}
