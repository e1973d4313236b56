//! The source of a simulated Manager: it tells the lives of its [`People`] over the Manager protocol, and counts answers.
//!
//! ```text
//!  source                          Manager
//!    | ── SOURCE ─────────────────> |
//!    | ── PRESENCE seq 1 … n ─────> |   everybody's latest state, at the start of each session
//!    | <── WELCOME, ACK, NAK ────── |
//!    | ── PRESENCE seq n+1 ───────> |   a change
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use rollcall_core::manager::{self, Basic, Frame, FrameFinder, Hello, Message, Presence};
use rollcall_core::time::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tracing::debug;

use super::books::Books;
use super::people::{People, gist};
use super::sabotage::Sabotage;
use crate::clock::Clock;
use crate::transport::{Network, Stream};

/// How long a source waits before it connects again.
const RETRY: Duration = Duration::from_secs(1);

/// One source.
pub struct Source {
    /// Which one; for the books.
    pub number: u32,
    /// Its people.
    pub people: People,
    /// Its Manager.
    pub manager: SocketAddr,
    /// Where its sockets come from.
    pub network: Network,
    /// Its clock.
    pub clock: Clock,
    /// Who writes down what happens.
    pub books: Books,
    /// When people stop changing.
    pub until: Timestamp,
    /// What it does wrong on purpose.
    pub sabotage: Option<Sabotage>,
}

/// A session of the source with its Manager.
struct Session {
    run: u64,
    seq: u64,
    reader: ReadHalf<Stream>,
    writer: mpsc::UnboundedSender<Vec<u8>>,
    finder: FrameFinder,
    buffer: BytesMut,
}

impl Source {
    /// Lives until it is dropped.
    pub async fn live(mut self) {
        // The latest state of each person, by place in `people`.
        let mut latest: Vec<Option<Presence>> = vec![None; self.people.persons().len()];
        let mut run = 0;
        loop {
            let connected = {
                let network = self.network.clone();
                let connecting = network.connect(self.manager);
                tokio::pin!(connecting);
                loop {
                    let due = self.due();
                    tokio::select! {
                        biased;
                        () = tokio::time::sleep_until(due) => { self.change(&mut latest); }
                        result = &mut connecting => break result,
                    }
                }
            };
            if let Ok(stream) = connected {
                run += 1;
                debug!(source = self.number, run, "session begins");
                self.session(stream, run, &mut latest).await;
                debug!(source = self.number, run, "session over");
                self.books
                    .with(|ledger, _| ledger.session_lost(self.number, run));
            }
            let again = tokio::time::Instant::now() + RETRY;
            loop {
                let due = self.due();
                tokio::select! {
                    biased;
                    () = tokio::time::sleep_until(due) => { self.change(&mut latest); }
                    () = tokio::time::sleep_until(again) => break,
                }
            }
        }
    }

    /// When the next person changes; far away when the time of changes is over.
    fn due(&self) -> tokio::time::Instant {
        match self.people.next_wake() {
            Some(at) if at < self.until => self.clock.instant(at),
            Some(_) | None => tokio::time::Instant::now() + Duration::from_secs(86_400 * 365),
        }
    }

    /// Lets the people change who are due; gives the changed ones.
    fn change(&mut self, latest: &mut [Option<Presence>]) -> Vec<Presence> {
        let now = self.clock.now();
        if now >= self.until {
            return Vec::new();
        }
        let changes = self.people.wake(now);
        for (place, version, presence) in &changes {
            let gist = gist(presence.basic.map(Basic::as_str), &presence.activities);
            if self.sabotage != Some(Sabotage::MadeUpStates) {
                self.books
                    .with(|ledger, _| ledger.said(now, &presence.entity, *version, gist));
            }
            latest[*place] = Some(presence.clone());
        }
        changes
            .into_iter()
            .map(|(_, _, presence)| presence)
            .collect()
    }

    async fn session(&mut self, stream: Stream, run: u64, latest: &mut [Option<Presence>]) {
        let (reader, writer) = tokio::io::split(stream);
        let (sender, queue) = mpsc::unbounded_channel();
        actix_rt::spawn(write(writer, queue));
        let finder = FrameFinder::new(manager::MAX_LEN);
        let mut session = Session {
            run,
            seq: 0,
            reader,
            writer: sender,
            finder,
            buffer: BytesMut::new(),
        };
        let hello = Hello {
            id: Some(format!("people-{}", self.number)),
            ..Hello::default()
        };
        session.say(&Message::Source(hello));
        for presence in latest.iter().flatten() {
            self.tell(&mut session, presence);
        }
        loop {
            let due = self.due();
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(due) => {
                    for presence in self.change(latest) {
                        self.tell(&mut session, &presence);
                    }
                }
                read = session.reader.read_buf(&mut session.buffer) => match read {
                    Ok(0) | Err(_) => return,
                    Ok(_) => self.hear(&mut session),
                },
            }
        }
    }

    fn tell(&self, session: &mut Session, presence: &Presence) {
        session.seq += 1;
        self.books
            .with(|ledger, _| ledger.offered(self.number, session.run, session.seq));
        let presence = Presence {
            seq: Some(session.seq),
            ..presence.clone()
        };
        session.say(&Message::Presence(Box::new(presence)));
    }

    fn hear(&self, session: &mut Session) {
        let now = self.clock.now();
        while let Some(frame) = session.finder.next(&mut session.buffer) {
            let Frame::Document(document) = frame else {
                continue;
            };
            let seq = match manager::read(&document, now) {
                Ok(Message::Ack(ack)) => ack.seq,
                Ok(Message::Nak(nak)) => nak.seq,
                Ok(Message::Ping) => {
                    session.say(&Message::Pong);
                    continue;
                }
                Ok(_) | Err(_) => continue,
            };
            self.books.with(|ledger, _| {
                ledger.answered(now, self.number, session.run, seq);
                if self.sabotage == Some(Sabotage::SecondAnswer) {
                    ledger.answered(now, self.number, session.run, seq);
                }
            });
        }
    }
}

impl Session {
    fn say(&self, message: &Message) {
        // A writer that is gone leaves a stream that ends; the reader sees that.
        let _ = self.writer.send(manager::to_bytes(message));
    }
}

/// Writes what is queued, so that a Manager that does not read keeps nobody from hearing it.
async fn write(mut writer: WriteHalf<Stream>, mut queue: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(bytes) = queue.recv().await {
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
    // The session is over; an error only says that the other end knows.
    let _ = writer.shutdown().await;
}
