//! Probe actors: they stand where another actor would and show what it was sent.

use std::time::Duration;

use actix::prelude::*;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::LIMIT;

/// Takes messages of one type in another actor's place.
pub struct Probe<M: Message<Result = ()> + Send + 'static> {
    collector: Addr<Collector<M>>,
    collected: mpsc::UnboundedReceiver<M>,
}

struct Collector<M> {
    to: mpsc::UnboundedSender<M>,
}

impl<M: Send + 'static> Actor for Collector<M> {
    type Context = Context<Self>;
}

impl<M: Message<Result = ()> + Send + 'static> Handler<M> for Collector<M> {
    type Result = ();

    fn handle(&mut self, message: M, _: &mut Context<Self>) {
        // A probe that nobody looks at any more just swallows.
        let _ = self.to.send(message);
    }
}

impl<M: Message<Result = ()> + Send + 'static> Probe<M> {
    /// Starts the probe.
    pub fn start() -> Self {
        let (to, collected) = mpsc::unbounded_channel();
        Self {
            collector: Collector { to }.start(),
            collected,
        }
    }

    /// What the actor under test is given.
    pub fn recipient(&self) -> Recipient<M> {
        self.collector.clone().recipient()
    }

    /// The next message.
    ///
    /// # Panics
    /// If none comes within [`LIMIT`].
    pub async fn next(&mut self) -> M {
        match self.next_within(LIMIT).await {
            Some(message) => message,
            None => panic!("no {} came", std::any::type_name::<M>()),
        }
    }

    /// The next message, if one comes in time.
    pub async fn next_within(&mut self, limit: Duration) -> Option<M> {
        timeout(limit, self.collected.recv()).await.ok().flatten()
    }

    /// The first message that `wanted` makes something of; those before it are dropped.
    ///
    /// # Panics
    /// If none comes within [`LIMIT`].
    pub async fn find<T>(&mut self, mut wanted: impl FnMut(M) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.next().await) {
                return found;
            }
        }
    }

    /// What has come so far.
    pub fn drain(&mut self) -> Vec<M> {
        std::iter::from_fn(|| self.collected.try_recv().ok()).collect()
    }

    /// Waits to see that nothing comes.
    ///
    /// # Panics
    /// If something comes.
    pub async fn expect_nothing(&mut self, during: Duration) {
        if self.next_within(during).await.is_some() {
            panic!("a {} came", std::any::type_name::<M>());
        }
    }
}
