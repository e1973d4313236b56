//! Simulated people: who is busy when, and how that reaches the Manager.

use std::collections::BTreeSet;
use std::time::Duration;

use rollcall_core::entropy::Entropy;
use rollcall_core::manager::{Basic, Note, Presence};
use rollcall_core::time::Timestamp;

/// What people do, with how likely it is (in parts of the sum).
const DOINGS: [(u64, Basic, Option<&str>); 7] = [
    (30, Basic::Open, None),
    (20, Basic::Open, Some("busy")),
    (15, Basic::Open, Some("meeting")),
    (15, Basic::Open, Some("on-the-phone")),
    (10, Basic::Open, Some("away")),
    (7, Basic::Closed, None),
    (3, Basic::Closed, Some("vacation")),
];

/// One simulated person.
#[derive(Clone, Debug)]
pub struct Person {
    /// The presentity.
    pub entity: String,
    /// Counts the states; each carries its version as a note.
    pub version: u64,
    /// When the next change comes.
    pub next: Timestamp,
}

/// People of one Manager, each with a life of its own that follows from the seed.
#[derive(Debug)]
pub struct People {
    persons: Vec<Person>,
    /// Who changes when, by place in `persons`: the next change is the first.
    due: BTreeSet<(Timestamp, usize)>,
    entropy: Entropy,
    /// Mean time between two changes of one person.
    pace: Duration,
}

impl People {
    /// These presentities; their first changes come within one `pace` from `now`.
    pub fn new(
        entities: Vec<String>,
        pace: Duration,
        now: Timestamp,
        mut entropy: Entropy,
    ) -> Self {
        let span = millis(pace).max(1);
        let persons: Vec<Person> = entities
            .into_iter()
            .map(|entity| Person {
                entity,
                version: 0,
                next: now + Duration::from_millis(entropy.below(span)),
            })
            .collect();
        let due = persons.iter().enumerate();
        Self {
            due: due.map(|(place, person)| (person.next, place)).collect(),
            persons,
            entropy,
            pace,
        }
    }

    /// When the next person changes.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The changes that are due: the person's place, the version, and the state as the source tells it.
    pub fn wake(&mut self, now: Timestamp) -> Vec<(usize, u64, Presence)> {
        let mut changes = Vec::new();
        while let Some(&(at, place)) = self.due.first()
            && at <= now
        {
            self.due.pop_first();
            let person = &mut self.persons[place];
            person.version += 1;
            // Between no time and twice the mean: the mean is right, and nobody waits for ever.
            person.next =
                now + Duration::from_millis(1 + self.entropy.below(2 * millis(self.pace).max(1)));
            self.due.insert((person.next, place));
            let state = state(&mut self.entropy, person);
            changes.push((place, person.version, state));
        }
        changes
    }

    /// All persons.
    pub fn persons(&self) -> &[Person] {
        &self.persons
    }
}

fn state(entropy: &mut Entropy, person: &Person) -> Presence {
    let sum = DOINGS.iter().map(|(weight, ..)| weight).sum();
    let mut drawn = entropy.below(sum);
    let mut doing = &DOINGS[0];
    for candidate in &DOINGS {
        if drawn < candidate.0 {
            doing = candidate;
            break;
        }
        drawn -= candidate.0;
    }
    Presence {
        entity: person.entity.clone(),
        source: Some("people".to_owned()),
        basic: Some(doing.1),
        activities: doing.2.map(str::to_owned).into_iter().collect(),
        notes: vec![Note {
            lang: None,
            text: format!("v{}", person.version),
        }],
        ..Presence::default()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The version that a shown state carries in its notes.
pub fn version_in<'a>(notes: impl IntoIterator<Item = &'a str>) -> Option<u64> {
    notes
        .into_iter()
        .find_map(|note| note.trim().strip_prefix('v')?.parse().ok())
}

/// A state in a few words: what watchers must be shown of it besides its version.
pub fn gist(basic: Option<&str>, activities: &[String]) -> String {
    let mut words = vec![basic.unwrap_or("unknown")];
    words.extend(activities.iter().map(String::as_str));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lives(seed: u64) -> Vec<(usize, u64, Presence)> {
        let start = Timestamp::from_millis(1_000);
        let entities = vec!["sip:a@x".to_owned(), "sip:b@x".to_owned()];
        let mut people = People::new(
            entities,
            Duration::from_secs(60),
            start,
            Entropy::from_number(seed),
        );
        let mut all = Vec::new();
        while let Some(at) = people.next_wake() {
            if at > start + Duration::from_secs(3_600) {
                break;
            }
            all.extend(people.wake(at));
        }
        all
    }

    #[test]
    fn the_same_seed_gives_the_same_lives() {
        assert_eq!(lives(1), lives(1));
        assert_ne!(lives(1), lives(2));
    }

    #[test]
    fn people_change_about_once_a_pace_and_versions_count_up() {
        let all = lives(1);
        assert!(
            (80..170).contains(&all.len()),
            "{} changes of two people in an hour",
            all.len()
        );
        let versions: Vec<u64> = all
            .iter()
            .filter(|(_, _, state)| state.entity == "sip:a@x")
            .map(|(_, version, _)| *version)
            .collect();
        assert!(versions.windows(2).all(|pair| pair[1] == pair[0] + 1));
    }

    #[test]
    fn the_version_is_found_among_the_notes() {
        let (_, version, state) = lives(1).pop().expect("a change");
        assert_eq!(
            version_in(state.notes.iter().map(|note| note.text.as_str())),
            Some(version)
        );
        assert_eq!(version_in(["hello"]), None);
    }
}
