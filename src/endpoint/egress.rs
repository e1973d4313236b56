//! Places that nothing is sent to, and responses that are no larger than their requests may draw (docs/adr/0015).

use std::net::SocketAddr;

use bytes::Bytes;

use super::large::UNKNOWN_PATH;
use super::locate::Failure;
use super::respond::{Draft, patch};
use super::{Effect, Endpoint, Origin};
use crate::egress::{AMPLIFICATION, Barred, Machine};
use crate::exchange::{Flow, Identity, Outgoing, Source, Transport};
use crate::sip::{Message, Method, Name, StatusCode, Via, ViaPatch};
use crate::subscription::push_contact;
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

    /// What is known of where a request came from.
    pub(super) fn source_of(
        &mut self,
        flow: &Flow,
        message: &Message,
        method: &Method,
        via: &Via,
        identity: &Identity,
    ) -> Source {
        let ip = flow.remote.ip();
        let is_proxy = self.settings.egress.is_proxy(ip);
        let drawn = AMPLIFICATION * message.raw().len();
        let proven = flow.transport.is_reliable()
            || self.settings.egress.is_unbounded(ip)
            || match identity {
                Identity::Trusted => true,
                // Nothing long is ever answered to it.
                Identity::User(_) if *method == Method::Publish => false,
                // A nonce is good at the address that it was sent to.
                Identity::User(_) => true,
                Identity::Unchecked => false,
            };
        // Only then it counts what a place may be sent that has not answered.
        let elsewhere = || message.has(Name::RecordRoute) || message.has_several_vias();
        let room = if *method != Method::Subscribe || proven && !elsewhere() {
            0
        } else if flow.transport.is_reliable() {
            drawn
        } else {
            let most = self.settings.datagram.unwrap_or(UNKNOWN_PATH);
            let accepted = self.accepted_length(flow, message, via);
            drawn.saturating_sub(accepted).min(most)
        };
        Source {
            proven,
            is_proxy,
            room: u32::try_from(room).unwrap_or(u32::MAX),
        }
    }

    /// Bytes of the 200 to a SUBSCRIBE, at most.
    fn accepted_length(&mut self, flow: &Flow, message: &Message, via: &Via) -> usize {
        let mut head = b"Expires: 4294967295\r\nContact: <".to_vec();
        push_contact(&mut head, flow);
        head.extend_from_slice(b">\r\n");
        let draft = Draft {
            status: StatusCode::OK,
            reason: None,
            to_tag: "000000000000000000",
            copy_record_route: true,
            head: &head,
            body: &[],
        };
        self.write(message, patch(flow, via), &draft, true).len()
    }

    /// Bytes that a request and its repetitions may take on this way; as many as it takes when `None`.
    pub(super) fn room_of(&self, outgoing: &Outgoing, flow: &Flow) -> Option<usize> {
        let room = outgoing.destination.room()?;
        let bounded =
            !flow.transport.is_reliable() && !self.settings.egress.is_unbounded(flow.remote.ip());
        bounded.then_some(room as usize)
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
