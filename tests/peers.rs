//! Real peers from packages.
