//! What can be wrong with a folder.

use super::*;

pub(super) fn opened(path: &Path) -> Result<FileStore, StoreError> {
    FileStore::open(path, Persistence::default())
}

/// Files of fjall's journal in a folder.
fn journals(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "jnl"))
        .collect()
}

#[test]
fn a_torn_end_of_the_journal_costs_only_what_was_not_answered() {
    System::new().block_on(async {
        let ground = Ground::File(tempfile::tempdir().expect("a folder"));
        let mut bench = Bench::new(ground.open());
        for number in 1..=5 {
            let contact = number.to_string();
            bench
                .commit(vec![commit(number, vec![put(&contact, None, 1)])])
                .await;
        }
        let Ground::File(image) = ground.crash(bench.store) else {
            panic!("a folder")
        };
        let journals = journals(image.path());
        assert!(!journals.is_empty());
        for journal in journals {
            // A write that was under way when the power went: only its begin is there.
            let bytes = std::fs::read(&journal).expect("a journal");
            let used = bytes
                .iter()
                .rposition(|b| *b != 0)
                .map_or(0, |last| last + 1);
            let mut torn = bytes[..used].to_vec();
            torn.extend_from_slice(&bytes[used / 2..used / 2 + used / 8]);
            std::fs::write(&journal, torn).expect("a journal");
        }
        let store = opened(image.path()).expect("a store");
        assert_eq!(store.load().expect("records").len(), 5);
    });
}

#[test]
fn the_commits_of_a_pass_are_one_group() {
    System::new().block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Arc::new(opened(folder.path()).expect("a store"));
        let mut bench = Bench::new(store.clone());
        for pass in 0..3 {
            let numbers = 100 * pass + 1..=100 * pass + 50;
            let commits = numbers.map(|n| commit(n, vec![put(&n.to_string(), None, 1)]));
            let outcomes = bench.commit(commits.collect()).await;
            assert!(outcomes.iter().all(|(_, outcome)| *outcome == COMMITTED));
        }
        assert!(store.health().works());
        assert!(store.health().last_success.is_some());
        let counters = store.counters();
        assert_eq!((counters.groups, counters.largest_group), (3, 50));
    });
}

#[test]
fn what_was_asked_for_is_carried_out_before_the_store_is_read_or_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = opened(folder.path()).expect("a store");
    assert_eq!(store.commit(commit(1, vec![put("a", None, 1)])), None);
    assert_eq!(store.load().expect("records").len(), 1);
    assert_eq!(store.commit(commit(2, vec![put("b", None, 1)])), None);
    store.close();
    drop(store);
    let again = opened(folder.path()).expect("a store");
    assert_eq!(again.load().expect("records").len(), 2);
}

#[test]
fn more_commits_than_may_wait_are_turned_away_and_the_others_are_answered() {
    System::new().block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Arc::new(opened(folder.path()).expect("a store"));
        let mut bench = Bench::new(store.clone());
        let commits = (1..=16_385).map(|n| commit(n, vec![put(&n.to_string(), None, 1)]));
        let mut outcomes = bench.commit(commits.collect()).await;
        assert_eq!(outcomes.remove(0), (16_385, CommitOutcome::Overloaded));
        assert!(outcomes.iter().all(|(_, outcome)| *outcome == COMMITTED));
        assert_eq!(store.counters().overloaded, 1);
        // There is room again.
        let commits = vec![commit(20_000, vec![put("more", None, 1)])];
        assert_eq!(bench.commit(commits).await, [(20_000, COMMITTED)]);
    });
}

#[test]
fn a_folder_has_one_owner() {
    let folder = tempfile::tempdir().expect("a folder");
    let _owner = opened(folder.path()).expect("a store");
    let error = opened(folder.path()).expect_err("in use");
    assert!(matches!(error, StoreError::InUse(_)), "{error}");
    assert!(
        error.to_string().ends_with("is in use by another process"),
        "{error}"
    );
}

/// Writes into a folder behind the store's back.
pub(super) fn meddle(folder: &Path, keyspace: &str, key: &[u8], value: &[u8]) {
    let database = fjall::Database::builder(folder).open().expect("a database");
    let options = fjall::KeyspaceCreateOptions::default;
    database
        .keyspace(keyspace, options)
        .expect("a keyspace")
        .insert(key, value)
        .expect("a write");
    database
        .persist(fjall::PersistMode::SyncAll)
        .expect("a write");
}

#[test]
fn a_folder_of_another_version_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    meddle(folder.path(), "meta", b"format", &9u64.to_be_bytes());
    let error = opened(folder.path()).expect_err("format 9");
    assert!(
        error
            .to_string()
            .ends_with("has format 9, this version reads 2"),
        "{error}"
    );
}

#[test]
fn a_record_of_another_version_is_named_when_it_is_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    meddle(
        folder.path(),
        "records",
        b"psip:bob@example.com\0\0\0\0\0\0\0\0\x07",
        &[0, 0, 0, 0, 0, 0, 0, 1, 9, b'p'],
    );
    let error = opened(folder.path()).expect_err("format 9");
    let path = folder.path().display();
    assert_eq!(
        error.to_string(),
        format!(
            "store file:{path}: publication 7 of sip:bob@example.com can't be read: record format 9 is not known to this version, which reads format 1. \
             A newer version may have written it: then start that one. `rollcall store check {path}` says what is lost, and `rollcall \
             store repair {path} --to NEW_FOLDER` writes what is left to a new folder to start with; or start with a backup or an \
             empty one"
        )
    );
}

#[test]
fn a_path_that_can_not_be_a_folder_is_an_error_in_words() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let error = opened(file.path()).expect_err("a file is no folder");
    assert!(error.to_string().contains("can't be opened"), "{error}");
}
