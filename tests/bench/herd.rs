//! `rollcall bench herd`: watchers that come back all at once, over real sockets.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};

use super::{Process, Value, bench, floor, report, server, text};

/// 300 watchers of 2 presentities each, of 20, subscribe, forget it, and are all back.
fn all_back(server: &Process, transport: &str) -> Value {
    let uri = format!("sip:{}", server.listening(transport));
    let pid = server.id().to_string();
    let arguments = ["herd", &uri, "--pid", &pid, "--transport", transport];
    let more = ["--presentities", "20", "--watchers", "300", "--each", "2"];
    let (output, report) = report(&[&arguments[..], &more, &["--settle", "0"]].concat());
    assert!(output.status.success(), "{report}");
    assert_eq!(report["load"], "herd");
    assert_eq!(report["subscriptions"], 600);
    assert_eq!(report["operations"], 600);
    assert_eq!(report["latency"]["count"], 600);
    assert_eq!(report["answer_latency"]["count"], 600);
    assert_eq!(report["completeness"]["watchers"], 600);
    assert_eq!(report["completeness"]["behind"], 0);
    assert_eq!(report["herd"]["watchers"], 300);
    assert_eq!(report["herd"]["each"], 2);
    let accepted = report["herd"]["until_accepted_seconds"].as_f64();
    assert!(accepted > Some(0.0), "{report}");
    assert!(report["herd"]["until_state_seconds"].as_f64() >= accepted);
    let is_connected = transport != "udp";
    let reconnected = &report["herd"]["reconnect_seconds"];
    assert_eq!(reconnected.is_number(), is_connected, "{report}");
    assert!(report["server_use"]["peak_kib"].as_u64() > Some(0));
    report
}

#[test]
fn a_herd_is_back_on_our_own_server_over_udp_and_tcp() {
    let server = server();
    all_back(&server, "udp");
    all_back(&server, "tcp");
}

#[test]
fn a_herd_is_back_on_the_yardstick() {
    all_back(&floor(), "udp");
}

/// A server by hand, until the test program ends. The first SUBSCRIBE of each dialog is refused for a moment, or for an hour once it has
/// seen as many as it likes; the second is accepted, and gets the state that was published last.
fn refusing(likes: usize) -> SocketAddr {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a free port");
    let address = socket.local_addr().expect("a bound socket");
    std::thread::spawn(move || {
        let (mut asked, mut bodies) = (BTreeMap::new(), BTreeMap::new());
        let mut datagram = [0; 65_535];
        while let Ok((length, source)) = socket.recv_from(&mut datagram) {
            let request = text(&datagram[..length]);
            let header = |name: &str| {
                let line = request.lines().find(|line| line.starts_with(name));
                line.unwrap_or_default().to_owned()
            };
            let kept = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].map(header);
            let kept = kept
                .join("\r\n")
                .replace("\r\nCall-ID", ";tag=t\r\nCall-ID");
            let presentity = header("To:");
            let say = |start: &str| {
                let answer = format!("SIP/2.0 {start}\r\n{kept}\r\nContent-Length: 0\r\n\r\n");
                // The peer may have gone.
                let _ = socket.send_to(answer.as_bytes(), source);
            };
            if request.starts_with("PUBLISH") {
                let (_, body) = request.split_once("\r\n\r\n").expect("a body");
                bodies.insert(presentity, body.to_owned());
                say("200 OK\r\nSIP-ETag: x");
            } else if request.starts_with("SUBSCRIBE") {
                let dialogs = asked.len();
                let count = asked.entry(header("Call-ID:")).or_insert(0);
                *count += 1;
                if *count == 1 {
                    let seconds = if dialogs < likes { "0 (busy)" } else { "3600" };
                    say(&format!(
                        "503 Service Unavailable\r\nRetry-After: {seconds}"
                    ));
                    continue;
                }
                say("200 OK\r\nContact: <sip:x@127.0.0.1>");
                let body = &bodies[&presentity];
                let notify = format!(
                    "NOTIFY sip:w SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\n{}\r\nCSeq: 1 NOTIFY\r\n\r\n{body}",
                    header("Call-ID:")
                );
                let _ = socket.send_to(notify.as_bytes(), source);
            }
        }
    });
    address
}

fn refused_by(server: SocketAddr) -> (std::process::Output, Value) {
    let uri = format!("sip:{server}");
    let more = ["--presentities", "3", "--watchers", "10", "--each", "2"];
    report(&[&["herd", &uri, "--settle", "0"][..], &more].concat())
}

#[test]
fn a_watcher_that_is_put_off_comes_again_and_is_no_failure() {
    let (output, report) = refused_by(refusing(usize::MAX));
    assert!(output.status.success(), "{report}");
    assert_eq!(report["refused"], 20);
    assert_eq!(report["operations"], 20);
    assert_eq!(report["retransmissions"], 0);
}

#[test]
fn a_watcher_that_is_put_off_for_longer_than_the_limit_has_failed() {
    // The set-up asks for 20, and half of the others may come again.
    let (output, report) = refused_by(refusing(30));
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert_eq!(report["failures"], serde_json::json!({ "503": 10 }));
    assert_eq!(report["refused"], 10);
    assert_eq!(report["operations"], 10);
    assert_eq!(report["herd"]["until_accepted_seconds"], Value::Null);
}

#[test]
fn people_are_told_when_all_were_back() {
    let server = floor();
    let uri = super::uri(&server);
    let arguments = ["herd", &uri, "--watchers", "2", "--each", "3"];
    let output = bench(&[&arguments[..], &["--settle", "0"]].concat())
        .output()
        .expect("it runs");
    let told = text(&output.stdout);
    assert!(output.status.success(), "{told}");
    for part in [
        " 1000 presentities, 6 subscriptions, all at once\n",
        "\nback            2 watchers of 3 each: all accepted after ",
        "\nuntil accepted  p50 ",
        " put off by 503; ",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn nobody_watches_more_presentities_than_there_are() {
    let arguments = [
        "herd",
        "sip:127.0.0.1",
        "--presentities",
        "3",
        "--each",
        "4",
    ];
    let output = bench(&arguments).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output.stderr);
    assert!(
        told.contains("--each: there are only 3 presentities"),
        "{told}"
    );
}
