//! Records that an older version wrote under other spellings of their names (docs/adr/0017): loaded under the one name, and
//! written anew. Where two become one, nothing is lost: all publications stay, and of two decisions the stricter one.

use std::sync::Arc;

use super::store::{Change, Record, RecordKey, Standing, Version};
use super::{Effect, Registry};
use crate::sip::{at_home, normal_name};
use crate::time::Timestamp;

/// How many records are written anew in one commit.
const PORTION: usize = 128;

impl Registry {
    /// Gives a record the one name of its presentity, and of its watcher. Whether it had another.
    pub(super) fn rename(&self, record: &mut Record) -> bool {
        let (aor, watcher) = match record {
            Record::Binding(binding) => (&mut binding.aor, None),
            Record::Publication(publication) => (&mut publication.aor, None),
            Record::Subscription(subscription) => {
                (&mut subscription.aor, subscription.account.as_mut())
            }
            Record::Watcher(watcher) => (&mut watcher.aor, Some(&mut watcher.watcher)),
            Record::Settled(settled) => (&mut settled.aor, None),
        };
        let mut changed = false;
        let mut set = |name: &mut Arc<str>, normal: &str| {
            if **name != *normal {
                *name = normal.into();
                changed = true;
            }
        };
        let normal = normal_name(aor).into_owned();
        set(aor, &normal);
        if let Some(watcher) = watcher {
            let normal = normal_name(watcher).into_owned();
            set(watcher, &at_home(normal, self.settings.home.as_deref()));
        }
        changed
    }

    /// Loads what had other names, after all that had not. Each comes with the key that the store has it under.
    pub(super) fn load_renamed(
        &mut self,
        now: Timestamp,
        mut records: Vec<(RecordKey, Version, Record)>,
        out: &mut Vec<Effect>,
    ) {
        // By their keys, so that publications keep their order.
        records.sort_by(|one, two| one.0.cmp(&two.0));
        let mut portion = Vec::new();
        for (key, version, mut record) in records {
            self.counters.renamed += 1;
            if let Record::Publication(publication) = &mut record {
                // Another may have its number under the name that is now common to both.
                publication.order = self.etags.take_order();
            }
            let before = self.take_other(&record);
            let replaced = before.as_ref().map(|(version, _)| *version);
            let record = match before {
                Some((_, other)) => merged(record, other),
                None => record,
            };
            portion.push(Change {
                key,
                expect: Some(version),
                record: None,
            });
            let change = Change {
                key: record.key(),
                expect: replaced,
                record: Some(record.clone()),
            };
            // Subscriptions have no name in their keys, so none of them ends here.
            if self.load_one(now, record, change.version(), &mut Vec::new()) {
                portion.push(change);
            } else {
                self.counters.discarded += 1;
            }
            if portion.len() >= 2 * PORTION {
                self.clean_up(std::mem::take(&mut portion), out);
            }
        }
        self.clean_up(portion, out);
    }

    /// Takes out what has the key of a record already.
    fn take_other(&mut self, record: &Record) -> Option<(Version, Record)> {
        match record {
            Record::Watcher(watcher) => {
                let (row, _) = self.authorizations.find(&watcher.aor, &watcher.watcher)?;
                let known = self.take_out(row)?;
                Some((known.version, Record::Watcher(known.record)))
            }
            Record::Binding(binding) => {
                let (version, held) = self.take_binding(&binding.aor, &binding.key())?;
                Some((version, Record::Binding(held)))
            }
            Record::Publication(_) | Record::Subscription(_) | Record::Settled(_) => None,
        }
    }
}

/// What is kept of two records that have become one: the stricter decision, the binding that lasts.
fn merged(one: Record, two: Record) -> Record {
    let second = match (&one, &two) {
        (Record::Watcher(one), Record::Watcher(two)) => match (&one.standing, &two.standing) {
            (Standing::Decided(one), Standing::Decided(two)) => two < one,
            (Standing::Decided(_), Standing::Waiting { .. }) => false,
            (Standing::Waiting { .. }, _) => true,
        },
        (Record::Binding(one), Record::Binding(two)) => two.expires_at > one.expires_at,
        _ => false,
    };
    if second { two } else { one }
}
