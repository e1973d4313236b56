//! The Manager protocol: XML messages, session machines, merged state (docs/manager-protocol.md).
//!
//! ```text
//!  bytes ── FrameFinder ──> document ── read ──> Message ──> Session ──> Hub (Manager) or publish buffer (client)
//! ```

mod entity;
mod frame;
pub mod hub;
mod message;
mod pidf;
mod read;
pub mod session;
mod write;

pub use entity::{EntityError, normal};
pub use frame::{Frame, FrameError, FrameFinder, MAX_DEPTH, MAX_LEN};
pub use message::{Ack, Basic, Hello, Message, Nak, Note, Presence, Welcome};
pub use pidf::to_pidf;
pub use read::{Problem, ReadError, read};
pub use write::{to_bytes, write};
