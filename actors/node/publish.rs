//! `rollcall publish`: a Presence Client with one thing to say.

use std::time::Duration;

use actix::prelude::*;
use rollcall_core::endpoint::{ModuleId, ModuleTable, Sharding};
use rollcall_core::manager::{Note, Presence};
use rollcall_core::publisher::Tag;
use tokio::sync::mpsc;

use super::client::listen_towards;
use super::environment::Environment;
use super::stack::{Plan, Stack};
use super::{Command, Control, NodeError, PublishOrder, Published, print};
use crate::client::Kept;
use crate::client::once::{self, Once};
use crate::transport::Tls;

const PUBLISHER: ModuleId = ModuleId(1);

/// Longer than a transaction may take (64 times T1), shorter than a person's patience.
const PATIENCE: Duration = Duration::from_secs(40);

/// How long removing it may take at the end.
const FAREWELL: Duration = Duration::from_secs(5);

/// Hands what the publisher tells to the loop below.
struct Relay(mpsc::UnboundedSender<Tag>);

impl Actor for Relay {
    type Context = Context<Self>;
}

impl Handler<Kept> for Relay {
    type Result = ();

    fn handle(&mut self, Kept(tag): Kept, _: &mut Self::Context) {
        // Nobody listens any more when the command has ended.
        let _ = self.0.send(tag);
    }
}

pub(super) async fn run(
    order: PublishOrder,
    mut control: Control,
    mut published: impl FnMut(&Published),
) -> Result<(), NodeError> {
    let mut environment = Environment::real()?;
    let clock = environment.clock;
    let modules = ModuleTable::builder()
        .module(PUBLISHER, "publisher", &[], Sharding::One)
        .build()?;
    let plan = Plan {
        credentials: order.account.clone(),
        tls: Tls::open(&order.tls)?,
        name_servers: order.name_servers.clone(),
        ..Plan::default()
    };
    let stack = Stack::start(&plan, &modules, &mut environment);
    stack
        .listen(
            &listen_towards(&order.server, &environment.network, &order.name_servers).await?,
            None,
        )
        .await?;
    let (sender, mut kept) = mpsc::unbounded_channel();
    let expires = u32::try_from(order.expires.as_secs()).unwrap_or(u32::MAX);
    let once = Once::start(
        &stack.endpoints[0],
        PUBLISHER,
        once::settings(Some(order.server.uri.clone()), expires),
        Some(Relay(sender).start().recipient()),
        clock,
        environment.entropy.fork(),
    );
    let presence = Presence {
        entity: order.uri,
        basic: order.basic,
        activities: order.activities,
        notes: order
            .note
            .map(|text| Note { lang: None, text })
            .into_iter()
            .collect(),
        ..Presence::default()
    };
    let mut tell = |tag: Tag| {
        let expires = tag.expires_at.seconds_from(clock.now());
        published(&Published {
            etag: tag.etag,
            expires,
        });
    };

    let stopped = {
        let publishing = once.publish(presence, PATIENCE);
        tokio::pin!(publishing);
        loop {
            tokio::select! {
                biased;
                command = control.next() => match command {
                    Command::Show => print::counters(&stack.snapshot().await),
                    Command::Reload => {}
                    Command::Stop => break true,
                },
                result = &mut publishing => {
                    result?;
                    break false;
                }
            }
        }
    };
    if !stopped && let Some(tag) = kept.recv().await {
        tell(tag);
    }
    if order.keep && !stopped {
        loop {
            tokio::select! {
                biased;
                command = control.next() => match command {
                    Command::Show => print::counters(&stack.snapshot().await),
                    Command::Reload => {}
                    Command::Stop => break,
                },
                tag = kept.recv() => match tag {
                    Some(tag) => tell(tag),
                    None => break,
                },
            }
        }
    }
    if order.keep {
        once.remove(FAREWELL).await;
    }
    stack.stop().await;
    Ok(())
}
