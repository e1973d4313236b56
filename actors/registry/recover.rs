//! A shard without its state asks the store for it, until it gets it.

use actix::prelude::*;
use rollcall_core::registry::{Record, Version};
use tracing::{error, info};

use super::Registry;
use super::guard::Input;
use crate::store::StoreError;
use crate::trouble::Trouble;

/// Where a shard stands that has lost its state.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// The store is asked, or the pause before that is under way.
    busy: bool,
    trouble: Trouble,
}

impl Recovery {
    /// How often the store could not give the state.
    pub fn failures(&self) -> u64 {
        self.trouble.total()
    }
}

/// Store → registry: the state of its shard.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Recovered(Result<Vec<(Version, Record)>, StoreError>);

/// Sees to it that the shard has an answer, also when whoever owes it panics.
struct Asker(Option<Recipient<Recovered>>);

impl Asker {
    fn answer(mut self, records: Result<Vec<(Version, Record)>, StoreError>) {
        if let Some(registry) = self.0.take() {
            registry.do_send(Recovered(records));
        }
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        if let Some(registry) = self.0.take() {
            registry.do_send(Recovered(Err(StoreError::Closed)));
        }
    }
}

impl Registry {
    /// Asks the store for the shard's state, unless that is under way.
    pub(super) fn recover(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.recovery.busy, true) {
            return;
        }
        let asker = Asker(Some(ctx.address().recipient()));
        self.store
            .reload(self.share, Box::new(move |records| asker.answer(records)));
    }

    /// The state could not be had: requests are answered 503 until the next try, which is a pause away.
    fn not_recovered(&mut self, reason: &str, ctx: &mut Context<Self>) {
        let shard = self.shard;
        if let Some(failures) = self.recovery.trouble.failed(self.clock.now()) {
            error!(
                shard,
                failures,
                reason,
                "the shard has not got its state from the store; it answers 503 and tries again"
            );
        }
        ctx.run_later(self.recovery.trouble.pause(), |registry, ctx| {
            registry.recovery.busy = false;
            registry.recover(ctx);
        });
    }
}

impl Handler<Recovered> for Registry {
    type Result = ();

    fn handle(&mut self, Recovered(records): Recovered, ctx: &mut Self::Context) {
        let records = match records {
            Ok(records) => records,
            Err(error) => return self.not_recovered(&error.to_string(), ctx),
        };
        let (now, count) = (self.clock.now(), records.len());
        self.feed(now, Input::Load(records));
        if !self.core.is_complete() {
            return self.not_recovered("the core panicked at what is stored", ctx);
        }
        self.recovery.busy = false;
        let failures = self
            .recovery
            .trouble
            .went_well(now)
            .map_or(0, |over| over.failures);
        info!(
            shard = self.shard,
            records = count,
            failures,
            "the shard has its state from the store"
        );
        self.done(ctx);
    }
}
