//! Kamailio, started for one test: as a presence server in memory mode, or as what a script makes of it.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use super::process::Process;

/// A Kamailio of its own, in a folder of its own.
pub struct Kamailio {
    /// The process.
    pub process: Process,
    /// Where it listens, by UDP and TCP.
    pub address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Kamailio {
    /// Starts it on a free port and waits until it answers. It grants publications this many seconds at most.
    pub fn start(max_expires: u32) -> Self {
        Self::with(PRESENCE, &presence(max_expires))
    }

    /// The same with these modules and this script, which must answer OPTIONS. `ADDRESS` in it stands for its own.
    pub fn with(modules: &[&str], script: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let address = free_port();
        std::fs::write(
            folder.path().join("kamailio.cfg"),
            configuration(address, modules, script),
        )
        .expect("a file");
        let this = Self {
            process: run(folder.path()),
            address,
            folder,
        };
        this.wait_until_it_answers();
        this
    }

    /// Kills it, so that it forgets everything, and starts it again at the same address.
    pub fn kill_and_restart(&mut self) {
        self.process.kill();
        self.process = run(self.folder.path());
        self.wait_until_it_answers();
    }

    fn wait_until_it_answers(&self) {
        let mut client = super::sip::Client::new(self.address);
        let own = client.address();
        for cseq in 1.. {
            client.send(&format!(
                "OPTIONS sip:127.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP {own};branch=z9hG4bKup{cseq};rport\nMax-Forwards: 70\n\
                 From: <sip:test@127.0.0.1>;tag=up\nTo: <sip:127.0.0.1>\nCall-ID: up-{own}\nCSeq: {cseq} OPTIONS\n\
                 Content-Length: 0\n\n"
            ));
            if client
                .within(std::time::Duration::from_millis(200))
                .is_some()
            {
                return;
            }
            assert!(
                cseq < 100,
                "kamailio does not answer; it said:\n{}",
                self.process.lines().join("\n")
            );
        }
    }
}

fn run(folder: &Path) -> Process {
    let text = |name: &str| {
        let path = folder.join(name);
        path.to_str().expect("a plain path").to_owned()
    };
    Process::peer(
        "kamailio",
        "kamailio kamailio-presence-modules",
        &[
            "-f",
            &text("kamailio.cfg"),
            "-DD",
            "-E",
            "-m",
            "32",
            "-M",
            "8",
            "-Y",
            &text("run"),
        ],
        Some(folder),
    )
}

/// A port that is free for UDP and TCP right now.
fn free_port() -> SocketAddr {
    loop {
        let udp = UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
        let address = udp.local_addr().expect("a bound socket");
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// Modules of a presence server.
const PRESENCE: &[&str] = &[
    "kex",
    "corex",
    "tm",
    "sl",
    "rr",
    "maxfwd",
    "textops",
    "pv",
    "xlog",
    "presence",
    "presence_xml",
];

/// What every script begins with. The modules are those of Debian's packages.
fn configuration(address: SocketAddr, modules: &[&str], script: &str) -> String {
    let load: String = modules
        .iter()
        .map(|module| format!("loadmodule \"{module}.so\"\n"))
        .collect();
    let script = script.replace("ADDRESS", &address.to_string());
    format!(
        r#"#!KAMAILIO
debug=1
log_stderror=yes
children=2
tcp_children=1
auto_aliases=no
enable_tls=no
listen=udp:{address}
listen=tcp:{address}
{load}
{script}
"#
    )
}

/// A presence server that keeps everything in memory.
fn presence(max_expires: u32) -> String {
    format!(
        r#"
modparam("presence", "publ_cache", 2)
modparam("presence", "subs_db_mode", 0)
modparam("presence", "server_address", "sip:ADDRESS")
modparam("presence", "min_expires", 1)
modparam("presence", "max_expires", {max_expires})
modparam("presence_xml", "force_active", 1)
request_route {{
    if (is_method("PUBLISH|SUBSCRIBE")) {{
        if (!t_newtran()) {{ sl_reply_error(); exit; }}
        if (is_method("PUBLISH")) {{ handle_publish(); }} else {{ handle_subscribe(); }}
        t_release();
        exit;
    }}
    if (is_method("OPTIONS")) {{ sl_send_reply("200", "OK"); exit; }}
    sl_send_reply("405", "Method Not Allowed");
}}
"#
    )
}
