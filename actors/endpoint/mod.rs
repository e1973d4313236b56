//! The Endpoint actor: transports of its shard around [`rollcall_core::endpoint::Endpoint`].
//!
//! ```text
//!  UDP socket ── one task ── Datagrams ──┐                       ┌── ToModule (a batch) ──> modules
//!  connection ── one task ── StreamInput ┼──> Endpoint ── core ──┤
//!  modules ──── FromModule ──────────────┤                       ├── HandOver (a batch) ──> other shards
//!  sessions ─── ManagerIncoming ─────────┘                       └── bytes ──> sockets
//! ```
//!
//! The tasks that read wait until their batch has been handled before they read on, so that what is not yet read waits
//! in the kernel, where it is bounded. Every message goes through the core behind a guard: a panic costs the
//! transactions of this shard, never the shard.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use rollcall_core::digest::Authentication;
use rollcall_core::endpoint::{Effect, Endpoint as Core, ModuleId, ModuleTable, Origin, Settings};
use rollcall_core::entropy::Entropy;
use rollcall_core::exchange::{
    ConnectionId, Flow, Outcome, OutcomeResult, Outgoing, Shard, Transport,
};
use rollcall_core::manager;
use rollcall_core::room::{Rules, Tally};
use rollcall_core::time::Timestamp;
use rustc_hash::FxHashMap;

use crate::alarm::{Alarm, Sleeper};
use crate::clock::Clock;
use crate::messages::{
    Attach, FromModule, ManagerIncoming, ModuleInput, ModuleOutput, TakeSnapshot, ToModule,
    ToSession,
};
use crate::transport::{Network, Tls};
use crate::trouble::Seldom;

mod connection;
mod counters;
mod datagram;
mod effects;
mod guard;
mod listen;
mod local;
mod outbox;
mod overflow;
mod room;
mod route;
mod spans;
mod stream;
#[cfg(test)]
mod tests;
mod trace;

use connection::Connections;
pub use counters::Counters;
use datagram::Port;
use guard::Guarded;
use local::Locals;
use outbox::Outbox;
use overflow::Overflow;
use room::Shaking;
use route::Routes;
use spans::Spans;

/// What an Endpoint actor is made of.
#[derive(Debug)]
pub struct Parts {
    /// Shard, timers, limits and names.
    pub settings: Settings,
    /// Who has claimed what.
    pub modules: ModuleTable,
    /// Where sockets come from.
    pub network: Network,
    /// Who is asked for the servers of names; those of this machine when empty.
    pub name_servers: Vec<SocketAddr>,
    /// The node's clock.
    pub clock: Clock,
    /// Certificates, for the transports that are encrypted.
    pub tls: Tls,
    /// For branches and tags.
    pub entropy: Entropy,
    /// Whether the kernel takes and gives datagrams of one place together, where it can. See [`Bundle`](crate::transport::Bundle).
    pub udp_offload: bool,
    /// Who may connect, in both directions, and for how long.
    pub admission: Admission,
}

/// Who may connect to a shard, and what is waited for.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Room for connections of this shard.
    pub rules: Rules,
    /// How many each address has, in all shards.
    pub tally: Tally,
    /// How long a message may take from its first byte to its last, and the handshakes of a connection together.
    pub whole: Duration,
}

impl Default for Admission {
    /// 65,536 connections, and no share of an address.
    fn default() -> Self {
        Self {
            rules: Rules {
                most: 65_536,
                ..Rules::default()
            },
            tally: Tally::default(),
            whole: Duration::from_secs(10),
        }
    }
}

/// Opens a socket of this shard: a datagram socket for UDP, a listening one for all others. All shards of a node are told the
/// same address and share it; with port 0 the first one's answer is what the others are told.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "io::Result<SocketAddr>")]
pub struct Listen {
    /// Which one.
    pub transport: Transport,
    /// Where; the address may be the unspecified one, the port 0.
    pub addr: SocketAddr,
    /// Where peers reach it, if that is something else (behind a translator). Port 0 stands for the port listened on.
    pub advertise: Option<SocketAddr>,
}

/// Tells an endpoint its node's endpoints, by shard, itself among them.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SetPeers(pub Vec<Recipient<HandOver>>);

/// Endpoint → endpoint of another shard: what belongs there, in order.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct HandOver(pub Vec<Handed>);

/// One thing handed to another shard.
#[derive(Debug)]
pub enum Handed {
    /// A message that came over `flow` and whose transaction is there.
    Received(Flow, Bytes),
    /// Bytes for a connection that is there.
    Send(Flow, Bytes),
}

/// Stops listening, sends what is queued, closes connections and ends the actor.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Shutdown;

/// Exchanges the accounts that requests are authenticated with, or their rules. Nonces stay good if the key is the same.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct SetAuthentication(pub Arc<Authentication>);

/// The Endpoint actor of one shard.
pub struct Endpoint {
    core: Guarded,
    shard: Shard,
    shards: Shard,
    clock: Clock,
    network: Network,
    name_servers: Vec<SocketAddr>,
    tls: Tls,
    /// Other shards' endpoints, by shard.
    peers: Vec<Recipient<HandOver>>,
    modules: BTreeMap<ModuleId, Vec<Recipient<ToModule>>>,
    ports: Vec<Port>,
    udp_offload: bool,
    listeners: Vec<listen::Accepting>,
    locals: Locals,
    connections: Connections,
    /// Those that shake hands.
    shaking: FxHashMap<ConnectionId, Shaking>,
    /// How long they may.
    handshake: Duration,
    /// What is said of those who are turned away, and of those who go for others.
    refused: Seldom,
    displaced: Seldom,
    routes: Routes,
    spans: Spans,
    counters: Counters,
    /// What the core wants, in order. Kept, to be filled again without an allocation.
    effects: Vec<Effect>,
    /// Datagrams that go out then.
    outbox: Outbox,
    overflow: Overflow,
    /// What goes to each module instance when the message at hand is done.
    to_modules: Vec<(Origin, Vec<ModuleInput>)>,
    /// Connections whose end the modules learn then.
    closed: Vec<ConnectionId>,
    /// What goes to each other shard then.
    to_shards: BTreeMap<Shard, Vec<Handed>>,
    alarm: Alarm,
    /// When it was last said that something was not sent.
    barred_said: Option<Timestamp>,
}

impl Endpoint {
    /// An endpoint without sockets; it opens them when told to [`Listen`].
    pub fn new(parts: Parts) -> Self {
        let Parts {
            settings,
            modules,
            network,
            name_servers,
            clock,
            tls,
            entropy,
            udp_offload,
            admission,
        } = parts;
        let spans = Spans::new(settings.timers.lifetime());
        let handshake = admission.whole;
        Self {
            shard: settings.shard,
            shards: settings.shards,
            connections: Connections::new(settings.shard, admission),
            core: Guarded::new(settings, modules, entropy),
            clock,
            locals: Locals::new(network.clone()),
            network,
            name_servers,
            tls,
            peers: Vec::new(),
            modules: BTreeMap::new(),
            ports: Vec::new(),
            udp_offload,
            listeners: Vec::new(),
            shaking: FxHashMap::default(),
            handshake,
            refused: Seldom::default(),
            displaced: Seldom::default(),
            routes: Routes::default(),
            spans,
            counters: Counters::default(),
            effects: Vec::new(),
            outbox: Outbox::default(),
            overflow: Overflow::default(),
            to_modules: Vec::new(),
            closed: Vec::new(),
            to_shards: BTreeMap::new(),
            alarm: Alarm::default(),
            barred_said: None,
        }
    }

    /// Which shard it is of.
    pub(crate) fn shard(&self) -> Shard {
        self.shard
    }

    /// Gives one input to the core; what it wants waits in `effects`. False if the core panicked at it.
    fn ask(&mut self, input: impl FnOnce(&mut Core, Timestamp, &mut Vec<Effect>)) -> bool {
        self.ask_at(self.clock.now(), input)
    }

    /// The same at a time: one look at the clock is enough for a batch that came together.
    fn ask_at(
        &mut self,
        now: Timestamp,
        input: impl FnOnce(&mut Core, Timestamp, &mut Vec<Effect>),
    ) -> bool {
        let well = self.core.ask(now, &mut self.effects, input);
        if !well {
            self.counters.panics += 1;
            self.spans.forget_servers();
        }
        well
    }

    /// Sends a module's request, whose end the module learns also when the core panics at it.
    fn send_for(&mut self, now: Timestamp, origin: Origin, outgoing: Outgoing) {
        let (token, before) = (outgoing.token, self.effects.len());
        if self.ask_at(now, |core, now, out| core.send(now, origin, outgoing, out)) {
            self.spans.sent(origin, token, &self.effects[before..]);
            return;
        }
        let told = self.effects[before..].iter().any(|effect| {
            matches!(effect, Effect::Outcome { origin: of, outcome } if *of == origin && outcome.token == token)
        });
        if !told {
            let result = OutcomeResult::TransportError("the endpoint failed".to_owned());
            let outcome = Outcome { token, result };
            self.effects.push(Effect::Outcome { origin, outcome });
        }
    }

    /// Gives a received message to the core.
    fn receive(&mut self, now: Timestamp, flow: Flow, bytes: Bytes) {
        let before = self.effects.len();
        self.ask_at(now, |core, now, out| core.receive(now, flow, bytes, out));
        self.spans.received(&self.effects[before..]);
    }

    /// Ends the handling of a message: runs all effects, sends datagrams and batches off, arms the alarm.
    fn settle(&mut self, ctx: &mut Context<Self>) {
        self.run_effects(ctx);
        while !self.outbox.is_empty() {
            self.send_datagrams();
            // The core wants more where something could not be sent.
            self.run_effects(ctx);
        }
        self.flush();
        self.arm(ctx);
    }

    /// Firing early costs nothing, and moving the alarm with each message would.
    fn arm(&mut self, ctx: &mut Context<Self>) {
        let due = self.connections.room.next_due();
        let next = self.core.get().next_wake();
        let next = next.map_or(due, |next| Some(due.map_or(next, |due| due.min(next))));
        self.alarm.set_at_latest(next, self.clock, ctx);
    }
}

impl Actor for Endpoint {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.close_all();
    }
}

impl Sleeper for Endpoint {
    fn woken(&mut self, ctx: &mut Context<Self>) {
        self.ask(|core, now, out| core.wake(now, out));
        self.close_idle();
        self.settle(ctx);
    }
}

impl Handler<SetPeers> for Endpoint {
    type Result = ();

    fn handle(&mut self, SetPeers(peers): SetPeers, _: &mut Context<Self>) {
        self.peers = peers;
    }
}

impl Handler<Attach> for Endpoint {
    type Result = ();

    fn handle(&mut self, Attach { module, recipients }: Attach, _: &mut Context<Self>) {
        self.modules.insert(module, recipients);
    }
}

impl Handler<FromModule> for Endpoint {
    type Result = ();

    fn handle(
        &mut self,
        FromModule {
            module,
            shard,
            outputs,
        }: FromModule,
        ctx: &mut Context<Self>,
    ) {
        let origin = Origin { module, shard };
        let now = self.clock.now();
        for output in outputs {
            match output {
                ModuleOutput::Reply(reply) => {
                    self.spans.reply(&reply);
                    self.ask_at(now, |core, now, out| core.reply(now, reply, out));
                }
                ModuleOutput::Send(outgoing) => self.send_for(now, origin, outgoing),
            }
        }
        self.settle(ctx);
    }
}

impl Handler<HandOver> for Endpoint {
    type Result = ();

    fn handle(&mut self, HandOver(items): HandOver, ctx: &mut Context<Self>) {
        let now = self.clock.now();
        for item in items {
            match item {
                Handed::Received(flow, bytes) => self.receive(now, flow, bytes),
                Handed::Send(flow, bytes) => self.effects.push(Effect::Send { flow, bytes }),
            }
        }
        self.settle(ctx);
    }
}

impl Handler<ManagerIncoming> for Endpoint {
    type Result = ();

    fn handle(&mut self, incoming: ManagerIncoming, _: &mut Context<Self>) {
        let kind = incoming.message.kind();
        // Manager messages belong to no presentity's shard yet: a module's first instance takes them.
        let claimant = self
            .core
            .get()
            .route_manager(kind)
            .and_then(|id| self.modules.get(&id))
            .and_then(|r| r.first());
        match claimant {
            Some(module) => module.do_send(ToModule(vec![ModuleInput::Manager(incoming)])),
            None => {
                self.counters.unclaimed_manager += 1;
                let error = format!("nobody here takes messages of type {kind}");
                incoming
                    .reply
                    .do_send(ToSession::Send(manager::Message::Error(error)));
                // It has been dealt with: the session may read another.
                incoming.reply.do_send(ToSession::Credit(1));
            }
        }
    }
}

impl Handler<SetAuthentication> for Endpoint {
    type Result = ();

    fn handle(&mut self, SetAuthentication(how): SetAuthentication, _: &mut Context<Self>) {
        self.core.set_authentication(how);
    }
}

impl Handler<Shutdown> for Endpoint {
    type Result = ();

    fn handle(&mut self, _: Shutdown, ctx: &mut Context<Self>) {
        self.close_all();
        ctx.stop();
    }
}

impl Handler<TakeSnapshot> for Endpoint {
    type Result = MessageResult<TakeSnapshot>;

    fn handle(&mut self, _: TakeSnapshot, _: &mut Context<Self>) -> Self::Result {
        let listening: Vec<_> = self
            .locals
            .listening()
            .map(|(t, addr)| format!("{t}:{addr}"))
            .collect();
        let (server, client) = self.core.get().transactions();
        let (addresses, most) = self.connections.room.spread();
        let counters = Counters {
            datagrams_lost: self.ports.iter().map(Port::lost).sum(),
            datagrams_overflowed: self.ports.iter().map(Port::overflowed).sum(),
            ..self.counters.clone()
        };
        MessageResult(serde_json::json!({
            "actor": "endpoint",
            "timers": self.alarm.live(),
            "shard": self.shard,
            "listening": listening,
            "connections": self.connections.len(),
            "addresses": { "connected": addresses, "most_connections": most },
            "in_flight": self.core.get().in_flight(),
            "transactions": { "server": server, "client": client },
            "counters": { "core": self.core.get().counters(), "transport": counters },
        }))
    }
}
