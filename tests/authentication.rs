//! Digest (RFC 8760, 7616): a Presence Server that asks who one is, and our own clients that tell it.

mod guessing;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rollcall::core::digest::{Answerer, Credentials};
use rollcall::core::entropy::Entropy;
use rollcall::core::sip::{Message, Name};

use crate::server::kit::{BOB, Peer, code, pidf};
use crate::support::process::Process;

const EVENT: &str = "Event: presence\nContent-Type: application/pidf+xml\n";

/// A file of accounts, as `rollcall user add` makes it of passwords that it reads.
pub fn accounts(folder: &Path, realm: &str, accounts: &[(&str, &str)]) -> PathBuf {
    let file = folder.join("users");
    for (user, password) in accounts {
        let mut add = rollcall(&["user", "add", user, "--realm", realm, "--file"])
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut input = add.stdin.take().expect("a pipe");
        writeln!(input, "{password}").expect("it reads");
        drop(input);
        assert!(add.wait().expect("it ends").success());
    }
    file
}

fn rollcall(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command.args(arguments).env_remove("ROLLCALL_PASSWORD");
    command
}

/// A server that asks, for example.com, with bob, alice and a Presence Client's account.
struct World {
    server: Process,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let all = [
            ("bob", "secret"),
            ("alice", "geheim"),
            ("client", "machine"),
        ];
        let users = accounts(folder.path(), "staff", &all);
        let config = folder.path().join("server.toml");
        let text = format!(
            "listen = [\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\"]\ndomain = [\"example.com\"]\nstore = \"memory:\"\nauth = \"digest\"\n\
             [digest]\nrealm = \"staff\"\nusers = \"{}\"\npublishers = [\"client\"]\n[notify]\npacing = \"0s\"\n",
            users.display()
        );
        std::fs::write(&config, text).expect("a file");
        let config = config.to_str().expect("a plain path");
        Self {
            server: Process::rollcall(&["server", "--config", config]),
            folder,
        }
    }

    fn uri(&self) -> String {
        format!("sip:{}", self.server.listening("udp"))
    }

    /// One of our own commands, with this password in its environment.
    fn command(&self, arguments: &[&str], password: &str) -> Process {
        let mut command = rollcall(arguments);
        command
            .env("ROLLCALL_PASSWORD", password)
            .current_dir(self.folder.path());
        Process::start(arguments[0], command)
    }
}

/// Asks without credentials, then with those of an account.
fn ask(peer: &mut Peer, method: &str, uri: &str, user: &str, password: &str) -> (Message, Message) {
    let body = pidf(uri, "t", "open", "");
    let (head, body) = match method {
        "PUBLISH" => (EVENT.to_owned(), &*body),
        _ => (
            format!("Event: presence\nContact: <sip:me@{}>\n", peer.local()),
            "",
        ),
    };
    let challenge = peer.ask(method, uri, &head, body);
    assert_eq!(code(&challenge), 401, "{method} {uri}");
    let account = Credentials {
        user: user.to_owned(),
        password: password.to_owned(),
    };
    let mut answerer = Answerer::new(&challenge, &account, None).expect("a challenge");
    let (name, value) = answerer.authorize(method, uri, &mut Entropy::from_number(1));
    let answer = peer.ask(
        method,
        uri,
        &format!("{}: {value}\n{head}", name.as_str()),
        body,
    );
    (challenge, answer)
}

#[test]
fn who_has_no_password_gets_nothing_and_who_has_one_speaks_for_himself() {
    let world = World::new();
    let (udp, tcp) = (world.server.listening("udp"), world.server.listening("tcp"));
    for mut peer in [Peer::udp(udp), Peer::tcp(tcp)] {
        // A request that is not for a module tells nobody anything.
        assert_eq!(code(&peer.ask("OPTIONS", "sip:example.com", "", "")), 200);
        let (challenge, answer) = ask(&mut peer, "PUBLISH", BOB, "bob", "secret");
        let offers: Vec<String> = challenge
            .texts(Name::WwwAuthenticate)
            .map(|offer| offer.into_owned())
            .collect();
        assert!(offers[0].contains("algorithm=SHA-256"), "{offers:?}");
        assert!(offers[1].contains("algorithm=MD5"), "{offers:?}");
        assert!(offers[0].contains("realm=\"staff\""), "{offers:?}");
        assert_eq!(code(&answer), 200, "{answer:?}");
        for (method, uri, user, password, status) in [
            ("PUBLISH", BOB, "bob", "wrong", 401),
            ("PUBLISH", BOB, "eve", "secret", 401),
            // Somebody else's, and somebody else's whose name is alike.
            ("PUBLISH", BOB, "alice", "geheim", 403),
            ("PUBLISH", "sip:bobby@example.com", "bob", "secret", 403),
            ("REGISTER", BOB, "alice", "geheim", 403),
            ("REGISTER", BOB, "bob", "secret", 200),
            ("PUBLISH", BOB, "client", "machine", 200),
            ("SUBSCRIBE", BOB, "alice", "geheim", 200),
            ("SUBSCRIBE", BOB, "alice", "nicht", 401),
        ] {
            let (_, answer) = ask(&mut peer, method, uri, user, password);
            assert_eq!(code(&answer), status, "{method} {uri} by {user}");
        }
    }
}

#[test]
fn our_own_commands_log_in() {
    let world = World::new();
    let uri = world.uri();
    let watch = ["watch", BOB, "--server", &uri, "--user"];
    let watcher = world.command(&[&watch[..], &["alice"]].concat(), "geheim");
    watcher.wait_for("the first state", |line| {
        line.ends_with("bob@example.com closed")
    });
    let publish = [
        "publish",
        BOB,
        "--server",
        &uri,
        "--activity",
        "busy",
        "--user",
    ];
    let publisher = world.command(&[&publish[..], &["bob", "--keep"]].concat(), "secret");
    publisher.wait_for("its entity-tag", |line| line.contains("entity-tag"));
    let (seen, _) = watcher.wait_for_from(0, "the state", |line| line.ends_with("busy"));
    // Its end is a second request, which needs no challenge.
    publisher.signal("INT");
    watcher.wait_for_from(seen, "its removal", |line| line.ends_with(" closed"));

    let mut stranger = world.command(&[&publish[..], &["bob"]].concat(), "wrong");
    stranger.wait_for("the refusal", |line| line.contains("asks for credentials"));
    assert!(!stranger.ended().success());
    let mut other = world.command(&[&publish[..], &["alice"]].concat(), "geheim");
    other.wait_for("the refusal", |line| {
        line.contains("only sip:bob@example.com may publish for itself")
    });
    assert!(!other.ended().success());
}

#[test]
fn a_presence_client_publishes_for_all_with_the_account_of_a_publisher() {
    let world = World::new();
    let manager = Process::rollcall(&["manager", "--listen", "127.0.0.1:0"]);
    let manager_at = manager
        .wait_for("the address", |line| line.starts_with("listening on"))
        .rsplit(':')
        .next()
        .map(|port| format!("127.0.0.1:{port}"))
        .expect("a port");
    let uri = world.uri();
    let client = [
        "client",
        "--manager",
        &manager_at,
        "--server",
        &uri,
        "--user",
        "client",
    ];
    let _client = world.command(&client, "machine");
    let watch = ["watch", BOB, "--server", &uri, "--user", "alice"];
    let watcher = world.command(&watch, "geheim");
    let mut source = std::net::TcpStream::connect(&manager_at).expect("the Manager listens");
    source
        .write_all(
            format!(
                "<xml><type>SOURCE</type><id>desk</id></xml><xml><type>PRESENCE</type><entity>{BOB}</entity>\
                 <activity>away</activity></xml>"
            )
            .as_bytes(),
        )
        .expect("the Manager reads");
    watcher.wait_for("the state", |line| line.ends_with("away"));
}

#[test]
fn accounts_are_added_listed_and_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let all = [("bob", "secret"), ("alice", "geheim"), ("bob", "other")];
    let file = accounts(folder.path(), "example.com", &all);
    let path = file.to_str().expect("a plain path");
    let run = |arguments: &[&str]| {
        let output = rollcall(arguments).output().expect("it runs");
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8(text).expect("UTF-8"),
        )
    };
    let listed = "alice example.com\nbob example.com\n".to_owned();
    assert_eq!(run(&["user", "list", "--file", path]), (Some(0), listed));
    let text = std::fs::read_to_string(&file).expect("the file");
    assert!(
        !text.contains("secret") && !text.contains("other"),
        "{text}"
    );
    let mode = std::os::unix::fs::MetadataExt::mode(&file.metadata().expect("the file"));
    assert_eq!(mode & 0o777, 0o600);
    let remove = [
        "user",
        "remove",
        "bob",
        "--realm",
        "example.com",
        "--file",
        path,
    ];
    assert_eq!(run(&remove).0, Some(0));
    let (status, told) = run(&remove);
    assert_eq!(status, Some(2));
    assert_eq!(told, "rollcall: user remove: example.com has no user bob\n");
    std::fs::write(&file, "bob:example.com\n").expect("a file");
    let (status, told) = run(&["user", "list", "--file", path]);
    assert_eq!(status, Some(2));
    assert!(told.contains("line 1: it has not four fields"), "{told}");
    // The server tells the same, and does not start.
    let (status, told) = run(&[
        "server",
        "--listen",
        "udp:127.0.0.1:0",
        "--store",
        "memory:",
        "--auth",
        "digest",
        "--users",
        path,
    ]);
    assert_eq!(status, Some(1));
    assert!(told.contains("line 1: it has not four fields"), "{told}");
}

#[test]
fn an_account_may_stand_in_the_config_itself_and_is_shown_to_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("server.toml");
    let text = "listen = [\"udp:127.0.0.1:0\"]\ndomain = [\"example.com\"]\nstore = \"memory:\"\nauth = \"digest\"\n\
                [digest]\naccounts = [\"bob:se:cret\"]\n";
    std::fs::write(&config, text).expect("a file");
    let config = config.to_str().expect("a plain path");
    let server = Process::rollcall(&["server", "--config", config, "--log", "trace"]);
    let mut peer = Peer::udp(server.listening("udp"));
    let (_, answer) = ask(&mut peer, "PUBLISH", BOB, "bob", "se:cret");
    assert_eq!(code(&answer), 200, "{answer:?}");
    let (_, answer) = ask(&mut peer, "PUBLISH", BOB, "bob", "se");
    assert_eq!(code(&answer), 401, "{answer:?}");
    let said = server.lines().join("\n");
    assert!(!said.contains("se:cret"), "{said}");
}
