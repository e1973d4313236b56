//! What a registry has done, counted.

/// Counters of a shard since its birth.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// PUBLISH, SUBSCRIBE and REGISTER that came.
    pub requests: u64,
    /// Requests answered with a failure.
    pub refused: u64,
    /// Those of them that were refused because their account or address has as much as it may (403).
    pub over_share: u64,
    /// Those of them that were refused because their account or address asks too often (503; 500 by a proxy).
    pub over_rate: u64,
    /// Those of them that were refused because `limits.memory` is used up (503).
    pub over_memory: u64,
    /// Watchers that are not remembered as waiting, because their account or address has as much as it may.
    pub not_waiting: u64,
    /// Requests that waited for an earlier one of the same presentity or dialog to be stored.
    pub queued: u64,
    /// Initial publications.
    pub published: u64,
    /// Publications whose place an initial one of the same publisher took.
    pub replaced: u64,
    /// Publications refreshed.
    pub refreshed: u64,
    /// Publications modified.
    pub modified: u64,
    /// Publications removed by their publishers.
    pub removed: u64,
    /// Publications that lapsed.
    pub lapsed: u64,
    /// Documents composed.
    pub composed: u64,
    /// Those of them that were too large to be composed between two requests, and were on another thread.
    pub composed_elsewhere: u64,
    /// Those that failed there, so that watchers see the state before.
    pub compositions_failed: u64,
    /// Compositions that gave the same document as before, so that nobody was told.
    pub unchanged: u64,
    /// Initial subscriptions.
    pub subscribed: u64,
    /// Fetches (Expires: 0 outside a dialog).
    pub fetched: u64,
    /// Subscriptions refreshed.
    pub resubscribed: u64,
    /// Subscriptions ended by their watchers.
    pub unsubscribed: u64,
    /// Subscriptions that expired.
    pub expired: u64,
    /// Subscriptions that we ended for the watcher to subscribe anew.
    pub deactivated: u64,
    /// SUBSCRIBEs of blocked watchers, and live subscriptions ended when their watchers were blocked.
    pub rejected: u64,
    /// Subscriptions that began without anybody having decided about their watchers.
    pub undecided: u64,
    /// Decisions about watchers that were stored.
    pub decided: u64,
    /// Subscriptions removed because NOTIFY was refused or went unanswered.
    pub dropped: u64,
    /// NOTIFY requests sent.
    pub notified: u64,
    /// Of these, those without their state, to places that had not answered yet.
    pub notified_in_part: u64,
    /// NOTIFY requests that were not sent at all, since such a place had been sent one.
    pub notified_not: u64,
    /// Changes that a watcher was not told one by one, because an earlier NOTIFY to it was still in flight.
    pub coalesced: u64,
    /// Watchers that were not told after a restart, since they knew the state.
    pub known: u64,
    /// NOTIFY requests that ended without an answer.
    pub unanswered: u64,
    /// Contacts bound or refreshed.
    pub bound: u64,
    /// Contacts removed or expired.
    pub unbound: u64,
    /// Commits asked for.
    pub commits: u64,
    /// Commits that did not become `Committed`.
    pub failed_commits: u64,
    /// Records read from the store.
    pub loaded: u64,
    /// Records in the store that had expired when they were read, or that nobody can use any more.
    pub discarded: u64,
    /// Records in the store under another spelling of their names than the one that counts.
    pub renamed: u64,
}
