//! Who may watch: watcher information for the presentity (RFC 3857, 3858), and `rollcall watchers` for the operator.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use rollcall::core::sip::{Message, Name};

use super::kit::{BOB, Dialog, Peer, Server, code, contact, pidf, published, shown, text};
use crate::conformance;
use crate::support::process::require;

const ALICE: &str = "sip:alice@example.com";
const WINFO: &str = "Event: presence.winfo\n";

/// A server with this policy, on disk.
fn server(policy: &str) -> Server {
    Server::on_disk(2, &format!("[watchers]\npolicy = \"{policy}\"\n"))
}

/// `rollcall watchers` against it.
fn watchers(server: &Server, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .arg("watchers")
        .args(arguments)
        .arg("--control")
        .arg(server.store().join("control"))
        .output()
        .expect("it runs")
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The state of the next NOTIFY without its time, and its body's length.
fn state(peer: &mut Peer) -> (String, usize) {
    let (state, _, body) = shown(&peer.notify());
    let word = state.split(";expires").next().unwrap_or_default();
    (word.to_owned(), body.len())
}

/// The `watcher` elements of a document: status, event and address.
fn elements(notify: &Message) -> Vec<String> {
    let (_, _, body) = shown(notify);
    let attribute = |element: &str, name: &str| {
        let rest = element.split_once(&format!(" {name}=\"")).expect("it").1;
        rest.split('"').next().expect("a value").to_owned()
    };
    let elements = body.split("<watcher ").skip(1).map(|element| {
        let element = format!(" {element}");
        let address = element.split(['<', '>']).nth(1).expect("text");
        let (status, event) = (attribute(&element, "status"), attribute(&element, "event"));
        format!("{status} {event} {address}")
    });
    elements.collect()
}

/// What the schema says of a document; where the corpora are not there, nothing is checked, and that is said.
fn assert_valid(document: &str) {
    let Some(schemas) = conformance::folder("schemas") else {
        return;
    };
    require("xmllint", "libxml2-utils");
    let mut check = Command::new("xmllint")
        .args(["--nonet", "--noout", "--schema"])
        .arg(schemas.join("watcherinfo.xsd"))
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = check.stdin.take().expect("a pipe");
    input.write_all(document.as_bytes()).expect("it reads");
    drop(input);
    let output = check.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{document}: {output:?}");
}

/// ```text
///   alice             server            bob, presence.winfo      operator
///     | -- SUBSCRIBE --> |                       |                   |
///     | <-- pending ---- | -- pending ---------> |                   |
///     |                  | <------------------------- allow -------- |
///     | <-- active, body | -- approved --------> |                   |
///     |                  | <------------------------- block -------- |
///     | <-- rejected --- | -- rejected --------> |                   |
/// ```
#[test]
fn a_watcher_is_pending_until_the_operator_decides_and_the_presentity_hears_of_it() {
    let server = server("confirm");
    let mut desk = server.by_udp().named(BOB);
    let mut bob = server.by_tcp().named(BOB);
    let mut alice = server.by_udp().named(ALICE);
    published(&mut desk, BOB, "", &pidf(BOB, "t", "open", ""));
    Dialog::open(&mut bob, BOB, 600, WINFO);
    let first = bob.notify();
    let content_type = text(&first, Name::ContentType);
    assert_eq!(content_type, "application/watcherinfo+xml");
    let (_, _, document) = shown(&first);
    assert!(document.contains("version=\"0\" state=\"full\""));
    assert_valid(&document);

    Dialog::open(&mut alice, BOB, 600, "");
    assert_eq!(state(&mut alice), ("pending".to_owned(), 0));
    let pending = bob.notify();
    assert_eq!(elements(&pending), [format!("pending subscribe {ALICE}")]);
    assert!(
        shown(&pending)
            .2
            .contains("version=\"1\" state=\"partial\"")
    );
    assert_valid(&shown(&pending).2);
    let list = said(&watchers(&server, &["list", BOB]));
    assert!(
        list.starts_with(&format!("{BOB} {ALICE} pending until 20")),
        "{list}"
    );

    let allowed = said(&watchers(&server, &["allow", BOB, ALICE]));
    assert_eq!(
        allowed,
        format!("{ALICE} at {BOB}: allow, 1 subscription\n")
    );
    let (word, length) = state(&mut alice);
    assert_eq!((word.as_str(), length > 100), ("active", true));
    assert_eq!(
        elements(&bob.notify()),
        [format!("active approved {ALICE}")]
    );

    said(&watchers(&server, &["block", BOB, ALICE]));
    assert_eq!(
        state(&mut alice),
        ("terminated;reason=rejected".to_owned(), 0)
    );
    let rejected = bob.notify();
    assert_eq!(
        elements(&rejected),
        [format!("terminated rejected {ALICE}")]
    );
    assert_valid(&shown(&rejected).2);
    let head = format!("Event: presence\nContact: {}\n", contact(&alice));
    let refused = alice.ask("SUBSCRIBE", BOB, &head, "");
    assert_eq!(code(&refused), 403);
    server.assert_well();
}

#[test]
fn decisions_and_those_that_wait_are_there_after_a_power_cut() {
    let mut server = server("confirm");
    let mut alice = server.by_udp().named(ALICE);
    let head = format!(
        "Event: presence\nExpires: 0\nContact: {}\n",
        contact(&alice)
    );
    assert_eq!(code(&alice.ask("SUBSCRIBE", BOB, &head, "")), 200);
    assert_eq!(
        state(&mut alice),
        ("terminated;reason=timeout".to_owned(), 0)
    );
    said(&watchers(
        &server,
        &["polite-block", BOB, "sip:carol@example.com"],
    ));
    server.cut_power();
    let list = said(&watchers(&server, &["list"]));
    let lines: Vec<&str> = list.lines().collect();
    assert!(
        lines[0].starts_with(&format!("{BOB} {ALICE} waiting since 20")),
        "{list}"
    );
    let carol = format!("{BOB} sip:carol@example.com not there, decided: polite-block, 20");
    assert!(lines[1].starts_with(&carol), "{list}");

    // Carol sees what she would if nothing were published; this server tells nothing then.
    let mut desk = server.by_udp();
    published(&mut desk, BOB, "", &pidf(BOB, "t", "open", ""));
    let mut carol = server.by_udp().named("sip:carol@example.com");
    Dialog::open(&mut carol, BOB, 600, "");
    assert_eq!(state(&mut carol), ("active".to_owned(), 0));
    said(&watchers(&server, &["allow", BOB, "sip:carol@example.com"]));
    let (word, length) = state(&mut carol);
    assert_eq!((word.as_str(), length > 100), ("active", true));
    said(&watchers(
        &server,
        &["forget", BOB, "sip:carol@example.com"],
    ));
    assert_eq!(state(&mut carol), ("pending".to_owned(), 0));
}

#[test]
fn only_the_presentity_watches_its_watchers() {
    let server = server("allow");
    let mut alice = server.by_udp().named(ALICE);
    let head = format!("{WINFO}Contact: {}\n", contact(&alice));
    assert_eq!(code(&alice.ask("SUBSCRIBE", BOB, &head, "")), 403);
    let head = format!(
        "Event: presence.winfo.winfo\nContact: {}\n",
        contact(&alice)
    );
    let refused = alice.ask("SUBSCRIBE", ALICE, &head, "");
    assert_eq!(code(&refused), 489);
    let known = text(&refused, Name::AllowEvents);
    assert_eq!(known, "presence, presence.winfo");
    let publish = "Event: presence.winfo\nContent-Type: application/watcherinfo+xml\n";
    assert_eq!(code(&alice.ask("PUBLISH", ALICE, publish, "<x/>")), 489);
}

#[test]
fn the_command_says_what_is_wrong() {
    let server = server("allow");
    let elsewhere = watchers(&server, &["allow", "sip:a@example.org", ALICE]);
    assert_eq!(elsewhere.status.code(), Some(1));
    let sentence = String::from_utf8_lossy(&elsewhere.stderr).into_owned();
    assert_eq!(sentence, "rollcall: example.org is not served here\n");
    let wrong = watchers(&server, &["allow", "bob", ALICE]);
    assert_eq!(wrong.status.code(), Some(2));
    let nobody = Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .args(["watchers", "list", "--control", "/nowhere/control"])
        .output()
        .expect("it runs");
    assert_eq!(nobody.status.code(), Some(1));
    let sentence = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(
        sentence.starts_with("rollcall: no server answers at /nowhere/control: "),
        "{sentence}"
    );
}
