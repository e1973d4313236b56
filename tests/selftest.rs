//! `rollcall selftest`: our own server passes over every transport, one without sense fails, and Kamailio differs as
//! docs/selftest-kamailio.md explains.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::process::{Command, Output};

use serde_json::Value;

use crate::authentication::accounts;
use crate::support::kamailio::Kamailio;
use crate::support::process::Process;
use crate::transports::certificates::Authority;

/// Runs it to its end.
fn selftest(arguments: &[&str], password: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command
        .arg("selftest")
        .args(arguments)
        .env_remove("ROLLCALL_PASSWORD");
    if let Some(password) = password {
        command.env("ROLLCALL_PASSWORD", password);
    }
    command.output().expect("it runs")
}

/// The requirements of a report for programs: id, verdict, and the whole for messages.
fn decided(output: &Output) -> Vec<(String, String, Value)> {
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
    let all = report["requirements"].as_array().expect("requirements");
    all.iter()
        .map(|one| (text(one, "id"), text(one, "verdict"), one.clone()))
        .collect()
}

/// Checks that nothing failed and nothing was left untested; gives how many passed.
fn passed(output: &Output, what: &str) -> usize {
    let all = decided(output);
    let bad: Vec<_> = all
        .iter()
        .filter(|(_, verdict, _)| verdict != "pass" && verdict != "not-applicable")
        .map(|(.., whole)| whole.to_string())
        .collect();
    assert!(bad.is_empty(), "{what}: {}", bad.join("\n"));
    assert!(output.status.success(), "{what}");
    all.iter()
        .filter(|(_, verdict, _)| verdict == "pass")
        .count()
}

#[test]
fn our_own_server_passes_over_every_transport() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    let [ca, own] = ["ca.pem", "server.pem"].map(|file| folder.path().join(file));
    std::fs::write(&ca, authority.pem()).expect("a file");
    authority.issue(&own, &["localhost"]);
    let [ca, own] = [&ca, &own].map(|path| path.to_str().expect("a plain path"));
    let kinds = ["udp", "tcp", "tls", "ws", "wss"];
    let listen = kinds.map(|kind| format!("{kind}:127.0.0.1:0"));
    let mut arguments = vec![
        "server",
        "--store",
        "memory:",
        "--auth",
        "off",
        "--certificate",
        own,
    ];
    for listen in &listen {
        arguments.extend(["--listen", listen]);
    }
    let server = Process::rollcall(&arguments);
    for kind in kinds {
        let uri = format!("sip:localhost:{}", server.listening(kind).port());
        let output = selftest(&[&uri, "--transport", kind, "--ca", ca, "--json"], None);
        let count = passed(&output, kind);
        assert!(count >= 150, "{kind}: only {count}");
    }
}

#[test]
fn a_server_that_asks_for_passwords_passes_with_an_account() {
    let folder = tempfile::tempdir().expect("a folder");
    let users = accounts(folder.path(), "example.com", &[("selftest", "secret")]);
    let config = folder.path().join("server.toml");
    let text = format!(
        "listen = \"udp:127.0.0.1:0\"\ndomain = [\"example.com\"]\nstore = \"memory:\"\nauth = \"digest\"\n[digest]\n\
         users = \"{}\"\npublishers = [\"selftest\"]\n",
        users.display()
    );
    std::fs::write(&config, text).expect("a file");
    let server = Process::rollcall(&["server", "--config", config.to_str().expect("a plain path")]);
    let uri = format!("sip:{}", server.listening("udp"));
    let arguments = [
        &*uri,
        "--domain",
        "example.com",
        "--user",
        "selftest",
        "--json",
    ];
    let output = selftest(&arguments, Some("secret"));
    assert!(passed(&output, "with an account") >= 150);
    let login = decided(&output).into_iter().find(|(id, ..)| id == "login");
    assert_eq!(
        login.map(|(_, verdict, _)| verdict).as_deref(),
        Some("pass")
    );
}

#[test]
fn a_server_without_sense_fails_most_of_it() {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
    let address = socket.local_addr().expect("a bound socket");
    // Ends with the test program.
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65_535];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let via = request
                .lines()
                .find(|line| line.to_lowercase().starts_with("v"));
            let answer = format!(
                "SIP/2.0 200 OK\r\n{}\r\nTo: <sip:x@y>\r\nContent-Length: 0\r\n\r\n",
                via.unwrap_or_default()
            );
            if socket.send_to(answer.as_bytes(), from).is_err() {
                return;
            }
        }
    });
    let output = selftest(
        &[&format!("sip:{address}"), "--timeout", "1", "--json"],
        None,
    );
    assert_eq!(output.status.code(), Some(1));
    let all = decided(&output);
    let count = |word: &str| all.iter().filter(|(_, verdict, _)| verdict == word).count();
    assert!(count("fail") > 70, "only {} fail", count("fail"));
    assert!(count("pass") < 70, "{} pass", count("pass"));
    for id in [
        "answer-from",
        "publish-tag",
        "version",
        "notify-at-once",
        "every-answer-tagged",
    ] {
        let verdict = all
            .iter()
            .find(|(known, ..)| known == id)
            .map(|(_, verdict, _)| verdict.as_str());
        assert_eq!(verdict, Some("fail"), "{id}");
    }
}

#[test]
fn nobody_there_and_a_wrong_command_line_are_told_in_words() {
    let free = UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
    let nobody = format!("sip:{}", free.local_addr().expect("a bound socket"));
    let output = selftest(&[&nobody, "--timeout", "1"], None);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        said,
        format!("rollcall: {nobody} over udp: it does not answer OPTIONS\n")
    );
    for (arguments, wanted) in [
        (&["tel:1"][..], "SIP-URI: \"tel:1\""),
        (
            &[&*nobody, "--transport", "sctp"],
            "--transport: \"sctp\" is none of",
        ),
        (
            &[&*nobody, "--only", "9999"],
            "--only: \"9999\" means no requirement",
        ),
    ] {
        let output = selftest(arguments, None);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(wanted), "{said}");
    }
}

#[test]
fn the_page_of_requirements_is_what_the_program_asks() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/selftest.md");
    let output = selftest(&["--list"], None);
    let written = String::from_utf8(output.stdout).expect("text");
    if std::env::var_os("ROLLCALL_BLESS").is_some() {
        std::fs::write(page, &written).expect("a file");
    }
    let kept = std::fs::read_to_string(page).expect("docs/selftest.md");
    assert_eq!(
        kept, written,
        "write it again: ROLLCALL_BLESS=1 cargo test selftest::the_page"
    );
}

#[test]
fn kamailio_differs_as_the_page_explains() {
    let page = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/docs/selftest-kamailio.md"
    ));
    let page = page.expect("docs/selftest-kamailio.md");
    let explained: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    let kamailio = Kamailio::start(3600);
    let uri = format!("sip:{}", kamailio.address);
    let output = selftest(&[&uri, "--timeout", "3", "--json"], None);
    assert_eq!(output.status.code(), Some(1));
    let all = decided(&output);
    let of = |word: &str| -> BTreeSet<String> {
        let chosen = all.iter().filter(|(_, verdict, _)| verdict == word);
        chosen.map(|(id, ..)| id.clone()).collect()
    };
    assert_eq!(of("fail"), explained);
    assert!(of("pass").len() >= 140, "{} pass", of("pass").len());
}
