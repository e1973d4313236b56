//! The Presence Client against a scripted server.
