//! The Presence Server as its peers see it: `rollcall server` as a process, spoken to over real UDP and TCP sockets, one test
//! a promise; and its actors together in virtual time.
//!
//! ```text
//!   desk  (publishes)      server        phone (watches)
//!     | ----- PUBLISH ----> |               |
//!     | <------ 200 ------- | -- NOTIFY --> |
//!     |                     | <--- 200 ---- |
//! ```

mod compose;
mod hardships;
pub mod kit;
mod lives;
mod notify;
mod overload;
mod partial;
pub mod peer;
mod publish;
mod register;
mod requests;
mod shards;
mod subscribe;
mod virtual_time;
mod watchers;
mod ways;
