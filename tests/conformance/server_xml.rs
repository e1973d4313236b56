//! The XML corpora as bodies of PUBLISH at a running server: what watchers get of each, over UDP and TCP.
//!
//! Accepted: 200, and a NOTIFY that means the same. Rejected: 4xx, and no trace in a NOTIFY. Either: a final answer, and what
//! is shown is well formed. After each one a good document for the same presentity is published, and told next.

use std::fs;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rollcall::core::pidf::{Document, Limits, patch};
use rollcall::core::presence::Summary;
use rollcall::core::sip::{Message, Name};

use super::{NOW, before, folder, manifest, tell};
use crate::server::kit::{Dialog, Peer, Server, body, code, pidf, text};

/// A datagram has no room for more, with its headers.
pub const LARGEST_DATAGRAM: usize = 64_500;
/// A message has no room for more, whatever carries it.
const LARGEST: usize = Message::MAX_LEN - 1000;

/// What composed documents are read with: they may be larger than what may be published.
fn roomy() -> Limits {
    Limits {
        bytes: 1 << 22,
        declarations: 100_000,
        elements: 200_000,
        attributes: 100_000,
        ..Limits::default()
    }
}

struct Case {
    file: String,
    outcome: String,
    raw: Vec<u8>,
    /// Of a change: the full state that it is for.
    before: Option<Vec<u8>>,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for corpus in ["pidf", "hostile-xml"] {
        let Some(folder) = folder(corpus) else {
            continue;
        };
        for (file, outcome, _) in manifest(&folder) {
            cases.push(Case {
                before: before(&folder, &file),
                raw: fs::read(folder.join(&file)).expect("a case"),
                file,
                outcome,
            });
        }
    }
    cases
}

/// A PUBLISH of a document that need not be text.
pub fn request(desk: &mut Peer, uri: &str, head: &str, raw: &[u8]) -> Vec<u8> {
    let request = desk.request("PUBLISH", uri, head, "");
    let length = format!("Content-Length: {}\r\n", raw.len());
    let mut bytes = request
        .replace("Content-Length: 0\r\n", &length)
        .into_bytes();
    bytes.extend_from_slice(raw);
    bytes
}

/// A server, who publishes, and who watches: over a connection, since what is shown may be too large for a datagram.
struct World<'a> {
    server: &'a Server,
    desk: Peer,
    phone: Peer,
}

impl World<'_> {
    /// Publishes a case for this presentity, and says what is wrong with what follows.
    fn try_out(&mut self, case: &Case, uri: &str) -> Result<(), String> {
        Dialog::open(&mut self.phone, uri, 600, "");
        let mut before = self.phone.notify();
        let mut head = "Event: presence\nContent-Type: application/pidf+xml\n".to_owned();
        if let Some(full) = &case.before {
            // A change is published as one, of the state that it is for (RFC 5264, 4.3.2).
            let answer = self.publish(&case.file, full, uri, &head);
            let etag = answer.text(Name::SipEtag).expect("an entity-tag");
            head = format!(
                "Event: presence\nContent-Type: application/pidf-diff+xml\nSIP-If-Match: {etag}\n"
            );
            before = self.phone.notify();
        }
        let answer = self.publish(&case.file, &case.raw, uri, &head);
        let status = code(&answer);
        let is_right = match &*case.outcome {
            "accept" => status == 200,
            "reject" => (400..500).contains(&status),
            _ => status == 200 || (400..500).contains(&status),
        };
        if !is_right {
            return Err(format!("{}, but got {status}", case.outcome));
        }
        let mut number = before.cseq().expect("a CSeq").number;
        if status == 200 {
            number += 1;
            self.told(case, uri, number)?;
        }
        let etag = answer.text(Name::SipEtag).map(|etag| etag.into_owned());
        self.follow(uri, number, etag.as_deref())
    }

    /// The document of a case as the body of a PUBLISH, and its answer.
    fn publish(&mut self, file: &str, raw: &[u8], uri: &str, head: &str) -> Message {
        let bytes = request(&mut self.desk, uri, head, raw);
        let begun = Instant::now();
        self.desk.send(&bytes);
        let answer = self.desk.response(self.desk.count, "PUBLISH");
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{file}: {:?}",
            begun.elapsed()
        );
        if raw.len() > LARGEST {
            // Too much for a message: the stream is not read on.
            assert_eq!(code(&answer), 413, "{file}");
            self.desk.expect_close();
            self.desk = self.server.by_tcp();
        }
        answer
    }

    /// What the watcher gets of a document that was taken.
    fn told(&mut self, case: &Case, uri: &str, number: u32) -> Result<(), String> {
        let notify = self.phone.notify();
        if notify.cseq().expect("a CSeq").number != number {
            return Err(format!("CSeq is not {number}"));
        }
        assert_eq!(text(&notify, Name::ContentType), "application/pidf+xml");
        if std::str::from_utf8(&notify.body()).is_err() {
            return Err("shown in another encoding than UTF-8".to_owned());
        }
        let shown = Document::parse(&notify.body(), &roomy()).map_err(|e| format!("shown: {e}"))?;
        if shown.entity() != uri && case.file == "spoofed-entity.xml" {
            return Err(format!("shown as {}", shown.entity()));
        }
        let said = match &case.before {
            Some(full) => patch::apply(full, &case.raw, &roomy()).map_err(|e| e.to_string())?,
            None => Bytes::copy_from_slice(&case.raw),
        };
        if let Ok(said) = Document::parse(&said, &roomy()) {
            let (said, shown) = (Summary::of(&said, NOW), Summary::of(&shown, NOW));
            if said != shown {
                return Err(format!("said {said:?}, shown {shown:?}"));
            }
        }
        Ok(())
    }

    /// Puts a good document in its place: that is told next, whole and alone.
    fn follow(&mut self, uri: &str, number: u32, etag: Option<&str>) -> Result<(), String> {
        let good = pidf(uri, "good", "open", "<note>good</note>");
        let condition = etag
            .map(|etag| format!("SIP-If-Match: {etag}\n"))
            .unwrap_or_default();
        let taken = crate::server::kit::published(&mut self.desk, uri, &condition, &good);
        let notify = self.phone.notify();
        if (notify.cseq().expect("a CSeq").number, body(&notify)) != (number + 1, good) {
            return Err(format!(
                "then told: {}",
                String::from_utf8_lossy(&notify.raw())
            ));
        }
        let condition = format!("SIP-If-Match: {taken}\nExpires: 0\n");
        crate::server::kit::published(&mut self.desk, uri, &condition, "");
        self.phone.notify();
        Ok(())
    }
}

fn run(transport: &str, fits: impl Fn(&Case) -> bool) {
    let all = cases();
    if all.is_empty() {
        return;
    }
    let (fitting, large): (Vec<&Case>, Vec<&Case>) = all.iter().partition(|case| fits(case));
    if !large.is_empty() {
        let (count, all) = (large.len(), all.len());
        tell(&format!(
            "{count} of {all} XML cases do not fit into a datagram"
        ));
    }
    let server = Server::with(2, "");
    let mut wrong = Vec::new();
    let mut sizes = Vec::new();
    // Twice, to see whether anything stays behind.
    for round in 0..3 {
        for (number, case) in fitting.iter().enumerate() {
            let mut world = World {
                server: &server,
                desk: if transport == "udp" {
                    server.by_udp()
                } else {
                    server.by_tcp()
                },
                phone: server.by_tcp(),
            };
            let uri = format!("sip:case{number}@example.com");
            if let Err(what) = world.try_out(case, &uri) {
                wrong.push(format!("{} (round {round}): {what}", case.file));
            }
            let counters = server.counters();
            assert_eq!(
                counters.get("registry.publication_count"),
                None,
                "{}",
                case.file
            );
        }
        sizes.push(server.resident());
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(
        sizes[2] < sizes[0] + 16 * 1024,
        "resident KiB after each round: {sizes:?}"
    );
    server.assert_well();
}

#[test]
fn documents_by_datagram_reach_watchers_or_not_as_their_manifest_says() {
    run("udp", |case| case.raw.len() < LARGEST_DATAGRAM);
}

#[test]
fn documents_by_stream_reach_watchers_or_not_as_their_manifest_says() {
    run("tcp", |_| true);
}
