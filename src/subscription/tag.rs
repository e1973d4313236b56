//! Our tag of a dialog (RFC 3261, 19.3).

use crate::digits;
use crate::exchange::Shard;

/// Our tag of a dialog: the shard in two hexadecimal digits, then 64 random bits in sixteen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTag {
    /// Whose dialog it is.
    pub shard: Shard,
    /// Its number there.
    pub dialog: u64,
}

impl LocalTag {
    /// Digits of a tag.
    pub const LENGTH: usize = 18;

    /// Reads a To tag; `None` if it can't be one of ours.
    pub fn parse(tag: &str) -> Option<Self> {
        let ours = tag.len() == Self::LENGTH
            && tag.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !ours {
            return None;
        }
        let (shard, dialog) = tag.split_at(2);
        Some(Self {
            shard: Shard::from_str_radix(shard, 16).ok()?,
            dialog: u64::from_str_radix(dialog, 16).ok()?,
        })
    }

    /// Its text.
    pub fn digits(self) -> [u8; Self::LENGTH] {
        let mut text = [0; Self::LENGTH];
        let shard = digits::hex(self.shard.into());
        text[..2].copy_from_slice(&shard[14..]);
        text[2..].copy_from_slice(&digits::hex(self.dialog));
        text
    }
}

impl From<LocalTag> for String {
    fn from(tag: LocalTag) -> Self {
        digits::text(&tag.digits()).to_owned()
    }
}

impl std::fmt::Display for LocalTag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(digits::text(&self.digits()))
    }
}
