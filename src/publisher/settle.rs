//! What follows from an answer: each way out begins a request, arms a timer or ends the machine.

use std::time::Duration;

use super::answer::{Lost, Verdict};
use super::machine::{Held, State, Step};
use super::{Effect, Key, Phase, Publisher, Tag};
use crate::again;
use crate::buffer::{EntryId, Outcome};
use crate::time::Timestamp;

/// A request that has ended, and what came for the presentity meanwhile.
pub(super) struct Flight {
    pub step: Step,
    /// Whether it bore SIP-If-Match.
    pub conditional: bool,
    pub next: Option<Step>,
}

/// A failure that passes.
struct Failure {
    code: u16,
    reason: String,
    after: Option<u32>,
}

impl Publisher {
    pub(super) fn settle(
        &mut self,
        now: Timestamp,
        key: Key,
        flight: Flight,
        verdict: Verdict,
        out: &mut Vec<Effect>,
    ) {
        self.reachable(&verdict, out);
        match verdict {
            Verdict::Accepted { etag, expires } => {
                self.accepted(now, key, flight, etag, expires, out)
            }
            Verdict::UnknownTag => self.unknown_tag(now, key, flight, out),
            Verdict::TooBrief { min } => self.too_brief(now, key, flight, min, out),
            Verdict::Unauthorised { code } => {
                self.counters.unauthorised += 1;
                let reason = "the presence server asks for credentials: none are configured, or they are wrong";
                self.refused(now, key, flight, code, reason, true, out);
            }
            Verdict::NotNow {
                code,
                reason,
                after,
                lost,
            } => {
                match lost {
                    Lost::No => self.counters.not_now += 1,
                    Lost::Timeout => self.counters.timeouts += 1,
                    Lost::Transport => self.counters.transport_errors += 1,
                }
                self.not_now(
                    now,
                    key,
                    flight,
                    Failure {
                        code,
                        reason,
                        after,
                    },
                    out,
                );
            }
            Verdict::Refused { code, reason } => {
                self.counters.refused += 1;
                self.refused(now, key, flight, code, &reason, false, out);
            }
        }
    }

    /// Notes whether the server is there, and says so when it is back.
    fn reachable(&mut self, verdict: &Verdict, out: &mut Vec<Effect>) {
        match verdict {
            Verdict::NotNow {
                lost: Lost::Timeout | Lost::Transport,
                ..
            } => self.unreachable = true,
            // "Not now" is an answer, but no reason for everybody else to try at once.
            Verdict::NotNow { lost: Lost::No, .. } => {}
            Verdict::Accepted { .. }
            | Verdict::UnknownTag
            | Verdict::TooBrief { .. }
            | Verdict::Unauthorised { .. }
            | Verdict::Refused { .. } => {
                if self.unreachable {
                    self.unreachable = false;
                    self.counters.recovered += 1;
                    out.push(Effect::Recovered);
                }
            }
        }
    }

    fn accepted(
        &mut self,
        now: Timestamp,
        key: Key,
        flight: Flight,
        etag: Option<String>,
        expires: Option<u32>,
        out: &mut Vec<Effect>,
    ) {
        self.counters.accepted += 1;
        let Flight { step, next, .. } = flight;
        let entry = step.entry();
        if let Step::Remove { .. } = step {
            return self.gone(now, key, entry, next, out);
        }
        let granted = Duration::from_secs(u64::from(expires.unwrap_or(self.expires)));
        let expires_at = now + granted;
        let refresh_at = now + again::refresh(granted, &mut self.entropy);
        let machine = &mut self.machines[key];
        if let Step::Publish { body, .. } = step {
            machine.body = Some(body);
        }
        // A refresh that is answered without a tag leaves the old one; a state without one must be published in whole
        // again before it lapses (and `Held` knows the tag only if there is one).
        let etag = etag.or_else(|| machine.tag.take().map(|held| held.etag));
        machine.tag = etag.clone().map(|etag| Held {
            etag,
            expires_at,
            refresh_at,
        });
        if let Some(entry) = entry {
            out.push(Effect::Done(
                entry,
                Outcome::Published { etag: etag.clone() },
            ));
        }
        if granted.is_zero() {
            // Accepted and dropped at once: a server that will not keep it is asked again, ever more seldom.
            machine.tag = None;
            out.push(Effect::Forget(machine.aor.clone()));
            let flight = Flight {
                step: Step::Refresh,
                conditional: false,
                next,
            };
            return self.not_now(
                now,
                key,
                flight,
                failure(0, "the server keeps nothing"),
                out,
            );
        }
        machine.failures = 0;
        if let Some(etag) = etag {
            out.push(Effect::Remember(Tag {
                aor: machine.aor.clone(),
                etag,
                expires_at,
            }));
        }
        match (next, self.phase) {
            (Some(next), _) => self.begin(now, key, next, out),
            (None, Phase::Running) => self.rest(key, State::Published { refresh_at }),
            (None, Phase::Closing { .. } | Phase::Closed) => {
                self.begin(now, key, Step::Remove { entry: None }, out);
            }
        }
    }

    /// The server has nothing of ours any more, as was wanted.
    fn gone(
        &mut self,
        now: Timestamp,
        key: Key,
        entry: Option<EntryId>,
        next: Option<Step>,
        out: &mut Vec<Effect>,
    ) {
        let machine = &mut self.machines[key];
        machine.tag = None;
        machine.body = None;
        machine.failures = 0;
        match next {
            None => self.removed(key, entry, out),
            Some(next) => {
                out.push(Effect::Forget(machine.aor.clone()));
                if let Some(entry) = entry {
                    out.push(Effect::Done(entry, Outcome::Published { etag: None }));
                }
                self.begin(now, key, next, out);
            }
        }
    }

    /// 412: the tag is dropped and the request not repeated; the whole state is published anew, once (RFC 3903, 5). That
    /// request bears no tag, so a 412 to it is nonsense, and waits like any failure: there is no loop.
    fn unknown_tag(&mut self, now: Timestamp, key: Key, flight: Flight, out: &mut Vec<Effect>) {
        self.counters.unknown_tag += 1;
        self.machines[key].tag = None;
        if !flight.conditional {
            return self.not_now(
                now,
                key,
                flight,
                failure(412, "the server knows no such entity-tag"),
                out,
            );
        }
        let Flight { step, next, .. } = flight;
        if let Step::Remove { entry } = step {
            return self.gone(now, key, entry, next, out);
        }
        out.push(Effect::Forget(self.machines[key].aor.clone()));
        if self.phase == Phase::Running {
            let step = newer(now, step, next, out);
            return self.begin(now, key, step, out);
        }
        // It is gone already, which is what closing is about.
        if let Some(entry) = step.entry() {
            out.push(Effect::Done(entry, Outcome::Deferred { until: now }));
        }
        self.end(key);
    }

    /// 423: ask for as long as the server wants, at once; if that is no news, later.
    fn too_brief(
        &mut self,
        now: Timestamp,
        key: Key,
        flight: Flight,
        min: Option<u32>,
        out: &mut Vec<Effect>,
    ) {
        self.counters.too_brief += 1;
        match (min, &flight.step, self.phase) {
            (Some(min), Step::Publish { .. } | Step::Refresh, Phase::Running)
                if min > self.expires =>
            {
                self.expires = min;
                let step = newer(now, flight.step, flight.next, out);
                self.begin(now, key, step, out);
            }
            _ => self.not_now(
                now,
                key,
                flight,
                failure(423, "the interval is too brief"),
                out,
            ),
        }
    }

    /// A failure that passes: an entry goes back into the buffer, where a newer state can replace it; what no entry stands
    /// behind is tried again by the machine itself.
    fn not_now(
        &mut self,
        now: Timestamp,
        key: Key,
        flight: Flight,
        failure: Failure,
        out: &mut Vec<Effect>,
    ) {
        let Flight { step, next, .. } = flight;
        let closing = self.phase != Phase::Running;
        let failures = self.machines[key].failures.saturating_add(1);
        self.machines[key].failures = failures;
        let until = now + self.back_off(failures, failure.after);
        let gives_up = self.settings.give_up.is_some_and(|most| failures >= most);
        let entry = step.entry();
        if let Some(entry) = next.and_then(|next| next.entry()) {
            out.push(Effect::Done(entry, Outcome::Deferred { until }));
        }
        match entry {
            Some(entry) if gives_up => {
                self.counters.gave_up += 1;
                self.machines[key].failures = 0;
                let Failure { code, reason, .. } = failure;
                out.push(Effect::Done(entry, Outcome::Refused { code, reason }));
            }
            Some(entry) => out.push(Effect::Done(entry, Outcome::Deferred { until })),
            None => {}
        }
        if closing && self.machines[key].tag.is_none() {
            return self.end(key);
        }
        if closing {
            // Timer F has passed or the server is in trouble: a removal is tried again until the deadline.
            let state = State::Waiting {
                at: until,
                step: Step::Remove { entry: None },
                slow: false,
            };
            return self.rest(key, state);
        }
        let machine = &self.machines[key];
        match (entry, step, &machine.tag) {
            (None, step, _) => self.rest(
                key,
                State::Waiting {
                    at: until,
                    step,
                    slow: false,
                },
            ),
            // The state it had before is kept alive meanwhile; it must not be refreshed before `until` either.
            (Some(_), _, Some(held)) => {
                let refresh_at = held.refresh_at.max(until);
                self.rest(key, State::Published { refresh_at });
            }
            (Some(_), _, None) => {
                self.rest(
                    key,
                    State::Resting {
                        at: until + self.settings.retry_most,
                    },
                );
            }
        }
    }

    /// Refused for good, or until somebody configures credentials (`slow`).
    #[allow(clippy::too_many_arguments, reason = "each is a word of the answer")]
    fn refused(
        &mut self,
        now: Timestamp,
        key: Key,
        flight: Flight,
        code: u16,
        reason: &str,
        slow: bool,
        out: &mut Vec<Effect>,
    ) {
        let Flight { step, next, .. } = flight;
        let entry = step.entry();
        if let Some(entry) = entry {
            out.push(Effect::Done(
                entry,
                Outcome::Refused {
                    code,
                    reason: reason.to_owned(),
                },
            ));
        }
        if let Some(next) = next {
            return self.begin(now, key, next, out);
        }
        if self.phase != Phase::Running {
            // Neither will a removal be allowed: what is there lapses.
            return self.end(key);
        }
        // Nobody was told that a refresh failed, so it goes on, slowly; so does a state that only lacks credentials.
        let again = match step {
            Step::Publish { body, .. } if slow => Some(Step::Publish { entry: None, body }),
            Step::Publish { entry: None, body } => Some(Step::Publish { entry: None, body }),
            Step::Refresh => Some(Step::Refresh),
            Step::Publish { .. } | Step::Remove { .. } => None,
        };
        let lapses = self.machines[key].tag.as_ref().map(|held| held.expires_at);
        match (again, lapses) {
            (Some(step), _) => {
                let at = now + self.settings.retry_slow;
                self.rest(
                    key,
                    State::Waiting {
                        at,
                        step,
                        slow: true,
                    },
                );
            }
            (None, Some(at)) => self.rest(key, State::Lapsing { at }),
            (None, None) => self.end(key),
        }
    }

    fn back_off(&mut self, failures: u32, after: Option<u32>) -> Duration {
        let (first, most) = (self.settings.retry_first, self.settings.retry_most);
        again::back_off_as_asked(first, most, failures, after, &mut self.entropy)
    }
}

fn failure(code: u16, reason: &str) -> Failure {
    Failure {
        code,
        reason: reason.to_owned(),
        after: None,
    }
}

/// What to send next: what came meanwhile, if anything did. The entry of what it replaces goes back into the buffer.
fn newer(now: Timestamp, step: Step, next: Option<Step>, out: &mut Vec<Effect>) -> Step {
    let Some(next) = next else { return step };
    if let Some(entry) = step.entry() {
        out.push(Effect::Done(entry, Outcome::Deferred { until: now }));
    }
    next
}
