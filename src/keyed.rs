//! Hash tables whose keys strangers choose.
//!
//! A seed does not protect `FxHasher`: it hashes texts without it, and adds it afterwards, so that texts made to collide do
//! so under every seed. These tables hash by SipHash-1-3 with a secret of their owner's, drawn from its entropy, so that a
//! simulation still repeats.

use std::collections::HashMap;
use std::hash::BuildHasher;

use siphasher::sip::SipHasher13;
use siphasher::sip128;

use crate::entropy::Entropy;

/// A table that nobody can slow down by his choice of keys.
pub type KeyedMap<K, V> = HashMap<K, V, Secret>;

/// What makes hashes unpredictable.
#[derive(Clone, Copy)]
pub struct Secret(u64, u64);

impl Secret {
    /// A new one.
    pub fn draw(entropy: &mut Entropy) -> Self {
        Self(entropy.next_u64(), entropy.next_u64())
    }

    /// 64 bits that stand for `bytes`.
    pub fn hash(self, bytes: &[u8]) -> u64 {
        SipHasher13::new_with_keys(self.0, self.1).hash(bytes)
    }

    /// 128 bits that stand for `bytes`: nobody who does not know the secret can find others with the same, and by chance there
    /// are none.
    pub fn digest(self, bytes: &[u8]) -> u128 {
        sip128::SipHasher13::new_with_keys(self.0, self.1)
            .hash(bytes)
            .into()
    }
}

impl BuildHasher for Secret {
    type Hasher = SipHasher13;

    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first eight bytes are FxHasher's own start value, which makes it forget the eight that follow.
    fn trap(middle: &[u8; 8]) -> Vec<u8> {
        let mut text = 0x243f_6a88_85a3_08d3_u64.to_le_bytes().to_vec();
        text.extend_from_slice(middle);
        text.extend_from_slice(&[b'x'; 17]);
        text
    }

    #[test]
    fn texts_that_collide_under_every_seed_of_another_hash_do_not_here() {
        for seed in 0..10 {
            let other = rustc_hash::FxSeededState::with_seed(seed);
            assert_eq!(
                other.hash_one(trap(b"aaaaaaaa")),
                other.hash_one(trap(b"bbbbbbbb")),
                "what this module is for"
            );
            let secret = Secret::draw(&mut Entropy::from_number(seed as u64));
            assert_ne!(
                secret.hash_one(trap(b"aaaaaaaa")),
                secret.hash_one(trap(b"bbbbbbbb"))
            );
        }
    }

    #[test]
    fn the_same_entropy_gives_the_same_hashes_and_another_gives_others() {
        let hash = |seed| Secret::draw(&mut Entropy::from_number(seed)).hash_one("sip:bob@x");
        assert_eq!(hash(1), hash(1));
        assert_ne!(hash(1), hash(2));
    }
}
