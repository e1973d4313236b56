//! The hub of the Manager: merges what all sources say and tells every Presence Client.

use actix::prelude::*;
use rollcall_core::manager::Presence;

/// Source → hub: the state of one presentity, as a source within this process says it.
///
/// `presence.source` is overwritten by `source`, and `presence.seq` is of no use here: a source in the process needs no
/// acknowledgement. Saying the same twice changes nothing; `withdrawn` takes the source's share of the state away.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct FromSource {
    /// The name of the source: what it said of a presentity before is replaced.
    pub source: String,
    /// What it says.
    pub presence: Presence,
}
