//! A disk that fails or hangs, made of an engine that does as it is told.

use std::sync::{Condvar, Mutex};
use std::time::Instant;

use super::*;
use crate::store::engine::{Changes, Engine, Folder, Opened, Opener, Reading};
use crate::store::proof::{Proof, Tally};

/// What the next writes do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    /// Nothing is written.
    Full,
    /// All is written, and then there is an error, as at an fdatasync.
    Unsynced,
    /// It waits until that is over.
    Hung,
    Panicking,
}

#[derive(Debug)]
struct Disk {
    mood: Mutex<Mood>,
    changed: Condvar,
}

impl Disk {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            mood: Mutex::new(Mood::Well),
            changed: Condvar::new(),
        })
    }

    fn set(&self, mood: Mood) {
        *self.mood.lock().expect("a mood") = mood;
        self.changed.notify_all();
    }

    fn mood(&self) -> Mood {
        let mood = self.mood.lock().expect("a mood");
        let waited = self.changed.wait_while(mood, |mood| *mood == Mood::Hung);
        *waited.expect("a mood")
    }
}

/// A folder on such a disk.
struct OnDisk(Folder, Arc<Disk>);

impl Opener for OnDisk {
    fn open(&self, expected: Option<Tally>) -> Result<Opened, StoreError> {
        let opened = self.0.open(expected)?;
        Ok(Opened {
            engine: Box::new(Moody(opened.engine, self.1.clone())),
            ..opened
        })
    }

    fn probe(&self) -> std::io::Result<()> {
        match self.1.mood() {
            Mood::Well | Mood::Hung => self.0.probe(),
            Mood::Full | Mood::Unsynced | Mood::Panicking => {
                Err(std::io::ErrorKind::StorageFull.into())
            }
        }
    }
}

struct Moody(Box<dyn Engine>, Arc<Disk>);

impl Engine for Moody {
    fn look(&self, key: &[u8], read: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StoreError> {
        self.0.look(key, read)
    }

    fn write(&mut self, changes: &Changes, tally: Tally) -> Result<(), StoreError> {
        let failed = || StoreError::Failed("as a test wants it".to_owned());
        match self.1.mood() {
            Mood::Well | Mood::Hung => self.0.write(changes, tally),
            Mood::Full => Err(failed()),
            Mood::Unsynced => {
                let before = self.0.proof().and_then(|proof| proof.mark());
                self.0.write(changes, tally)?;
                // The engine of a failed fdatasync does not come as far as to the mark.
                if let (Some(proof), Some(before)) = (self.0.proof(), before) {
                    proof.write(before).expect("a mark");
                }
                Err(failed())
            }
            Mood::Panicking => panic!("as a test wants it"),
        }
    }

    fn load(&mut self) -> Result<Vec<(Version, Record)>, StoreError> {
        self.0.load()
    }

    fn reader(&self, share: Share) -> Reading {
        self.0.reader(share)
    }

    fn advance(&mut self, epoch: u64, tally: Tally) -> Result<(), StoreError> {
        self.0.advance(epoch, tally)
    }

    fn proof(&self) -> Option<Arc<Proof>> {
        self.0.proof()
    }
}

/// A store on such a disk.
struct Patient {
    folder: TempDir,
    disk: Arc<Disk>,
    bench: Bench,
    number: u64,
}

impl Patient {
    fn new(settings: Persistence) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Disk::new();
        let opener = OnDisk(Folder(folder.path().to_owned()), disk.clone());
        let store = FileStore::on(folder.path(), Box::new(opener), settings).expect("a store");
        Self {
            folder,
            disk,
            bench: Bench::new(Arc::new(store)),
            number: 0,
        }
    }

    /// A record under a name of its own.
    async fn put(&mut self, name: &str) -> CommitOutcome {
        self.number += 1;
        let commit = commit(self.number, vec![put(name, None, 1)]);
        self.bench.commit(vec![commit]).await.remove(0).1
    }

    async fn until(&self, what: &str, yes: impl Fn(&Health) -> bool) {
        let began = Instant::now();
        while !yes(&self.bench.store.health()) {
            assert!(began.elapsed() < Duration::from_secs(30), "{what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What is found by a process that comes after a `kill -9` of this one.
    fn after_a_kill(&self) -> Vec<String> {
        let image = tempfile::tempdir().expect("a folder");
        copy(self.folder.path(), image.path());
        names(&FileStore::open(image.path(), Persistence::default()).expect("a store"))
    }

    fn names(&self) -> Vec<String> {
        names(&*self.bench.store)
    }
}

fn names(store: &dyn Store) -> Vec<String> {
    let records = store.load().expect("records");
    let name = |record| match record {
        Record::Binding(binding) => binding.contact.to_string(),
        other => panic!("{other:?}"),
    };
    records
        .into_iter()
        .map(|(_, record)| name(record))
        .collect()
}

fn hasty() -> Persistence {
    Persistence {
        deadline: Duration::from_millis(200),
        ..Persistence::default()
    }
}

#[test]
fn a_full_disk_is_refused_at_once_and_taken_again_when_there_is_room() {
    for mood in [Mood::Full, Mood::Unsynced, Mood::Panicking] {
        System::new().block_on(async {
            let mut patient = Patient::new(hasty());
            assert_eq!(patient.put("a").await, COMMITTED);
            patient.disk.set(mood);
            // The group is void, so that this is certain.
            assert_eq!(
                patient.put("b").await,
                CommitOutcome::Unavailable,
                "{mood:?}"
            );
            assert!(patient.bench.store.health().failing_since.is_some());
            assert_eq!(patient.put("c").await, CommitOutcome::Unavailable);
            // Also for whoever comes after a kill.
            assert_eq!(patient.after_a_kill(), ["a"], "{mood:?}");
            patient.disk.set(Mood::Well);
            patient.until("it works again", Health::works).await;
            assert_eq!(patient.put("b").await, COMMITTED);
            assert_eq!(patient.names(), ["a", "b"]);
            assert_eq!(patient.after_a_kill(), ["a", "b"]);
            assert!(patient.bench.store.counters().failures > 0);
        });
    }
}

#[test]
fn a_failure_that_is_over_before_the_deadline_is_not_noticed_by_those_who_wait() {
    for mood in [Mood::Full, Mood::Unsynced, Mood::Panicking] {
        System::new().block_on(async {
            let mut patient = Patient::new(Persistence::default());
            patient.disk.set(mood);
            let disk = patient.disk.clone();
            let store = patient.bench.store.clone();
            let mend = std::thread::spawn(move || {
                while store.health().works() {
                    std::thread::yield_now();
                }
                disk.set(Mood::Well);
            });
            assert_eq!(patient.put("a").await, COMMITTED, "{mood:?}");
            mend.join().expect("mended");
            assert_eq!(patient.after_a_kill(), ["a"]);
        });
    }
}

#[test]
fn whoever_waits_for_a_hung_disk_is_told_that_nobody_knows_and_finds_out_later() {
    System::new().block_on(async {
        let mut patient = Patient::new(hasty());
        patient.disk.set(Mood::Hung);
        assert_eq!(patient.put("a").await, CommitOutcome::Indeterminate);
        patient
            .until("it is noticed", |health| health.hanging_since.is_some())
            .await;
        assert_eq!(patient.put("b").await, CommitOutcome::Unavailable);
        patient.disk.set(Mood::Well);
        patient.until("it answers again", Health::works).await;
        // Asked again under its number, it is answered as it turned out.
        patient.number = 0;
        assert_eq!(patient.put("a").await, COMMITTED);
        assert_eq!(patient.names(), ["a"]);
        assert_eq!(patient.bench.store.counters().replayed, 1);
    });
}

#[test]
fn a_hung_disk_does_not_keep_a_store_from_closing_and_what_it_refused_is_not_found() {
    System::new().block_on(async {
        let mut patient = Patient::new(Persistence {
            close_within: Duration::from_millis(300),
            ..hasty()
        });
        assert_eq!(patient.put("a").await, COMMITTED);
        patient.disk.set(Mood::Hung);
        assert_eq!(patient.put("b").await, CommitOutcome::Indeterminate);
        let began = Instant::now();
        patient.bench.store.close();
        assert!(began.elapsed() < Duration::from_secs(5));
        assert!(!patient.bench.store.health().works());
        assert_eq!(patient.after_a_kill(), ["a"]);
        patient.disk.set(Mood::Well);
    });
}

#[test]
fn a_disk_that_stays_as_it_is_ends_the_process() {
    static GIVEN_UP: Mutex<Vec<String>> = Mutex::new(Vec::new());
    for mood in [Mood::Full, Mood::Hung] {
        System::new().block_on(async {
            GIVEN_UP.lock().expect("lines").clear();
            let mut patient = Patient::new(Persistence {
                give_up: Duration::from_millis(500),
                fatal: |why| GIVEN_UP.lock().expect("lines").push(why.to_owned()),
                ..hasty()
            });
            patient.disk.set(mood);
            assert_ne!(patient.put("a").await, COMMITTED);
            patient
                .until("it gives up", |_| {
                    !GIVEN_UP.lock().expect("lines").is_empty()
                })
                .await;
            let why = GIVEN_UP.lock().expect("lines")[0].clone();
            let expected = match mood {
                Mood::Full => "the store has not worked for 0 s: ",
                _ => "the store's disk has not answered for 0 s",
            };
            assert!(why.starts_with(expected), "{why}");
            patient.disk.set(Mood::Well);
        });
    }
}
