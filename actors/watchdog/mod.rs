//! The watchdog of a process: a thread, so that it works while the actors do not.
//!
//! ```text
//!  thread ── Ping, one a second ──> each Endpoint, Registry, hub, publisher …
//!     │ <── a flag ───────────────────┘
//!     ├── Store::health
//!     ├── READY, STATUS, WATCHDOG, … ──> $NOTIFY_SOCKET
//!     └── the log: which actor is stuck, since when
//! ```
//!
//! Who does not answer for longer than the limit is stuck: it is named in the log and counted, and the service manager is told
//! `WATCHDOG=1` no more until it answers again, so that it starts the process anew. Only real processes have one; in
//! virtual time there is none.

mod board;
mod notify;
mod pulse;
mod report;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;

use crate::store::Store;

pub use board::{Board, Finding, Watched};
pub use notify::Notifier;
pub use pulse::{Ping, Pulse};
use report::{Status, StoreWatch};

/// How often actors are asked.
const TICK: Duration = Duration::from_secs(1);
/// An actor that needs longer for an answer is stuck, unless the service manager is less patient.
const LIMIT: Duration = Duration::from_secs(10);
/// How much longer than the service manager expects starting and stopping may take, again with each tick.
const MORE: Duration = Duration::from_secs(20);
/// How long it is told so. Beyond that something is wrong, and it shall do what it does then.
const LONGEST_START: Duration = Duration::from_secs(15 * 60);

/// What the thread is told.
enum Order {
    Watch(Vec<Watched>),
    Store(Arc<dyn Store>),
    Serving,
    Reloading,
    Reloaded,
    Stopping,
}

/// The watchdog of this process. Dropping it ends its thread.
#[derive(Debug)]
pub struct Watchdog {
    orders: Sender<Order>,
    ended: mpsc::UnboundedReceiver<&'static str>,
}

impl Watchdog {
    /// Starts the thread, and tells the service manager that the process is about to have its state.
    pub fn start() -> Self {
        let (orders, receiver) = channel();
        let (sender, ended) = mpsc::unbounded_channel();
        let thread = Thread::new(Notifier::from_environment(), sender);
        let watching = std::thread::Builder::new().name("watchdog".to_owned());
        if let Err(error) = watching.spawn(move || thread.run(&receiver)) {
            tracing::error!(%error, "no thread for the watchdog");
        }
        Self { orders, ended }
    }

    /// Watches these too.
    pub fn watch(&self, watched: impl IntoIterator<Item = Watched>) {
        self.order(Order::Watch(watched.into_iter().collect()));
    }

    /// Looks after the store too.
    pub fn store(&self, store: Arc<dyn Store>) {
        self.order(Order::Store(store));
    }

    /// Sockets are open. The service manager is told that the process is ready when all that are watched can do what
    /// they are for.
    pub fn serving(&self) {
        self.order(Order::Serving);
    }

    /// Files are read again.
    pub fn reloading(&self) {
        self.order(Order::Reloading);
    }

    /// They have been.
    pub fn reloaded(&self) {
        self.order(Order::Reloaded);
    }

    /// The process ends.
    pub fn stopping(&self) {
        self.order(Order::Stopping);
    }

    /// Waits for the end of an actor that should go on; its name.
    pub async fn ended(&mut self) -> &'static str {
        match self.ended.recv().await {
            Some(actor) => actor,
            // Without the thread nobody notices any.
            None => std::future::pending().await,
        }
    }

    fn order(&self, order: Order) {
        // A thread that has panicked is told by the log; the node goes on.
        let _ = self.orders.send(order);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    /// Sockets are open, and not everybody can do what it is for.
    Recovering,
    Serving,
    Stopping,
}

/// What the thread knows.
struct Thread {
    notifier: Notifier,
    ended: mpsc::UnboundedSender<&'static str>,
    board: Board,
    store: Option<Arc<dyn Store>>,
    store_watch: StoreWatch,
    phase: Phase,
    /// When the phase began.
    since: Instant,
    /// What was told last.
    status: String,
}

impl Thread {
    fn new(notifier: Notifier, ended: mpsc::UnboundedSender<&'static str>) -> Self {
        Self {
            notifier,
            ended,
            board: Board::default(),
            store: None,
            store_watch: StoreWatch::default(),
            phase: Phase::Starting,
            since: Instant::now(),
            status: String::new(),
        }
    }

    /// How often to look, and what is too long for an answer.
    fn pace(&self) -> (Duration, Duration) {
        match self.notifier.watchdog() {
            Some(usec) => (TICK.min(usec / 4), LIMIT.min(usec / 2)),
            None => (TICK, LIMIT),
        }
    }

    fn run(mut self, orders: &Receiver<Order>) {
        let (tick, limit) = self.pace();
        let mut next = Instant::now();
        loop {
            let now = Instant::now();
            if now >= next {
                self.look(now, limit);
                next = now + tick;
            }
            match orders.recv_timeout(next.saturating_duration_since(now)) {
                Ok(order) => self.obey(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn obey(&mut self, order: Order) {
        let now = Instant::now();
        match order {
            Order::Watch(watched) => self.board.watch(now, watched),
            Order::Store(store) => self.store = Some(store),
            Order::Serving => self.enter(Phase::Recovering, now),
            Order::Reloading => self.notifier.tell(&[&notify::reloading()]),
            Order::Reloaded if self.phase == Phase::Serving => {
                self.notifier.tell(&[notify::READY]);
            }
            // It was not ready before, and will say so when it is.
            Order::Reloaded => {}
            Order::Stopping => {
                self.enter(Phase::Stopping, now);
                self.board.clear();
                self.notifier.tell(&[notify::STOPPING]);
                self.tell_status();
            }
        }
    }

    fn enter(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        self.since = now;
    }

    /// What is done with each tick.
    fn look(&mut self, now: Instant, limit: Duration) {
        for finding in self.board.look(now, limit) {
            if let Finding::Ended(actor) = finding {
                // Whoever started the actors has gone away himself otherwise.
                let _ = self.ended.send(actor);
            }
            report::finding(&finding, self.board.stuck());
        }
        let mut stuck = !self.board.in_trouble().is_empty();
        if let Some(store) = &self.store {
            self.store_watch
                .look(store.health(), now, SystemTime::now());
            stuck |= self.store_watch.hung(now).is_some_and(|time| time >= limit);
        }
        if self.phase == Phase::Recovering && self.board.incomplete().is_empty() {
            self.enter(Phase::Serving, now);
            self.notifier.tell(&[notify::READY]);
        }
        self.tell_status();
        let waits = now.saturating_duration_since(self.since);
        match self.phase {
            Phase::Starting | Phase::Recovering if waits < LONGEST_START => {
                self.notifier.tell(&[&notify::extend(MORE)]);
            }
            Phase::Stopping => self.notifier.tell(&[&notify::extend(MORE)]),
            Phase::Serving if !stuck && self.notifier.watchdog().is_some() => {
                self.notifier.tell(&[notify::WATCHDOG]);
            }
            Phase::Starting | Phase::Recovering | Phase::Serving => {}
        }
    }

    /// What the process does, told when it has changed.
    fn tell_status(&mut self) {
        let status = match self.phase {
            Phase::Starting => Status::Starting,
            Phase::Recovering => Status::Recovering(self.board.incomplete()),
            Phase::Serving => Status::Serving {
                stuck: self.board.in_trouble(),
                incomplete: self.board.incomplete(),
                store: &self.store_watch,
            },
            Phase::Stopping => Status::Stopping,
        }
        .to_string();
        if status != self.status {
            self.notifier.tell(&[&notify::status(&status)]);
            self.status = status;
        }
    }
}
