//! Watcher information: who watches a presentity, and how far each of them has got (RFC 3857, 3858).
//!
//! ```text
//!                 subscribe                approved
//!   (nobody) ──────────────────> pending ────────────> active
//!      │      confirm               │ timeout             │ timeout, rejected, deactivated
//!      │                            v                     v
//!      │ subscribe               waiting ────────────> terminated
//!      └───────────> active         approved, rejected, giveup
//! ```
//!
//! Here are the values and the document; the registry knows the watchers.

mod document;

use serde::Serialize;

pub use document::{CONTENT_TYPE, Document, Scope, Watcher};

/// The event package: `winfo` applied to `presence` (RFC 3857, 4.1).
pub const PACKAGE: &str = "presence.winfo";

/// Where a subscription stands (RFC 3857, 4.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nobody has decided about it yet.
    Pending,
    /// It is told something.
    Active,
    /// It ended before anybody decided; kept so that somebody can.
    Waiting,
    /// It is over.
    Terminated,
}

impl Status {
    /// As in the document.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Waiting => "waiting",
            Self::Terminated => "terminated",
        }
    }
}

/// What brought a subscription to where it stands (RFC 3857, 4.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The watcher subscribed.
    Subscribe,
    /// It was allowed.
    Approved,
    /// We ended it, for the watcher to subscribe anew.
    Deactivated,
    /// It was blocked.
    Rejected,
    /// It ended by time or by the watcher's wish.
    Timeout,
    /// Nobody decided for too long.
    Giveup,
}

impl Event {
    /// As in the document.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Approved => "approved",
            Self::Deactivated => "deactivated",
            Self::Rejected => "rejected",
            Self::Timeout => "timeout",
            Self::Giveup => "giveup",
        }
    }
}

/// How a watcher is treated: `sub-handling` of RFC 5025, 3.2.1, from the least to the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Handling {
    /// Its subscriptions are refused with 403, and those that live end as `rejected`.
    Block,
    /// Its subscriptions are pending until somebody decides.
    Confirm,
    /// Its subscriptions seem to be accepted, and are told the same as if nothing were published.
    PoliteBlock,
    /// Its subscriptions are accepted.
    #[default]
    Allow,
}

impl Handling {
    /// As in RFC 5025, in the config and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Confirm => "confirm",
            Self::PoliteBlock => "polite-block",
            Self::Allow => "allow",
        }
    }

    /// Reads what [`Handling::as_str`] writes.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Block, Self::Confirm, Self::PoliteBlock, Self::Allow]
            .into_iter()
            .find(|handling| handling.as_str() == name)
    }

    /// Where a live subscription so handled stands; a blocked one is none.
    pub const fn status(self) -> Status {
        match self {
            Self::Block => Status::Terminated,
            Self::Confirm => Status::Pending,
            Self::PoliteBlock | Self::Allow => Status::Active,
        }
    }
}
