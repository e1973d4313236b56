//! Where things stand in a message: one pass over its bytes, nothing copied (RFC 3261, 7).

use memchr::{memchr, memchr2, memrchr};
use smallvec::SmallVec;

use super::error::Fault;
use super::lex::{is_token, is_token_text, number, trimmed};
use super::{Message, Method, Name, StatusCode};

/// A stretch of the message. Offsets fit 16 bits because [`Message::MAX_LEN`] does.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    start: u16,
    end: u16,
}

impl Span {
    /// The bytes it covers.
    #[inline]
    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[usize::from(self.start)..usize::from(self.end)]
    }

    /// Of `part`, which begins at `start`.
    #[inline]
    fn at(start: usize, part: &[u8]) -> Self {
        let bound = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
        Self {
            start: bound(start),
            end: bound(start + part.len()),
        }
    }

    /// Of `part` trimmed, which begins at `start`.
    #[inline]
    fn trimmed(start: usize, part: &[u8]) -> Self {
        let (from, to) = trimmed(part);
        Self::at(start + from, &part[from..to])
    }
}

/// One header line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) name: Name,
    /// Whether the value has line ends in it.
    pub(super) folded: bool,
    /// The name as written.
    pub(super) written: Span,
    /// The value, trimmed.
    pub(super) value: Span,
}

/// As many as ordinary messages have, so that these need no allocation.
pub(super) type Lines = SmallVec<[Line; 24]>;

/// What the Content-Length headers say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Absent,
    Given(usize),
    Malformed,
    Conflicting,
}

impl Length {
    fn and(self, value: &[u8]) -> Self {
        let given = str::from_utf8(value).ok().and_then(number);
        let given = given.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        match (self, given) {
            (Self::Malformed, _) | (_, None) => Self::Malformed,
            (Self::Absent, Some(length)) => Self::Given(length),
            (Self::Given(before), Some(length)) if before == length => self,
            (Self::Given(_) | Self::Conflicting, Some(_)) => Self::Conflicting,
        }
    }
}

/// The header lines of a message.
pub(super) struct Headers {
    pub(super) lines: Lines,
    pub(super) length: Length,
    /// Where the body begins; the end of the bytes when the headers do not end.
    pub(super) body: usize,
    pub(super) fault: Option<Fault>,
}

impl Headers {
    /// Reads the lines from `at`, the first byte after the start line.
    ///
    /// A line that is no header at all (no colon, or no token before it) is passed over: a server ignores malformed
    /// headers that it does not need (RFC 3261, 8.2.2), and those it needs it will miss.
    pub(super) fn read(bytes: &[u8], mut at: usize) -> Self {
        let mut headers = Self {
            lines: Lines::new(),
            length: Length::Absent,
            body: bytes.len(),
            fault: None,
        };
        let mut count = 0;
        loop {
            match &bytes[at..] {
                [b'\n', ..] => {
                    headers.body = at + 1;
                    return headers;
                }
                [b'\r', b'\n', ..] => {
                    headers.body = at + 2;
                    return headers;
                }
                _ => {}
            }
            let Some((end, folded)) = line_end(bytes, at) else {
                headers.fault = Some(Fault::Truncated);
                return headers;
            };
            count += 1;
            if count > Message::MAX_HEADERS || end - at > Message::MAX_LINE {
                let long = end - at > Message::MAX_LINE;
                headers.fault = Some(if long {
                    Fault::LineTooLong
                } else {
                    Fault::TooManyHeaders
                });
                return headers;
            }
            headers.push(bytes, at, end, folded);
            at = end + 1;
        }
    }

    #[inline]
    fn push(&mut self, bytes: &[u8], start: usize, end: usize, folded: bool) {
        let line = &bytes[start..end];
        let name_len = line
            .iter()
            .position(|&byte| !is_token(byte))
            .unwrap_or(line.len());
        let blank = line[name_len..]
            .iter()
            .position(|&byte| !matches!(byte, b' ' | b'\t'));
        let Some(colon) = blank.map(|blank| name_len + blank) else {
            return;
        };
        if name_len == 0 || line[colon] != b':' {
            return;
        }
        let name = Name::of(&line[..name_len]);
        let value = Span::trimmed(start + colon + 1, &line[colon + 1..]);
        if name == Name::ContentLength {
            self.length = self.length.and(value.of(bytes));
        }
        let written = Span::at(start, &line[..name_len]);
        self.lines.push(Line {
            name,
            folded,
            written,
            value,
        });
    }
}

/// The index of the LF that ends the header beginning at `at`, and whether there are other line ends before it: folds
/// (RFC 3261, 7.3.1) or stray CRs.
#[inline]
fn line_end(bytes: &[u8], at: usize) -> Option<(usize, bool)> {
    let mut folded = false;
    let mut from = at;
    loop {
        let found = from + memchr2(b'\r', b'\n', &bytes[from..])?;
        let lf = match (bytes[found], bytes.get(found + 1)) {
            (b'\n', _) => found,
            (_, Some(b'\n')) => found + 1,
            (_, Some(_)) => {
                folded = true;
                from = found + 1;
                continue;
            }
            (_, None) => return None,
        };
        if !matches!(bytes.get(lf + 1), Some(b' ' | b'\t')) {
            return Some((lf, folded));
        }
        folded = true;
        from = lf + 1;
    }
}

/// The start line.
#[derive(Clone, Debug)]
pub(super) enum Start {
    Request { method: Method, uri: Span },
    Response { status: StatusCode, reason: Span },
}

/// A start line that was read, and what is wrong with it although it was.
pub(super) struct StartLine {
    pub(super) start: Start,
    pub(super) fault: Option<Fault>,
}

impl StartLine {
    /// Reads the line, given without its line end; None when it is not worth an answer.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        if line.len() >= 4 && line[..4].eq_ignore_ascii_case(b"SIP/") {
            Self::response(line)
        } else {
            Self::request(line)
        }
    }

    fn request(line: &[u8]) -> Option<Self> {
        let first = memchr(b' ', line)?;
        let last = memrchr(b' ', line.trim_ascii_end())?;
        let method = &line[..first];
        let version = line[last + 1..].trim_ascii_end();
        if last <= first || !is_token_text(method) {
            return None;
        }
        let method = Method::from(str::from_utf8(method).ok()?);
        let uri = Span::trimmed(first + 1, &line[first + 1..last]);
        let text = uri.of(line);
        let fault = match version_fault(version)? {
            Some(fault) => Some(fault),
            // Control characters as well: a URI is copied into logs and errors.
            None if text.is_empty() || text.iter().any(|b| *b <= b' ' || *b == 0x7f) => {
                Some(Fault::RequestUri)
            }
            None => str::from_utf8(text).err().map(|_| Fault::RequestUri),
        };
        Some(Self {
            start: Start::Request { method, uri },
            fault,
        })
    }

    fn response(line: &[u8]) -> Option<Self> {
        let space = memchr(b' ', line)?;
        let fault = version_fault(&line[..space])?;
        let rest = &line[space + 1..];
        let code_len = memchr(b' ', rest).unwrap_or(rest.len());
        let code = str::from_utf8(&rest[..code_len])
            .ok()
            .filter(|code| code.len() == 3)?;
        let status = StatusCode::new(u16::try_from(number(code)?).ok()?)?;
        let reason = Span::trimmed(space + 1 + code_len, &rest[code_len..]);
        Some(Self {
            start: Start::Response { status, reason },
            fault,
        })
    }
}

/// Whether the version is ours; None when it is no version of SIP.
fn version_fault(version: &[u8]) -> Option<Option<Fault>> {
    let (protocol, number) = version.split_at_checked(4)?;
    if !protocol.eq_ignore_ascii_case(b"SIP/") {
        return None;
    }
    if number == b"2.0" {
        return Some(None);
    }
    let dot = memchr(b'.', number)?;
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    (is_number(&number[..dot]) && is_number(&number[dot + 1..])).then_some(Some(Fault::Version))
}
