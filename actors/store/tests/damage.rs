//! Damage in a folder's files: nothing that was acknowledged is lost without a word.
//!
//! Each trial flips a bit or cuts a file, and opens the store: all that was acknowledged is there, or the store is refused in words.

use std::path::PathBuf;

use super::file::opened;
use super::*;
use crate::store::files::walk;
use crate::store::journal::used;

/// Places that are tried in a journal, and in each of the other files.
const PLACES: [usize; 2] = [24, 2];

/// A folder with tables and a journal, and what is in it.
pub(super) fn folder() -> (TempDir, Vec<(Version, Record)>) {
    let folder = tempfile::tempdir().expect("a folder");
    System::new().block_on(async {
        let store = Arc::new(opened(folder.path()).expect("a store"));
        let mut bench = Bench::new(store.clone());
        for number in 1..=30 {
            let contact = format!("sip:{number}@phone.example.com");
            let outcomes = bench
                .commit(vec![commit(number, vec![put(&contact, None, 1)])])
                .await;
            assert_eq!(outcomes, [(number, COMMITTED)]);
        }
        store.close();
    });
    // Into tables, as it goes when much has gathered.
    let database = fjall::Database::builder(folder.path())
        .open()
        .expect("a database");
    for name in ["meta", "records", "tallies"] {
        let keyspace = database
            .keyspace(name, Default::default)
            .expect("a keyspace");
        keyspace.rotate_memtable_and_wait().expect("a table");
    }
    drop(database);
    System::new().block_on(async {
        let store = Arc::new(opened(folder.path()).expect("a store"));
        let mut bench = Bench::new(store.clone());
        for number in 31..=60 {
            let contact = format!("sip:{}@phone.example.com", number - 20);
            let expect = (number <= 50).then_some(1);
            let change = put(&contact, expect, u32::try_from(number).expect("small"));
            let outcomes = bench.commit(vec![commit(number, vec![change])]).await;
            assert_eq!(outcomes, [(number, COMMITTED)]);
        }
        let records = store.load().expect("records");
        (store.close(), records)
    });
    let records = opened(folder.path())
        .expect("a store")
        .load()
        .expect("records");
    // Without the 64 MiB of zeros that the engine keeps ready, as each trial copies and reads all.
    for (name, used) in files(folder.path()) {
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(folder.path().join(&name));
        let is_journal = name.extension().is_some_and(|extension| extension == "jnl");
        if is_journal {
            let file = file.expect("a file");
            file.set_len(used as u64 + 512).expect("a shorter file");
        }
    }
    (folder, records)
}

/// Files with something in them, and how far that goes.
pub(super) fn files(folder: &Path) -> Vec<(PathBuf, usize)> {
    let files = walk(folder).into_iter().filter(|(_, is_folder)| !is_folder);
    let used = files.filter_map(|(path, _)| {
        let bytes = std::fs::read(&path).expect("a file");
        let used = used(&bytes);
        if used == 0 {
            return None;
        }
        let name = path.strip_prefix(folder).expect("within").to_owned();
        Some((name, used))
    });
    used.collect()
}

/// Opens what is there. Whether all was there; it panics if something is missing and nobody says so.
fn judge(folder: &Path, records: &[(Version, Record)], how: &str) -> bool {
    match opened(folder).and_then(|store| store.load()) {
        Ok(found) => {
            assert_eq!(found, records, "silent loss: {how}");
            true
        }
        Err(error @ (StoreError::Damaged { .. } | StoreError::Unreadable { .. })) => {
            for way in [
                "rollcall store check",
                "rollcall store repair",
                "a backup or an empty one",
            ] {
                assert!(error.to_string().contains(way), "{error}");
            }
            false
        }
        Err(error) => panic!("{how}: {error}"),
    }
}

#[test]
fn no_flipped_bit_and_no_cut_loses_anything_silently() {
    let (folder, records) = folder();
    let mut refused = 0;
    let mut trials = 0;
    for (name, used) in files(folder.path()) {
        let is_journal = name.extension().is_some_and(|extension| extension == "jnl");
        let count = PLACES[usize::from(!is_journal)];
        let mut places: Vec<usize> = (0..count).map(|trial| trial * used / count).collect();
        places.push(used - 1);
        places.dedup();
        for place in places {
            for cut in [false, true] {
                let image = tempfile::tempdir().expect("a folder");
                copy(folder.path(), image.path());
                let path = image.path().join(&name);
                let mut bytes = std::fs::read(&path).expect("a file");
                match cut {
                    true => bytes.truncate(place),
                    false => bytes[place] ^= 1 << (place % 8),
                }
                std::fs::write(&path, bytes).expect("a file");
                let how = format!("{} at byte {place} of {used}, cut: {cut}", name.display());
                trials += 1;
                refused += u32::from(!judge(image.path(), &records, &how));
            }
        }
    }
    // The journal alone has 20 places that matter.
    assert!(
        trials >= 60 && refused >= 20,
        "{refused} of {trials} refused"
    );
}
