//! What a node gets from the world it lives in.

use actix::prelude::*;
use actix_rt::ArbiterHandle;
use rollcall_core::entropy::Entropy;

use super::NodeError;
use crate::clock::Clock;
use crate::transport::Network;

/// Network, time, randomness and threads. The same actors live on real sockets and threads, or in a simulated world.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Where sockets come from.
    pub network: Network,
    /// The node's clock.
    pub clock: Clock,
    /// Seed of all tags, branches and entity-tags of the node.
    pub entropy: Entropy,
    /// Who runs its actors.
    pub threads: Threads,
}

/// Who runs the actors of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// Each shard, and each side of a Presence Client, has a thread of its own.
    Own,
    /// The present thread runs all of them, as virtual time needs it.
    Present,
}

impl Environment {
    /// The real world: the kernel's sockets, the system's time and randomness, a thread for each shard.
    pub fn real() -> Result<Self, NodeError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| NodeError::Randomness(error.to_string()))?;
        Ok(Self {
            network: Network::Real,
            clock: Clock::system(),
            entropy: Entropy::from_seed(seed),
            threads: Threads::Own,
        })
    }

    /// A thread for some of the node's actors, as [`Threads`] says.
    pub fn thread(&self) -> Thread {
        Thread(match self.threads {
            Threads::Own => Some(Arbiter::new()),
            Threads::Present => None,
        })
    }
}

/// A thread that runs actors: one of its own, or the present one. It ends when told to, not when dropped.
#[derive(Debug)]
pub struct Thread(Option<Arbiter>);

impl Thread {
    /// Starts an actor on it.
    pub fn start<A>(&self, actor: impl FnOnce() -> A + Send + 'static) -> Addr<A>
    where
        A: Actor<Context = Context<A>>,
    {
        match &self.0 {
            Some(arbiter) => A::start_in_arbiter(&arbiter.handle(), |_| actor()),
            None => actor().start(),
        }
    }

    /// For those that start their actors themselves.
    pub fn handle(&self) -> Option<ArbiterHandle> {
        self.0.as_ref().map(Arbiter::handle)
    }

    /// Ends the thread once its actors have handled what they have.
    pub fn stop(self) {
        if let Some(arbiter) = self.0 {
            arbiter.stop();
        }
    }
}
