//! Rollcall: actor-based SIP presence.
//!
//! This crate owns sockets, time, storage and the binary; every rule of the protocols is in [`rollcall_core`]. Each of
//! endpoint, registry, Manager session and publish buffer is an actix actor, a thin shell over a value of the core.

pub mod alarm;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod endpoint;
pub mod manager;
pub mod messages;
pub mod node;
pub mod registry;
pub mod simulate;
pub mod store;
pub mod testkit;
pub mod transport;
pub mod watch;

pub use rollcall_core as core;
