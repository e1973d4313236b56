//! The Manager node: hub, sessions and sources; and the link by which a Presence Client finds its Manager.
//!
//! ```text
//!  Source… ── FromSource ──> Manager (hub) <── ToModule ── Endpoint <── ManagerIncoming ── ManagerSession <── TCP
//!                               └───────────────── ToSession ────────────────────────────────────^
//! ```

pub mod hub;
pub mod journal;
pub mod link;
pub mod listener;
pub mod session;
pub mod source;
#[cfg(test)]
mod tests;

pub use hub::{MANAGER_TYPES, Manager};
pub use link::{Link, LinkParts, LinkSettings};
pub use listener::{Acceptance, ManagerListener, SessionIds};
pub use session::ManagerSession;
