//! Requests to a name: which server they go to, and to which next when one fails (RFC 3263, 4).
//!
//! ```text
//!  request to a name ── Locate ──> transport ── located ──> first target ── Send, or Route and routed
//!                                                                |  503, silence, no way
//!                                                                V
//!                                                           next target, as a new transaction, or the end
//! ```
//!
//! A name is resolved once for a request: retransmissions go to the server that the transaction began with, and the
//! targets that are left wait with the request until it has ended. Only who has several is kept here at all.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use super::outgoing::Ticket;
use super::{Effect, Endpoint, Origin};
use crate::exchange::{Outgoing, Token, Transport};
use crate::resolve::{AVOID, Avoided, Servers, Target, Wanted};
use crate::sip::{Message, StatusCode};
use crate::time::Timestamp;
use crate::transaction::Ended;

/// How a request failed to reach a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nothing came back in time.
    Timeout,
    /// It could not be sent; why, in words.
    Transport(String),
}

/// A request, the server it is at, and those it may go to next.
#[derive(Clone, Debug)]
struct Course {
    outgoing: Outgoing,
    /// By which the servers were found.
    name: String,
    current: Target,
    next: VecDeque<Target>,
}

/// Requests with several servers to go to, and the servers that have failed lately.
#[derive(Debug, Default)]
pub(super) struct Courses {
    requests: BTreeMap<(Origin, Token), Course>,
    avoided: Avoided,
}

impl Courses {
    /// A request has ended.
    pub fn forget(&mut self, origin: Origin, token: Token) {
        // Nearly always there is none.
        if !self.requests.is_empty() {
            self.requests.remove(&(origin, token));
        }
    }

    /// Goes on avoiding whom another endpoint has found to fail.
    pub fn avoid_on(&mut self, failed: &Self) {
        self.avoided.clone_from(&failed.avoided);
    }
}

impl Endpoint {
    /// Asks for the servers of a name.
    pub(super) fn locate(
        &mut self,
        now: Timestamp,
        origin: Origin,
        outgoing: Outgoing,
        wanted: Wanted,
        out: &mut Vec<Effect>,
    ) {
        self.counters.names_asked += 1;
        let ticket = self.issue(now, Ticket::to(origin, outgoing, wanted.host.clone()));
        out.push(Effect::Locate { ticket, wanted });
    }

    /// Takes the answer to an [`Effect::Locate`]: the servers, or in words why there is none.
    pub fn located(
        &mut self,
        now: Timestamp,
        ticket: u64,
        servers: Result<&Servers, String>,
        out: &mut Vec<Effect>,
    ) {
        // Taken out when it is done, as with the answer to a route.
        let Some((origin, outgoing, name)) = self.tickets.get(&ticket).and_then(Ticket::sought)
        else {
            self.counters.routes_unasked += 1;
            return;
        };
        match servers {
            Ok(servers) => {
                let mut targets = servers.order(&mut self.entropy);
                self.courses.avoided.put_last(now, &mut targets);
                self.set_out(now, origin, outgoing, name, targets.into(), out);
            }
            Err(reason) => {
                self.counters.names_unknown += 1;
                self.fail(origin, outgoing.token, reason, out);
            }
        }
        self.tickets.remove(&ticket);
    }

    /// Sends a request to the first of its targets, and keeps it if there are others.
    fn set_out(
        &mut self,
        now: Timestamp,
        origin: Origin,
        outgoing: Outgoing,
        name: String,
        mut targets: VecDeque<Target>,
        out: &mut Vec<Effect>,
    ) {
        let Some(current) = targets.pop_front() else {
            let reason = format!("no address for host {name}: none is left");
            return self.fail(origin, outgoing.token, reason, out);
        };
        if !targets.is_empty() {
            let course = Course {
                outgoing: outgoing.clone(),
                name: name.clone(),
                current,
                next: targets,
            };
            let key = (origin, outgoing.token);
            self.courses.requests.insert(key, course);
        }
        self.send_to(now, origin, outgoing, name, current, out);
    }

    fn send_to(
        &mut self,
        now: Timestamp,
        origin: Origin,
        outgoing: Outgoing,
        name: String,
        target: Target,
        out: &mut Vec<Effect>,
    ) {
        if let Err(why) = self.judge(target.transport, target.remote) {
            return self.bar(now, origin, &outgoing, target.remote, why, out);
        }
        let datagram = match target.transport {
            Transport::Udp => self.datagram(target.remote, None),
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => None,
        };
        if let Some(flow) = datagram {
            return self.transmit(now, origin, outgoing, flow, out);
        }
        self.counters.routes_asked += 1;
        let ticket = self.issue(now, Ticket::request(origin, outgoing));
        out.push(Effect::Route {
            ticket,
            transport: Some(target.transport),
            host: target.remote.ip().to_string(),
            port: Some(target.remote.port()),
            name: Some(name),
        });
    }

    /// A request could not reach the server that it was sent to: it goes to the next one, or it has failed.
    pub(super) fn fail_over(
        &mut self,
        now: Timestamp,
        origin: Origin,
        token: Token,
        failure: Failure,
        out: &mut Vec<Effect>,
    ) {
        if self.go_on(now, origin, token, AVOID, out) {
            return;
        }
        match failure {
            Failure::Timeout => self.time_out(origin, token, out),
            Failure::Transport(reason) => self.fail(origin, token, reason, out),
        }
    }

    /// Whether a response is a 503 that sends its request to another server. For the last one it is the answer.
    pub(super) fn turned_away(
        &mut self,
        now: Timestamp,
        origin: Origin,
        token: Token,
        response: &Message,
        out: &mut Vec<Effect>,
    ) -> bool {
        if response.status() != Some(StatusCode::SERVICE_UNAVAILABLE) {
            return false;
        }
        let seconds = response.retry_after().ok().flatten();
        let pause = seconds.map_or(AVOID, |seconds| Duration::from_secs(seconds.into()));
        self.go_on(now, origin, token, pause, out)
    }

    /// Takes note that ICMP calls a place unreachable (RFC 3261, 18.4). Requests that were sent there by datagram go to their
    /// next servers. Who has no other waits on: a server that restarts is there again for a retransmission.
    pub fn unreachable(&mut self, now: Timestamp, remote: SocketAddr, out: &mut Vec<Effect>) {
        let courses = &self.courses.requests;
        if courses.is_empty() {
            return;
        }
        let failed = self.clients.fail_those(&mut self.wheel, |ended, flow| {
            let course = courses.get(&(ended.origin, ended.token));
            flow.transport == Transport::Udp
                && flow.remote == remote
                && course.is_some_and(|course| !course.next.is_empty())
        });
        for Ended { origin, token } in failed {
            let failure = Failure::Transport("unreachable".to_owned());
            self.fail_over(now, origin, token, failure, out);
        }
    }

    /// Sends a request to its next server as a new transaction, if there is one; the present one is avoided for a while.
    fn go_on(
        &mut self,
        now: Timestamp,
        origin: Origin,
        token: Token,
        pause: Duration,
        out: &mut Vec<Effect>,
    ) -> bool {
        let Some(course) = self.courses.requests.get_mut(&(origin, token)) else {
            return false;
        };
        self.courses.avoided.avoid(now, course.current, pause);
        let Some(target) = course.next.pop_front() else {
            self.courses.requests.remove(&(origin, token));
            return false;
        };
        course.current = target;
        let (outgoing, name) = (course.outgoing.clone(), course.name.clone());
        self.counters.failed_over += 1;
        self.send_to(now, origin, outgoing, name, target, out);
        true
    }

    /// Sends a request again that its server has answered with a challenge: that same server knows the answer to it.
    pub(super) fn send_again(
        &mut self,
        now: Timestamp,
        origin: Origin,
        again: Outgoing,
        out: &mut Vec<Effect>,
    ) {
        let key = (origin, again.token);
        let Some(course) = self.courses.requests.get_mut(&key) else {
            return self.dispatch(now, origin, again, out);
        };
        course.outgoing = again.clone();
        let (name, target) = (course.name.clone(), course.current);
        self.send_to(now, origin, again, name, target, out);
    }

    /// Requests with further servers that are in no transaction and wait for no way: an endpoint that failed was just
    /// about to send them.
    pub(super) fn underway(&self) -> Vec<(Origin, Token)> {
        let calling = self.clients.unanswered().map(|e| (e.origin, e.token));
        let waiting = self.tickets.values().filter_map(Ticket::owner);
        let told: BTreeSet<(Origin, Token)> = calling.chain(waiting).collect();
        let requests = self.courses.requests.keys().copied();
        requests.filter(|key| !told.contains(key)).collect()
    }
}
