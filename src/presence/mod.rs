//! Composition of event state (RFC 4479, 4480; RFC 3903, section 6).
