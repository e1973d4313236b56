//! SIP on a stream (RFC 3261, 18.3): the core's framer as a tokio-util decoder.

use std::io;

use bytes::BytesMut;
use rollcall_core::sip::{Frame, Framer, FramingError, Message};
use tokio_util::codec::Decoder;

/// Splits a stream into messages and keep-alives.
#[derive(Debug)]
pub struct SipCodec {
    framer: Framer,
}

impl SipCodec {
    /// For messages up to the longest that SIP over UDP could carry.
    pub fn new() -> Self {
        Self {
            framer: Framer::new(Message::MAX_LEN),
        }
    }
}

impl Default for SipCodec {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a stream can't be read on.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Where the next message begins is no longer known.
    #[error(transparent)]
    Framing(#[from] FramingError),
}

impl Decoder for SipCodec {
    type Item = Frame;
    type Error = StreamError;

    fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Frame>, StreamError> {
        Ok(self.framer.next(buf)?)
    }

    fn decode_eof(&mut self, buf: &mut BytesMut) -> Result<Option<Frame>, StreamError> {
        // What is left of an unfinished message is nobody's: the peer has gone and would not read an answer.
        self.decode(buf)
    }
}
