//! Running what the core wants, in its order; batches go off when the message at hand is done.

use std::net::SocketAddr;
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use rollcall_core::egress::Barred;
use rollcall_core::endpoint::{Effect, Origin};
use rollcall_core::exchange::{Flow, Incoming, Reply, Transport};
use rollcall_core::sip::StatusCode;

use super::connection::Queued;
use super::datagram::BATCH;
use super::{Connections, Endpoint, HandOver, Handed, trace};
use crate::messages::{ModuleInput, ToModule};

impl Endpoint {
    /// Runs effects, and those that running them leads to, until there are none.
    pub(super) fn run_effects(&mut self, ctx: &mut Context<Self>) {
        while !self.effects.is_empty() {
            let mut effects = std::mem::take(&mut self.effects);
            for effect in effects.drain(..) {
                self.run(effect, ctx);
            }
            if self.effects.is_empty() {
                self.effects = effects;
            }
        }
    }

    fn run(&mut self, effect: Effect, ctx: &mut Context<Self>) {
        match effect {
            Effect::Send { flow, bytes } => self.send(flow, bytes),
            Effect::Route {
                ticket,
                transport,
                host,
                port,
                name,
            } => self.route(ticket, transport, host, port, name, ctx),
            Effect::Locate { ticket, wanted } => self.locate(ticket, wanted, ctx),
            Effect::Deliver { origin, incoming } => self.deliver(origin, incoming),
            Effect::Observe {
                module,
                flow,
                message,
            } => {
                let origin = Origin { module, shard: 0 };
                self.for_module(origin, ModuleInput::Observed { flow, message });
            }
            Effect::Outcome { origin, outcome } => {
                self.spans.outcome(origin, &outcome);
                self.for_module(origin, ModuleInput::Outcome(outcome));
            }
            Effect::HandOver { shard, flow, bytes } => {
                self.counters.handed_over += 1;
                self.to_shards
                    .entry(shard)
                    .or_default()
                    .push(Handed::Received(flow, bytes));
            }
            // In no span: what a stranger writes into one must not stand before it. Its form is what fail2ban is told in
            // docs/operations.md.
            Effect::LoginFailed(failed) => tracing::warn!(
                parent: None,
                address = %failed.address,
                user = failed.user,
                failures = failed.failures,
                "login failed"
            ),
            Effect::Alias { connection, port } => self.connections.alias(connection, port),
            Effect::Barred { place, why, whose } => self.barred(place, why, &whose),
            Effect::Close { connection } => self.connections.close(connection),
        }
    }

    fn send(&mut self, flow: Flow, bytes: Bytes) {
        trace::message("sent", &flow, &bytes);
        match flow.transport {
            Transport::Udp => self.send_datagram(flow, bytes),
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => {
                let owner = Connections::owner(flow.connection);
                if owner != self.shard {
                    self.counters.handed_over += 1;
                    self.to_shards
                        .entry(owner)
                        .or_default()
                        .push(Handed::Send(flow, bytes));
                    return;
                }
                match self
                    .connections
                    .send(self.clock.now(), flow.connection, bytes)
                {
                    Queued::Yes => {}
                    Queued::Gone => {
                        self.counters.connection_gone += 1;
                        self.ask(|core, now, out| {
                            core.send_failed(now, &flow, "the connection is gone", out)
                        });
                    }
                    Queued::Full => self.too_slow(&flow),
                }
            }
        }
    }

    /// Says what was not sent, once a second: a stranger must not fill the log.
    fn barred(&mut self, place: SocketAddr, why: Barred, whose: &str) {
        let now = self.clock.now();
        if self
            .barred_said
            .is_some_and(|at| now < at + Duration::from_secs(1))
        {
            return;
        }
        self.barred_said = Some(now);
        tracing::warn!(%place, reason = %why, uri = whose, "nothing is sent there; see [egress]");
    }

    fn deliver(&mut self, origin: Origin, incoming: Incoming) {
        let clock = self.clock;
        self.spans.request(&incoming, || clock.now());
        let there = self
            .recipient(origin)
            .is_some_and(|recipient| recipient.connected());
        if there {
            self.for_module(origin, ModuleInput::Request(incoming));
            return;
        }
        // Its module is not up yet, or no more: nobody else would answer.
        self.counters.no_module += 1;
        let reply = Reply::new(incoming.transaction, StatusCode::SERVICE_UNAVAILABLE);
        self.spans.reply(&reply);
        self.ask(|core, now, out| core.reply(now, reply, out));
    }

    fn recipient(&self, origin: Origin) -> Option<&Recipient<ToModule>> {
        self.modules
            .get(&origin.module)?
            .get(usize::from(origin.shard))
    }

    fn for_module(&mut self, origin: Origin, input: ModuleInput) {
        // A handful at most: searching them is the fastest way.
        match self.to_modules.iter_mut().find(|(to, _)| *to == origin) {
            Some((_, inputs)) => inputs.push(input),
            None => {
                let mut inputs = Vec::with_capacity(BATCH);
                inputs.push(input);
                self.to_modules.push((origin, inputs));
            }
        }
    }

    /// Sends the batches off.
    pub(super) fn flush(&mut self) {
        let mut batches = std::mem::take(&mut self.to_modules);
        for (origin, inputs) in batches.drain(..) {
            match self.recipient(origin) {
                Some(recipient) => recipient.do_send(ToModule(inputs)),
                None => self.counters.undelivered += inputs.len() as u64,
            }
        }
        self.to_modules = batches;
        self.tell_closed();
        while let Some((shard, items)) = self.to_shards.pop_first() {
            match self.peers.get(usize::from(shard)) {
                Some(peer) => peer.do_send(HandOver(items)),
                None => self.counters.no_shard += items.len() as u64,
            }
        }
    }
}
