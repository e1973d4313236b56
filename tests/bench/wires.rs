//! `rollcall bench --transport`: connections, plain and encrypted, to our own server and to the yardstick.

use std::path::Path;

use super::{Process, bench, every_load_by, report, server, text, whole};
use crate::transports::certificates::Authority;

/// Our own server with a certificate for these names, in a folder with the authority's as `ca.pem`.
fn encrypted(folder: &Path, names: &[&str]) -> Process {
    let authority = Authority::new();
    std::fs::write(folder.join("ca.pem"), authority.pem()).expect("a file");
    let certificate = folder.join("server.pem");
    authority.issue(&certificate, names);
    let config = folder.join("server.toml");
    let settings = format!(
        "listen = [\"tls:127.0.0.1:0\"]\nstore = \"memory:\"\n[tls]\ncertificate = {certificate:?}\n[notify]\npacing = \"0s\"\n"
    );
    std::fs::write(&config, settings).expect("a file");
    let server = Process::rollcall(&["server", "--config", config.to_str().expect("a plain path")]);
    server.listening("tls");
    server
}

#[test]
fn every_load_on_our_own_server_is_whole_over_tcp() {
    every_load_by(&server(), "tcp", &[]);
}

#[test]
fn every_load_on_the_yardstick_is_whole_over_tcp() {
    let server = Process::rollcall(&["bench", "floor", "--listen", "tcp:127.0.0.1:0"]);
    every_load_by(&server, "tcp", &[]);
    // Others have gone, and it still serves.
    whole(&server, "publish", &["--transport", "tcp"]);
}

#[test]
fn every_load_on_our_own_server_is_whole_over_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = encrypted(folder.path(), &["127.0.0.1"]);
    let ca = folder.path().join("ca.pem");
    every_load_by(
        &server,
        "tls",
        &["--ca", ca.to_str().expect("a plain path")],
    );
}

#[test]
fn a_certificate_is_believed_by_its_authority_and_name_or_whatever_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = encrypted(folder.path(), &["sip.example.com"]);
    let ca = folder.path().join("ca.pem");
    let ca = ca.to_str().expect("a plain path");
    let uri = format!("sip:{};transport=tls", server.listening("tls"));
    let (output, report) = report(&["publish", &uri, "--insecure", "--operations", "10"]);
    assert!(output.status.success(), "{report}");
    // Of no authority of this machine, and of another name.
    for more in [&[][..], &["--ca", ca]] {
        let output = bench(&[&["publish", &*uri], more].concat()).output();
        let output = output.expect("it runs");
        assert_eq!(output.status.code(), Some(1), "{more:?}");
        let told = text(&output.stderr);
        let expected = format!("rollcall: {uri} over tls: no socket towards ");
        assert!(told.starts_with(&expected), "{told}");
        let advice = "; --ca FILE names the authority of the server's certificate, --insecure believes any\n";
        assert!(told.ends_with(advice), "{told}");
    }
}

#[test]
fn a_connection_that_nobody_takes_is_told_too() {
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let at = closed.local_addr().expect("a bound socket");
    drop(closed);
    let uri = format!("sip:{at};transport=tcp");
    let output = bench(&["publish", &uri]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    let expected = format!("rollcall: {uri} over tcp: no socket towards {at}: Connection refused");
    assert!(told.starts_with(&expected), "{told}");
}

#[test]
fn what_is_believed_means_something_over_tls_only() {
    for (arguments, code, word) in [
        (
            &["sip:127.0.0.1", "--insecure"][..],
            2,
            "--insecure: there is no certificate over udp",
        ),
        (
            &["sip:127.0.0.1;transport=tcp", "--ca", "a.pem"],
            2,
            "--ca: there is no certificate over tcp",
        ),
        (
            &["sips:127.0.0.1", "--ca", "a.pem", "--insecure"],
            2,
            "cannot be used with",
        ),
        (
            &["sip:127.0.0.1;transport=ws"],
            2,
            "sip:127.0.0.1;transport=ws",
        ),
        (
            &["sips:127.0.0.1", "--ca", "/no/such.pem"],
            1,
            "/no/such.pem: No such file",
        ),
    ] {
        let output = bench(&[&["publish"], arguments].concat()).output();
        let output = output.expect("it runs");
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(told.contains(word), "{arguments:?}: {told}");
    }
}
