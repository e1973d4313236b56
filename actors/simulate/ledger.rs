//! The books of a simulated world: what was said, what was shown, and whether that is right.
//!
//! The ledger knows no actor and no network. The world writes down what it sees, and [`Ledger::verdict`] says which
//! invariant was broken, where and when. Every state carries its version as a note (`v17`), so that what a watcher is
//! shown can be traced to the moment somebody said it.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use rollcall_core::time::Timestamp;

/// A broken invariant, in words.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// Which invariant.
    pub invariant: Invariant,
    /// Milliseconds since the world began.
    pub at: u64,
    /// What was seen, and what should have been.
    pub what: String,
}

/// What must hold in every world, however bad its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Invariant {
    /// Once the network has healed, each watcher's last NOTIFY shows what the Manager last said.
    Convergence,
    /// No state is shown that was never said.
    NothingMadeUp,
    /// CSeq of the NOTIFYs of a dialog grows with each of them (RFC 3261, 12.2.1.1).
    CseqGrows,
    /// No watcher is shown an older state after a newer one.
    VersionsGrow,
    /// No entity-tag is given twice (RFC 3903, 6).
    EntityTagOnce,
    /// Nothing is left after everything expired.
    NothingLeft,
    /// Every accepted Manager message ends in exactly one ACK or NAK.
    OneAnswer,
    /// What was answered 2xx is there until it expires, whatever crashes.
    AcknowledgedLoss,
    /// No 2xx leaves before what it promises is on disk (docs/adr/0006).
    AnswerAfterCommit,
    /// No NOTIFY follows the one that said `terminated` (RFC 6665, 4.2.2).
    NothingAfterTheEnd,
    /// One PUBLISH at most succeeds with an entity-tag (RFC 3903, 6).
    OneSuccess,
    /// A blocked watcher is shown nothing, a pending one no state (RFC 3856, 6.6.2).
    Permissions,
    /// Every request that the server can answer is answered.
    EveryAnswer,
    /// No commit was decided from an old version: a shard is the only writer of its records.
    SingleWriter,
    /// The server wakes and keeps no more than what happens gives reason for.
    BoundedWork,
}

impl Invariant {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 15] = [
        Self::Convergence,
        Self::NothingMadeUp,
        Self::CseqGrows,
        Self::VersionsGrow,
        Self::EntityTagOnce,
        Self::NothingLeft,
        Self::OneAnswer,
        Self::AcknowledgedLoss,
        Self::AnswerAfterCommit,
        Self::NothingAfterTheEnd,
        Self::OneSuccess,
        Self::Permissions,
        Self::EveryAnswer,
        Self::SingleWriter,
        Self::BoundedWork,
    ];

    /// As the report says it.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Convergence => "each watcher was shown what the Manager last said",
            Self::NothingMadeUp => "no state was shown that was never said",
            Self::CseqGrows => "CSeq grew with each NOTIFY of a dialog",
            Self::VersionsGrow => "no watcher was shown an older state after a newer one",
            Self::EntityTagOnce => "no entity-tag was given twice",
            Self::NothingLeft => "nothing was left after everything expired",
            Self::OneAnswer => "every accepted Manager message ended in exactly one ACK or NAK",
            Self::AcknowledgedLoss => "what was answered 2xx was there until it expired",
            Self::AnswerAfterCommit => "no 2xx left before what it promises was on disk",
            Self::NothingAfterTheEnd => "no NOTIFY followed the one that said terminated",
            Self::OneSuccess => "one PUBLISH at most succeeded with an entity-tag",
            Self::Permissions => "blocked watchers were shown nothing, pending ones no state",
            Self::EveryAnswer => "every request that the server could answer was answered",
            Self::SingleWriter => "no commit was decided from an old version of a record",
            Self::BoundedWork => "the server woke and kept no more than there was reason for",
        }
    }
}

/// A state that a source told the Manager.
#[derive(Clone, Debug)]
struct Said {
    at: Timestamp,
    /// The state in a few words.
    gist: String,
}

/// What one watcher was shown of one presentity.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    /// The newest version so far.
    newest: u64,
    /// The version last shown; `None` when it was shown that nothing is known.
    last: Option<u64>,
}

/// Key of a dialog as the network shows it: Call-ID and the notifier's tag.
type Dialog = (String, String);

/// The books.
#[derive(Debug)]
pub struct Ledger {
    began: Timestamp,
    /// When each version of a presentity was said; the last is what must be shown in the end.
    said: BTreeMap<String, BTreeMap<u64, Said>>,
    shown: BTreeMap<(u32, String), Shown>,
    /// NOTIFYs of each dialog by CSeq: in which order they left, and under which branch.
    cseqs: BTreeMap<Dialog, BTreeMap<u32, (u64, String)>>,
    /// Entity-tags with the request that each was given for: Call-ID and CSeq.
    tags: BTreeMap<String, (String, u32)>,
    /// Answers to each message a source sent: (source, run of the source's session, seq).
    answers: BTreeMap<(u32, u64, u64), u32>,
    latency: Histogram<u64>,
    violations: Vec<Violation>,
}

impl Ledger {
    /// Empty books of a world that begins now.
    pub fn new(began: Timestamp) -> Self {
        let latency =
            Histogram::new_with_max(3_600_000, 3).expect("bounds that the histogram allows");
        Self {
            began,
            said: BTreeMap::new(),
            shown: BTreeMap::new(),
            cseqs: BTreeMap::new(),
            tags: BTreeMap::new(),
            answers: BTreeMap::new(),
            latency,
            violations: Vec::new(),
        }
    }

    /// Somebody's state changed, and a source told the Manager.
    pub fn said(&mut self, at: Timestamp, entity: &str, version: u64, gist: String) {
        self.said
            .entry(entity.to_owned())
            .or_default()
            .insert(version, Said { at, gist });
    }

    /// A watcher was shown a version of a presentity and its gist, or (`None`) that nothing is known of it.
    pub fn shown(
        &mut self,
        at: Timestamp,
        watcher: u32,
        entity: &str,
        state: Option<(u64, String)>,
    ) {
        let shown = self.shown.entry((watcher, entity.to_owned())).or_default();
        let Some((version, gist)) = state else {
            shown.last = None;
            return;
        };
        let newest = shown.newest;
        shown.last = Some(version);
        shown.newest = newest.max(version);
        let said = self
            .said
            .get(entity)
            .and_then(|versions| versions.get(&version));
        let made_up = match said {
            None => Some("which nobody said".to_owned()),
            Some(said) if said.gist != gist => Some(format!("which was said to be {}", said.gist)),
            Some(said) => {
                if version > newest {
                    let millis = u64::try_from(at.since(said.at).as_millis()).unwrap_or(u64::MAX);
                    self.latency.saturating_record(millis);
                }
                None
            }
        };
        if let Some(but) = made_up {
            let what = format!("watcher {watcher} was shown {entity} v{version} as {gist}, {but}");
            self.violation(Invariant::NothingMadeUp, at, what);
        }
        if version < newest {
            let what = format!("watcher {watcher} was shown {entity} v{version} after v{newest}");
            self.violation(Invariant::VersionsGrow, at, what);
        }
    }

    /// A NOTIFY was on the wire; `order` counts what was sent. The same branch again is a retransmission.
    pub fn notify_sent(
        &mut self,
        at: Timestamp,
        order: u64,
        call_id: &str,
        tag: &str,
        cseq: u32,
        branch: &str,
    ) {
        let dialog = self
            .cseqs
            .entry((call_id.to_owned(), tag.to_owned()))
            .or_default();
        match dialog.get_mut(&cseq) {
            None => {
                dialog.insert(cseq, (order, branch.to_owned()));
            }
            // The network may deliver a retransmission before the original.
            Some((first, known)) if known == branch => *first = order.min(*first),
            Some((_, known)) => {
                let what = format!(
                    "dialog {call_id} has CSeq {cseq} under the branches {known} and {branch}"
                );
                self.violation(Invariant::CseqGrows, at, what);
            }
        }
    }

    /// Of each dialog: a NOTIFY with a higher CSeq must have left later.
    fn check_cseqs(&mut self, at: Timestamp) {
        let mut fallen = Vec::new();
        for ((call_id, _), sent) in &self.cseqs {
            for ((low, (before, _)), (high, (after, _))) in sent.iter().zip(sent.iter().skip(1)) {
                if before >= after {
                    fallen.push(format!("dialog {call_id} sent CSeq {low} after {high}"));
                }
            }
        }
        for what in fallen {
            self.violation(Invariant::CseqGrows, at, what);
        }
    }

    /// The server gave an entity-tag in the answer to a PUBLISH. The same answer again is a retransmission.
    pub fn entity_tag(&mut self, at: Timestamp, tag: &str, call_id: &str, cseq: u32) {
        match self.tags.get(tag) {
            Some((id, number)) if id == call_id && *number == cseq => {}
            Some((id, number)) => {
                let what = format!(
                    "entity-tag {tag} of {id}/{number} was given again to {call_id}/{cseq}"
                );
                self.violation(Invariant::EntityTagOnce, at, what);
            }
            None => {
                self.tags.insert(tag.to_owned(), (call_id.to_owned(), cseq));
            }
        }
    }

    /// A source's message went into a session with the Manager.
    pub fn offered(&mut self, source: u32, run: u64, seq: u64) {
        self.answers.entry((source, run, seq)).or_insert(0);
    }

    /// An ACK or NAK came back to the source.
    pub fn answered(&mut self, at: Timestamp, source: u32, run: u64, seq: u64) {
        let count = self.answers.entry((source, run, seq)).or_insert(0);
        *count += 1;
        if *count > 1 {
            let what = format!("message {seq} of source {source} was answered {count} times");
            self.violation(Invariant::OneAnswer, at, what);
        }
    }

    /// The sessions of a source broke: what they had not answered is offered anew in the next one.
    pub fn session_lost(&mut self, source: u32, run: u64) {
        self.answers
            .retain(|(of, session, _), count| *of != source || *session != run || *count > 0);
    }

    /// A watcher begins to watch: from now on it owes us the last word.
    pub fn watches(&mut self, watcher: u32, entity: &str) {
        self.shown.entry((watcher, entity.to_owned())).or_default();
    }

    fn last_word(&self, entity: &str) -> Option<u64> {
        self.said
            .get(entity)
            .and_then(|versions| versions.last_key_value())
            .map(|(version, _)| *version)
    }

    /// The network has healed and all had time to catch up: now everybody must know the last word.
    pub fn settle(&mut self, at: Timestamp) {
        self.check_cseqs(at);
        let behind: Vec<String> = self
            .shown
            .iter()
            .filter(|((_, entity), shown)| shown.last != self.last_word(entity))
            .map(|((watcher, entity), shown)| {
                let (shown, word) = (version(shown.last), version(self.last_word(entity)));
                format!(
                    "watcher {watcher} was last shown {entity} {shown}, the last word is {word}"
                )
            })
            .collect();
        for what in behind {
            self.violation(Invariant::Convergence, at, what);
        }
        let open: Vec<_> = self
            .answers
            .iter()
            .filter(|(_, count)| **count == 0)
            .map(|(key, _)| *key)
            .collect();
        for (source, _, seq) in open {
            let what = format!("message {seq} of source {source} was never answered");
            self.violation(Invariant::OneAnswer, at, what);
        }
    }

    /// Everybody is gone and everything has expired: this many rows are left at the server.
    pub fn left_over(&mut self, at: Timestamp, kind: &str, rows: u64) {
        if rows > 0 {
            self.violation(
                Invariant::NothingLeft,
                at,
                format!("{rows} {kind} are left"),
            );
        }
    }

    /// The world's thread woke so often, and there was reason for so much.
    pub fn worked(&mut self, at: Timestamp, wakes: u64, most: u64) {
        if wakes > most {
            let what = format!("the thread woke {wakes} times, and there was reason for {most}");
            self.violation(Invariant::BoundedWork, at, what);
        }
    }

    /// All that was broken, in order of time.
    pub fn verdict(&self) -> &[Violation] {
        &self.violations
    }

    /// From the Manager's event to the NOTIFY that shows it first to a watcher, in milliseconds.
    pub fn latency(&self) -> &Histogram<u64> {
        &self.latency
    }

    /// Writes down a breach.
    pub fn violation(&mut self, invariant: Invariant, at: Timestamp, what: String) {
        let at = u64::try_from(at.since(self.began).as_millis()).unwrap_or(u64::MAX);
        self.violations.push(Violation {
            invariant,
            at,
            what,
        });
    }
}

fn version(version: Option<u64>) -> String {
    version.map_or_else(|| "nothing".to_owned(), |version| format!("v{version}"))
}

#[cfg(test)]
mod tests;
