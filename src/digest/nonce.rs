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

/// A nonce that is good from now on, for who sends from this address: whoever uses it is there, and nobody's failures can be
/// made to look like another's.
pub(super) fn issue(key: &Key, now: Timestamp, address: IpAddr, entropy: &mut Entropy) -> String {
    let open = format!("{:x}.{:x}", now.as_millis(), entropy.next_u64());
    let mac = mac(key, &open, address);
    format!("{open}.{mac}")
}

/// When a nonce of ours was made, if it is ours, for this address, and no older than `life`.
pub(super) fn check(
    key: &Key,
    nonce: &str,
    now: Timestamp,
    address: IpAddr,
    life: Duration,
) -> Option<Timestamp> {
    let (open, told) = nonce.rsplit_once('.')?;
    let is_ours: bool = mac(key, open, address)
        .as_bytes()
        .ct_eq(told.as_bytes())
        .into();
    let (millis, _) = open.split_once('.')?;
    let made = Timestamp::from_millis(u64::from_str_radix(millis, 16).ok()?);
    (is_ours && made <= now && now <= made + life).then_some(made)
}

fn mac(key: &Key, text: &str, address: IpAddr) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return String::new();
    };
    mac.update(text.as_bytes());
    // Always as long, so that text and address can't be told otherwise.
    let octets = match address {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    mac.update(&octets);
    let mut digits = hex(&mac.finalize().into_bytes());
    digits.truncate(MAC_LEN);
    digits
}
