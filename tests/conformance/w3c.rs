//! The W3C XML conformance suite: what the reader says of each document, and what a publisher gets for it from a running
//! server. None of them is a presence document, so none may be taken.

use std::fs;
use std::path::Path;

use rollcall_core::pidf::PidfError;
use rollcall_core::pidf::xml::{self, Limits};

use super::server_xml::{LARGEST_DATAGRAM, request};
use super::{folder, rows, unpacked};
use crate::server::kit::{Server, code};

/// Documents that the manifest wants refused for a DOCTYPE, which they have in a comment, an instruction and a CDATA section
/// only. They are refused as bodies, as they are no presence documents; the reader need not mind them.
const TALK_OF_DOCTYPE: [&str; 3] = [
    "xmlconf/oasis/p15pass1.xml",
    "xmlconf/oasis/p16pass1.xml",
    "xmlconf/oasis/p18pass1.xml",
];

/// How many members the manifest lists.
pub const MEMBERS: usize = 1989;

/// Name, outcome and octets of each member; nothing if the corpora are not there.
fn members() -> Vec<(String, String, Vec<u8>)> {
    let Some(corpus) = folder("hostile-xml") else {
        return Vec::new();
    };
    let archive = corpus.join("xmlts20130923.zip");
    let unpacked = unpacked(&archive, ("unzip -q", "unzip"), "-d");
    let read = |file: &str| fs::read(unpacked.path().join(Path::new(file))).expect("a member");
    let rows = rows(&corpus.join("w3c-xmlconf-manifest.tsv"));
    assert_eq!(rows.len(), MEMBERS, "the manifest");
    rows.into_iter()
        .map(|(file, outcome, _)| {
            let raw = read(&file);
            (file, outcome, raw)
        })
        .collect()
}

#[test]
fn the_reader_tells_what_is_well_formed() {
    let roomy = Limits {
        bytes: 1 << 24,
        depth: 10_000,
        elements: 1_000_000,
        attributes: 100_000,
        declarations: 100_000,
    };
    let mut wrong = Vec::new();
    for (file, outcome, raw) in members() {
        let result = xml::check(&raw, &roomy);
        let is_right = match &*outcome {
            // Two are in UTF-16: that is a matter of encoding (415), and none of form.
            "well-formed" => matches!(result, Ok(()) | Err(PidfError::Encoding(_))),
            "reject" if TALK_OF_DOCTYPE.contains(&&*file) => result.is_ok(),
            "reject" => result.is_err(),
            "either" => true,
            other => panic!("unknown outcome {other} of {file}"),
        };
        if !is_right {
            wrong.push(format!("{file}: {outcome}, but {result:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
}

#[test]
fn a_publisher_is_refused_each_and_the_server_stays_well() {
    let members = members();
    if members.is_empty() {
        return;
    }
    let server = Server::with(2, "");
    let mut wrong = Vec::new();
    for (number, (file, _, raw)) in members.iter().enumerate() {
        let mut peers = vec![server.by_tcp()];
        if raw.len() < LARGEST_DATAGRAM {
            peers.push(server.by_udp());
        }
        for mut desk in peers {
            let uri = format!("sip:w3c{number}@example.com");
            let head = "Event: presence\nContent-Type: application/pidf+xml\n";
            let bytes = request(&mut desk, &uri, head, raw);
            desk.send(&bytes);
            let status = code(&desk.response(desk.count, "PUBLISH"));
            if !(400..500).contains(&status) {
                wrong.push(format!("{file} by {}: {status}", desk.transport()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(server.counters().get("registry.publication_count"), None);
    server.assert_well();
}
