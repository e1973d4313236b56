//! `rollcall publish`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use rollcall_core::digest::Credentials;
use rollcall_core::manager::Basic;

use super::{CliError, output, signals};
use crate::config::dns::NAME_SERVER;
use crate::config::{SipServer, address};
use crate::node::{self, PublishOrder};
use crate::transport::tls::Files;

/// Publish a state by SIP, once or for as long as this runs
#[derive(Debug, Args)]
pub(super) struct Publish {
    /// The presentity, e.g. sip:alice@example.com
    #[arg(value_name = "URI")]
    uri: String,

    /// The Presence Server
    #[arg(long, value_name = "SIP-URI", default_value = "sip:127.0.0.1:5060")]
    server: String,

    /// Whether the presentity can be reached
    #[arg(long)]
    status: Option<Status>,

    /// What it does, by RPID's words: busy, meeting, on-the-phone, away, vacation, …; may be repeated
    #[arg(long, value_name = "ACTIVITY")]
    activity: Vec<String>,

    /// A note for people
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,

    /// The lifetime to ask for, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..=2_592_000))]
    expires: u32,

    /// Keep it published until ctrl-c, then remove it; without, it is published once and expires
    #[arg(long)]
    keep: bool,

    /// A name server to ask for the servers of a name, in place of this machine's; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<String>,

    #[command(flatten)]
    login: Login,
}

/// Who one is for a server that asks.
#[derive(Debug, Args)]
pub(super) struct Login {
    /// The user name for a server that asks for one; the password is taken from ROLLCALL_PASSWORD
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// Its password, from the environment: on a command line it could be read by others
    #[arg(long, env = "ROLLCALL_PASSWORD", hide_env_values = true, hide = true)]
    password: Option<String>,

    /// Authorities, PEM, that the server's certificate is checked with; without, those of this machine
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Login {
    pub(super) fn tls(&self) -> Files {
        Files {
            authorities: self.ca.clone(),
            ..Files::default()
        }
    }

    pub(super) fn account(&self) -> Result<Option<Credentials>, CliError> {
        match (self.user.clone(), self.password.clone()) {
            (Some(user), Some(password)) => Ok(Some(Credentials { user, password })),
            (Some(_), None) => Err(CliError::Argument {
                flag: "--user",
                sentence:
                    "the environment variable ROLLCALL_PASSWORD has the password, and is not there"
                        .to_owned(),
            }),
            (None, _) => Ok(None),
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Status {
    /// It can
    Open,
    /// It can't
    Closed,
}

impl Publish {
    pub(super) fn run(self) -> Result<(), CliError> {
        let uri = presentity(&self.uri)?;
        let shown = uri.clone();
        let order = PublishOrder {
            uri,
            server: server(&self.server)?,
            basic: self.status.map(|status| match status {
                Status::Open => Basic::Open,
                Status::Closed => Basic::Closed,
            }),
            activities: self
                .activity
                .iter()
                .map(|name| activity(name))
                .collect::<Result<_, _>>()?,
            note: self.note,
            expires: std::time::Duration::from_secs(self.expires.into()),
            keep: self.keep,
            account: self.login.account()?,
            tls: self.login.tls(),
            name_servers: name_servers(&self.dns)?,
        };
        if order.basic.is_none() && order.activities.is_empty() && order.note.is_none() {
            return Err(CliError::Argument {
                flag: "publish",
                sentence: "there is nothing to publish; give --status, --activity or --note"
                    .to_owned(),
            });
        }
        signals::obeying(async |control| {
            let published = |published: &node::Published| {
                output::say(&format!(
                    "published {shown} (entity-tag {}, expires in {} s)",
                    published.etag, published.expires
                ));
            };
            Ok(node::publish(order, control, published).await?)
        })
    }
}

/// A presentity from an argument.
pub(super) fn presentity(uri: &str) -> Result<String, CliError> {
    argument(uri, address::presentity)
}

/// A name from an argument.
pub(super) fn argument(
    uri: &str,
    read: impl Fn(&str) -> Result<String, String>,
) -> Result<String, CliError> {
    read(uri).map_err(|reason| CliError::Argument {
        flag: "URI",
        sentence: format!("{uri:?} {reason}; allowed is a URI like \"sip:alice@example.com\""),
    })
}

/// A server from an argument.
pub(super) fn server(uri: &str) -> Result<SipServer, CliError> {
    uri.parse().map_err(|reason| CliError::Argument {
        flag: "--server",
        sentence: format!(
            "{uri:?} {reason}; allowed is a URI like \"sip:127.0.0.1:5060;transport=tcp\""
        ),
    })
}

/// Name servers from arguments.
pub(super) fn name_servers(given: &[String]) -> Result<Vec<SocketAddr>, CliError> {
    let read = |text: &String| {
        (NAME_SERVER.read)(text).map_err(|reason| CliError::Argument {
            flag: "--dns",
            sentence: format!("{text:?} {reason}; allowed is {}", NAME_SERVER.allowed),
        })
    };
    given.iter().map(read).collect()
}

fn activity(name: &str) -> Result<String, CliError> {
    use rollcall_core::pidf::vocabulary::ACTIVITIES;
    if ACTIVITIES.contains(&name) {
        return Ok(name.to_owned());
    }
    Err(CliError::Argument {
        flag: "--activity",
        sentence: format!(
            "{name:?} is no activity; allowed are {}",
            ACTIVITIES.join(", ")
        ),
    })
}
