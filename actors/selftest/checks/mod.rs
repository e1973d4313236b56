//! The catalogue: each check is a conversation that decides some requirements.

use std::future::Future;
use std::pin::Pin;

use super::peer::{Peer, Stop};
use super::requirement::Requirement;

mod digest;
mod document;
mod every;
mod malformed;
mod options;
mod partial;
mod publish;
mod refused;
mod register;
mod streams;
mod subscribe;
mod tolerated;
mod watch;

pub(super) use every::{EVERY, judge};

/// What a check does.
type Run = for<'a> fn(&'a mut Peer) -> Pin<Box<dyn Future<Output = Result<(), Stop>> + 'a>>;

/// A conversation, and what it decides.
pub(super) struct Check {
    pub of: &'static [Requirement],
    pub run: Run,
}

/// A check of an async function and its requirements.
macro_rules! check {
    ($body:path, [$($requirement:expr),* $(,)?]) => {
        $crate::selftest::checks::Check {
            of: &[$($requirement),*],
            run: |peer| Box::pin($body(peer)),
        }
    };
}
use check;

/// All checks, in the order of the report.
pub(super) fn all() -> impl Iterator<Item = &'static Check> {
    [
        options::CHECKS,
        tolerated::CHECKS,
        malformed::CHECKS,
        refused::CHECKS,
        streams::CHECKS,
        publish::CHECKS,
        subscribe::CHECKS,
        watch::CHECKS,
        document::CHECKS,
        register::CHECKS,
        partial::CHECKS,
        digest::CHECKS,
    ]
    .into_iter()
    .flatten()
}
