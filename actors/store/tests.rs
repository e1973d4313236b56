//! One conformance suite for every engine that keeps something, then what is peculiar to each.

use std::path::Path;
use std::time::Duration;

use rollcall_core::registry::{BindingRecord, Change, RecordKey};
use rollcall_core::time::Timestamp;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;

mod damage;
mod faults;
mod file;
mod salvage;
mod trials;

/// Something that a store is opened on, again and again.
enum Ground {
    Memory(MemoryDisk),
    File(TempDir),
}

impl Ground {
    fn all() -> [Self; 2] {
        [
            Self::Memory(MemoryDisk::new()),
            Self::File(tempfile::tempdir().expect("a folder")),
        ]
    }

    fn open(&self) -> Arc<dyn Store> {
        match self {
            Self::Memory(disk) => Arc::new(disk.open()),
            Self::File(folder) => {
                Arc::new(FileStore::open(folder.path(), Persistence::default()).expect("a store"))
            }
        }
    }

    /// What is there after `kill -9`: the store is not closed, and what it had in hand is lost.
    fn crash(&self, store: Arc<dyn Store>) -> Self {
        match self {
            Self::Memory(disk) => {
                drop(store);
                Self::Memory(disk.clone())
            }
            Self::File(folder) => {
                let image = tempfile::tempdir().expect("a folder");
                copy(folder.path(), image.path());
                drop(store);
                Self::File(image)
            }
        }
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            std::fs::create_dir(&target).expect("a folder");
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// Passes outcomes on to the test.
struct Outcomes(mpsc::UnboundedSender<(OpId, CommitOutcome)>);

impl Actor for Outcomes {
    type Context = Context<Self>;
}

impl Handler<Committed> for Outcomes {
    type Result = ();

    fn handle(&mut self, Committed(outcomes): Committed, _: &mut Self::Context) {
        for outcome in outcomes {
            drop(self.0.send(outcome));
        }
    }
}

/// A store and whom it answers.
struct Bench {
    store: Arc<dyn Store>,
    outcomes: mpsc::UnboundedReceiver<(OpId, CommitOutcome)>,
}

impl Bench {
    fn new(store: Arc<dyn Store>) -> Self {
        let (sender, outcomes) = mpsc::unbounded_channel();
        store.attach(0, Outcomes(sender).start().recipient());
        Self { store, outcomes }
    }

    /// Asks for commits in one pass, without waiting in between; gives their outcomes in the order in which they came.
    async fn commit(&mut self, commits: Vec<Commit>) -> Vec<(u64, CommitOutcome)> {
        let mut answers = Vec::new();
        let mut waiting = 0;
        for commit in commits {
            let number = commit.op.number;
            match self.store.commit(commit) {
                Some(outcome) => answers.push((number, outcome)),
                None => waiting += 1,
            }
        }
        self.store.hand_over();
        for _ in 0..waiting {
            let answer = tokio::time::timeout(Duration::from_secs(30), self.outcomes.recv()).await;
            let (op, outcome) = answer.expect("an outcome in time").expect("a living store");
            answers.push((op.number, outcome));
        }
        answers
    }
}

/// Runs a test on each engine.
fn on_each<F: Future<Output = ()>>(test: impl Fn(Ground) -> F) {
    for ground in Ground::all() {
        System::new().block_on(test(ground));
    }
}

fn record(contact: &str, cseq: u32) -> Record {
    Record::Binding(BindingRecord {
        aor: "sip:bob@example.com".into(),
        contact: contact.into(),
        q: None,
        call_id: "c".into(),
        cseq,
        expires_at: Timestamp::from_millis(9),
        path: "".into(),
        instance: None,
        reg_id: None,
        params: "".into(),
    })
}

fn key(contact: &str) -> RecordKey {
    record(contact, 0).key()
}

fn put(contact: &str, expect: Option<Version>, cseq: u32) -> Change {
    Change {
        key: key(contact),
        expect,
        record: Some(record(contact, cseq)),
    }
}

fn remove(contact: &str, expect: Version) -> Change {
    Change {
        key: key(contact),
        expect: Some(expect),
        record: None,
    }
}

fn commit(number: u64, changes: Vec<Change>) -> Commit {
    Commit {
        op: OpId {
            shard: 0,
            run: 1,
            number,
        },
        changes,
    }
}

const COMMITTED: CommitOutcome = CommitOutcome::Committed;

#[test]
fn commits_are_carried_out_and_answered_in_order() {
    on_each(async |ground| {
        let mut bench = Bench::new(ground.open());
        let commits = (1..=2000).map(|n| {
            let expect = (n > 1).then(|| n - 1);
            commit(n, vec![put("a", expect, u32::try_from(n).expect("small"))])
        });
        let outcomes = bench.commit(commits.collect()).await;
        let expected: Vec<_> = (1..=2000).map(|n| (n, COMMITTED)).collect();
        assert_eq!(outcomes, expected);
        assert_eq!(
            bench.store.load().expect("records"),
            [(2000, record("a", 2000))]
        );
        assert_eq!(bench.store.counters().committed, 2000);
    });
}

#[test]
fn a_conflict_tells_how_the_records_stand_and_changes_nothing() {
    on_each(async |ground| {
        let mut bench = Bench::new(ground.open());
        bench.commit(vec![commit(1, vec![put("a", None, 1)])]).await;
        bench
            .commit(vec![commit(2, vec![put("a", Some(1), 2)])])
            .await;
        let outcomes = bench
            .commit(vec![
                commit(3, vec![put("b", None, 3), put("a", Some(1), 3)]),
                commit(4, vec![put("a", None, 4)]),
                commit(5, vec![remove("c", 1)]),
            ])
            .await;
        let a = (key("a"), Some((2, record("a", 2))));
        assert_eq!(
            outcomes,
            [
                (3, CommitOutcome::Conflict(vec![a.clone()])),
                (4, CommitOutcome::Conflict(vec![a])),
                (5, CommitOutcome::Conflict(vec![(key("c"), None)])),
            ]
        );
        assert_eq!(bench.store.load().expect("records"), [(2, record("a", 2))]);
        assert_eq!(bench.store.counters().conflicts, 3);
    });
}

#[test]
fn a_commit_that_comes_twice_is_answered_as_the_first_and_done_once() {
    on_each(async |ground| {
        let mut bench = Bench::new(ground.open());
        let first = commit(1, vec![put("a", None, 1)]);
        let refused = commit(2, vec![put("a", None, 2)]);
        let again = vec![first.clone(), first.clone(), refused.clone()];
        let outcomes = bench.commit(again).await;
        let conflict = CommitOutcome::Conflict(vec![(key("a"), Some((1, record("a", 1))))]);
        assert_eq!(
            outcomes,
            [(1, COMMITTED), (1, COMMITTED), (2, conflict.clone())]
        );
        // Even when the record has moved on.
        bench.commit(vec![commit(3, vec![remove("a", 1)])]).await;
        let outcomes = bench.commit(vec![first, refused]).await;
        assert_eq!(outcomes, [(1, COMMITTED), (2, conflict)]);
        assert_eq!(bench.store.load().expect("records"), []);
        assert_eq!(bench.store.counters().replayed, 3);
    });
}

#[test]
fn later_commits_of_a_group_see_the_earlier_ones() {
    on_each(async |ground| {
        let mut bench = Bench::new(ground.open());
        let outcomes = bench
            .commit(vec![
                commit(1, vec![put("a", None, 1)]),
                commit(2, vec![put("a", Some(1), 2)]),
                commit(3, vec![remove("a", 2)]),
                commit(4, vec![put("a", None, 4)]),
                commit(5, vec![put("a", Some(1), 5), put("b", None, 5)]),
            ])
            .await;
        let expected: Vec<_> = (1..=5).map(|n| (n, COMMITTED)).collect();
        assert_eq!(outcomes, expected);
        let records = bench.store.load().expect("records");
        assert_eq!(records, [(2, record("a", 5)), (1, record("b", 5))]);
    });
}

#[test]
fn what_was_stored_is_there_when_it_is_opened_again() {
    on_each(async |ground| {
        let mut bench = Bench::new(ground.open());
        assert_eq!(bench.store.epoch(), 1);
        bench
            .commit(vec![
                commit(1, vec![put("a", None, 1), put("b", None, 1)]),
                commit(2, vec![put("a", Some(1), 2)]),
                commit(3, vec![remove("b", 1)]),
            ])
            .await;
        bench.store.close();
        drop(bench);
        let mut bench = Bench::new(ground.open());
        assert_eq!(bench.store.epoch(), 2);
        assert_eq!(bench.store.load().expect("records"), [(2, record("a", 2))]);
        // Versions go on from where they were.
        let outcomes = bench
            .commit(vec![commit(1, vec![put("a", Some(2), 3)])])
            .await;
        assert_eq!(outcomes, [(1, COMMITTED)]);
    });
}

#[test]
fn what_was_answered_committed_survives_a_kill() {
    on_each(async |ground| {
        let mut bench = Bench::new(ground.open());
        for number in 1..=20 {
            let contact = number.to_string();
            bench
                .commit(vec![commit(number, vec![put(&contact, None, 1)])])
                .await;
        }
        let ground = ground.crash(bench.store);
        let store = ground.open();
        assert_eq!(store.epoch(), 2);
        assert_eq!(store.load().expect("records").len(), 20);
    });
}

#[test]
fn an_epoch_may_begin_without_opening_and_is_not_given_again() {
    on_each(async |ground| {
        let store = ground.open();
        reloaded(
            &*store,
            Share {
                shard: 0,
                shards: 1,
            },
        )
        .expect("records");
        assert_eq!(store.epoch(), 2);
        let ground = ground.crash(store);
        assert_eq!(ground.open().epoch(), 3);
    });
}

/// What a store answers to a shard that is rebuilt.
fn reloaded(store: &dyn Store, share: Share) -> Result<Vec<(Version, Record)>, StoreError> {
    let (sender, answer) = std::sync::mpsc::channel();
    store.reload(share, Box::new(move |records| drop(sender.send(records))));
    answer.recv().expect("an answer")
}

#[test]
fn a_shard_is_given_its_own_records_alone_behind_what_it_asked_for() {
    on_each(async |ground| {
        let mut bench = Bench::new(ground.open());
        let owners: Vec<String> = (0..8).map(|n| format!("sip:{n}@example.com")).collect();
        let binding = |owner: &String| {
            let Record::Binding(binding) = record("a", 1) else {
                panic!("a binding")
            };
            Record::Binding(BindingRecord {
                aor: owner.as_str().into(),
                ..binding
            })
        };
        let put = |owner| {
            let record = binding(owner);
            Change {
                key: record.key(),
                expect: None,
                record: Some(record),
            }
        };
        let commits = (1..)
            .zip(&owners)
            .map(|(n, owner)| commit(n, vec![put(owner)]));
        bench.commit(commits.collect()).await;
        for shard in 0..3 {
            let share = Share { shard, shards: 3 };
            let mut own: Vec<_> = reloaded(&*bench.store, share)
                .expect("records")
                .into_iter()
                .map(|(_, record)| record.aor().to_owned())
                .collect();
            own.sort();
            let expected: Vec<_> = owners
                .iter()
                .filter(|owner| share.holds(owner))
                .cloned()
                .collect();
            assert!(!expected.is_empty());
            assert_eq!(own, expected);
        }
    });
}

#[test]
fn a_closed_store_takes_nothing() {
    on_each(async |ground| {
        let store = ground.open();
        store.close();
        let outcome = store.commit(commit(1, vec![put("a", None, 1)]));
        assert_eq!(outcome, Some(CommitOutcome::Unavailable));
        // Closing twice is closing once.
        store.close();
    });
}

#[test]
fn the_forgetful_store_says_yes_and_keeps_nothing() {
    let store = open(&StoreUrl::Memory, Persistence::default()).expect("a store");
    let outcome = store.commit(commit(1, vec![put("a", Some(7), 1)]));
    assert_eq!(outcome, Some(COMMITTED));
    assert_eq!(store.load().expect("records"), []);
}

#[test]
fn urls_name_the_engine() {
    let read = |text: &str| text.parse::<StoreUrl>().map_err(|error| error.to_string());
    let file = |path: &str| Ok(StoreUrl::File(path.into()));
    assert_eq!(read("memory:"), Ok(StoreUrl::Memory));
    assert_eq!(read("file:state"), file("state"));
    assert_eq!(read("file:/var/lib/rollcall"), file("/var/lib/rollcall"));
    assert_eq!(read("file:///var/lib/rollcall"), file("/var/lib/rollcall"));
    let not_yet =
        "store \"redis://127.0.0.1\": redis is not supported yet; use `memory:` or `file:PATH`";
    assert_eq!(read("redis://127.0.0.1"), Err(not_yet.to_owned()));
    for wrong in ["", "file:", "memory", "memory:x", "/var/lib"] {
        let error = read(wrong).expect_err(wrong);
        assert!(
            error.ends_with("is neither `memory:` nor `file:PATH`"),
            "{error}"
        );
    }
    assert_eq!(StoreUrl::File("state".into()).to_string(), "file:state");
}

#[test]
fn records_are_dealt_to_the_shards_that_own_them() {
    let records: Vec<_> = (0..50)
        .map(|number| {
            let Record::Binding(mut binding) = record("a", 1) else {
                panic!("a binding")
            };
            binding.aor = format!("sip:{number}@example.com").into();
            (1, Record::Binding(binding))
        })
        .collect();
    let dealt = by_shard(records, 4);
    assert_eq!(dealt.iter().map(Vec::len).sum::<usize>(), 50);
    for (shard, records) in dealt.iter().enumerate() {
        assert!(!records.is_empty());
        for (_, record) in records {
            assert_eq!(usize::from(shard_of(record.aor(), 4)), shard);
        }
    }
}

#[test]
fn a_shard_has_what_an_earlier_version_stored_under_another_spelling() {
    for number in 0..50 {
        let name = format!("sip:user{number}@example.com");
        let older = format!("sip:user{number}@EXAMPLE.com:5060");
        for shard in 0..4 {
            let share = Share { shard, shards: 4 };
            assert_eq!(share.holds(&name), share.holds(&older), "{older}");
        }
    }
}
