//! A picture of a shard, for tests, the operator and the log.

use serde::Serialize;

use super::{Counters, Registry};
use crate::exchange::Shard;
use crate::time::Timestamp;

/// A picture of a shard. Totals count everything; rows are the first ones, up to the limit asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Snapshot {
    /// Which shard.
    pub shard: Shard,
    /// The store's epoch.
    pub epoch: u64,
    /// All presentities.
    pub presentity_count: usize,
    /// All publications.
    pub publication_count: usize,
    /// All subscriptions.
    pub subscription_count: usize,
    /// All bindings.
    pub binding_count: usize,
    /// Accounts and addresses that have something here, or asked not long ago.
    pub owner_count: usize,
    /// Bytes of memory that the rows of this shard take.
    pub memory: u64,
    /// Presentities of which the store remembers that their watchers all know the state.
    pub settled_count: usize,
    /// Commits that the store has not answered.
    pub commits_under_way: usize,
    /// Presentities, by address.
    pub presentities: Vec<PresentityRow>,
    /// Bindings, by address.
    pub bindings: Vec<BindingRow>,
    /// What was done so far.
    pub counters: Counters,
}

/// A presentity.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PresentityRow {
    /// Its address.
    pub aor: String,
    /// Event package.
    pub package: String,
    /// Counts changes of what watchers see.
    pub version: u32,
    /// Its publications.
    pub publications: Vec<PublicationRow>,
    /// Its subscriptions.
    pub subscriptions: Vec<SubscriptionRow>,
}

/// A publication.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PublicationRow {
    /// Entity-tag.
    pub etag: String,
    /// When it lapses.
    pub expires_at: Timestamp,
    /// When its body came.
    pub modified_at: Timestamp,
    /// Media type.
    pub content_type: String,
    /// The document, as text.
    pub body: String,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SubscriptionRow {
    /// Call-ID of its dialog.
    pub call_id: String,
    /// `id` of its event.
    pub event_id: Option<String>,
    /// The watcher's remote target.
    pub target: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A binding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BindingRow {
    /// Address of record.
    pub aor: String,
    /// Contact.
    pub contact: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

impl Registry {
    /// A picture of this shard, with at most `limit` presentities and as many bindings.
    pub fn snapshot(&self, limit: usize) -> Snapshot {
        let mut presentities: Vec<_> = self.presentities.iter().map(|(_, row)| row).collect();
        presentities.sort_by(|a, b| (&a.aor, a.package).cmp(&(&b.aor, b.package)));
        let mut bindings: Vec<_> = self
            .bindings
            .rows
            .iter()
            .flat_map(|(_, row)| &row.bindings)
            .collect();
        bindings.sort_by(|a, b| {
            let key = |row: &super::bindings::Binding| {
                (row.record.aor.clone(), row.record.contact.clone())
            };
            key(a).cmp(&key(b))
        });
        Snapshot {
            shard: self.shard,
            epoch: self.epoch,
            presentity_count: presentities.len(),
            publication_count: presentities.iter().map(|row| row.publications.len()).sum(),
            subscription_count: self.subscriptions.rows.len(),
            binding_count: bindings.len(),
            owner_count: self.ledger.len(),
            memory: self.ledger.memory(),
            settled_count: self.settling.len(),
            commits_under_way: self.pending.len(),
            presentities: presentities
                .iter()
                .take(limit)
                .map(|row| self.picture(row))
                .collect(),
            bindings: bindings
                .iter()
                .take(limit)
                .map(|held| BindingRow {
                    aor: held.record.aor.to_string(),
                    contact: held.record.contact.to_string(),
                    expires_at: held.record.expires_at,
                })
                .collect(),
            counters: self.counters.clone(),
        }
    }

    fn picture(&self, row: &super::rows::Presentity) -> PresentityRow {
        let publications = row.publications.iter().map(|held| PublicationRow {
            etag: held.record.etag.to_string(),
            expires_at: held.record.expires_at,
            modified_at: held.record.modified_at,
            content_type: held.record.content_type.to_string(),
            body: String::from_utf8_lossy(&held.record.body).into_owned(),
        });
        let subscriptions = row.watchers.iter().filter_map(|watcher| {
            let subscription = self.subscriptions.get(*watcher)?;
            let dialog = self.subscriptions.dialog(subscription.dialog)?;
            Some(SubscriptionRow {
                call_id: dialog.call_id(),
                event_id: subscription.event_id().map(|id| id.to_string()),
                target: dialog.target().to_owned(),
                expires_at: subscription.expires_at,
            })
        });
        PresentityRow {
            aor: row.aor.to_string(),
            package: self.settings.packages[row.package].name.to_string(),
            version: row.version,
            publications: publications.collect(),
            subscriptions: subscriptions.collect(),
        }
    }
}
