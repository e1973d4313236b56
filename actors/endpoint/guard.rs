//! The core behind a guard: a panic costs the transactions of a shard, not the shard.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rollcall_core::endpoint::{Effect, Endpoint as Core, ModuleTable, Settings};
use rollcall_core::entropy::Entropy;
use rollcall_core::exchange::Transport;
use rollcall_core::time::Timestamp;

/// The core, and all that is needed to make it anew.
pub(super) struct Guarded {
    core: Core,
    settings: Settings,
    modules: ModuleTable,
    entropy: Entropy,
    locals: Vec<(Transport, SocketAddr)>,
}

impl Guarded {
    pub fn new(settings: Settings, modules: ModuleTable, mut entropy: Entropy) -> Self {
        let core = Core::new(settings.clone(), modules.clone(), entropy.fork());
        Self {
            core,
            settings,
            modules,
            entropy,
            locals: Vec::new(),
        }
    }

    /// Gives the core one input. False if it panicked: then it is a new one, and nothing of that input's effects is left.
    pub fn ask(
        &mut self,
        now: Timestamp,
        out: &mut Vec<Effect>,
        input: impl FnOnce(&mut Core, Timestamp, &mut Vec<Effect>),
    ) -> bool {
        let before = out.len();
        // Nothing of a core that panicked is looked at again, so that it need not be unwind safe.
        let result = catch_unwind(AssertUnwindSafe(|| input(&mut self.core, now, out)));
        if result.is_ok() {
            return true;
        }
        tracing::error!(
            "the endpoint's core panicked; its transactions are lost, it goes on with a new one"
        );
        out.truncate(before);
        self.core = Core::new(
            self.settings.clone(),
            self.modules.clone(),
            self.entropy.fork(),
        );
        self.core.set_locals(self.locals.clone());
        false
    }

    pub fn set_locals(&mut self, locals: Vec<(Transport, SocketAddr)>) {
        self.locals.clone_from(&locals);
        self.core.set_locals(locals);
    }

    /// To look at only: nothing that could panic.
    pub fn get(&self) -> &Core {
        &self.core
    }
}
