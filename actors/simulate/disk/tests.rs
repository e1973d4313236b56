use rollcall_core::registry::{BindingRecord, Change};
use rollcall_core::time::Timestamp;
use tokio::sync::mpsc;

use super::*;
use crate::testkit::in_virtual_time;

struct Outcomes(mpsc::UnboundedSender<CommitOutcome>);

impl Actor for Outcomes {
    type Context = Context<Self>;
}

impl Handler<Committed> for Outcomes {
    type Result = ();

    fn handle(&mut self, Committed(outcomes): Committed, _: &mut Self::Context) {
        for (_, outcome) in outcomes {
            drop(self.0.send(outcome));
        }
    }
}

/// A commit that makes the binding of this number.
fn put(number: u32) -> Commit {
    let record = Record::Binding(BindingRecord {
        aor: "sip:bob@example.com".into(),
        contact: number.to_string().into(),
        q: None,
        call_id: "c".into(),
        cseq: number,
        expires_at: Timestamp::from_millis(9),
        path: "".into(),
        instance: None,
        reg_id: None,
        params: "".into(),
    });
    Commit {
        op: OpId {
            shard: 0,
            run: 1,
            number: u64::from(number),
        },
        changes: vec![Change {
            key: record.key(),
            expect: None,
            record: Some(record),
        }],
    }
}

struct Bench {
    store: SimStore,
    outcomes: mpsc::UnboundedReceiver<CommitOutcome>,
}

impl Bench {
    fn open(disk: &SimDisk) -> Self {
        let (sender, outcomes) = mpsc::unbounded_channel();
        let store = disk.open();
        store.attach(0, Outcomes(sender).start().recipient());
        Self { store, outcomes }
    }

    fn ask(&self, number: u32) {
        assert_eq!(self.store.commit(put(number)), None);
        self.store.hand_over();
    }

    /// The next outcome within a minute.
    async fn outcome(&mut self) -> Option<CommitOutcome> {
        let minute = Duration::from_secs(60);
        let answer = tokio::time::timeout(minute, self.outcomes.recv()).await;
        answer.ok().flatten()
    }
}

fn disk(seed: u64) -> SimDisk {
    SimDisk::new(Entropy::from_number(seed))
}

#[test]
fn a_commit_is_answered_when_it_is_synced_and_not_before() {
    in_virtual_time(async {
        let disk = disk(1);
        let mut bench = Bench::open(&disk);
        bench.ask(1);
        assert_eq!(disk.len(), 0);
        assert_eq!(bench.outcome().await, Some(CommitOutcome::Committed));
        assert_eq!(disk.len(), 1);
        assert!(disk.has_had(&Proof::Binding("c".to_owned(), 1)));
        assert!(!disk.has_had(&Proof::Binding("c".to_owned(), 2)));
    });
}

#[test]
fn a_crash_loses_what_waits_and_keeps_the_group_in_hand_whole_or_not_at_all() {
    let mut kept = BTreeSet::new();
    for seed in 0..20 {
        in_virtual_time(async {
            let disk = disk(seed);
            let bench = Bench::open(&disk);
            assert_eq!(bench.store.commit(put(1)), None);
            bench.ask(2);
            // The writer takes both in hand.
            tokio::task::yield_now().await;
            bench.ask(3);
            disk.crash();
            tokio::time::sleep(Duration::from_secs(1)).await;
            kept.insert(disk.len());
            assert_eq!(disk.open().epoch(), 2);
        });
    }
    assert_eq!(kept, BTreeSet::from([0, 2]));
}

#[test]
fn a_full_disk_refuses_a_failing_one_does_not_know_and_a_hung_one_answers_when_it_goes_on() {
    in_virtual_time(async {
        let disk = disk(1);
        let mut bench = Bench::open(&disk);
        disk.set(Health::Full);
        bench.ask(1);
        assert_eq!(bench.outcome().await, Some(CommitOutcome::Unavailable));
        assert_eq!(disk.len(), 0);
        disk.set(Health::Failing);
        bench.ask(1);
        assert_eq!(bench.outcome().await, Some(CommitOutcome::Indeterminate));
        disk.set(Health::Hung);
        bench.ask(2);
        assert_eq!(bench.outcome().await, None);
        disk.set(Health::Good);
        assert_eq!(bench.outcome().await, Some(CommitOutcome::Committed));
    });
}
