//! Requests of modules: how they are written, and the way they take (RFC 3261, 8.1.2, 18.1.1; RFC 3263, 4).

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::hop::{Hop, next_hop};
use super::locate::Failure;
use super::{Effect, Endpoint, Origin};
use crate::exchange::{Destination, Flow, LOCAL_CONTACT, Outgoing, Token, Transport};
use crate::resolve::Wanted;
use crate::sip::{Host, write_request};
use crate::time::Timestamp;
use crate::transaction;

/// How many more hops a request of ours may take (RFC 3261, 8.1.1.6).
const MAX_FORWARDS: u8 = 70;

/// What waits for the transport to find a way.
#[derive(Debug)]
pub(super) struct Ticket {
    /// When it is given up; set when the question is asked.
    pub lapses: Timestamp,
    cargo: Cargo,
}

#[derive(Clone, Debug)]
enum Cargo {
    Request(Origin, Box<Outgoing>),
    /// One that is too large for the flow it was to take: it takes that after all if there is no other.
    Large(Origin, Box<Outgoing>, Option<Flow>),
    /// One whose servers are sought by their name.
    Seeking(Origin, Box<Outgoing>, String),
    Response(Bytes),
}

impl Ticket {
    pub fn response(bytes: Bytes) -> Self {
        Self {
            lapses: Timestamp::default(),
            cargo: Cargo::Response(bytes),
        }
    }

    /// Whose request it carries, if it is one.
    pub fn owner(&self) -> Option<(Origin, Token)> {
        match &self.cargo {
            Cargo::Request(origin, outgoing)
            | Cargo::Large(origin, outgoing, _)
            | Cargo::Seeking(origin, outgoing, _) => Some((*origin, outgoing.token)),
            Cargo::Response(_) => None,
        }
    }

    pub fn large(origin: Origin, outgoing: Outgoing, fallback: Option<Flow>) -> Self {
        Self {
            lapses: Timestamp::default(),
            cargo: Cargo::Large(origin, Box::new(outgoing), fallback),
        }
    }

    /// The request that seeks its servers, and their name.
    pub fn sought(&self) -> Option<(Origin, Outgoing, String)> {
        match &self.cargo {
            Cargo::Seeking(origin, outgoing, name) => {
                Some((*origin, (**outgoing).clone(), name.clone()))
            }
            Cargo::Request(..) | Cargo::Large(..) | Cargo::Response(_) => None,
        }
    }

    /// A request to a name.
    pub fn to(origin: Origin, outgoing: Outgoing, name: String) -> Self {
        Self {
            lapses: Timestamp::default(),
            cargo: Cargo::Seeking(origin, Box::new(outgoing), name),
        }
    }

    pub fn request(origin: Origin, outgoing: Outgoing) -> Self {
        Self {
            lapses: Timestamp::default(),
            cargo: Cargo::Request(origin, Box::new(outgoing)),
        }
    }
}

impl Endpoint {
    /// Sends a module's request. Exactly one [`Effect::Outcome`] follows, now or later.
    pub fn send(
        &mut self,
        now: Timestamp,
        origin: Origin,
        outgoing: Outgoing,
        out: &mut Vec<Effect>,
    ) {
        if let Some(account) = &mut self.account {
            account.keep(origin, &outgoing);
        }
        if let Some(redirects) = &mut self.redirects {
            redirects.keep(origin, &outgoing);
        }
        self.dispatch(now, origin, outgoing, out);
    }

    /// Finds the way of a request, or asks for it.
    pub(super) fn dispatch(
        &mut self,
        now: Timestamp,
        origin: Origin,
        outgoing: Outgoing,
        out: &mut Vec<Effect>,
    ) {
        let (flow, alone) = match outgoing.destination {
            Destination::Flow(flow) => (Some(flow), false),
            Destination::Bounded(bounds) => (bounds.flow, bounds.alone),
            Destination::Address(transport, remote) => {
                return self.send_to_address(now, origin, outgoing, transport, remote, out);
            }
            Destination::NextHop => (None, false),
        };
        match flow {
            Some(flow) if flow.transport == Transport::Udp => {
                match self.datagram(flow.remote, Some(flow.local)) {
                    Some(flow) => self.transmit(now, origin, outgoing, flow, out),
                    None => self.ask_for(now, origin, outgoing, flow.transport, flow.remote, out),
                }
            }
            Some(flow) if self.is_alive(&flow) => self.transmit(now, origin, outgoing, flow, out),
            Some(_) if alone => {
                self.counters.flows_lost += 1;
                let reason = "the connection is gone, and nobody may say where else".to_owned();
                self.fail(origin, outgoing.token, reason, out);
            }
            Some(_) => {
                self.counters.flows_lost += 1;
                self.send_to_next_hop(now, origin, outgoing, out);
            }
            None => self.send_to_next_hop(now, origin, outgoing, out),
        }
    }

    fn send_to_address(
        &mut self,
        now: Timestamp,
        origin: Origin,
        outgoing: Outgoing,
        transport: Transport,
        remote: SocketAddr,
        out: &mut Vec<Effect>,
    ) {
        let datagram = match transport {
            Transport::Udp => self.datagram(remote, None),
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => None,
        };
        match datagram {
            Some(flow) => self.transmit(now, origin, outgoing, flow, out),
            None => self.ask_for(now, origin, outgoing, transport, remote, out),
        }
    }

    /// Takes the answer to an [`Effect::Route`]: the way, or in words why there is none.
    pub fn routed(
        &mut self,
        now: Timestamp,
        ticket: u64,
        way: Result<Flow, String>,
        out: &mut Vec<Effect>,
    ) {
        // Taken out when it is done: a panic on the way must not swallow the end of a request (see `succession`).
        let Some(Ticket { cargo, .. }) = self.tickets.get(&ticket) else {
            self.counters.routes_unasked += 1;
            return;
        };
        let cargo = cargo.clone();
        if let Ok(flow) = &way {
            self.stands(flow);
        }
        match (cargo, way) {
            (
                Cargo::Request(origin, outgoing)
                | Cargo::Large(origin, outgoing, _)
                | Cargo::Seeking(origin, outgoing, _),
                Ok(flow),
            ) => self.transmit(now, origin, *outgoing, flow, out),
            (Cargo::Large(origin, outgoing, Some(flow)), Err(_)) => {
                self.send_large_by_datagram(now, origin, *outgoing, flow, out)
            }
            (
                Cargo::Request(origin, outgoing)
                | Cargo::Large(origin, outgoing, None)
                | Cargo::Seeking(origin, outgoing, _),
                Err(reason),
            ) => {
                let failure = Failure::Transport(reason);
                self.fail_over(now, origin, outgoing.token, failure, out)
            }
            (Cargo::Response(bytes), Ok(flow)) => out.push(Effect::Send { flow, bytes }),
            (Cargo::Response(_), Err(_)) => self.counters.responses_lost += 1,
        }
        self.tickets.remove(&ticket);
    }

    /// Gives up what has waited for a way as long as for a response.
    pub(super) fn lapse_tickets(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        while let Some(entry) = self.tickets.first_entry() {
            if entry.get().lapses > now {
                break;
            }
            match entry.remove().cargo {
                Cargo::Request(origin, outgoing)
                | Cargo::Large(origin, outgoing, _)
                | Cargo::Seeking(origin, outgoing, _) => {
                    self.fail_over(now, origin, outgoing.token, Failure::Timeout, out)
                }
                Cargo::Response(_) => self.counters.responses_lost += 1,
            }
        }
    }

    /// Keeps what waits for an answer of the transport, and gives its number.
    pub(super) fn issue(&mut self, now: Timestamp, ticket: Ticket) -> u64 {
        self.last_ticket += 1;
        let lapses = now + self.settings.timers.lifetime();
        self.tickets
            .insert(self.last_ticket, Ticket { lapses, ..ticket });
        self.last_ticket
    }

    /// Asks the transport for a way.
    pub(super) fn ask(
        &mut self,
        now: Timestamp,
        ticket: Ticket,
        transport: Option<Transport>,
        host: String,
        port: Option<u16>,
        out: &mut Vec<Effect>,
    ) {
        self.counters.routes_asked += 1;
        let ticket = self.issue(now, ticket);
        out.push(Effect::Route {
            ticket,
            transport,
            host,
            port,
            name: None,
        });
    }

    fn ask_for(
        &mut self,
        now: Timestamp,
        origin: Origin,
        outgoing: Outgoing,
        transport: Transport,
        remote: SocketAddr,
        out: &mut Vec<Effect>,
    ) {
        if let Err(why) = self.judge(transport, remote) {
            return self.bar(now, origin, &outgoing, remote, why, out);
        }
        let ticket = Ticket::request(origin, outgoing);
        self.ask(
            now,
            ticket,
            Some(transport),
            remote.ip().to_string(),
            Some(remote.port()),
            out,
        );
    }

    fn send_to_next_hop(
        &mut self,
        now: Timestamp,
        origin: Origin,
        outgoing: Outgoing,
        out: &mut Vec<Effect>,
    ) {
        let Hop {
            secure,
            transport,
            host,
            port,
        } = match next_hop(&outgoing) {
            Ok(hop) => hop,
            Err(error) => return self.fail(origin, outgoing.token, error.to_string(), out),
        };
        let address = match host {
            Host::V4(address) => IpAddr::V4(address),
            Host::V6(address) => IpAddr::V6(address),
            Host::Name(name) => {
                let host = name.into_string();
                let wanted = Wanted {
                    secure,
                    transport,
                    host,
                    port,
                };
                return self.locate(now, origin, outgoing, wanted, out);
            }
        };
        // An address without a transport means UDP, or TLS where the scheme asks for it (RFC 3263, 4.1).
        let transport = transport.or(secure.then_some(Transport::Tls));
        let datagram = match transport {
            None | Some(Transport::Udp) => {
                self.datagram(SocketAddr::new(address, port.unwrap_or(5060)), None)
            }
            Some(_) => None,
        };
        match datagram {
            Some(flow) => self.transmit(now, origin, outgoing, flow, out),
            None => {
                let usual = transport.unwrap_or(Transport::Udp);
                let place = SocketAddr::new(address, port.unwrap_or(usual.default_port()));
                if let Err(why) = self.judge(usual, place) {
                    return self.bar(now, origin, &outgoing, place, why, out);
                }
                let ticket = Ticket::request(origin, outgoing);
                self.ask(now, ticket, transport, address.to_string(), port, out);
            }
        }
    }

    /// The flow of a datagram from one of our addresses, from `wanted` if that is given. None if no address of ours fits,
    /// or `wanted` is none of them any more: then the transport knows which one its peer should see.
    pub(super) fn datagram(&self, remote: SocketAddr, wanted: Option<SocketAddr>) -> Option<Flow> {
        let local = match wanted {
            Some(local) => Some(local).filter(|local| self.hears(*local))?,
            None => self.local_for(Transport::Udp, remote.ip())?,
        };
        Some(Flow {
            shard: self.settings.shard,
            transport: Transport::Udp,
            local,
            remote,
            connection: Default::default(),
        })
    }

    /// Our address for peers at `remote`: of the same family, and loopback for loopback if there is a choice.
    fn local_for(&self, transport: Transport, remote: IpAddr) -> Option<SocketAddr> {
        let fitting = || {
            let fits = move |&&(of, local): &&(Transport, SocketAddr)| {
                of == transport && local.is_ipv4() == remote.is_ipv4()
            };
            self.locals.iter().filter(fits).map(|&(_, local)| local)
        };
        fitting()
            .find(|local| local.ip().is_loopback() == remote.is_loopback())
            .or_else(|| fitting().next())
    }

    /// Where peers reach us who got a message over this flow: what we listen on, not the short-lived port of a
    /// connection that we opened.
    fn reachable(&self, flow: &Flow) -> SocketAddr {
        match flow.transport {
            Transport::Udp => flow.local,
            stream => {
                let same = self
                    .locals
                    .iter()
                    .find(|(of, local)| *of == stream && local.ip() == flow.local.ip());
                let same = same.map(|&(_, local)| local);
                same.or_else(|| self.local_for(stream, flow.remote.ip()))
                    .unwrap_or(flow.local)
            }
        }
    }

    /// Writes a request, begins its transaction and sends it.
    pub(super) fn transmit(
        &mut self,
        now: Timestamp,
        origin: Origin,
        outgoing: Outgoing,
        flow: Flow,
        out: &mut Vec<Effect>,
    ) {
        if flow.transport == Transport::Udp
            && let Err(why) = self.judge(flow.transport, flow.remote)
        {
            return self.bar(now, origin, &outgoing, flow.remote, why, out);
        }
        let token: Token = outgoing.token;
        // The upper half.
        let random = (self.entropy.next_u64() >> 32) as u32;
        let branch_token = self.clients.next_branch(random);
        let room = self.room_of(&outgoing, &flow);
        let bytes = self.write_out(&outgoing, &flow, branch_token, room.is_none());
        let rest = match room {
            None if self.is_too_large(now, &flow, bytes.len()) => {
                return self.send_large(now, origin, outgoing, flow, bytes.len(), out);
            }
            None => u32::MAX,
            Some(room) => match room.checked_sub(bytes.len()) {
                Some(rest) => u32::try_from(rest).unwrap_or(u32::MAX - 1),
                None => {
                    self.counters.held_back += 1;
                    let reason = "too long for a place that has not answered yet".to_owned();
                    return self.fail(origin, token, reason, out);
                }
            },
        };
        let request = transaction::Request {
            origin,
            token,
            branch: branch_token,
            method: outgoing.method,
            flow,
            bytes: bytes.clone(),
            room: rest,
        };
        self.counters.requests_sent += 1;
        self.clients
            .begin(now, &mut self.wheel, &self.settings.timers, request);
        out.push(Effect::Send { flow, bytes });
    }

    /// With our User-Agent header or without.
    fn write_out(&mut self, outgoing: &Outgoing, flow: &Flow, token: u64, agent: bool) -> Bytes {
        let ours = self.reachable(flow);
        let line = self
            .account
            .as_mut()
            .and_then(|account| account.authorize(outgoing, &mut self.entropy));
        let sender = self.senders.of(&self.settings, flow.transport, ours);
        sender.begin(token);
        let head = &outgoing.head[..];
        let (front, contact, rest) = match self.local_contact.find(head) {
            Some(at) => (
                &head[..at],
                sender.contact().as_bytes(),
                &head[at + LOCAL_CONTACT.len()..],
            ),
            None => (head, &[][..], &[][..]),
        };
        let line = line.unwrap_or_default();
        let agent = if agent { &self.user_agent } else { "" };
        let heads = [agent.as_bytes(), front, contact, rest, line.as_bytes()];
        // Not by way of the buffer, as responses are: with its body it is long, and copying it would cost more than its memory.
        let mut bytes = Vec::new();
        write_request(
            &mut bytes,
            &outgoing.method,
            &outgoing.uri,
            sender.via(),
            MAX_FORWARDS,
            &heads,
            &outgoing.body,
        );
        bytes.into()
    }
}
