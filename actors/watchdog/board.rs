//! Who is watched, who has not answered since when, and what of that is to be told. A value: time is given.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use rollcall_core::exchange::Shard;

use super::pulse::{Ping, Pulse};

/// Between two lines about the same stuck actor.
const SILENCE: Duration = Duration::from_secs(10);

/// An actor to be watched, in the words of its snapshot.
#[derive(Clone, Debug)]
pub struct Watched {
    role: Option<&'static str>,
    actor: &'static str,
    shard: Option<Shard>,
    /// Where it is asked.
    ping: Recipient<Ping>,
}

impl Watched {
    /// An actor that answers here.
    pub fn new(actor: &'static str, ping: Recipient<Ping>) -> Self {
        Self {
            role: None,
            actor,
            shard: None,
            ping,
        }
    }

    /// It is one of several.
    pub fn of_shard(mut self, shard: Shard) -> Self {
        self.shard = Some(shard);
        self
    }

    /// It plays a part in this role, where a process has all.
    pub fn in_role(mut self, role: &'static str) -> Self {
        self.role = Some(role);
        self
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(role) = self.role {
            write!(f, "{role} ")?;
        }
        f.write_str(self.actor)?;
        match self.shard {
            Some(shard) => write!(f, " of shard {shard}"),
            None => Ok(()),
        }
    }
}

/// What has been found of an actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It has not answered for this long, which is more than the limit. Told when that is found, then every 10 s.
    Stuck(String, Duration),
    /// It answers again, after this long.
    Back(String, Duration),
    /// It has ended.
    Ended(&'static str),
}

/// All that are watched.
#[derive(Debug, Default)]
pub struct Board {
    places: Vec<Place>,
    /// How often an actor was found stuck.
    stuck: u64,
}

#[derive(Debug)]
struct Place {
    watched: Watched,
    pulse: Arc<Pulse>,
    /// When the ping that is under way was sent.
    asked: Instant,
    /// It can do what it is for, as it said last.
    complete: bool,
    /// When it was last told that it is stuck.
    told: Option<Instant>,
    ended: bool,
}

impl Board {
    /// Watches these too.
    pub fn watch(&mut self, now: Instant, watched: impl IntoIterator<Item = Watched>) {
        self.places.extend(watched.into_iter().map(|watched| {
            let pulse = Arc::new(Pulse::default());
            pulse.ask();
            watched.ping.do_send(Ping(Arc::clone(&pulse)));
            Place {
                watched,
                pulse,
                asked: now,
                complete: false,
                told: None,
                ended: false,
            }
        }));
    }

    /// Looks at the answers and asks again who has answered. To be called every second or so.
    pub fn look(&mut self, now: Instant, limit: Duration) -> Vec<Finding> {
        let mut findings = Vec::new();
        for place in &mut self.places {
            let waited = now.saturating_duration_since(place.asked);
            if let Some(complete) = place.pulse.answered() {
                if place.told.take().is_some() {
                    findings.push(Finding::Back(place.watched.to_string(), waited));
                }
                place.complete = complete;
                place.asked = now;
                place.pulse.ask();
                place.watched.ping.do_send(Ping(Arc::clone(&place.pulse)));
            } else if !place.watched.ping.connected() {
                if !std::mem::replace(&mut place.ended, true) {
                    findings.push(Finding::Ended(place.watched.actor));
                }
            } else if waited >= limit {
                self.stuck += u64::from(place.told.is_none());
                if place
                    .told
                    .is_none_or(|told| now.saturating_duration_since(told) >= SILENCE)
                {
                    place.told = Some(now);
                    findings.push(Finding::Stuck(place.watched.to_string(), waited));
                }
            }
        }
        findings
    }

    /// Nobody has to answer any more.
    pub fn clear(&mut self) {
        self.places.clear();
    }

    /// Those that are stuck or have ended, for the status line.
    pub fn in_trouble(&self) -> Vec<String> {
        let troubled = self
            .places
            .iter()
            .filter(|place| place.told.is_some() || place.ended);
        troubled.map(|place| place.watched.to_string()).collect()
    }

    /// Those that can't do yet what they are for.
    pub fn incomplete(&self) -> Vec<String> {
        let incomplete = self.places.iter().filter(|place| !place.complete);
        incomplete.map(|place| place.watched.to_string()).collect()
    }

    /// How often an actor was found stuck.
    pub fn stuck(&self) -> u64 {
        self.stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{Probe, in_virtual_time};

    const LIMIT: Duration = Duration::from_secs(5);

    /// Two actors that answer when the test wants it.
    fn board(now: Instant) -> (Board, [Probe<Ping>; 2]) {
        let probes = [Probe::start(), Probe::start()];
        let mut board = Board::default();
        let watched = ["endpoint", "registry"].into_iter().zip(&probes);
        let watched =
            watched.map(|(actor, probe)| Watched::new(actor, probe.recipient()).of_shard(3));
        board.watch(now, watched.collect::<Vec<_>>());
        (board, probes)
    }

    async fn answer(probe: &mut Probe<Ping>, complete: bool) {
        let Ping(pulse) = probe.next().await;
        pulse.answer(complete);
    }

    #[test]
    fn the_actor_that_is_stuck_is_named_with_its_seconds_and_counted_once() {
        in_virtual_time(async {
            let start = Instant::now();
            let (mut board, [mut well, mut stuck]) = board(start);
            let mut findings = Vec::new();
            for second in 1..=26 {
                answer(&mut well, true).await;
                let now = start + Duration::from_secs(second);
                let found = board.look(now, LIMIT);
                findings.extend(found.into_iter().map(|finding| (second, finding)));
            }
            let told = |second: u64| {
                let name = "registry of shard 3".to_owned();
                (second, Finding::Stuck(name, Duration::from_secs(second)))
            };
            assert_eq!(findings, [told(5), told(15), told(25)]);
            assert_eq!(board.in_trouble(), ["registry of shard 3"]);
            assert_eq!(board.stuck(), 1);
            answer(&mut stuck, true).await;
            answer(&mut well, true).await;
            let back = board.look(start + Duration::from_secs(27), LIMIT);
            let name = "registry of shard 3".to_owned();
            assert_eq!(back, [Finding::Back(name, Duration::from_secs(27))]);
            assert_eq!(board.in_trouble(), [] as [String; 0]);
        });
    }

    #[test]
    fn one_ping_at_a_time_is_under_way() {
        in_virtual_time(async {
            let start = Instant::now();
            let (mut board, [_, mut slow]) = board(start);
            for second in 1..10 {
                board.look(start + Duration::from_secs(second), LIMIT);
            }
            answer(&mut slow, true).await;
            slow.expect_nothing(Duration::from_secs(60)).await;
        });
    }

    #[test]
    fn who_can_not_do_yet_what_it_is_for_is_not_complete() {
        in_virtual_time(async {
            let start = Instant::now();
            let (mut board, [mut endpoint, mut registry]) = board(start);
            assert_eq!(board.incomplete().len(), 2);
            for (complete, expected) in [(false, &["registry of shard 3"][..]), (true, &[])] {
                answer(&mut endpoint, true).await;
                answer(&mut registry, complete).await;
                assert_eq!(board.look(start, LIMIT), []);
                assert_eq!(board.incomplete(), expected);
            }
        });
    }

    /// Ends at the first ping.
    struct Mortal;

    impl Actor for Mortal {
        type Context = Context<Self>;
    }

    impl Handler<Ping> for Mortal {
        type Result = ();

        fn handle(&mut self, _: Ping, ctx: &mut Self::Context) {
            ctx.stop();
        }
    }

    #[test]
    fn an_actor_that_has_ended_is_told_once() {
        in_virtual_time(async {
            let start = Instant::now();
            let mut board = Board::default();
            let mortal = Watched::new("registry", Mortal.start().recipient()).in_role("server");
            board.watch(start, [mortal.of_shard(3)]);
            let mut findings = Vec::new();
            for second in 1..4 {
                findings.extend(board.look(start + Duration::from_secs(second), LIMIT));
                tokio::task::yield_now().await;
            }
            assert_eq!(findings, [Finding::Ended("registry")]);
            assert_eq!(board.in_trouble(), ["server registry of shard 3"]);
        });
    }
}
