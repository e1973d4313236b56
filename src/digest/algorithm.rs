//! The hash algorithms of Digest (RFC 7616, 6.1).

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};

/// A hash algorithm; the `-sess` variants are not offered, and not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// For phones that know nothing better.
    Md5,
    /// What RFC 8760 asks for.
    Sha256,
    /// Taken from those that choose it.
    Sha512Of256,
}

impl Algorithm {
    /// All of them, the best first.
    pub const ALL: [Self; 3] = [Self::Sha512Of256, Self::Sha256, Self::Md5];

    /// Its name in a header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512Of256 => "SHA-512-256",
        }
    }

    /// Reads the name; case does not matter. Without any it is MD5 (RFC 7616, 3.3).
    pub fn of(name: Option<&str>) -> Option<Self> {
        let Some(name) = name else {
            return Some(Self::Md5);
        };
        let mut all = Self::ALL.into_iter();
        all.find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(name))
    }

    /// HA1 of an account: `H(user:realm:password)` (RFC 7616, 3.4.2).
    pub fn ha1(self, user: &str, realm: &str, password: &str) -> String {
        self.hash(&[user, realm, password])
    }

    /// Hexadecimal digits of a hash.
    pub(super) const fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha256 | Self::Sha512Of256 => 64,
        }
    }

    /// The hash of the parts with colons between them, in hexadecimal.
    pub(super) fn hash(self, parts: &[&str]) -> String {
        #[cfg(test)]
        HASHES.with(|count| count.set(count.get() + 1));
        let text = parts.join(":");
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
            Self::Sha512Of256 => hex(&Sha512_256::digest(text)),
        }
    }
}

#[cfg(test)]
std::thread_local! {
    static HASHES: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// How many hashes a test has had computed.
#[cfg(test)]
pub(super) fn hashes() -> u32 {
    HASHES.with(std::cell::Cell::get)
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}
