//! SUBSCRIBE and NOTIFY at the notifier (RFC 6665).
