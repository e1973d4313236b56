//! Randomness as it is given to the core.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Where tags, branches, Call-IDs and entity-tags come from: a ChaCha12 generator from a given seed.
///
/// A node seeds it from the operating system, so that nobody can guess a tag; a simulation seeds it with a number, so
/// that the same number gives the same run.
#[derive(Clone, Debug)]
pub struct Entropy(ChaCha12Rng);

impl Entropy {
    /// A generator from 32 bytes of the operating system's randomness.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    /// A generator from a number, for simulations and tests.
    pub fn from_number(seed: u64) -> Self {
        Self(ChaCha12Rng::seed_from_u64(seed))
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`; zero if `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The bias of a modulus over 64 bits is far below anything a timer or a simulation could show.
        if bound == 0 {
            0
        } else {
            self.next_u64() % bound
        }
    }

    /// True with the given probability, from 0.0 to 1.0.
    pub fn chance(&mut self, probability: f64) -> bool {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64 <= probability && probability > 0.0
    }

    /// A token of 16 lower-case hexadecimal digits (64 bits), as tags, branches and Call-IDs need (RFC 3261, 19.3).
    pub fn token(&mut self) -> String {
        format!("{:016x}", self.next_u64())
    }

    /// A generator of its own for a part of the node, drawn from this one.
    pub fn fork(&mut self) -> Self {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        Self::from_seed(seed)
    }
}
