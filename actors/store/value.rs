//! A stored value: version, then the record.

use rollcall_core::registry::{Record, RecordError, Version};

/// A value as bytes.
pub(super) fn encode(version: Version, record: &Record) -> Vec<u8> {
    // Room for a usual document.
    let mut value = Vec::with_capacity(1536);
    value.extend_from_slice(&version.to_be_bytes());
    record.encode_to(&mut value);
    value
}

/// The version of a stored value.
pub(super) fn version(value: &[u8]) -> Option<Version> {
    number(value.get(..8)?)
}

/// Reads a stored value.
pub(super) fn decode(value: &[u8]) -> Result<(Version, Record), RecordError> {
    let version = version(value).ok_or(RecordError::Truncated("version"))?;
    // A copy, so that the record does not keep the engine's block.
    let record = Record::decode(bytes::Bytes::copy_from_slice(&value[8..]))?;
    Ok((version, record))
}

/// A stored number.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}
