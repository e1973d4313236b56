//! A server whose disk fails, fills or hangs. What it answers 2xx is there after `kill -9` in any case, and what it refuses is not.
//!
//! ```text
//!  publisher            server             disk
//!     | -- PUBLISH ------> | ── write ─────> | full, broken, silent
//!     | <-- 503 ---------- |                 |
//!     |                    | <── again? ───> | well
//!     | -- PUBLISH ------> | ── write ─────> |
//!     | <-- 200 ---------- |                 |
//! ```

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use rollcall::core::sip::{Message, Name};

use crate::support::eventually;
use crate::support::process::Process;
use crate::support::sip::{Client, code, pidf};

const BOB: &str = "sip:bob@example.com";
const ADA: &str = "sip:ada@example.com";

/// Lines that a failure of some seconds may take in the log.
const LINES: usize = 12;

fn tag(response: &Message) -> String {
    assert_eq!(code(response), 200, "{}", response.reason());
    response.text(Name::SipEtag).expect("a tag").into_owned()
}

fn open(note: &str) -> String {
    pidf(BOB, "open", note)
}

/// A server with a deadline of a second, started by some other program, which is given its command line.
fn server(
    folder: &Path,
    before: &[String],
    at: SocketAddr,
    preload: Option<&Path>,
    give_up: &str,
) -> Process {
    let config = folder.join("server.toml");
    let text = format!("[persistence]\ndeadline = \"1s\"\ngive_up = \"{give_up}\"\n");
    std::fs::write(&config, text).expect("a file");
    let program = env!("CARGO_BIN_EXE_rollcall");
    let listen = format!("udp:{at}");
    let store = format!("file:{}", folder.join("disk/store").display());
    let line = [
        program,
        "server",
        "--config",
        "server.toml",
        "--store",
        &store,
        "--listen",
        &listen,
    ];
    let mut words = before.iter().map(String::as_str).chain(line);
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).current_dir(folder);
    if let Some(library) = preload {
        command
            .env("LD_PRELOAD", library)
            .env("DISK_FOLDER", folder.join("disk"))
            .env("DISK_FAULT", folder.join("fault"));
    }
    Process::start("server", command)
}

/// Builds what stands between a process and its disk (`LD_PRELOAD`).
pub fn library(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/faulty_disk.c");
    let library = folder.join("faulty_disk.so");
    let built = Command::new("gcc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status();
    let built = built.expect("gcc is needed: apt-get install gcc libc6-dev");
    assert!(
        built.success(),
        "libc6-dev is needed: apt-get install libc6-dev"
    );
    library
}

/// A server on a disk that does as the file `fault` says.
struct Faulty {
    folder: PathBuf,
    library: PathBuf,
    process: Process,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Faulty {
    fn start(give_up: &str) -> Self {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = temporary.path().canonicalize().expect("a folder");
        let library = library(&folder);
        let process = server(
            &folder,
            &[],
            ([127, 0, 0, 1], 0).into(),
            Some(&library),
            give_up,
        );
        let address = process.listening("udp");
        Self {
            folder,
            library,
            process,
            address,
            _folder: temporary,
        }
    }

    fn set(&self, fault: &str) {
        let path = self.folder.join("fault");
        let new = self.folder.join("fault.new");
        std::fs::write(&new, fault).expect("a file");
        std::fs::rename(new, path).expect("a file");
    }

    fn mend(&self) {
        std::fs::remove_file(self.folder.join("fault")).expect("a file");
    }

    fn restart(&mut self) {
        self.process.kill();
        self.process = server(&self.folder, &[], self.address, Some(&self.library), "60s");
        self.process.listening("udp");
    }
}

/// Publishes until it is taken.
fn until_taken(publisher: &mut Client, last: &str, note: &str) -> String {
    eventually("a 200", || {
        let answer = publisher.publish(BOB, Some(last), &open(note));
        match code(&answer) {
            503 => None,
            _ => Some(tag(&answer)),
        }
    })
}

#[test]
fn a_disk_that_fails_is_borne_and_what_was_refused_did_not_happen() {
    for fault in ["enospc", "eio", "eio-sync"] {
        let mut server = Faulty::start("60s");
        let mut publisher = Client::new(server.address);
        let first = tag(&publisher.publish(BOB, None, &open("first")));
        let lines = server.process.lines().len();
        server.set(fault);
        assert_eq!(
            code(&publisher.publish(BOB, Some(&first), &open("refused"))),
            503,
            "{fault}"
        );
        let began = Instant::now();
        for _ in 0..200 {
            assert_eq!(
                code(&publisher.publish(ADA, None, &pidf(ADA, "open", ""))),
                503,
                "{fault}"
            );
        }
        assert!(began.elapsed().as_secs() < 5, "503 is answered at once");
        let said = server.process.lines().split_off(lines);
        assert!(said.len() <= LINES, "{said:#?}");
        // Killed in the middle of it.
        if fault != "eio" {
            server.process.kill();
            server.mend();
            server.restart();
        } else {
            server.mend();
        }
        let second = until_taken(&mut publisher, &first, "second");
        server.restart();
        let third = tag(&publisher.publish(BOB, Some(&second), ""));
        assert_eq!(code(&publisher.publish(BOB, Some(&first), "")), 412);
        drop(third);
    }
}

#[test]
fn a_disk_that_stays_broken_ends_the_server_so_that_somebody_starts_it_again() {
    let mut server = Faulty::start("10s");
    let mut publisher = Client::new(server.address);
    let first = tag(&publisher.publish(BOB, None, &open("first")));
    server.set("enospc");
    assert_eq!(
        code(&publisher.publish(BOB, Some(&first), &open("refused"))),
        503
    );
    assert_eq!(server.process.ended().code(), Some(1));
    let said = server.process.lines().join("\n");
    assert!(said.contains("the store has not worked for 1"), "{said}");
    server.mend();
    server.restart();
    tag(&publisher.publish(BOB, Some(&first), ""));
}

#[test]
fn a_disk_that_hangs_leaves_nobody_without_an_answer_and_does_not_keep_the_server_from_ending() {
    let mut server = Faulty::start("60s");
    let mut publisher = Client::new(server.address);
    let first = tag(&publisher.publish(BOB, None, &open("first")));
    server.set("hang");
    let began = Instant::now();
    let refused = publisher.publish(BOB, Some(&first), &open("refused"));
    assert_eq!(code(&refused), 503);
    assert!(refused.text(Name::RetryAfter).is_some());
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    assert_eq!(
        code(&publisher.publish(ADA, None, &pidf(ADA, "open", ""))),
        503
    );
    server.process.wait_for("a warning with seconds", |line| {
        line.contains("the store's disk does not answer") && line.contains("seconds=")
    });
    // It answers after all: what was refused is taken back.
    server.mend();
    let second = until_taken(&mut publisher, &first, "second");
    server.set("hang");
    assert_eq!(
        code(&publisher.publish(BOB, Some(&second), &open("refused"))),
        503
    );
    server.process.signal("TERM");
    assert_eq!(server.process.ended().code(), Some(1));
    server.mend();
    server.restart();
    tag(&publisher.publish(BOB, Some(&second), ""));
}

#[test]
fn a_full_disk_is_refused_and_goes_on_within_seconds_when_there_is_room() {
    let temporary = tempfile::tempdir().expect("a folder");
    let folder = temporary.path();
    std::fs::create_dir(folder.join("disk")).expect("a folder");
    // A disk of 4 MB that only these processes see; it lives as long as the first of them.
    let mount = "mount -t tmpfs -o size=4m tmpfs disk && echo mounted && exec cat";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", mount]).current_dir(folder);
    let holder = Process::start("unshare", command);
    let mounted = holder.wait_for(
        "a mount (needs root, or CAP_SYS_ADMIN: run the tests by sudo)",
        |line| !line.is_empty(),
    );
    assert_eq!(
        mounted, "mounted",
        "unshare -m and mount need root, or CAP_SYS_ADMIN: run the tests by sudo"
    );
    let inside = PathBuf::from(format!("/proc/{}/root", holder.id()));
    let disk = inside
        .join(folder.strip_prefix("/").expect("absolute"))
        .join("disk");
    let target = holder.id().to_string();
    let work = format!("--wd={}", folder.display());
    let enter: Vec<String> = ["nsenter", "-m", "-t", &target, &work]
        .map(str::to_owned)
        .into();
    let mut process = server(folder, &enter, ([127, 0, 0, 1], 0).into(), None, "60s");
    let address = process.listening("udp");
    let mut publisher = Client::new(address);
    let mut last = tag(&publisher.publish(BOB, None, &open("first")));
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![1; 8 << 20]).expect_err("the disk is small");
    let lines = process.lines().len();
    let mut refused = 0;
    // What fits into the last page is taken yet.
    for number in 0..500 {
        let answer = publisher.publish(
            BOB,
            Some(&last),
            &open(&format!("{number} {}", "x".repeat(2000))),
        );
        match code(&answer) {
            503 => refused += 1,
            _ => last = tag(&answer),
        }
    }
    assert!(refused > 400, "{refused}");
    let said = process.lines().split_off(lines);
    assert!(said.len() <= LINES, "{said:#?}");
    std::fs::remove_file(&ballast).expect("room");
    let began = Instant::now();
    last = until_taken(&mut publisher, &last, "there is room");
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    process.kill();
    let process = server(folder, &enter, address, None, "60s");
    process.listening("udp");
    tag(&publisher.publish(BOB, Some(&last), ""));
}

#[test]
fn the_store_and_its_files_are_their_owners_alone_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().expect("a folder");
    let store = folder.path().join("rollcall-data/server");
    std::fs::create_dir_all(&store).expect("a folder");
    std::fs::set_permissions(&store, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let process = Process::shell(
        folder.path(),
        "umask 0; exec rollcall run --listen udp:127.0.0.1:0 --manager-listen 127.0.0.1:0",
    );
    let address = process.listening("udp");
    process.wait_for("a warning", |line| {
        line.contains("others could read what is kept here")
    });
    tag(&Client::new(address).publish(BOB, None, &open("first")));
    let mut open = Vec::new();
    let mut folders = vec![folder.path().join("rollcall-data")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let found = entry.metadata().expect("an entry");
            if found.permissions().mode() & 0o077 != 0 {
                open.push(entry.path());
            }
            if found.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    assert_eq!(open, Vec::<PathBuf>::new());
}
