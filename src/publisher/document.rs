//! The document of a state.

use bytes::Bytes;

use crate::manager::Presence;
use crate::time::Timestamp;

/// The PIDF document that says this state.
pub(super) fn of(presence: &Presence, _now: Timestamp) -> Bytes {
    presence
        .document
        .clone()
        .map(Bytes::from)
        .unwrap_or_default()
}
