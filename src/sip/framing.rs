//! Messages in a stream (RFC 3261, 18.3; RFC 5626, 4.4.1). Pure: the codec around it lives with the sockets.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

use super::error::{Fault, answerable};
use super::index::Length;
use super::{Message, StatusCode};

/// What came out of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A whole message, for [`Message::parse`].
    Message(Bytes),
    /// CRLFCRLF: to be answered with CRLF.
    Ping,
    /// CRLF: the answer to a ping, or residue between messages. Whoever waits for a pong takes any frame as a sign of life.
    Pong,
}

/// Why a stream can't be read on: where the next message begins is unknown, so the connection is closed after the answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{fault}")]
pub struct FramingError {
    fault: Fault,
    message: Option<Message>,
}

impl FramingError {
    fn new(fault: Fault, head: &[u8]) -> Self {
        // The head is copied: an error is rare, and the connection's buffer goes away with it.
        let read = Message::read(Bytes::copy_from_slice(head)).ok();
        let message = read.map(|(mut read, ..)| {
            read.cut(0);
            Message::new(read)
        });
        Self {
            fault,
            message: message.filter(answerable),
        }
    }

    /// What is wrong.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// What the sender gets before the connection is closed; None when nothing can be answered.
    pub fn status(&self) -> Option<StatusCode> {
        self.message.as_ref().map(|_| self.fault.status())
    }

    /// The request as far as it could be read, when it can be answered.
    pub fn message(&self) -> Option<&Message> {
        self.message.as_ref()
    }
}

/// Finds messages in a stream. Keeps where it has looked, so that a byte is searched once however small the pieces are.
/// After an error it is of no further use.
#[derive(Clone, Debug)]
pub struct Framer {
    max: usize,
    /// No end of headers begins before this index of the buffer.
    scanned: usize,
    /// The length of the message at the front, once its headers are there.
    total: Option<usize>,
    /// A lone CRLF was given out as a pong, and might have been the first half of a ping.
    half_ping: bool,
}

impl Framer {
    /// For messages of at most `max` bytes, and of [`Message::MAX_LEN`] in any case.
    pub fn new(max: usize) -> Self {
        Self {
            max: max.min(Message::MAX_LEN),
            scanned: 0,
            total: None,
            half_ping: false,
        }
    }

    /// Takes the next frame from the front of `buf`; None when more bytes are needed. To be called until it gives None,
    /// always with the same buffer, to which only bytes at the end are added in between.
    pub fn next(&mut self, buf: &mut BytesMut) -> Result<Option<Frame>, FramingError> {
        if self.scanned == 0
            && let Between::Frame(frame) = self.between(buf)
        {
            return Ok(frame);
        }
        let total = match self.total {
            Some(total) => total,
            None => match self.head(buf)? {
                Some(total) => total,
                None => return Ok(None),
            },
        };
        self.total = Some(total);
        if buf.len() < total {
            return Ok(None);
        }
        *self = Self::new(self.max);
        Ok(Some(Frame::Message(buf.split_to(total).freeze())))
    }

    /// What may stand between messages: line ends, of which CRLF and CRLFCRLF mean something.
    fn between(&mut self, buf: &mut BytesMut) -> Between {
        loop {
            let (length, frame) = match &buf[..] {
                [b'\r', b'\n', b'\r', b'\n', ..] => (4, Frame::Ping),
                [b'\n', ..] => {
                    buf.advance(1);
                    continue;
                }
                [] | [b'\r'] | [b'\r', b'\n', b'\r'] => return Between::Frame(None),
                [b'\r', b'\n', ..] if self.half_ping => (2, Frame::Ping),
                [b'\r', b'\n', ..] => (2, Frame::Pong),
                _ => return Between::Message,
            };
            buf.advance(length);
            self.half_ping = frame == Frame::Pong;
            return Between::Frame(Some(frame));
        }
    }

    /// The length of the message, once the end of its headers is there.
    fn head(&mut self, buf: &[u8]) -> Result<Option<usize>, FramingError> {
        while let Some(found) = memchr(b'\n', &buf[self.scanned..]) {
            let lf = self.scanned + found;
            let end = match &buf[lf + 1..] {
                [b'\n', ..] => lf + 2,
                [b'\r', b'\n', ..] => lf + 3,
                [] | [b'\r'] => {
                    // Not yet known: this line end is looked at again.
                    self.scanned = lf;
                    return self.more(buf);
                }
                _ => {
                    self.scanned = lf + 1;
                    continue;
                }
            };
            return self.length(buf, end).map(Some);
        }
        self.scanned = buf.len();
        self.more(buf)
    }

    fn more(&self, buf: &[u8]) -> Result<Option<usize>, FramingError> {
        if buf.len() > self.max {
            Err(FramingError::new(Fault::TooLarge, buf))
        } else {
            Ok(None)
        }
    }

    /// The length of the message whose headers end at `end`. Start lines that make no sense are left to
    /// [`Message::parse`], as long as it is known where the message ends.
    fn length(&self, buf: &[u8], end: usize) -> Result<usize, FramingError> {
        let head = &buf[..end];
        let fail = |fault| Err(FramingError::new(fault, head));
        if end > self.max {
            return fail(Fault::TooLarge);
        }
        let headers = match memchr(b'\n', head) {
            Some(lf) => super::index::Headers::read(head, lf + 1),
            None => return fail(Fault::StartLine),
        };
        if let Some(fault) = headers.fault {
            return fail(fault);
        }
        match headers.length {
            Length::Given(length) if length <= self.max - end => Ok(end + length),
            Length::Given(_) => fail(Fault::BodyTooLarge),
            Length::Absent => fail(Fault::NoContentLength),
            Length::Malformed => fail(Fault::ContentLength),
            Length::Conflicting => fail(Fault::ConflictingLengths),
        }
    }
}

/// What stands at the front of the buffer between messages.
enum Between {
    /// This, or not enough to know.
    Frame(Option<Frame>),
    /// A message begins.
    Message,
}

#[cfg(test)]
#[path = "framing_tests.rs"]
mod tests;
