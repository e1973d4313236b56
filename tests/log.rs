//! What the log says: nothing of a packet unless asked, and when asked, spans in SIP's words.

use crate::support::process::Process;
use crate::support::sip::Client;

const PRESENTITY: &str = "sip:alice@example.com";

fn server(more: &[&str]) -> (Process, Client) {
    let mut arguments = vec![
        "server",
        "--listen",
        "udp:127.0.0.1:0",
        "--domain",
        "example.com",
        "--store",
        "memory:",
        "--auth",
        "off",
    ];
    arguments.extend(more);
    let server = Process::rollcall(&arguments);
    let client = Client::new(server.listening("udp"));
    (server, client)
}

fn request(client: &Client, method: &str, cseq: u32, head: &str, body: &str) {
    let (own, length) = (client.address(), body.len());
    client.send(&format!(
        "{method} {PRESENTITY} SIP/2.0\nVia: SIP/2.0/UDP {own};branch=z9hG4bKlog{cseq};rport\nMax-Forwards: 70\n\
         From: <sip:bob@example.com>;tag=log\nTo: <{PRESENTITY}>\nCall-ID: {method}-log\nCSeq: {cseq} {method}\n\
         Event: presence\n{head}Content-Length: {length}\n\n{body}"
    ));
}

fn publish(client: &Client, cseq: u32) {
    let body = format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{PRESENTITY}\"><tuple id=\"a\"><status>\
         <basic>open</basic></status></tuple></presence>"
    );
    let head = "Content-Type: application/pidf+xml\nExpires: 60\n";
    request(client, "PUBLISH", cseq, head, &body);
}

fn fetch(client: &Client, cseq: u32) {
    let contact = client.address();
    let head = format!("Contact: <sip:bob@{contact}>\nExpires: 0\n");
    request(client, "SUBSCRIBE", cseq, &head, "");
}

/// The fields of a log line and of its span.
type Fields = std::collections::BTreeMap<String, String>;

fn fields(line: &str) -> Option<Fields> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let mut fields = Fields::new();
    let mut take = |object: &serde_json::Value| {
        for (name, value) in object.as_object().into_iter().flatten() {
            let text = value.as_str().map_or(value.to_string(), str::to_owned);
            fields.insert(name.clone(), text);
        }
    };
    take(&line["span"]);
    take(&line);
    Some(fields)
}

/// Waits for a line within a span of this name whose fields have these values.
fn wait_for(server: &Process, span: &str, wanted: &[(&str, &str)]) -> Fields {
    let found = |line: &str| {
        let fields = fields(line)?;
        let has = |(name, value): &(&str, &str)| {
            fields
                .get(*name)
                .is_some_and(|own| own == value || *value == "*")
        };
        let within = fields.get("name").is_some_and(|name| name == span);
        (within && wanted.iter().all(has)).then_some(fields)
    };
    let line = server.wait_for(&format!("{span} {wanted:?}"), |line| found(line).is_some());
    found(&line).expect("it was found")
}

#[test]
fn as_json_each_transaction_and_change_is_told_in_sips_words() {
    let (server, mut client) = server(&["--log", "rollcall=debug", "--log-format", "json"]);
    publish(&client, 1);
    client.response(1);
    fetch(&client, 2);
    client.response(2);
    client.notify();

    let answer = wait_for(
        &server,
        "server_transaction",
        &[
            ("method", "PUBLISH"),
            ("presentity", PRESENTITY),
            ("call_id", "PUBLISH-log"),
            ("branch", "z9hG4bKlog1"),
            ("status", "200"),
            ("reason", "OK"),
            ("etag", "*"),
        ],
    );
    let etag = answer["etag"].as_str();
    wait_for(
        &server,
        "publication",
        &[("presentity", PRESENTITY), ("etag", etag)],
    );
    wait_for(
        &server,
        "subscription",
        &[("presentity", PRESENTITY), ("call_id", "SUBSCRIBE-log")],
    );
    wait_for(
        &server,
        "client_transaction",
        &[
            ("method", "NOTIFY"),
            ("presentity", PRESENTITY),
            ("call_id", "SUBSCRIBE-log"),
            ("branch", "*"),
            ("status", "200"),
        ],
    );

    let uri = format!("sip:{}", server.listening("udp"));
    let mut watcher = Process::rollcall(&["watch", PRESENTITY, "--once", "--server", &uri]);
    assert!(watcher.ended().success());
    wait_for(
        &server,
        "subscription",
        &[
            ("presentity", PRESENTITY),
            ("message", "ended"),
            ("reason", "timeout"),
        ],
    );

    // What the endpoint answers by itself is in no transaction, and is told nevertheless.
    request(&client, "MESSAGE", 3, "", "");
    client.response(3);
    server.wait_for("the endpoint's own answer", |line| {
        line.contains("\"answered by the endpoint\"") && line.contains("\"Method Not Allowed\"")
    });
}

#[test]
fn for_people_a_line_says_the_same() {
    let (server, mut client) = server(&["--log", "rollcall=debug"]);
    publish(&client, 1);
    client.response(1);
    let line = server.wait_for("the answer", |line| {
        line.contains("server_transaction{") && line.contains("status=200")
    });
    for field in [
        "method=\"PUBLISH\"",
        "presentity=\"sip:alice@example.com\"",
        "branch=\"z9hG4bKlog1\"",
        "reason=\"OK\"",
    ] {
        assert!(line.contains(field), "{field} is missing: {line}");
    }
}

#[test]
fn nothing_of_a_packet_is_told_unless_it_is_asked_for() {
    let (mut server, mut client) = server(&["--shards", "1"]);
    // The log and what is said to people come over two pipes: that it listens says nothing about the log.
    server.wait_for("the start", |line| line.contains("registry started"));
    let before = server.lines().len();
    for round in 0..20 {
        // First, so that the answers behind it tell that it has come.
        client.send("no SIP at all\n\n");
        publish(&client, 10 * round + 1);
        client.response(10 * round + 1);
        fetch(&client, 10 * round + 2);
        client.response(10 * round + 2);
        client.notify();
        request(&client, "MESSAGE", 10 * round + 3, "", "");
        client.response(10 * round + 3);
    }
    server.signal("TERM");
    assert!(server.ended().success());
    let lines = server.lines();
    let told: Vec<_> = lines[before..]
        .iter()
        .filter(|line| line.contains(" INFO ") || line.contains(" WARN ") || line.contains("ERROR"))
        .collect();
    assert!(told.is_empty(), "{told:?}");
    // They are counted all the same.
    let all = lines[before..].join("\n");
    assert!(all.contains("unreadable=20"), "{all}");
}
