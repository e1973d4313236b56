//! Responses: how they are written, and where they go (RFC 3261, 18.2; RFC 3581).

use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::outgoing::Ticket;
use super::{Effect, Endpoint, MAX_DATAGRAM, Refusal};
use crate::exchange::{Flow, Reply};
use crate::sip::{Head, Host, Message, Name, StatusCode, Via, ViaPatch, write_response};
use crate::subscription::LocalTag;
use crate::time::Timestamp;
use crate::transaction::Kept;

/// A response as it is to be written.
#[derive(Clone, Copy)]
pub(super) struct Draft<'a> {
    pub status: StatusCode,
    pub reason: Option<&'a str>,
    pub to_tag: &'a str,
    pub copy_record_route: bool,
    pub head: &'a [u8],
    pub body: &'a [u8],
}

impl Kept {
    pub(super) fn draft(&self) -> Draft<'_> {
        Draft {
            status: self.status,
            reason: self.reason(),
            to_tag: self.to_tag(),
            copy_record_route: self.copy_record_route,
            head: self.head(),
            body: self.body(),
        }
    }
}

impl Endpoint {
    /// Takes a module's answer.
    pub fn reply(&mut self, now: Timestamp, reply: Reply, out: &mut Vec<Effect>) {
        let number = reply.transaction.number;
        let here = reply.transaction.shard == self.settings.shard;
        let Some(pending) = self.servers.pending(number).filter(|_| here).cloned() else {
            self.counters.late_replies += 1;
            return;
        };
        let to_tag = match reply.to_tag {
            Some(tag) => tag,
            None => tag(self.settings.shard, self.entropy.next_u64()),
        };
        let proven = pending.proven;
        let mut kept = Kept::new(
            reply.status,
            &to_tag,
            reply.reason.as_deref(),
            reply.copy_record_route,
            &reply.head,
            &reply.body,
        );
        kept.proven = proven;
        let (request, flow) = (&pending.request, &pending.flow);
        let bytes = self.write_within(request, pending.patch, &kept.draft(), flow, proven);
        let timers = &self.settings.timers;
        self.counters.forgotten_early +=
            self.servers
                .complete(now, &mut self.wheel, timers, number, kept);
        self.send_response(
            now,
            &pending.request,
            pending.flow,
            pending.port,
            bytes,
            out,
        );
    }

    /// Answers a request by ourselves, keeping no state.
    pub(super) fn refuse(
        &mut self,
        now: Timestamp,
        flow: &Flow,
        request: &Message,
        refusal: &Refusal,
        out: &mut Vec<Effect>,
    ) {
        let head = refusal.head(&self.modules, self.settings.retry_after);
        self.answer(
            now,
            flow,
            request,
            refusal.status(),
            refusal.reason(),
            head,
            out,
        );
    }

    /// Answers OPTIONS: what the modules can do (RFC 3261, 11.2).
    pub(super) fn answer_options(
        &mut self,
        now: Timestamp,
        flow: &Flow,
        request: &Message,
        out: &mut Vec<Effect>,
    ) {
        let mut head = Head::new();
        head.line(Name::Allow, self.modules.allow());
        for (name, value) in [
            (Name::AllowEvents, self.modules.allow_events()),
            (Name::Accept, self.modules.accept()),
        ] {
            if !value.is_empty() {
                head.line(name, value);
            }
        }
        // What a body may be packed in, and in which languages we speak of errors (11.2).
        head.line(Name::AcceptEncoding, "identity")
            .line(Name::AcceptLanguage, "en");
        // An empty one says that no extension is (20.37).
        head.line(Name::Supported, self.modules.supported().join(", "));
        self.answer_ok(now, flow, request, head, out);
    }

    /// Answers 200 by ourselves, keeping no state.
    pub(super) fn answer_ok(
        &mut self,
        now: Timestamp,
        flow: &Flow,
        request: &Message,
        head: Head,
        out: &mut Vec<Effect>,
    ) {
        self.answer(now, flow, request, StatusCode::OK, None, head, out);
    }

    #[expect(clippy::too_many_arguments, reason = "they are the parts of an answer")]
    pub(super) fn answer(
        &mut self,
        now: Timestamp,
        flow: &Flow,
        request: &Message,
        status: StatusCode,
        reason: Option<String>,
        head: Head,
        out: &mut Vec<Effect>,
    ) {
        *self.counters.answered.entry(status.code()).or_default() += 1;
        // The same request must get the same tag however often it comes (RFC 3261, 8.2.7). Of the top Via only what is
        // written counts, so it does not matter whether it could be read.
        let mut hash = self.secret.build_hasher();
        for name in [Name::Via, Name::From, Name::CallId, Name::CSeq] {
            hash.write(request.text(name).unwrap_or_default().as_bytes());
            hash.write_u8(0);
        }
        let draft = Draft {
            status,
            reason: reason.as_deref(),
            to_tag: &tag(self.settings.shard, hash.finish()),
            copy_record_route: false,
            head: head.as_bytes(),
            body: &[],
        };
        let via = request.via().ok();
        let given = via.as_ref().and_then(|via| patch(flow, via));
        let flow = way_back(flow, via.as_ref());
        let bytes = self.write_within(request, given, &draft, &flow, false);
        let port = via.as_ref().and_then(|via| via.port);
        self.send_response(now, request, flow, port, bytes, out);
    }

    /// The response, whole, with our Server header or without.
    pub(super) fn write(
        &mut self,
        request: &Message,
        patch: Option<ViaPatch>,
        draft: &Draft<'_>,
        server: bool,
    ) -> Bytes {
        let server = if server { &self.server_name } else { "" };
        self.buffer.clear();
        write_response(
            &mut self.buffer,
            request,
            draft.status,
            draft.reason,
            Some(draft.to_tag),
            patch,
            draft.copy_record_route,
            &[server.as_bytes(), draft.head],
            draft.body,
        );
        Bytes::copy_from_slice(&self.buffer)
    }

    /// Sends a response: over its connection, or if that is gone over another one to where the request came from
    /// (RFC 3261, 18.2.2).
    fn send_response(
        &mut self,
        now: Timestamp,
        request: &Message,
        flow: Flow,
        port: Option<u16>,
        bytes: Option<Bytes>,
        out: &mut Vec<Effect>,
    ) {
        let Some(bytes) = bytes else {
            self.counters.responses_withheld += 1;
            return;
        };
        if !flow.transport.is_reliable() && bytes.len() > MAX_DATAGRAM {
            self.counters.responses_lost += 1;
            return;
        }
        let is_alive = self.is_alive(&flow);
        let place = match port {
            Some(port) if !is_alive => SocketAddr::new(flow.remote.ip(), port),
            Some(_) | None => flow.remote,
        };
        let connected = is_alive && flow.transport.is_reliable();
        if !connected && !self.may_answer(flow.transport, place, request, out) {
            return;
        }
        self.counters.responses_sent += 1;
        if is_alive {
            out.push(Effect::Send { flow, bytes });
            return;
        }
        self.counters.responses_rerouted += 1;
        let host = flow.remote.ip().to_canonical().to_string();
        self.ask(
            now,
            Ticket::response(bytes),
            Some(flow.transport),
            host,
            port,
            out,
        );
    }
}

/// A tag of ours: the shard in two hexadecimal digits, and 16 digits.
fn tag(shard: crate::exchange::Shard, number: u64) -> String {
    let dialog = number;
    LocalTag { shard, dialog }.into()
}

/// What the top Via is given: where the request came from, unless that stands there already. The port only when asked
/// for, and then the address in any case (RFC 3581, 4).
pub(super) fn patch(flow: &Flow, via: &Via) -> Option<ViaPatch> {
    let received = flow.remote.ip().to_canonical();
    let rport = via.wants_rport().then(|| flow.remote.port());
    let written = match via.host {
        Host::V4(address) => Some(IpAddr::V4(address)),
        Host::V6(address) => Some(IpAddr::V6(address)),
        Host::Name(_) => None,
    };
    (rport.is_some() || written != Some(received)).then_some(ViaPatch { received, rport })
}

/// Where a response goes: back over the connection; by datagram to where the request came from when its sender asked
/// for that with `rport`, else to the port in its Via. `maddr` is not followed: multicast has no place here, and for
/// anything else it would let a stranger choose our target.
pub(super) fn way_back(flow: &Flow, via: Option<&Via>) -> Flow {
    match via {
        Some(via) if !flow.transport.is_reliable() && !via.wants_rport() => Flow {
            remote: SocketAddr::new(flow.remote.ip(), via.port.unwrap_or(5060)),
            ..*flow
        },
        Some(_) | None => *flow,
    }
}
