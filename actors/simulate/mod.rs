//! A whole world in virtual time.

pub mod ladder;
pub mod ledger;
pub mod people;
