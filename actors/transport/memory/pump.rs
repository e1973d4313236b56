//! The one task that moves everything: it sleeps until the next thing is due and puts it into its receiver's queue.

use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::state::{Event, State};
use super::stream::Side;

/// How often a connect that a partition swallows is tried again.
const CONNECT_AGAIN: Duration = Duration::from_secs(1);

/// Connections that wait in a listener; more are refused.
const BACKLOG: usize = 1024;

/// Runs until the network is gone.
pub(super) async fn pump(shared: Weak<Shared>, told: Arc<Notify>) {
    loop {
        let next = match shared.upgrade() {
            Some(shared) => shared.lock().run_due(),
            None => return,
        };
        match next {
            None => told.notified().await,
            Some(at) => {
                tokio::select! {
                    // In a fixed order: the same seed gives the same run.
                    biased;
                    () = told.notified() => {}
                    () = sleep_until(at) => {}
                }
            }
        }
    }
}

impl State {
    /// Does all that is due, in order of time, and says when the next is.
    fn run_due(&mut self) -> Option<Instant> {
        let now = Instant::now();
        // While it runs, whatever is scheduled is seen before it sleeps.
        self.armed = Some(self.born);
        while self.queue.peek().is_some_and(|next| next.at <= now) {
            let Some(due) = self.queue.pop() else { break };
            self.run(due.event, now);
        }
        self.armed = self.queue.peek().map(|next| next.at);
        self.armed
    }

    fn run(&mut self, event: Event, now: Instant) {
        match event {
            Event::Datagram {
                from_host,
                from,
                to_host,
                to,
                number,
                bytes,
            } => {
                self.arrive((from_host, from), (to_host, to), number, bytes);
            }
            Event::Segment {
                connection,
                sender,
                segment,
            } => self.segment(connection, sender, segment),
            Event::Release { connection, sender } => self.release(connection, sender),
            Event::GiveUp {
                connection,
                sender,
                since,
            } => self.give_up(connection, sender, since),
            Event::Syn { connect } => self.syn(connect, now),
            Event::Established {
                connect,
                connection,
            } => self.established(connect, connection),
            Event::Refused { connect } => {
                if let Some(connecting) = self.connecting.remove(&connect) {
                    self.statistics.refused += 1;
                    let _ = connecting
                        .waiting
                        .send(Err(io::ErrorKind::ConnectionRefused.into()));
                }
            }
        }
    }

    /// A connect has reached the other host.
    fn syn(&mut self, connect: u64, now: Instant) {
        let Some(connecting) = self.connecting.get(&connect) else {
            return;
        };
        let (host, from, to_host, to) = (
            connecting.host,
            connecting.from,
            connecting.to_host,
            connecting.to,
        );
        let pair = (host, to_host);
        if self.is_blocked(pair.0, pair.1) {
            if now < connecting.give_up {
                self.schedule(now + CONNECT_AGAIN, Event::Syn { connect });
            } else if let Some(connecting) = self.connecting.remove(&connect) {
                let _ = connecting.waiting.send(Err(io::ErrorKind::TimedOut.into()));
            }
            return;
        }
        let back = self.latency(self.link(to_host, host));
        let listener = self
            .listener_for(to_host, to, from)
            .filter(|&key| self.listeners[key].queue.len() < BACKLOG);
        let Some(key) = listener else {
            self.schedule(now + back, Event::Refused { connect });
            return;
        };
        let connection = self.open((host, from), (to_host, to), now + back);
        self.schedule(
            now + back,
            Event::Established {
                connect,
                connection,
            },
        );
        let listening = &mut self.listeners[key];
        listening.queue.push_back(connection);
        if let Some(waker) = listening.waker.take() {
            waker.wake();
        }
    }

    /// The answer to a connect is back.
    fn established(&mut self, connect: u64, connection: u64) {
        let told = match self.connecting.remove(&connect) {
            Some(connecting) => connecting.waiting.send(Ok(connection)).is_ok(),
            None => false,
        };
        if told {
            self.statistics.connected += 1;
        } else {
            self.leave(connection, Side::Client);
        }
    }
}
