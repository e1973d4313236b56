//! Rollcall: actor-based SIP presence, as a program and as a library.
//!
//! This crate owns sockets, time, storage and the binary; every rule of the protocols is in [`rollcall_core`], here
//! [`core`]. Each of endpoint, registry, Manager session and publish buffer is an actix actor, a thin shell over a value
//! of the core.
//!
//! # As a library
//!
//! | to | there is | smallest program |
//! |---|---|---|
//! | watch somebody | [`node::watch`] | `examples/watch_one.rs` |
//! | publish somebody's state | [`node::publish`] | `examples/publish_one.rs` |
//! | run a Manager with a source of one's own | [`node::ManagerNode`] | `examples/tiny_manager.rs` |
//! | put a module of one's own into the endpoint's table | [`core::endpoint::ModuleTable`], [`node::Stack`], [`messages`] | `examples/own_module.rs` |
//! | test a module alone, in virtual time | [`testkit`] | the same |
//! | run a Presence Server or Presence Client within another program | [`node::ServerNode`], [`node::ClientNode`] | |
//! | run a whole world in virtual time | [`node::simulate`] | |
//!
//! How a module is written: `docs/modules.md`.
//!
//! All of it runs within an actix system: `#[actix::main]`, or in tests [`testkit::in_virtual_time`]. What a node gets
//! from its world, network, time, randomness and threads, is a [`node::Environment`]; nothing reaches around it, so that
//! any number of nodes fit into one process.
//!
//! A Presence Server and a watcher in one program, over real sockets:
//!
//! ```
//! use rollcall::config::{self, Listen, SipServer};
//! use rollcall::node::{self, Continue, Control, Environment, Listening, ServerNode, WatchOrder};
//!
//! # rollcall::testkit::in_real_time(async {
//! let settings = config::Server {
//!     listen: vec![Listen::udp(([127, 0, 0, 1], 0).into())],
//!     domains: vec!["example.com".into()],
//!     store: config::Store::Memory,
//!     ..config::Server::default()
//! };
//! let server = ServerNode::start(&settings, Environment::real()?).await?;
//! let Listening::Sip(at) = server.listening[0] else { unreachable!("it listens for SIP only") };
//!
//! // Nothing is published yet: the first NOTIFY says closed, and the watcher has seen enough.
//! let order = WatchOrder::new("sip:alice@example.com", SipServer::at(at));
//! let (_handle, control) = Control::new();
//! let mut seen = Vec::new();
//! node::watch(order, control, |sighting| {
//!     seen.push(sighting.to_string());
//!     Continue::No
//! })
//! .await?;
//! assert_eq!(seen, ["sip:alice@example.com closed"]);
//! server.stop().await?;
//! # Ok::<_, node::NodeError>(())
//! # }).expect("a loopback interface");
//! ```

pub mod alarm;
pub mod bench;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod endpoint;
pub mod fault;
pub mod files;
pub mod manager;
pub mod messages;
pub mod node;
pub mod operator;
pub mod registry;
pub mod resolve;
pub mod secret;
pub mod selftest;
pub mod simulate;
pub mod store;
pub mod testkit;
pub mod transport;
pub mod trouble;
pub mod watch;
pub mod watchdog;

pub use rollcall_core as core;
