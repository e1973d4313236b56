//! The registry: presentities with their publications, subscriptions and bindings of one shard, as a value.
//!
//! ```text
//!  Incoming ──> decide ──> Commit ──> store
//!                 │                     │ committed
//!                 │ refused             v
//!                 └──> Reply      change the rows, Reply, NOTIFY
//! ```
//!
//! A request is decided from the rows, which show what is stored; what it changes is asked for in one commit, and the
//! rows change when the store has it (docs/adr/0006). Meanwhile a second request for the same presentity (RFC 3903, 6 asks
//! for their order), the same dialog or the same address of record waits; all others go on.

mod admit;
mod authorization;
mod bill;
mod bindings;
mod books;
mod bounds;
mod codec;
mod commit;
mod composing;
mod counters;
mod describe;
mod ending;
mod fields;
mod ledger;
mod load;
mod publications;
mod publish;
mod register;
mod registrar;
mod rename;
mod resume;
mod rows;
mod settings;
mod settle;
mod settled;
mod shares;
mod snapshot;
pub mod store;
mod subscribe;
mod subscribed;
mod tell;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod watchers;
mod winfo;

use std::sync::Arc;

use crate::entropy::Entropy;
use crate::exchange::{Incoming, Outcome, Outgoing, Reply, Shard, Token, TransactionId};
use crate::keyed::Secret;
use crate::publication::EntityTags;
use crate::sip::{Head, HeaderError, Method, StatusCode, UriParts};
use crate::time::{Timestamp, Wheel};

pub use authorization::{DecideError, Decision};
pub use books::Books;
pub use codec::RecordError;
pub use composing::{Composed, Job};
pub use counters::Counters;
pub use describe::describe;
pub use registrar::options;
pub use resume::Resumption;
pub use settings::{Compositor, Durations, Limits, Package, Registrar, Settings};
pub use shares::{Over, Share, Shares};
pub use snapshot::{BindingRow, PresentityRow, PublicationRow, Snapshot, SubscriptionRow};
pub use store::{
    BindingRecord, Change, Commit, CommitOutcome, OpId, PublicationRecord, Record, RecordKey,
    SettledRecord, Span, Standing, StateDigest, SubscriptionRecord, Version, WatcherRecord,
};
pub use watchers::WatcherRow;

use bindings::Bindings;
use commit::Pending;
use ledger::Ledger;
use resume::Resuming;
use rows::{Presentities, Subscriptions, Timer};
use settled::Settling;
use watchers::Authorizations;

/// What the registry wants done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Answer a request.
    Reply(Reply),
    /// Send a NOTIFY.
    Send(Outgoing),
    /// Store this, then tell [`Registry::committed`].
    Commit(Commit),
    /// Compose this where it stops nobody, then tell [`Registry::composed`].
    Compose(Job),
    /// The [`Decision`] with this ticket is stored, and so many live subscriptions are treated by it; or it is not.
    Decided(u64, Result<usize, DecideError>),
    /// For the log: see [`Settings::notes`].
    Note(Note),
    /// For the log: new state is refused for want of memory from now on, or is taken again.
    Memory {
        /// Which of both.
        refused: bool,
        /// Bytes that the rows of the node take.
        used: u64,
        /// Bytes that they may take.
        limit: u64,
    },
}

/// Something for the log.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// A publication was made, refreshed, modified, removed, or lapsed.
    Publication {
        /// Whose.
        presentity: Arc<str>,
        /// The entity-tag it has now.
        etag: Arc<str>,
        /// What happened: `created`, `refreshed`, `modified`, `removed`, `lapsed`.
        change: &'static str,
    },
    /// A subscription was made, refreshed, or ended.
    Subscription {
        /// To whom.
        presentity: Arc<str>,
        /// Of which dialog.
        call_id: String,
        /// What happened: `created`, `refreshed`, `fetched`, `ended`.
        change: &'static str,
        /// Why it ended.
        reason: Option<&'static str>,
    },
    /// The contacts of an address of record changed.
    Bindings {
        /// Whose.
        aor: Arc<str>,
        /// How many there are now.
        contacts: usize,
    },
    /// A request was refused.
    Refused {
        /// Its Call-ID.
        call_id: String,
        /// The answer.
        status: StatusCode,
        /// Why.
        reason: String,
    },
}

/// The presence server's state of one shard.
#[derive(Debug)]
pub struct Registry {
    settings: Settings,
    shard: Shard,
    entropy: Entropy,
    /// How often the store was opened; see docs/adr/0005.
    epoch: u64,
    wheel: Wheel<Timer>,
    presentities: Presentities,
    subscriptions: Subscriptions,
    bindings: Bindings,
    authorizations: Authorizations,
    settling: Settling,
    /// Stored subscriptions until they are looked at after a restart.
    resuming: Resuming,
    pending: Pending,
    etags: EntityTags,
    ledger: Ledger,
    /// Upper half of NOTIFY tokens: counted, from a random start, so that outcomes of before a rebuild find nothing.
    sendings: u32,
    counters: Counters,
}

impl Registry {
    /// An empty shard. `epoch` is that of the store.
    pub fn new(settings: Settings, shard: Shard, mut entropy: Entropy, epoch: u64) -> Self {
        let secret = Secret::draw(&mut entropy);
        Self {
            presentities: Presentities::new(settings.packages.len(), secret),
            subscriptions: Subscriptions::default(),
            bindings: Bindings::new(secret),
            authorizations: Authorizations::new(secret),
            settling: Settling::default(),
            resuming: Resuming::default(),
            pending: Pending::new(shard, entropy.next_u64()),
            etags: EntityTags::new(shard, epoch),
            ledger: Ledger::new(settings.books.clone(), settings.limits.memory),
            // The upper half is as random as the whole.
            sendings: (entropy.next_u64() >> 32) as u32,
            wheel: Wheel::new(),
            counters: Counters::default(),
            settings,
            shard,
            entropy,
            epoch,
        }
    }

    /// A PUBLISH, SUBSCRIBE or REGISTER came.
    pub fn request(&mut self, now: Timestamp, incoming: Incoming, out: &mut Vec<Effect>) {
        self.wake(now, out);
        self.counters.requests += 1;
        if self.ask(now, &incoming, out) {
            self.dispatch(now, incoming, out);
        }
    }

    /// A NOTIFY ended.
    pub fn outcome(&mut self, now: Timestamp, outcome: Outcome, out: &mut Vec<Effect>) {
        self.wake(now, out);
        self.notify_ended(now, outcome, out);
    }

    /// Does what is due.
    pub fn wake(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        self.tell_memory(now, false, out);
        while let Some((_, timer)) = self.wheel.pop(now) {
            match timer {
                Timer::Lapse { presentity } => self.lapse(now, presentity, out),
                Timer::Change(presentity) => self.changes(now, presentity, out),
                Timer::Pace(presentity) => self.paced(now, presentity, out),
                Timer::Tell(presentity) => self.tell_more(now, presentity, out),
                Timer::Expire(subscription) => self.expire(now, subscription, out),
                Timer::Resume(subscription) => self.resume(now, subscription, out),
                Timer::Recover => self.recover(now, out),
                Timer::Remember => self.remember(now, out),
                Timer::Unbind(row) => self.unbind(now, row, out),
                Timer::GiveUp(row) => self.give_up(now, row, out),
                Timer::Retry => self.retry(now, out),
            }
        }
    }

    /// When [`Registry::wake`] wants to be called next.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.wheel.next()
    }

    /// What was done so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether [`Effect::Note`]s are given from now on.
    pub fn set_notes(&mut self, notes: bool) {
        self.settings.notes = notes;
    }

    /// Requests that are not answered yet: they wait for the store.
    pub fn unanswered(&self) -> Vec<TransactionId> {
        self.pending.unanswered()
    }

    /// Those of them that may be answered when the outcome of this commit is known.
    pub fn resting_on(&self, op: OpId) -> impl Iterator<Item = TransactionId> {
        self.pending.resting_on(op)
    }

    /// Decides about a request, or puts it behind one that is being stored.
    fn dispatch(&mut self, now: Timestamp, incoming: Incoming, out: &mut Vec<Effect>) {
        match incoming.message.method() {
            Some(Method::Publish) => self.publish(now, incoming, out),
            Some(Method::Subscribe) => self.subscribe(now, incoming, out),
            Some(Method::Register) => self.register(now, incoming, out),
            // The module table sends nothing else here; if it did, the transaction would wait for ever.
            _ => {
                out.push(Effect::Reply(Reply::new(
                    incoming.transaction,
                    StatusCode::NOT_IMPLEMENTED,
                )));
            }
        }
    }

    /// Refuses a request.
    fn refuse(
        &mut self,
        incoming: &Incoming,
        status: StatusCode,
        reason: Option<String>,
        head: Head,
        why: &dyn std::fmt::Display,
        out: &mut Vec<Effect>,
    ) {
        let asker = self.asker(incoming);
        self.refuse_to(asker, status, reason, head, why, out);
    }

    /// Whose request it is, for a later answer.
    fn asker(&self, incoming: &Incoming) -> Asker {
        let call_id = || incoming.message.call_id().unwrap_or_default().to_owned();
        Asker {
            transaction: incoming.transaction,
            call_id: self.settings.notes.then(call_id),
        }
    }

    /// Refuses the request of an asker.
    fn refuse_to(
        &mut self,
        asker: Asker,
        status: StatusCode,
        reason: Option<String>,
        head: Head,
        why: &dyn std::fmt::Display,
        out: &mut Vec<Effect>,
    ) {
        self.counters.refused += 1;
        if self.settings.notes {
            out.push(Effect::Note(Note::Refused {
                call_id: asker.call_id.unwrap_or_default(),
                status,
                reason: why.to_string(),
            }));
        }
        let mut reply = Reply::new(asker.transaction, status).head(head.finish());
        reply.reason = reason;
        out.push(Effect::Reply(reply));
    }

    /// A number for the next NOTIFY; its lower half is the subscription's row.
    fn token(&mut self, row: u32) -> Token {
        self.sendings = self.sendings.wrapping_add(1);
        (Token::from(self.sendings) << 32) | Token::from(row)
    }

    /// The duration to grant: what was granted by the rules, less a random part against herds.
    fn spread(&mut self, granted: u32, min: u32) -> u32 {
        let part = u64::from(granted) * u64::from(self.settings.spread_percent.min(100)) / 100;
        if granted <= min || part == 0 {
            return granted;
        }
        // Below `granted`, so within 32 bits.
        let cut = self.entropy.below(part + 1) as u32;
        (granted - cut).max(min)
    }
}

/// The presentity a Request-URI names, if it is one of ours; the host if it is not.
fn presentity(
    settings: &Settings,
    uri: Result<UriParts<'_>, HeaderError>,
) -> Result<String, Stranger> {
    let uri = uri.map_err(Stranger::BadUri)?;
    let host = uri.host();
    if settings.serves(&host) {
        Ok(uri.aor())
    } else {
        Err(Stranger::NotServed(host.into_owned()))
    }
}

/// Who waits for the answer to a request that is being stored. The request itself is not kept.
#[derive(Debug)]
struct Asker {
    transaction: TransactionId,
    /// For the log, if there is one.
    call_id: Option<String>,
}

/// Why a Request-URI names none of our presentities.
enum Stranger {
    BadUri(HeaderError),
    NotServed(String),
}

/// Seconds as a duration.
fn seconds(seconds: u32) -> std::time::Duration {
    std::time::Duration::from_secs(u64::from(seconds))
}
