//! Messages that come in: requests on their way to a module, responses on their way to who asked.

use std::borrow::Cow;

use super::check::{self, Refusal, Verdict};
use super::respond::{patch, way_back};
use super::{Effect, Endpoint, Sharding};
use crate::digest::Denied;
use crate::exchange::{Flow, Identity, Incoming, Outcome, OutcomeResult, TransactionId, Transport};
use crate::sip::{Head, Message, Method, Name, StatusCode, Via};
use crate::time::Timestamp;
use crate::transaction::{Ended, Found, Pending, Received, branch_of_ours, merge_key, server_key};

/// Methods whose transactions a CANCEL may be about. It can't be told from the CANCEL itself (RFC 3261, 9.2).
const CANCELLABLE: [Method; 7] = [
    Method::Invite,
    Method::Subscribe,
    Method::Publish,
    Method::Notify,
    Method::Register,
    Method::Options,
    Method::Message,
];

impl Endpoint {
    pub(super) fn request(
        &mut self,
        now: Timestamp,
        flow: Flow,
        message: Message,
        out: &mut Vec<Effect>,
    ) {
        let Some(method) = message.method().cloned() else {
            return;
        };
        if method == Method::Ack {
            // It ends an INVITE transaction, and INVITEs are answered without keeping one (17.2.7 has no ACK to answer).
            self.counters.acks += 1;
            return;
        }
        let via = match message.via() {
            Ok(via) => via,
            Err(error) => return self.refuse(now, &flow, &message, &Refusal::Header(error), out),
        };
        self.offered(&flow, &via, out);
        let key = server_key(self.secret, &mut self.key, &message, &method, &via, &flow);
        if let Some(found) = self.servers.find(key) {
            return self.again(found, &flow, &message, &via, out);
        }
        let admitted = self.admit(&message);
        match admitted.and_then(|()| self.check(&message, &method, &via)) {
            Ok(Passed::Module {
                module,
                sharding,
                to_tag,
                merge,
            }) => {
                let identity = match &mut self.challenger {
                    None => Identity::Unchecked,
                    Some(_) if self.trusted.contains(&flow.connection) => Identity::Trusted,
                    Some(challenger) => {
                        let identity = challenger.identify(now, &message, flow.remote);
                        let (failures, told) = challenger.take_failures();
                        self.counters.login_failures += failures;
                        out.extend(told.map(Effect::LoginFailed));
                        match identity {
                            Ok(identity) => identity,
                            Err(denied) => return self.deny(now, &flow, &message, denied, out),
                        }
                    }
                };
                let source = self.source_of(&flow, &message, &method, &via, &identity);
                let shard = sharding.shard(&message, to_tag.as_deref(), self.settings.shards);
                for &observer in self.modules.observers() {
                    out.push(Effect::Observe {
                        module: observer,
                        flow,
                        message: message.clone(),
                    });
                }
                let pending = Pending {
                    request: message.clone(),
                    flow: way_back(&flow, Some(&via)),
                    patch: patch(&flow, &via),
                    port: via.port,
                    proven: source.proven,
                };
                let timers = &self.settings.timers;
                let number = self
                    .servers
                    .begin(now, &mut self.wheel, timers, key, merge, pending);
                let transaction = TransactionId {
                    shard: self.settings.shard,
                    number,
                };
                self.counters.delivered += 1;
                out.push(Effect::Deliver {
                    origin: super::Origin { module, shard },
                    incoming: Incoming {
                        transaction,
                        flow,
                        identity,
                        source,
                        message,
                    },
                });
            }
            Ok(Passed::Options) => self.answer_options(now, &flow, &message, out),
            Ok(Passed::Cancel) => self.answer_cancel(now, &flow, &message, &via, out),
            Err(refusal) => self.refuse(now, &flow, &message, &refusal, out),
        }
    }

    /// Answers a request of somebody who is not known.
    fn deny(
        &mut self,
        now: Timestamp,
        flow: &Flow,
        message: &Message,
        denied: Denied,
        out: &mut Vec<Effect>,
    ) {
        let (status, head) = match denied {
            Denied::Challenge { stale } => {
                let Some(challenger) = &self.challenger else {
                    return;
                };
                self.counters.challenged += 1;
                let address = flow.remote.ip();
                let head = challenger.challenge(now, address, stale, &mut self.entropy);
                (StatusCode::UNAUTHORIZED, head)
            }
            Denied::Wait(wait) => {
                self.counters.logins_delayed += 1;
                let mut head = Head::new();
                head.line(Name::RetryAfter, wait.as_millis().div_ceil(1000));
                (StatusCode::FORBIDDEN, head)
            }
        };
        self.answer(now, flow, message, status, None, head, out);
    }

    /// A request that came before: absorbed, or answered with the same response (17.2.2).
    fn again(
        &mut self,
        found: Found,
        flow: &Flow,
        message: &Message,
        via: &Via,
        out: &mut Vec<Effect>,
    ) {
        match found {
            Found::Trying => self.counters.retransmissions_absorbed += 1,
            Found::Completed(kept) => {
                self.counters.retransmissions_answered += 1;
                let (patch, flow) = (patch(flow, via), way_back(flow, Some(via)));
                let draft = kept.draft();
                match self.write_within(message, patch, &draft, &flow, kept.proven) {
                    Some(bytes) => out.push(Effect::Send { flow, bytes }),
                    None => self.counters.responses_withheld += 1,
                }
            }
        }
    }

    /// Whether there is room for one more request.
    fn admit(&self, message: &Message) -> Result<(), Refusal> {
        let (trying, room) = (self.servers.trying(), self.settings.max_in_flight);
        if trying < room {
            return Ok(());
        }
        let in_dialog = message.to_tag().is_some();
        if in_dialog && trying < room.saturating_mul(2) {
            Ok(())
        } else {
            Err(Refusal::Overloaded)
        }
    }

    fn check<'a>(
        &mut self,
        message: &'a Message,
        method: &Method,
        via: &Via,
    ) -> Result<Passed<'a>, Refusal> {
        let form = check::form(message, method, &self.modules)?;
        // Inside a dialog requests are ordered by CSeq, so only those outside can be merged (8.2.2.2).
        let merge = form.to_tag.is_none().then(|| {
            let from_tag = form.from_tag.as_deref().unwrap_or_default();
            merge_key(
                self.secret,
                &mut self.key,
                message,
                from_tag,
                &form.cseq,
                via,
            )
        });
        let is_merged = || merge.is_some_and(|merge| self.servers.is_merged(merge));
        Ok(
            match check::content(message, &form, method, &self.modules, is_merged)? {
                Verdict::Module(module, sharding) => Passed::Module {
                    module,
                    sharding,
                    to_tag: form.to_tag,
                    merge,
                },
                Verdict::Options => Passed::Options,
                Verdict::Cancel => Passed::Cancel,
            },
        )
    }

    /// CANCEL is answered, and otherwise ignored: nothing but an INVITE can be cancelled (9.1; RFC 6665, 4.6).
    fn answer_cancel(
        &mut self,
        now: Timestamp,
        flow: &Flow,
        message: &Message,
        via: &Via,
        out: &mut Vec<Effect>,
    ) {
        let found = CANCELLABLE.iter().any(|method| {
            let key = server_key(self.secret, &mut self.key, message, method, via, flow);
            self.servers.find(key).is_some()
        });
        if found {
            self.answer_ok(now, flow, message, Head::new(), out);
        } else {
            self.refuse(now, flow, message, &Refusal::NothingToCancel, out);
        }
    }

    pub(super) fn response(
        &mut self,
        now: Timestamp,
        flow: Flow,
        message: Message,
        out: &mut Vec<Effect>,
    ) {
        // Several Vias: it was meant for a proxy, or somebody's Via was lost on the way (8.1.3.3).
        let several = message.has_several_vias();
        // What is wrong with a Via matters only if it is not one of ours.
        let ours = message.top_branch().as_deref().and_then(branch_of_ours);
        let readable = ours.is_some() || message.via().is_ok();
        let (true, Ok(cseq), Some(status), false) =
            (readable, message.cseq(), message.status(), several)
        else {
            self.counters.malformed_responses += 1;
            return;
        };
        let (shard, branch) = match ours {
            Some(ours) if ours.0 < self.settings.shards || ours.0 == self.settings.shard => ours,
            Some(_) | None => {
                self.counters.stray_responses += 1;
                return;
            }
        };
        if shard != self.settings.shard {
            self.counters.handed_over += 1;
            out.push(Effect::HandOver {
                shard,
                flow,
                bytes: message.raw(),
            });
            return;
        }
        let ip = flow.remote.ip();
        if !flow.transport.is_reliable() && !self.clients.may_come_from(branch, ip) {
            self.counters.stray_responses += 1;
            return;
        }
        let timers = &self.settings.timers;
        match self
            .clients
            .receive(now, &mut self.wheel, timers, branch, &cseq.method, status)
        {
            Received::Stray => self.counters.stray_responses += 1,
            Received::Provisional => self.counters.provisional_responses += 1,
            Received::Repeated => self.counters.repeated_responses += 1,
            Received::Final(Ended { origin, token }) => {
                if self.turned_away(now, origin, token, &message, out) {
                    return;
                }
                self.counters.responses_received += 1;
                if let Some(account) = &mut self.account
                    && let Some(again) = account.answer(origin, token, &message)
                {
                    self.counters.credentials_sent += 1;
                    if let Some(redirects) = &mut self.redirects {
                        redirects.renew(origin, &again);
                    }
                    return self.send_again(now, origin, again, out);
                }
                if let Some(redirects) = &mut self.redirects
                    && let Some(again) = redirects.follow(origin, token, &message)
                {
                    self.counters.redirected += 1;
                    if let Some(account) = &mut self.account {
                        account.keep(origin, &again);
                    }
                    self.courses.forget(origin, token);
                    return self.dispatch(now, origin, again, out);
                }
                self.forget(origin, token);
                let outcome = Outcome {
                    token,
                    result: OutcomeResult::Response(message, flow),
                };
                out.push(Effect::Outcome { origin, outcome });
            }
        }
    }
}

impl Endpoint {
    /// Takes the offer of a connection for requests the other way (RFC 5923, 8.2).
    fn offered(&self, flow: &Flow, via: &Via, out: &mut Vec<Effect>) {
        if flow.transport == Transport::Tls
            && self.certified.contains(&flow.connection)
            && via.params.has("alias")
        {
            let port = via.port.unwrap_or(flow.transport.default_port());
            let connection = flow.connection;
            out.push(Effect::Alias { connection, port });
        }
    }
}

/// Who answers a request that passed all checks, and what was learnt by the way.
enum Passed<'a> {
    Module {
        module: super::ModuleId,
        sharding: Sharding,
        to_tag: Option<Cow<'a, str>>,
        merge: Option<(u64, u64)>,
    },
    Options,
    Cancel,
}
