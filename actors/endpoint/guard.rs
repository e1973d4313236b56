//! The core behind a guard: a panic costs the transactions of a shard, not the shard.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rollcall_core::digest::Authentication;
use rollcall_core::egress::Machine;
use rollcall_core::endpoint::{Effect, Endpoint as Core, ModuleTable, Settings};
use rollcall_core::entropy::Entropy;
use rollcall_core::exchange::Transport;
use rollcall_core::time::Timestamp;

use crate::fault;

/// The core, and all that is needed to make it anew.
pub(super) struct Guarded {
    core: Core,
    settings: Settings,
    modules: ModuleTable,
    entropy: Entropy,
}

impl Guarded {
    pub fn new(settings: Settings, modules: ModuleTable, mut entropy: Entropy) -> Self {
        let core = Core::new(settings.clone(), modules.clone(), entropy.fork());
        Self {
            core,
            settings,
            modules,
            entropy,
        }
    }

    /// Gives the core one input. False if it panicked: then it is a new one. The effects that it had pushed stay, as each
    /// is whole, and those follow that tell everybody who waited for the old core.
    pub fn ask(
        &mut self,
        now: Timestamp,
        out: &mut Vec<Effect>,
        input: impl FnOnce(&mut Core, Timestamp, &mut Vec<Effect>),
    ) -> bool {
        // Of a core that panicked only the lists of those who wait are looked at, and that under guard again.
        let result = catch_unwind(AssertUnwindSafe(|| {
            fault::point(fault::Machine::Endpoint, self.settings.shard);
            input(&mut self.core, now, out);
        }));
        if result.is_ok() {
            return true;
        }
        tracing::error!(
            "the endpoint's core panicked; its transactions end, it goes on with a new one"
        );
        let fresh = self.fresh();
        let failed = std::mem::replace(&mut self.core, fresh);
        let core = &mut self.core;
        if catch_unwind(AssertUnwindSafe(|| core.succeed(now, &failed, out))).is_err() {
            tracing::error!("who waited for the old core can't be told");
        }
        false
    }

    fn fresh(&mut self) -> Core {
        Core::new(
            self.settings.clone(),
            self.modules.clone(),
            self.entropy.fork(),
        )
    }

    pub fn set_locals(&mut self, locals: Vec<(Transport, SocketAddr)>) {
        self.core.set_locals(locals);
    }

    pub fn set_machine(&mut self, machine: Machine) {
        self.core.set_machine(machine);
    }

    /// Exchanges the accounts, also for successors.
    pub fn set_authentication(&mut self, how: Arc<Authentication>) {
        self.settings.authentication = Some(Arc::clone(&how));
        self.core.set_authentication(how);
    }

    /// To look at only: nothing that could panic.
    pub fn get(&self) -> &Core {
        &self.core
    }
}
