//! Kamailio as a publisher: its registrar and its `pua` modules tell our Presence Server who is registered.
//!
//! ```text
//!  phone ── REGISTER ──> kamailio ── PUBLISH ──> rollcall server ── NOTIFY ──> watcher
//! ```
//!
//! Debian's `pua` answers no challenge, so that with digest it is a peer that is trusted by its address. It wants a database
//! of which it only looks at the version; the package brings one of text files.

use rollcall::core::sip::Name;

use super::server_with;
use crate::support::eventually_or;
use crate::support::kamailio::Kamailio;
use crate::support::process::Process;
use crate::support::sip::{Client, body, code};

const BOB: &str = "sip:bob@example.com";

/// A registrar for example.com that publishes at this server.
fn registrar(server: &Process) -> Kamailio {
    let modules = [
        "db_text",
        "tm",
        "sl",
        "rr",
        "maxfwd",
        "textops",
        "pv",
        "siputils",
        "usrloc",
        "registrar",
        "pua",
        "pua_usrloc",
    ];
    let at = server.listening("udp");
    let script = format!(
        r#"
modparam("usrloc", "db_mode", 0)
modparam("usrloc", "use_domain", 1)
modparam("pua", "db_mode", 0)
modparam("pua", "db_url", "text:///usr/share/kamailio/dbtext/kamailio")
modparam("pua_usrloc", "default_domain", "example.com")
modparam("pua", "outbound_proxy", "sip:{at}")
request_route {{
    if (is_method("OPTIONS")) {{ sl_send_reply("200", "OK"); exit; }}
    if (is_method("REGISTER")) {{
        pua_set_publish();
        if (!save("location")) {{ sl_reply_error(); }}
        exit;
    }}
    sl_send_reply("405", "Method Not Allowed");
}}
"#
    );
    Kamailio::with(&modules, &script)
}

/// The registry's counter, as the server shows it now.
fn counter(server: &Process, name: &str) -> u64 {
    let from = server.lines().len();
    server.signal("USR1");
    let shown = server.wait_for_from(from, "counters", |line| line.starts_with("registry 0:"));
    let prefix = format!("{name}=");
    let mut words = shown.1.split(' ');
    let value = words.find_map(|word| word.strip_prefix(&prefix)?.parse().ok());
    value.unwrap_or(0)
}

#[test]
fn kamailio_publishes_who_is_registered_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("server.toml");
    let users = crate::authentication::accounts(folder.path(), "rollcall", &[("bob", "secret")]);
    let text = format!(
        "[digest]\nusers = \"{}\"\ntrusted = [\"127.0.0.1\"]\n[notify]\npacing = \"0s\"\n",
        users.display()
    );
    std::fs::write(&config, text).expect("a file");
    let config = config.to_str().expect("a plain path");
    for auth in ["off", "digest"] {
        let more = [
            "--auth",
            auth,
            "--config",
            config,
            "--shards",
            "1",
            "--domain",
            "example.com",
        ];
        let server = server_with(&["udp"], &more);
        let kamailio = registrar(&server);
        let mut watcher = Client::new(server.listening("udp"));
        assert_eq!(code(&watcher.subscribe(BOB)), 200);
        assert!(body(&watcher.notify()).contains("<basic>closed"));

        let mut phone = Client::new(kamailio.address);
        let register = |phone: &mut Client, expires: u32| {
            let contact = format!(
                "Contact: <sip:bob@{}>\nExpires: {expires}\n",
                phone.address()
            );
            let number = phone.request_within("REGISTER", "sip:example.com", BOB, &contact, "");
            let answer = phone.response(number);
            assert_eq!(code(&answer), 200, "{answer:?}");
        };
        register(&mut phone, 600);
        let open = watcher.notify();
        assert!(body(&open).contains("<basic>open"), "{}", body(&open));
        assert_eq!(
            open.text(Name::ContentType).as_deref(),
            Some("application/pidf+xml")
        );
        assert_eq!(counter(&server, "published"), 1);

        // Registered again: its publication goes on under the entity-tag that we gave.
        register(&mut phone, 700);
        eventually_or(
            "a publication that goes on",
            || (counter(&server, "refreshed") + counter(&server, "modified") > 0).then_some(()),
            || kamailio.process.lines().join("\n"),
        );
        assert_eq!(counter(&server, "published"), 1);

        register(&mut phone, 0);
        let closed = watcher.expect("the end", |message| {
            message.is_request() && body(message).contains("<basic>closed")
        });
        watcher.answer(&closed, 200, "OK");
    }
}
