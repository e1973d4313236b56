//! Rebuilding a shard from the store, at start and after a panic.

use super::books::What;
use super::ledger::NOBODY;
use super::publications::Publication;
use super::settings::Compositor;
use super::store::{
    Change, PublicationRecord, Record, SettledRecord, Standing, SubscriptionRecord, Version,
};
use super::{Effect, Registry};
use crate::subscription::Dialog;
use crate::time::Timestamp;
use crate::watcherinfo::Handling;

impl Registry {
    /// Takes over what the store has for this shard. To be called once, before anything else.
    ///
    /// What has expired is taken out of the store without a word. Watchers that may not know the state are told it, as fast as the
    /// network answers (`resume.rs`).
    pub fn load(
        &mut self,
        now: Timestamp,
        records: impl IntoIterator<Item = (Version, Record)>,
        out: &mut Vec<Effect>,
    ) {
        let mut gone = Vec::new();
        let mut ended = Vec::new();
        let mut settled = Vec::new();
        let mut misnamed = Vec::new();
        let mut records = records.into_iter().peekable();
        while let Some((version, mut record)) = records.next() {
            if crate::sabotaged!(LoseLastRecord) && records.peek().is_none() {
                break;
            }
            self.counters.loaded += 1;
            let key = record.key();
            if self.rename(&mut record) && key != record.key() {
                match record {
                    // Its watchers are told once more.
                    Record::Settled(_) => gone.push(Change {
                        key,
                        expect: Some(version),
                        record: None,
                    }),
                    _ => misnamed.push((key, version, record)),
                }
                continue;
            }
            // What it is about may come behind it.
            if let Record::Settled(record) = record {
                settled.push((version, record));
                continue;
            }
            if !self.load_one(now, record, version, &mut ended) {
                self.counters.discarded += 1;
                gone.push(Change {
                    key,
                    expect: Some(version),
                    record: None,
                });
            }
        }
        self.load_renamed(now, misnamed, out);
        for (version, record) in settled {
            let key = record.key();
            if !self.load_settled(record, version) {
                gone.push(Change {
                    key,
                    expect: Some(version),
                    record: None,
                });
            }
        }
        self.judge_loaded(now, ended, out);
        self.begin_resuming(now);
        // In portions, so that one that fails does not keep a million others.
        for portion in gone.chunks(256) {
            self.clean_up(portion.to_vec(), out);
        }
    }

    /// Whether a record is kept.
    pub(super) fn load_one(
        &mut self,
        now: Timestamp,
        record: Record,
        version: Version,
        ended: &mut Vec<SubscriptionRecord>,
    ) -> bool {
        match record {
            Record::Publication(record) => self.load_publication(now, record, version),
            Record::Watcher(record) => {
                let owner = match record.standing {
                    Standing::Waiting { .. } => self.owner_of_aor(&record.watcher),
                    Standing::Decided(_) => NOBODY,
                };
                self.ledger.load(owner, What::Subscriptions, 1);
                self.take_in(record, version, owner);
                true
            }
            Record::Subscription(record) => {
                if record.expires_at <= now {
                    ended.push(record.clone());
                }
                self.load_subscription(now, record, version)
            }
            Record::Binding(record) => {
                record.expires_at > now && self.insert_binding(record, version)
            }
            // They come last: see `load_settled`.
            Record::Settled(_) => false,
        }
    }

    /// Treats subscriptions as the decisions and the present policy say, now that all are known; those that ended while
    /// nobody was there leave their watchers waiting.
    fn judge_loaded(
        &mut self,
        now: Timestamp,
        ended: Vec<SubscriptionRecord>,
        out: &mut Vec<Effect>,
    ) {
        for record in ended {
            if &*record.package != "presence" || self.is_open(&record.aor) {
                continue;
            }
            let Some(watcher) = Dialog::of(&record).map(|dialog| self.settings.watcher(&dialog))
            else {
                continue;
            };
            if self.handling(&record.aor, &watcher) == Handling::Confirm {
                let id = format!("{:x}-{:x}", record.shard, record.dialog);
                let owner = self.owner_of_aor(&watcher);
                self.wait(now, &record.aor, &watcher, id, owner, out);
            }
        }
        let rows: Vec<u32> = self
            .presentities
            .iter()
            .filter(|(_, row)| {
                let package = &self.settings.packages[row.package];
                package.compositor != Compositor::Watchers && !self.is_open(&row.aor)
            })
            .flat_map(|(_, row)| row.watchers.iter().copied())
            .collect();
        for row in rows {
            let watcher = self.watcher_of(row);
            let aor = self.subscriptions.get(row).and_then(|held| {
                let presentity = self.presentities.get(held.presentity)?;
                Some(presentity.aor.clone())
            });
            let handling = aor.map(|aor| self.handling(&aor, &watcher));
            if let (Some(handling), Some(held)) = (handling, self.subscriptions.get_mut(row)) {
                held.handling = handling;
            }
        }
    }

    fn load_publication(
        &mut self,
        now: Timestamp,
        record: PublicationRecord,
        version: Version,
    ) -> bool {
        let Some((package, _)) = self.settings.package(&record.package) else {
            return false;
        };
        if record.expires_at <= now {
            return false;
        }
        let (owner, body) = (self.owner_of_aor(&record.aor), record.body.len());
        self.ledger.load(owner, What::Publications, 1);
        self.ledger.load(owner, What::Bytes, body as u64);
        self.ledger.grow(Publication::size(body) as i64);
        let row = self.open_presentity(package, &record.aor);
        let first = self.presentities.get(row);
        if first.is_some_and(|row| row.publications.is_empty()) {
            // It was there before.
            self.ledger.add_presentity(u64::MAX);
        }
        if let Some(presentity) = self.presentities.get_mut(row) {
            presentity.insert(Publication::new(
                &mut self.wheel,
                row,
                record,
                version,
                None,
                owner,
            ));
        }
        true
    }

    fn load_subscription(
        &mut self,
        now: Timestamp,
        record: SubscriptionRecord,
        version: Version,
    ) -> bool {
        let Some((package, known)) = self.settings.package(&record.package) else {
            return false;
        };
        if record.expires_at <= now {
            return false;
        }
        // How many documents it was sent is not stored, and none may have a number twice (RFC 3858, 3.1).
        let counted = known.compositor == Compositor::Watchers;
        // Its requests would go to another shard, as the number of shards was changed; or CSeq is used up.
        let Some(mut dialog) = Dialog::of(&record) else {
            return false;
        };
        if counted || record.shard != self.shard || dialog.is_exhausted(self.epoch) {
            self.resuming.push_stranger(record);
            return false;
        }
        dialog.forget_connection();
        dialog.forget_contact();
        dialog.believe(&self.settings.egress);
        let owner = if self.settings.shares.accounts {
            self.owner_of_aor(&self.settings.watcher(&dialog))
        } else {
            let shares = &self.settings.shares;
            self.ledger
                .open(shares, shares.source(record.flow.remote.ip()))
        };
        self.ledger.load(owner, What::Subscriptions, 1);
        let SubscriptionRecord {
            aor,
            event_id,
            expires_at,
            fresh,
            ..
        } = record;
        let row =
            self.insert_subscription(package, dialog, &aor, event_id, expires_at, version, owner);
        self.resuming.push(row, fresh);
        true
    }

    /// Whether it is of use: somebody watches that state.
    fn load_settled(&mut self, record: SettledRecord, version: Version) -> bool {
        let package = self.settings.package(&record.package);
        let Some(row) =
            package.and_then(|(package, _)| self.presentities.find(package, &record.aor))
        else {
            return false;
        };
        let watched = self
            .presentities
            .get(row)
            .is_some_and(|presentity| !presentity.watchers.is_empty());
        if !watched || !self.settings.remember_settled {
            return false;
        }
        self.settling.take_over(row, version);
        self.resuming.settled(row, record.order, record.digest);
        true
    }
}
