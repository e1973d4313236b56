//! `rollcall watch`: a watcher with an endpoint of its own.

use actix::prelude::*;
use rollcall_core::endpoint::{ModuleId, ModuleTable, Sharding};
use rollcall_core::sip::SubscriptionStateValue;
use rollcall_core::watcher::{self, News};
use tokio::sync::mpsc;

use super::environment::Environment;
use super::stack::{Plan, Stack};
use super::{Command, Continue, Control, NodeError, Sighting, WatchOrder, client, print};
use crate::clock::Clock;
use crate::transport::Tls;
use crate::watch::{Shutdown, Watch, Watched, Watcher, claims};

const WATCHER: ModuleId = ModuleId(1);

/// How long unsubscribing may take when somebody waits for the end.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(2);

/// Hands what the watcher hears to the loop below.
struct Relay(mpsc::UnboundedSender<watcher::Watched>);

impl Actor for Relay {
    type Context = Context<Self>;
}

impl Handler<Watched> for Relay {
    type Result = ();

    fn handle(&mut self, Watched(news): Watched, _: &mut Self::Context) {
        // Nobody listens any more when the command has ended.
        let _ = self.0.send(news);
    }
}

pub(super) async fn run(
    order: WatchOrder,
    mut control: Control,
    mut seen: impl FnMut(&Sighting) -> Continue,
) -> Result<(), NodeError> {
    let mut environment = Environment::real()?;
    let clock = environment.clock;
    let modules = ModuleTable::builder()
        .module(WATCHER, "watcher", &claims(), Sharding::One)
        .accepts(&[rollcall_core::pidf::CONTENT_TYPE])
        .build()?;
    let plan = Plan {
        credentials: order.account.clone(),
        tls: Tls::open(&order.tls)?,
        name_servers: order.name_servers.clone(),
        ..Plan::default()
    };
    let stack = Stack::start(&plan, &modules, &mut environment);
    let (sender, mut heard) = mpsc::unbounded_channel();
    let relay = Relay(sender).start();
    let settings = watcher::Settings {
        watcher: match order.account.as_ref().map(|account| &*account.user) {
            Some(user) if user.contains('@') => format!("sip:{user}"),
            user => format!("sip:{}@{}", user.unwrap_or("watcher"), order.server.host),
        },
        server: Some(order.server.uri.clone()),
        expires: u32::try_from(order.expires.as_secs()).unwrap_or(u32::MAX),
        ..watcher::Settings::default()
    };
    let endpoint = stack.endpoints[0].clone().recipient();
    let entropy = environment.entropy.fork();
    let watcher = Watcher::new(
        settings,
        WATCHER,
        endpoint,
        relay.recipient(),
        clock,
        entropy,
    )
    .start();
    stack.attach(WATCHER, &[watcher.clone().recipient()]);
    stack
        .listen(
            &client::listen_towards(&order.server, &environment.network, &order.name_servers)
                .await?,
            None,
        )
        .await?;

    for uri in &order.uris {
        watcher.do_send(Watch(uri.clone()));
    }
    let mut left = order.uris.len();
    let mut end = Ok(());
    while left > 0 {
        tokio::select! {
            biased;
            command = control.next() => match command {
                Command::Show => print::counters(&stack.snapshot().await),
                Command::Reload => {}
                Command::Stop => break,
            },
            news = heard.recv() => {
                let Some(news) = news else {
                    end = Err(NodeError::Ended("watcher"));
                    break;
                };
                left -= usize::from(matches!(news.news, News::Ended { .. }));
                if let Some(sighting) = sighting(news, clock)
                    && seen(&sighting) == Continue::No
                {
                    break;
                }
            }
        }
    }
    let _ = watcher.send(Shutdown { limit: FAREWELL }).await;
    stack.stop().await;
    end
}

/// What is worth a line.
fn sighting(watched: watcher::Watched, clock: Clock) -> Option<Sighting> {
    let empty = Sighting {
        at: clock.now(),
        presentity: watched.uri,
        subscription: "active".to_owned(),
        reason: None,
        basic: None,
        activities: Vec::new(),
        notes: Vec::new(),
        document: None,
    };
    Some(match watched.news {
        News::State { summary, body, .. } => {
            let document = (!body.is_empty()).then(|| String::from_utf8_lossy(&body).into_owned());
            let Some(summary) = summary else {
                return Some(Sighting { document, ..empty });
            };
            Sighting {
                basic: summary.basic.map(|basic| basic.as_str().to_owned()),
                activities: summary.activities,
                notes: summary.notes.into_iter().map(|note| note.text).collect(),
                document,
                ..empty
            }
        }
        News::Subscription { state, reason } => {
            let subscription = match state {
                // The state that comes with it says so.
                SubscriptionStateValue::Active => return None,
                SubscriptionStateValue::Pending => "pending".to_owned(),
                SubscriptionStateValue::Terminated => "terminated".to_owned(),
                SubscriptionStateValue::Other(other) => other,
            };
            Sighting {
                subscription,
                reason,
                ..empty
            }
        }
        News::Trouble { code, reason, .. } => {
            let reason = if code == 0 {
                reason
            } else {
                format!("{code} {reason}")
            };
            Sighting {
                subscription: "waiting".to_owned(),
                reason: Some(reason),
                ..empty
            }
        }
        News::Ended {
            reason: Some(reason),
        } => Sighting {
            subscription: "failed".to_owned(),
            reason: Some(reason),
            ..empty
        },
        News::Ended { reason: None } => return None,
    })
}
