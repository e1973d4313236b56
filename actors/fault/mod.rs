//! Faults on demand, for tests of what is around them: a machine that panics, an actor that is stuck, a store that can't be
//! read. Only a build with the feature `fault-injection` has them, and that only where the environment has a
//! `ROLLCALL_FAULTS`; in every other build each [`point`] is nothing.
//!
//! `ROLLCALL_FAULTS` names a Unix datagram socket that the process makes. A datagram arms one fault, and is answered by
//! `armed`:
//!
//! ```text
//! panic MACHINE SHARD           the machine panics at its next input
//! stuck MACHINE SHARD SECONDS   its actor does nothing for so long, from its next input or ping on
//! fail reload SHARD TIMES       the store can't be read so often, when it is to give this shard its state
//! ```

#[cfg(feature = "fault-injection")]
mod injected;

use rollcall_core::exchange::Shard;

/// Where a fault may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// The core of an endpoint.
    Endpoint,
    /// The core of a registry.
    Registry,
    /// A Manager's hub.
    Hub,
    /// A source within a Manager's process.
    Source,
    /// A Presence Client's link to its Manager.
    Link,
    /// Its publish buffer.
    Buffer,
    /// Its publisher.
    Publisher,
    /// The watcher of `rollcall watch`.
    Watcher,
    /// The store, when a shard asks for its state.
    Reload,
}

/// Takes faults from now on, if this build and the environment have any.
#[cfg(feature = "fault-injection")]
pub fn start() {
    injected::start();
}

/// Takes faults from now on, if this build and the environment have any.
#[cfg(not(feature = "fault-injection"))]
pub fn start() {}

/// What a machine passes with each input: does what is armed for it.
#[inline(always)]
pub fn point(machine: Machine, shard: Shard) {
    #[cfg(feature = "fault-injection")]
    injected::point(machine, shard);
    #[cfg(not(feature = "fault-injection"))]
    let _ = (machine, shard);
}

/// The same where no guard is around, as with a ping: nothing panics.
#[inline(always)]
pub fn stuck(machine: Machine, shard: Shard) {
    #[cfg(feature = "fault-injection")]
    injected::stuck(machine, shard);
    #[cfg(not(feature = "fault-injection"))]
    let _ = (machine, shard);
}

/// Whether what is asked for shall fail.
#[inline(always)]
pub fn fails(machine: Machine, shard: Shard) -> bool {
    #[cfg(feature = "fault-injection")]
    return injected::fails(machine, shard);
    #[cfg(not(feature = "fault-injection"))]
    {
        let _ = (machine, shard);
        false
    }
}
