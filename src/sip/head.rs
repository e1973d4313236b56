//! Writing.
use super::{Message, Method, Name, StatusCode};
use bytes::Bytes;
use std::fmt;
use std::net::IpAddr;

/// Header lines, each ended by CRLF, in the making.
#[derive(Clone, Debug, Default)]
pub struct Head(Vec<u8>);

impl Head {
    /// No lines yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// No lines yet, with room.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Adds a line. Line ends inside the value become spaces: nothing injects a header.
    pub fn line(&mut self, name: Name, value: impl fmt::Display) -> &mut Self {
        let _ = (name, value.to_string());
        todo!()
    }

    /// Adds a line with a name that is not in [`Name`]; nothing if it is no token.
    pub fn other(&mut self, name: &str, value: impl fmt::Display) -> &mut Self {
        let _ = (name, value.to_string());
        todo!()
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

/// What a response's top Via is given (RFC 3261, 18.2.1; RFC 3581, 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViaPatch {
    /// Where the request came from.
    pub received: IpAddr,
    /// The port it came from, when the request asked with `rport`.
    pub rport: Option<u16>,
}

/// Appends a request to `out`.
pub fn write_request(
    out: &mut Vec<u8>,
    method: &Method,
    uri: &str,
    via: &str,
    max_forwards: u8,
    head: &[u8],
    body: &[u8],
) {
    let _ = (out, method, uri, via, max_forwards, head, body);
    todo!()
}

/// Appends a response to `request` to `out`.
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
    head: &[u8],
    body: &[u8],
) {
    let _ = (
        out,
        request,
        status,
        reason,
        to_tag,
        via_patch,
        copy_record_route,
        head,
        body,
    );
    todo!()
}
