//! Bad input at every door of a running system: its sender is told, nobody else notices.
//!
//! ```text
//!  malformed XML ──> manager ──> client ──> server <── garbage by UDP and TCP
//!  malformed .ics ─────┘                       └──> rollcall watch: goes on
//! ```

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;

use super::BOB;
use crate::support::LIMIT;
use crate::support::process::Process;
use crate::support::sip::{Client, code};
use crate::support::source::Source;

const CAROL: &str = "sip:carol@example.com";

/// An all-day event of every day, so that it is always on.
fn calendar(summary: &str) -> String {
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VEVENT\r\nUID:1@test\r\nDTSTAMP:20260101T000000Z\r\n\
         DTSTART;VALUE=DATE:20260101\r\nRRULE:FREQ=DAILY\r\nSUMMARY:{summary}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
}

fn run(folder: &Path) -> Process {
    let calendars = folder.join("calendars");
    std::fs::create_dir(&calendars).expect("a folder");
    std::fs::write(calendars.join("carol.ics"), calendar("first")).expect("a file");
    // One is broken from the start.
    std::fs::write(
        calendars.join("dave.ics"),
        "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nnonsense",
    )
    .expect("a file");
    std::fs::write(
        folder.join("all.toml"),
        "[server]\nlisten = [\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\"]\n[manager]\nlisten = \"127.0.0.1:0\"\n\
         [[manager.source.calendar]]\npath = \"calendars\"\npresentity = \"sip:{name}@example.com\"\nrefresh = \"1s\"\n",
    )
    .expect("a file");
    let process = Process::rollcall_in(folder, &["run", "--config", "all.toml"]);
    process.wait_for("the commands to try", |line| line.starts_with("  printf"));
    process
}

/// A source goes on and the watcher is told.
fn flows(source: &mut Source, watch: &Process, seq: u64) {
    let note = format!("word-{seq}");
    source.say(BOB, Some(seq), &note);
    source.published();
    watch.wait_for(&note, |line| line.contains(&format!("[\"{note}\"]")));
}

/// What a stream gets until it is closed by the other side.
fn answers_until_closed(at: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(at).expect("it listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a socket");
    // The other side may close before all is written.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn bad_input_at_every_door_costs_nobody_else_anything() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = run(folder.path());
    let (manager, udp, tcp) = (
        run.listening("manager"),
        run.listening("udp"),
        run.listening("tcp"),
    );
    let server = format!("sip:{udp}");
    let watch = Process::rollcall(&["watch", BOB, CAROL, "--server", &server, "--json"]);
    let mut source = Source::new(manager);
    flows(&mut source, &watch, 1);
    watch.wait_for("carol's calendar", |line| {
        line.contains(CAROL) && line.contains("\"document\"")
    });

    // XML: the sender gets an ERROR or a NAK and may go on; one that has lost its place is let go.
    let mut bad = Source::new(manager);
    for (wrong, answer) in [
        ("<xml><type>PRESENCE</typo></xml>\n", "ERROR"),
        (
            "<xml><type>PRESENCE</type><basic>open</basic></xml>\n",
            "ERROR",
        ),
        (
            "<xml><type>PRESENCE</type><seq>1</seq><entity>sip:a@example.com</entity><basic>ajar</basic></xml>\n",
            "NAK",
        ),
        ("<xml><type>COFFEE</type></xml>\n", "ERROR"),
    ] {
        bad.send(wrong);
        bad.expect(answer);
    }
    flows(&mut bad, &watch, 2);
    for wrong in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\0\x01\xff\xfe",
        b"<!DOCTYPE xml [<!ENTITY a \"b\">]><xml><type>SOURCE</type></xml>",
        b"<xml><type>SOURCE</type></xml><xml><type>PRESENCE</type><xml",
    ] {
        let mut stream = TcpStream::connect(manager).expect("it listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a socket");
        stream.write_all(wrong).expect("it reads");
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("a socket");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.contains("<type>ERROR</type>"), "{wrong:?}: {answer}");
    }
    flows(&mut source, &watch, 3);

    // SIP: what has a way back is answered 400, the rest is let be; a stream that has lost its place is closed.
    let noise = UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
    for wrong in [
        &b""[..],
        b"\r\n\r\n",
        b"\0\0\0\0",
        b"hello\r\n\r\n",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"PUBLISH sip:bob@example.com SIP/2.0\r\nVia: \r\n\r\n",
        &[0xff; 60_000],
    ] {
        noise.send_to(wrong, udp).expect("loopback takes it");
    }
    let mut client = Client::new(udp);
    let refused = client.request(
        "PUBLISH",
        BOB,
        "Event: presence\nContent-Type: application/pidf+xml\n",
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@example.com\"><tuple",
    );
    assert_eq!(code(&client.response(refused)), 400);
    for wrong in [
        &b"nonsense without an end of line, and then the end\r\n\r\n"[..],
        b"PUBLISH sip:bob@example.com SIP/2.0\r\nContent-Length: -5\r\n\r\n",
        b"PUBLISH sip:bob@example.com SIP/2.0\r\nContent-Length: 99999999999999999999\r\n\r\n",
        &[b'a'; 200_000],
    ] {
        let answer = answers_until_closed(tcp, wrong);
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    flows(&mut source, &watch, 4);

    // Calendars: a broken one costs its owner the change, and a good one beside it is read.
    let calendars = folder.path().join("calendars");
    std::fs::write(calendars.join("erin.ics"), b"\xff\xfe\0BEGIN:VCAL").expect("a file");
    std::fs::write(calendars.join("carol.ics"), calendar("second")).expect("a file");
    run.wait_for("a word about the broken calendar", |line| {
        line.contains("WARN") && line.contains("erin.ics")
    });
    watch.wait_for("carol's new calendar", |line| {
        line.contains(CAROL) && line.contains("second")
    });
    flows(&mut source, &watch, 5);
    let lines = run.lines();
    assert!(
        !lines.iter().any(|line| line.contains("panicked")),
        "{lines:#?}"
    );
}
