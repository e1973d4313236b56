//! The circular publish buffer of the Presence Client.
