//! The torture messages of RFC 4475 and RFC 5118, sent as they are to a running server.
//!
//! Each gets one of the statuses of its manifest, or silence where that says `drop`, and does nobody else harm: a valid
//! request right behind it is answered. Their Vias name hosts all over the world; all that the server sends is counted, and
//! every datagram of it must have come to our own sockets.

use std::fs;
use std::net::SocketAddr;

use rollcall::core::sip::{Message, Name};

use super::{count, folder};
use crate::server::kit::{Peer, Server, code, own_address};
use crate::support::eventually;

/// The ports in the top Vias of these messages: without `rport` that is where responses go (RFC 3261, 18.2.2).
const PORTS: [u16; 3] = [5060, 5050, 19823];

struct Case {
    file: String,
    raw: Vec<u8>,
    /// Empty: no answer.
    statuses: Vec<u16>,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for corpus in ["rfc4475", "rfc5118"] {
        let Some(folder) = folder(corpus) else {
            continue;
        };
        let manifest = fs::read_to_string(folder.join("manifest.tsv")).expect("a manifest");
        let before = cases.len();
        for row in manifest.lines().skip(1) {
            let columns: Vec<&str> = row.split('\t').collect();
            let (file, expected) = (columns[0], columns[4]);
            let statuses: Vec<u16> = expected
                .split(',')
                .filter_map(|s| s.trim().parse().ok())
                .collect();
            assert_eq!(statuses.is_empty(), expected == "drop", "{file}");
            cases.push(Case {
                file: file.to_owned(),
                raw: fs::read(folder.join(file)).expect("a case"),
                statuses,
            });
        }
        assert_eq!(cases.len() - before, count(corpus), "{corpus}");
    }
    cases
}

impl Case {
    fn judge(&self, answers: &[Message]) -> Option<String> {
        let got: Vec<u16> = answers.iter().map(code).collect();
        let is_right = match (&*got, &*self.statuses) {
            ([], []) => true,
            ([status], statuses) => statuses.contains(status),
            _ => false,
        };
        (!is_right).then(|| format!("{}: {got:?}, not one of {:?}", self.file, self.statuses))
    }

    /// A header as the file has it, compact or long, if it has one that can be read at all.
    fn call_id(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.raw);
        let line = text.lines().find(|line| {
            let name = line.split(':').next().unwrap_or_default().trim();
            name.eq_ignore_ascii_case("call-id") || name == "i"
        })?;
        Some(line.split_once(':')?.1.trim().to_owned())
    }
}

/// What came at any of these sockets that is not an answer to their own requests.
fn stray(peers: &mut [Peer]) -> Vec<Message> {
    peers.iter_mut().flat_map(Peer::take).collect()
}

#[test]
fn torture_messages_by_datagram_get_the_status_of_their_manifest_and_harm_nobody() {
    let cases = cases();
    if cases.is_empty() {
        return;
    }
    let server = Server::with(1, "");
    let mut wrong = Vec::new();
    for (number, case) in (1..).zip(&cases) {
        // Some share a branch and a sent-by: they would be one transaction if they came from one place.
        let mut peers =
            PORTS.map(|port| Peer::udp_at(SocketAddr::new(own_address(number), port), server.udp));
        peers[0].send(&case.raw);
        let mut answers = Vec::new();
        if !case.statuses.is_empty() {
            answers = eventually(&format!("an answer to {}", case.file), || {
                Some(stray(&mut peers)).filter(|answers| !answers.is_empty())
            });
        }
        // The one behind it is answered, after whatever else there was to say.
        peers[0].fence();
        answers.extend(stray(&mut peers));
        wrong.extend(case.judge(&answers));
        for answer in &answers {
            let call_id = answer.text(Name::CallId).map(|id| id.into_owned());
            if call_id != case.call_id() {
                wrong.push(format!("{}: Call-ID {call_id:?}", case.file));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // What was sent is what we have got: an answer to each that has one, and to each fence.
    let answered = cases
        .iter()
        .filter(|case| !case.statuses.is_empty())
        .count();
    let counters = server.counters();
    let sent = (answered + cases.len()) as u64;
    assert_eq!(
        counters.get("endpoint.transport.datagrams_sent"),
        Some(&sent)
    );
    for name in [
        "transport.connections_opened",
        "core.routes_asked",
        "core.requests_sent",
    ] {
        assert_eq!(counters.get(&format!("endpoint.{name}")), None, "{name}");
    }
    server.assert_well();
}

#[test]
fn torture_messages_by_stream_get_the_status_of_their_manifest_or_end_the_stream() {
    let cases = cases();
    if cases.is_empty() {
        return;
    }
    let server = Server::with(1, "");
    let mut neighbour = server.by_tcp();
    let mut wrong = Vec::new();
    for case in &cases {
        let mut peer = server.by_tcp();
        peer.send(&case.raw);
        match &*case.file {
            // More is to come, says Content-Length or the missing empty line: it is waited for until the sender ends.
            "clerr.dat" | "baddn.dat" => {
                peer.finish();
                peer.expect_close();
                let answers = peer.take();
                if !answers.is_empty() {
                    wrong.push(format!("{}: answered {answers:?}", case.file));
                }
            }
            // Where the next message begins is unknown, so nothing after it can be read (RFC 3261, 18.3).
            "ncl.dat" | "mcl01.dat" | "inv2543.dat" => {
                peer.expect_close();
                let answers: Vec<u16> = peer.take().iter().map(code).collect();
                if answers != [400] {
                    wrong.push(format!("{}: {answers:?}", case.file));
                }
            }
            _ => {
                let mut answers = Vec::new();
                if !case.statuses.is_empty() {
                    answers.push(peer.expect(&case.file, |message| !message.is_request()));
                }
                peer.fence();
                answers.extend(peer.take());
                wrong.extend(case.judge(&answers));
            }
        }
        neighbour.fence();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let counters = server.counters();
    for name in [
        "transport.connections_opened",
        "transport.datagrams_sent",
        "core.requests_sent",
    ] {
        assert_eq!(counters.get(&format!("endpoint.{name}")), None, "{name}");
    }
    server.assert_well();
}
