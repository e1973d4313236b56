//! A registry on a test's desk: requests as short texts in, effects as one line each out, a store that can be made to
//! wait or to fail, and a clock that stands still until it is told.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::*;
use crate::exchange::{
    ConnectionId, Destination, Flow, Identity, OutcomeResult, Source, Transport,
};
use crate::pidf::{self, Basic};
use crate::presence::Summary;
use crate::sip::Message;
use crate::watcherinfo::Handling;

/// How the desk's store answers.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreMood {
    /// At once, as `memory:` does.
    Prompt,
    /// Not before [`Desk::store_answers`], as `file:` does.
    Slow,
    /// With this, at once.
    Failing(CommitOutcome),
}

/// A registry between its neighbours.
pub struct Desk {
    pub registry: Registry,
    pub now: Timestamp,
    /// Who sends requests.
    pub identity: Identity,
    /// What is known of where they come from.
    pub source: Source,
    pub mood: StoreMood,
    /// Whether a conflict is a mistake, as it is unless the store has failed before.
    pub strict: bool,
    pub settings: Settings,
    pub records: BTreeMap<RecordKey, (Version, Record)>,
    pub waiting: VecDeque<Commit>,
    /// Large states that are to be composed.
    pub jobs: VecDeque<Job>,
    /// NOTIFYs that were sent and not answered, by token, oldest first.
    pub in_flight: VecDeque<Outgoing>,
    /// Effects since they were last taken, a line each.
    log: Vec<String>,
    names: Vec<(String, String)>,
    transactions: u64,
    epoch: u64,
}

pub const START: u64 = 1_000_000;

pub fn flow(remote: &str, transport: Transport) -> Flow {
    Flow {
        shard: 0,
        transport,
        local: "127.0.0.1:5060".parse().expect("an address"),
        remote: remote.parse().expect("an address"),
        connection: ConnectionId(if transport.is_reliable() { 7 } else { 0 }),
    }
}

/// A PIDF document of one tuple.
pub fn pidf(basic: &str, note: &str) -> String {
    format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@example.com\"><tuple id=\"t\"><status>\
         <basic>{basic}</basic></status><note>{note}</note></tuple></presence>"
    )
}

impl Desk {
    pub fn new() -> Self {
        Self::with(Settings {
            domains: vec!["example.com".to_owned()],
            ..Settings::default()
        })
    }

    pub fn with(settings: Settings) -> Self {
        Self {
            registry: Registry::new(settings.clone(), 3, Entropy::from_number(1), 1),
            now: Timestamp::from_millis(START),
            identity: Identity::Unchecked,
            source: Source::default(),
            mood: StoreMood::Prompt,
            strict: true,
            settings,
            records: BTreeMap::new(),
            waiting: VecDeque::new(),
            jobs: VecDeque::new(),
            in_flight: VecDeque::new(),
            log: Vec::new(),
            names: Vec::new(),
            transactions: 0,
            epoch: 1,
        }
    }

    /// Kills the registry and starts one from what the store has.
    pub fn restart(&mut self) {
        self.epoch += 1;
        self.waiting.clear();
        self.in_flight.clear();
        let entropy = Entropy::from_number(100 + self.epoch);
        self.registry = Registry::new(self.settings.clone(), 3, entropy, self.epoch);
        let records: Vec<_> = self.records.values().cloned().collect();
        let mut out = Vec::new();
        self.registry.load(self.now, records, &mut out);
        self.run(out);
    }

    /// A request from 127.0.0.1:5070 over UDP. `lines` are further header lines, joined by `|`.
    pub fn send(&mut self, method: &str, uri: &str, lines: &str, body: &str) {
        self.send_over(
            flow("127.0.0.1:5070", Transport::Udp),
            method,
            uri,
            lines,
            body,
        );
    }

    pub fn send_over(&mut self, flow: Flow, method: &str, uri: &str, lines: &str, body: &str) {
        self.transactions += 1;
        let number = self.transactions;
        let mut text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK{number};rport\r\n"
        );
        let mut defaults = vec![
            ("From", "<sip:alice@example.com>;tag=a1".to_owned()),
            ("To", format!("<{uri}>")),
            ("Call-ID", "call1".to_owned()),
            ("CSeq", format!("{number} {method}")),
            ("Event", "presence".to_owned()),
        ];
        for line in lines.split('|').filter(|line| !line.is_empty()) {
            let line = self.real(line);
            defaults.retain(|(name, _)| !line.starts_with(&format!("{name}:")));
            text.push_str(&line);
            text.push_str("\r\n");
        }
        for (name, value) in defaults {
            if name != "Event" || method != "REGISTER" {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        // `Event:` with nothing after it stands for no Event at all.
        let text = text.replace("Event:\r\n", "");
        let incoming = Incoming {
            transaction: TransactionId { shard: 0, number },
            identity: self.identity.clone(),
            source: self.source,
            flow,
            message: Message::parse(Bytes::from(text)).expect("a request"),
        };
        let mut out = Vec::new();
        self.registry.request(self.now, incoming, &mut out);
        self.run(out);
    }

    pub fn publish(&mut self, lines: &str, body: &str) {
        let lines = if body.is_empty() {
            lines.to_owned()
        } else {
            format!("Content-Type: application/pidf+xml|{lines}")
        };
        self.send("PUBLISH", "sip:bob@example.com", &lines, body);
    }

    pub fn subscribe(&mut self, lines: &str) {
        let contact = if lines.contains("Contact:") {
            ""
        } else {
            "Contact: <sip:alice@127.0.0.1:5070>|"
        };
        self.send(
            "SUBSCRIBE",
            "sip:bob@example.com",
            &format!("{contact}{lines}"),
            "",
        );
    }

    /// Lets time pass, waking the registry exactly when it wants to be.
    pub fn pass(&mut self, millis: u64) {
        let end = self.now + std::time::Duration::from_millis(millis);
        while let Some(at) = self.registry.next_wake().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            let mut out = Vec::new();
            self.registry.wake(self.now, &mut out);
            self.run(out);
        }
        self.now = end;
    }

    /// The oldest large state is composed.
    pub fn composes(&mut self) {
        let job = self.jobs.pop_front().expect("a composition under way");
        let mut out = Vec::new();
        self.registry.composed(self.now, job.run(), &mut out);
        self.run(out);
    }

    /// The node ends in order.
    pub fn end(&mut self) {
        let mut out = Vec::new();
        self.registry.remember_all(&mut out);
        self.run(out);
    }

    /// The oldest NOTIFY on its way is answered.
    pub fn answer(&mut self, response: &str) {
        let text = format!(
            "SIP/2.0 {response}\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKn\r\nFrom: <sip:b@x>;tag=b\r\n\
             To: <sip:a@x>;tag=a\r\nCall-ID: c\r\nCSeq: 1 NOTIFY\r\nContent-Length: 0\r\n\r\n"
        );
        let message = Message::parse(Bytes::from(text)).expect("a response");
        let flow = flow("127.0.0.1:5070", Transport::Udp);
        self.ends(OutcomeResult::Response(message, flow));
    }

    /// The oldest NOTIFY on its way ends.
    pub fn ends(&mut self, result: OutcomeResult) {
        let token = self
            .in_flight
            .pop_front()
            .expect("a NOTIFY in flight")
            .token;
        let mut out = Vec::new();
        self.registry
            .outcome(self.now, Outcome { token, result }, &mut out);
        self.run(out);
    }

    /// The store answers the oldest commit that waits.
    pub fn store_answers(&mut self, outcome: Option<CommitOutcome>) {
        let commit = self.waiting.pop_front().expect("a commit that waits");
        let outcome = outcome.unwrap_or_else(|| self.store(&commit));
        let mut out = Vec::new();
        self.registry
            .committed(self.now, commit.op, outcome, &mut out);
        self.run(out);
    }

    /// The store carries out a commit, and does not say so.
    pub fn stores(&mut self, commit: &Commit) {
        assert_eq!(self.store(commit), CommitOutcome::Committed);
    }

    /// Runs effects that a test has from the registry itself.
    pub fn take(&mut self, effects: Vec<Effect>) {
        self.run(effects);
    }

    fn run(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            let line = self.tell(&effect);
            self.log.push(line);
            match effect {
                Effect::Send(outgoing) => self.in_flight.push_back(outgoing),
                Effect::Commit(commit) => match self.mood.clone() {
                    StoreMood::Slow => self.waiting.push_back(commit),
                    StoreMood::Prompt => {
                        self.waiting.push_front(commit);
                        self.store_answers(None);
                    }
                    StoreMood::Failing(outcome) => {
                        self.waiting.push_front(commit);
                        self.store_answers(Some(outcome));
                    }
                },
                Effect::Compose(job) => self.jobs.push_back(job),
                Effect::Reply(_)
                | Effect::Note(_)
                | Effect::Memory { .. }
                | Effect::Decided(..) => {}
            }
        }
    }

    /// A store that is strict about versions.
    fn store(&mut self, commit: &Commit) -> CommitOutcome {
        let mut others = Vec::new();
        for change in &commit.changes {
            let stored = self.records.get(&change.key);
            let version = stored.map(|(version, _)| *version);
            if version != change.expect {
                assert!(!self.strict, "{version:?} is the version of {change:?}");
                others.push((change.key.clone(), stored.cloned()));
            }
        }
        if !others.is_empty() {
            return CommitOutcome::Conflict(others);
        }
        for change in &commit.changes {
            match &change.record {
                Some(record) => {
                    assert_eq!(record.key(), change.key);
                    // As it comes back from disk.
                    let record = Record::decode(record.encode().into()).expect("a record");
                    self.records
                        .insert(change.key.clone(), (change.version(), record));
                }
                None => drop(self.records.remove(&change.key)),
            }
        }
        CommitOutcome::Committed
    }

    /// What happened since it was last asked, a line each. Random names become `etag1`, `our1`, … in order of appearance.
    pub fn happened(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }

    /// The same without the commits.
    pub fn said(&mut self) -> Vec<String> {
        let mut lines = self.happened();
        lines.retain(|line| !line.starts_with("store "));
        lines
    }

    fn tell(&mut self, effect: &Effect) -> String {
        match effect {
            Effect::Reply(reply) => {
                let mut line = format!("{}: {}", reply.transaction.number, reply.status);
                if let Some(tag) = &reply.to_tag {
                    line += &format!(" {}", self.name("our", tag));
                }
                if reply.copy_record_route {
                    line += " rr";
                }
                line + &self.head(&reply.head)
            }
            Effect::Send(outgoing) => {
                let way = match outgoing.destination {
                    Destination::Flow(flow) => format!("to {}/{}", flow.remote, flow.transport),
                    Destination::Address(transport, to) => format!("to {to}/{transport}"),
                    Destination::NextHop => "next hop".to_owned(),
                    Destination::Bounded(bounds) => {
                        let flow = bounds.flow.map_or("next hop".to_owned(), |flow| {
                            format!("to {}/{}", flow.remote, flow.transport)
                        });
                        let alone = if bounds.alone { " alone" } else { "" };
                        let room = bounds
                            .room
                            .map_or(String::new(), |room| format!(" within {room}"));
                        flow + alone + &room
                    }
                };
                let head = self.head(&outgoing.head);
                format!(
                    "{} {} {way}{head} = {}",
                    outgoing.method,
                    outgoing.uri,
                    self.gist(&outgoing.body)
                )
            }
            Effect::Commit(commit) => {
                let changes = commit.changes.iter().map(|change| {
                    let kind = match &change.key {
                        RecordKey::Binding { .. } => "binding",
                        RecordKey::Publication { .. } => "publication",
                        RecordKey::Subscription { .. } => "subscription",
                        RecordKey::Watcher { .. } => "watcher",
                        RecordKey::Settled { .. } => "settled",
                    };
                    let sign = if change.record.is_some() { "+" } else { "-" };
                    format!("{sign}{kind} v{}", change.version())
                });
                format!("store {}", changes.collect::<Vec<_>>().join(" "))
            }
            Effect::Compose(_) => "compose".to_owned(),
            Effect::Memory { refused, .. } => format!("memory refused: {refused}"),
            Effect::Decided(ticket, Ok(concerned)) => format!("decided {ticket}: {concerned}"),
            Effect::Decided(ticket, Err(error)) => format!("decided {ticket}: {error}"),
            Effect::Note(note) => format!("{note:?}"),
        }
    }

    fn head(&mut self, head: &Bytes) -> String {
        let text = std::str::from_utf8(head).expect("text");
        let mut line = String::new();
        for header in text.split_terminator("\r\n") {
            let (name, value) = header.split_once(": ").expect("a header line");
            // What says the same in every test.
            if matches!(name, "Content-Type" | "Accept" | "Date") {
                continue;
            }
            let value = match name {
                "SIP-ETag" => self.name("etag", value),
                "From" => match value.split_once(";tag=") {
                    Some((uri, tag)) => format!("{uri};tag={}", self.name("our", tag)),
                    None => value.to_owned(),
                },
                _ => value.to_owned(),
            };
            line += &format!(" | {name}: {value}");
        }
        line
    }

    fn gist(&mut self, body: &Bytes) -> String {
        if body.is_empty() {
            return "nothing".to_owned();
        }
        let text = String::from_utf8_lossy(body).into_owned();
        if text.contains("<watcherinfo") {
            return self.watchers(&text);
        }
        let Ok(document) = pidf::Document::parse(body, &pidf::Limits::default()) else {
            return text;
        };
        let summary = Summary::of(&document, self.now);
        let basic = match summary.basic {
            Some(Basic::Open) => "open",
            Some(Basic::Closed) => "closed",
            None => "-",
        };
        let notes = summary.notes.iter().map(|note| note.text.as_str());
        let words: Vec<&str> = summary
            .activities
            .iter()
            .map(String::as_str)
            .chain(notes)
            .collect();
        format!("{basic} {}", words.join(",")).trim_end().to_owned()
    }

    /// Watcher information: version, state, then `id status event watcher` of each.
    fn watchers(&mut self, text: &str) -> String {
        fn value<'a>(text: &'a str, name: &str) -> &'a str {
            let quoted = text
                .split_once(&format!(" {name}=\""))
                .map(|(_, rest)| rest);
            let value = quoted.and_then(|rest| rest.split_once('"'));
            value.map(|(value, _)| value).expect("an attribute")
        }
        let root = text.split_once("<watcherinfo").map_or("", |(_, root)| root);
        let mut line = format!("{} {}", value(root, "version"), value(root, "state"));
        for watcher in text.split("<watcher ").skip(1) {
            let watcher = format!(" {watcher}");
            let address = watcher.split(['>', '<']).nth(1).expect("an address");
            line += &format!(
                "; {} {} {} {address}",
                self.name("id", value(&watcher, "id")),
                value(&watcher, "status"),
                value(&watcher, "event"),
            );
        }
        line
    }

    /// Somebody decides about a watcher of bob's.
    pub fn decide(&mut self, watcher: &str, handling: Option<Handling>) {
        let decision = Decision {
            presentity: "sip:bob@example.com".into(),
            watcher: watcher.into(),
            handling,
        };
        let mut out = Vec::new();
        self.registry.decide(self.now, 9, decision, &mut out);
        self.run(out);
    }

    fn name(&mut self, kind: &str, real: &str) -> String {
        if let Some((name, _)) = self.names.iter().find(|(_, known)| known == real) {
            return name.clone();
        }
        let number = self
            .names
            .iter()
            .filter(|(name, _)| name.starts_with(kind))
            .count()
            + 1;
        let name = format!("{kind}{number}");
        self.names.push((name.clone(), real.to_owned()));
        name
    }

    /// Puts the real names back into what a test writes.
    pub fn real(&self, text: &str) -> String {
        self.names
            .iter()
            .rev()
            .fold(text.to_owned(), |text, (name, real)| {
                text.replace(name, real)
            })
    }
}
