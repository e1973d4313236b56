//! A whole world in virtual time.
