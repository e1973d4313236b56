//! PROTOS c07-sip at a running server, over UDP and TCP: each case as the INVITE that it is, as a PUBLISH and as a SUBSCRIBE.
//!
//! What each of them means is nobody's concern; that a valid request right behind it is answered within the 2 s of the
//! manifest, that nothing panics, and that memory does not grow with them, is.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::{count, folder, tell, unpacked};
use crate::server::kit::Server;

/// Nothing larger goes into a datagram.
const LARGEST_DATAGRAM: usize = 65_507;
const METHODS: [&str; 3] = ["INVITE", "PUBLISH", "SUBSCRIBE"];

/// The messages of a case, as they are in the corpus: the one that starts it, and the one that tears it down.
struct Case {
    name: String,
    messages: Vec<Vec<u8>>,
}

fn cases() -> Vec<Case> {
    let Some(corpus) = folder("protos-c07-sip") else {
        return Vec::new();
    };
    let archive = corpus.join("testcases.tar.xz");
    let unpacked = unpacked(&archive, ("tar -xJf", "xz-utils"), "-C");
    let files = fs::read_dir(unpacked.path().join("testcases")).expect("the cases");
    let mut cases: Vec<Case> = files
        .map(|file| {
            let path = file.expect("a case").path();
            let raw = fs::read(&path).expect("a case");
            Case {
                name: path
                    .file_name()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned(),
                messages: messages(&raw),
            }
        })
        .collect();
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(
        cases.len(),
        count("protos-c07-sip"),
        "the cases of the corpus"
    );
    cases
}

/// Reads `LENGTH message`, one after the other.
fn messages(mut raw: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while !raw.is_empty() {
        let space = raw.iter().position(|byte| *byte == b' ').expect("a length");
        let length = std::str::from_utf8(&raw[..space]).expect("a number");
        let length: usize = length.parse().expect("a number");
        let (message, rest) = raw[space + 1..].split_at(length);
        messages.push(message.to_vec());
        raw = rest;
    }
    messages
}

/// A message of the corpus as it goes on the wire: another method in place of INVITE, and all that it leaves open filled in.
fn fill(message: &[u8], method: &str, number: usize, local: SocketAddr) -> Vec<u8> {
    let body =
        find(message, b"\r\n\r\n").map_or(&message[message.len()..], |at| &message[at + 4..]);
    let length = substitute(body, method, number, local, 0).len();
    substitute(message, method, number, local, length)
}

fn substitute(
    message: &[u8],
    method: &str,
    number: usize,
    local: SocketAddr,
    length: usize,
) -> Vec<u8> {
    let (ip, number) = (local.ip().to_string(), number.to_string());
    let event = match method {
        "INVITE" => "\r\nVia:".to_owned(),
        _ => "\r\nEvent: presence\r\nVia:".to_owned(),
    };
    let values = [
        ("INVITE", method.to_owned()),
        ("\r\nVia:", event),
        ("<From-Address>", ip.clone()),
        ("<From-IP>", ip),
        ("<Local-Port>", local.port().to_string()),
        ("<Branch-ID>", number.clone()),
        ("<Call-ID>", number.clone()),
        ("<CSeq>", number),
        ("<Teardown-Method>", "CANCEL".to_owned()),
        ("<Content-Length>", length.to_string()),
        ("<From>", format!("peer@{local}")),
        ("<To>", "bob@example.com".to_owned()),
    ];
    let mut filled = Vec::with_capacity(message.len() + 200);
    let mut rest = message;
    while let Some(first) = rest.first() {
        let found = values
            .iter()
            .find(|(open, _)| rest.starts_with(open.as_bytes()));
        match found {
            Some((open, value)) => {
                filled.extend_from_slice(value.as_bytes());
                rest = &rest[open.len()..];
            }
            None => {
                filled.push(*first);
                rest = &rest[1..];
            }
        }
    }
    filled
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn run(transport: &str) {
    let cases = cases();
    if cases.is_empty() {
        return;
    }
    let server = Server::with(1, "");
    let phone = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let local = phone.local_addr().expect("an address");
    let mut neighbour = match transport {
        "udp" => server.by_udp(),
        _ => server.by_tcp(),
    };
    let mut sizes = Vec::new();
    let (mut number, mut too_large) = (0, 0);
    for _round in 0..2 {
        for method in METHODS {
            for case in &cases {
                number += 1;
                let wired = case.messages.iter();
                let wired: Vec<_> = wired.map(|raw| fill(raw, method, number, local)).collect();
                if transport == "udp" {
                    for message in &wired {
                        if message.len() > LARGEST_DATAGRAM {
                            too_large += 1;
                            continue;
                        }
                        phone
                            .send_to(message, server.udp)
                            .expect("loopback takes it");
                    }
                } else {
                    let mut stream = TcpStream::connect(server.tcp).expect("the server listens");
                    let limit = Some(Duration::from_secs(5));
                    stream.set_write_timeout(limit).expect("a limit");
                    // The server may give the stream up while it is written.
                    let _ = stream.write_all(&wired.concat());
                }
                let begun = Instant::now();
                neighbour.fence();
                let waited = begun.elapsed();
                assert!(
                    waited < Duration::from_secs(2),
                    "{} as {method}: {waited:?}",
                    case.name
                );
            }
        }
        sizes.push(server.resident());
    }
    if too_large > 0 {
        tell(&format!(
            "{too_large} of {} PROTOS messages do not fit into a datagram",
            number * 2
        ));
    }
    assert!(
        sizes[1] < sizes[0] + 32 * 1024,
        "resident KiB after each round: {sizes:?}"
    );
    server.assert_well();
}

#[test]
fn protos_cases_by_datagram_keep_nobody_from_being_answered() {
    run("udp");
}

#[test]
fn protos_cases_by_stream_keep_nobody_from_being_answered() {
    run("tcp");
}
