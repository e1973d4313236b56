//! Who is who, however it is spelled (docs/adr/0017): blocks hold, and an account speaks under its own name alone.

use std::path::Path;
use std::process::Command;

use rollcall::core::digest::{Answerer, Credentials};
use rollcall::core::entropy::Entropy;

use crate::server::kit::{Peer, code, pidf};
use crate::support::process::Process;

/// A server with the accounts alice, bob and mallory, and these further lines of config.
fn server(folder: &Path, lines: &str) -> Process {
    let config = folder.join("server.toml");
    let text = format!(
        "listen = [\"udp:127.0.0.1:0\"]\nstore = \"file:{}\"\nshards = 2\n{lines}",
        folder.join("store").display()
    );
    std::fs::write(&config, text).expect("a file");
    Process::rollcall(&["server", "--config", config.to_str().expect("a plain path")])
}

const ACCOUNTS: &str = "accounts = [\"alice:a\", \"bob:b\", \"mallory:m\", \"+1555:p\", \"carol@example.org:c\", \"client:x\"]\n";

fn watchers(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .arg("watchers")
        .args(arguments)
        .arg("--control")
        .arg(folder.join("store/control"))
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The answer to a request with these credentials and this From.
fn ask(peer: &mut Peer, method: &str, uri: &str, from: &str, account: (&str, &str)) -> u16 {
    let (head, body) = match method {
        "PUBLISH" => (
            "Event: presence\nContent-Type: application/pidf+xml\n".to_owned(),
            pidf(uri, "t", "open", ""),
        ),
        _ => (
            format!(
                "Event: presence\nExpires: 0\nContact: <sip:w@{}>\n",
                peer.local()
            ),
            String::new(),
        ),
    };
    let send = |peer: &mut Peer, head: &str| {
        let text = peer.request(method, uri, head, &body);
        let line = text
            .lines()
            .find(|line| line.starts_with("From:"))
            .expect("one");
        let tag = line.split_once(";tag=").expect("a tag").1;
        let number: u32 = tag[1..].parse().expect("a number");
        let text = text.replace(line, &format!("From: <{from}>;tag={tag}"));
        peer.send(text);
        peer.response(number, method)
    };
    let challenge = send(peer, &head);
    assert_eq!(code(&challenge), 401, "{method} {uri}");
    let credentials = Credentials {
        user: account.0.to_owned(),
        password: account.1.to_owned(),
    };
    let mut answerer = Answerer::new(&challenge, &credentials, None).expect("a challenge");
    let (name, value) = answerer.authorize(method, uri, &mut Entropy::from_number(1));
    let answer = send(peer, &format!("{}: {value}\n{head}", name.as_str()));
    if code(&answer) == 200 && method == "SUBSCRIBE" {
        let notify = peer.notify();
        peer.answer(&notify, "200 OK", "");
    }
    code(&answer)
}

#[test]
fn without_a_domain_a_block_holds_whatever_from_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let digest = format!(
        "auth = \"digest\"\n[digest]\nrealm = \"Example.com\"\npublishers = [\"client\"]\n{ACCOUNTS}"
    );
    let server = server(folder.path(), &digest);
    let mut peer = Peer::udp(server.listening("udp"));
    let alice = "sip:alice@127.0.0.1";
    watchers(
        folder.path(),
        &["block", alice, "SIP:bob@EXAMPLE.com.:5060"],
    );
    watchers(
        folder.path(),
        &[
            "block",
            "sip:alice@127.0.0.1:5070",
            "sips:client@example.com",
        ],
    );
    watchers(folder.path(), &["block", alice, "tel:+1-555"]);
    for from in [
        "sip:bob@example.com",
        "sip:bob@other.example",
        "sip:bob@OTHER.example.:5070",
        "sips:bob@example.com",
        "sip:%62ob@127.0.0.1",
        "sip:mallory@example.com",
        "sip:alice@127.0.0.1",
        "tel:+1999",
    ] {
        for spelling in [
            alice,
            "sip:%61lice@127.0.0.1:5060",
            "pres:alice@127.0.0.1",
            "sip:alice@[::ffff:127.0.0.1]",
        ] {
            for account in [("bob", "b"), ("client", "x"), ("+1555", "p")] {
                let status = ask(&mut peer, "SUBSCRIBE", spelling, from, account);
                assert_eq!(status, 403, "{account:?} as {from} at {spelling}");
            }
        }
        // Another account is not blocked, though it says that it is bob.
        assert_eq!(
            ask(&mut peer, "SUBSCRIBE", alice, from, ("mallory", "m")),
            200,
            "{from}"
        );
    }
}

#[test]
fn an_account_publishes_under_each_spelling_of_its_own_name_and_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let digest = format!(
        "auth = \"digest\"\ndomain = [\"EXAMPLE.com.\", \"example.org\"]\n[digest]\npublishers = [\"Client@example.com\"]\n{ACCOUNTS}"
    );
    let server = server(folder.path(), &digest);
    let mut peer = Peer::udp(server.listening("udp"));
    let own = server.listening("udp").port();
    let with_port = format!("sip:bob@example.com:{own}");
    for (uri, account, status) in [
        ("sip:bob@example.com", ("bob", "b"), 200),
        (&*with_port, ("bob", "b"), 200),
        ("sip:bob@Example.COM.:5060;transport=udp", ("bob", "b"), 200),
        ("sip:%62%6Fb@example.com", ("bob", "b"), 200),
        ("pres:bob@example.com", ("bob", "b"), 200),
        ("sip:%2B1555@example.com", ("+1555", "p"), 200),
        ("sip:+1-555@example.com;user=phone", ("+1555", "p"), 200),
        ("sip:carol@EXAMPLE.org", ("carol@example.org", "c"), 200),
        ("sip:carol@example.com", ("carol@example.org", "c"), 403),
        ("sip:bob@example.org", ("bob", "b"), 403),
        ("sip:Bob@example.com", ("bob", "b"), 403),
        ("sip:bob%20@example.com", ("bob", "b"), 403),
        ("sip:bob%40example.com@example.org", ("bob", "b"), 403),
        ("sip:alice@example.com", ("bob", "b"), 403),
        ("sip:%61lice@example.com", ("bob", "b"), 403),
        ("sip:bob@example.net", ("bob", "b"), 404),
        ("sip:alice@example.com", ("client", "x"), 403),
    ] {
        let status_is = ask(
            &mut peer,
            "PUBLISH",
            uri,
            "sip:anybody@example.com",
            account,
        );
        assert_eq!(status_is, status, "{uri} by {account:?}");
    }
}
