//! Says what the records of a folder are worth: proven, doubtful, lost, or not to be read.

use rollcall_core::registry::{Record, describe};

use super::Unreadable;
use super::gather::{Gathering, Records};
use super::merge::Latest;
use crate::store::proof::{Tally, hash};
use crate::store::value::decode;

/// Names of records that are told of one damage.
const NAMED: usize = 50;
/// Openings that may have been counted without our knowing, when nothing sure says how often it was opened.
const UNSEEN: u64 = 64;

impl Gathering<'_> {
    /// What the records are worth.
    pub(super) fn judge(&mut self) -> Records {
        let mut found = Tally::default();
        let mut hashes = Vec::new();
        for (key, latest) in &self.merged.records {
            if let Some(value) = &latest.value {
                let hash = hash(key, value);
                found.add(hash);
                hashes.push((hash, key));
            }
        }
        let same = |found: Tally, should: Tally| {
            (found.count, found.digest) == (should.count, should.digest)
        };
        let expected = self.tally;
        self.finding.expected = expected.map(|tally| tally.count);
        self.finding.proven = expected.is_some_and(|tally| same(found, tally));
        // One record too much, and without it the tally is right: its removal is what is missing.
        let extra = expected.filter(|_| !self.finding.proven).and_then(|tally| {
            let (_, key) = hashes.iter().find(|(hash, _)| {
                let mut less = found;
                less.take(*hash);
                same(less, tally)
            })?;
            Some((*key).clone())
        });
        if let Some(key) = extra
            && let Some(Latest {
                value: Some(value), ..
            }) = self.merged.records.remove(&key)
        {
            self.finding.removed = Some(described(&key, &value));
            self.finding.proven = true;
            found.take(hash(&key, &value));
        }
        let damaged = !self.finding.damages.is_empty() || !self.finding.missing.is_empty();
        if let Some(tally) = expected.filter(|_| !self.finding.proven && !damaged) {
            let what = match found.count == tally.count {
                true => "records have another content than was stored".to_owned(),
                false => format!(
                    "there are {} records where {} were stored",
                    found.count, tally.count
                ),
            };
            self.damage("keyspaces", None, what);
        }
        self.doubt();
        self.name_touched();
        self.sort_out()
    }

    /// Counts what may be older than what was acknowledged.
    fn doubt(&mut self) {
        if self.finding.proven {
            return;
        }
        let behind = |last: u64| self.groups.iter().find(|(sequence, _)| *sequence > last);
        let hole = self.finding.missing.iter();
        let hole = hole.map(|(_, last)| behind(*last).map_or(u64::MAX, |(_, seqno)| *seqno));
        let hole = hole.max().unwrap_or(0);
        let unsure = self.merged.records.iter().filter(|(key, latest)| {
            let gap = self.gaps.iter().any(|gap| gap.may_hold(key));
            let tables = latest.table && !self.tables;
            latest.value.is_some() && (latest.seqno < hole || gap || tables)
        });
        self.finding.doubtful = unsure.count() as u64;
    }

    /// Names what stood in groups that can't be read, and was not written again.
    fn name_touched(&mut self) {
        for (place, key, seqno) in std::mem::take(&mut self.touched) {
            let latest = self.merged.records.get(&key);
            if latest.is_some_and(|latest| latest.seqno > seqno) || self.finding.proven {
                continue;
            }
            let value = latest.and_then(|latest| latest.value.as_deref());
            let name = described(&key, value.unwrap_or_default());
            if let Some(damage) = self.finding.damages.get_mut(place)
                && damage.records.len() < NAMED
                && !matches!(&key[..], b"format" | b"epoch")
            {
                damage.records.push(name);
            }
        }
    }

    /// Those that can be understood, counted by kind.
    fn sort_out(&mut self) -> Records {
        let mut records = Vec::new();
        for (key, latest) in std::mem::take(&mut self.merged.records) {
            let Some(value) = latest.value else { continue };
            let counts = &mut self.finding.records;
            let count = match decode(&value) {
                Ok((_, Record::Publication(_))) => &mut counts.publications,
                Ok((_, Record::Subscription(_))) => &mut counts.subscriptions,
                Ok((_, Record::Binding(_))) => &mut counts.bindings,
                Ok((_, Record::Watcher(_))) => &mut counts.watchers,
                Ok((_, Record::Settled(_))) => &mut counts.settled,
                Err(why) => {
                    self.finding.unreadable.push(Unreadable {
                        record: described(&key, &value),
                        why: why.to_string(),
                    });
                    continue;
                }
            };
            *count += 1;
            records.push((key, value));
        }
        records
    }

    /// How often it was opened: at least so often that no entity-tag comes twice.
    pub(super) fn epoch(&self, records: &Records) -> u64 {
        let stored = self.merged.epoch();
        if let Some(mark) = self.mark {
            return stored.max(mark.epoch);
        }
        if self.finding.damages.is_empty() && self.finding.missing.is_empty() {
            return stored;
        }
        let told = records
            .iter()
            .filter_map(|(_, value)| match decode(value).ok()?.1 {
                Record::Settled(settled) => Some(settled.order >> 40),
                Record::Subscription(subscription) => Some(subscription.epoch),
                _ => None,
            });
        stored.max(told.max().unwrap_or(0)) + UNSEEN
    }
}

/// A stored record in words.
fn described(key: &[u8], value: &[u8]) -> String {
    describe(key, value.get(8..).unwrap_or_default())
}
