//! `rollcall manager`.

use std::path::PathBuf;

use clap::Args;

use super::{CliError, descriptors, output, signals};
use crate::config::{self, Flags};
use crate::node;

/// Run a Manager: gathers presence from calendars, commands and TCP connections
#[derive(Debug, Args)]
pub(super) struct Manager {
    /// A TOML file; see config/manager.toml for every key
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where Presence Clients and sources connect; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,

    /// Its name towards peers
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
}

impl Manager {
    pub(super) fn run(self) -> Result<(), CliError> {
        let mut flags = Flags::default();
        flags.set("--listen", &["listen"], self.listen.as_ref());
        flags.set("--id", &["id"], self.id.as_ref());
        let loaded = config::load::<config::Manager>(self.config.as_deref(), flags)?;
        output::warn(&loaded.warnings);
        descriptors::raise(loaded.settings.limits.connections);
        signals::obeying(async |control| {
            Ok(node::manager(loaded.settings, control, output::listening).await?)
        })
    }
}
