//! Manager, Presence Client and Presence Server as three processes, killed and restarted in any order.
//!
//! ```text
//!  source ── XML ──> manager ── XML ──> client ── PUBLISH ──> server ── NOTIFY ──> rollcall watch
//! ```

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use crate::support::process::Process;
use crate::support::{LIMIT, eventually};

const BOB: &str = "sip:bob@example.com";

/// The three nodes and a watcher, each a process; addresses and files stay when a process is replaced.
struct World {
    folder: tempfile::TempDir,
    manager: Process,
    client: Process,
    server: Process,
    watch: Process,
    manager_at: SocketAddr,
    server_at: SocketAddr,
}

#[derive(Clone, Copy, Debug)]
enum Node {
    Manager,
    Client,
    Server,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = start_server(folder.path(), free);
        let server_at = server.listening("udp");
        let manager = start_manager(folder.path(), free);
        let manager_at = manager.listening("manager");
        let client = start_client(folder.path(), manager_at, server_at);
        client.listening("udp");
        let server_uri = format!("sip:{server_at}");
        let watch = Process::rollcall(&["watch", BOB, "--server", &server_uri, "--json"]);
        watch.wait_for("its subscription", |line| line.contains("\"active\""));
        Self {
            folder,
            manager,
            client,
            server,
            watch,
            manager_at,
            server_at,
        }
    }

    fn kill(&mut self, node: Node) {
        match node {
            Node::Manager => self.manager.kill(),
            Node::Client => self.client.kill(),
            Node::Server => self.server.kill(),
        }
    }

    /// Starts a killed node again, at its old address and with its old files.
    fn restart(&mut self, node: Node) {
        let folder = self.folder.path();
        match node {
            Node::Manager => {
                self.manager = start_manager(folder, self.manager_at);
                self.manager.listening("manager");
            }
            Node::Client => {
                self.client = start_client(folder, self.manager_at, self.server_at);
                self.client.listening("udp");
            }
            Node::Server => {
                self.server = start_server(folder, self.server_at);
                self.server.listening("udp");
            }
        }
    }

    /// Waits until the last thing that the watcher was shown is this note.
    fn watcher_sees(&self, note: &str) {
        let wanted = format!("\"{note}\"");
        eventually(
            &format!(
                "the watcher to end at {note}; it saw {:#?}",
                self.watch.lines()
            ),
            || {
                self.watch
                    .lines()
                    .iter()
                    .rev()
                    .find(|line| line.contains("\"notes\""))
                    .filter(|line| line.contains(&wanted))
                    .map(|_| ())
            },
        );
    }
}

fn start_server(folder: &Path, at: SocketAddr) -> Process {
    let listen = format!("udp:{at}");
    let store = format!("file:{}", folder.join("server").display());
    Process::rollcall(&[
        "server",
        "--listen",
        &listen,
        "--domain",
        "example.com",
        "--store",
        &store,
        "--auth",
        "off",
    ])
}

fn start_manager(folder: &Path, at: SocketAddr) -> Process {
    let config = write(
        folder,
        "manager.toml",
        &format!(
            "listen = \"{at}\"\nstate = {:?}\n",
            folder.join("manager.state")
        ),
    );
    Process::rollcall(&["manager", "--config", &config])
}

fn start_client(folder: &Path, manager: SocketAddr, server: SocketAddr) -> Process {
    let text = format!(
        "manager = \"{manager}\"\nserver = \"sip:{server}\"\ndomain = [\"example.com\"]\nstate = {:?}\n[link]\nbackoff_min = \"100ms\"\nbackoff_max = \"1s\"\n",
        folder.join("client.state")
    );
    let config = write(folder, "client.toml", &text);
    Process::rollcall(&["client", "--config", &config])
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path: PathBuf = folder.join(name);
    std::fs::write(&path, text).expect("a file");
    path.to_str().expect("a plain path").to_owned()
}

/// A source that says one thing and waits until it is published.
fn say(manager: SocketAddr, note: &str) {
    let mut stream = TcpStream::connect(manager).expect("the manager listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a socket");
    write!(
        stream,
        "<xml><type> SOURCE </type><id>test</id></xml>\n<xml><type>PRESENCE</type><seq>1</seq><entity>{BOB}</entity>\
         <basic>open</basic><activity>busy</activity><note>{note}</note></xml>\n"
    )
    .expect("the manager reads");
    let answer = BufReader::new(stream)
        .lines()
        .map_while(Result::ok)
        .find(|line| line.contains("ACK") || line.contains("NAK"));
    let answer = answer.unwrap_or_else(|| panic!("no answer to {note}"));
    assert!(answer.contains("ACK"), "{note} was refused: {answer}");
}

/// A source that says one thing and goes away, as `printf … | nc` does.
fn leave_word(manager: SocketAddr, note: &str) {
    let mut stream = TcpStream::connect(manager).expect("the manager listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a socket");
    write!(
        stream,
        "<xml><type> SOURCE </type><id>test</id></xml><xml><type>PRESENCE</type><entity>{BOB}</entity>\
         <basic>open</basic><activity>busy</activity><note>{note}</note></xml>"
    )
    .expect("the manager reads");
    stream
        .shutdown(std::net::Shutdown::Write)
        .expect("a socket");
    // The manager has taken it when it has read to our end and closes.
    let mut lines = BufReader::new(stream).lines();
    while lines.next().is_some_and(|line| line.is_ok()) {}
}

#[test]
fn a_word_to_the_manager_reaches_the_watcher_through_three_processes() {
    let world = World::new();
    say(world.manager_at, "at-lunch");
    world.watcher_sees("at-lunch");
    leave_word(world.manager_at, "back");
    world.watcher_sees("back");
}

#[test]
fn each_node_may_be_killed_and_what_was_said_meanwhile_arrives() {
    let mut world = World::new();
    say(world.manager_at, "before");
    world.watcher_sees("before");
    world.kill(Node::Server);
    leave_word(world.manager_at, "server-was-down");
    world.restart(Node::Server);
    world.watcher_sees("server-was-down");
    world.kill(Node::Client);
    leave_word(world.manager_at, "client-was-down");
    world.restart(Node::Client);
    world.watcher_sees("client-was-down");
    world.kill(Node::Manager);
    world.restart(Node::Manager);
    say(world.manager_at, "manager-was-down");
    world.watcher_sees("manager-was-down");
}

#[test]
fn all_nodes_may_be_killed_at_once_and_come_back_in_any_order() {
    use Node::{Client, Manager, Server};
    let mut world = World::new();
    let orders = [
        [Manager, Client, Server],
        [Manager, Server, Client],
        [Client, Manager, Server],
        [Client, Server, Manager],
        [Server, Manager, Client],
        [Server, Client, Manager],
    ];
    for (round, order) in orders.into_iter().enumerate() {
        let note = format!("last-word-{round}");
        world.kill(Server);
        leave_word(world.manager_at, &note);
        for node in [Client, Manager] {
            world.kill(node);
        }
        for node in order {
            world.restart(node);
        }
        world.watcher_sees(&note);
        // And it goes on from there.
        let next = format!("and-then-{round}");
        say(world.manager_at, &next);
        world.watcher_sees(&next);
    }
}
