//! What `rollcall store check` and `repair` say and do.

use std::path::PathBuf;

use rollcall_core::registry::PublicationRecord;

use super::damage::folder;
use super::file::{meddle, opened};
use super::trials::{content, looked};
use super::*;
use crate::store::journal::{Batch, Journal, batch};
use crate::store::proof::Proof;
use crate::store::salvage::{Counts, RepairError, look, repair};

/// The journal of a folder, and its groups.
fn journal(folder: &Path) -> (PathBuf, Vec<Batch>) {
    let mut journals = Journal::all(folder).expect("journals");
    assert_eq!(journals.len(), 1);
    let journal = journals.remove(0);
    (journal.path, journal.batches)
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).expect("a file");
    change(&mut bytes);
    std::fs::write(path, bytes).expect("a file");
}

/// Repairs a folder. The name of the new one, what it holds, and what was said.
fn repaired(folder: &Path) -> (TempDir, Vec<(Version, Record)>, String) {
    let place = tempfile::tempdir().expect("a folder");
    let to = place.path().join("new");
    let repaired = repair(folder, &to, &mut |_| {}).expect("a repair");
    let records = opened(&to).and_then(|store| store.load()).expect("a store");
    assert_eq!(records.len() as u64, repaired.kept);
    let epoch = opened(&to).expect("a store").epoch();
    assert!(epoch > repaired.finding.epoch, "{epoch}");
    let names = std::fs::read_dir(place.path()).expect("a folder").count();
    assert_eq!(names, 1, "nothing but the new folder is left");
    (place, records, repaired.finding.lines().join("\n"))
}

/// A store after a kill, with so many publications of bob, one a group.
fn publications(count: u64) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    System::new().block_on(async {
        let store = Arc::new(opened(folder.path()).expect("a store"));
        let mut bench = Bench::new(store);
        for number in 1..=count {
            let outcomes = bench
                .commit(vec![commit(number, vec![publish(number, None, b"body")])])
                .await;
            assert_eq!(outcomes, [(number, COMMITTED)]);
        }
    });
    folder
}

fn publish(order: u64, expect: Option<Version>, body: &[u8]) -> Change {
    let record = PublicationRecord {
        aor: "sip:bob@example.com".into(),
        package: "presence".into(),
        order,
        etag: format!("tag{order}").into(),
        expires_at: Timestamp::from_millis(9),
        modified_at: Timestamp::from_millis(1),
        content_type: "text/plain".into(),
        body: body.to_vec().into(),
    };
    Change {
        key: record.key(),
        expect,
        record: Some(Record::Publication(record)),
    }
}

fn remove(order: u64) -> Change {
    Change {
        expect: Some(1),
        record: None,
        ..publish(order, None, b"")
    }
}

#[test]
fn a_whole_folder_is_told_by_kind_and_a_server_that_has_it_open_is_respected() {
    let (folder, records) = folder();
    let finding = looked(folder.path()).finding;
    assert!(finding.whole && finding.proven);
    let bindings = records.len() as u64;
    let counts = Counts {
        bindings,
        ..Counts::default()
    };
    assert_eq!(finding.records, counts);
    assert_eq!(finding.last, finding.acknowledged);
    assert!(
        finding.lines()[0].ends_with("is whole (format 2)"),
        "{:?}",
        finding.lines()
    );
    let owner = opened(folder.path()).expect("a store");
    let error = look(folder.path(), &mut |_| {}).expect_err("in use");
    assert!(matches!(error, StoreError::InUse(_)), "{error}");
    drop(owner);
    // And the other way round.
    let looking = looked(folder.path());
    let error = opened(folder.path()).expect_err("in use");
    assert!(matches!(error, StoreError::InUse(_)), "{error}");
    drop(looking);
    opened(folder.path()).expect("a store");
}

#[test]
fn a_group_that_is_damaged_is_named_with_its_record_and_costs_nothing_else() {
    let folder = publications(9);
    let (path, groups) = journal(folder.path());
    // A bit of the fourth publication's document; the first group begins the epoch.
    edit(&path, |bytes| bytes[groups[4].end - 120] ^= 4);
    let finding = looked(folder.path()).finding;
    assert_eq!(finding.missing, [(5, 5)]);
    let [damage] = &finding.damages[..] else {
        panic!("{finding:?}")
    };
    assert_eq!(damage.offset, Some(groups[4].start as u64));
    assert_eq!(damage.records, ["publication 4 of sip:bob@example.com"]);
    let (_new, records, said) = repaired(folder.path());
    assert_eq!(records.len(), 8);
    assert!(said.contains("lost: at least 1 records of 9"), "{said}");
    // The lengths are gone as well: all behind them is found by its own checksums, as it leads to the end.
    edit(&path, |bytes| {
        bytes[groups[6].start..groups[6].start + 40].fill(9)
    });
    let (_new, records, said) = repaired(folder.path());
    assert_eq!(records.len(), 7, "{said}");
    assert!(said.contains("missing: groups of changes 7 to 7"), "{said}");
}

#[test]
fn what_was_removed_in_a_group_that_is_damaged_does_not_come_back() {
    let folder = publications(3);
    System::new().block_on(async {
        let mut bench = Bench::new(Arc::new(opened(folder.path()).expect("a store")));
        for (number, change) in [(10, remove(2)), (11, publish(4, None, b"more"))] {
            let outcomes = bench.commit(vec![commit(number, vec![change])]).await;
            assert_eq!(outcomes, [(number, COMMITTED)]);
        }
    });
    let (path, groups) = journal(folder.path());
    edit(&path, |bytes| bytes[groups[5].start] ^= 1);
    let (_new, records, said) = repaired(folder.path());
    assert_eq!(records.len(), 3, "{said}");
    assert!(
        records
            .iter()
            .all(|(_, record)| !matches!(record, Record::Publication(p) if p.order == 2))
    );
    assert!(
        said.contains("with entity-tag tag2 was removed in what is missing"),
        "{said}"
    );
    assert!(said.contains("lost: nothing"), "{said}");
}

#[test]
fn a_lost_end_is_missing_by_the_proof_and_an_unfinished_write_is_none() {
    let folder = publications(5);
    let (path, groups) = journal(folder.path());
    edit(&path, |bytes| {
        let half = bytes[groups[3].start..groups[3].start + 30].to_vec();
        bytes[groups[5].end..groups[5].end + 30].copy_from_slice(&half);
    });
    let finding = looked(folder.path()).finding;
    assert!(finding.whole, "{finding:?}");
    let torn = finding.torn.as_ref().expect("an unfinished write");
    assert_eq!(torn.offset, groups[5].end as u64);
    assert!(finding.lines().join("\n").contains("unfinished write"));
    edit(&path, |bytes| bytes[groups[4].start..].fill(0));
    let finding = looked(folder.path()).finding;
    assert_eq!(finding.missing, [(5, 6)]);
    assert!(!finding.whole && finding.torn.is_none());
    let (_new, records, said) = repaired(folder.path());
    assert_eq!(records.len(), 3);
    assert!(said.contains("lost: at least 2 records of 5"), "{said}");
    assert!(
        said.contains("3 of the records that can be read may have been changed"),
        "{said}"
    );
}

#[test]
fn a_document_that_looks_like_groups_is_not_taken_for_some_when_its_own_is_damaged() {
    // Groups of another store, as somebody may publish them.
    let other = publications(2);
    let (path, groups) = journal(other.path());
    let bytes = std::fs::read(&path).expect("a file");
    let fake = &bytes[groups[1].start..groups[2].end];
    let folder = publications(1);
    System::new().block_on(async {
        let mut bench = Bench::new(Arc::new(opened(folder.path()).expect("a store")));
        for (number, change) in [
            (10, publish(7, None, fake)),
            (11, publish(8, None, b"more")),
        ] {
            bench.commit(vec![commit(number, vec![change])]).await;
        }
    });
    let (path, groups) = journal(folder.path());
    let group = &groups[3];
    let bytes = std::fs::read(&path).expect("a file");
    assert!(
        (group.start + 1..group.end).any(|at| batch(&bytes, at).is_some()),
        "it looks like groups"
    );
    // How many items it has, so that its lengths lead nowhere.
    edit(&path, |bytes| bytes[group.start + 1] ^= 0x40);
    let (_new, records, said) = repaired(folder.path());
    let orders = records.iter().filter_map(|(_, record)| match record {
        Record::Publication(publication) => Some(publication.order),
        _ => None,
    });
    assert_eq!(orders.collect::<Vec<_>>(), [1, 8], "{said}");
}

#[test]
fn one_record_that_can_not_be_understood_costs_only_itself() {
    let folder = publications(3);
    let key = publish(2, None, b"").key.encode();
    meddle(
        folder.path(),
        "records",
        &key,
        &[0, 0, 0, 0, 0, 0, 0, 2, 1, b'p', 0],
    );
    let finding = looked(folder.path()).finding;
    assert_eq!(finding.unreadable.len(), 1);
    assert_eq!(
        finding.unreadable[0].record,
        "publication 2 of sip:bob@example.com"
    );
    let (_new, records, said) = repaired(folder.path());
    assert_eq!(records.len(), 2);
    assert!(
        said.contains("publication 2 of sip:bob@example.com: record is cut short in aor"),
        "{said}"
    );
}

#[test]
fn what_the_engine_would_delete_is_damage_before_it_is_asked() {
    for gone in [
        "keyspaces/0/current",
        "keyspaces/2/current",
        "keyspaces/0",
        "0.jnl",
    ] {
        let (folder, records) = folder();
        let path = folder.path().join(gone);
        match path.is_dir() {
            true => std::fs::remove_dir_all(&path).expect("a folder"),
            false => std::fs::remove_file(&path).expect("a file"),
        }
        let before = content(folder.path());
        let error = opened(folder.path()).expect_err(gone);
        assert!(
            matches!(error, StoreError::Damaged { .. }),
            "{gone}: {error}"
        );
        assert!(
            content(folder.path()) == before,
            "{gone}: it is left as it is"
        );
        let (_new, kept, said) = repaired(folder.path());
        // What was not in tables yet.
        let less = if gone == "0.jnl" { 10 } else { 0 };
        assert_eq!(kept.len() + less, records.len(), "{gone}: {said}");
    }
}

#[test]
fn what_the_engine_does_not_take_is_damage_in_words() {
    for stray in [
        "old.jnl",
        "7.JNL",
        "keyspaces/x/",
        "keyspaces/2/tables/x",
        "7.jnl",
    ] {
        let folder = publications(2);
        let path = folder.path().join(stray);
        match stray.strip_suffix('/') {
            Some(_) => std::fs::create_dir(&path).expect("a folder"),
            // A link to another disk, perhaps.
            None if stray == "7.jnl" => {
                std::os::unix::fs::symlink("0.jnl", &path).expect("a link");
            }
            None => std::fs::write(&path, b"").expect("a file"),
        }
        assert!(!looked(folder.path()).finding.whole, "{stray}");
        let error = opened(folder.path()).expect_err(stray).to_string();
        assert!(
            error.contains("damaged") && !error.contains("understand"),
            "{error}"
        );
        let (_new, records, said) = repaired(folder.path());
        assert_eq!(records.len(), 2, "{said}");
    }
}

#[test]
fn without_its_proof_a_store_is_refused_and_a_new_one_may_have_none_yet() {
    let folder = publications(2);
    std::fs::remove_file(Proof::path(folder.path())).expect("a file");
    let error = opened(folder.path()).expect_err("no proof");
    assert!(
        error.to_string().contains("the file `proof` is gone"),
        "{error}"
    );
    let finding = looked(folder.path()).finding;
    assert!(!finding.whole && finding.proven, "{finding:?}");
    let (_new, records, _) = repaired(folder.path());
    assert_eq!(records.len(), 2);
    // Killed between its first group and its first mark.
    let folder = publications(0);
    std::fs::write(Proof::path(folder.path()), b"").expect("a file");
    assert!(looked(folder.path()).finding.whole);
    opened(folder.path()).expect("a store");
}

#[test]
fn what_is_no_store_is_told_from_a_damaged_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let failed = |path: &Path| look(path, &mut |_| {}).expect_err("no store").to_string();
    assert!(failed(folder.path()).contains("is no store"));
    assert!(failed(&folder.path().join("none")).contains("can't be opened"));
    let file = folder.path().join("file");
    std::fs::write(&file, b"").expect("a file");
    assert!(
        failed(&file).contains("not a directory"),
        "{}",
        failed(&file)
    );
    meddle(folder.path(), "meta", b"format", &9u64.to_be_bytes());
    assert!(failed(folder.path()).contains("has format 9, this version reads 2"));
    std::fs::write(folder.path().join("version"), b"FJL\x04").expect("a file");
    assert!(failed(folder.path()).contains("has format 4 of the engine"));
}

#[test]
fn a_repair_writes_over_nothing_and_its_unfinished_folder_is_no_store() {
    let folder = publications(2);
    let place = tempfile::tempdir().expect("a folder");
    let to = place.path().join("new");
    let tried = |to: &Path| repair(folder.path(), to, &mut |_| {}).expect_err("refused");
    std::fs::create_dir(&to).expect("a folder");
    assert!(matches!(tried(&to), RepairError::Exists(_)));
    std::fs::remove_dir(&to).expect("a folder");
    std::os::unix::fs::symlink("nowhere", &to).expect("a link");
    assert!(matches!(tried(&to), RepairError::Exists(_)));
    std::fs::remove_file(&to).expect("a link");
    assert!(matches!(
        tried(&folder.path().join("new")),
        RepairError::Place { .. }
    ));
    assert!(matches!(
        tried(&place.path().join("no/new")),
        RepairError::Place { .. }
    ));
    // What a kill leaves.
    let left = place.path().join("new.repairing");
    std::fs::create_dir(&left).expect("a folder");
    std::fs::write(left.join("unfinished"), b"").expect("a file");
    assert!(matches!(tried(&to), RepairError::Left(_)));
    let error = opened(&left).expect_err("no store");
    assert!(matches!(error, StoreError::Unfinished(_)), "{error}");
    std::fs::remove_dir_all(&left).expect("a folder");
    // By a link it is the same store.
    let link = place.path().join("link");
    std::os::unix::fs::symlink(folder.path(), &link).expect("a link");
    repair(&link, &to, &mut |_| {}).expect("a repair");
    assert_eq!(
        opened(&to)
            .and_then(|store| store.load())
            .expect("records")
            .len(),
        2
    );
}

/// Writes a folder as versions before the proof did: no tallies, each group a batch of the engine.
fn format_1(folder: &Path, count: u64) {
    let database = fjall::Database::builder(folder)
        .worker_threads(1)
        .open()
        .expect("a database");
    let options = fjall::KeyspaceCreateOptions::default;
    let meta = database.keyspace("meta", options).expect("a keyspace");
    let records = database.keyspace("records", options).expect("a keyspace");
    meta.insert("format", 1u64.to_be_bytes()).expect("a write");
    meta.insert("epoch", 7u64.to_be_bytes()).expect("a write");
    database
        .persist(fjall::PersistMode::SyncAll)
        .expect("a write");
    for order in 1..=count {
        let mut batch = database
            .batch()
            .durability(Some(fjall::PersistMode::SyncData));
        let change = publish(order, None, b"body");
        let value = value::encode(1, &change.record.expect("a record"));
        batch.insert(&records, change.key.encode(), value);
        batch.commit().expect("a write");
        if order == count / 2 {
            records.rotate_memtable_and_wait().expect("a table");
            // To the last level, where blocks are packed.
            records.major_compact().expect("a table");
        }
    }
}

#[test]
fn a_folder_of_format_1_is_looked_into_taken_over_and_gone_on_with() {
    let folder = tempfile::tempdir().expect("a folder");
    format_1(folder.path(), 6);
    let finding = looked(folder.path()).finding;
    assert!(finding.whole && !finding.proven, "{finding:?}");
    assert_eq!((finding.format, finding.epoch), (Some(1), 7));
    assert_eq!(finding.records.publications, 6);
    System::new().block_on(async {
        let store = Arc::new(opened(folder.path()).expect("a store"));
        assert_eq!(store.epoch(), 8);
        assert_eq!(store.load().expect("records").len(), 6);
        let mut bench = Bench::new(store);
        let outcomes = bench.commit(vec![commit(1, vec![remove(2)])]).await;
        assert_eq!(outcomes, [(1, COMMITTED)]);
    });
    let finding = looked(folder.path()).finding;
    assert!(finding.whole && finding.proven, "{finding:?}");
    assert_eq!(finding.format, Some(2));
    let records = opened(folder.path())
        .and_then(|store| store.load())
        .expect("records");
    assert_eq!(records.len(), 5);
}

#[test]
fn a_damaged_folder_of_format_1_is_refused_and_its_repair_says_what_it_can_not_know() {
    let folder = tempfile::tempdir().expect("a folder");
    format_1(folder.path(), 6);
    let (path, groups) = journal(folder.path());
    // The fifth publication, which is in no table.
    edit(&path, |bytes| bytes[groups[6].start] ^= 1);
    let error = opened(folder.path()).expect_err("damage");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    let (_new, records, said) = repaired(folder.path());
    assert_eq!(records.len(), 5);
    assert!(
        said.contains("publication 5 of sip:bob@example.com"),
        "{said}"
    );
    assert!(said.contains("how much can't be known"), "{said}");
}
