//! Nodes: which actors a role is made of. Only this module starts actors.
//!
//! The command line calls these functions with checked settings and a [`Control`]; each runs within an actix system until
//! it is done or told to stop. What a person sees comes back through the callbacks.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rollcall_core::digest::Credentials;
use rollcall_core::manager::Basic;
use rollcall_core::time::Timestamp;

use rollcall_core::endpoint::ClaimConflict;

use crate::client::once::Unpublished;
use crate::config;
use crate::simulate;
use crate::store::StoreError;
use crate::transport::tls::{self, CertificateError};

mod authentication;
mod certificates;
mod client;
mod control;
mod crash;
mod environment;
mod manager;
mod memory;
mod print;
mod publish;
mod roles;
mod server;
mod stack;
mod watch;

pub use client::{ClientNode, publisher_settings};
pub use control::{Command, Control, Handle};
pub use crash::{Crash, Stall};
pub use environment::{Environment, Thread, Threads};
pub use manager::ManagerNode;
pub use server::ServerNode;
pub use stack::{Plan, Stack};

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
    /// An address can't be listened at.
    #[error("cannot listen on {what}: {error}")]
    Listen {
        /// Transport and address.
        what: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// A host name has no server, with the name and the reason.
    #[error("{0}")]
    Resolve(String),
    /// A state file can't be read.
    #[error("state file {}: {error}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A file of accounts can't be read.
    #[error("file of accounts {}: {error}", path.display())]
    Users {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: String,
    },
    /// The operator's socket can't be made.
    #[error("cannot listen for rollcall watchers at {}: {error}", path.display())]
    Control {
        /// Where.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A certificate, its key or an authority's can't be used.
    #[error("TLS: {0}")]
    Certificate(#[from] CertificateError),
    /// The store can't be used.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The operating system gave no random numbers.
    #[error("no randomness from the operating system: {0}")]
    Randomness(String),
    /// Two modules of the node want the same messages; a mistake in this program.
    #[error("{0}")]
    Modules(#[from] ClaimConflict),
    /// An actor has ended that should be running.
    #[error("the {0} has ended unexpectedly; the log says why")]
    Ended(&'static str),
    /// A state could not be published.
    #[error("not published: {0}")]
    Unpublished(#[from] Unpublished),
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
    /// What challenges are answered with.
    pub account: Option<Credentials>,
    /// Certificates.
    pub tls: tls::Files,
    /// Who is asked for the servers of names; those of this machine when empty.
    pub name_servers: Vec<SocketAddr>,
}

impl PublishOrder {
    /// An order with nothing to say yet, for an hour.
    pub fn new(uri: impl Into<String>, server: config::SipServer) -> Self {
        Self {
            uri: uri.into(),
            server,
            basic: None,
            activities: Vec::new(),
            note: None,
            expires: Duration::from_secs(3600),
            keep: false,
            account: None,
            tls: tls::Files::default(),
            name_servers: Vec::new(),
        }
    }
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
    /// What challenges are answered with.
    pub account: Option<Credentials>,
    /// Certificates.
    pub tls: tls::Files,
    /// Who is asked for the servers of names; those of this machine when empty.
    pub name_servers: Vec<SocketAddr>,
}

impl WatchOrder {
    /// An order to watch one presentity, by a subscription that is refreshed each hour.
    pub fn new(uri: impl Into<String>, server: config::SipServer) -> Self {
        Self {
            uris: vec![uri.into()],
            server,
            expires: Duration::from_secs(3600),
            account: None,
            tls: tls::Files::default(),
            name_servers: Vec::new(),
        }
    }
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

/// As a line for people: `sip:alice@example.com open meeting "Weekly"`.
impl fmt::Display for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.presentity)?;
        if self.subscription != "active" {
            write!(f, " ({})", self.subscription)?;
        }
        for word in self
            .reason
            .iter()
            .chain(&self.basic)
            .chain(&self.activities)
        {
            write!(f, " {word}")?;
        }
        for note in &self.notes {
            write!(f, " {note:?}")?;
        }
        if self.subscription == "active" && self.document.is_none() {
            f.write_str(" (nothing is published)")?;
        }
        Ok(())
    }
}

/// Runs a Presence Server until told to stop. `ready` is called once all addresses are bound.
pub async fn server(
    settings: config::Server,
    control: Control,
    ready: impl FnOnce(&[Listening]),
) -> Result<(), NodeError> {
    roles::server(settings, control, ready).await
}

/// Runs a Manager until told to stop.
pub async fn manager(
    settings: config::Manager,
    control: Control,
    ready: impl FnOnce(&[Listening]),
) -> Result<(), NodeError> {
    roles::manager(settings, control, ready).await
}

/// Runs a Presence Client until told to stop.
pub async fn client(
    settings: config::Client,
    control: Control,
    ready: impl FnOnce(&[Listening]),
) -> Result<(), NodeError> {
    roles::client(settings, control, ready).await
}

/// Runs all three roles in this process until told to stop.
pub async fn run(
    settings: config::AllInOne,
    control: Control,
    ready: impl FnOnce(&[Listening]),
) -> Result<(), NodeError> {
    roles::run(settings, control, ready).await
}

/// Publishes one state. `published` is called once it is accepted.
pub async fn publish(
    order: PublishOrder,
    control: Control,
    published: impl FnMut(&Published),
) -> Result<(), NodeError> {
    publish::run(order, control, published).await
}

/// Watches until told to stop, or until `seen` answers that it has seen enough.
pub async fn watch(
    order: WatchOrder,
    control: Control,
    seen: impl FnMut(&Sighting) -> Continue,
) -> Result<(), NodeError> {
    watch::run(order, control, seen).await
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

/// Simulates the whole world; builds its own paused runtime, so it is called outside of any.
pub fn simulate(
    settings: &config::Simulate,
    options: simulate::Options<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Simulated, NodeError> {
    simulate::run(settings, options, progress)
}
