//! Files with secrets that others may write or read: the accounts of a server, and its key.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::process::Process;

fn rollcall(folder: &Path, line: &str) -> Output {
    let binary = env!("CARGO_BIN_EXE_rollcall");
    Command::new("sh")
        .args(["-c", &line.replace("rollcall ", &format!("{binary} "))])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

/// A folder with accounts, and a config that names them.
fn accounts() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let add = "ROLLCALL_PASSWORD=secret rollcall user add alice --file users --realm example.com";
    assert!(rollcall(folder.path(), add).status.success());
    let config = "listen = [\"udp:127.0.0.1:0\"]\ndomain = [\"example.com\"]\nauth = \"digest\"\nstore = \"memory:\"\n\
                  [digest]\nusers = \"users\"\n";
    fs::write(folder.path().join("server.toml"), config).expect("a config");
    let users = folder.path().join("users");
    (folder, users)
}

const SENTENCE: &str = "server.toml:6:9: digest.users: users has mode 0666: everybody may write it, so it is not used (chmod 600 users)";

#[test]
fn accounts_that_others_may_write_are_refused_at_the_start_and_by_check() {
    let (folder, users) = accounts();
    set_mode(&users, 0o666);
    for command in ["server", "check"] {
        let output = rollcall(
            folder.path(),
            &format!("rollcall {command} --config server.toml"),
        );
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(SENTENCE), "{said}");
    }
    set_mode(&users, 0o644);
    let output = rollcall(folder.path(), "rollcall check --config server.toml");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    assert!(
        said.contains("users has mode 0644: everybody on this machine may read it"),
        "{said}"
    );
    set_mode(&users, 0o600);
    let output = rollcall(folder.path(), "rollcall check --config server.toml");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("mode"));
}

#[test]
fn accounts_that_others_may_write_are_not_read_again() {
    let (folder, users) = accounts();
    let process = Process::rollcall_in(folder.path(), &["server", "--config", "server.toml"]);
    process.listening("udp");
    set_mode(&users, 0o660);
    process.signal("HUP");
    process.wait_for("the refusal", |line| {
        line.contains("not read again")
            && line.contains("users has mode 0660: its group may write it")
    });
    set_mode(&users, 0o644);
    process.signal("HUP");
    process.wait_for("a word", |line| line.contains("users has mode 0644"));
    process.wait_for("the end", |line| line.contains("were read again"));
}

#[test]
fn a_key_that_others_may_write_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("key.pem"), "").expect("a file");
    fs::write(folder.path().join("cert.pem"), "").expect("a file");
    let config = "listen = [\"tls:127.0.0.1:0\"]\nstore = \"memory:\"\n[tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n";
    fs::write(folder.path().join("server.toml"), config).expect("a config");
    for (mode, status, sentence) in [
        (
            0o664,
            2,
            "tls.key: key.pem has mode 0664: its group may write it, so it is not used (chmod 600 key.pem)",
        ),
        (
            0o644,
            0,
            "tls.key: key.pem has mode 0644: everybody on this machine may read it",
        ),
    ] {
        set_mode(&folder.path().join("key.pem"), mode);
        let output = rollcall(folder.path(), "rollcall check --config server.toml");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert!(said.contains(sentence), "{said}");
    }
}

#[test]
fn accounts_are_written_for_their_owner_alone_whatever_the_umask() {
    for umask in ["000", "022", "777"] {
        let folder = tempfile::tempdir().expect("a folder");
        let users = folder.path().join("users");
        for name in ["alice", "bob"] {
            let add = format!(
                "umask {umask}; ROLLCALL_PASSWORD=secret rollcall user add {name} --file users --realm example.com"
            );
            let output = rollcall(folder.path(), &add);
            assert!(output.status.success(), "{output:?}");
            let mode = fs::metadata(&users).expect("a file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "umask {umask}");
            // An older program, or a person, has opened it.
            set_mode(&users, 0o644);
        }
        let names = fs::read_to_string(&users).expect("a file");
        assert!(
            names.contains("alice:") && names.contains("bob:"),
            "{names}"
        );
    }
}
