//! `rollcall client`.

use std::path::PathBuf;

use clap::Args;

use super::{CliError, output, signals};
use crate::config::{self, Flags};
use crate::node;

/// Run a Presence Client: publishes what a Manager says
#[derive(Debug, Args)]
pub(super) struct Client {
    /// A TOML file; see config/client.toml for every key
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The Manager to connect to
    #[arg(long, value_name = "HOST:PORT")]
    manager: Option<String>,

    /// The Presence Server to publish to
    #[arg(long, value_name = "SIP-URI")]
    server: Option<String>,

    /// Publish for presentities of this domain; may be repeated
    #[arg(long, value_name = "DOMAIN")]
    domain: Vec<String>,

    /// Listen for SIP here, e.g. udp:127.0.0.1:0; may be repeated
    #[arg(long, value_name = "TRANSPORT:ADDRESS:PORT")]
    listen: Vec<String>,

    /// The lifetime to ask for publications, e.g. 1h
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,

    /// The user name for a server that asks for one
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// Its password, from the environment: on a command line it could be read by others
    #[arg(long, env = "ROLLCALL_PASSWORD", hide_env_values = true, hide = true)]
    password: Option<String>,

    /// A file in which entity-tags outlive a restart
    #[arg(long, value_name = "FILE")]
    state: Option<String>,
}

impl Client {
    pub(super) fn run(self) -> Result<(), CliError> {
        let mut flags = Flags::default();
        flags.set("--manager", &["manager"], self.manager.as_ref());
        flags.set("--server", &["server"], self.server.as_ref());
        flags.set_list("--domain", &["domain"], &self.domain);
        flags.set_list("--listen", &["listen"], &self.listen);
        flags.set("--expires", &["expires"], self.expires.as_ref());
        flags.set("--user", &["account", "user"], self.user.as_ref());
        let password = &["account", "password"];
        flags.set("ROLLCALL_PASSWORD", password, self.password.as_ref());
        flags.set("--state", &["state"], self.state.as_ref());
        let loaded = config::load::<config::Client>(self.config.as_deref(), flags)?;
        output::warn(&loaded.warnings);
        signals::obeying(async |control| {
            Ok(node::client(loaded.settings, control, output::listening).await?)
        })
    }
}
