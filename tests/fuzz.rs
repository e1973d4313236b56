//! The seeds of the fuzz targets, run through the bodies of these: our own (fuzz/seeds), and the corpora that
//! `ROLLCALL_CONFORMANCE` names. The fuzzer itself is started by `fuzz/run`.

use std::fs;
use std::path::Path;

use crate::conformance::folder;

#[path = "../fuzz/bodies/mod.rs"]
mod bodies;

/// The files of a folder and of those in it.
fn files(folder: &Path, found: &mut Vec<Vec<u8>>) {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(fs::read(path).expect("a file"));
        }
    }
}

#[test]
fn every_seed_passes_its_target() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for (name, body) in bodies::ALL {
        let mut seeds = Vec::new();
        files(&own.join(name), &mut seeds);
        assert!(!seeds.is_empty(), "{name} has no seed");
        for seed in &seeds {
            body(seed);
        }
    }
}

#[test]
fn the_corpora_pass_the_targets_that_read_their_like() {
    for (corpus, targets) in [
        ("rfc4475", &["message", "framing", "lists", "uri"][..]),
        ("rfc5118", &["message", "framing", "lists", "uri"]),
        ("pidf", &["pidf", "manager"]),
        ("hostile-xml", &["pidf", "manager"]),
    ] {
        // Its line says what is left out.
        let Some(folder) = folder(corpus) else {
            continue;
        };
        let mut seeds = Vec::new();
        files(&folder, &mut seeds);
        assert!(!seeds.is_empty(), "{corpus} is empty");
        for (_, body) in bodies::ALL
            .iter()
            .filter(|(name, _)| targets.contains(name))
        {
            for seed in &seeds {
                body(seed);
            }
        }
    }
}
