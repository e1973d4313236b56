//! Kamailio as a proxy in front of our Presence Server, with Record-Route and the aliases of its NAT helper.
//!
//! ```text
//!  watcher ── SUBSCRIBE ──> kamailio ── Record-Route, alias ──> rollcall server
//!          <── NOTIFY ─────          <── Route, alias ────────
//! ```
//!
//! - dialogs stay on the proxy: NOTIFY, refresh and unsubscribe take its route
//! - a watcher whose Contact is of no use outside is found by the alias
//! - 401 and the answer to it pass through
//! - UDP and TCP between proxy and server

use std::net::SocketAddr;
use std::process::Command;

use rollcall::core::sip::{Message, Name};

use super::server_that_asks;
use crate::support::kamailio::Kamailio;
use crate::support::process::Process;
use crate::support::sip::{Client, body, code, pidf};

const BOB: &str = "sip:bob@example.com";

/// A proxy that sends everything without a route to this server.
fn proxy(server: SocketAddr, transport: &str) -> Kamailio {
    let modules = [
        "tm",
        "sl",
        "rr",
        "maxfwd",
        "textops",
        "pv",
        "siputils",
        "nathelper",
    ];
    let script = format!(
        r#"
modparam("rr", "enable_double_rr", 1)
modparam("nathelper|registrar", "received_avp", "$avp(RECEIVED)")
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("OPTIONS") && $rU == $null) {{ sl_send_reply("200", "OK"); exit; }}
    force_rport();
    if (is_method("SUBSCRIBE")) {{ add_contact_alias(); }}
    if (has_totag()) {{
        if (!loose_route()) {{ sl_send_reply("404", "Not here"); exit; }}
        handle_ruri_alias();
        t_relay();
        exit;
    }}
    record_route();
    $du = "sip:{server};transport={transport}";
    t_relay();
    exit;
}}
"#
    );
    Kamailio::with(&modules, &script)
}

/// The route set that a 2xx gives its subscriber (RFC 3261, 12.1.2).
fn routes(ok: &Message) -> String {
    let mut routes: Vec<String> = ok
        .values(Name::RecordRoute)
        .map(|own| own.into_owned())
        .collect();
    routes.reverse();
    format!("Route: {}\n", routes.join(", "))
}

#[test]
fn a_dialog_through_kamailio_stays_on_its_route_and_finds_a_watcher_behind_nat() {
    for transport in ["udp", "tcp"] {
        let (server, udp, tcp) = super::server();
        let at = if transport == "udp" { udp } else { tcp };
        let proxy = proxy(at, transport);
        let mut publisher = Client::new(proxy.address);
        let published = publisher.publish(BOB, None, &pidf(BOB, "open", "first"));
        assert_eq!(code(&published), 200, "{published:?}");
        let tag = published.text(Name::SipEtag).expect("a tag").into_owned();

        // A Contact that leads nowhere, as behind a NAT.
        let mut watcher = Client::new(proxy.address);
        let head = "Event: presence\nExpires: 600\nContact: <sip:w@192.0.2.7:5062>\n";
        let number = watcher.request("SUBSCRIBE", BOB, head, "");
        let ok = watcher.response(number);
        assert_eq!(code(&ok), 200, "{ok:?}");
        let through = format!("sip:{}", proxy.address);
        assert!(routes(&ok).contains(&through), "{}", routes(&ok));
        let first = watcher.notify();
        assert!(body(&first).contains("first"));
        assert_eq!(first.vias().expect("Vias").len(), 2, "it came by the proxy");

        publisher.publish(BOB, Some(&tag), &pidf(BOB, "open", "second"));
        assert!(body(&watcher.notify()).contains("second"));

        // In the dialog: to the Contact of the 2xx, over its route.
        let target = ok.contacts().expect("contacts")[0].uri.to_string();
        let to = ok.text(Name::To).expect("a To").into_owned();
        for (expires, state) in [
            (300, "active;expires=300"),
            (0, "terminated;reason=timeout"),
        ] {
            let head = format!(
                "{}Event: presence\nExpires: {expires}\nContact: <sip:w@192.0.2.7:5062>\n",
                routes(&ok)
            );
            let number = watcher.request_within("SUBSCRIBE", &target, &to, &head, "");
            let answer = watcher.response(number);
            assert_eq!(code(&answer), 200, "{transport} {expires}: {answer:?}");
            let notify = watcher.notify();
            assert_eq!(notify.text(Name::SubscriptionState).as_deref(), Some(state));
        }
        drop(server);
    }
}

#[test]
fn our_own_clients_log_in_through_kamailio() {
    let folder = tempfile::tempdir().expect("a folder");
    let accounts = [("bob", "secret"), ("alice", "geheim")];
    let (_server, udp, _) = server_that_asks(folder.path(), &accounts);
    let proxy = proxy(udp, "udp");
    let through = format!("sip:{}", proxy.address);
    let command = |arguments: &[&str], password: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
        command
            .args(arguments)
            .args(["--server", &through])
            .env("ROLLCALL_PASSWORD", password)
            .current_dir(folder.path());
        command
    };
    let watch = command(&["watch", BOB, "--user", "alice"], "geheim");
    let watch = Process::start("watch", watch);
    watch.wait_for("the first state", |line| line.contains("closed"));
    let publish = [
        "publish",
        BOB,
        "--user",
        "bob",
        "--note",
        "through the proxy",
    ];
    let published = command(&publish, "secret").output().expect("it runs");
    assert!(published.status.success(), "{published:?}");
    watch.wait_for("the state", |line| line.contains("through the proxy"));
    let wrong = command(&publish, "wrong").output().expect("it runs");
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
}
