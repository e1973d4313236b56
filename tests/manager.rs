//! The Manager over real sockets.
