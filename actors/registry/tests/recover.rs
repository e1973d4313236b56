//! What a shard does while the store can't give it its state: it never speaks as if it had none.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::Instant;

use super::*;
use crate::store::MemoryStore;

/// A store that can't be read the next few times.
#[derive(Debug)]
struct Unreadable {
    store: MemoryStore,
    times: AtomicU32,
    /// Answers are dropped instead, as by a reader that panics.
    drops: bool,
    asked: Mutex<Vec<Instant>>,
}

impl Unreadable {
    fn new(store: MemoryStore, times: u32, drops: bool) -> Arc<Self> {
        Arc::new(Self {
            store,
            times: AtomicU32::new(times),
            drops,
            asked: Mutex::default(),
        })
    }

    /// Seconds between the tries.
    fn pauses(&self) -> Vec<u64> {
        let asked = self.asked.lock().expect("no panic");
        let pairs = asked.windows(2);
        pairs.map(|pair| (pair[1] - pair[0]).as_secs()).collect()
    }
}

impl Store for Unreadable {
    fn epoch(&self) -> u64 {
        self.store.epoch()
    }
    fn reload(&self, share: Share, answer: Reloaded) {
        self.asked.lock().expect("no panic").push(Instant::now());
        let left = self.times.load(Ordering::Relaxed);
        self.times.store(left.saturating_sub(1), Ordering::Relaxed);
        match left {
            0 => self.store.reload(share, answer),
            _ if self.drops => drop(answer),
            _ => answer(Err(StoreError::Failed("as a test wants it".to_owned()))),
        }
    }
    fn load(&self) -> Result<Vec<(Version, Record)>, StoreError> {
        self.store.load()
    }
    fn attach(&self, shard: Shard, outcomes: Recipient<Committed>) {
        self.store.attach(shard, outcomes);
    }
    fn commit(&self, commit: Commit) -> Option<CommitOutcome> {
        self.store.commit(commit)
    }
    fn counters(&self) -> Counters {
        self.store.counters()
    }
    fn close(&self) {}
}

/// A published presentity, then a panic, then a store that fails: the answers to a refresh, a new subscription and a
/// registration until the state is back, and after that.
fn panic_with(drops: bool) {
    in_virtual_time(async {
        let disk = MemoryDisk::new();
        let store = Unreadable::new(disk.open(), 4, drops);
        let mut bench = Bench::start(store.clone());
        let publish = bench.request("PUBLISH", "", BODY, 0);
        bench.tell(vec![publish]);
        let etag = bench.etag().await;
        bench.registry.do_send(Fault);
        // A moment after each try.
        tokio::time::sleep(Duration::from_millis(100)).await;
        for pause in [0, 1, 2, 4] {
            tokio::time::sleep(Duration::from_secs(pause)).await;
            let asked = vec![
                bench.request("PUBLISH", &format!("SIP-If-Match: {etag}\r\n"), "", 0),
                bench.request("SUBSCRIBE", "", "", 0),
                bench.request("REGISTER", "", "", 0),
            ];
            bench.tell(asked);
            let message = bench.endpoints[0].next().await;
            for output in &message.outputs {
                let ModuleOutput::Reply(reply) = output else {
                    panic!("a reply: {output:?}")
                };
                assert_eq!(reply.status.code(), 503);
                assert_eq!(&reply.head[..], b"Retry-After: 2\r\n");
            }
            assert_eq!(message.outputs.len(), 3);
        }
        tokio::time::sleep(Duration::from_secs(8)).await;
        let refresh = bench.request("PUBLISH", &format!("SIP-If-Match: {etag}\r\n"), "", 0);
        let subscribe = bench.request("SUBSCRIBE", "", "", 0);
        bench.tell(vec![refresh, subscribe]);
        assert_eq!(bench.outputs(0).await, ["200", "200", "NOTIFY"]);
        assert_eq!(store.pauses(), [1, 2, 4, 8]);
        let snapshot = bench.snapshot().await;
        assert_eq!(snapshot["turned_away"], 12);
        assert_eq!(snapshot["reload_failures"], 4);
        assert_eq!(snapshot["publication_count"], 1);
    });
}

#[test]
fn a_shard_that_panics_while_the_store_fails_answers_503_until_it_has_its_state() {
    panic_with(false);
}

#[test]
fn a_store_that_panics_at_reading_is_asked_again() {
    panic_with(true);
}

#[test]
fn a_shard_whose_state_could_not_be_read_at_the_start_asks_for_it_and_answers_503_until_then() {
    in_virtual_time(async {
        let disk = MemoryDisk::new();
        let mut bench = Bench::start(Arc::new(disk.open()));
        let publish = bench.request("PUBLISH", "", BODY, 0);
        bench.tell(vec![publish]);
        let etag = bench.etag().await;
        // Another run of the node.
        let store = Unreadable::new(disk.open(), 2, false);
        let mut bench = Bench::start_with(store.clone(), None);
        let refresh = format!("SIP-If-Match: {etag}\r\n");
        // A moment after each try.
        tokio::time::sleep(Duration::from_millis(100)).await;
        for (pause, expected) in [(0, "503"), (1, "503"), (2, "200")] {
            tokio::time::sleep(Duration::from_secs(pause)).await;
            let refresh = bench.request("PUBLISH", &refresh, "", 0);
            bench.tell(vec![refresh]);
            assert_eq!(bench.outputs(0).await, [expected]);
        }
        assert_eq!(bench.snapshot().await["publication_count"], 1);
    });
}

#[test]
fn a_decision_about_a_watcher_is_refused_while_the_state_is_missing() {
    in_virtual_time(async {
        let store = Unreadable::new(MemoryDisk::new().open(), 9, false);
        let bench = Bench::start_with(store, None);
        let decision = rollcall_core::registry::Decision {
            presentity: "sip:bob@example.com".into(),
            watcher: "sip:alice@example.com".into(),
            handling: None,
        };
        let decided = bench
            .registry
            .send(Decide(decision))
            .await
            .expect("an actor");
        assert_eq!(decided, Err(DecideError::NotStored));
    });
}
