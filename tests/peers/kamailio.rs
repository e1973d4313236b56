//! Our Presence Client against somebody else's presence server: Kamailio in memory mode.
//!
//! ```text
//!  source ── XML ──> rollcall manager ──> rollcall client ── PUBLISH ──> kamailio ── NOTIFY ──> a watcher by hand
//! ```

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use crate::support::LIMIT;
use crate::support::kamailio::Kamailio;
use crate::support::process::Process;
use crate::support::sip::Client;

#[test]
fn our_client_publishes_modifies_and_removes_at_kamailio() {
    let kamailio = Kamailio::start();
    for transport in ["udp", "tcp"] {
        let manager = Process::rollcall(&["manager", "--listen", "127.0.0.1:0"]);
        let manager_at = manager.listening("manager");
        let bob = format!("sip:bob-{transport}@{}", kamailio.address);
        let server = format!("sip:{};transport={transport}", kamailio.address);
        let mut client = Process::rollcall(&[
            "client",
            "--manager",
            &manager_at.to_string(),
            "--server",
            &server,
        ]);
        client.listening("udp");

        let mut watcher = Client::new(kamailio.address);
        let own = watcher.address();
        watcher.send(&format!(
            "SUBSCRIBE {bob} SIP/2.0\nVia: SIP/2.0/UDP {own};branch=z9hG4bKk1;rport\nMax-Forwards: 70\n\
             From: <sip:alice@example.com>;tag=k\nTo: <{bob}>\nCall-ID: k-{own}\nCSeq: 1 SUBSCRIBE\nContact: <sip:alice@{own}>\n\
             Event: presence\nAccept: application/pidf+xml\nExpires: 600\nContent-Length: 0\n\n"
        ));
        assert!(
            watcher
                .response(1)
                .status()
                .is_some_and(|status| status.is_success())
        );
        watcher.notify();

        let mut source = TcpStream::connect(manager_at).expect("the manager listens");
        source.set_read_timeout(Some(LIMIT)).expect("a socket");
        let mut answers = BufReader::new(source.try_clone().expect("a socket"))
            .lines()
            .map_while(Result::ok);
        writeln!(source, "<xml><type>SOURCE</type><id>test</id></xml>").expect("it reads");
        for (seq, activity) in [(1, "busy"), (2, "meeting")] {
            writeln!(
                source,
                "<xml><type>PRESENCE</type><seq>{seq}</seq><entity>{bob}</entity><basic>open</basic>\
                 <activity>{activity}</activity></xml>"
            )
            .expect("it reads");
            let answer = answers
                .find(|line| line.contains("ACK") || line.contains("NAK"))
                .expect("an answer");
            assert!(answer.contains("ACK"), "{answer}");
            let notify = watcher.notify();
            let body = String::from_utf8_lossy(&notify.body()).into_owned();
            assert!(
                body.contains(activity) && body.contains("<basic>open</basic>"),
                "{body}"
            );
        }
        // An orderly end takes the publication away; Kamailio shows that as a closed tuple.
        client.signal("TERM");
        assert!(
            client.ended().success(),
            "an orderly end: {:#?}",
            client.lines()
        );
        let notify = watcher.notify();
        let body = String::from_utf8_lossy(&notify.body()).into_owned();
        assert!(!body.contains("<basic>open</basic>"), "{body}");
    }
}
