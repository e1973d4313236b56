//! A registry between publishers, watchers and a store that do anything in any order, and that is restarted at any
//! time. Whatever happens: each request gets one answer, no entity-tag is given twice, CSeq grows, there is one NOTIFY
//! in flight for each subscription, watchers end up with the latest state that their handling lets them see, watcher information
//! adds up to who watches, and nothing is left when all has expired.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use crate::exchange::OutcomeResult;
use crate::registry::testing::{Desk, StoreMood, pidf};
use crate::registry::{CommitOutcome, Package, PresentityRow, Settings, Snapshot};
use crate::watcherinfo::Handling;

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// PUBLISH: an initial one, or with one of the last entity-tags given.
    Publish { who: u8, what: u8, tag: u8 },
    /// SUBSCRIBE outside of a dialog.
    Subscribe { who: u8, expires: u8 },
    /// SUBSCRIBE in one of the dialogs there were, with an `id` or none.
    Within { dialog: u8, id: u8, expires: u8 },
    /// REGISTER.
    Register { who: u8, contact: u8, expires: u8 },
    /// Bob subscribes to his watcher information.
    Winfo { expires: u8 },
    /// Somebody decides about bob's watcher.
    Decide { handling: u8 },
    /// The store answers the oldest commit.
    Store { well: bool },
    /// One of the NOTIFYs in flight ends.
    Answer { which: u8, how: u8 },
    /// Time passes.
    Pass { millis: u32 },
    /// `kill -9`.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let byte = any::<u8>;
    prop_oneof![
        5 => (0..2u8, 0..5u8, 0..4u8).prop_map(|(who, what, tag)| Step::Publish { who, what, tag }),
        3 => (0..2u8, byte()).prop_map(|(who, expires)| Step::Subscribe { who, expires }),
        4 => (byte(), 0..3u8, byte()).prop_map(|(dialog, id, expires)| Step::Within { dialog, id, expires }),
        2 => (0..2u8, 0..3u8, byte()).prop_map(|(who, contact, expires)| Step::Register { who, contact, expires }),
        1 => byte().prop_map(|expires| Step::Winfo { expires }),
        1 => byte().prop_map(|handling| Step::Decide { handling }),
        9 => prop::bool::weighted(0.8).prop_map(|well| Step::Store { well }),
        7 => (byte(), 0..10u8).prop_map(|(which, how)| Step::Answer { which, how }),
        3 => prop_oneof![0..10u32, 0..6_000u32, 0..150_000u32].prop_map(|millis| Step::Pass { millis }),
        1 => Just(Step::Restart),
    ]
}

const WATCHER: &str = "sip:alice@example.com";

fn handling_of(byte: u8) -> Option<Handling> {
    let all = [
        None,
        Some(Handling::Allow),
        Some(Handling::Block),
        Some(Handling::PoliteBlock),
        Some(Handling::Confirm),
    ];
    all[usize::from(byte) % all.len()]
}

const PEOPLE: [&str; 2] = ["sip:bob@example.com", "sip:carol@example.com"];

/// 0, too brief, and some that are granted.
fn expires(byte: u8) -> u32 {
    [0, 30, 60, 60, 90, 100, 3_600][usize::from(byte) % 7]
}

/// The desk, and what is known of those around it.
struct World {
    desk: Desk,
    requests: u64,
    /// Requests that are not answered.
    open: BTreeSet<u64>,
    tags: u64,
    calls: u64,
    dialogs: u64,
    /// Highest CSeq by dialog.
    cseq: BTreeMap<String, u64>,
    /// Last body by Call-ID and event.
    shown: BTreeMap<(String, String), String>,
    /// Watchers as told by watcher information, by Call-ID: the next version, and status and address by id.
    watchers: BTreeMap<String, (u32, BTreeMap<String, String>)>,
}

impl World {
    fn new(pacing: Duration, policy: Handling, remember_settled: bool) -> Self {
        let mut desk = Desk::with(Settings {
            pacing,
            policy,
            remember_settled,
            packages: vec![Package::presence(), Package::presence_winfo()],
            ..Settings::default()
        });
        desk.mood = StoreMood::Slow;
        desk.strict = false;
        Self {
            desk,
            requests: 0,
            open: BTreeSet::new(),
            tags: 0,
            calls: 0,
            dialogs: 0,
            cseq: BTreeMap::new(),
            shown: BTreeMap::new(),
            watchers: BTreeMap::new(),
        }
    }

    fn ask(&mut self, method: &str, who: u8, lines: &str, body: &str) {
        self.requests += 1;
        self.open.insert(self.requests);
        let contact = if method == "SUBSCRIBE" {
            "Contact: <sip:alice@127.0.0.1:5070>|"
        } else {
            ""
        };
        let uri = PEOPLE[usize::from(who)];
        self.desk
            .send(method, uri, &format!("{contact}{lines}"), body);
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Publish { who, what, tag } => {
                let condition = match self.tags.checked_sub(u64::from(tag)) {
                    Some(tag) if tag > 0 && what > 0 => format!("SIP-If-Match: etag{tag}|"),
                    _ => String::new(),
                };
                let kind = "Content-Type: application/pidf+xml|";
                let body = pidf("open", &self.requests.to_string());
                match what {
                    0..=2 => self.ask(
                        "PUBLISH",
                        who,
                        &format!("{condition}{kind}Expires: 60"),
                        &body,
                    ),
                    3 => self.ask("PUBLISH", who, &format!("{condition}Expires: 120"), ""),
                    _ => self.ask("PUBLISH", who, &format!("{condition}Expires: 0"), ""),
                }
            }
            Step::Subscribe { who, expires: byte } => {
                self.calls += 1;
                let lines = format!("Call-ID: call{}|Expires: {}", self.calls, expires(byte));
                self.ask("SUBSCRIBE", who, &lines, "");
            }
            Step::Within {
                dialog,
                id,
                expires: byte,
            } => {
                if self.dialogs == 0 {
                    return;
                }
                // The Call-ID of a dialog is not that of its number when initial requests failed: then it is 481, too.
                let dialog = u64::from(dialog) % self.dialogs + 1;
                let id = match id {
                    0 => String::new(),
                    id => format!(";id={id}"),
                };
                let lines = format!(
                    "To: <{}>;tag=our{dialog}|Call-ID: call{dialog}|Event: presence{id}|Expires: {}",
                    PEOPLE[0],
                    expires(byte)
                );
                self.ask("SUBSCRIBE", 0, &lines, "");
            }
            Step::Register {
                who,
                contact,
                expires: byte,
            } => {
                let contact = match contact {
                    0 => "*".to_owned(),
                    contact => format!("<sip:phone{contact}@127.0.0.1>"),
                };
                let lines = format!("Contact: {contact}|Expires: {}", expires(byte));
                self.ask("REGISTER", who, &lines, "");
            }
            Step::Winfo { expires: byte } => {
                self.calls += 1;
                let (call, expires) = (self.calls, expires(byte));
                let lines = format!(
                    "From: <{}>;tag=w|Call-ID: call{call}|Event: presence.winfo|Expires: {expires}",
                    PEOPLE[0]
                );
                self.ask("SUBSCRIBE", 0, &lines, "");
            }
            Step::Decide { handling } => self.desk.decide(WATCHER, handling_of(handling)),
            Step::Store { well } => {
                if !self.desk.waiting.is_empty() {
                    self.desk
                        .store_answers((!well).then_some(CommitOutcome::Unavailable));
                }
            }
            Step::Answer { which, how } => self.answer(which, how),
            Step::Pass { millis } => self.desk.pass(u64::from(millis)),
            Step::Restart => {
                // What was on its way may never have arrived.
                for outgoing in &self.desk.in_flight {
                    let head = String::from_utf8_lossy(&outgoing.head).into_owned();
                    let of = (
                        field(&head, "Call-ID: ", "\r\n"),
                        field(&head, "Event: ", "\r\n"),
                    );
                    self.shown.remove(&of);
                }
                self.desk.restart();
                self.open.clear();
            }
        }
        self.look();
    }

    fn answer(&mut self, which: u8, how: u8) {
        let Some(last) = self.desk.in_flight.len().checked_sub(1) else {
            return;
        };
        self.desk
            .in_flight
            .rotate_left(usize::from(which) % (last + 1));
        match how {
            0..=4 => self.desk.answer("200 OK"),
            5 => self.desk.answer("503 Busy\r\nRetry-After: 7"),
            6 => self.desk.answer("500 Trouble"),
            7 => self.desk.answer("481 Gone"),
            8 => self.desk.ends(OutcomeResult::Timeout),
            _ => self
                .desk
                .ends(OutcomeResult::TransportError("refused".to_owned())),
        }
    }

    /// Reads what was said since the last look.
    fn look(&mut self) {
        for line in self.desk.said() {
            if line.starts_with("NOTIFY ") {
                self.notified(&line);
                continue;
            }
            if line.starts_with("decided ") {
                continue;
            }
            let (number, rest) = line.split_once(": ").expect("an answer");
            let number = number.parse().expect("a number");
            assert!(
                self.open.remove(&number),
                "answered twice or unasked: {line}"
            );
            if let Some((_, tag)) = rest.split_once("SIP-ETag: etag") {
                self.tags += 1;
                assert_eq!(tag.parse(), Ok(self.tags), "an old tag: {line}");
            }
            if let Some(rest) = rest.strip_prefix("200 our") {
                let tag = rest.split(' ').next().expect("a tag");
                self.dialogs = self.dialogs.max(tag.parse().expect("a number"));
            }
        }
        let mut flying = BTreeSet::new();
        for outgoing in &self.desk.in_flight {
            let head = String::from_utf8_lossy(&outgoing.head).into_owned();
            // The answer to a last NOTIFY is not waited for.
            if head.contains("Subscription-State: active") {
                let of = field(&head, "From: ", "\r\n") + &field(&head, "Event: ", "\r\n");
                assert!(flying.insert(of), "two in flight: {head}");
            }
        }
    }

    fn notified(&mut self, line: &str) {
        let tag = field(line, "tag=", " ");
        let cseq = field(line, "CSeq: ", " ").parse().expect("a number");
        if let Some(before) = self.cseq.insert(tag.clone(), cseq) {
            assert!(before < cseq, "CSeq {before} was before: {line}");
        }
        let event = field(line, "Event: ", " ");
        let (_, body) = line.split_once(" = ").expect("a body");
        let call = field(line, "Call-ID: ", " ");
        if event == "presence.winfo" {
            if !body.starts_with("nothing") {
                self.informed(&call, body);
            }
            return;
        }
        self.shown.insert((call, event), body.to_owned());
    }

    /// Reads watcher information as its receiver does (RFC 3858, 4).
    fn informed(&mut self, call: &str, body: &str) {
        let mut parts = body.split("; ");
        let head = parts.next().expect("version and state");
        let (version, state) = head.split_once(' ').expect("a state");
        let (next, known) = self.watchers.entry(call.to_owned()).or_default();
        assert_eq!(version.parse(), Ok(*next), "{body}");
        *next += 1;
        if state == "full" {
            known.clear();
        }
        for watcher in parts {
            let words: Vec<&str> = watcher.split(' ').collect();
            match words[1] {
                "terminated" => drop(known.remove(words[0])),
                status => drop(known.insert(words[0].into(), format!("{status} {}", words[3]))),
            }
        }
    }

    /// Everybody answers, and the store does too, until there is nothing to answer.
    fn settle(&mut self, millis: u64) {
        for _ in 0..1_000 {
            while !self.desk.waiting.is_empty() {
                self.desk.store_answers(None);
            }
            while !self.desk.in_flight.is_empty() {
                self.desk.answer("200 OK");
            }
            self.look();
            match self.desk.registry.next_wake() {
                Some(at) if at.since(self.desk.now) <= Duration::from_millis(millis) => {
                    let wait = u64::try_from(at.since(self.desk.now).as_millis()).expect("soon");
                    self.desk.pass(wait);
                }
                Some(_) | None
                    if self.desk.waiting.is_empty() && self.desk.in_flight.is_empty() =>
                {
                    return;
                }
                Some(_) | None => {}
            }
        }
        panic!("it never settles");
    }

    /// What the documents of each subscription to watcher information add up to is what a fetch tells.
    fn check_watchers(&mut self, snapshot: &Snapshot) {
        self.run(&Step::Winfo { expires: 0 });
        while !self.desk.in_flight.is_empty() {
            self.desk.answer("200 OK");
        }
        let call = format!("call{}", self.calls);
        let (_, now) = self.watchers.remove(&call).expect("a fetch is answered");
        let winfo = |row: &&PresentityRow| row.package == "presence.winfo";
        for row in snapshot.presentities.iter().filter(winfo) {
            for subscription in &row.subscriptions {
                let told = self.watchers.get(&subscription.call_id);
                assert_eq!(told.map(|(_, told)| told), Some(&now));
            }
        }
    }

    /// What each subscription that is there was shown last is what a fetch shows now.
    fn check_shown(&mut self) {
        let snapshot = self.desk.registry.snapshot(100);
        self.check_watchers(&snapshot);
        let mut now = BTreeMap::new();
        for who in 0..2 {
            self.calls += 1;
            let lines = format!("Call-ID: fetch{}|Expires: 0", self.calls);
            self.ask("SUBSCRIBE", who, &lines, "");
            self.look();
            let call = format!("fetch{}", self.calls);
            let shown = self.shown.remove(&(call, "presence".to_owned()));
            let shown = shown.unwrap_or_else(|| "blocked".to_owned());
            now.insert(PEOPLE[usize::from(who)].to_owned(), shown);
            while !self.desk.in_flight.is_empty() {
                self.desk.answer("200 OK");
            }
        }
        let presence = |row: &&PresentityRow| row.package == "presence";
        for presentity in snapshot.presentities.iter().filter(presence) {
            for row in &presentity.subscriptions {
                let id = row.event_id.as_ref().map(|id| format!(";id={id}"));
                let event = format!("presence{}", id.unwrap_or_default());
                assert_eq!(
                    self.shown.get(&(row.call_id.clone(), event)),
                    now.get(&presentity.aor),
                    "{row:?}"
                );
            }
        }
    }
}

fn field(text: &str, begin: &str, end: &str) -> String {
    let (_, rest) = text.split_once(begin).expect("a field");
    rest.split(end).next().expect("a value").to_owned()
}

proptest! {
    #[test]
    fn whatever_happens_everybody_is_answered_and_told_and_nothing_is_left(
        steps in prop::collection::vec(step(), 1..120),
        paced in any::<bool>(),
        policy in any::<u8>(),
        remember_settled in any::<bool>(),
    ) {
        let pacing = Duration::from_secs(if paced { 5 } else { 0 });
        let mut world = World::new(pacing, handling_of(policy).unwrap_or_default(), remember_settled);
        for step in &steps {
            world.run(step);
        }
        world.settle(10_000);
        assert_eq!(world.open, BTreeSet::new(), "not answered");
        world.check_shown();
        world.desk.decide(WATCHER, None);
        world.settle(2 * 24 * 3_600_000);
        // Those that wait are given up after a month.
        world.settle(31 * 24 * 3_600_000);
        let snapshot = world.desk.registry.snapshot(10);
        assert_eq!(
            (
                snapshot.presentity_count,
                snapshot.subscription_count,
                snapshot.binding_count,
                snapshot.commits_under_way,
                world.desk.records.len(),
                world.desk.registry.next_wake(),
            ),
            (0, 0, 0, 0, 0, None)
        );
    }
}
