//! Real peers from Debian packages: sipp and baresip as publisher and watcher against `rollcall server`, and `rollcall
//! client` against Kamailio. A missing peer fails its test and names the package; `tests/run` installs them.

mod baresip;
mod kamailio;
mod sipp;

use std::net::SocketAddr;
use std::path::Path;

use crate::authentication::accounts;
use crate::support::process::Process;

/// A Presence Server of its own for one test, on free ports, keeping nothing.
fn server() -> (Process, SocketAddr, SocketAddr) {
    server_with(&["--auth", "off"])
}

/// One that asks for the passwords of these accounts. Debian's sipp and baresip know MD5 alone, and give up at other offers.
fn server_that_asks(folder: &Path, all: &[(&str, &str)]) -> (Process, SocketAddr, SocketAddr) {
    let users = accounts(folder, "rollcall", all);
    let config = folder.join("server.toml");
    let digest = format!("users = \"{}\"\nalgorithms = [\"MD5\"]\n", users.display());
    std::fs::write(&config, format!("[digest]\n{digest}")).expect("a file");
    let config = config.to_str().expect("a plain path");
    server_with(&["--auth", "digest", "--config", config])
}

fn server_with(authentication: &[&str]) -> (Process, SocketAddr, SocketAddr) {
    let common = [
        "server",
        "--listen",
        "udp:127.0.0.1:0",
        "--listen",
        "tcp:127.0.0.1:0",
        "--store",
        "memory:",
    ];
    let server = Process::rollcall(&[&common[..], authentication].concat());
    let (udp, tcp) = (server.listening("udp"), server.listening("tcp"));
    (server, udp, tcp)
}
