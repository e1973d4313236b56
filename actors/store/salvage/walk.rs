//! A journal from one end to the other: whole batches, and what is between them.
//!
//! Behind damage the next batch is where the lengths in the damaged one lead, if one begins there. Otherwise it is looked for, and taken
//! only if the batches from there on follow each other up to the end of what is written, or include the last acknowledged one: a
//! document that somebody published may well look like a batch, but knows neither.

use memchr::memchr;

use crate::store::journal::{Batch, batch, outline, used};
use crate::store::proof::Tally;

/// How a batch begins.
const START: u8 = 1;

/// A part of a journal.
#[derive(Debug)]
pub(super) enum Piece {
    /// A group that proves itself.
    Whole(Batch),
    /// Bytes that don't.
    Broken {
        start: usize,
        end: usize,
        /// What seems to stand there.
        outline: Option<Batch>,
    },
}

/// The parts of a journal, up to its last byte that is not zero. `acknowledged`: the tally that is known from elsewhere.
pub(super) fn walk(bytes: &[u8], acknowledged: Option<Tally>) -> Vec<Piece> {
    let end = used(bytes);
    let bytes = &bytes[..end];
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < end {
        if let Some(batch) = batch(bytes, at) {
            at = batch.end;
            pieces.push(Piece::Whole(batch));
            continue;
        }
        let seems = outline(bytes, at).map(|(seems, _)| seems);
        let led = seems
            .as_ref()
            .map(|seems| seems.end)
            .filter(|next| batch(bytes, *next).is_some());
        let next = led.or_else(|| resume(bytes, at + 1, acknowledged));
        let next = next.unwrap_or(end);
        pieces.push(Piece::Broken {
            start: at,
            end: next,
            outline: seems.filter(|seems| seems.end <= next),
        });
        at = next;
    }
    pieces
}

/// The next place from which batches follow each other as they must.
fn resume(bytes: &[u8], mut from: usize, acknowledged: Option<Tally>) -> Option<usize> {
    while let Some(offset) = bytes.get(from..).and_then(|bytes| memchr(START, bytes)) {
        let place = from + offset;
        let mut at = place;
        while let Some(batch) = batch(bytes, at) {
            at = batch.end;
            if batch.tally.is_some() && batch.tally == acknowledged {
                return Some(place);
            }
        }
        if at > place && at == bytes.len() {
            return Some(place);
        }
        from = at.max(place + 1);
    }
    None
}
