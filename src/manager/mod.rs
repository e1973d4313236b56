//! The Manager protocol: XML messages, session machines, merged state.

mod message;

pub use message::{Ack, Basic, Hello, Message, Nak, Note, Presence, Welcome};
