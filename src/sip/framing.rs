//! Framing.
use super::error::Fault;
use super::{Message, StatusCode};
use bytes::{Bytes, BytesMut};

/// What came out of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A whole message, for [`Message::parse`].
    Message(Bytes),
    /// CRLFCRLF: to be answered with CRLF (RFC 5626, 4.4.1).
    Ping,
    /// CRLF alone.
    Pong,
}

/// Why a stream can't be read on: the connection is to be closed after the answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{fault}")]
pub struct FramingError {
    fault: Fault,
    message: Option<Box<Message>>,
}

impl FramingError {
    /// What is wrong.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// What the sender gets before the connection is closed; None when nothing can be answered.
    pub fn status(&self) -> Option<StatusCode> {
        todo!()
    }

    /// The request, as far as it could be read, when it can be answered.
    pub fn message(&self) -> Option<&Message> {
        self.message.as_deref()
    }
}

/// Finds messages in a stream.
#[derive(Clone, Debug)]
pub struct Framer {
    max: usize,
}

impl Framer {
    /// For messages of at most `max` bytes.
    pub fn new(max: usize) -> Self {
        Self { max }
    }

    /// Takes the next frame from the front of `buf`; None when more bytes are needed.
    pub fn next(&mut self, buf: &mut BytesMut) -> Result<Option<Frame>, FramingError> {
        let _ = (buf, self.max);
        todo!()
    }
}
