//! The Presence Server over real sockets.
