//! STUN as SIP's keep-alive needs it: answers Binding requests with the address that they came from (RFC 8489, of which
//! RFC 5626, 4.4.2 asks for just that: no FINGERPRINT, no authentication; UDP only).
//!
//! A STUN message begins with two zero bits, which no SIP message does.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

/// Type, length, magic cookie and transaction id (RFC 8489, 5).
const HEADER: usize = 20;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;
const MAPPED_ADDRESS: u16 = 0x0001;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
/// Attributes below must be understood, those from here on may be ignored (RFC 8489, 14).
const OPTIONAL: u16 = 0x8000;
/// Attributes that mean something for those that use them, and nothing for a keep-alive: USERNAME, MESSAGE-INTEGRITY,
/// REALM, NONCE. They are not asked for, so they are not checked.
const UNCHECKED: [u16; 4] = [0x0006, 0x0008, 0x0014, 0x0015];

/// The response to a Binding request from `source`; `None` if the datagram is no such request. One with attributes that
/// are not understood gets the error 420 (RFC 8489, 6.3.1).
pub fn answer(datagram: &[u8], source: SocketAddr) -> Option<Bytes> {
    let (header, attributes) = datagram.split_at_checked(HEADER)?;
    let is_request = number(header, 0) == Some(BINDING_REQUEST)
        && number(header, 2).map(usize::from) == Some(attributes.len())
        && attributes.len().is_multiple_of(4);
    if !is_request {
        return None;
    }
    let unknown = unknown(attributes)?;
    let identity = &header[4..];
    if !unknown.is_empty() {
        let mut body = Vec::new();
        let mut error = vec![0, 0, 4, 20];
        error.extend_from_slice(b"Unknown Attribute");
        push(&mut body, ERROR_CODE, &error);
        let types: Vec<u8> = unknown.iter().flat_map(|kind| kind.to_be_bytes()).collect();
        push(&mut body, UNKNOWN_ATTRIBUTES, &types);
        return Some(message(BINDING_ERROR, identity, &body));
    }
    let source = SocketAddr::new(source.ip().to_canonical(), source.port());
    let (kind, value) = if identity.starts_with(&COOKIE) {
        (XOR_MAPPED_ADDRESS, address(source, identity))
    } else {
        // A client of RFC 3489, which knows no cookie (RFC 5389, 12.2).
        (MAPPED_ADDRESS, address(source, &[0; 16]))
    };
    let mut body = Vec::new();
    push(&mut body, kind, &value);
    Some(message(BINDING_SUCCESS, identity, &body))
}

/// The types of the attributes that would have to be understood; `None` if they do not fill their room exactly.
fn unknown(mut attributes: &[u8]) -> Option<Vec<u16>> {
    let mut unknown = Vec::new();
    while !attributes.is_empty() {
        let (kind, length) = (number(attributes, 0)?, number(attributes, 2)?);
        let padded = usize::from(length).next_multiple_of(4);
        attributes = attributes.get(4 + padded..)?;
        if kind < OPTIONAL && !UNCHECKED.contains(&kind) {
            unknown.push(kind);
        }
    }
    Some(unknown)
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}

/// An address as an attribute value, combined with `mask` (RFC 8489, 14.2).
fn address(address: SocketAddr, mask: &[u8]) -> Vec<u8> {
    let (family, octets) = match address.ip() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let masked = |bytes: &[u8]| -> Vec<u8> {
        let pairs = bytes.iter().zip(mask);
        pairs.map(|(byte, mask)| byte ^ mask).collect()
    };
    let mut value = vec![0, family];
    value.extend(masked(&address.port().to_be_bytes()));
    value.extend(masked(&octets));
    value
}

/// Appends an attribute, with what pads it to four bytes.
fn push(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    body.extend_from_slice(&kind.to_be_bytes());
    body.extend_from_slice(&length(value));
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn message(kind: u16, identity: &[u8], body: &[u8]) -> Bytes {
    let mut message = kind.to_be_bytes().to_vec();
    message.extend_from_slice(&length(body));
    message.extend_from_slice(identity);
    message.extend_from_slice(body);
    message.into()
}

/// All that is measured here came in one datagram, or is shorter.
fn length(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request with these attributes, by type and value.
    fn request(cookie: [u8; 4], attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in attributes {
            push(&mut body, *kind, value);
        }
        let mut identity = cookie.to_vec();
        identity.extend(1..=12);
        message(BINDING_REQUEST, &identity, &body).to_vec()
    }

    fn answered(request: &[u8], source: &str) -> Option<Vec<u8>> {
        answer(request, source.parse().expect("an address")).map(|bytes| bytes.to_vec())
    }

    #[test]
    fn a_binding_request_is_told_where_it_came_from() {
        // The port and address of RFC 5769, 2.2, under its cookie.
        let mut expected = vec![0x01, 0x01, 0, 12, 0x21, 0x12, 0xA4, 0x42];
        expected.extend(1..=12);
        expected.extend([0, 0x20, 0, 8, 0, 1, 0xA1, 0x47, 0xE1, 0x12, 0xA6, 0x43]);
        let plain = request(COOKIE, &[]);
        assert_eq!(answered(&plain, "192.0.2.1:32853"), Some(expected.clone()));
        // As a socket for both families sees it, and with attributes that may be ignored.
        let rich = request(COOKIE, &[(0x8022, b"phone"), (0x0006, b"bob")]);
        assert_eq!(answered(&rich, "[::ffff:192.0.2.1]:32853"), Some(expected));
        let six = answered(&plain, "[2001:db8::1]:5060").expect("an answer");
        assert_eq!(six[20..26], [0, 0x20, 0, 20, 0, 2]);
        let mask = &plain[4..20];
        let ip: Vec<u8> = six[28..].iter().zip(mask).map(|(a, b)| a ^ b).collect();
        assert_eq!(
            ip,
            "2001:db8::1"
                .parse::<std::net::Ipv6Addr>()
                .unwrap()
                .octets()
        );
    }

    #[test]
    fn a_client_without_cookie_gets_its_address_in_clear() {
        let old = request([9, 9, 9, 9], &[]);
        let answer = answered(&old, "192.0.2.1:32853").expect("an answer");
        assert_eq!(answer[4..20], old[4..20]);
        assert_eq!(answer[20..], [0, 1, 0, 8, 0, 1, 0x80, 0x55, 192, 0, 2, 1]);
    }

    #[test]
    fn attributes_that_must_be_understood_are_named_in_an_error() {
        let strange = request(COOKIE, &[(0x0024, &[0; 4]), (0x7FFF, b"x")]);
        let answer = answered(&strange, "192.0.2.1:1").expect("an answer");
        assert_eq!(answer[..2], [0x01, 0x11]);
        assert_eq!(answer[20..28], [0, 9, 0, 21, 0, 0, 4, 20]);
        assert_eq!(answer[48..], [0, 0x0A, 0, 4, 0, 0x24, 0x7F, 0xFF]);
        assert_eq!(usize::from(answer[3]), answer.len() - HEADER);
    }

    #[test]
    fn what_is_no_binding_request_gets_nothing() {
        let good = request(COOKIE, &[(0x8022, b"phone")]);
        for length in 0..good.len() {
            assert_eq!(answered(&good[..length], "192.0.2.1:1"), None, "{length}");
        }
        let mut response = request(COOKIE, &[]);
        response[0] = 1;
        let mut overlong = good.clone();
        overlong[23] = 200;
        for bytes in [response, overlong, b"OPTIONS sip:a SIP/2.0\r\n".to_vec()] {
            assert_eq!(answered(&bytes, "192.0.2.1:1"), None, "{bytes:?}");
        }
    }

    proptest::proptest! {
        /// Any datagram is answered by a whole message, or not at all.
        #[test]
        fn any_datagram_is_answered_whole_or_not(
            begin in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80),
            is_binding: bool,
        ) {
            let mut datagram = begin;
            if is_binding && datagram.len() >= HEADER {
                datagram.truncate(datagram.len() / 4 * 4);
                let length = length(&datagram[HEADER..]);
                datagram[..2].copy_from_slice(&[0, 1]);
                datagram[2..4].copy_from_slice(&length);
            }
            if let Some(answer) = answered(&datagram, "192.0.2.1:1") {
                let told = usize::from(u16::from_be_bytes([answer[2], answer[3]]));
                proptest::prop_assert_eq!(told + HEADER, answer.len());
            }
        }
    }
}
