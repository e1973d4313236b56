//! The Manager node: hub, sessions and sources; and the link by which a Presence Client finds its Manager.
//!
//! ```text
//!  Source… ── FromSource ──> Manager (hub) <── ToModule ── Endpoint <── ManagerIncoming ── ManagerSession <── TCP
//!                               └───────────────── ToSession ────────────────────────────────────^
//! ```

pub mod hub;
pub mod source;
