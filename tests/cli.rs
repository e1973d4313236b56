//! The command line as people and scripts meet it: help, exit codes, and what is said of settings that are wrong.
//!
//! - each command explains itself
//! - what is wrong is said in sentences on standard error, exit code 2, and nothing is started
//! - `check` names file, line, column, key and what is allowed
//! - a reader that has gone away is no error

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn rollcall(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// Runs a command that must be refused before anything starts; what it says.
fn refused(arguments: &[&str]) -> String {
    let output = rollcall(arguments);
    assert_eq!(
        output.status.code(),
        Some(2),
        "{arguments:?}: {}",
        err(&output)
    );
    assert_eq!(out(&output), "", "{arguments:?}");
    for word in ["panicked", "RUST_BACKTRACE", "Some(", "Err("] {
        assert!(
            !err(&output).contains(word),
            "{arguments:?}: {}",
            err(&output)
        );
    }
    err(&output)
}

/// A config file in a folder that goes away with it.
struct File {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl File {
    fn new(name: &str, text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        Self {
            path,
            _folder: folder,
        }
    }

    fn path(&self) -> &str {
        self.path.to_str().expect("UTF-8")
    }
}

const COMMANDS: [&str; 12] = [
    "run", "server", "client", "manager", "simulate", "publish", "watch", "selftest", "bench",
    "watchers", "store", "check",
];

#[test]
fn help_names_each_command_and_the_exit_codes() {
    let output = rollcall(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let text = out(&output);
    for command in COMMANDS {
        assert!(
            text.lines()
                .any(|line| line.trim_start().starts_with(command)),
            "{command}: {text}"
        );
    }
    assert!(
        text.contains("2  the command line or a config file is wrong; nothing was started"),
        "{text}"
    );
}

#[test]
fn each_command_has_a_help_with_its_flags() {
    for (command, flags) in [
        (
            "run",
            &[
                "--config",
                "--listen",
                "--manager-listen",
                "--domain",
                "--store",
            ][..],
        ),
        (
            "server",
            &[
                "--config", "--listen", "--domain", "--store", "--auth", "--log",
            ],
        ),
        ("client", &["--config", "--manager", "--server", "--domain"]),
        ("manager", &["--config", "--listen"]),
        (
            "simulate",
            &["--config", "--seed", "--loss", "--ladder", "--json"],
        ),
        (
            "publish",
            &[
                "--server",
                "--status",
                "--activity",
                "--note",
                "--expires",
                "--keep",
            ],
        ),
        ("watch", &["--server", "--json", "--once", "--count"]),
        ("check", &["--config", "--role"]),
        ("store", &["check", "repair"]),
        (
            "bench",
            &[
                "publish",
                "fan-out",
                "subscribe",
                "refresh",
                "floor",
                "compare",
            ],
        ),
    ] {
        let output = rollcall(&[command, "--help"]);
        assert_eq!(output.status.code(), Some(0), "{command}");
        for flag in flags {
            assert!(out(&output).contains(flag), "{command} {flag}");
        }
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let output = rollcall(&["--version"]);
    assert_eq!(
        out(&output),
        format!("rollcall {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn a_command_line_that_is_wrong_is_refused_with_a_hint() {
    assert!(refused(&["servr"]).contains("similar subcommands exist: 'user', 'server'"));
    assert!(refused(&["server", "--lisen", "x"]).contains("a similar argument exists: '--listen'"));
    assert!(refused(&["watch"]).contains("<URI>..."));
    assert!(
        refused(&["publish", "sip:a@b", "--status", "ajar"])
            .contains("possible values: open, closed")
    );
    assert!(refused(&[]).contains("Usage: rollcall"));
}

#[test]
fn a_flag_with_a_wrong_value_is_told_by_its_name_and_what_is_allowed() {
    for (arguments, sentence) in [
        (
            &["server", "--listen", "127.0.0.1:5060"][..],
            "rollcall: --listen: \"127.0.0.1:5060\" names the transport \"127.0.0.1\", which there is not; allowed is a list \
             that is not empty, each entry \"TRANSPORT:ADDRESS:PORT\" with udp, tcp, tls, ws or wss\n",
        ),
        (
            &["server", "--store", "redis://x"],
            "rollcall: --store: \"redis://x\" is no store; allowed is \"memory:\" or \"file:FOLDER\"\n",
        ),
        (
            &["server", "--auth", "basic"],
            "rollcall: --auth: \"basic\" is not allowed; allowed is \"auto\", \"digest\" or \"off\"\n",
        ),
        (
            &["server", "--listen", "udp:0.0.0.0:0"],
            "rollcall: --listen: udp:0.0.0.0:0 is reachable from other machines and nobody can log in; allowed are \
             loopback addresses, or any with digest.users, a file of accounts, or with auth = \"off\" said explicitly\n",
        ),
        (
            &["manager", "--listen", "7000"],
            "rollcall: --listen: \"7000\" has no port; allowed is \"ADDRESS:PORT\"\n",
        ),
        (
            &["run", "--manager-listen", "[::1]"],
            "rollcall: --manager-listen: \"[::1]\" has the port \"1]\"; allowed is \"ADDRESS:PORT\"\n",
        ),
        (
            &["client", "--manager", "nowhere"],
            "rollcall: --manager: \"nowhere\" has no port; allowed is \"HOST:PORT\"\n",
        ),
        (
            &["client", "--server", "sip:me@127.0.0.1"],
            "rollcall: --server: \"sip:me@127.0.0.1\" names a user where a server is wanted; allowed is \"sip:HOST\", with \
             \":PORT\" and \";transport=udp\", tcp or tls if need be; or \"sips:HOST\"\n",
        ),
        (
            &["simulate", "--loss", "1.5"],
            "rollcall: --loss: \"1.5\" is not allowed; allowed is a number from 0 to 0.9\n",
        ),
        (
            &["publish", "sip:a@b"],
            "rollcall: publish: there is nothing to publish; give --status, --activity or --note\n",
        ),
        (
            &["watch", "sip:b"],
            "rollcall: URI: \"sip:b\" names no user; allowed is a URI like \"sip:alice@example.com\"\n",
        ),
    ] {
        assert_eq!(refused(arguments), sentence);
    }
    assert!(
        refused(&["publish", "sip:a@b", "--activity", "bsy"])
            .contains("\"bsy\" is no activity; allowed are")
    );
    assert!(
        refused(&["check", "--log", "a=b=c"])
            .starts_with("rollcall: --log: \"a=b=c\" is no filter")
    );
}

#[test]
fn check_tells_everything_that_is_wrong_in_a_file() {
    let file = File::new(
        "server.toml",
        "shards = 0\nlissten = 1\n\n[notify]\npacing = \"2 days\"\n",
    );
    let path = file.path();
    assert_eq!(
        refused(&["check", "--config", path]),
        format!(
            "rollcall: {path}:1:10: shards: 0 is not allowed; allowed is a whole number from 1 to 64, or \"auto\" for one per core\n\
             rollcall: {path}:2:1: lissten: there is no such key; did you mean \"listen\"?\n\
             rollcall: {path}:5:10: notify.pacing: \"2 days\" is not allowed; allowed is a span of time from 0s to 1h, like \
             \"30s\" or \"5m\"\n"
        )
    );
}

#[test]
fn check_finds_the_role_by_the_name_or_by_what_fits() {
    for (name, text, role) in [
        ("server.toml", "", "server"),
        ("all-in-one.toml", "", "run"),
        ("a.toml", "heartbeat = \"10s\"\n", "manager"),
        ("b.toml", "seed = 3\n", "simulate"),
        ("c.toml", "[server]\nstore = \"memory:\"\n", "run"),
    ] {
        let file = File::new(name, text);
        let output = rollcall(&["check", "--config", file.path()]);
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        assert_eq!(
            out(&output),
            format!("{}: good settings for rollcall {role}\n", file.path())
        );
    }
    // Also when there is more wrong with it than its sections would be in another role.
    let file = File::new(
        "d.toml",
        "[server]\nshards = 100\nport = 1\n[manager]\nheartbeat = \"0s\"\n",
    );
    let output = rollcall(&["check", "--config", file.path()]);
    assert_eq!(output.status.code(), Some(2));
    let said = err(&output);
    for key in ["server.shards", "server.port", "manager.heartbeat"] {
        assert!(said.contains(key), "{said}");
    }
    let file = File::new("server.toml", "");
    let output = rollcall(&["check", "--config", file.path(), "--role", "client"]);
    assert_eq!(
        out(&output),
        format!("{}: good settings for rollcall client\n", file.path())
    );
}

#[test]
fn check_tells_what_is_allowed_but_dangerous() {
    let file = File::new(
        "server.toml",
        "listen = \"udp:0.0.0.0:5060\"\nauth = \"off\"\n",
    );
    let output = rollcall(&["check", "--config", file.path()]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!(
        out(&output),
        format!(
            "warning: {path}:1:10: listen: udp:0.0.0.0:5060 is reachable from other machines and authentication is off: \
             anybody there can publish and watch\n{path}: good settings for rollcall server\n",
            path = file.path()
        )
    );
}

#[test]
fn check_without_a_file_lists_the_keys_of_a_role() {
    let output = rollcall(&["check", "--role", "client"]);
    assert_eq!(output.status.code(), Some(0));
    let text = out(&output);
    for key in [
        "manager (default \"127.0.0.1:7000\")",
        "buffer.when_full (default \"block\")",
    ] {
        assert!(text.contains(key), "{key}: {text}");
    }
}

#[test]
fn the_shipped_files_are_good() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    for name in ["all-in-one", "server", "client", "manager", "simulate"] {
        let path = folder.join(format!("{name}.toml"));
        let output = rollcall(&["check", "--config", path.to_str().expect("UTF-8")]);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", err(&output));
    }
}

#[test]
fn a_file_that_is_missing_or_broken_is_told_before_anything_starts() {
    for command in ["run", "server", "client", "manager", "simulate"] {
        assert_eq!(
            refused(&[command, "--config", "/nonexistent/x.toml"]),
            "rollcall: /nonexistent/x.toml: can't be read: No such file or directory (os error 2)\n"
        );
        let file = File::new("x.toml", "a = [\n");
        assert_eq!(
            refused(&[command, "--config", file.path()]),
            format!(
                "rollcall: {}:1:6: unclosed array, expected `]`\n",
                file.path()
            )
        );
    }
}

#[test]
fn a_reader_that_has_gone_away_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .args(["check", "--role", "run"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!(err(&output), "");
}

#[test]
fn a_ladder_of_nobody_says_who_there_is() {
    let output = rollcall(&[
        "simulate",
        "--presentities=1",
        "--subscriptions=1",
        "--duration=1m",
        "--ladder=sip:nobody@example.com",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(
        out(&output).contains("people are sip:person-1@example.com"),
        "{}",
        out(&output)
    );
}
