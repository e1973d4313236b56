//! What the connections of the Manager protocol count, at either end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Shared by a listener or a link with all of its sessions, so that what a session counted outlives it.
#[derive(Clone, Debug, Default)]
pub struct Counters(Arc<Counts>);

/// The counts themselves.
#[derive(Debug, Default, serde::Serialize)]
pub(super) struct Counts {
    /// Connections that became sessions.
    pub accepted: AtomicU64,
    /// Connections turned away because there were too many, or too many of their address.
    pub turned_away: AtomicU64,
    /// Connections that had said nothing and were closed so that others got their places.
    pub displaced: AtomicU64,
    /// Connections that could not be accepted.
    pub accept_errors: AtomicU64,
    pub bytes_read: AtomicU64,
    pub bytes_written: AtomicU64,
    /// Documents, whole or malformed.
    pub received: AtomicU64,
    /// Messages.
    pub sent: AtomicU64,
    /// Peers told of an error of theirs.
    pub errors_sent: AtomicU64,
    /// Errors of ours that peers told.
    pub complaints: AtomicU64,
}

impl Counters {
    /// Counts some more.
    pub(super) fn add(&self, what: impl FnOnce(&Counts) -> &AtomicU64, more: usize) {
        // A count is no lock: nothing else is read by it.
        what(&self.0).fetch_add(more as u64, Ordering::Relaxed);
    }

    /// All of them, by name.
    pub fn snapshot(&self) -> serde_json::Value {
        serde_json::to_value(&*self.0).unwrap_or_default()
    }
}
