//! The Manager node: hub, sessions and sources.
