//! An endpoint and a registry under any sequence of requests, in dialogs and outside, of answers and of time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use rollcall_core::endpoint::{self, Endpoint, ModuleId, ModuleTable, Origin, Route, Sharding};
use rollcall_core::entropy::Entropy;
use rollcall_core::exchange::{Flow, Transport};
use rollcall_core::registry::{self, CommitOutcome, Registry};
use rollcall_core::sip::{Message, Method, Name};
use rollcall_core::time::Timestamp;

const REGISTRY: ModuleId = ModuleId(1);
const PEOPLE: [&str; 2] = ["sip:bob@example.com", "sip:carol@example.com"];

struct World {
    endpoint: Endpoint,
    registry: Registry,
    now: Timestamp,
    flow: Flow,
    number: u32,
    /// Final responses by CSeq of our requests.
    answers: BTreeMap<u32, Bytes>,
    /// NOTIFYs that wait for an answer.
    notifies: Vec<Message>,
    /// CSeq and branch of the last NOTIFY, by Call-ID and tags.
    counted: BTreeMap<String, (u32, String)>,
    tags: Vec<String>,
    given: BTreeSet<String>,
    /// Call-ID and To of our subscriptions.
    dialogs: Vec<(String, String, String)>,
}

impl World {
    fn new() -> Self {
        let settings = registry::Settings::default();
        let mut claims = vec![Route::method(Method::Register)];
        for package in &settings.packages {
            claims.push(Route::package(Method::Publish, &package.name));
            claims.push(Route::package(Method::Subscribe, &package.name));
        }
        let modules = ModuleTable::builder()
            .module(REGISTRY, "registry", &claims, Sharding::One)
            .build()
            .expect("no conflict");
        let local = ([127, 0, 0, 1], 5060).into();
        let mut endpoint = Endpoint::new(
            endpoint::Settings::default(),
            modules,
            Entropy::from_number(1),
        );
        endpoint.set_locals(vec![(Transport::Udp, local)]);
        Self {
            endpoint,
            registry: Registry::new(settings, 0, Entropy::from_number(2), 1),
            now: Timestamp::from_millis(1_795_300_000_000),
            flow: Flow {
                shard: 0,
                transport: Transport::Udp,
                local,
                remote: ([127, 0, 0, 1], 5070).into(),
                connection: Default::default(),
            },
            number: 0,
            answers: BTreeMap::new(),
            notifies: Vec::new(),
            counted: BTreeMap::new(),
            tags: Vec::new(),
            given: BTreeSet::new(),
            dialogs: Vec::new(),
        }
    }

    fn of_endpoint(&mut self, effects: Vec<endpoint::Effect>) {
        for effect in effects {
            let mut wanted = Vec::new();
            match effect {
                endpoint::Effect::Send { bytes, .. } => self.seen(bytes),
                endpoint::Effect::Deliver { incoming, .. } => {
                    self.registry.request(self.now, incoming, &mut wanted);
                }
                endpoint::Effect::Outcome { outcome, .. } => {
                    self.registry.outcome(self.now, outcome, &mut wanted);
                }
                endpoint::Effect::Route { ticket, .. } => {
                    let mut effects = Vec::new();
                    let nowhere = Err("there is no way".to_owned());
                    self.endpoint
                        .routed(self.now, ticket, nowhere, &mut effects);
                    self.of_endpoint(effects);
                }
                endpoint::Effect::Locate { ticket, .. } => {
                    let mut effects = Vec::new();
                    let nowhere = Err("there is no such name".to_owned());
                    self.endpoint
                        .located(self.now, ticket, nowhere, &mut effects);
                    self.of_endpoint(effects);
                }
                endpoint::Effect::Alias { .. }
                | endpoint::Effect::Barred { .. }
                | endpoint::Effect::Observe { .. }
                | endpoint::Effect::LoginFailed(_)
                | endpoint::Effect::HandOver { .. }
                | endpoint::Effect::Close { .. } => {}
            }
            self.of_registry(wanted);
        }
    }

    fn of_registry(&mut self, effects: Vec<registry::Effect>) {
        let origin = Origin {
            module: REGISTRY,
            shard: 0,
        };
        for effect in effects {
            let mut wanted = Vec::new();
            match effect {
                registry::Effect::Reply(reply) => self.endpoint.reply(self.now, reply, &mut wanted),
                registry::Effect::Send(outgoing) => {
                    self.endpoint.send(self.now, origin, outgoing, &mut wanted);
                }
                registry::Effect::Commit(commit) => {
                    let mut further = Vec::new();
                    let done = CommitOutcome::Committed;
                    self.registry
                        .committed(self.now, commit.op, done, &mut further);
                    self.of_registry(further);
                }
                registry::Effect::Compose(job) => {
                    let mut further = Vec::new();
                    self.registry.composed(self.now, job.run(), &mut further);
                    self.of_registry(further);
                }
                registry::Effect::Note(_)
                | registry::Effect::Memory { .. }
                | registry::Effect::Decided(..) => {}
            }
            self.of_endpoint(wanted);
        }
    }

    /// Looks at what goes out.
    fn seen(&mut self, bytes: Bytes) {
        let message = Message::parse(bytes.clone()).expect("what is sent can be read");
        let cseq = message.cseq().expect("a CSeq");
        if !message.is_request() {
            if let Some(first) = self.answers.insert(cseq.number, bytes.clone()) {
                assert_eq!(first, bytes, "one request, two answers");
                return;
            }
            if let Some(tag) = message.text(Name::SipEtag) {
                assert!(
                    self.given.insert(tag.clone().into_owned()),
                    "{tag} is given twice"
                );
                self.tags.push(tag.into_owned());
            }
            let made = cseq.method == Method::Subscribe
                && message.status().is_some_and(|s| s.code() == 200);
            if made && self.dialogs.len() < 16 {
                let text = |name| message.text(name).unwrap_or_default().into_owned();
                self.dialogs
                    .push((text(Name::CallId), text(Name::To), text(Name::From)));
            }
            return;
        }
        assert_eq!(message.method(), Some(&Method::Notify));
        let text = |name| message.text(name).unwrap_or_default().into_owned();
        let dialog = format!(
            "{} {} {}",
            text(Name::CallId),
            text(Name::From),
            text(Name::To)
        );
        let branch = text(Name::Via);
        match self.counted.insert(dialog, (cseq.number, branch.clone())) {
            Some((number, before)) if before == branch => {
                assert_eq!(number, cseq.number, "a retransmission")
            }
            Some((number, _)) => assert_eq!(
                number + 1,
                cseq.number,
                "CSeq grows by one (RFC 3261, 12.2.1.1)"
            ),
            None => {}
        }
        let state = message
            .subscription_state()
            .expect("readable")
            .expect("a Subscription-State");
        assert!(!state.value.to_string().is_empty());
        self.notifies.push(message);
    }

    fn ask(&mut self, method: &str, uri: &str, lines: &str, body: &str) {
        self.number += 1;
        let number = self.number;
        let mut text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK{number};rport\r\n"
        );
        if !lines.contains("Call-ID:") {
            text.push_str(&format!("From: <sip:alice@example.com>;tag=a{number}\r\nTo: <{uri}>\r\nCall-ID: c{number}\r\n"));
        }
        text.push_str(&format!(
            "CSeq: {number} {method}\r\n{lines}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        self.receive(Bytes::from(text));
        assert!(
            self.answers.contains_key(&number),
            "{method} is not answered"
        );
    }

    fn receive(&mut self, bytes: Bytes) {
        let mut effects = Vec::new();
        self.endpoint
            .receive(self.now, self.flow, bytes, &mut effects);
        self.of_endpoint(effects);
    }

    fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        loop {
            let next = [self.endpoint.next_wake(), self.registry.next_wake()]
                .into_iter()
                .flatten()
                .min();
            let Some(at) = next.filter(|at| *at <= end) else {
                break;
            };
            self.now = at.max(self.now);
            let (mut effects, mut wanted) = (Vec::new(), Vec::new());
            self.endpoint.wake(self.now, &mut effects);
            self.of_endpoint(effects);
            self.registry.wake(self.now, &mut wanted);
            self.of_registry(wanted);
        }
        self.now = end;
    }

    fn answer(&mut self, which: usize, code: u16) {
        if self.notifies.is_empty() {
            return;
        }
        let notify = self.notifies.remove(which % self.notifies.len());
        let mut text = format!("SIP/2.0 {code} Answer\r\n");
        for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
            for value in notify.texts(name) {
                text.push_str(&format!("{}: {value}\r\n", name.as_str()));
            }
        }
        self.receive(Bytes::from(text + "Content-Length: 0\r\n\r\n"));
    }
}

/// Each pair of bytes is a step. Requests get one answer, entity-tags are given once, CSeq grows by one, and when nobody
/// refreshes anything nothing is left.
pub fn dialog(data: &[u8]) {
    let mut world = World::new();
    for step in data.chunks_exact(2).take(200) {
        let [kind, value] = [step[0], step[1]];
        let index = usize::from(value);
        let who = PEOPLE[index % 2];
        let expires = [0, 1, 60, 61, 3600, 4_000_000_000_u32][index / 2 % 6];
        let expiry = format!("Event: presence\r\nExpires: {expires}\r\n");
        match kind % 8 {
            0 | 1 => {
                let tag = match kind / 8 % 3 {
                    0 => None,
                    1 => world.tags.last(),
                    _ => world.tags.get(index),
                };
                let tag = tag.map_or(String::new(), |tag| format!("SIP-If-Match: {tag}\r\n"));
                let body = if kind % 8 == 0 {
                    format!(
                        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{who}\"><tuple id=\"a\"><status><basic>open\
                         </basic></status><note>{index}</note></tuple></presence>"
                    )
                } else {
                    String::new()
                };
                world.ask(
                    "PUBLISH",
                    who,
                    &format!("{expiry}{tag}Content-Type: application/pidf+xml\r\n"),
                    &body,
                );
            }
            2 => {
                let lines = format!("{expiry}Contact: <sip:alice@127.0.0.1:5070>\r\n");
                world.ask("SUBSCRIBE", who, &lines, "");
            }
            3 => {
                let Some((call_id, to, from)) = world
                    .dialogs
                    .get(index % world.dialogs.len().max(1))
                    .cloned()
                else {
                    continue;
                };
                let lines = format!(
                    "Call-ID: {call_id}\r\nTo: {to}\r\nFrom: {from}\r\n{expiry}Contact: <sip:alice@127.0.0.1:5071>\r\n"
                );
                world.ask("SUBSCRIBE", "sip:127.0.0.1:5060", &lines, "");
            }
            4 => {
                let lines = format!(
                    "Contact: <sip:alice@127.0.0.1:{}>;expires={expires}\r\n",
                    5070 + index % 3
                );
                world.ask("REGISTER", who, &lines, "");
            }
            5 => world.answer(index, [200, 202, 404, 481, 500, 503, 408, 489][index % 8]),
            6 => world.pass(u64::from(value) * 40),
            _ => world.pass(u64::from(value) * 2_000),
        }
    }
    // All lifetimes are a day at most.
    world.notifies.clear();
    world.pass(2 * 86_400_000);
    assert_eq!(world.endpoint.transactions(), (0, 0));
    assert_eq!(world.endpoint.in_flight(), 0);
    assert_eq!(world.registry.unanswered(), []);
    assert_eq!(
        (world.endpoint.next_wake(), world.registry.next_wake()),
        (None, None)
    );
}
