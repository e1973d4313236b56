//! Datagrams of a pass, kept until its end by where they go: those of one place go out together.
//!
//! Responses go before requests, so that no NOTIFY overtakes the 200 of its SUBSCRIBE; otherwise the order to each
//! place is kept. They are of two sizes, so that each kind goes [together](crate::transport::Bundle).

use bytes::Bytes;
use rollcall_core::exchange::Flow;

use super::Endpoint;
use super::datagram::Sent;

/// Places that are kept apart; all is sent when one more comes. They are searched one by one.
const PLACES: usize = 16;

/// Datagrams to one place that are kept; all is sent when there are as many.
const FULL: usize = 256;

/// What goes to one place.
#[derive(Debug)]
struct Bag {
    flow: Flow,
    responses: Vec<Bytes>,
    requests: Vec<Bytes>,
}

/// Datagrams that go out at the end of a pass.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// The first `used` have something; the others are kept for their memory.
    bags: Vec<Bag>,
    used: usize,
}

impl Outbox {
    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// The bag of a place, a new one if there is room; the last ones are looked at first.
    fn bag(&mut self, flow: &Flow) -> Option<&mut Bag> {
        let found = self.bags[..self.used].iter().rposition(|b| b.flow == *flow);
        if found.is_none() {
            if self.used == PLACES {
                return None;
            }
            match self.bags.get_mut(self.used) {
                Some(bag) => bag.flow = *flow,
                None => self.bags.push(Bag {
                    flow: *flow,
                    responses: Vec::new(),
                    requests: Vec::new(),
                }),
            }
            self.used += 1;
        }
        self.bags.get_mut(found.unwrap_or(self.used - 1))
    }

    /// Keeps a datagram, if there is room; then, whether there is room for another one.
    fn put(&mut self, flow: &Flow, bytes: Bytes) -> Result<bool, Bytes> {
        let Some(bag) = self.bag(flow) else {
            return Err(bytes);
        };
        if bytes.starts_with(b"SIP/2.0 ") {
            bag.responses.push(bytes);
        } else {
            bag.requests.push(bytes);
        }
        Ok(bag.responses.len() + bag.requests.len() < FULL)
    }
}

impl Endpoint {
    /// Sends a datagram at the end of this pass, or earlier if there are many.
    pub(super) fn send_datagram(&mut self, flow: Flow, bytes: Bytes) {
        let kept = self.outbox.put(&flow, bytes).or_else(|bytes| {
            self.send_datagrams();
            self.outbox.put(&flow, bytes)
        });
        if kept != Ok(true) {
            self.send_datagrams();
        }
    }

    /// Sends the datagrams that are kept. What can't be sent, the core learns, and may want more for it.
    pub(super) fn send_datagrams(&mut self) {
        let mut outbox = std::mem::take(&mut self.outbox);
        for bag in &mut outbox.bags[..outbox.used] {
            let mut sent = Sent::default();
            let reason = match self.port_for(&bag.flow) {
                Some(port) => {
                    port.send(&bag.responses, bag.flow.remote, &mut sent);
                    port.send(&bag.requests, bag.flow.remote, &mut sent);
                    sent.error.map(|error| error.to_string())
                }
                None => {
                    sent.failed = (bag.responses.len() + bag.requests.len()) as u64;
                    Some("no UDP socket of that address family".to_owned())
                }
            };
            bag.responses.clear();
            bag.requests.clear();
            self.counters.datagrams_sent += sent.sent;
            self.counters.datagrams_dropped += sent.dropped;
            self.counters.socket_errors += sent.failed;
            if let Some(reason) = reason {
                let flow = bag.flow;
                self.ask(|core, now, out| core.send_failed(now, &flow, &reason, out));
            }
        }
        outbox.used = 0;
        self.outbox = outbox;
    }
}
