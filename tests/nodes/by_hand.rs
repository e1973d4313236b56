//! The README as a person follows it: `rollcall run` in an empty folder, the three commands that it prints, ctrl-c, a
//! second start; and what is said when something is in the way.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use super::{BOB, start_client, start_manager, start_server, start_watch};
use crate::support::eventually_or;
use crate::support::process::{Process, require};
use crate::support::source::{Source, leave_word, say};

const DEMO: &str = "sip:demo@127.0.0.1";

/// `rollcall run` with its defaults but for the ports, which other tests use, too.
fn run(folder: &Path) -> Process {
    let free = [
        "run",
        "--listen",
        "udp:127.0.0.1:0",
        "--listen",
        "tcp:127.0.0.1:0",
        "--manager-listen",
        "127.0.0.1:0",
    ];
    let process = Process::rollcall_in(folder, &free);
    process.wait_for("the commands to try", |line| line.starts_with("  printf"));
    process
}

/// A command that was printed, in a terminal of its own.
fn try_out(folder: &Path, run: &Process, beginning: &str) -> Process {
    let line = run.wait_for(beginning, |line| line.trim_start().starts_with(beginning));
    let line = line.trim();
    if line.contains('|') {
        return Process::shell(folder, line);
    }
    Process::shell(folder, &format!("exec {line}"))
}

#[test]
fn the_three_commands_that_are_printed_work_as_they_are() {
    require("nc", "netcat-openbsd");
    let folder = tempfile::tempdir().expect("a folder");
    let run = run(folder.path());
    let watch = try_out(folder.path(), &run, "rollcall watch");
    // Something is to be seen at once: the demo calendar.
    watch.wait_for("the demo calendar", |line| {
        line.contains(DEMO) && (line.contains(" open") || line.contains(" meeting"))
    });
    let mut publish = try_out(folder.path(), &run, "rollcall publish");
    assert!(publish.ended().success(), "{:#?}", publish.lines());
    publish.wait_for("what became of it", |line| {
        line.starts_with(&format!("published {DEMO} (entity-tag "))
    });
    watch.wait_for("the state published by hand", |line| {
        line.contains("on-the-phone") && line.contains("\"Back soon\"")
    });
    let mut source = try_out(folder.path(), &run, "printf");
    watch.wait_for("the word of the source", |line| line.contains(" away"));
    source.wait_for("the welcome", |line| line.contains("<type>WELCOME</type>"));
    assert!(source.ended().success(), "{:#?}", source.lines());
}

/// Sends a signal, and waits for the end in order with the counters of these actors.
fn ends_in_order(process: &mut Process, signal: &str, actors: &[&str]) {
    let begun = Instant::now();
    process.signal(signal);
    let status = process.ended();
    let took = begun.elapsed();
    let lines = process.lines();
    assert!(status.success(), "{status}: {lines:#?}");
    assert!(took.as_secs() < 10, "it took {took:?}: {lines:#?}");
    shows(process, 0, actors);
    assert!(
        !lines.iter().any(|line| line.contains("panicked")),
        "{lines:#?}"
    );
}

/// Waits for a line of counters for each of these actors, from this line on.
fn shows(process: &Process, from: usize, actors: &[&str]) {
    for actor in actors {
        process.wait_for_from(from, &format!("the counters of {actor}"), |line| {
            line.starts_with(actor)
        });
    }
}

#[test]
fn ctrl_c_ends_every_role_in_order_and_counters_are_shown_then_and_on_request() {
    let folder = tempfile::tempdir().expect("a folder");
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut server = start_server(folder.path(), free);
    let server_at = server.listening("udp");
    let mut manager = start_manager(folder.path(), free);
    let manager_at = manager.listening("manager");
    let mut client = start_client(folder.path(), manager_at, server_at);
    let mut watch = start_watch(server_at);
    say(manager_at, BOB, "hello");
    watch.wait_for("the word", |line| line.contains("hello"));
    for (process, line) in [
        (&server, "registry 0: "),
        (&manager, "manager: "),
        (&client, "publisher: "),
    ] {
        let before = process.lines().len();
        process.signal("USR1");
        shows(process, before, &[line]);
    }
    // The node goes on.
    say(manager_at, BOB, "still there");
    watch.wait_for("the next word", |line| line.contains("still there"));
    ends_in_order(&mut watch, "INT", &[]);
    ends_in_order(
        &mut client,
        "INT",
        &["endpoint 0:", "publisher:", "publish-buffer:"],
    );
    ends_in_order(&mut manager, "TERM", &["endpoint 0:", "manager:"]);
    ends_in_order(&mut server, "INT", &["endpoint 0:", "registry 0:"]);
}

#[test]
fn a_second_start_in_the_same_folder_finds_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut first = run(folder.path());
    leave_word(first.listening("manager"), BOB, "by-source");
    let server = format!("sip:{}", first.listening("udp"));
    let mut publish = Process::rollcall(&[
        "publish",
        "sip:alice@example.com",
        "--server",
        &server,
        "--note",
        "by-hand",
    ]);
    assert!(publish.ended().success(), "{:#?}", publish.lines());
    ends_in_order(
        &mut first,
        "INT",
        &["manager:", "client publisher:", "server registry 0:"],
    );

    let second = run(folder.path());
    let server = format!("sip:{}", second.listening("udp"));
    let watch = Process::rollcall(&[
        "watch",
        BOB,
        "sip:alice@example.com",
        "--server",
        &server,
        "--json",
    ]);
    for note in ["[\"by-source\"]", "[\"by-hand\"]"] {
        watch.wait_for(note, |line| line.contains(note));
    }
}

/// Waits for the end of a process that could not start: exit code 1, and what it says last.
fn fails(mut process: Process) -> String {
    let status = process.ended();
    assert_eq!(status.code(), Some(1), "{:#?}", process.lines());
    // Its output may still be on the way when it has ended.
    process.wait_for("what is wrong", |line| line.starts_with("rollcall: "))
}

#[test]
fn a_folder_in_use_is_told_and_who_uses_it_is_not_disturbed() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = run(folder.path());
    let (manager, server) = (first.listening("manager"), first.listening("udp"));
    let watch = start_watch(server);
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    assert_eq!(
        fails(start_server(folder.path(), free)),
        "rollcall: store file:rollcall-data/server is in use by another process"
    );
    assert_eq!(
        fails(start_manager(folder.path(), free)),
        "rollcall: state file rollcall-data/manager.xml: in use by another process; give each Manager a file of its own"
    );
    say(manager, BOB, "undisturbed");
    watch.wait_for("the word", |line| line.contains("undisturbed"));
}

#[test]
fn a_port_in_use_is_told_by_its_name_and_who_uses_it_is_not_disturbed() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = run(folder.path());
    let (manager, udp, tcp) = (
        first.listening("manager"),
        first.listening("udp"),
        first.listening("tcp"),
    );
    let taken = "Address already in use (os error 98)";
    for listen in [format!("udp:{udp}"), format!("tcp:{tcp}")] {
        let server = Process::rollcall(&["server", "--listen", &listen, "--shards", "2"]);
        assert_eq!(
            fails(server),
            format!("rollcall: cannot listen on {listen}: {taken}")
        );
    }
    let second = Process::rollcall(&["manager", "--listen", &manager.to_string()]);
    assert_eq!(
        fails(second),
        format!("rollcall: cannot listen on manager:{manager}: {taken}")
    );
    let watch = start_watch(udp);
    say(manager, BOB, "undisturbed");
    watch.wait_for("the word", |line| line.contains("undisturbed"));
}

#[test]
fn a_folder_that_cannot_be_written_is_told_before_anything_listens() {
    let folder = tempfile::tempdir().expect("a folder");
    // A file where the folder should be stops root, too.
    std::fs::write(folder.path().join("rollcall-data"), "").expect("a file");
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let run = Process::rollcall_in(folder.path(), &["run", "--listen", "udp:127.0.0.1:0"]);
    assert_eq!(
        fails(run),
        "rollcall: store file:rollcall-data/server can't be opened: Not a directory (os error 20)"
    );
    assert_eq!(
        fails(start_manager(folder.path(), free)),
        "rollcall: state file rollcall-data/manager.xml: File exists (os error 17)"
    );
}

#[test]
fn nodes_that_find_nobody_wait_and_need_no_human_when_the_others_come() {
    let folder = tempfile::tempdir().expect("a folder");
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    // Ports to be: taken by nodes that are ended again.
    let (mut server, mut manager) = (
        start_server(folder.path(), free),
        start_manager(folder.path(), free),
    );
    let (server_at, manager_at) = (server.listening("udp"), manager.listening("manager"));
    server.kill();
    manager.kill();

    let client = start_client(folder.path(), manager_at, server_at);
    client.listening("udp");
    let manager = start_manager(folder.path(), manager_at);
    manager.listening("manager");
    let mut source = Source::new(manager_at);
    source.say(BOB, Some(1), "early");
    let server = start_server(folder.path(), server_at);
    server.listening("udp");
    source.published();
    let watch = start_watch(server_at);
    eventually_or(
        "the early word",
        || {
            let lines = watch.lines();
            lines
                .iter()
                .any(|line| line.contains("early"))
                .then_some(())
        },
        || client.lines().join("\n"),
    );
}
