//! A new endpoint in the place of one that has failed.
//!
//! Nobody knows in which state a machine is that panicked half-way, so its transactions are not gone on with. But
//! everybody who waits for them is told, and every number that is still on its way to us means what it meant.

use super::{Effect, Endpoint, Refusal};
use crate::time::Timestamp;

impl Endpoint {
    /// Takes the place of `failed`. Requests that modules sent end in a transport error, so that no module waits for an
    /// outcome for ever; requests that modules have are answered 500, and what the modules say of them later is late.
    /// Connections stand as before; transactions and tickets are numbered on, so that an answer to the old endpoint
    /// is never taken for one to the new.
    pub fn succeed(&mut self, now: Timestamp, failed: &Self, out: &mut Vec<Effect>) {
        self.locals.clone_from(&failed.locals);
        self.learned.clone_from(&failed.learned);
        self.machine.clone_from(&failed.machine);
        self.counters.clone_from(&failed.counters);
        self.connections.clone_from(&failed.connections);
        self.trusted.clone_from(&failed.trusted);
        self.certified.clone_from(&failed.certified);
        self.servers.count_on(&failed.servers);
        self.last_ticket = failed.last_ticket;
        self.courses.avoid_on(&failed.courses);
        let reason = "the endpoint failed";
        for ended in failed.clients.unanswered() {
            self.fail(ended.origin, ended.token, reason.to_owned(), out);
        }
        for ticket in failed.tickets.values() {
            match ticket.owner() {
                Some((origin, token)) => self.fail(origin, token, reason.to_owned(), out),
                None => self.counters.responses_lost += 1,
            }
        }
        for (origin, token) in failed.underway() {
            self.fail(origin, token, reason.to_owned(), out);
        }
        for pending in failed.servers.unanswered() {
            self.refuse(now, &pending.flow, &pending.request, &Refusal::Failed, out);
        }
    }
}
