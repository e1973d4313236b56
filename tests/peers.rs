//! Real peers from Debian packages: sipp and baresip as publisher and watcher against `rollcall server`, and `rollcall
//! client` against Kamailio. A missing peer fails its test and names the package; `tests/run` installs them.

mod baresip;
mod kamailio;
mod sipp;

use std::net::SocketAddr;

use crate::support::process::Process;

/// A Presence Server of its own for one test, on free ports, keeping nothing.
fn server() -> (Process, SocketAddr, SocketAddr) {
    let server = Process::rollcall(&[
        "server",
        "--listen",
        "udp:127.0.0.1:0",
        "--listen",
        "tcp:127.0.0.1:0",
        "--store",
        "memory:",
        "--auth",
        "off",
    ]);
    let (udp, tcp) = (server.listening("udp"), server.listening("tcp"));
    (server, udp, tcp)
}
