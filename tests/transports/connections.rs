//! Who may connect, who goes first when room is short, and what is not waited for (docs/adr/0020).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rollcall::transport::tls::Files;
use socket2::{Domain, Socket, Type};

use super::{Connection, authority, path, server};
use crate::support::LIMIT;
use crate::support::process::Process;

const BOB: &str = "sip:bob@example.com";
const SUBSCRIBE: &str = "Event: presence\nContact: <sip:w@127.0.0.1;transport=tcp>\n";

/// A connection from this address of loopback.
fn connect(from: &str, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let own = SocketAddr::new(from.parse().expect("an address"), 0);
    socket.bind(&own.into()).expect("loopback has it");
    socket.connect(&to.into()).expect("it is listened there");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(LIMIT)).expect("a socket");
    stream
}

fn request(method: &str, number: u32, lines: &str) -> String {
    format!(
        "{method} {BOB} SIP/2.0\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK{method}{number}\nMax-Forwards: 70\n\
         From: <sip:w@example.com>;tag=t\nTo: <{BOB}>\nCall-ID: call\nCSeq: {number} {method}\n{lines}\
         Content-Length: 0\n\n"
    )
    .replace('\n', "\r\n")
}

/// What comes up to the end of the headers; empty if the connection is closed.
fn answer(stream: &mut TcpStream) -> String {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => text.push(byte[0]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("waited {LIMIT:?} in vain for an answer")
            }
            Ok(_) | Err(_) => break,
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn is_served(stream: &mut TcpStream, number: u32) -> bool {
    // A closed connection may show when written to.
    let asked = stream.write_all(request("OPTIONS", number, "").as_bytes());
    asked.is_ok() && answer(stream).starts_with("SIP/2.0 200")
}

/// Subscribes; the NOTIFY that follows is read as well. The tag of the dialog.
fn subscribe(stream: &mut TcpStream, number: u32, expires: u32, to: &str) -> String {
    let lines = format!("{SUBSCRIBE}Expires: {expires}\n");
    let asked = request("SUBSCRIBE", number, &lines)
        .replace(&format!("To: <{BOB}>"), &format!("To: <{BOB}>{to}"));
    stream.write_all(asked.as_bytes()).expect("it is taken");
    let (mut ok, mut notify) = (String::new(), String::new());
    for _ in 0..2 {
        let came = answer(stream);
        if came.starts_with("SIP/2.0 ") {
            ok = came;
        } else {
            notify = came;
        }
    }
    assert!(ok.starts_with("SIP/2.0 200"), "{ok}");
    agree(stream, &notify);
    let tag = header(&ok, "To").split_once(";tag=").expect("a tag").1;
    format!(";tag={tag}")
}

/// Reads the body of a NOTIFY and answers 200.
fn agree(stream: &mut TcpStream, notify: &str) {
    assert!(notify.starts_with("NOTIFY "), "{notify}");
    let length = header(notify, "Content-Length").parse().expect("a length");
    stream.read_exact(&mut vec![0; length]).expect("a body");
    let mut response = "SIP/2.0 200 OK\r\n".to_owned();
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        response += &format!("{name}: {}\r\n", header(notify, name));
    }
    stream
        .write_all(format!("{response}Content-Length: 0\r\n\r\n").as_bytes())
        .expect("it is taken");
}

fn header<'a>(text: &'a str, name: &str) -> &'a str {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// How long the server leaves a connection open over which `byte` comes now and then.
fn lives(stream: &mut TcpStream, byte: &[u8]) -> Duration {
    let start = Instant::now();
    let often = Duration::from_millis(100);
    stream.set_read_timeout(Some(often)).expect("a socket");
    loop {
        assert!(start.elapsed() < LIMIT, "it stays open");
        match stream.read(&mut [0; 512]) {
            Ok(0) => return start.elapsed(),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if stream.write_all(byte).is_err() {
                    return start.elapsed();
                }
            }
            Err(_) => return start.elapsed(),
        }
    }
}

/// A counter of the endpoints of two shards as SIGUSR1 shows it, summed.
fn counter(server: &Process, name: &str) -> u64 {
    let mut from = server.lines().len();
    server.signal("USR1");
    let mut sum = 0;
    for prefix in ["endpoint 0:", "endpoint 1:"] {
        let line;
        (from, line) = server.wait_for_from(from, prefix, |line| line.starts_with(prefix));
        let counts = line.split(' ').filter_map(|pair| pair.split_once('='));
        let own = counts.filter(|(own, _)| own.rsplit('.').next() == Some(name));
        sum += own
            .filter_map(|(_, value)| value.parse::<u64>().ok())
            .sum::<u64>();
    }
    sum
}

#[test]
fn one_address_fills_all_places_and_others_get_in_and_are_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = "shards = 2\n[limits]\nconnections = 60\n";
    let server = server(folder.path(), &["tcp"], lines);
    let address = server.listening("tcp");
    let mut watcher = connect("127.0.0.9", address);
    subscribe(&mut watcher, 1, 600, "");
    let greedy: Vec<TcpStream> = (0..200).map(|_| connect("127.0.0.2", address)).collect();
    let served = (0..105).filter(|number| {
        let mut other = connect("127.0.0.3", address);
        is_served(&mut other, *number)
    });
    assert_eq!(served.count(), 105);
    assert!(is_served(&mut watcher, 2), "a subscription holds its place");
    server.wait_for("a warning", |line| line.contains("an idle one is closed"));
    assert!(counter(&server, "connections_displaced") >= 140);
    assert_eq!(counter(&server, "connections_refused"), 0);
    drop(greedy);
}

#[test]
fn an_address_has_a_share_and_who_has_used_it_up_learns_it_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = "shards = 2\n[limits.source]\nconnections = 3\nloopback = true\n";
    let server = server(folder.path(), &["tcp"], lines);
    let address = server.listening("tcp");
    let mut held = Vec::new();
    for number in 0..3 {
        let mut stream = connect("127.0.0.2", address);
        subscribe(&mut stream, number, 600, "");
        held.push(stream);
    }
    assert!(!is_served(&mut connect("127.0.0.2", address), 5));
    let line = server.wait_for("a reason", |line| line.contains("a connection is refused"));
    assert!(
        line.contains("127.0.0.2") && line.contains("its share"),
        "{line}"
    );
    assert_eq!(counter(&server, "connections_refused"), 1);
    assert!(is_served(&mut connect("127.0.0.3", address), 6));
    assert!(held.iter_mut().all(|stream| is_served(stream, 7)));
}

#[test]
fn idle_connections_are_closed_and_those_that_carry_something_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = "shards = 2\n[limits]\nconnection_idle = \"1s\"\n";
    let server = server(folder.path(), &["tcp"], lines);
    let address = server.listening("tcp");
    let mut watcher = connect("127.0.0.1", address);
    let tag = subscribe(&mut watcher, 1, 600, "");
    let mut publisher = connect("127.0.0.1", address);
    let document = crate::support::sip::pidf(BOB, "open", "");
    let publish = request(
        "PUBLISH",
        1,
        "Event: presence\nContent-Type: application/pidf+xml\n",
    );
    let length = format!("Content-Length: {}", document.len());
    let publish = publish.replace("Content-Length: 0", &length) + &document;
    publisher
        .write_all(publish.as_bytes())
        .expect("it is taken");
    assert!(answer(&mut publisher).starts_with("SIP/2.0 200"));
    let mut registered = connect("127.0.0.1", address);
    let register = request("REGISTER", 1, "Contact: <sip:b@127.0.0.1;transport=tcp>\n");
    let register = register.replace(&format!("REGISTER {BOB}"), "REGISTER sip:example.com");
    registered
        .write_all(register.as_bytes())
        .expect("it is taken");
    assert!(answer(&mut registered).starts_with("SIP/2.0 200"));
    for (greets, keep_alive) in [(false, &b""[..]), (true, b""), (true, b"\r\n\r\n")] {
        let mut stream = connect("127.0.0.1", address);
        assert!(!greets || is_served(&mut stream, 3));
        let lived = lives(&mut stream, keep_alive);
        assert!(
            lived > Duration::from_millis(700) && lived < LIMIT / 3,
            "{lived:?}"
        );
    }
    assert!(counter(&server, "connections_idle") >= 3);
    // Three times as long: they are there. What came to the watcher meanwhile is one NOTIFY.
    assert!(is_served(&mut publisher, 4));
    let change = answer(&mut watcher);
    agree(&mut watcher, &change);
    assert!(is_served(&mut registered, 4));
    assert!(is_served(&mut watcher, 4));
    // Without its subscription it goes as well.
    subscribe(&mut watcher, 5, 0, &tag);
    let lived = lives(&mut watcher, b"");
    assert!(
        lived > Duration::from_millis(700) && lived < LIMIT / 3,
        "{lived:?}"
    );
}

#[test]
fn what_begins_and_does_not_end_is_closed_in_time_on_each_transport() {
    let (folder, authority, ca) = authority();
    let certificate = folder.path().join("server.pem");
    authority.issue(&certificate, &["localhost"]);
    let lines = format!(
        "shards = 2\n[limits]\nmessage_time = \"2s\"\n[tls]\ncertificate = \"{}\"\n",
        path(&certificate)
    );
    let server = server(folder.path(), &["tcp", "tls", "ws", "wss"], &lines);
    let [tcp, tls, ws, wss] = ["tcp", "tls", "ws", "wss"].map(|kind| server.listening(kind));
    let in_time = |lived: Duration, what: &str| {
        let limits = Duration::from_millis(1500)..Duration::from_secs(10);
        assert!(limits.contains(&lived), "{what}: {lived:?}");
    };
    let head = "OPTIONS sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1";
    let body = request("OPTIONS", 1, "").replace("Content-Length: 0", "Content-Length: 9000");
    let upgrade = "GET / HTTP/1.1\r\nHost: here\r\n";
    // The first bytes of a ClientHello.
    let hello = "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0";
    for (what, address, text, more) in [
        ("half a head", tcp, head, &b""[..]),
        ("a head that trickles", tcp, head, b"x"),
        ("half a body", tcp, &body, b""),
        ("a body that trickles", tcp, &body, b"x"),
        ("half a TLS handshake", tls, hello, b""),
        ("no TLS handshake", tls, "", b""),
        ("half an upgrade", ws, upgrade, b""),
        ("an upgrade that trickles", ws, upgrade, b"x"),
        ("half a TLS handshake for a WebSocket", wss, hello, b""),
    ] {
        let mut stream = connect("127.0.0.1", address);
        stream.write_all(text.as_bytes()).expect("it is taken");
        in_time(lives(&mut stream, more), what);
    }
    // A first fragment, with pings behind it; and a part of a frame.
    let fragment = [&[0x01, 0x87, 0, 0, 0, 0][..], b"OPTIONS"].concat();
    for (what, begun, more) in [
        ("a fragment", &fragment[..], &b""[..]),
        ("a fragment and pings", &fragment, &[0x89, 0x80, 0, 0, 0, 0]),
        ("half a frame", &fragment[..9], b""),
    ] {
        let mut stream = web_socket(ws);
        stream.write_all(begun).expect("it is taken");
        in_time(lives(&mut stream, more), what);
    }
    assert!(counter(&server, "messages_unfinished") >= 7);
    assert!(counter(&server, "handshakes_failed") >= 5);
    // Whoever ends what it begins is served.
    let files = Files {
        authorities: Some(ca),
        ..Files::default()
    };
    let mut peer = Connection::tls(tls, &files).expect("a connection");
    assert_eq!(
        peer.ask("OPTIONS", BOB, "", "")
            .status()
            .map(|status| status.code()),
        Some(200)
    );
    assert!(is_served(&mut connect("127.0.0.1", tcp), 9));
}

/// A WebSocket by hand, upgraded.
fn web_socket(address: SocketAddr) -> TcpStream {
    let mut stream = connect("127.0.0.1", address);
    let upgrade = "GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Protocol: sip\r\n\r\n";
    stream.write_all(upgrade.as_bytes()).expect("it is taken");
    let agreed = answer(&mut stream);
    assert!(agreed.starts_with("HTTP/1.1 101"), "{agreed}");
    stream
}

#[test]
fn without_file_descriptors_idle_connections_go_and_the_next_one_is_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("server.toml");
    let text = "listen = \"tcp:127.0.0.1:0\"\nstore = \"memory:\"\nshards = 2\n";
    std::fs::write(&config, text).expect("a file");
    let server = Process::shell(
        folder.path(),
        "ulimit -n 128; exec rollcall server --config server.toml",
    );
    server.wait_for("a warning", |line| {
        line.contains("allows 128 file descriptors")
    });
    let address = server.listening("tcp");
    let greedy: Vec<TcpStream> = (0..200).map(|_| connect("127.0.0.2", address)).collect();
    let served = (0..20).filter(|number| is_served(&mut connect("127.0.0.3", address), *number));
    assert_eq!(served.count(), 20);
    server.wait_for("a reason", |line| line.contains("could not be accepted"));
    drop(greedy);
}

fn manager(folder: &Path) -> Process {
    let config = folder.join("manager.toml");
    let text = "listen = \"127.0.0.1:0\"\nstate = \"\"\n[limits]\nconnections = 4\n\
                [limits.source]\nconnections = 2\nloopback = true\n";
    std::fs::write(&config, text).expect("a file");
    Process::rollcall(&["manager", "--config", path(&config)])
}

fn document(stream: &mut TcpStream) -> String {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(b"</xml>") {
        match stream.read(&mut byte) {
            Ok(1) => text.push(byte[0]),
            Ok(_) | Err(_) => break,
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn a_manager_gives_each_address_a_share_and_places_of_the_silent_to_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let manager = manager(folder.path());
    let address = manager.listening("manager");
    let greet = |from: &str| {
        let mut peer = connect(from, address);
        let hello = b"<xml><type>SOURCE</type></xml>";
        peer.write_all(hello).expect("it is taken");
        let said = document(&mut peer);
        (peer, said)
    };
    let mut silent: Vec<TcpStream> = (0..9).map(|_| connect("127.0.0.2", address)).collect();
    // They are two at a time; the first one has gone for the others.
    assert!(document(&mut silent[0]).contains("said nothing"));
    let sessions: Vec<_> = (0..2).map(|_| greet("127.0.0.2")).collect();
    assert!(sessions.iter().all(|(_, said)| said.contains("WELCOME")));
    let (_, said) = greet("127.0.0.2");
    assert!(said.contains("too many connections"), "{said}");
    manager.wait_for("a reason", |line| {
        line.contains("turned away") && line.contains("127.0.0.2")
    });
    let (_peer, said) = greet("127.0.0.3");
    assert!(said.contains("WELCOME"), "{said}");
}
