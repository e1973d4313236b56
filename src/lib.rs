//! The pure core of Rollcall: values and state machines of a SIP presence system.
//!
//! Nothing here knows an actor, a socket, a clock or a source of randomness. Every machine takes the present time as an
//! argument, pushes effects for somebody else to run, and answers one question: when does it want to be woken next? So
//! every rule of the protocol can be tested as a value, and the same code runs over real sockets and in simulated time.
//!
//! Modules depend on each other in one direction:
//! `time entropy again keyed` ← `sip` ← `exchange` ← `transaction dialog resolve` ← `endpoint` ← `subscription publication` ← `registry`;
//! `pidf` ← `presence` ← `registry`; `manager` sees `pidf`, and of `sip` what a URI is; `buffer` and `publisher` make up the Presence Client,
//! `watcher` is the other end of a subscription; `watcherinfo` tells who has one; `stun` and `egress` stand alone; `digest` is the endpoint's.

/// Whether a mistake is made on purpose: `false` but in the tests of the simulation (see `sabotage`).
#[cfg(not(feature = "sabotage"))]
#[macro_export]
macro_rules! sabotaged {
    ($mistake:ident) => {
        false
    };
}

/// Whether a mistake is made on purpose (see [`sabotage`]).
#[cfg(feature = "sabotage")]
#[macro_export]
macro_rules! sabotaged {
    ($mistake:ident) => {
        $crate::sabotage::is_made($crate::sabotage::Mistake::$mistake)
    };
}

pub mod again;
pub mod buffer;
pub mod dialog;
pub mod digest;
pub mod digits;
pub mod egress;
pub mod endpoint;
pub mod entropy;
pub mod exchange;
mod identity;
pub mod keyed;
pub mod manager;
pub mod pidf;
pub mod presence;
pub mod publication;
pub mod publisher;
pub mod registry;
pub mod resolve;
pub mod room;
#[cfg(feature = "sabotage")]
pub mod sabotage;
pub mod sip;
mod slots;
pub mod stun;
pub mod subscription;
pub mod time;
pub mod transaction;
pub mod watcher;
pub mod watcherinfo;
