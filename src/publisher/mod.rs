//! The event publication agent: one machine per presentity (RFC 3903, section 4).
