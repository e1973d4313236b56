//! Buffer and publisher together before a server that answers anything: nothing gets stuck, nothing is lost, and each
//! sequence number ends in exactly one ACK or NAK.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::buffer::{self, Buffer, Overflow};

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// The Manager says something of one of six people.
    Say { who: u8, withdrawn: bool },
    /// One of the requests in flight is answered.
    Answer { which: u8, how: u8 },
    /// Time passes.
    Pass { seconds: u16 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..6u8, prop::bool::weighted(0.2)).prop_map(|(who, withdrawn)| Step::Say { who, withdrawn }),
        4 => (any::<u8>(), 0..18u8).prop_map(|(which, how)| Step::Answer { which, how }),
        1 => (0..700u16).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

/// A Presence Client without actors.
struct Client {
    buffer: Buffer,
    publisher: Publisher,
    now: Timestamp,
    flying: Vec<Outgoing>,
    said: u64,
    /// How often each sequence number was settled.
    settled: BTreeMap<u64, u32>,
    tags: u64,
}

impl Client {
    fn new(overflow: Overflow) -> Self {
        let mut buffer = Buffer::new(buffer::Settings {
            capacity: 4,
            overflow,
            ..buffer::Settings::default()
        });
        buffer.session(Some("run"), &mut Vec::new());
        let settings = Settings {
            window: 2,
            ..Settings::default()
        };
        let publisher = Publisher::new(settings, Entropy::from_number(7));
        let (flying, settled) = (Vec::new(), BTreeMap::new());
        Self {
            buffer,
            publisher,
            now: START,
            flying,
            said: 0,
            settled,
            tags: 0,
        }
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Say { who, withdrawn } => {
                self.said += 1;
                let presence = Presence {
                    seq: Some(self.said),
                    entity: format!("sip:{who}@x"),
                    withdrawn: *withdrawn,
                    ..Presence::default()
                };
                let mut out = Vec::new();
                self.buffer.offer(presence, &mut out);
                self.heard(out);
            }
            Step::Answer { which, how } => {
                if !self.flying.is_empty() {
                    let index = usize::from(*which) % self.flying.len();
                    self.answer(index, *how);
                }
            }
            Step::Pass { seconds } => self.pass(Duration::from_secs(u64::from(*seconds))),
        }
        self.feed();
    }

    fn answer(&mut self, index: usize, how: u8) {
        let request = self.flying.remove(index);
        self.tags += 1;
        let accepted = format!("SIP-ETag: t{}\r\nExpires: 60\r\n", self.tags);
        let result = match how {
            0..=4 => response("200 OK", &accepted),
            5 => response("200 OK", ""),
            6 => response("200 OK", "SIP-ETag: x\r\nExpires: 0\r\n"),
            7 => response("412 Conditional Request Failed", ""),
            8 => response(
                "423 Interval Too Brief",
                &format!("Min-Expires: {}\r\n", self.tags * 100),
            ),
            9 => response("423 Interval Too Brief", ""),
            10 => response("401 Unauthorized", ""),
            11 => response("403 Forbidden", ""),
            12 => response("503 Service Unavailable", "Retry-After: 30\r\n"),
            13 => response("500 Server Internal Error", ""),
            14 => response("302 Moved Temporarily", ""),
            15 => response("699 Whatever", ""),
            16 => OutcomeResult::Timeout,
            _ => OutcomeResult::TransportError("refused".to_owned()),
        };
        let mut out = Vec::new();
        self.publisher.outcome(
            self.now,
            exchange::Outcome {
                token: request.token,
                result,
            },
            &mut out,
        );
        self.told(out);
    }

    /// Lets time pass, timer by timer.
    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self
            .publisher
            .next_wake()
            .into_iter()
            .chain(self.buffer.next_wake())
            .min()
            && at <= end
        {
            self.now = self.now.max(at);
            let mut out = Vec::new();
            self.publisher.wake(self.now, &mut out);
            self.told(out);
            self.buffer.wake(self.now);
            self.feed();
        }
        self.now = end;
    }

    fn feed(&mut self) {
        let mut entries = Vec::new();
        self.buffer
            .take(self.now, self.publisher.room(), &mut entries);
        for entry in entries {
            let mut out = Vec::new();
            self.publisher.offer(self.now, entry, &mut out);
            self.told(out);
        }
        self.publisher.check();
    }

    fn told(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send(request) => {
                    let same = self
                        .flying
                        .iter()
                        .filter(|other| other.uri == request.uri)
                        .count();
                    assert_eq!(same, 0, "two requests in flight for {}", request.uri);
                    self.flying.push(request);
                }
                Effect::Done(entry, outcome) => {
                    let mut out = Vec::new();
                    self.buffer.done(entry, outcome, &mut out);
                    self.heard(out);
                }
                Effect::Recovered => self.buffer.release_all(),
                Effect::Remember(_) | Effect::Forget(_) | Effect::Drained => {}
            }
        }
        self.publisher.check();
    }

    fn heard(&mut self, effects: Vec<buffer::Effect>) {
        for effect in effects {
            match effect {
                buffer::Effect::Ack(ack) => *self.settled.entry(ack.seq).or_default() += 1,
                buffer::Effect::Nak(nak) => *self.settled.entry(nak.seq).or_default() += 1,
                buffer::Effect::Credit(_) => {}
            }
        }
    }

    /// The server has come to its senses: everything in flight is accepted, as long as there is anything.
    fn heal(&mut self) {
        for _ in 0..200 {
            while !self.flying.is_empty() {
                self.answer(0, 0);
                self.feed();
            }
            if self.buffer.is_empty() {
                return;
            }
            self.pass(Duration::from_secs(30));
        }
        panic!("{} entries are stuck", self.buffer.len());
    }
}

proptest! {
    #[test]
    fn whatever_the_server_answers_each_number_is_settled_once_and_nothing_gets_stuck(
        steps in prop::collection::vec(step(), 1..120),
        overwrite in any::<bool>(),
    ) {
        let overflow = if overwrite { Overflow::Overwrite } else { Overflow::Block };
        let mut client = Client::new(overflow);
        for step in &steps {
            client.apply(step);
        }
        client.heal();
        let all: BTreeMap<u64, u32> = (1..=client.said).map(|seq| (seq, 1)).collect();
        prop_assert_eq!(&client.settled, &all);

        // And it ends: each publication is removed, or its time is over.
        let mut out = Vec::new();
        client.publisher.shutdown(client.now, Some(Duration::from_secs(5)), &mut out);
        client.told(out);
        for how in [0, 16, 13, 7, 11].into_iter().cycle().take(50) {
            if !client.flying.is_empty() {
                client.answer(0, how);
            }
        }
        client.publisher.wake(client.now + Duration::from_secs(6), &mut Vec::new());
        prop_assert!(client.publisher.is_empty());
        prop_assert_eq!(client.publisher.next_wake(), None);
    }
}
