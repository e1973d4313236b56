//! The thread on which large states are composed, one after the other, for all shards of a node.

use std::panic::{AssertUnwindSafe, catch_unwind};

use actix::prelude::*;
use rollcall_core::registry::{Composed, Job};

/// Composes what a registry must not stop for.
pub struct Composer;

/// Registry → composer: a large state to be composed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Compose {
    /// What.
    pub job: Job,
    /// Who wants to know.
    pub to: Recipient<Done>,
}

/// Composer → registry: it is composed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Done(pub Composed);

impl Composer {
    /// On a thread of its own, which ends with the last address.
    pub fn start() -> Addr<Self> {
        SyncArbiter::start(1, || Self)
    }
}

impl Actor for Composer {
    type Context = SyncContext<Self>;
}

impl Handler<Compose> for Composer {
    type Result = ();

    fn handle(&mut self, Compose { job, to }: Compose, _: &mut Self::Context) {
        to.do_send(Done(compose(&job)));
    }
}

/// Runs a job. One that panics leaves the state as it was: there is nothing in it that could be half done.
pub(super) fn compose(job: &Job) -> Composed {
    catch_unwind(AssertUnwindSafe(|| job.run())).unwrap_or_else(|_| {
        tracing::error!(
            "the composition of a large state panicked; watchers see the state before it"
        );
        job.failed()
    })
}
