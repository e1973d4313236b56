//! The files of Manager and Presence Client on a disk that fails for a while: nothing is given up, and the log tells.
//!
//! The disk is made to fail by a folder where the new file shall be written, which works for every user and file system.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::eventually;
use crate::support::process::Process;
use crate::support::source::Source;

/// Stands in the way of a file that is to be replaced.
struct Obstacle(PathBuf);

impl Obstacle {
    fn of(file: &Path) -> Self {
        let mut new = file.as_os_str().to_owned();
        new.push(".new");
        fs::create_dir_all(Path::new(&new).join("in-the-way")).expect("a folder");
        Self(new.into())
    }

    fn remove(self) {
        fs::remove_dir_all(&self.0).expect("a folder");
    }
}

fn manager(folder: &Path) -> Process {
    Process::rollcall_in(folder, &["manager", "--listen", "127.0.0.1:0"])
}

#[test]
fn what_a_manager_could_not_write_is_written_when_the_disk_takes_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rollcall-data/manager.xml");
    let mut process = manager(folder.path());
    let mut source = Source::new(process.listening("manager"));
    let obstacle = Obstacle::of(&file);
    source.say("sip:alice@example.com", Some(1), "written late");
    process.wait_for("the failure", |line| {
        line.contains("the state file can't be written") && line.contains("unsaved=")
    });
    obstacle.remove();
    process.wait_for("the end of it", |line| {
        line.contains("the state file is written again")
    });
    process.kill();
    let content = fs::read_to_string(&file).expect("a state file");
    assert!(content.contains("written late"), "{content}");
}

#[test]
fn a_manager_writes_at_its_end_what_it_could_not_write_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rollcall-data/manager.xml");
    let mut process = manager(folder.path());
    let mut source = Source::new(process.listening("manager"));
    let obstacle = Obstacle::of(&file);
    source.say("sip:alice@example.com", None, "at the end");
    process.wait_for("the failure", |line| {
        line.contains("the state file can't be written")
    });
    // A few tries later the next one is seconds away.
    let tries = |counters: &str| counters.contains(" write_failures=3");
    eventually("three tries", || {
        let from = process.lines().len();
        process.signal("USR1");
        let (_, line) =
            process.wait_for_from(from, "counters", |line| line.starts_with("manager:"));
        tries(&line).then_some(())
    });
    obstacle.remove();
    process.signal("TERM");
    assert!(process.ended().success());
    let content = fs::read_to_string(&file).expect("a state file");
    assert!(content.contains("at the end"), "{content}");
    let lines = process.lines();
    let told = lines
        .iter()
        .filter(|line| line.contains("the state file can't be written"));
    assert_eq!(told.count(), 1, "{lines:#?}");
}

#[test]
fn a_client_that_could_not_write_its_entity_tags_goes_on_trying() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rollcall-data/client.tags");
    let obstacle = Obstacle::of(&file);
    let arguments = [
        "client",
        "--manager",
        "127.0.0.1:1",
        "--server",
        "sip:127.0.0.1:1",
        "--domain",
        "example.com",
    ];
    let process = Process::rollcall_in(folder.path(), &arguments);
    process.wait_for("the failure", |line| {
        line.contains("entity-tags can't be written")
    });
    assert!(!file.exists());
    obstacle.remove();
    process.wait_for("the end of it", |line| {
        line.contains("the file of entity-tags is written again")
    });
    let content = fs::read_to_string(&file).expect("a file");
    assert!(content.starts_with("publisher "), "{content}");
}

#[test]
fn files_that_make_no_sense_are_kept_and_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("rollcall-data");
    fs::create_dir(&data).expect("a folder");
    for name in ["manager.xml", "client.tags"] {
        fs::write(data.join(name), "not what it should be\n").expect("a file");
    }
    let manager = manager(folder.path());
    let arguments = [
        "client",
        "--manager",
        "127.0.0.1:1",
        "--server",
        "sip:127.0.0.1:1",
        "--domain",
        "example.com",
    ];
    let client = Process::rollcall_in(folder.path(), &arguments);
    for (process, name) in [
        (&manager, "manager.xml.broken"),
        (&client, "client.tags.broken"),
    ] {
        process.wait_for(name, |line| {
            line.contains("is kept as it was") && line.contains(name)
        });
        let kept = fs::read_to_string(data.join(name)).expect("kept");
        assert_eq!(kept, "not what it should be\n");
    }
}
