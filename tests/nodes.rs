//! Manager, Presence Client and Presence Server as processes, killed and restarted in any order.
//!
//! ```text
//!  source ── XML ──> manager ── XML ──> client ── PUBLISH ──> server ── NOTIFY ──> rollcall watch
//! ```
//!
//! - after each restart the watcher converges to the Manager's last word, with the defaults of all nodes
//! - a word that the Manager has taken is not lost when it is killed
//! - what a server has answered 2xx is there after it was killed (`stored`)
//! - the commands that the README names work as they stand there (`by_hand`)
//! - bad input anywhere costs nobody else anything (`bad_input`)

mod bad_input;
mod by_hand;
mod kept;
mod settled;
mod stored;

use std::net::SocketAddr;
use std::path::Path;

use crate::support::eventually_or;
use crate::support::process::Process;
use crate::support::source::{leave_word, say};

const BOB: &str = "sip:bob@example.com";

/// The three nodes and a watcher, each a process; addresses and the folder stay when a process is replaced.
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
        let watch = start_watch(server_at);
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

    /// Starts a killed node again, at its old address and in its old folder.
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

    fn say(&self, note: &str) {
        say(self.manager_at, BOB, note);
    }

    fn leave_word(&self, note: &str) {
        leave_word(self.manager_at, BOB, note);
    }

    /// Waits until what the watcher was shown last is this note, and nothing but it.
    fn watcher_sees(&self, note: &str) {
        let wanted = format!("\"notes\":[\"{note}\"]");
        let state = |line: &String| line.contains("\"document\"");
        eventually_or(
            &format!("the watcher to end at {note}"),
            || {
                let lines = self.watch.lines();
                let last = lines.iter().rev().find(|line| state(line))?;
                last.contains(&wanted).then_some(())
            },
            || self.story(),
        );
    }

    /// What everybody said, for the message of a failure.
    fn story(&self) -> String {
        [&self.manager, &self.client, &self.server, &self.watch]
            .map(|process| format!("== {}\n{}\n", process.name(), process.lines().join("\n")))
            .concat()
    }
}

fn start_server(folder: &Path, at: SocketAddr) -> Process {
    let listen = format!("udp:{at}");
    Process::rollcall_in(
        folder,
        &[
            "server",
            "--listen",
            &listen,
            "--domain",
            "example.com",
            "--auth",
            "off",
        ],
    )
}

fn start_manager(folder: &Path, at: SocketAddr) -> Process {
    Process::rollcall_in(folder, &["manager", "--listen", &at.to_string()])
}

fn start_client(folder: &Path, manager: SocketAddr, server: SocketAddr) -> Process {
    let (manager, server) = (manager.to_string(), format!("sip:{server}"));
    Process::rollcall_in(
        folder,
        &[
            "client",
            "--manager",
            &manager,
            "--server",
            &server,
            "--domain",
            "example.com",
        ],
    )
}

fn start_watch(server: SocketAddr) -> Process {
    let server = format!("sip:{server}");
    let watch = Process::rollcall(&["watch", BOB, "--server", &server, "--json"]);
    watch.wait_for("its subscription", |line| line.contains("\"active\""));
    watch
}

#[test]
fn a_word_to_the_manager_reaches_the_watcher_through_three_processes() {
    let world = World::new();
    world.say("at-lunch");
    world.watcher_sees("at-lunch");
    world.leave_word("back");
    world.watcher_sees("back");
}

#[test]
fn each_node_may_be_killed_and_what_was_said_meanwhile_arrives() {
    let mut world = World::new();
    world.say("before");
    world.watcher_sees("before");
    world.kill(Node::Server);
    world.leave_word("server-was-down");
    world.restart(Node::Server);
    world.watcher_sees("server-was-down");
    world.kill(Node::Client);
    world.leave_word("client-was-down");
    world.restart(Node::Client);
    world.watcher_sees("client-was-down");
    world.kill(Node::Manager);
    world.restart(Node::Manager);
    world.say("manager-was-down");
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
        world.leave_word(&note);
        for node in [Client, Manager] {
            world.kill(node);
        }
        for node in order {
            world.restart(node);
        }
        world.watcher_sees(&note);
        // And it goes on from there.
        let next = format!("and-then-{round}");
        world.say(&next);
        world.watcher_sees(&next);
    }
}

#[test]
fn a_word_that_the_manager_has_taken_is_not_lost_when_it_is_killed_at_once() {
    let mut world = World::new();
    world.kill(Node::Client);
    for round in 0..10 {
        let note = format!("word-{round}");
        world.leave_word(&note);
        world.kill(Node::Manager);
        world.restart(Node::Manager);
        if round == 9 {
            world.restart(Node::Client);
            world.watcher_sees(&note);
        }
    }
}

#[test]
fn a_watcher_that_was_killed_sees_the_present_state_when_it_is_back_and_others_are_not_disturbed() {
    let mut world = World::new();
    let other = start_watch(world.server_at);
    world.say("first");
    world.watcher_sees("first");
    world.watch.kill();
    world.say("second");
    other.wait_for("the second word", |line| line.contains("[\"second\"]"));
    world.watch = start_watch(world.server_at);
    world.watcher_sees("second");
    world.say("third");
    world.watcher_sees("third");
    other.wait_for("the third word", |line| line.contains("[\"third\"]"));
}

#[test]
fn nodes_that_end_in_order_leave_nothing_published() {
    let mut world = World::new();
    world.say("here");
    world.watcher_sees("here");
    world.client.signal("TERM");
    assert!(world.client.ended().success(), "{}", world.story());
    eventually_or(
        "the watcher to be shown closed, and no note",
        || {
            let lines = world.watch.lines();
            let last = lines.last()?;
            (last.contains("\"basic\":\"closed\"") && !last.contains("here")).then_some(())
        },
        || world.story(),
    );
    // Its Manager still knows the last word, so the next client says it again.
    world.restart(Node::Client);
    world.watcher_sees("here");
}
