//! The binary and its command line.
