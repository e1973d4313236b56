//! A hub between sources and Presence Clients that come, speak and go in any order. Whatever happens: each message of a
//! source gets one answer at most, and one in the end; no credit is lost or given twice; a Presence Client is told in
//! order, within its window, and ends up with the last word on everybody.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::super::normal;
use super::super::super::session::Resume;
use super::*;

const WINDOW: usize = 3;
const CREDIT: usize = 4;

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// A source connects, if it is not there.
    Source { which: u8 },
    /// A source says something, if it has credit.
    Say {
        which: u8,
        who: u8,
        what: u8,
        numbered: bool,
    },
    /// A source goes: in order, or gone at once.
    Leave { which: u8, gone: bool },
    /// A Presence Client connects and goes on where it was, or begins anew.
    Client { which: u8, anew: bool },
    /// A Presence Client answers one of the messages it was told.
    Answer { which: u8, one: u8, well: bool },
    /// Its connection breaks.
    Break { which: u8 },
    /// Time passes.
    Pass { seconds: u16 },
}

fn step() -> impl Strategy<Value = Step> {
    let two = || 0..2u8;
    prop_oneof![
        2 => two().prop_map(|which| Step::Source { which }),
        8 => (two(), 0..4u8, 0..6u8, prop::bool::weighted(0.8))
            .prop_map(|(which, who, what, numbered)| Step::Say { which, who, what, numbered }),
        1 => (two(), any::<bool>()).prop_map(|(which, gone)| Step::Leave { which, gone }),
        2 => (two(), any::<bool>()).prop_map(|(which, anew)| Step::Client { which, anew }),
        8 => (two(), any::<u8>(), prop::bool::weighted(0.8))
            .prop_map(|(which, one, well)| Step::Answer { which, one, well }),
        1 => two().prop_map(|which| Step::Break { which }),
        1 => (0..200u16).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

#[derive(Default)]
struct Script {
    peer: Option<Peer>,
    leaving: bool,
    credit: usize,
    said: u64,
    /// Not answered.
    open: BTreeSet<u64>,
}

#[derive(Default)]
struct Pc {
    peer: Option<Peer>,
    resume: Resume,
    credit: usize,
    /// Told and not answered, in order, with the name it is about.
    open: Vec<(u64, String)>,
    /// The newest that was told in this session.
    last: u64,
    /// What it knows of everybody.
    view: BTreeMap<String, Presence>,
}

struct World {
    hub: Hub,
    now: Timestamp,
    peers: u64,
    scripts: [Script; 2],
    clients: [Pc; 2],
}

impl World {
    fn new(forget: bool) -> Self {
        let settings = Settings {
            unacknowledged: WINDOW,
            source_credit: CREDIT,
            presentities: 3,
            forget_after: forget.then_some(Duration::from_secs(60)),
            ..Settings::new("m", "r1")
        };
        Self {
            hub: Hub::new(settings),
            now: at(0),
            peers: 0,
            scripts: Default::default(),
            clients: Default::default(),
        }
    }

    fn fresh(&mut self) -> Peer {
        self.peers += 1;
        Peer(self.peers)
    }

    fn receive(&mut self, peer: Peer, message: Message) {
        let mut out = Vec::new();
        self.hub.receive(self.now, peer, message, &mut out);
        self.run(out);
    }

    fn run(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            let (Effect::Send(peer, _) | Effect::Credit(peer, _) | Effect::Close(peer, _)) =
                &effect;
            let peer = *peer;
            let script = self.scripts.iter_mut().find(|it| it.peer == Some(peer));
            let client = self.clients.iter_mut().find(|it| it.peer == Some(peer));
            match (effect, script, client) {
                (Effect::Send(_, Message::Ack(Ack { seq, .. })), Some(script), _)
                | (Effect::Send(_, Message::Nak(Nak { seq, .. })), Some(script), _) => {
                    assert!(script.open.remove(&seq), "{seq} is answered twice");
                }
                (Effect::Send(_, Message::Presence(presence)), _, Some(client)) => {
                    let seq = presence.seq.expect("a number");
                    assert!(seq > client.last, "{seq} comes after {}", client.last);
                    client.last = seq;
                    client.resume.received(&presence);
                    let key = normal(&presence.entity).expect("a name");
                    client.open.push((seq, key.clone()));
                    client.view.insert(key, *presence);
                    assert!(client.open.len() <= WINDOW, "beyond the window");
                }
                (Effect::Send(_, _), _, _) => {}
                (Effect::Credit(_, more), Some(script), _) => {
                    script.credit += more;
                    assert!(
                        script.credit + script.open.len() <= CREDIT,
                        "too much credit"
                    );
                }
                (Effect::Credit(_, more), _, Some(client)) => {
                    client.credit += more;
                    assert!(client.credit <= 2 * WINDOW, "too much credit");
                }
                (Effect::Close(..), Some(script), _) => {
                    assert!(script.leaving && script.open.is_empty(), "thrown out");
                    script.peer = None;
                }
                (effect, script, client) => {
                    assert!(
                        script.is_some() || client.is_some(),
                        "to nobody: {effect:?}"
                    );
                }
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Source { which } => {
                if self.scripts[usize::from(which)].peer.is_none() {
                    let peer = self.fresh();
                    self.scripts[usize::from(which)] = Script {
                        peer: Some(peer),
                        ..Script::default()
                    };
                    let id = Some(format!("s{which}"));
                    self.receive(
                        peer,
                        Message::Source(Hello {
                            id,
                            ..Hello::default()
                        }),
                    );
                }
            }
            Step::Say {
                which,
                who,
                what,
                numbered,
            } => {
                let now = self.now;
                let script = &mut self.scripts[usize::from(which)];
                let (Some(peer), true) = (script.peer, script.credit > 0 && !script.leaving) else {
                    return;
                };
                script.credit -= 1;
                let seq = numbered.then(|| {
                    script.said += 1;
                    script.open.insert(script.said);
                    script.said
                });
                let presence = Presence {
                    seq,
                    withdrawn: what == 5,
                    until: (what == 4).then(|| now + Duration::from_secs(50)),
                    ..presence(&format!("sip:p{who}@x"), &format!("a{what}"))
                };
                self.receive(peer, Message::Presence(Box::new(presence)));
            }
            Step::Leave { which, gone } => {
                let script = &mut self.scripts[usize::from(which)];
                if let Some(peer) = script.peer {
                    script.leaving = true;
                    if gone {
                        // Nobody is left to be answered.
                        script.peer = None;
                        script.open.clear();
                    }
                    let reason = gone.then(|| "lost".to_owned());
                    self.receive(peer, Message::Bye(reason));
                }
            }
            Step::Client { which, anew } => {
                self.step(&Step::Break { which });
                let peer = self.fresh();
                let client = &mut self.clients[usize::from(which)];
                if anew {
                    *client = Pc::default();
                }
                let (run, last_seq) = client.resume.hello();
                client.resume.welcomed("r1");
                client.peer = Some(peer);
                client.open.clear();
                (client.credit, client.last) = (0, last_seq.unwrap_or(0));
                let hello = Hello {
                    run,
                    last_seq,
                    ..Hello::default()
                };
                self.receive(peer, Message::PresenceClient(hello));
            }
            Step::Answer { which, one, well } => self.answer(which, one, well),
            Step::Break { which } => {
                if let Some(peer) = self.clients[usize::from(which)].peer.take() {
                    self.receive(peer, Message::Bye(Some("lost".to_owned())));
                }
            }
            Step::Pass { seconds } => {
                self.now = self.now + Duration::from_secs(u64::from(seconds));
                let mut out = Vec::new();
                self.hub.wake(self.now, &mut out);
                self.run(out);
            }
        }
    }

    /// As the publish buffer does: what a state has replaced ends with it, in order.
    fn answer(&mut self, which: u8, one: u8, well: bool) {
        let client = &mut self.clients[usize::from(which)];
        let (Some(peer), false) = (client.peer, client.open.is_empty()) else {
            return;
        };
        let (upto, about) = client.open[usize::from(one) % client.open.len()].clone();
        let ends = |(seq, key): &mut (u64, String)| *key == about && *seq <= upto;
        let ended: Vec<(u64, String)> = client.open.extract_if(.., ends).collect();
        for (seq, _) in ended {
            let client = &mut self.clients[usize::from(which)];
            client.credit -= 1;
            let message = if well {
                client.resume.acknowledged(seq);
                ack(seq, None)
            } else {
                nak(seq, 500, "no")
            };
            self.receive(peer, message);
        }
    }

    fn settle(&mut self) {
        for which in 0..2 {
            if self.clients[usize::from(which)].peer.is_none() {
                self.step(&Step::Client { which, anew: false });
            }
        }
        for _ in 0..1_000 {
            if self.clients.iter().all(|client| client.open.is_empty()) {
                return;
            }
            self.answer(0, 0, true);
            self.answer(1, 0, true);
        }
        panic!("it never settles");
    }
}

proptest! {
    #[test]
    fn whatever_happens_everybody_is_answered_once_and_told_the_last_word(
        steps in prop::collection::vec(step(), 1..150),
        forget in any::<bool>(),
    ) {
        let mut world = World::new(forget);
        for step in &steps {
            world.step(step);
        }
        world.settle();
        for script in &world.scripts {
            assert_eq!(script.open, BTreeSet::new());
            if script.peer.is_some() && !script.leaving {
                assert_eq!(script.credit, CREDIT);
            }
        }
        for client in &world.clients {
            assert_eq!(client.credit, 2 * WINDOW);
            for presence in world.hub.presences() {
                let key = normal(&presence.entity).expect("a name");
                assert_eq!(client.view.get(&key), Some(presence));
            }
        }
        let counters = world.hub.counters();
        assert_eq!(counters.accepted, counters.acked + counters.naked + counters.abandoned);
    }
}
