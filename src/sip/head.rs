//! Writing: header lines, and whole messages into buffers that are used again (RFC 3261, 7 and 8.2.6.2).

use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use memchr::memchr2;

use super::lex::{List, is_token_text, push_unfolded};
use super::params::Pairs;
use super::{Message, Method, Name, StatusCode};
use crate::digits::Decimal;

/// Header lines in the making, each ended by CRLF.
#[derive(Clone, Debug, Default)]
pub struct Head(Vec<u8>);

impl Head {
    /// No lines yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// No lines yet, with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Adds a line. A line end inside the value becomes a space, so that no value injects a header. [`Name::Other`] has
    /// no spelling: nothing is added.
    pub fn line(&mut self, name: Name, value: impl fmt::Display) -> &mut Self {
        self.other(name.as_str(), value)
    }

    /// Adds a line with a name that is not in [`Name`]; nothing if it is no token.
    pub fn other(&mut self, name: &str, value: impl fmt::Display) -> &mut Self {
        if is_token_text(name.as_bytes()) {
            self.0.extend_from_slice(name.as_bytes());
            self.0.extend_from_slice(b": ");
            push_clean(&mut self.0, value);
            self.0.extend_from_slice(b"\r\n");
        }
        self
    }

    /// As [`Head::line`], for a number: without the way through the formatter.
    pub fn number(&mut self, name: Name, value: u32) -> &mut Self {
        self.begin(name);
        push_number(&mut self.0, value);
        self.0.extend_from_slice(b"\r\n");
        self
    }

    /// As [`Head::line`], for a text.
    pub fn text(&mut self, name: Name, value: &str) -> &mut Self {
        self.begin(name);
        push_text(&mut self.0, value);
        self.0.extend_from_slice(b"\r\n");
        self
    }

    fn begin(&mut self, name: Name) {
        debug_assert_ne!(name, Name::Other, "it has no spelling");
        self.0.extend_from_slice(name.as_str().as_bytes());
        self.0.extend_from_slice(b": ");
    }

    /// The lines.
    pub fn finish(self) -> Bytes {
        Bytes::from(self.0)
    }

    /// The lines so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Head {
    /// Whole lines, written before.
    fn from(lines: Vec<u8>) -> Self {
        Self(lines)
    }
}

impl From<Head> for Vec<u8> {
    fn from(head: Head) -> Self {
        head.0
    }
}

/// Keeps line ends out of what is written.
struct Clean<'a>(&'a mut Vec<u8>);

impl fmt::Write for Clean<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text.as_bytes();
        while let Some(at) = memchr2(b'\r', b'\n', rest) {
            self.0.extend_from_slice(&rest[..at]);
            self.0.push(b' ');
            rest = &rest[at + 1..];
        }
        self.0.extend_from_slice(rest);
        Ok(())
    }
}

fn push_clean(out: &mut Vec<u8>, value: impl fmt::Display) {
    // Writing to memory does not fail; a Display that does leaves the value short.
    let _ = write!(Clean(out), "{value}");
}

/// As [`push_clean`], without the way through the formatter.
fn push_text(out: &mut Vec<u8>, text: &str) {
    let _ = Clean(out).write_str(text);
}

/// What the top Via of a response is given (RFC 3261, 18.2.1; RFC 3581, 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViaPatch {
    /// Where the request came from; replaces what a client may have claimed.
    pub received: IpAddr,
    /// The port it came from: written if the request has an `rport` parameter.
    pub rport: Option<u16>,
}

/// Appends a request to `out`. `heads` are together whole lines, as of [`Head::finish`]; Content-Length is added.
pub fn write_request(
    out: &mut Vec<u8>,
    method: &Method,
    uri: &str,
    via: &str,
    max_forwards: u8,
    heads: &[&[u8]],
    body: &[u8],
) {
    let head: usize = heads.iter().map(|head| head.len()).sum();
    out.reserve(method.as_str().len() + uri.len() + via.len() + head + body.len() + 80);
    push_text(out, method.as_str());
    out.push(b' ');
    push_uri(out, uri);
    out.extend_from_slice(b" SIP/2.0\r\nVia: ");
    push_text(out, via);
    out.extend_from_slice(b"\r\nMax-Forwards: ");
    push_number(out, max_forwards.into());
    out.extend_from_slice(b"\r\n");
    push_end(out, heads, body);
}

/// Appends a response to `request` to `out`: every Via, the top one with `via_patch`, From, To with `to_tag` if it has no
/// tag yet, Call-ID, CSeq, Record-Route if asked, then `heads`, Content-Length and `body`. Headers that the request lacks
/// are left out. `reason` replaces the standard phrase.
#[expect(
    clippy::too_many_arguments,
    reason = "they are the parts of a response"
)]
pub fn write_response(
    out: &mut Vec<u8>,
    request: &Message,
    status: StatusCode,
    reason: Option<&str>,
    to_tag: Option<&str>,
    via_patch: Option<ViaPatch>,
    copy_record_route: bool,
    heads: &[&[u8]],
    body: &[u8],
) {
    let head: usize = heads.iter().map(|head| head.len()).sum();
    out.reserve(512 + head + body.len());
    out.extend_from_slice(b"SIP/2.0 ");
    push_number(out, status.code().into());
    out.push(b' ');
    push_text(out, reason.unwrap_or(status.reason()));
    out.extend_from_slice(b"\r\n");
    push_vias(out, request, via_patch);
    if copy_record_route {
        copy(out, request, Name::RecordRoute, usize::MAX);
    }
    copy(out, request, Name::From, 1);
    copy(out, request, Name::To, 1);
    if let Some(tag) = to_tag.filter(|_| request.has(Name::To) && !request.has_to_tag()) {
        // Behind the line that was just copied.
        out.truncate(out.len() - 2);
        out.extend_from_slice(b";tag=");
        push_text(out, tag);
        out.extend_from_slice(b"\r\n");
    }
    copy(out, request, Name::CallId, 1);
    copy(out, request, Name::CSeq, 1);
    push_end(out, heads, body);
}

/// A URI as it stands, but for bytes that would end it.
fn push_uri(out: &mut Vec<u8>, uri: &str) {
    let mut rest = uri.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte <= b' ') {
        out.extend_from_slice(&rest[..at]);
        push_clean(out, format_args!("%{:02X}", rest[at]));
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// A number in decimal digits.
pub(crate) fn push_number(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(Decimal::of(number).as_bytes());
}

fn push_v4(out: &mut Vec<u8>, address: Ipv4Addr) {
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            out.push(b'.');
        }
        push_number(out, octet.into());
    }
}

/// `address:port`, without the way through the formatter for IPv4.
pub(crate) fn push_address(out: &mut Vec<u8>, address: SocketAddr) {
    match address {
        SocketAddr::V4(v4) => {
            push_v4(out, *v4.ip());
            out.push(b':');
            push_number(out, v4.port().into());
        }
        SocketAddr::V6(_) => push_clean(out, address),
    }
}

fn push_end(out: &mut Vec<u8>, heads: &[&[u8]], body: &[u8]) {
    let start = out.len();
    for head in heads {
        out.extend_from_slice(head);
    }
    if out.len() > start && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"Content-Length: ");
    // A message is shorter than 4 GiB.
    push_number(out, u32::try_from(body.len()).unwrap_or(u32::MAX));
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body);
}

/// Up to `count` lines of a name, unfolded, their bytes as they were.
fn copy(out: &mut Vec<u8>, request: &Message, name: Name, count: usize) {
    for line in request.lines_of(name).take(count) {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        push_unfolded(out, request.line_bytes(line));
        out.extend_from_slice(b"\r\n");
    }
}

fn push_vias(out: &mut Vec<u8>, request: &Message, patch: Option<ViaPatch>) {
    let mut lines = request.lines_of(Name::Via);
    if let Some(patch) = patch
        && let Some(line) = lines.next()
    {
        let text = request.line_text(line);
        let mut list = List::new(&text);
        out.extend_from_slice(b"Via: ");
        push_patched(out, list.next().unwrap_or(""), patch);
        for lower in List::new(list.rest()) {
            out.extend_from_slice(b", ");
            out.extend_from_slice(lower.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
    for line in lines {
        out.extend_from_slice(b"Via: ");
        push_unfolded(out, request.line_bytes(line));
        out.extend_from_slice(b"\r\n");
    }
}

/// The value with `received` and `rport`; the rest stays as written, so that the client knows its own again.
fn push_patched(out: &mut Vec<u8>, via: &str, patch: ViaPatch) {
    let end = via.bytes().position(|byte| byte == b';');
    let (front, params) = via.split_at(end.unwrap_or(via.len()));
    out.extend_from_slice(front.trim_end().as_bytes());
    for (name, value) in Pairs::new(params) {
        if name.eq_ignore_ascii_case("received") {
            continue;
        }
        out.push(b';');
        out.extend_from_slice(name.as_bytes());
        match (patch.rport, value) {
            (Some(port), _) if name.eq_ignore_ascii_case("rport") => {
                out.push(b'=');
                push_number(out, port.into());
            }
            (_, Some(value)) => {
                out.push(b'=');
                push_text(out, value);
            }
            (_, None) => {}
        }
    }
    // A dual-stack socket shows IPv4 peers as mapped addresses; the client knows itself by the other.
    out.extend_from_slice(b";received=");
    match patch.received.to_canonical() {
        IpAddr::V4(address) => push_v4(out, address),
        IpAddr::V6(address) => push_clean(out, address),
    }
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
