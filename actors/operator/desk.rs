//! What the operator asks for, done at the registries.

use std::sync::Arc;

use actix::prelude::*;
use rollcall_core::endpoint::shard_of;
use rollcall_core::exchange::Shard;
use rollcall_core::registry::{Decision, Settings, WatcherRow};
use rollcall_core::sip::Uri;
use rollcall_core::watcherinfo::Handling;

use super::{Answer, MOST_WATCHERS, Request, Watcher};
use crate::messages::{Decide, ListWatchers};
use crate::registry::Registry;

const BUSY: &str = "the server is ending or too busy: try again";

/// The registries of a server, for its operator.
#[derive(Clone)]
pub struct Desk {
    settings: Arc<Settings>,
    registries: Vec<Addr<Registry>>,
}

impl Desk {
    /// By shard.
    pub fn new(settings: Settings, registries: Vec<Addr<Registry>>) -> Self {
        Self {
            settings: Arc::new(settings),
            registries,
        }
    }

    /// Does what a line asks for.
    pub async fn serve(&self, line: &[u8]) -> Answer {
        let done = match serde_json::from_slice(line) {
            Ok(Request::List { presentity }) => self.list(presentity).await,
            Ok(Request::Decide {
                presentity,
                watcher,
                handling,
            }) => {
                self.decide(&presentity, &watcher, handling.as_deref())
                    .await
            }
            Err(error) => Err(format!("not a request: {error}")),
        };
        done.unwrap_or_else(Answer::Error)
    }

    async fn list(&self, presentity: Option<String>) -> Result<Answer, String> {
        let presentity = presentity.map(|text| self.presentity(&text)).transpose()?;
        let asked: Vec<&Addr<Registry>> = match &presentity {
            Some(aor) => self.registry_of(aor).into_iter().collect(),
            None => self.registries.iter().collect(),
        };
        let mut watchers = Vec::new();
        for registry in asked {
            let ask = ListWatchers {
                presentity: presentity.clone(),
                limit: MOST_WATCHERS,
            };
            let rows = registry.send(ask).await.map_err(|_| BUSY.to_owned())?;
            watchers.extend(rows.into_iter().map(Watcher::from));
        }
        watchers.sort();
        watchers.truncate(MOST_WATCHERS);
        Ok(Answer::Watchers(watchers))
    }

    async fn decide(
        &self,
        presentity: &str,
        watcher: &str,
        handling: Option<&str>,
    ) -> Result<Answer, String> {
        let handling = handling
            .map(|name| Handling::named(name).ok_or_else(|| format!("{name} is no handling")))
            .transpose()?;
        let presentity = self.presentity(presentity)?;
        let registry = self.registry_of(&presentity).ok_or(BUSY)?;
        let decision = Decision {
            watcher: self.settings.name_of(&address(watcher)?.parts()).into(),
            presentity: presentity.into(),
            handling,
        };
        let decided = registry.send(Decide(decision)).await;
        match decided.map_err(|_| BUSY.to_owned())? {
            Ok(subscriptions) => Ok(Answer::Subscriptions(subscriptions)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The canonical address of a presentity that is served here.
    fn presentity(&self, text: &str) -> Result<String, String> {
        let uri = address(text)?;
        let host = uri.parts().host().into_owned();
        if self.settings.serves(&host) {
            Ok(uri.aor())
        } else {
            Err(format!("{host} is not served here"))
        }
    }

    fn registry_of(&self, aor: &str) -> Option<&Addr<Registry>> {
        let shards = Shard::try_from(self.registries.len()).unwrap_or(Shard::MAX);
        self.registries.get(usize::from(shard_of(aor, shards)))
    }
}

fn address(text: &str) -> Result<Uri, String> {
    Uri::parse(text).map_err(|error| format!("{text} is no SIP URI: {error}"))
}

impl From<WatcherRow> for Watcher {
    fn from(row: WatcherRow) -> Self {
        Self {
            presentity: row.presentity,
            watcher: row.watcher,
            status: row.status.map(str::to_owned),
            decision: row.decision.map(str::to_owned),
            at: row.at.as_millis(),
        }
    }
}
