//! The heart of the stack as a value: checks, transactions, module table (RFC 3261, section 8.2).
//!
//! Bytes go in with the flow they came over; out come effects: bytes to send, requests for modules, the ends of requests
//! that modules sent. What is wrong with a request is answered here, and so is what no module has claimed; a module sees
//! only requests that are well formed, new, and its own.
//!
//! ```text
//!             receive                       Deliver
//!  transport ────────> │ checks ─ server transactions ─ table │ ────────> module
//!            <──────── │                                      │ <──────── reply
//!               Send   │ client transactions ─── way to go    │ <──────── send
//!             receive  │                                      │ ────────> Outcome
//! ```
//!
//! Answers of the endpoint's own are stateless (RFC 3261, 8.2.7): the same request gets the same bytes each time, and a
//! flood of nonsense leaves nothing behind. A transaction is kept only for what a module has been given.

mod account;
mod check;
mod counters;
mod effect;
mod egress;
mod hop;
mod incoming;
mod large;
mod locate;
mod modules;
mod outgoing;
mod redirect;
mod respond;
mod sender;
mod succession;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::{FxHashMap, FxHashSet};

pub use check::Refusal;
pub use counters::Counters;
pub use effect::{Effect, Origin, Settings};
pub use hop::{Hop, HopError};
pub use modules::{
    Builder, ClaimConflict, Claimed, ModuleTable, Route, Sharding, shard_in, shard_of,
};

use crate::digest::{Authentication, Challenger};
use crate::egress::Machine;
use crate::entropy::Entropy;
use crate::exchange::{
    ConnectionId, Flow, LOCAL_CONTACT, Outcome, OutcomeResult, Token, Transport,
};
use crate::keyed::Secret;
use crate::sip::{Fault, FramingError, Message, StatusCode};
use crate::time::{Timestamp, Wheel};
use crate::transaction::{Clients, Ended, Fired, Servers, Timer};
use account::Account;
use locate::Failure;
use redirect::Redirects;

/// The longest message that fits a datagram: IPv4's 65,535 bytes less the headers of IP and UDP.
const MAX_DATAGRAM: usize = 65_507;

/// More networks than a machine has.
const MOST_LEARNED: usize = 64;

/// A module in the endpoint's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleId(pub u16);

/// The endpoint of one shard.
#[derive(Debug)]
pub struct Endpoint {
    settings: Settings,
    modules: ModuleTable,
    /// Authenticates requests to modules, if it is asked for.
    challenger: Option<Challenger>,
    /// Answers challenges to our own requests, if there is what to answer with.
    account: Option<Account>,
    /// Follows redirections of our own requests, where that is asked for.
    redirects: Option<Redirects>,
    entropy: Entropy,
    counters: Counters,
    /// Secret of this endpoint: no outsider can make keys or tags collide.
    secret: Secret,
    servers: Servers,
    clients: Clients<Origin>,
    wheel: Wheel<Timer>,
    /// Questions to the transport that are not answered yet. Numbers grow with time and all wait equally long, so the
    /// first one is also the first to lapse.
    tickets: BTreeMap<u64, outgoing::Ticket>,
    last_ticket: u64,
    streamless: large::Streamless,
    /// Requests that have further servers to go to, and servers that have failed lately.
    courses: locate::Courses,
    locals: Vec<(Transport, SocketAddr)>,
    /// Whom we would talk to ourselves at.
    machine: Machine,
    /// Further addresses at which datagrams have reached us: a socket that listens everywhere has one for each network.
    learned: Vec<SocketAddr>,
    /// Connections that stand, with their other ends: an id that a store remembers from an earlier life of the node may
    /// have been given to somebody else since.
    connections: FxHashMap<ConnectionId, SocketAddr>,
    /// Those of them whose peers speak for anybody, by their certificates.
    trusted: FxHashSet<ConnectionId>,
    /// Those whose peers have shown a certificate when they connected to us.
    certified: FxHashSet<ConnectionId>,
    /// For building transaction keys.
    key: Vec<u8>,
    /// The Server line of responses and the User-Agent line of requests; empty for none.
    server_name: String,
    user_agent: String,
    senders: sender::Senders,
    /// Finds where requests want the address that they leave from.
    local_contact: memchr::memmem::Finder<'static>,
    /// For building responses, which are then copied once into a buffer of their exact size.
    buffer: Vec<u8>,
}

impl Endpoint {
    /// An endpoint with these modules.
    pub fn new(settings: Settings, modules: ModuleTable, mut entropy: Entropy) -> Self {
        let secret = Secret::draw(&mut entropy);
        let servers = Servers::new(settings.max_completed);
        Self {
            challenger: settings.authentication.clone().map(Challenger::new),
            server_name: line("Server", settings.server_name.as_deref()),
            user_agent: line("User-Agent", settings.user_agent.as_deref()),
            account: settings.credentials.clone().map(Account::new),
            redirects: settings.follow_redirects.then(Redirects::default),
            settings,
            modules,
            entropy,
            counters: Counters::default(),
            secret,
            servers,
            clients: Clients::new(),
            wheel: Wheel::new(),
            tickets: BTreeMap::new(),
            last_ticket: 0,
            streamless: large::Streamless::default(),
            courses: locate::Courses::default(),
            locals: Vec::new(),
            machine: Machine::default(),
            learned: Vec::new(),
            connections: FxHashMap::default(),
            trusted: FxHashSet::default(),
            certified: FxHashSet::default(),
            key: Vec::new(),
            senders: sender::Senders::default(),
            local_contact: memchr::memmem::Finder::new(LOCAL_CONTACT),
            buffer: Vec::new(),
        }
    }

    /// Says at which addresses peers reach this node, never unspecified ones. Among those that fit a destination the first
    /// is taken.
    pub fn set_locals(&mut self, locals: Vec<(Transport, SocketAddr)>) {
        self.locals = locals;
    }

    /// Exchanges the accounts. Without authentication there are none to exchange.
    pub fn set_authentication(&mut self, how: Arc<Authentication>) {
        if let Some(challenger) = &mut self.challenger {
            challenger.renew(how);
        }
    }

    /// The peer of this connection has shown a certificate: it may offer the connection for requests of ours (RFC 5923).
    pub fn certify(&mut self, flow: &Flow) {
        self.certified.insert(flow.connection);
    }

    /// From now on the peer of this connection needs no password and speaks for anybody: its certificate says so.
    pub fn trust(&mut self, flow: &Flow) {
        self.trusted.insert(flow.connection);
    }

    /// Takes one datagram or one framed message.
    pub fn receive(&mut self, now: Timestamp, flow: Flow, bytes: Bytes, out: &mut Vec<Effect>) {
        self.counters.received += 1;
        self.stands(&flow);
        match Message::parse(bytes) {
            Ok(message) if message.is_request() => self.request(now, flow, message, out),
            Ok(message) => self.response(now, flow, message, out),
            Err(error) => {
                let answer = error.status().zip(error.message());
                self.unreadable(now, &flow, answer, error.fault(), out);
            }
        }
    }

    /// Takes the end of a stream that can't be framed any more: answers if an answer is possible, and closes.
    pub fn framing_error(
        &mut self,
        now: Timestamp,
        flow: Flow,
        error: &FramingError,
        out: &mut Vec<Effect>,
    ) {
        self.counters.received += 1;
        self.stands(&flow);
        let answer = error.status().zip(error.message());
        self.unreadable(now, &flow, answer, error.fault(), out);
        out.push(Effect::Close {
            connection: flow.connection,
        });
    }

    /// Answers what could be read in part, if an answer is possible.
    fn unreadable(
        &mut self,
        now: Timestamp,
        flow: &Flow,
        answer: Option<(StatusCode, &Message)>,
        fault: Fault,
        out: &mut Vec<Effect>,
    ) {
        match answer {
            Some((status, message)) => {
                self.refuse(now, flow, message, &Refusal::Unreadable(status, fault), out);
            }
            None => self.counters.unreadable += 1,
        }
    }

    /// Takes note that a connection is gone, and with it the requests that were sent over it.
    pub fn connection_closed(
        &mut self,
        now: Timestamp,
        connection: ConnectionId,
        out: &mut Vec<Effect>,
    ) {
        self.connections.remove(&connection);
        self.trusted.remove(&connection);
        self.certified.remove(&connection);
        let failed = self.clients.fail(&mut self.wheel, |flow| {
            flow.transport.is_reliable() && flow.connection == connection
        });
        for Ended { origin, token } in failed {
            let failure = Failure::Transport("connection closed".to_owned());
            self.fail_over(now, origin, token, failure, out);
        }
    }

    /// Takes note that the transport could not send over this flow; requests that went there have failed.
    pub fn send_failed(
        &mut self,
        now: Timestamp,
        flow: &Flow,
        reason: &str,
        out: &mut Vec<Effect>,
    ) {
        if flow.transport.is_reliable() {
            self.connections.remove(&flow.connection);
        }
        let failed = self.clients.fail(&mut self.wheel, |other| {
            other.transport == flow.transport
                && other.remote == flow.remote
                && other.connection == flow.connection
        });
        for Ended { origin, token } in failed {
            let failure = Failure::Transport(reason.to_owned());
            self.fail_over(now, origin, token, failure, out);
        }
    }

    /// Fires what is due.
    pub fn wake(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        while let Some((_, timer)) = self.wheel.pop(now) {
            match timer {
                Timer::FirstE => {
                    let timers = self.settings.timers;
                    while let Some(fired) = self.clients.first_shot(now, &mut self.wheel, &timers) {
                        self.retransmit(fired, out);
                    }
                }
                Timer::E(row) => {
                    let timers = &self.settings.timers;
                    let fired = self.clients.retransmit(now, &mut self.wheel, timers, row);
                    self.retransmit(fired, out);
                }
                Timer::F(row) => {
                    // A server that has said at least something is not a failed one (RFC 3263, 4.3).
                    let heard = self.clients.is_proceeding(row);
                    match self.clients.time_out(&mut self.wheel, row) {
                        Fired::TimedOut(Ended { origin, token }) if heard => {
                            self.time_out(origin, token, out);
                        }
                        Fired::TimedOut(Ended { origin, token }) => {
                            self.fail_over(now, origin, token, Failure::Timeout, out);
                        }
                        Fired::Retransmit(..) | Fired::Silent | Fired::Gone => {}
                    }
                }
                Timer::K => self.clients.expire(now, &mut self.wheel),
                Timer::J => self.servers.expire(now, &mut self.wheel),
                Timer::Unanswered => {
                    self.counters.unanswered += self.servers.give_up(now, &mut self.wheel);
                }
            }
        }
        self.lapse_tickets(now, out);
    }

    /// Sends a request again, if there is one.
    fn retransmit(&mut self, fired: Fired<Origin>, out: &mut Vec<Effect>) {
        if let Fired::Retransmit(flow, bytes) = fired {
            self.counters.requests_retransmitted += 1;
            out.push(Effect::Send { flow, bytes });
        }
    }

    /// When [`Endpoint::wake`] has something to do.
    pub fn next_wake(&self) -> Option<Timestamp> {
        let ticket = self
            .tickets
            .first_key_value()
            .map(|(_, ticket)| ticket.lapses);
        [self.wheel.next(), ticket].into_iter().flatten().min()
    }

    /// Who has claimed Manager messages of this type; case and white space around it do not matter.
    pub fn route_manager(&self, kind: &str) -> Option<ModuleId> {
        self.modules.manager(kind)
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The module table.
    pub fn modules(&self) -> &ModuleTable {
        &self.modules
    }

    /// How many requests are with modules, unanswered.
    pub fn in_flight(&self) -> usize {
        self.servers.trying()
    }

    /// How many transactions are kept: of clients, and of ourselves.
    pub fn transactions(&self) -> (usize, usize) {
        (self.servers.len(), self.clients.len())
    }

    /// Remembers the connection, or the address of ours, that a message came over.
    fn stands(&mut self, flow: &Flow) {
        if flow.shard != self.settings.shard {
            return;
        }
        if flow.transport.is_reliable() {
            self.connections.insert(flow.connection, flow.remote);
        } else if self.learned.len() < MOST_LEARNED && !self.hears(flow.local) {
            self.learned.push(flow.local);
        }
    }

    /// Whether datagrams to this address reach us.
    fn hears(&self, local: SocketAddr) -> bool {
        self.locals.contains(&(Transport::Udp, local)) || self.learned.contains(&local)
    }

    /// Whether a flow can be sent over: a datagram always, a connection while it stands.
    fn is_alive(&self, flow: &Flow) -> bool {
        !flow.transport.is_reliable()
            || (flow.shard == self.settings.shard
                && self.connections.get(&flow.connection) == Some(&flow.remote))
    }

    /// A request of ours has ended.
    fn forget(&mut self, origin: Origin, token: Token) {
        self.courses.forget(origin, token);
        if let Some(account) = &mut self.account {
            account.forget(origin, token);
        }
        if let Some(redirects) = &mut self.redirects {
            redirects.forget(origin, token);
        }
    }

    fn time_out(&mut self, origin: Origin, token: Token, out: &mut Vec<Effect>) {
        self.counters.timeouts += 1;
        self.forget(origin, token);
        let outcome = Outcome {
            token,
            result: OutcomeResult::Timeout,
        };
        out.push(Effect::Outcome { origin, outcome });
    }

    fn fail(&mut self, origin: Origin, token: Token, reason: String, out: &mut Vec<Effect>) {
        self.counters.transport_errors += 1;
        self.forget(origin, token);
        let outcome = Outcome {
            token,
            result: OutcomeResult::TransportError(reason),
        };
        out.push(Effect::Outcome { origin, outcome });
    }
}

/// A header line, if there is what to say in it.
fn line(name: &str, value: Option<&str>) -> String {
    value.map_or_else(String::new, |value| format!("{name}: {value}\r\n"))
}

#[cfg(test)]
mod tests;
