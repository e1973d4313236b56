//! What a Presence Client tells a Manager that it has seen before.

use std::collections::BTreeMap;

use super::super::message::Presence;

/// Up to where a Presence Client has acknowledged what a run of the Manager told it.
///
/// The Manager counts up, and re-sends from there after a reconnect, of each presentity the newest state only. What was
/// refused (`NAK`) is not counted as done before something newer of that presentity is: it will be sent again, which is
/// harmless.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resume {
    run: Option<String>,
    /// The greatest `seq` received.
    seen: u64,
    /// Received and not acknowledged: `seq` and presentity, of each presentity the newest.
    open: BTreeMap<u64, String>,
    /// The same, the other way round.
    newest: BTreeMap<String, u64>,
}

impl Resume {
    /// For the hello: the run, and the `seq` up to which everything is done.
    pub fn hello(&self) -> (Option<String>, Option<u64>) {
        let done = match self.open.keys().next() {
            Some(first) => first.saturating_sub(1),
            None => self.seen,
        };
        (self.run.clone(), self.run.is_some().then_some(done))
    }

    /// The Manager said which run it is; what belongs to another is forgotten.
    pub fn welcomed(&mut self, run: &str) {
        if self.run.as_deref() != Some(run) {
            *self = Self {
                run: Some(run.to_owned()),
                ..Self::default()
            };
        }
    }

    /// The Manager told something.
    pub fn received(&mut self, presence: &Presence) {
        let Some(seq) = presence.seq else { return };
        self.seen = self.seen.max(seq);
        if let Some(older) = self.newest.insert(presence.entity.clone(), seq) {
            self.open.remove(&older);
        }
        self.open.insert(seq, presence.entity.clone());
    }

    /// It was published.
    pub fn acknowledged(&mut self, seq: u64) {
        if let Some(entity) = self.open.remove(&seq) {
            self.newest.remove(&entity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presence(seq: u64, entity: &str) -> Presence {
        Presence {
            seq: Some(seq),
            entity: entity.into(),
            ..Presence::default()
        }
    }

    #[test]
    fn everything_before_the_first_open_message_is_done() {
        let mut resume = Resume::default();
        assert_eq!(resume.hello(), (None, None));
        resume.welcomed("r1");
        assert_eq!(resume.hello(), (Some("r1".into()), Some(0)));
        for (seq, entity) in [(1, "a"), (2, "b"), (3, "a"), (4, "c")] {
            resume.received(&presence(seq, entity));
        }
        assert_eq!(resume.hello().1, Some(1), "1 is older news of a");
        resume.acknowledged(1);
        assert_eq!(resume.hello().1, Some(1), "3 is not done by that");
        resume.acknowledged(2);
        assert_eq!(resume.hello().1, Some(2));
        resume.acknowledged(3);
        resume.acknowledged(4);
        assert_eq!(resume.hello().1, Some(4));
        resume.welcomed("r1");
        assert_eq!(resume.hello(), (Some("r1".into()), Some(4)));
    }

    #[test]
    fn another_run_of_the_manager_begins_anew() {
        let mut resume = Resume::default();
        resume.welcomed("r1");
        resume.received(&presence(9, "a"));
        resume.welcomed("r2");
        assert_eq!(resume.hello(), (Some("r2".into()), Some(0)));
    }
}
