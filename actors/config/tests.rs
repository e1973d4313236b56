//! What settings promise: problems are sentences with a place, all at once; flags win; the shipped files show every key.

use std::path::{Path, PathBuf};

use super::*;

fn problems<S: Settings>(text: &str) -> Vec<String> {
    match read::<S>(Some("a.toml"), text, Flags::default()) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.0.iter().map(ToString::to_string).collect(),
    }
}

fn good<S: Settings>(text: &str) -> S {
    match read::<S>(Some("a.toml"), text, Flags::default()) {
        Ok(loaded) => loaded.settings,
        Err(problems) => panic!("{problems}"),
    }
}

#[test]
fn every_problem_of_a_file_is_told_with_its_place_and_what_is_allowed() {
    let text = "\
listen = [\"udp:127.0.0.1:5060\", \"sctp:127.0.0.1:5060\"]
shards = 100
stor = \"memory:\"

[publish]
min = \"2h\"

[limits]
body = \"much\"
";
    assert_eq!(
        problems::<Server>(text),
        [
            "a.toml:1:33: listen: \"sctp:127.0.0.1:5060\" names the transport \"sctp\", which there is not; allowed is a \
             list that is not empty, each entry \"TRANSPORT:ADDRESS:PORT\" with udp, tcp, tls, ws or wss",
            "a.toml:2:10: shards: 100 is not allowed; allowed is a whole number from 1 to 64, or \"auto\" for one per core",
            "a.toml:3:1: stor: there is no such key; did you mean \"store\"?",
            "a.toml:6:7: publish.min: 2h is more than the default, 1h",
            "a.toml:9:8: limits.body: \"much\" is not allowed; allowed is a whole number from 1024 to 1048576",
        ]
    );
}

#[test]
fn a_file_that_is_no_toml_is_told_with_its_place() {
    assert_eq!(
        problems::<Server>("listen = [\n\"udp:127.0.0.1:5060\"\nshards = 2\n"),
        ["a.toml:3:1: missing comma between array elements, expected `,`"]
    );
}

#[test]
fn a_section_where_a_value_is_due_and_the_other_way_round_are_told() {
    assert_eq!(
        problems::<Server>("publish = 3\n[store]\nfile = 1\n"),
        [
            "a.toml:1:1: publish: 3 is not allowed; allowed is a section [publish]",
            "a.toml:2:1: store: a table is not allowed; allowed is \"memory:\" or \"file:FOLDER\"",
        ]
    );
}

#[test]
fn what_nobody_could_mean_names_the_keys_there_are() {
    assert_eq!(
        problems::<Manager>("[limits]\nelephants = 3\n"),
        [
            "a.toml:2:1: limits.elephants: there is no such key; there are connections, presentities, unacknowledged, source"
        ]
    );
}

#[test]
fn flags_win_over_the_file_and_are_checked_alike() {
    let file = "listen = [\"udp:127.0.0.1:1\"]\nshards = 1\n";
    let mut flags = Flags::default();
    flags.set_list("--listen", &["listen"], &["tcp:127.0.0.1:0".to_owned()]);
    flags.set("--shards", &["shards"], Some(&"3".to_owned()));
    flags.set("--store", &["store"], None);
    let is = read::<Server>(None, file, flags).unwrap().settings;
    assert_eq!(is.listen, ["tcp:127.0.0.1:0".parse().unwrap()]);
    assert_eq!((is.shards, is.shard_count()), (Some(3), 3));
    assert_eq!(is.store, Store::File(PathBuf::from("rollcall-data/server")));

    let mut flags = Flags::default();
    flags.set("--shards", &["shards"], Some(&"many".to_owned()));
    flags.set("--loss", &["network", "loss"], Some(&"2".to_owned()));
    let problems = read::<Server>(Some("a.toml"), file, flags).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "--loss: there is no such key; there are listen, domain, store, shards, udp_offload, auth, advertise, server_name, control, persistence, digest, guessing, tls, \
         publish, subscribe, register, registrar, notify, watchers, timers, dns, egress, limits\n\
         --shards: \"many\" is not allowed; allowed is a whole number from 1 to 64, or \"auto\" for one per core"
    );
}

#[test]
fn a_server_that_strangers_reach_must_be_meant() {
    assert_eq!(
        problems::<Server>("listen = \"udp:0.0.0.0:5060\"\n"),
        [
            "a.toml:1:10: listen: udp:0.0.0.0:5060 is reachable from other machines and nobody can log in; allowed are \
             loopback addresses, or any with digest.users, a file of accounts, or with auth = \"off\" said explicitly"
        ]
    );
    let open = "listen = \"udp:[::]:5060\"\nauth = \"off\"\n";
    let loaded = read::<Server>(None, open, Flags::default()).unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    assert_eq!(
        read::<Server>(None, "", Flags::default()).unwrap().warnings,
        []
    );
}

#[test]
fn an_account_in_the_config_has_a_name_and_a_password() {
    let with = |entry: &str| format!("auth = \"digest\"\n[digest]\naccounts = [{entry}]\n");
    let loaded = read::<Server>(None, &with("\"bob:a:b\""), Flags::default()).unwrap();
    let account = &loaded.settings.digest.accounts[0];
    assert_eq!((&*account.name, &*account.password), ("bob", "a:b"));
    assert_eq!(format!("{account:?}"), "bob:…");
    for (entry, wrong) in [
        ("\"bob\"", "\"bob\" has no colon"),
        ("\"bob:\"", "\"bob:\" has no password"),
        (
            "\":x\"",
            "\":x\" has a name that is empty, begins with # or holds a quote or line break",
        ),
    ] {
        let problems = problems::<Server>(&with(entry));
        let told = problems.iter().any(|problem| problem.contains(wrong));
        assert!(told, "{problems:?}");
    }
}

#[test]
fn what_is_encrypted_needs_a_certificate() {
    let listen = "listen = \"wss:127.0.0.1:443\"\n";
    assert_eq!(
        problems::<Server>(listen),
        [
            "a.toml:1:10: listen: wss:127.0.0.1:443 needs a certificate: tls.certificate and tls.key, or tls.self_signed = \
             true for trying out"
        ]
    );
    let trying = format!("{listen}[tls]\nself_signed = true\n");
    assert!(read::<Server>(None, &trying, Flags::default()).is_ok());
    let wrong =
        format!("{listen}[tls]\nkey = \"a.pem\"\nself_signed = true\ntrusted = [\"a.example\"]\n");
    assert_eq!(
        problems::<Server>(&wrong),
        [
            "a.toml:3:7: tls.key: a key needs its certificate: tls.certificate",
            "a.toml:5:11: tls.trusted: no certificates are asked for: tls.client_ca names the authorities that issue them"
        ]
    );
}

#[test]
fn sources_are_read_and_their_gaps_are_told() {
    let text = "\
[[source.calendar]]
path = \"demo:\"
presentity = \"sip:demo@127.0.0.1\"

[[source.calendar]]
name = \"people\"
path = \"/var/calendars\"
presentity = \"sip:{name}@example.com\"
timezone = \"Europe/Berlin\"

[[source.command]]
command = [\"desk\", \"alice\"]
presentity = \"sip:alice@example.com\"
interval = 5
";
    let people = CalendarSource {
        name: "people".to_owned(),
        path: CalendarPath::File(PathBuf::from("/var/calendars")),
        presentity: "sip:{name}@example.com".to_owned(),
        timezone: TimeZone::Named(chrono_tz::Europe::Berlin),
        ..CalendarSource::demo()
    };
    let desk = CommandSource {
        name: "command".to_owned(),
        command: vec!["desk".to_owned(), "alice".to_owned()],
        presentity: "sip:alice@example.com".to_owned(),
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(10),
    };
    assert_eq!(
        good::<Manager>(text).sources,
        [
            Source::Calendar(CalendarSource::demo()),
            Source::Calendar(people),
            Source::Command(desk)
        ]
    );
    assert_eq!(
        problems::<Manager>(
            "[[source.calendar]]\npresentity = \"alice\"\n[[source.command]]\ncommand = []\npresentity = \"sip:a@b\"\n"
        ),
        [
            "a.toml:2:14: source.calendar.presentity: \"alice\" is no SIP URI: no scheme; allowed is a URI like \
             \"sip:alice@example.com\" or \"sip:{name}@example.com\"",
            "a.toml:4:11: source.command.command: a list is too short; allowed is a list that is not empty, each entry a text",
            "a.toml: source.calendar.path: it is missing; allowed is the path of an .ics file or a folder, or \"demo:\"",
        ]
    );
}

#[test]
fn all_in_one_has_the_demo_unless_it_has_a_source() {
    let demo = Source::Calendar(CalendarSource::demo());
    assert_eq!(AllInOne::default().manager.sources, [demo]);
    let own = "[[manager.source.command]]\ncommand = [\"x\"]\npresentity = \"sip:a@b\"\n";
    assert!(matches!(
        good::<AllInOne>(own).manager.sources[..],
        [Source::Command(_)]
    ));
    assert_eq!(
        problems::<AllInOne>("[client]\nserver = \"sip:127.0.0.1\"\n").len(),
        1,
        "the roles find each other without being told"
    );
}

#[test]
fn spans_of_time_are_read_with_their_units() {
    let expires = |text: &str| {
        good::<Client>(&format!("expires = {text}\n"))
            .common
            .expires
    };
    assert_eq!(expires("\"1h\""), Duration::from_secs(3600));
    assert_eq!(expires("\"90 m\""), Duration::from_secs(5400));
    assert_eq!(expires("120"), Duration::from_secs(120));
    for wrong in [
        "\"1 fortnight\"",
        "\"-1h\"",
        "\"\"",
        "1.5",
        "\"99999999999999999999h\"",
        "59",
        "true",
    ] {
        assert_eq!(
            problems::<Client>(&format!("expires = {wrong}\n")).len(),
            1,
            "{wrong}"
        );
    }
}

#[test]
fn addresses_are_read_or_refused_with_a_reason() {
    for (text, shown) in [
        ("udp:127.0.0.1:0", "udp:127.0.0.1:0"),
        ("tcp:[::1]:5060", "tcp:[::1]:5060"),
        ("udp:localhost:5060", "udp:127.0.0.1:5060"),
    ] {
        assert_eq!(text.parse::<Listen>().unwrap().to_string(), shown);
    }
    for (text, reason) in [
        (
            "127.0.0.1:5060",
            "names the transport \"127.0.0.1\", which there is not",
        ),
        ("udp", "names no transport"),
        ("udp:127.0.0.1", "has no port"),
        ("udp:127.0.0.1:99999", "has the port \"99999\""),
        ("udp:::1:5060", "needs brackets: [::1]:5060"),
        (
            "udp:example.com:5060",
            "has the address \"example.com\", which is none of this machine's",
        ),
    ] {
        // "::1:5060" is an address of its own, without a port; both readings are refused.
        let error = text.parse::<Listen>().unwrap_err();
        assert!(
            error == reason || text == "udp:::1:5060" && error == "has no port",
            "{text}: {error}"
        );
    }
    assert_eq!(
        "[::1]:7000".parse::<HostPort>().unwrap().to_string(),
        "[::1]:7000"
    );
    assert_eq!(
        "a.example:7000".parse::<HostPort>().unwrap().host,
        "a.example"
    );
    for wrong in [
        "",
        "a.example",
        "a.example:0",
        "a b:1",
        "[::1:7000",
        "[x]:1",
        ":7000",
    ] {
        assert!(wrong.parse::<HostPort>().is_err(), "{wrong}");
    }
}

#[test]
fn a_server_to_send_to_is_a_sip_uri_without_a_user() {
    let server: SipServer = "sip:[::1]:5070;transport=TCP".parse().unwrap();
    assert_eq!((server.host.as_str(), server.port), ("::1", Some(5070)));
    assert_eq!(
        server.transport,
        Some(rollcall_core::exchange::Transport::Tcp)
    );
    for tls in ["sips:h", "sips:h;transport=tcp", "sip:h;transport=tls"] {
        let server: SipServer = tls.parse().unwrap();
        assert_eq!(
            server.transport,
            Some(rollcall_core::exchange::Transport::Tls)
        );
    }
    for wrong in [
        "",
        "127.0.0.1:5060",
        "sips:127.0.0.1;transport=udp",
        "sip:bob@127.0.0.1",
        "sip:h;transport=ws",
        "tel:1",
    ] {
        assert!(wrong.parse::<SipServer>().is_err(), "{wrong}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_by_its_name() {
    let missing = load::<Server>(Some(Path::new("/nonexistent/a.toml")), Flags::default());
    assert_eq!(
        missing.unwrap_err().to_string(),
        "/nonexistent/a.toml: can't be read: No such file or directory (os error 2)"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latin1.toml");
    std::fs::write(&path, b"listen = \"\xfc\"").unwrap();
    let error = load::<Server>(Some(&path), Flags::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{}: is no UTF-8 text: byte 10 is wrong", path.display())
    );
}

/// A shipped file, made of the keys: so it can't say anything else than the program does.
fn shipped<S: Settings>() -> String {
    let wrapped = |text: &str, out: &mut String| {
        let mut line = String::from("#");
        for word in text.split_whitespace() {
            if line.len() + word.len() >= 100 {
                out.push_str(&line);
                out.push('\n');
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        out.push_str(&line);
        out.push('\n');
    };
    let mut out = String::new();
    wrapped(S::ABOUT, &mut out);
    wrapped(
        "Every key is shown at its default, with the reason for it; take away the # to change it. Flags override this file.",
        &mut out,
    );
    let mut section = "";
    for key in &keys::<S>() {
        let (own, name) = key.path.rsplit_once('.').unwrap_or(("", &key.path));
        out.push('\n');
        if own != section {
            section = own;
            match (own.is_empty(), key.repeated) {
                (true, _) => panic!("{name} of no section stands behind one"),
                (false, true) => out.push_str(&format!("#[[{own}]]\n")),
                (false, false) => out.push_str(&format!("[{own}]\n")),
            }
        }
        wrapped(key.help, &mut out);
        wrapped(&format!("Allowed is {}.", key.allowed), &mut out);
        if key.required {
            wrapped("It must be given; this is an example.", &mut out);
        }
        out.push_str(&format!("#{name} = {}\n", key.written));
    }
    out
}

/// Checks a shipped file, or with ROLLCALL_BLESS writes it anew.
fn check_shipped<S: Settings + PartialEq + std::fmt::Debug>(file: &str, forget: fn(&mut S)) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("config")
        .join(file);
    let wanted = shipped::<S>();
    if std::env::var_os("ROLLCALL_BLESS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        text, wanted,
        "{file} shows something else than the program has"
    );

    let as_is: S = good(&text);
    assert_eq!(as_is, defaults(), "{file} as it is");

    let uncommented: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let (mut all, mut wanted): (S, S) = (good(&uncommented), defaults());
    // Sources have no default; the file shows examples of them.
    forget(&mut all);
    forget(&mut wanted);
    assert_eq!(all, wanted, "{file} with every key un-commented");
}

#[test]
fn the_shipped_files_show_every_key_at_its_default() {
    check_shipped::<Server>("server.toml", |_| {});
    check_shipped::<Client>("client.toml", |_| {});
    check_shipped::<Manager>("manager.toml", |manager| manager.sources.clear());
    check_shipped::<Simulate>("simulate.toml", |_| {});
    check_shipped::<AllInOne>("all-in-one.toml", |all| all.manager.sources.clear());
}
