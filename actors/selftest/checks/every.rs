//! What holds for every message of the server: judged at the end, by all that was seen.

use super::super::requirement::{Decision, Requirement, Verdict, must, should};
use super::super::sightings::{Breach, Sightings};

pub(in super::super) const EVERY: &[Requirement] = &[
    must(
        "every-message-sip",
        3261,
        "7",
        "Everything that the server sends is a SIP message.",
    ),
    must(
        "every-answer-whole",
        3261,
        "8.2.6.2",
        "Every response has Via, From, To, Call-ID and CSeq.",
    ),
    must(
        "every-answer-tagged",
        3261,
        "8.2.6.2",
        "Every final response has a tag in To.",
    ),
    must(
        "no-provisional",
        4320,
        "4.1",
        "No provisional response but 100 comes to what is no INVITE.",
    ),
    should(
        "no-trying",
        4320,
        "4.1",
        "Not even 100, to what is answered soon.",
    ),
    must(
        "no-408",
        4320,
        "4.2",
        "408 is never sent to what is no INVITE.",
    ),
    must(
        "no-event-in-answers",
        6665,
        "8.2.1",
        "Event does not stand in responses.",
    ),
    must("no-202", 6665, "8.3.1", "202 is not sent any more."),
];

/// Decides them.
pub(in super::super) fn judge(sightings: &Sightings) -> Vec<Decision> {
    let breaches: [&Breach; 8] = [
        &sightings.malformed,
        &sightings.incomplete,
        &sightings.untagged,
        &sightings.provisional,
        &sightings.trying,
        &sightings.timeouts,
        &sightings.event_in_response,
        &sightings.accepted,
    ];
    let verdict = |breach: &Breach| match breach.seen {
        0 if sightings.responses == 0 => Verdict::NotTested {
            reason: "nothing was answered".to_owned(),
        },
        0 => Verdict::Pass,
        times => Verdict::Fail {
            expected: "never".to_owned(),
            came: format!("{times} times, the first time {}", breach.example),
        },
    };
    EVERY
        .iter()
        .zip(breaches)
        .map(|(&requirement, breach)| Decision {
            requirement,
            verdict: verdict(breach),
        })
        .collect()
}
