//! Writes down what watchers are shown.

use std::collections::BTreeMap;
use std::time::Duration;

use actix::prelude::*;
use rollcall_core::pidf::Basic;
use rollcall_core::presence::Summary;
use rollcall_core::time::Timestamp;
use rollcall_core::watcher::News;

use super::super::books::Books;
use super::super::people::{gist, version_in};
use super::super::sabotage::Sabotage;
use crate::clock::Clock;
use crate::watch::Watched;

/// The scribe of one host of watchers.
pub(super) struct Scribe {
    number: u32,
    books: Books,
    clock: Clock,
    /// From then on nothing is written down (a sabotage).
    deaf_from: Option<Timestamp>,
    /// The first state shown of each presentity, to be shown again (a sabotage).
    first: Option<BTreeMap<String, Summary>>,
}

impl Scribe {
    pub fn new(number: u32, books: Books, clock: Clock) -> Self {
        Self {
            number,
            books,
            clock,
            deaf_from: None,
            first: None,
        }
    }

    /// Sabotages the first host of watchers, if that is wanted.
    pub fn sabotaged(mut self, sabotage: Option<Sabotage>, duration: Duration) -> Self {
        if self.number == 0 {
            match sabotage {
                Some(Sabotage::LostNotifies) => {
                    self.deaf_from = Some(super::super::BEGINNING + duration / 2);
                }
                Some(Sabotage::StaleState) => self.first = Some(BTreeMap::new()),
                Some(_) | None => {}
            }
        }
        self
    }

    fn write(&self, uri: &str, summary: Option<&Summary>) {
        let now = self.clock.now();
        let shown = summary.and_then(|summary| {
            let version = version_in(summary.notes.iter().map(|note| note.text.as_str()))?;
            Some((
                version,
                gist(summary.basic.map(Basic::as_str), &summary.activities),
            ))
        });
        self.books
            .with(|ledger, _| ledger.shown(now, self.number, uri, shown));
    }
}

impl Actor for Scribe {
    type Context = Context<Self>;
}

impl Handler<Watched> for Scribe {
    type Result = ();

    fn handle(&mut self, Watched(watched): Watched, _: &mut Self::Context) {
        let News::State { summary, .. } = watched.news else {
            return;
        };
        if self.deaf_from.is_some_and(|from| from <= self.clock.now()) {
            return;
        }
        self.write(&watched.uri, summary.as_ref());
        if let (Some(first), Some(summary)) = (&mut self.first, summary)
            && !summary.notes.is_empty()
        {
            let again = first.entry(watched.uri.clone()).or_insert(summary).clone();
            self.write(&watched.uri, Some(&again));
        }
    }
}
