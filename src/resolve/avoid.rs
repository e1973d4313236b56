//! Servers that have failed lately, and are better left alone for a while (RFC 3263, 4.3).

use std::collections::BTreeMap;
use std::time::Duration;

use super::Target;
use crate::time::Timestamp;

/// How long a server is avoided that has failed without saying for how long.
pub const AVOID: Duration = Duration::from_secs(30);

/// The longest that a server is avoided, whatever it says: who errs by years must not be lost for years.
const LONGEST: Duration = Duration::from_secs(3600);

/// Servers that are remembered; beyond that the one whose time is over first is forgotten.
const MOST: usize = 1024;

/// The servers to avoid, each until its time is over.
#[derive(Clone, Debug, Default)]
pub struct Avoided(BTreeMap<Target, Timestamp>);

impl Avoided {
    /// This one has failed. A `while_` of more than an hour is an hour.
    pub fn avoid(&mut self, now: Timestamp, target: Target, while_: Duration) {
        self.0.retain(|_, until| *until > now);
        if self.0.len() >= MOST
            && let Some((&first, _)) = self.0.iter().min_by_key(|(_, until)| **until)
        {
            self.0.remove(&first);
        }
        self.0.insert(target, now + while_.min(LONGEST));
    }

    /// Puts those to avoid behind the others, and changes nothing else: they are still better than nobody.
    pub fn put_last(&self, now: Timestamp, targets: &mut [Target]) {
        targets.sort_by_key(|target| self.0.get(target).is_some_and(|until| *until > now));
    }
}
