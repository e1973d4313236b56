//! One state published from within: what `rollcall publish` and small programs need.
//!
//! It plays a Manager with one thing to say, so that the same buffer and publisher do the work, with all their
//! repetitions and refreshes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::prelude::*;
use rollcall_core::endpoint::ModuleId;
use rollcall_core::entropy::Entropy;
use rollcall_core::manager::{self, Nak, Presence};
use rollcall_core::publisher::Settings;
use tokio::sync::oneshot;

use super::{Client, Kept, PublishBuffer, Setup, Shutdown};
use crate::clock::Clock;
use crate::endpoint::Endpoint;
use crate::messages::{Attach, ManagerIncoming, ModuleInput, SessionId, ToModule, ToSession};

/// The number of the next such session; never seen outside of this process.
static NEXT: AtomicU64 = AtomicU64::new(u64::MAX);

/// Why a state was not published.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unpublished {
    /// The server, or the client itself, refused it.
    #[error("refused: {} {}", .0.code, .0.reason)]
    Refused(Nak),
    /// Nothing was heard in time; it may yet be published.
    #[error("no answer within {0:?}")]
    NoAnswer(Duration),
    /// The client has ended.
    #[error("the presence client has ended")]
    Gone,
}

/// The settings of an agent that publishes one state for somebody who waits: it says what is wrong instead of trying
/// for ever. What it has published once it keeps alive through every failure that passes.
pub fn settings(server: Option<String>, expires: u32) -> Settings {
    Settings {
        server,
        expires,
        give_up: Some(1),
        ..Settings::default()
    }
}

/// A Presence Client of its own, without a Manager, on an endpoint that is there.
#[derive(Clone, Debug)]
pub struct Once {
    client: Client,
}

impl Once {
    /// Starts it as the module `module` of the endpoint's table, where it claims nothing. `listener` is told of each
    /// success, refreshes included.
    pub fn start(
        endpoint: &Addr<Endpoint>,
        module: ModuleId,
        publisher: Settings,
        listener: Option<Recipient<Kept>>,
        clock: Clock,
        entropy: Entropy,
    ) -> Self {
        let buffer = rollcall_core::buffer::Settings::default();
        let setup = Setup {
            buffer,
            publisher,
            tags: None,
            listener,
            module,
            arbiters: None,
        };
        let client = super::start(setup, endpoint.clone().recipient(), clock, entropy);
        let recipients = vec![client.publisher.clone().recipient()];
        endpoint.do_send(Attach { module, recipients });
        Self { client }
    }

    /// Publishes a state, or removes it if it is withdrawn, and waits for the answer. From then on it is refreshed, for
    /// as long as this lives.
    pub async fn publish(
        &self,
        presence: Presence,
        patience: Duration,
    ) -> Result<Option<String>, Unpublished> {
        publish(&self.client.buffer, presence, patience).await
    }

    /// Removes what is published, and waits until that is done, or for so long.
    pub async fn remove(self, limit: Duration) {
        // An actor that has ended has nothing to remove.
        let _ = self
            .client
            .publisher
            .send(Shutdown {
                unpublish: Some(limit),
            })
            .await;
    }
}

/// Publishes one state through a running client, and waits for the answer. Gives the entity-tag, none after a removal.
///
/// From then on the client refreshes it until it is [shut down](super::Shutdown). It must not be linked with a Manager at
/// the same time: the buffer knows one session.
pub async fn publish(
    buffer: &Addr<PublishBuffer>,
    mut presence: Presence,
    patience: Duration,
) -> Result<Option<String>, Unpublished> {
    let (sender, answer) = oneshot::channel();
    presence.seq = Some(1);
    let teller = Teller {
        answer: Some(sender),
    }
    .start();
    // The node numbers real sessions from 0 up; these come from the other end, each a run of its own.
    let session = SessionId(NEXT.fetch_sub(1, Ordering::Relaxed));
    let message = manager::Message::Presence(Box::new(presence));
    let state = ManagerIncoming {
        session,
        reply: teller.recipient(),
        message,
    };
    buffer
        .send(ToModule(vec![ModuleInput::Manager(state)]))
        .await
        .map_err(|_| Unpublished::Gone)?;
    match tokio::time::timeout(patience, answer).await {
        Err(_) => Err(Unpublished::NoAnswer(patience)),
        Ok(Err(_)) => Err(Unpublished::Gone),
        Ok(Ok(Ok(etag))) => Ok(etag),
        Ok(Ok(Err(nak))) => Err(Unpublished::Refused(nak)),
    }
}

/// Stands where a session with the Manager would.
struct Teller {
    answer: Option<oneshot::Sender<Result<Option<String>, Nak>>>,
}

impl Actor for Teller {
    type Context = Context<Self>;
}

impl Handler<ToSession> for Teller {
    type Result = ();

    fn handle(&mut self, message: ToSession, ctx: &mut Self::Context) {
        let result = match message {
            ToSession::Send(manager::Message::Ack(ack)) => Ok(ack.etag),
            ToSession::Send(manager::Message::Nak(nak)) => Err(nak),
            ToSession::Send(_) | ToSession::Close(_) | ToSession::Credit(_) => return,
        };
        if let Some(answer) = self.answer.take() {
            let _ = answer.send(result);
        }
        ctx.stop();
    }
}
