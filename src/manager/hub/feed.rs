//! How far one Presence Client has been told.

use std::collections::{BTreeMap, BTreeSet};

use super::state::Key;

/// The place of one Presence Client in the order of changes. What waits for it is not kept anywhere: it is what is
/// newer than `cursor`, of each presentity the newest state.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    /// Everything up to here was acknowledged in an earlier session.
    pub resumed: u64,
    /// Everything up to here was sent.
    pub cursor: u64,
    /// Sent and not answered.
    unanswered: BTreeMap<u64, Key>,
    /// The same by presentity.
    of: BTreeSet<(Key, u64)>,
}

impl Feed {
    /// Goes on behind `resumed`; everything is new to a client that says 0.
    pub fn new(resumed: u64) -> Self {
        Self {
            resumed,
            cursor: resumed,
            ..Self::default()
        }
    }

    /// How many messages are unanswered.
    pub fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// A state was sent.
    pub fn sent(&mut self, seq: u64, key: Key) {
        self.of.insert((key.clone(), seq));
        self.unanswered.insert(seq, key);
    }

    /// The client has spoken of it: and so of all that is older of that presentity.
    pub fn answered(&mut self, seq: u64) -> Option<Key> {
        let key = self.unanswered.get(&seq)?.clone();
        self.superseded(&key, seq);
        Some(key)
    }

    /// Nothing up to `seq` of this presentity is waited for any more.
    pub fn superseded(&mut self, key: &Key, seq: u64) {
        let range = (key.clone(), 0)..=(key.clone(), seq);
        let done: Vec<u64> = self.of.range(range).map(|(_, seq)| *seq).collect();
        for seq in done {
            self.of.remove(&(key.clone(), seq));
            self.unanswered.remove(&seq);
        }
    }
}
