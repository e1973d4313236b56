//! What a node has seen of credentials, all its shards together: a phone that sends from another port is heard by another shard.
//!
//! It is divided, so that shards seldom wait for each other, and held for the time of one look.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::guesses::{Guesses, Source};
use super::replay::Replays;
use crate::entropy::Entropy;
use crate::keyed::Secret;
use crate::time::Timestamp;

/// Into how many parts it is divided.
const PARTS: usize = 16;

/// Nonces in use with their counts, and failed logins.
pub struct Memory {
    secret: Secret,
    nonces: [Mutex<Replays>; PARTS],
    guesses: [Mutex<Guesses>; PARTS],
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Memory")
    }
}

/// A nonce of ours, and who answers it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Used {
    pub made: Timestamp,
    /// Hashes of its text and of the user's name.
    pub nonce: u64,
    pub user: u64,
}

impl Memory {
    /// One in which nothing was seen.
    pub fn new(entropy: &mut Entropy) -> Self {
        Self {
            secret: Secret::draw(entropy),
            nonces: Default::default(),
            guesses: Default::default(),
        }
    }

    /// What names a nonce that was found to be ours, and its user, here.
    pub(super) fn used(&self, made: Timestamp, nonce: &str, user: &str) -> Used {
        Used {
            made,
            nonce: self.secret.hash(nonce.as_bytes()),
            user: self.secret.hash(user.as_bytes()),
        }
    }

    /// The part that counts the uses of a nonce.
    pub(super) fn nonces(&self, used: Used) -> MutexGuard<'_, Replays> {
        lock(&self.nonces[used.nonce as usize % PARTS])
    }

    /// What names an address and an account there, here.
    pub(super) fn source(&self, address: SocketAddr, user: &str) -> Source {
        Source::new(self.secret, address, user)
    }

    /// The part that counts failures from there.
    pub(super) fn guesses(&self, source: Source) -> MutexGuard<'_, Guesses> {
        lock(&self.guesses[source.part(PARTS)])
    }
}

/// What was counted before a panic counts on.
fn lock<T>(part: &Mutex<T>) -> MutexGuard<'_, T> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}
