//! What the watchdog says: lines for the log, and the status line of the service manager.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use rollcall_core::time::Timestamp;
use tracing::{error, info};

use super::board::Finding;
use crate::store::Health;
use crate::trouble::Trouble;

/// A line for what was found; `count` is how often an actor was found stuck so far.
pub fn finding(finding: &Finding, count: u64) {
    match finding {
        Finding::Stuck(actor, time) => error!(
            actor,
            seconds = time.as_secs(),
            count,
            "an actor is stuck: it does not answer"
        ),
        Finding::Back(actor, time) => info!(
            actor,
            seconds = time.as_secs(),
            "an actor that was stuck answers again"
        ),
        Finding::Ended(actor) => error!(actor, "an actor has ended that should go on"),
    }
}

/// What is known of the store.
#[derive(Debug, Default)]
pub struct StoreWatch {
    health: Health,
    /// When it began to hang or fail, for people.
    since: Option<String>,
    trouble: Trouble,
}

impl StoreWatch {
    /// Takes in how the store does now, and logs what is worth a line. `wall` is the present time for people.
    pub fn look(&mut self, health: Health, now: Instant, wall: SystemTime) {
        let begun = health.hanging_since.or(health.failing_since);
        let passed = begun.map(|begun| now.saturating_duration_since(begun));
        let at = Timestamp::from_millis(millis(wall));
        match passed {
            Some(passed) => {
                if self.since.is_none() {
                    let begun: DateTime<Utc> = (wall - passed).into();
                    self.since = Some(begun.to_rfc3339_opts(SecondsFormat::Secs, true));
                }
                if self.trouble.failed(at).is_some() {
                    let (verb, reason) = (verb(&health), &health.reason);
                    error!(seconds = passed.as_secs(), reason, "the store {verb}");
                }
            }
            None => {
                self.since = None;
                if let Some(over) = self.trouble.went_well(at) {
                    info!(seconds = over.took.as_secs(), "the store works again");
                }
            }
        }
        self.health = health;
    }

    /// How long it has hung.
    pub fn hung(&self, now: Instant) -> Option<Duration> {
        let since = self.health.hanging_since?;
        Some(now.saturating_duration_since(since))
    }

    /// For the status line; nothing while it works.
    fn words(&self) -> Option<String> {
        let since = self.since.as_ref()?;
        let (verb, reason) = (verb(&self.health), &self.health.reason);
        let reason = if reason.is_empty() {
            "no reason known"
        } else {
            reason
        };
        Some(format!("the store {verb} since {since}: {reason}"))
    }
}

fn verb(health: &Health) -> &'static str {
    match health.hanging_since {
        Some(_) => "hangs",
        None => "fails",
    }
}

fn millis(wall: SystemTime) -> u64 {
    let passed = wall
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
}

/// The status line.
#[derive(Debug)]
pub enum Status<'a> {
    /// The store is being opened, sockets too.
    Starting,
    /// These can't do yet what they are for.
    Recovering(Vec<String>),
    /// All is well, but for these.
    Serving {
        /// Actors that do not answer.
        stuck: Vec<String>,
        /// Those that have lost their state.
        incomplete: Vec<String>,
        /// The store.
        store: &'a StoreWatch,
    },
    /// It ends.
    Stopping,
}

impl fmt::Display for Status<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting => f.write_str("recovering: state is being read"),
            Self::Recovering(waiting) => {
                write!(f, "recovering: waiting for {}", waiting.join(", "))
            }
            Self::Serving {
                stuck,
                incomplete,
                store,
            } => {
                f.write_str("serving")?;
                if !stuck.is_empty() {
                    write!(f, "; stuck: {}", stuck.join(", "))?;
                }
                if !incomplete.is_empty() {
                    write!(f, "; without state: {}", incomplete.join(", "))?;
                }
                match store.words() {
                    Some(words) => write!(f, "; {words}"),
                    None => Ok(()),
                }
            }
            Self::Stopping => f.write_str("stopping"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(store: &StoreWatch) -> String {
        let (stuck, incomplete) = (Vec::new(), Vec::new());
        Status::Serving {
            stuck,
            incomplete,
            store,
        }
        .to_string()
    }

    #[test]
    fn a_store_in_trouble_is_told_with_the_time_at_which_it_began() {
        let start = Instant::now();
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_424_400);
        let mut store = StoreWatch::default();
        store.look(Health::default(), start, wall);
        assert_eq!(status(&store), "serving");
        let failing = Health {
            failing_since: Some(start),
            reason: "no space left on device".to_owned(),
            ..Health::default()
        };
        for second in [3, 4, 5] {
            let passed = Duration::from_secs(second);
            store.look(failing.clone(), start + passed, wall + passed);
            assert_eq!(
                status(&store),
                "serving; the store fails since 2026-11-23T09:00:00Z: no space left on device"
            );
            assert_eq!(store.hung(start + passed), None);
        }
        let hanging = Health {
            hanging_since: Some(start),
            ..Health::default()
        };
        let passed = Duration::from_secs(9);
        store.look(hanging, start + passed, wall + passed);
        assert_eq!(store.hung(start + passed), Some(passed));
        assert!(status(&store).starts_with("serving; the store hangs since "));
        store.look(Health::default(), start + passed, wall + passed);
        assert_eq!(status(&store), "serving");
    }

    #[test]
    fn the_status_names_who_is_stuck_and_who_has_no_state() {
        let text = Status::Serving {
            stuck: vec![
                "endpoint of shard 1".to_owned(),
                "registry of shard 1".to_owned(),
            ],
            incomplete: vec!["registry of shard 0".to_owned()],
            store: &StoreWatch::default(),
        };
        assert_eq!(
            text.to_string(),
            "serving; stuck: endpoint of shard 1, registry of shard 1; without state: registry of shard 0"
        );
        let waiting = Status::Recovering(vec!["registry of shard 0".to_owned()]);
        assert_eq!(
            waiting.to_string(),
            "recovering: waiting for registry of shard 0"
        );
    }
}
