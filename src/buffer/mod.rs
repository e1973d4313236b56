//! The circular publish buffer of the Presence Client, as a value.
//!
//! The side towards the Manager puts each received state in; as long as the buffer is not empty, the side towards the
//! Presence Server takes states out, publishes them, and says how that ended. Neither waits for the other: the publisher
//! asks for as many entries as it has room for ([`Buffer::take`]), and the Manager's session reads as many messages as
//! the buffer has room for ([`Effect::Credit`]).
//!
//! ```text
//!  Manager ── PRESENCE ──> offer() ─┐ ring, by arrival ┌─ take() ──> publisher
//!          <── Credit, ACK, NAK ────┴──────────────────┴─ done() <──────┘
//! ```
//!
//! Per presentity only the newest state matters: a newer one replaces a waiting one in place, and the sequence numbers of
//! both end with the outcome of the newer. An entry leaves only when its PUBLISH is finally answered: while it is being
//! published it keeps its slot, and a newer state waits in that slot behind it (RFC 3903, section 4: no second PUBLISH
//! before the answer to the first).

mod slot;
#[cfg(test)]
mod tests;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::manager::{Ack, Nak, Presence};
use crate::sip::{Scheme, Uri, domain};
use crate::time::Timestamp;
use slot::{Seqs, Slot, Taken, Waiting};
pub use types::{Counters, Effect, Entry, EntryId, Outcome, Overflow, Settings};

/// The circular buffer.
#[derive(Debug)]
pub struct Buffer {
    settings: Settings,
    /// By entry number, which grows with arrival: the ring in its order.
    slots: BTreeMap<EntryId, Slot>,
    by_aor: BTreeMap<String, EntryId>,
    /// Entries that may be taken now, oldest first.
    ready: BTreeSet<EntryId>,
    /// Entries that may be taken later; ordered by time, so that the next wake-up is the first key.
    held: BTreeSet<(Timestamp, EntryId)>,
    /// How many entries the publisher has.
    in_flight: usize,
    next: u64,
    /// Credit given to the present session that it has not used.
    outstanding: usize,
    run: Option<String>,
    /// Which run of the Manager, counted: numbers of different runs have nothing to do with each other.
    run_number: u32,
    counters: Counters,
}

impl Buffer {
    /// An empty buffer.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings: Settings {
                capacity: settings.capacity.max(1),
                ..settings
            },
            slots: BTreeMap::new(),
            by_aor: BTreeMap::new(),
            ready: BTreeSet::new(),
            held: BTreeSet::new(),
            in_flight: 0,
            next: 0,
            outstanding: 0,
            run: None,
            run_number: 0,
            counters: Counters::default(),
        }
    }

    /// A session with the Manager begins: it gets the credit there is. `run` names the Manager's run (from its
    /// `WELCOME`); when that is another than before, or unknown, nobody waits for the old sequence numbers any more.
    pub fn session(&mut self, run: Option<&str>, out: &mut Vec<Effect>) {
        if run.is_none() || self.run.as_deref() != run {
            self.run_number += 1;
            self.run = run.map(str::to_owned);
        }
        self.outstanding = 0;
        self.grant(out);
    }

    /// A state arrives from the Manager.
    pub fn offer(&mut self, presence: Presence, out: &mut Vec<Effect>) {
        self.counters.received += 1;
        self.outstanding = self.outstanding.saturating_sub(1);
        let seq = presence.seq;
        match presentity(&presence.entity) {
            Some((_, host)) if !self.serves(&host) => {
                self.counters.refused_domain += 1;
                let reason = format!("this client does not publish for {host}");
                self.nak(seq, 0, &reason, out);
            }
            Some((aor, _)) => self.put(aor, presence, out),
            None => {
                self.counters.refused_entity += 1;
                self.nak(seq, 0, "the entity is not a sip, sips or pres URI", out);
            }
        }
        self.grant(out);
    }

    fn serves(&self, host: &str) -> bool {
        let domains = &self.settings.domains;
        domains.is_empty() || domains.iter().any(|own| domain(own) == host)
    }

    fn put(&mut self, aor: String, presence: Presence, out: &mut Vec<Effect>) {
        let seq = presence.seq;
        if let Some(&id) = self.by_aor.get(&aor) {
            self.replace(id, presence, out);
            return;
        }
        if self.slots.len() >= self.settings.capacity && !self.make_room(out) {
            self.counters.refused_full += 1;
            self.nak(seq, 0, "the publish buffer is full", out);
            return;
        }
        let id = self.fresh();
        let waiting = Waiting {
            presence: Arc::new(presence),
            seqs: Seqs::of(self.run_number, seq),
        };
        self.slots.insert(
            id,
            Slot {
                aor: aor.clone(),
                taken: None,
                waiting: Some(waiting),
                held: None,
            },
        );
        self.by_aor.insert(aor, id);
        self.ready.insert(id);
        self.counters.high_water = self.counters.high_water.max(self.slots.len() as u64);
    }

    /// A newer state for a presentity that has a slot.
    fn replace(&mut self, id: EntryId, presence: Presence, out: &mut Vec<Effect>) {
        let run = self.run_number;
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        if let Some(seq) = presence.seq
            && slot.has(run, seq)
        {
            // Sent again after a reconnect while it is still here: its one ACK or NAK is yet to come.
            self.counters.duplicates += 1;
            return;
        }
        let seq = presence.seq;
        let presence = Arc::new(presence);
        match &mut slot.waiting {
            Some(waiting) => {
                waiting.presence = presence;
                let surplus = waiting.seqs.push(run, seq);
                self.counters.coalesced += 1;
                if let Some((of_run, seq)) = surplus {
                    self.counters.superseded_refused += 1;
                    self.settle(of_run, seq, &refusal(0, "superseded by newer states"), out);
                }
            }
            None => {
                slot.waiting = Some(Waiting {
                    presence,
                    seqs: Seqs::of(run, seq),
                })
            }
        }
    }

    /// Up to `room` entries that may be published now, oldest first.
    pub fn take(&mut self, now: Timestamp, room: usize, entries: &mut Vec<Entry>) {
        self.release(now);
        for _ in 0..room {
            let Some(id) = self.ready.pop_first() else {
                return;
            };
            let Some(slot) = self.slots.get_mut(&id) else {
                continue;
            };
            let Some(waiting) = slot.waiting.take() else {
                continue;
            };
            entries.push(Entry {
                id,
                aor: slot.aor.clone(),
                presence: Arc::clone(&waiting.presence),
            });
            slot.taken = Some(Taken {
                presence: waiting.presence,
                seqs: waiting.seqs,
            });
            self.in_flight += 1;
            self.counters.taken += 1;
        }
    }

    /// The publisher says how the publication of an entry ended. An entry that is not with it is ignored.
    pub fn done(&mut self, id: EntryId, outcome: Outcome, out: &mut Vec<Effect>) {
        let Some(taken) = self.slots.get_mut(&id).and_then(|slot| slot.taken.take()) else {
            return;
        };
        let Some(mut slot) = self.slots.remove(&id) else {
            return;
        };
        self.in_flight -= 1;
        match outcome {
            Outcome::Published { .. } | Outcome::Refused { .. } => {
                for (run, seq) in taken.seqs.into_iter() {
                    self.settle(run, seq, &outcome, out);
                }
                self.by_aor.remove(&slot.aor);
                if slot.waiting.is_some() {
                    // What waited behind goes to the end of the ring: a presentity that never rests starves nobody.
                    slot.held = None;
                    let next = self.fresh();
                    self.by_aor.insert(slot.aor.clone(), next);
                    self.slots.insert(next, slot);
                    self.ready.insert(next);
                }
            }
            Outcome::Deferred { until } => {
                self.counters.deferred += 1;
                slot.waiting = Some(match slot.waiting.take() {
                    None => Waiting {
                        presence: taken.presence,
                        seqs: taken.seqs,
                    },
                    Some(newer) => {
                        self.counters.coalesced += 1;
                        let mut seqs = taken.seqs;
                        for (run, seq) in newer.seqs.into_iter() {
                            if let Some((run, seq)) = seqs.push(run, Some(seq)) {
                                self.counters.superseded_refused += 1;
                                let why = refusal(0, "superseded by newer states");
                                self.settle(run, seq, &why, out);
                            }
                        }
                        Waiting {
                            presence: newer.presence,
                            seqs,
                        }
                    }
                });
                slot.held = Some(until);
                self.slots.insert(id, slot);
                self.held.insert((until, id));
            }
        }
        self.grant(out);
    }

    /// When an entry that was put back may be taken again.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.held.first().map(|(at, _)| *at)
    }

    /// Entries whose time has come may be taken again. The caller then asks [`Buffer::take`] if the publisher has room.
    pub fn wake(&mut self, now: Timestamp) {
        self.release(now);
    }

    /// The server answers again: what was put back needs to wait no longer.
    pub fn release_all(&mut self) {
        while let Some((_, id)) = self.held.pop_first() {
            self.make_ready(id);
        }
    }

    fn release(&mut self, now: Timestamp) {
        while let Some(&(at, id)) = self.held.first()
            && at <= now
        {
            self.held.pop_first();
            self.make_ready(id);
        }
    }

    fn make_ready(&mut self, id: EntryId) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.held = None;
            self.ready.insert(id);
        }
    }

    /// Messages the session may still be allowed to read.
    pub fn credit(&self) -> usize {
        let room = match self.settings.overflow {
            Overflow::Block => self.settings.capacity.saturating_sub(self.slots.len()),
            Overflow::Overwrite => self.settings.capacity,
        };
        room.saturating_sub(self.outstanding)
    }

    /// Presentities in the buffer, those being published included.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Entries that may be taken now.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Entries that the publisher has.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn fresh(&mut self) -> EntryId {
        self.next += 1;
        EntryId(self.next)
    }

    /// Frees the slot of the oldest state that the publisher does not have.
    fn make_room(&mut self, out: &mut Vec<Effect>) -> bool {
        if self.settings.overflow == Overflow::Block {
            return false;
        }
        let Some(id) = self
            .slots
            .iter()
            .find(|(_, slot)| slot.taken.is_none())
            .map(|(id, _)| *id)
        else {
            return false;
        };
        let Some(slot) = self.slots.remove(&id) else {
            return false;
        };
        self.ready.remove(&id);
        if let Some(until) = slot.held {
            self.held.remove(&(until, id));
        }
        self.by_aor.remove(&slot.aor);
        self.counters.overwritten += 1;
        let why = refusal(0, "overwritten in a full publish buffer");
        for (run, seq) in slot
            .waiting
            .into_iter()
            .flat_map(|waiting| waiting.seqs.into_iter())
        {
            self.settle(run, seq, &why, out);
        }
        true
    }

    /// The one ACK or NAK of a sequence number.
    fn settle(&mut self, run: u32, seq: u64, outcome: &Outcome, out: &mut Vec<Effect>) {
        if run != self.run_number {
            self.counters.forgotten += 1;
            return;
        }
        match outcome {
            Outcome::Published { etag } => {
                self.counters.acked += 1;
                out.push(Effect::Ack(Ack {
                    seq,
                    etag: etag.clone(),
                }));
            }
            Outcome::Refused { code, reason } => {
                self.counters.naked += 1;
                out.push(Effect::Nak(Nak {
                    seq,
                    code: *code,
                    reason: reason.clone(),
                }));
            }
            Outcome::Deferred { .. } => {}
        }
    }

    fn nak(&mut self, seq: Option<u64>, code: u16, reason: &str, out: &mut Vec<Effect>) {
        if let Some(seq) = seq {
            self.settle(self.run_number, seq, &refusal(code, reason), out);
        }
    }

    /// Gives the session what credit there is, in portions: one actor message for many messages on the wire.
    fn grant(&mut self, out: &mut Vec<Effect>) {
        let credit = self.credit();
        let portion = (self.settings.capacity / 8).max(1);
        if credit > 0 && (self.outstanding == 0 || credit >= portion) {
            self.outstanding += credit;
            out.push(Effect::Credit(credit));
        }
    }
}

fn refusal(code: u16, reason: &str) -> Outcome {
    Outcome::Refused {
        code,
        reason: reason.to_owned(),
    }
}

/// The address of a presentity in its one spelling, and its domain; `None` for what cannot be published by SIP.
fn presentity(entity: &str) -> Option<(String, String)> {
    let uri = Uri::parse(entity.trim()).ok()?;
    match uri.scheme {
        Scheme::Sip | Scheme::Sips | Scheme::Pres => {}
        Scheme::Tel | Scheme::Im | Scheme::Other(_) => return None,
    }
    // It is to stand in a start line, between angle brackets, and in a line of the tag journal.
    let unfit = |c: char| c.is_whitespace() || c.is_control() || "<>\"".contains(c);
    let address = uri.address();
    (!address.contains(unfit)).then(|| (address, uri.parts().host().into_owned()))
}
