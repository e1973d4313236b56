//! A store that is damaged while no server runs: refused at the start, looked into by `rollcall store check`, and written anew by
//! `rollcall store repair`.
//!
//! ```text
//!  server ── kill -9 ──> folder ── a bit flips ──> refused ── store check ──> 1 ── store repair ──> new folder ──> server
//! ```

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rollcall::core::sip::{Message, Name};

use crate::disk::library;
use crate::support::eventually;
use crate::support::process::Process;
use crate::support::sip::{Client, body, code, pidf};

fn person(number: usize) -> String {
    format!("sip:person{number}@example.com")
}

fn tag(response: &Message) -> String {
    assert_eq!(code(response), 200, "{}", response.reason());
    response.text(Name::SipEtag).expect("a tag").into_owned()
}

fn server(folder: &Path, store: &str) -> Process {
    let store = format!("file:{store}");
    let arguments = ["server", "--store", &store, "--listen", "udp:127.0.0.1:0"];
    Process::rollcall_in(folder, &arguments)
}

/// `rollcall store …` in this folder.
fn store(folder: &Path, arguments: &[&str], variables: &[(&str, &OsStr)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command
        .arg("store")
        .args(arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .current_dir(folder);
    command
}

/// Its exit code, and all that it said.
fn said(mut command: Command) -> (Option<i32>, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the program runs");
    let text = [stdout, stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
    (status.code(), text.concat())
}

/// All files in a folder.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let kind = entry.file_type().expect("a type");
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let bytes = std::fs::read(entry.path()).expect("a file");
                found.insert(entry.path(), bytes);
            }
        }
    }
    found
}

/// A folder with the store `old`, left by a server that was killed, and the entity-tags of some people.
fn killed(people: usize) -> (tempfile::TempDir, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut process = server(folder.path(), "old");
    let mut publisher = Client::new(process.listening("udp"));
    let tags = (0..people).map(|number| {
        let document = pidf(&person(number), "open", &format!("note {number}."));
        tag(&publisher.publish(&person(number), None, &document))
    });
    let tags = tags.collect();
    let (code, text) = said(store(folder.path(), &["check", "old"], &[]));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("in use by another process"), "{text}");
    process.kill();
    (folder, tags)
}

/// Flips a bit in the note of somebody's document, in the journal.
fn damage(folder: &Path, number: usize) {
    let path = folder.join("old/0.jnl");
    let mut bytes = std::fs::read(&path).expect("a journal");
    let note = format!("note {number}.");
    let places = bytes
        .windows(note.len())
        .position(|part| part == note.as_bytes());
    bytes[places.expect("the note")] ^= 1;
    std::fs::write(&path, bytes).expect("a journal");
}

#[test]
fn a_damaged_store_is_refused_looked_into_repaired_and_served_from() {
    let (temporary, tags) = killed(8);
    let folder = temporary.path();
    let (code_whole, text) = said(store(folder, &["check", "file:old"], &[]));
    assert_eq!(code_whole, Some(0), "{text}");
    assert!(
        text.contains("is whole") && text.contains("8 publications"),
        "{text}"
    );
    damage(folder, 3);
    let mut refused = server(folder, "old");
    assert_eq!(refused.ended().code(), Some(1));
    let sentence = refused.lines().join("\n");
    for word in [
        "is damaged",
        "`rollcall store check old`",
        "`rollcall store repair old --to NEW_FOLDER`",
    ] {
        assert!(sentence.contains(word), "{sentence}");
    }
    let before = content(&folder.join("old"));
    let (checked, text) = said(store(folder, &["check", "old"], &[]));
    assert_eq!(checked, Some(1), "{text}");
    for word in [
        "7 publications",
        "0.jnl at byte",
        "of sip:person3@example.com",
        "missing: groups of changes",
        "lost: at least 1 record",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let (checked, json) = said(store(folder, &["check", "old", "--json"], &[]));
    assert_eq!(checked, Some(1));
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["whole"], false);
    assert_eq!(json["records"]["publications"], 7);
    assert_eq!(json["damages"][0]["file"], "0.jnl");
    // By the config of the server, as well.
    std::fs::write(folder.join("server.toml"), "store = \"file:old\"\n").expect("a file");
    let (repaired, text) = said(store(
        folder,
        &["repair", "--config", "server.toml", "--to", "new"],
        &[],
    ));
    assert_eq!(repaired, Some(0), "{text}");
    assert!(
        text.contains("file:new is a new store with the 7 records"),
        "{text}"
    );
    assert!(
        content(&folder.join("old")) == before,
        "the old folder is as it was"
    );
    let (again, text) = said(store(folder, &["repair", "old", "--to", "new"], &[]));
    assert_eq!(again, Some(2), "{text}");
    assert_eq!(said(store(folder, &["check", "new"], &[])).0, Some(0));
    let process = server(folder, "new");
    let address = process.listening("udp");
    let mut watcher = Client::new(address);
    assert_eq!(code(&watcher.subscribe(&person(5))), 200);
    assert!(body(&watcher.notify()).contains("note 5."));
    let mut publisher = Client::new(address);
    for (number, tag) in tags.iter().enumerate() {
        let answer = publisher.publish(&person(number), Some(tag), "");
        let right = if number == 3 { 412 } else { 200 };
        assert_eq!(code(&answer), right, "{number}");
    }
}

#[test]
fn a_repair_that_is_killed_or_finds_no_room_leaves_the_old_store_and_no_new_one() {
    let (temporary, _) = killed(4);
    let folder = temporary.path().canonicalize().expect("a folder");
    damage(&folder, 1);
    let before = content(&folder.join("old"));
    let library = library(&folder);
    let fault = folder.join("fault");
    let disk = folder.join("disk");
    std::fs::create_dir(&disk).expect("a folder");
    let variables = [
        ("LD_PRELOAD", library.as_os_str()),
        ("DISK_FOLDER", disk.as_os_str()),
        ("DISK_FAULT", fault.as_os_str()),
    ];
    let arguments = ["repair", "old", "--to", "disk/new"];
    for (error, words) in [
        ("enospc", "No space left"),
        ("eio-sync", "Input/output error"),
    ] {
        std::fs::write(&fault, error).expect("a file");
        let (ended, text) = said(store(&folder, &arguments, &variables));
        assert_eq!(ended, Some(1), "{text}");
        assert!(
            text.contains("disk/new can't be written") && text.contains(words),
            "{text}"
        );
        let left = std::fs::read_dir(&disk).expect("a folder").count();
        assert_eq!(left, 0, "{error}: nothing is left");
    }
    std::fs::write(&fault, "hang").expect("a file");
    let mut repairing = Process::start("repair", store(&folder, &arguments, &variables));
    let left = disk.join("new.repairing");
    eventually("a folder that is being written", || {
        left.join("unfinished").exists().then_some(())
    });
    repairing.kill();
    std::fs::remove_file(&fault).expect("a file");
    assert!(!disk.join("new").exists());
    let mut refused = server(&folder, "disk/new.repairing");
    assert_eq!(refused.ended().code(), Some(1));
    let sentence = refused.lines().join("\n");
    assert!(
        sentence.contains("what a repair had written when it was ended"),
        "{sentence}"
    );
    let (ended, text) = said(store(&folder, &arguments, &variables));
    assert_eq!(ended, Some(2), "{text}");
    assert!(text.contains("new.repairing is left of a repair"), "{text}");
    std::fs::remove_dir_all(&left).expect("a folder");
    let (ended, text) = said(store(&folder, &arguments, &variables));
    assert_eq!(ended, Some(0), "{text}");
    assert!(
        content(&folder.join("old")) == before,
        "the old folder is as it was"
    );
    server(&folder, "disk/new").listening("udp");
}

#[test]
fn what_can_not_be_looked_into_is_told_in_words_and_exit_code_2() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = temporary.path();
    std::fs::create_dir(folder.join("empty")).expect("a folder");
    std::fs::write(folder.join("memory.toml"), "store = \"memory:\"\n").expect("a file");
    std::fs::write(folder.join("bad.toml"), "stor = 3\n").expect("a file");
    for (arguments, words) in [
        (&["check"][..], "rollcall-data/server can't be opened"),
        (&["check", "empty"], "is no store"),
        (&["check", "memory:"], "memory: keeps nothing"),
        (
            &["check", "--config", "memory.toml"],
            "memory: keeps nothing",
        ),
        (&["check", "--config", "bad.toml"], "there is no such key"),
        (&["check", "memory.toml"], "not a directory"),
        (&["repair", "empty", "--to", "new"], "is no store"),
        (&["repair", "empty"], "--to <NEW_FOLDER>"),
    ] {
        let (code, text) = said(store(folder, arguments, &[]));
        assert_eq!(code, Some(2), "{arguments:?}: {text}");
        assert!(text.contains(words), "{arguments:?}: {text}");
        assert!(!text.contains("panicked"), "{text}");
    }
    assert!(!folder.join("new").exists());
}
