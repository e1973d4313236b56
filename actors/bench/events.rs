//! What the server sends: responses to our requests, and NOTIFYs.

use std::time::Instant;

use super::engine::Engine;
use super::messages::{self, NO_DIALOG, OK};
use super::phase::{Task, record};
use super::rows::NONE;
use super::scan::{Scanned, scan};
use super::template::read_hex;

impl Engine {
    /// One message, from the socket of this index.
    pub(super) fn handle(&mut self, datagram: &[u8], index: usize, now: Instant) {
        match scan(datagram) {
            Some(found) if found.status > 0 => self.response(&found, now),
            Some(found) if found.method == b"NOTIFY" => self.notify(&found, index, now),
            // Nothing else is asked of us.
            Some(_) | None => self.phase.strays += 1,
        }
    }

    fn response(&mut self, found: &Scanned<'_>, now: Instant) {
        let Some(at) = self.slot_of(found) else {
            self.phase.strays += 1;
            return;
        };
        if found.status < 200 {
            return;
        }
        let subject = self.slots[at as usize].subject as usize;
        let accepted = found.status < 300;
        let problem = if self.task.publishes() {
            let row = &mut self.publications[subject];
            if accepted {
                row.etag = found.etag.into();
                row.stored = row.sent;
            } else if found.status == 412 {
                // The next one begins anew.
                row.etag = Box::default();
            }
            (accepted && found.etag.is_empty()).then_some("no SIP-ETag")
        } else {
            let row = &mut self.dialogs[subject];
            let tag = found.tag_of_to().unwrap_or_default();
            if accepted {
                if *row.tag != *tag {
                    row.tag = tag.into();
                }
                if let Some(uri) = found.contact_uri() {
                    row.target = self.targets.put(row.target, uri);
                }
            } else if found.status == 481 {
                row.tag = Box::default();
            }
            (accepted && tag.is_empty()).then_some("no To tag")
        };
        if found.status == 503
            && let Some(seconds) = found.retry_after()
            && self.put_off(at, seconds, now)
        {
            return;
        }
        if !accepted {
            return self.finish(at, Some(&found.status.to_string()), now);
        }
        if problem.is_some() {
            return self.finish(at, problem, now);
        }
        let slot = &mut self.slots[at as usize];
        slot.answered = true;
        record(&mut self.phase.answer_latency, slot.due, now);
        self.finish_if_whole(at, now);
    }

    /// Which operation a response belongs to, by its branch; None if to none any more, or if it was answered or refused already.
    fn slot_of(&self, found: &Scanned<'_>) -> Option<u32> {
        let numbers = found.branch()?.strip_prefix(b"z9hG4bK")?;
        let (at, generation) = (read_hex(numbers)?, read_hex(numbers.get(8..)?)?);
        let slot = self.slots.get(at as usize)?;
        let waits = slot.subject != NONE && !slot.answered && !slot.refused;
        (waits && slot.generation == generation).then_some(at)
    }

    fn notify(&mut self, found: &Scanned<'_>, index: usize, now: Instant) {
        let number = found.call_id.strip_prefix(b"w").and_then(read_hex);
        let number = number.and_then(|number| number.checked_sub(self.first));
        let ours = found.call_id.get(10..) == Some(&self.run[..]);
        let dialog = number.filter(|number| ours && (*number as usize) < self.dialogs.len());
        let status = if dialog.is_some() { OK } else { NO_DIALOG };
        let mut out = std::mem::take(&mut self.out);
        messages::answer(status, found, b"", b"", &mut out);
        self.sockets.send(index as u32, &out);
        self.out = out;
        match (dialog, found.cseq()) {
            (Some(number), Some(cseq)) => self.shown(number, cseq, found, now),
            _ => self.phase.strays += 1,
        }
    }

    /// A watcher is shown something.
    fn shown(&mut self, number: u32, cseq: u32, found: &Scanned<'_>, now: Instant) {
        let row = &mut self.dialogs[number as usize];
        if !row.is_news(cseq) {
            self.phase.repeated += 1;
            return;
        }
        self.phase.notifies += 1;
        let before = row.shown;
        if let Some(state) = messages::sequence(found.body) {
            row.shown = state;
        }
        let (after, slot) = (row.shown, row.slot);
        if found.is_terminated() {
            self.phase.fail("subscription terminated", 1);
        }
        match self.task {
            Task::Publish | Task::Settle => {}
            Task::FanOut => {
                let all = self.publications.len();
                let row = &mut self.publications[number as usize % all];
                if row.slot != NONE && after == row.sent && before != after {
                    let slot = row.slot;
                    row.behind = row.behind.saturating_sub(1);
                    let due = self.slots[slot as usize].due;
                    record(&mut self.phase.notify_latency, due, now);
                    self.finish_if_whole(slot, now);
                }
            }
            Task::Subscribe | Task::Return | Task::Refresh => {
                if slot != NONE {
                    self.slots[slot as usize].fresh = true;
                    self.finish_if_whole(slot, now);
                }
            }
        }
    }

    /// Whether a watcher has been shown the last state that the server has accepted.
    fn is_current(&self, dialog: u32) -> bool {
        let presentity = dialog as usize % self.publications.len();
        self.dialogs[dialog as usize].shown >= self.publications[presentity].stored
    }

    /// Ends an operation well once all that belongs to it is there.
    fn finish_if_whole(&mut self, at: u32, now: Instant) {
        let slot = self.slots[at as usize];
        let whole = slot.answered
            && match self.task {
                Task::Publish | Task::Settle => true,
                Task::FanOut => self.publications[slot.subject as usize].behind == 0,
                Task::Subscribe | Task::Refresh => slot.fresh,
                Task::Return => slot.fresh && self.is_current(slot.subject),
            };
        if whole {
            self.finish(at, None, now);
        }
    }
}
