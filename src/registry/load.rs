//! Rebuilding a shard from the store, at start and after a panic.

use super::rows::{Publication, Timer};
use super::store::{Change, PublicationRecord, Record, SubscriptionRecord, Version};
use super::{Effect, Registry};
use crate::subscription::{Dialog, EndReason, Notify};
use crate::time::Timestamp;

impl Registry {
    /// Takes over what the store has for this shard. To be called once, before anything else.
    ///
    /// What has expired is taken out of the store without a word. Each live subscription gets the full state soon, since
    /// nobody knows whether the last NOTIFY before the end arrived; the NOTIFYs are spread so that a node does not begin
    /// with a flood (docs/adr/0005).
    pub fn load(
        &mut self,
        now: Timestamp,
        records: impl IntoIterator<Item = (Version, Record)>,
        out: &mut Vec<Effect>,
    ) {
        let mut gone = Vec::new();
        let mut strangers = Vec::new();
        for (version, record) in records {
            self.counters.loaded += 1;
            let key = record.key();
            let kept = match record {
                Record::Publication(record) => self.load_publication(now, record, version),
                Record::Subscription(record) => {
                    self.load_subscription(now, record, version, &mut strangers)
                }
                Record::Binding(record) => {
                    record.expires_at > now && self.insert_binding(record, version)
                }
            };
            if !kept {
                self.counters.discarded += 1;
                gone.push(Change {
                    key,
                    expect: Some(version),
                    record: None,
                });
            }
        }
        for stranger in strangers {
            self.turn_away(now, &stranger, out);
        }
        // In portions, so that one that fails does not keep a million others.
        for portion in gone.chunks(256) {
            self.clean_up(portion.to_vec(), out);
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
        let row = self.presentities.open(package, &record.aor);
        let lapse = self
            .wheel
            .insert(record.expires_at, Timer::Lapse { presentity: row });
        if let Some(presentity) = self.presentities.get_mut(row) {
            let held = &mut presentity.publications;
            let place = held.partition_point(|other| other.record.order < record.order);
            held.insert(
                place,
                Publication {
                    record,
                    version,
                    lapse,
                    document: None,
                },
            );
        }
        true
    }

    fn load_subscription(
        &mut self,
        now: Timestamp,
        record: SubscriptionRecord,
        version: Version,
        strangers: &mut Vec<SubscriptionRecord>,
    ) -> bool {
        let Some((package, _)) = self.settings.package(&record.package) else {
            return false;
        };
        if record.expires_at <= now {
            return false;
        }
        // Its requests would go to another shard, as the number of shards was changed; or CSeq is used up.
        if record.shard != self.shard || Dialog::of(&record).is_exhausted(self.epoch) {
            strangers.push(record);
            return false;
        }
        let row = self.insert_subscription(package, &record, version);
        let spread = u64::try_from(self.settings.resume_within.as_millis()).unwrap_or(u64::MAX);
        let wait = std::time::Duration::from_millis(self.entropy.below(spread.saturating_add(1)));
        let timer = self.wheel.insert(now + wait, Timer::Resume(row));
        if let Some(subscription) = self.subscriptions.get_mut(row) {
            subscription.notifier.hold(timer);
            let dialog = subscription.dialog as usize;
            if let Some(dialog) = self.subscriptions.dialogs.get_mut(dialog) {
                dialog.forget_connection();
            }
        }
        true
    }

    /// Ends a stored subscription that can't go on here: `deactivated` makes the watcher subscribe anew at once.
    fn turn_away(&mut self, now: Timestamp, record: &SubscriptionRecord, out: &mut Vec<Effect>) {
        self.counters.deactivated += 1;
        let mut dialog = Dialog::of(record);
        dialog.forget_connection();
        // No row has this number, so the answer finds nobody.
        let token = self.token(u32::MAX);
        let notify = Notify {
            package: &record.package,
            event_id: record.event_id.as_deref(),
            state: Err(EndReason::Deactivated),
            content_type: "",
            body: &bytes::Bytes::new(),
        };
        out.push(Effect::Send(dialog.notify(now, self.epoch, token, &notify)));
        self.counters.notified += 1;
    }
}
