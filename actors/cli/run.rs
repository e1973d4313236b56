//! `rollcall run`: all roles in one process, and what to try with them.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use rollcall_core::exchange::Transport;

use super::server::ServerFlags;
use super::{CliError, descriptors, output, signals};
use crate::config::{self, Flags, SipServer, Source};
use crate::node::{self, Listening};

/// Run Manager, Presence Client and Presence Server in one process; needs no config file
#[derive(Debug, Args)]
pub(super) struct Run {
    /// A TOML file; see config/all-in-one.toml for every key
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    server: ServerFlags,

    /// Where sources connect to the Manager; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT")]
    manager_listen: Option<String>,
}

impl Run {
    pub(super) fn run(self) -> Result<(), CliError> {
        let mut flags = Flags::default();
        self.server.put_into_section(&mut flags);
        flags.set(
            "--manager-listen",
            &["manager", "listen"],
            self.manager_listen.as_ref(),
        );
        let loaded = config::load::<config::AllInOne>(self.config.as_deref(), flags)?;
        output::warn(&loaded.warnings);
        descriptors::raise(loaded.settings.server.limits.connections);
        let presentity = somebody(&loaded.settings);
        let ready = move |addresses: &[Listening]| {
            output::listening(addresses);
            for line in try_next(addresses, &presentity) {
                output::say(&line);
            }
        };
        signals::obeying(async |control| Ok(node::run(loaded.settings, control, ready).await?))
    }
}

/// A presentity that there is something to see of.
fn somebody(settings: &config::AllInOne) -> String {
    let named = settings
        .manager
        .sources
        .iter()
        .find_map(|source| match source {
            Source::Calendar(calendar) if !calendar.presentity.contains("{name}") => {
                Some(calendar.presentity.clone())
            }
            Source::Command(command) => Some(command.presentity.clone()),
            Source::Calendar(_) => None,
        });
    named.unwrap_or_else(|| "sip:demo@127.0.0.1".to_owned())
}

/// Three commands that show what is running, with the addresses that it really has.
fn try_next(addresses: &[Listening], presentity: &str) -> Vec<String> {
    let sip = |wanted| {
        addresses.iter().find_map(|address| match address {
            Listening::Sip(listen) if listen.transport == wanted => Some(*listen),
            Listening::Sip(_) | Listening::Manager(_) => None,
        })
    };
    let manager = addresses.iter().find_map(|address| match address {
        Listening::Manager(addr) => Some(*addr),
        Listening::Sip(_) => None,
    });
    let mut lines = vec![String::new(), "Try, in another terminal:".to_owned()];
    if let Some(listen) = sip(Transport::Udp).or_else(|| sip(Transport::Tcp)) {
        let server = SipServer::at(listen);
        lines.push(format!("  rollcall watch {presentity} --server '{server}'"));
        lines.push(format!(
            "  rollcall publish {presentity} --server '{server}' --status open --activity on-the-phone --note 'Back soon'"
        ));
    }
    if let Some(manager) = manager {
        lines.push(source_by_hand(manager, presentity));
    }
    lines
}

fn source_by_hand(manager: SocketAddr, presentity: &str) -> String {
    let state = format!(
        "<xml><type>PRESENCE</type><entity>{presentity}</entity><basic>open</basic><activity>away</activity></xml>"
    );
    format!(
        "  printf '<xml><type>SOURCE</type><id>by-hand</id></xml>{state}' | nc -q 1 {} {}",
        manager.ip(),
        manager.port()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Listen;

    #[test]
    fn the_commands_to_try_have_the_real_addresses() {
        let udp: SocketAddr = ([127, 0, 0, 1], 40_001).into();
        let manager: SocketAddr = ([127, 0, 0, 1], 40_002).into();
        let addresses = [
            Listening::Sip(Listen::udp(udp)),
            Listening::Manager(manager),
        ];

        let lines = try_next(&addresses, "sip:demo@127.0.0.1");

        assert_eq!(
            lines,
            [
                "",
                "Try, in another terminal:",
                "  rollcall watch sip:demo@127.0.0.1 --server 'sip:127.0.0.1:40001'",
                "  rollcall publish sip:demo@127.0.0.1 --server 'sip:127.0.0.1:40001' --status open \
                 --activity on-the-phone --note 'Back soon'",
                "  printf '<xml><type>SOURCE</type><id>by-hand</id></xml><xml><type>PRESENCE</type>\
                 <entity>sip:demo@127.0.0.1</entity><basic>open</basic><activity>away</activity></xml>' \
                 | nc -q 1 127.0.0.1 40002",
            ]
        );
    }

    #[test]
    fn a_server_without_udp_is_tried_by_tcp() {
        let tcp: SocketAddr = ([127, 0, 0, 1], 40_001).into();

        let lines = try_next(&[Listening::Sip(Listen::tcp(tcp))], "sip:a@b");

        assert_eq!(
            lines[2],
            "  rollcall watch sip:a@b --server 'sip:127.0.0.1:40001;transport=tcp'"
        );
    }
}
