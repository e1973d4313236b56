//! Places that nothing is sent to, and responses that are no larger than their requests may draw (docs/adr/0015).

use std::net::SocketAddr;

use bytes::Bytes;

use super::locate::Failure;
use super::respond::Draft;
use super::{Effect, Endpoint, Origin};
use crate::egress::{AMPLIFICATION, Barred, Machine};
use crate::exchange::{Flow, Outgoing, Transport};
use crate::sip::{Message, ViaPatch};
use crate::time::Timestamp;

impl Endpoint {
    /// Says what this machine is known by: nothing is sent to ourselves.
    pub fn set_machine(&mut self, machine: Machine) {
        self.machine = machine;
    }

    /// Whether a place may be sent to.
    pub fn judge(&self, transport: Transport, place: SocketAddr) -> Result<(), Barred> {
        self.settings.egress.judge(place)?;
        if self.is_ours(transport, place) {
            return Err(Barred::Ours);
        }
        if self.machine.broadcasts.contains(&place.ip().to_canonical()) {
            return Err(Barred::Broadcast);
        }
        Ok(())
    }

    fn is_ours(&self, transport: Transport, place: SocketAddr) -> bool {
        // Where peers reach us by a translator, and where we listen.
        self.locals.contains(&(transport, place)) || self.machine.is_ours(transport, place)
    }

    /// Ends a request that would go where nothing may.
    pub(super) fn bar(
        &mut self,
        now: Timestamp,
        origin: Origin,
        outgoing: &Outgoing,
        place: SocketAddr,
        why: Barred,
        out: &mut Vec<Effect>,
    ) {
        self.counters.barred += 1;
        out.push(Effect::Barred {
            place,
            why,
            whose: outgoing.uri.clone(),
        });
        let reason = format!("nothing is sent to {place}: it is {why}");
        self.fail_over(now, origin, outgoing.token, Failure::Transport(reason), out);
    }

    /// Whether a response may go where it has to; else it is dropped.
    pub(super) fn may_answer(
        &mut self,
        transport: Transport,
        place: SocketAddr,
        request: &Message,
        out: &mut Vec<Effect>,
    ) -> bool {
        let Err(why) = self.judge(transport, place) else {
            return true;
        };
        self.counters.barred += 1;
        out.push(Effect::Barred {
            place,
            why,
            whose: request.uri_text().to_owned(),
        });
        false
    }

    /// A response as its request may draw it: whole, or without lines that a client can do without, or none at all. Who has
    /// shown that it is where it says (`proven`) gets all of it.
    pub(super) fn write_within(
        &mut self,
        request: &Message,
        patch: Option<ViaPatch>,
        draft: &Draft<'_>,
        flow: &Flow,
        proven: bool,
    ) -> Option<Bytes> {
        let bytes = self.write(request, patch, draft, true);
        let room = AMPLIFICATION * request.raw().len();
        let free = proven || flow.transport.is_reliable() || bytes.len() <= room;
        if free || self.settings.egress.is_unbounded(flow.remote.ip()) {
            return Some(bytes);
        }
        self.counters.responses_shortened += 1;
        let bare = Draft {
            head: &[],
            reason: None,
            ..*draft
        };
        if !draft.body.is_empty() {
            return None;
        }
        let base = self.write(request, patch, &bare, false).len();
        let head = first_lines(draft.head, room.checked_sub(base)?);
        let short = Draft { head, ..bare };
        Some(self.write(request, patch, &short, false))
    }
}

/// As many of these lines as fit.
fn first_lines(head: &[u8], room: usize) -> &[u8] {
    let within = &head[..head.len().min(room)];
    let end = memchr::memmem::rfind(within, b"\r\n").map_or(0, |at| at + 2);
    &within[..end]
}
