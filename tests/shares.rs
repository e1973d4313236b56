//! Nobody has it all: shares of addresses, and the budget of memory, of a server in a process of its own.

use std::net::UdpSocket;
use std::path::Path;

use rollcall::core::sip::{Message, Name};

use crate::support::process::Process;
use crate::support::sip::{Client, code, pidf};

/// A server with these limits.
fn server(folder: &Path, limits: &str) -> Process {
    let config = folder.join("server.toml");
    let text = format!(
        "listen = \"udp:127.0.0.1:0\"\nstore = \"memory:\"\nshards = 2\n[notify]\npacing = \"0s\"\n[limits]\n{limits}"
    );
    std::fs::write(&config, text).expect("a file");
    Process::rollcall(&["server", "--config", config.to_str().expect("a plain path")])
}

/// Bytes that a process has in memory.
fn resident(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()));
    let status = status.expect("a living process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix("kB"));
    number
        .and_then(|number| number.trim().parse::<u64>().ok())
        .expect("a number")
        * 1024
}

fn header(message: &Message, name: Name) -> String {
    message.text(name).unwrap_or_default().into_owned()
}

#[test]
fn one_who_subscribes_to_invented_names_takes_no_room_from_those_who_publish() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = "presentities = 2\n[limits.source]\nloopback = true\nsubscriptions = 5\n";
    let server = server(folder.path(), limits);
    let address = server.listening("udp");
    let mut greedy = Client::new(address);
    let answers: Vec<u16> = (0..8)
        .map(|number| code(&greedy.subscribe(&format!("sip:invented{number}@example.com"))))
        .collect();
    assert_eq!(answers, [200, 200, 200, 200, 200, 403, 403, 403]);
    // Another address: there is room for two presentities in the node, on whatever shards they lie.
    let mut bob = Client::on(UdpSocket::bind("127.0.0.2:0").expect("loopback has it"));
    bob.speak_to(address);
    let mut answers = Vec::new();
    for number in 0..3 {
        let presentity = format!("sip:bob{number}@example.com");
        answers.push(code(&bob.publish(
            &presentity,
            None,
            &pidf(&presentity, "open", ""),
        )));
    }
    assert_eq!(answers, [200, 200, 503]);
    assert_eq!(code(&bob.subscribe("sip:bob0@example.com")), 200);
}

#[test]
fn documents_take_no_more_memory_than_there_is_for_them_and_what_exists_goes_on() {
    const BUDGET: u64 = 48 << 20;
    let folder = tempfile::tempdir().expect("a folder");
    let server = server(folder.path(), "memory = \"48 MiB\"\n");
    let mut bob = Client::new(server.listening("udp"));
    let note = "x".repeat(55_000);
    let presentity = |number: u32| format!("sip:p{number}@example.com");
    let first = bob.publish(&presentity(0), None, &pidf(&presentity(0), "open", &note));
    let before = resident(&server);
    let tag = |answer: &Message| header(answer, Name::SipEtag);
    let mut tags = vec![tag(&first)];
    let refused = loop {
        let taken = tags.len() as u32;
        let name = presentity(taken);
        let answer = bob.publish(&name, None, &pidf(&name, "open", &note));
        if code(&answer) != 200 {
            break answer;
        }
        tags.push(tag(&answer));
        assert!(u64::from(taken) * 55_000 < 2 * BUDGET, "it never ends");
    };
    assert_eq!(code(&refused), 503);
    assert_eq!(header(&refused, Name::RetryAfter), "5");
    let grown = resident(&server).saturating_sub(before);
    assert!(
        (BUDGET * 7 / 10..BUDGET * 13 / 10).contains(&grown),
        "{grown} bytes more in memory, for a budget of {BUDGET}"
    );
    server.wait_for("a warning", |line| line.contains("memory is used up"));
    // Refreshed, made smaller, and some ended, more than shards keep to themselves of what they count; then there is room.
    let again = bob.publish(&presentity(0), Some(&tags[0]), "");
    assert_eq!(code(&again), 200);
    let less = pidf(&presentity(0), "closed", "");
    let again = bob.publish(&presentity(0), Some(&tag(&again)), &less);
    assert_eq!(code(&again), 200);
    for (number, tag) in (0..).zip(&tags).skip(1).take(8) {
        let lines = format!("Event: presence\nExpires: 0\nSIP-If-Match: {tag}\n");
        let cseq = bob.request("PUBLISH", &presentity(number), &lines, "");
        assert_eq!(code(&bob.response(cseq)), 200);
    }
    assert_eq!(code(&bob.subscribe(&presentity(1))), 200);
}
