//! How a check decides its requirements, and what becomes of those that it could not come to.

use std::fmt::Display;

use rollcall_core::sip::Message;

use super::peer::{Peer, Stop, code, shown};
use super::request::Request;
use super::requirement::{Requirement, Verdict};

impl Peer {
    /// Decides a requirement.
    pub fn holds(&mut self, id: &'static str, is_so: bool, expected: &str, came: impl Display) {
        let verdict = if is_so {
            Verdict::Pass
        } else {
            Verdict::Fail {
                expected: expected.to_owned(),
                came: came.to_string(),
            }
        };
        self.decide(id, verdict);
    }

    /// Decides a requirement that asks for one of these statuses.
    pub fn answered(&mut self, id: &'static str, response: &Message, good: &[u16]) {
        let words: Vec<String> = good.iter().map(u16::to_string).collect();
        let is_so = good.contains(&code(response));
        self.holds(id, is_so, &words.join(" or "), shown(response));
    }

    /// Asks what may stay without an answer, too, and goes on.
    pub async fn asked(
        &mut self,
        id: &'static str,
        request: &Request,
        good: &[u16],
    ) -> Result<(), Stop> {
        let answer = self.ask_once(request).await;
        self.judged(id, answer, good)
    }

    /// Decides by an answer, or by that there is none.
    pub fn judged(
        &mut self,
        id: &'static str,
        answer: Result<Message, Stop>,
        good: &[u16],
    ) -> Result<(), Stop> {
        match answer {
            Ok(response) => self.answered(id, &response, good),
            Err(Stop::Missing { expected, came }) => self.holds(id, false, &expected, came),
            Err(other) => return Err(other),
        }
        Ok(())
    }

    /// It does not concern this server.
    pub fn not_applicable(&mut self, id: &'static str, reason: impl Display) {
        let reason = reason.to_string();
        self.decide(id, Verdict::NotApplicable { reason });
    }

    fn decide(&mut self, id: &'static str, verdict: Verdict) {
        // The first failure is the one that tells.
        let known = self.verdicts.get(id);
        if !matches!(known, Some(Verdict::Fail { .. })) {
            self.verdicts.insert(id, verdict);
        }
    }

    /// The verdicts, those that a stop prevented among them.
    pub fn verdicts(&mut self, of: &[Requirement], stop: Option<Stop>) -> Vec<Verdict> {
        let mut stop = stop;
        of.iter()
            .map(|requirement| match self.verdicts.remove(requirement.id) {
                Some(verdict) => verdict,
                None if !requirement.over.has(self.transport()) => Verdict::NotApplicable {
                    reason: format!("not over {}", self.transport().via()),
                },
                None => undecided(&mut stop),
            })
            .collect()
    }
}

/// The verdicts of a check that could not begin.
pub(super) fn stopped(of: &[Requirement], stop: Stop) -> Vec<Verdict> {
    let mut stop = Some(stop.unready());
    of.iter().map(|_| undecided(&mut stop)).collect()
}

fn undecided(stop: &mut Option<Stop>) -> Verdict {
    match stop.take() {
        Some(Stop::Missing { expected, came }) => {
            let reason = format!("{expected} was wanted before, but {came} came");
            *stop = Some(Stop::Unready(reason));
            Verdict::Fail { expected, came }
        }
        Some(Stop::Unready(reason)) => {
            *stop = Some(Stop::Unready(reason.clone()));
            Verdict::NotTested { reason }
        }
        Some(Stop::NotOffered(reason)) => {
            *stop = Some(Stop::NotOffered(reason.clone()));
            Verdict::NotApplicable { reason }
        }
        None => Verdict::NotTested {
            reason: "the check came to its end without it".to_owned(),
        },
    }
}
