//! Rebuilding a shard from the store, at start and after a panic.

use std::time::Duration;

use super::books::What;
use super::ledger::NOBODY;
use super::publications::Publication;
use super::rows::{Timer, index};
use super::settings::Compositor;
use super::store::{Change, PublicationRecord, Record, Standing, SubscriptionRecord, Version};
use super::{Effect, Registry};
use crate::subscription::{Dialog, EndReason, Notify, State};
use crate::time::{TimerKey, Timestamp};
use crate::watcherinfo::Handling;

/// A node opens its sockets when its shards have their state. A NOTIFY before that would find no way out.
const SOCKETS_OPEN: Duration = Duration::from_millis(200);

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
        let mut ended = Vec::new();
        let mut records = records.into_iter().peekable();
        while let Some((version, record)) = records.next() {
            if crate::sabotaged!(LoseLastRecord) && records.peek().is_none() {
                break;
            }
            self.counters.loaded += 1;
            let key = record.key();
            let kept = match record {
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
        self.judge_loaded(now, ended, out);
        // In portions, so that one that fails does not keep a million others.
        for portion in gone.chunks(256) {
            self.clean_up(portion.to_vec(), out);
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
            let Some(watcher) = Dialog::of(&record).map(|dialog| dialog.watcher()) else {
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
            let stranger = index(self.strangers.insert(record));
            self.wake_soon(now, Timer::TurnAway(stranger));
            return false;
        }
        dialog.forget_connection();
        dialog.forget_contact();
        let owner = if self.settings.shares.accounts {
            self.owner_of_aor(&dialog.watcher())
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
            ..
        } = record;
        let row =
            self.insert_subscription(package, dialog, &aor, event_id, expires_at, version, owner);
        let timer = self.wake_soon(now, Timer::Resume(row));
        if let Some(subscription) = self.subscriptions.get_mut(row) {
            subscription.notifier.hold(timer);
        }
        true
    }

    /// Sets a timer within the time in which everybody hears of a restart.
    fn wake_soon(&mut self, now: Timestamp, timer: Timer) -> TimerKey {
        let within = self.settings.resume_within;
        let least = SOCKETS_OPEN.min(within);
        let spread = u64::try_from((within - least).as_millis()).unwrap_or(u64::MAX);
        let wait = Duration::from_millis(self.entropy.below(spread.saturating_add(1)));
        self.wheel.insert(now + least + wait, timer)
    }

    /// Ends a stored subscription that can't go on here: `deactivated` makes the watcher subscribe anew at once.
    pub(super) fn turn_away(&mut self, now: Timestamp, stranger: u32, out: &mut Vec<Effect>) {
        let Some(record) = self.strangers.try_remove(stranger as usize) else {
            return;
        };
        self.counters.deactivated += 1;
        let Some(mut dialog) = Dialog::of(&record) else {
            return;
        };
        dialog.forget_connection();
        dialog.forget_contact();
        // No row has this number, so the answer finds nobody.
        let token = self.token(u32::MAX);
        let notify = Notify {
            presentity: &record.aor,
            package: &record.package,
            event_id: record.event_id.as_deref(),
            state: State::Terminated(EndReason::Deactivated),
            content_type: "",
            body: &bytes::Bytes::new(),
        };
        out.push(Effect::Send(dialog.notify(now, self.epoch, token, &notify)));
        self.counters.notified += 1;
    }
}
