//! Nonces without state: when, something random, and a MAC that only we can make (RFC 7616, 5.4).

use std::net::IpAddr;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::algorithm::hex;
use crate::entropy::Entropy;
use crate::time::Timestamp;

/// What all shards of a node know, and nobody else.
pub(super) type Key = [u8; 32];

/// Hexadecimal digits of the MAC: 128 bits.
const MAC_LEN: usize = 32;

/// Hexadecimal digits that say whom a nonce was sent to: 32 bits, of which nobody can try more than we send nonces.
const MARK_LEN: usize = 8;

/// A nonce that is good from now on. It may come back from another address, but only `source` has been sent it.
pub(super) fn issue(key: &Key, now: Timestamp, source: IpAddr, entropy: &mut Entropy) -> String {
    // The upper half.
    let random = (entropy.next_u64() >> 32) as u32;
    let mut open = format!("{:x}.{random:08x}", now.as_millis());
    let mark = mark(key, &open, source);
    open.push_str(&mark);
    let mac = mac(key, &open);
    format!("{open}.{mac}")
}

/// Whether a nonce of ours was sent to this address, so that whoever uses it there is there.
pub(super) fn was_sent_to(key: &Key, nonce: &str, source: IpAddr) -> bool {
    let open = nonce.rsplit_once('.').map(|(open, _)| open);
    let split = open.and_then(|open| open.split_at_checked(open.len().checked_sub(MARK_LEN)?));
    split.is_some_and(|(open, told)| {
        mark(key, open, source)
            .as_bytes()
            .ct_eq(told.as_bytes())
            .into()
    })
}

fn mark(key: &Key, open: &str, source: IpAddr) -> String {
    let mut digits = mac(key, &format!("{open} {}", source.to_canonical()));
    digits.truncate(MARK_LEN);
    digits
}

/// When a nonce of ours was made, if it is ours and no older than `life`.
pub(super) fn check(key: &Key, nonce: &str, now: Timestamp, life: Duration) -> Option<Timestamp> {
    let (open, told) = nonce.rsplit_once('.')?;
    let is_ours: bool = mac(key, open).as_bytes().ct_eq(told.as_bytes()).into();
    let (millis, _) = open.split_once('.')?;
    let made = Timestamp::from_millis(u64::from_str_radix(millis, 16).ok()?);
    (is_ours && made <= now && now <= made + life).then_some(made)
}

fn mac(key: &Key, text: &str) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return String::new();
    };
    mac.update(text.as_bytes());
    let mut digits = hex(&mac.finalize().into_bytes());
    digits.truncate(MAC_LEN);
    digits
}
