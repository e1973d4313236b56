//! (to come)

use bytes::Bytes;

use super::{Document, Limits, PidfError};

pub fn read(_raw: &Bytes, _limits: &Limits) -> Result<Document, PidfError> {
    Err(PidfError::NoEntity)
}
