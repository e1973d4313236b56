//! XML: presence documents, and messages of the Manager.

use bytes::{Bytes, BytesMut};
use rollcall_core::manager::{self, Frame, FrameFinder};
use rollcall_core::pidf::{Document, Limits};
use rollcall_core::presence::{self, Source};
use rollcall_core::time::Timestamp;

/// 2026-11-22.
const NOW: Timestamp = Timestamp::from_millis(1_795_300_000_000);
const ENTITY: &str = "sip:alice@example.com";

/// What is accepted is composed, alone and beside itself, into documents that are accepted.
pub fn pidf(data: &[u8]) {
    let raw = Bytes::copy_from_slice(data);
    let Ok(document) = Document::parse(&raw, &Limits::default()) else {
        return;
    };
    let source = |key| Source {
        key,
        document: &document,
        published: NOW,
    };
    for sources in [vec![source("1")], vec![source("1"), source("2")]] {
        let Some(composed) = presence::compose(ENTITY, &sources, NOW) else {
            continue;
        };
        // What is composed of two is as large as two, and it says the prefixes of both.
        let limits = Limits::default();
        let room = Limits {
            bytes: 4 * limits.bytes,
            depth: limits.depth + 1,
            elements: 4 * limits.elements,
            attributes: 4 * limits.attributes,
            declarations: 4 * limits.declarations,
        };
        let again = Document::parse(&composed.body, &room).expect("what is composed can be read");
        assert_eq!(again.entity(), ENTITY);
    }
}

fn documents(pieces: &[&[u8]]) -> Vec<Frame> {
    let mut finder = FrameFinder::default();
    let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some(frame) = finder.next(&mut buffer) {
            found.push(frame);
        }
    }
    found
}

/// A stream holds the same documents however it is cut, and a message that is read is the same when it is written and
/// read again.
pub fn manager(data: &[u8]) {
    let whole = documents(&[data]);
    let single: Vec<&[u8]> = data.chunks(1).collect();
    assert_eq!(format!("{:?}", documents(&single)), format!("{whole:?}"));
    // The finder gives documents without what stands around them.
    let Ok(message) = manager::read(data.trim_ascii(), NOW) else {
        return;
    };
    let written = manager::to_bytes(&message);
    let again = manager::read(written.trim_ascii(), NOW).expect("what is written can be read");
    assert_eq!(again, message);
}
