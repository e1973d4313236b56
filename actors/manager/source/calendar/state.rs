//! What a calendar says of somebody at a given time, and when that changes.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use rollcall_core::manager::{Basic, Note, Presence};
use rollcall_core::time::Timestamp;

use super::event::{Event, Slot, Zones};
use super::lines::{self, Component, IcsError};
use super::zone::Zone;

/// The events of one person.
#[derive(Clone, Debug)]
pub struct Calendar {
    events: Vec<Event>,
    presentity: Option<String>,
}

/// Names the presentity of a file, where the configuration does not.
const PRESENTITY: &str = "X-ROLLCALL-PRESENTITY";

impl Calendar {
    /// Reads an iCalendar stream. Times that name no zone are in the file's (`X-WR-TIMEZONE`), or else in `floating`.
    pub fn read(bytes: &[u8], floating: Tz) -> Result<Self, IcsError> {
        let mut all = Self {
            events: Vec::new(),
            presentity: None,
        };
        for calendar in lines::read(bytes)? {
            all.add(&calendar, floating)?;
        }
        Ok(all)
    }

    fn add(&mut self, calendar: &Component, floating: Tz) -> Result<(), IcsError> {
        let own_zone = calendar
            .line("X-WR-TIMEZONE")
            .and_then(|line| Zone::named(&line.text()));
        let mut zones = Zones {
            defined: BTreeMap::new(),
            floating: own_zone.unwrap_or(Zone::Named(floating)),
        };
        for component in calendar.within.iter().filter(|c| c.name == "VTIMEZONE") {
            zones.defined.extend(Zone::defined(component)?);
        }
        let mut events = Vec::new();
        for component in calendar.within.iter().filter(|c| c.name == "VEVENT") {
            events.push(Event::read(component, &zones)?);
        }
        override_occurrences(&mut events);
        self.events.append(&mut events);
        if let Some(line) = calendar.line(PRESENTITY) {
            self.presentity = Some(line.text());
        }
        Ok(())
    }

    /// Whose calendar it is, if it says so itself.
    pub fn presentity(&self) -> Option<&str> {
        self.presentity.as_deref()
    }

    /// The state at `now`, and when it may next be another one. Free time is open without an activity; overlapping
    /// events are told together, from the last of their starts to the first of their ends.
    pub fn state_at(&self, entity: &str, now: Timestamp) -> (Presence, Option<Timestamp>) {
        let second = i64::try_from(now.as_millis() / 1000).unwrap_or(i64::MAX);
        let mut in_force: Vec<(Slot, &Event)> = Vec::new();
        let mut change: Option<i64> = None;
        for event in self.events.iter().filter(|event| event.counts) {
            let (slots, next) = event.around(second);
            let boundaries = slots
                .iter()
                .map(|slot| slot.end)
                .chain(next.map(|slot| slot.start));
            change = boundaries.chain(change).min();
            in_force.extend(slots.into_iter().map(|slot| (slot, event)));
        }
        in_force.sort_by_key(|(slot, _)| (slot.start, slot.end));
        (presence(entity, &in_force), change.and_then(timestamp))
    }
}

/// An event with RECURRENCE-ID stands for one occurrence of the event with the same UID (RFC 5545, 3.8.4.4); of two
/// versions the later one counts.
fn override_occurrences(events: &mut Vec<Event>) {
    let mut latest: BTreeMap<(String, i64), i64> = BTreeMap::new();
    for event in events.iter() {
        if let (Some(uid), Some(at)) = (&event.uid, event.replaces) {
            let sequence = latest.entry((uid.clone(), at)).or_insert(event.sequence);
            *sequence = event.sequence.max(*sequence);
        }
    }
    events.retain(|event| match (&event.uid, event.replaces) {
        (Some(uid), Some(at)) => latest.get(&(uid.clone(), at)) == Some(&event.sequence),
        _ => true,
    });
    for event in events.iter_mut().filter(|event| event.replaces.is_none()) {
        let Some(uid) = event.uid.clone() else {
            continue;
        };
        let own = latest.range((uid.clone(), i64::MIN)..=(uid, i64::MAX));
        for at in own.map(|((_, at), _)| *at).collect::<Vec<_>>() {
            event.exclude(at);
        }
    }
}

fn presence(entity: &str, in_force: &[(Slot, &Event)]) -> Presence {
    let mut presence = Presence {
        entity: entity.to_owned(),
        basic: Some(Basic::Open),
        since: in_force
            .iter()
            .map(|(slot, _)| slot.start)
            .max()
            .and_then(timestamp),
        until: in_force
            .iter()
            .map(|(slot, _)| slot.end)
            .min()
            .and_then(timestamp),
        ..Presence::default()
    };
    for (_, event) in in_force {
        if !presence
            .activities
            .iter()
            .any(|activity| activity == event.activity)
        {
            presence.activities.push(event.activity.to_owned());
        }
        if let Some(text) = &event.note
            && !presence.notes.iter().any(|note| note.text == *text)
        {
            presence.notes.push(Note {
                lang: None,
                text: text.clone(),
            });
        }
    }
    presence
}

fn timestamp(second: i64) -> Option<Timestamp> {
    Some(Timestamp::from_millis(
        u64::try_from(second).ok()?.checked_mul(1000)?,
    ))
}
