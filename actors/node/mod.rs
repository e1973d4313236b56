//! Nodes: which actors a role is made of. Only this module starts actors.
//!
//! The command line calls these functions with checked settings and a [`Control`]; each runs within an actix system until
//! it is done or told to stop. What a person sees comes back through the callbacks.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use rollcall_core::manager::Basic;
use rollcall_core::time::Timestamp;

use crate::config;

mod control;

pub use control::{Command, Control, Handle};

/// An address that a node listens at, with the port it really has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listening {
    /// For SIP.
    Sip(config::Listen),
    /// For Manager-protocol connections.
    Manager(SocketAddr),
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sip(listen) => listen.fmt(f),
            Self::Manager(addr) => write!(f, "manager:{addr}"),
        }
    }
}

/// Why a node can't run, or a client command did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// This part is still missing.
    #[error("{0} is not wired yet")]
    NotWired(&'static str),
}

/// A state to publish by hand.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishOrder {
    /// The presentity.
    pub uri: String,
    /// Where to.
    pub server: config::SipServer,
    /// Reachable or not.
    pub basic: Option<Basic>,
    /// RPID activities by element name.
    pub activities: Vec<String>,
    /// A note in any language.
    pub note: Option<String>,
    /// The lifetime asked for.
    pub expires: Duration,
    /// Refresh it until told to stop, then remove it; otherwise publish once and leave it to expire.
    pub keep: bool,
}

/// How a publication went.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Published {
    /// The entity-tag.
    pub etag: String,
    /// The lifetime granted, in seconds.
    pub expires: u32,
}

/// Presentities to watch.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchOrder {
    /// The presentities.
    pub uris: Vec<String>,
    /// Where to subscribe.
    pub server: config::SipServer,
    /// The lifetime asked for a subscription.
    pub expires: Duration,
}

/// Something seen of a watched presentity.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Sighting {
    /// When.
    pub at: Timestamp,
    /// Of whom.
    pub presentity: String,
    /// `active`, `pending` or `terminated` (RFC 6665, 4.1.3), or `failed` when there is no subscription.
    pub subscription: String,
    /// Why it ended or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `open` or `closed`, when the document says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic: Option<String>,
    /// RPID activities by element name.
    pub activities: Vec<String>,
    /// Notes.
    pub notes: Vec<String>,
    /// The document as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
}

/// Runs a Presence Server until told to stop. `ready` is called once all addresses are bound.
pub async fn server(
    _settings: config::Server,
    _control: Control,
    _ready: impl FnOnce(&[Listening]),
) -> Result<(), NodeError> {
    Err(NodeError::NotWired("server"))
}

/// Runs a Manager until told to stop.
pub async fn manager(
    _settings: config::Manager,
    _control: Control,
    _ready: impl FnOnce(&[Listening]),
) -> Result<(), NodeError> {
    Err(NodeError::NotWired("manager"))
}

/// Runs a Presence Client until told to stop.
pub async fn client(
    _settings: config::Client,
    _control: Control,
    _ready: impl FnOnce(&[Listening]),
) -> Result<(), NodeError> {
    Err(NodeError::NotWired("client"))
}

/// Runs all three roles in this process until told to stop.
pub async fn run(
    _settings: config::AllInOne,
    _control: Control,
    _ready: impl FnOnce(&[Listening]),
) -> Result<(), NodeError> {
    Err(NodeError::NotWired("run"))
}

/// Publishes one state. `published` is called after each success, refreshes included.
pub async fn publish(
    _order: PublishOrder,
    _control: Control,
    _published: impl FnMut(&Published),
) -> Result<(), NodeError> {
    Err(NodeError::NotWired("publish"))
}

/// Watches until told to stop, or until `seen` answers that it has seen enough.
pub async fn watch(
    _order: WatchOrder,
    _control: Control,
    _seen: impl FnMut(&Sighting) -> Continue,
) -> Result<(), NodeError> {
    Err(NodeError::NotWired("watch"))
}

/// Whether a watcher goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continue {
    /// Yes.
    Yes,
    /// No: unsubscribe and end.
    No,
}

/// How far a simulation is, in virtual time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Virtual time that has passed.
    pub passed: Duration,
    /// Virtual time that passes in all.
    pub total: Duration,
}

/// What came of a simulation.
#[derive(Clone, Debug)]
pub struct Simulated {
    /// Whether every invariant held.
    pub passed: bool,
    /// The report for people.
    pub text: String,
    /// The report for programs.
    pub json: serde_json::Value,
}

/// Simulates the whole world; builds its own paused runtime, so it is called outside of any. `ladder` asks for the
/// message ladder of one presentity.
pub fn simulate(
    _settings: &config::Simulate,
    _ladder: Option<&str>,
    _progress: &mut dyn FnMut(Progress),
) -> Result<Simulated, NodeError> {
    Err(NodeError::NotWired("simulate"))
}
