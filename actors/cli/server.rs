//! `rollcall server`.

use std::path::PathBuf;

use clap::Args;

use super::{CliError, descriptors, output, signals};
use crate::config::{self, Flags};
use crate::node;

/// Run a Presence Server
#[derive(Debug, Args)]
pub(super) struct Server {
    /// A TOML file; see config/server.toml for every key
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    settings: ServerFlags,
}

/// Flags that override the file.
#[derive(Debug, Args)]
pub(super) struct ServerFlags {
    /// Listen for SIP here, e.g. udp:127.0.0.1:5060; may be repeated; port 0 takes a free one
    #[arg(long, value_name = "TRANSPORT:ADDRESS:PORT")]
    listen: Vec<String>,

    /// Keep the presentities of this domain; may be repeated
    #[arg(long, value_name = "DOMAIN")]
    domain: Vec<String>,

    /// Where to keep state: file:FOLDER or memory:
    #[arg(long, value_name = "STORE")]
    store: Option<String>,

    /// How to authenticate: digest, off, or auto, which is digest as soon as the server listens beyond loopback
    #[arg(long, value_name = "HOW")]
    auth: Option<String>,

    /// The accounts, as rollcall user add writes them
    #[arg(long, value_name = "FILE")]
    users: Option<String>,

    /// Our certificate and the chain above it, PEM, for tls and wss
    #[arg(long, value_name = "FILE")]
    certificate: Option<String>,

    /// Its private key, PEM; without, the key is in the file of the certificate
    #[arg(long, value_name = "FILE")]
    key: Option<String>,

    /// Make a certificate for tls and wss, for trying out
    #[arg(long, num_args = 0, default_missing_value = "true")]
    self_signed: Option<String>,

    /// Threads that share the presentities: 1 to 64, or auto
    #[arg(long, value_name = "N")]
    shards: Option<String>,

    /// The address that peers reach this server at
    #[arg(long, value_name = "ADDRESS")]
    advertise: Option<String>,
}

impl Server {
    pub(super) fn run(self) -> Result<(), CliError> {
        let mut flags = Flags::default();
        self.settings.put_into(&mut flags);
        let loaded = config::load::<config::Server>(self.config.as_deref(), flags)?;
        output::warn(&loaded.warnings);
        descriptors::raise(loaded.settings.limits.connections);
        signals::obeying(async |control| {
            Ok(node::server(loaded.settings, control, output::listening).await?)
        })
    }
}

impl ServerFlags {
    fn put_into(&self, flags: &mut Flags) {
        flags.set_list("--listen", &["listen"], &self.listen);
        flags.set_list("--domain", &["domain"], &self.domain);
        flags.set("--store", &["store"], self.store.as_ref());
        flags.set("--auth", &["auth"], self.auth.as_ref());
        flags.set("--users", &["digest", "users"], self.users.as_ref());
        flags.set(
            "--certificate",
            &["tls", "certificate"],
            self.certificate.as_ref(),
        );
        flags.set("--key", &["tls", "key"], self.key.as_ref());
        flags.set(
            "--self-signed",
            &["tls", "self_signed"],
            self.self_signed.as_ref(),
        );
        flags.set("--shards", &["shards"], self.shards.as_ref());
        flags.set("--advertise", &["advertise"], self.advertise.as_ref());
    }

    /// The same for the section of a file with all roles.
    pub(super) fn put_into_section(&self, flags: &mut Flags) {
        flags.set_list("--listen", &["server", "listen"], &self.listen);
        flags.set_list("--domain", &["server", "domain"], &self.domain);
        flags.set("--store", &["server", "store"], self.store.as_ref());
        flags.set("--auth", &["server", "auth"], self.auth.as_ref());
        flags.set(
            "--users",
            &["server", "digest", "users"],
            self.users.as_ref(),
        );
        flags.set(
            "--certificate",
            &["server", "tls", "certificate"],
            self.certificate.as_ref(),
        );
        flags.set("--key", &["server", "tls", "key"], self.key.as_ref());
        flags.set(
            "--self-signed",
            &["server", "tls", "self_signed"],
            self.self_signed.as_ref(),
        );
        flags.set("--shards", &["server", "shards"], self.shards.as_ref());
        flags.set(
            "--advertise",
            &["server", "advertise"],
            self.advertise.as_ref(),
        );
    }
}
