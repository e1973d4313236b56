//! The operator's socket: a Unix socket at which a running Presence Server takes questions and decisions, a JSON object
//! a line, answered by a line.
//!
//! ```text
//! → {"command":"list","presentity":"sip:alice@example.com"}
//! ← {"watchers":[{"presentity":"sip:alice@example.com","watcher":"sip:bob@example.com","status":"pending","at":…}]}
//! → {"command":"decide","presentity":"sip:alice@example.com","watcher":"sip:bob@example.com","handling":"allow"}
//! ← {"subscriptions":1}
//! ← {"error":"…"}
//! ```
//!
//! Who may open the socket is up to the file system: it is its owner's alone.

mod ask;
mod desk;
mod listen;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use ask::{AskError, ask};
pub use desk::Desk;
pub use listen::{Listener, listen};

/// Bytes of a request; longer ones end the connection.
const LONGEST: usize = 8 * 1024;

/// Watchers in one answer.
pub const MOST_WATCHERS: usize = 10_000;

/// A line to the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Who watches, waits, or was decided about.
    List {
        /// Whose watchers; everybody's without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        presentity: Option<String>,
    },
    /// How a watcher is treated from now on.
    Decide {
        /// The presentity, a SIP URI.
        presentity: String,
        /// The watcher, a SIP URI.
        watcher: String,
        /// `allow`, `block`, `polite-block`, `confirm`; without, the server's default policy holds again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        handling: Option<String>,
    },
}

/// The server's line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Those asked for, at most [`MOST_WATCHERS`].
    Watchers(Vec<Watcher>),
    /// The decision is stored, and so many live subscriptions are treated by it.
    Subscriptions(usize),
    /// Why not, in words.
    Error(String),
}

/// A watcher of a presentity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Watcher {
    /// The presentity.
    pub presentity: String,
    /// The watcher.
    pub watcher: String,
    /// `active`, `pending`, `waiting`; none without a subscription.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// What was decided about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// When its subscription ends, or since when it waits or is decided about: milliseconds since 1970.
    pub at: u64,
}
