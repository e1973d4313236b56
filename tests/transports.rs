//! TLS (RFC 3261, 26; RFC 5922) and WebSocket (RFC 7118): a Presence Server as a process, over its sockets.

use std::path::{Path, PathBuf};

use crate::support::process::Process;
use certificates::Authority;
use connection::Connection;

pub mod certificates;
pub mod connection;
mod connections;
mod encrypted;
mod web;

/// A server with these addresses to listen at and these further lines of configuration.
fn server(folder: &Path, listen: &[&str], lines: &str) -> Process {
    let listen: Vec<String> = listen
        .iter()
        .map(|kind| format!("\"{kind}:127.0.0.1:0\""))
        .collect();
    let config = folder.join("server.toml");
    let text = format!(
        "listen = [{}]\ndomain = [\"example.com\"]\nstore = \"memory:\"\n{lines}\n[notify]\npacing = \"0s\"\n",
        listen.join(", ")
    );
    std::fs::write(&config, text).expect("a file");
    Process::rollcall(&["server", "--config", path(&config)])
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// One of our own commands, without anything of this machine in its environment.
fn command(arguments: &[&str]) -> Process {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command.args(arguments).env_remove("ROLLCALL_PASSWORD");
    Process::start(arguments[0], command)
}

/// A folder, and an authority that issues certificates into it.
fn authority() -> (tempfile::TempDir, Authority, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).expect("a file");
    (folder, authority, ca)
}
