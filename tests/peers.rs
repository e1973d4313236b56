//! Real peers against `rollcall server`, and `rollcall client` against Kamailio, which is a proxy and a publisher too: baresip, sipp, liblinphone, Twinkle, and JsSIP
//! and SIP.js in Node. A missing peer fails its test and names the package; `tests/run` installs them.

mod baresip;
mod kamailio;
mod kamailio_proxy;
mod kamailio_pua;
mod linphone;
mod sipp;
mod twinkle;
mod web;

use std::net::SocketAddr;
use std::path::Path;

use crate::authentication::accounts;
use crate::support::process::Process;

/// A Presence Server of its own for one test, on free ports, keeping nothing.
fn server() -> (Process, SocketAddr, SocketAddr) {
    by_udp_and_tcp(server_at(&["udp", "tcp"]))
}

/// One that asks for the passwords of these accounts. Debian's sipp and baresip know MD5 alone, and give up at other offers.
fn server_that_asks(folder: &Path, all: &[(&str, &str)]) -> (Process, SocketAddr, SocketAddr) {
    by_udp_and_tcp(server_that_asks_at(folder, all, &["udp", "tcp"]))
}

fn by_udp_and_tcp(server: Process) -> (Process, SocketAddr, SocketAddr) {
    let (udp, tcp) = (server.listening("udp"), server.listening("tcp"));
    (server, udp, tcp)
}

/// One that listens by these transports.
fn server_at(transports: &[&str]) -> Process {
    server_with(transports, &["--auth", "off"])
}

/// One that listens by these transports and asks for passwords.
fn server_that_asks_at(folder: &Path, all: &[(&str, &str)], transports: &[&str]) -> Process {
    let users = accounts(folder, "rollcall", all);
    let config = folder.join("server.toml");
    let digest = format!("users = \"{}\"\nalgorithms = [\"MD5\"]\n", users.display());
    std::fs::write(&config, format!("[digest]\n{digest}")).expect("a file");
    let config = config.to_str().expect("a plain path");
    server_with(transports, &["--auth", "digest", "--config", config])
}

fn server_with(transports: &[&str], more: &[&str]) -> Process {
    let listen: Vec<String> = transports
        .iter()
        .map(|name| format!("{name}:127.0.0.1:0"))
        .collect();
    let mut arguments = vec!["server", "--store", "memory:"];
    for listen in &listen {
        arguments.extend(["--listen", listen]);
    }
    arguments.extend(more);
    Process::rollcall(&arguments)
}
