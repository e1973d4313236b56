//! A message over its own bytes (RFC 3261, 7): read once into an index, looked into when asked.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use memchr::memchr;

use super::error::Fault;
use super::index::{Headers, Length, Line, Lines, Start, StartLine};
use super::lex::{List, push_unfolded};
use super::{HeaderError, Method, Name, ParseError, StatusCode, Uri, UriParts};

/// A request or a response. What comes out of it are slices of the bytes it was read from. A clone shares all of it, and is as
/// cheap to hand on as a reference.
#[derive(Clone, Debug)]
pub struct Message(Arc<Read>);

/// What was read of a message.
#[derive(Debug)]
pub(super) struct Read {
    /// From the start line to the end of the body.
    raw: Bytes,
    start: Start,
    lines: Lines,
    /// Where the body begins in `raw`.
    body: usize,
}

impl Message {
    /// The longest message that is read, in bytes: the longest that fits a datagram (RFC 3261, 18.1.1).
    pub const MAX_LEN: usize = 65_535;
    /// How many header lines are read. Ordinary messages have below 30.
    pub const MAX_HEADERS: usize = 128;
    /// The longest start line or header with all its folds, in bytes.
    pub const MAX_LINE: usize = 8192;

    /// Reads one datagram, or one message that the [`Framer`](super::Framer) has cut from a stream.
    ///
    /// Line ends before the start line are skipped; lines may end in LF alone. With a Content-Length, what follows the
    /// body is cut off, and a body that is too short is an error (RFC 3261, 18.3); without one, the body is the rest.
    ///
    /// Nothing is said about single headers: each accessor answers for its own.
    pub fn parse(raw: Bytes) -> Result<Self, ParseError> {
        let (mut read, length, fault) = Self::read(raw)?;
        let there = read.raw.len() - read.body;
        let fault = fault.or(match length {
            Length::Given(length) if length > there => Some(Fault::ShortBody),
            Length::Given(_) | Length::Absent => None,
            Length::Malformed => Some(Fault::ContentLength),
            Length::Conflicting => Some(Fault::ConflictingLengths),
        });
        if let Some(fault) = fault {
            return Err(ParseError::new(fault, Some(Self::new(read))));
        }
        if let Length::Given(length) = length {
            read.cut(length);
        }
        Ok(Self::new(read))
    }

    pub(super) fn new(read: Read) -> Self {
        Self(Arc::new(read))
    }

    /// Start line and headers, as far as they go, and what is wrong with them.
    pub(super) fn read(mut raw: Bytes) -> Result<(Read, Length, Option<Fault>), ParseError> {
        let leading = raw
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count();
        raw.advance(leading);
        if raw.is_empty() {
            return Err(ParseError::new(Fault::Empty, None));
        }
        let mut fault = None;
        if raw.len() > Self::MAX_LEN {
            fault = Some(Fault::TooLarge);
            raw.truncate(Self::MAX_LEN);
        }
        let Some(lf) = memchr(b'\n', &raw) else {
            return Err(ParseError::new(fault.unwrap_or(Fault::StartLine), None));
        };
        let line = raw[..lf].strip_suffix(b"\r").unwrap_or(&raw[..lf]);
        let start = StartLine::read(line).ok_or_else(|| ParseError::new(Fault::StartLine, None))?;
        if line.len() > Self::MAX_LINE {
            fault = fault.or(Some(Fault::StartLineTooLong));
        }
        let headers = Headers::read(&raw, lf + 1);
        let fault = fault.or(start.fault).or(headers.fault);
        let read = Read {
            raw,
            start: start.start,
            lines: headers.lines,
            body: headers.body,
        };
        Ok((read, headers.length, fault))
    }

    /// Whether this is a request.
    pub fn is_request(&self) -> bool {
        matches!(self.0.start, Start::Request { .. })
    }

    /// The method of a request.
    pub fn method(&self) -> Option<&Method> {
        match &self.0.start {
            Start::Request { method, .. } => Some(method),
            Start::Response { .. } => None,
        }
    }

    /// The status of a response.
    pub fn status(&self) -> Option<StatusCode> {
        match self.0.start {
            Start::Request { .. } => None,
            Start::Response { status, .. } => Some(status),
        }
    }

    /// The reason phrase of a response as it was sent; empty for a request, and for a phrase that is not UTF-8.
    pub fn reason(&self) -> &str {
        match self.0.start {
            Start::Request { .. } => "",
            Start::Response { reason, .. } => str::from_utf8(reason.of(&self.0.raw)).unwrap_or(""),
        }
    }

    /// The Request-URI as written; empty for a response.
    pub fn uri_text(&self) -> &str {
        match self.0.start {
            Start::Request { uri, .. } => str::from_utf8(uri.of(&self.0.raw)).unwrap_or(""),
            Start::Response { .. } => "",
        }
    }

    /// The Request-URI.
    pub fn request_uri(&self) -> Result<Uri, HeaderError> {
        Uri::parse(self.uri_text()).map_err(|e| HeaderError::new(Name::Other, e.reason()))
    }

    /// The Request-URI where it stands.
    pub fn request_uri_parts(&self) -> Result<UriParts<'_>, HeaderError> {
        UriParts::of(self.uri_text()).map_err(|e| HeaderError::new(Name::Other, e.reason()))
    }

    /// The first header of that name: unfolded, trimmed, and with replacement characters where it is not UTF-8. Of
    /// [`Name::Other`] the first of all unknown ones: see [`Message::other`].
    pub fn text(&self, name: Name) -> Option<Cow<'_, str>> {
        self.texts(name).next()
    }

    /// As [`Message::text`] for each header line of that name, in order.
    pub fn texts(&self, name: Name) -> impl Iterator<Item = Cow<'_, str>> {
        self.lines_of(name).map(|line| self.line_text(line))
    }

    /// The values of all header lines of that name in order, comma lists split: quoted strings and angle brackets keep
    /// their commas. Trimmed, and empty ones left out.
    pub fn values(&self, name: Name) -> impl Iterator<Item = Cow<'_, str>> {
        self.texts(name).flat_map(|text| match text {
            Cow::Borrowed(text) => Values::Shared(List::new(text)),
            Cow::Owned(text) => {
                let values: Vec<String> = List::new(&text).map(str::to_owned).collect();
                Values::Owned(values.into_iter())
            }
        })
    }

    /// The first header of any name, known or unknown, without regard to case.
    pub fn other(&self, name: &str) -> Option<Cow<'_, str>> {
        match Name::of(name.as_bytes()) {
            Name::Other => self
                .lines_of(Name::Other)
                .find(|line| {
                    line.written
                        .of(&self.0.raw)
                        .eq_ignore_ascii_case(name.as_bytes())
                })
                .map(|line| self.line_text(line)),
            known => self.text(known),
        }
    }

    /// All header lines in order: the name, the name as written, the value as written with its folds.
    pub fn lines(&self) -> impl Iterator<Item = (Name, &[u8], &[u8])> {
        self.0.lines.iter().map(|line| {
            (
                line.name,
                line.written.of(&self.0.raw),
                line.value.of(&self.0.raw),
            )
        })
    }

    /// Whether there is a header of that name.
    pub fn has(&self, name: Name) -> bool {
        self.lines_of(name).next().is_some()
    }

    /// The body: a slice of the message.
    pub fn body(&self) -> Bytes {
        self.0.raw.slice(self.0.body..)
    }

    /// Everything from the start line to the end of the body, as received.
    pub fn raw(&self) -> Bytes {
        self.0.raw.clone()
    }

    /// The message printed anew with the same meaning: long names, no folds, one CRLF each, a Content-Length of its own.
    /// Order, values and body stay, and bytes that are not UTF-8 as well.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.0.raw.len() + 64);
        match &self.0.start {
            Start::Request { method, uri } => {
                out.extend_from_slice(method.as_str().as_bytes());
                out.push(b' ');
                out.extend_from_slice(uri.of(&self.0.raw));
                out.extend_from_slice(b" SIP/2.0\r\n");
            }
            Start::Response { status, reason } => {
                out.extend_from_slice(format!("SIP/2.0 {status} ").as_bytes());
                push_unfolded(&mut out, reason.of(&self.0.raw));
                out.extend_from_slice(b"\r\n");
            }
        }
        let length = format!("Content-Length: {}\r\n", self.0.raw.len() - self.0.body);
        let mut has_length = false;
        for (name, written, value) in self.lines() {
            if name == Name::ContentLength {
                if !has_length {
                    out.extend_from_slice(length.as_bytes());
                }
                has_length = true;
                continue;
            }
            let long = name.as_str().as_bytes();
            out.extend_from_slice(if long.is_empty() { written } else { long });
            out.extend_from_slice(b": ");
            push_unfolded(&mut out, value);
            out.extend_from_slice(b"\r\n");
        }
        if !has_length {
            out.extend_from_slice(length.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.0.raw[self.0.body..]);
        Bytes::from(out)
    }

    #[inline]
    pub(super) fn lines_of(&self, name: Name) -> impl Iterator<Item = &Line> {
        self.0.lines.iter().filter(move |line| line.name == name)
    }

    /// The value as written of a line that came from [`Message::lines_of`].
    #[inline]
    pub(super) fn line_bytes(&self, line: &Line) -> &[u8] {
        line.value.of(&self.0.raw)
    }

    #[inline]
    pub(super) fn line_text(&self, line: &Line) -> Cow<'_, str> {
        let value = self.line_bytes(line);
        if !line.folded {
            return match str::from_utf8(value) {
                Ok(text) => Cow::Borrowed(text),
                Err(_) => String::from_utf8_lossy(value),
            };
        }
        let mut plain = Vec::with_capacity(value.len());
        push_unfolded(&mut plain, value);
        Cow::Owned(match String::from_utf8(plain) {
            Ok(text) => text,
            Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
        })
    }
}

impl Read {
    /// Leaves a body of at most `length` bytes.
    pub(super) fn cut(&mut self, length: usize) {
        self.raw.truncate(self.body.saturating_add(length));
    }
}

/// The values of one line: shared with the message, or its own when the line had to be unfolded first.
enum Values<'a> {
    Shared(List<'a>),
    Owned(std::vec::IntoIter<String>),
}

impl<'a> Iterator for Values<'a> {
    type Item = Cow<'a, str>;

    fn next(&mut self) -> Option<Cow<'a, str>> {
        match self {
            Self::Shared(list) => list.next().map(Cow::Borrowed),
            Self::Owned(list) => list.next().map(Cow::Owned),
        }
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
