//! Damage of all kinds at many places: never a silent loss, and what can be proven is there after a repair.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rollcall_core::registry::RecordKey;

use super::damage::{files, folder};
use super::file::opened;
use super::*;
use crate::store::files::walk;
use crate::store::salvage::{Salvage, look, repair};

/// Trials of each kind of damage; `benches/endure disks` has more.
const TRIALS: usize = 8;

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    Flip,
    Cut,
    Zero,
    Duplicate,
    Swap,
    Remove,
}

const ALL: [Damage; 6] = [
    Damage::Flip,
    Damage::Cut,
    Damage::Zero,
    Damage::Duplicate,
    Damage::Swap,
    Damage::Remove,
];

/// Numbers from a seed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).expect("small") % below.max(1)
    }
}

impl Damage {
    /// What it leaves of a file.
    fn of(self, mut bytes: Vec<u8>, used: usize, dice: &mut Dice) -> Option<Vec<u8>> {
        let place = dice.roll(used);
        let length = (1 + dice.roll(300)).min(used - place);
        match self {
            Self::Flip => bytes[place] ^= 1 << dice.roll(8),
            Self::Cut => bytes.truncate(place),
            Self::Zero => bytes[place..place + length].fill(0),
            Self::Duplicate => {
                let again = bytes[place..place + length].to_vec();
                bytes.splice(place..place, again);
            }
            Self::Swap => {
                let other = dice.roll(used - length);
                for offset in 0..length {
                    bytes.swap(place + offset, other + offset);
                }
            }
            Self::Remove => return None,
        }
        Some(bytes)
    }
}

type Content = BTreeMap<PathBuf, Vec<u8>>;

/// All files of a folder.
pub(super) fn content(folder: &Path) -> Content {
    let files = walk(folder).into_iter();
    files
        .filter(|(_, is_folder)| !is_folder)
        .map(|(path, _)| {
            let bytes = std::fs::read(&path).expect("a file");
            (path, bytes)
        })
        .collect()
}

/// Looks, and changes nothing.
pub(super) fn looked(folder: &Path) -> Salvage {
    let before = content(folder);
    let found = look(folder, &mut |_| {}).expect("a folder to look into");
    assert!(content(folder) == before, "a look changes nothing");
    found
}

/// Records by their names.
fn by_name(records: &[(Version, Record)]) -> BTreeMap<RecordKey, Version> {
    let names = records.iter();
    names
        .map(|(version, record)| (record.key(), *version))
        .collect()
}

#[test]
fn no_damage_loses_anything_silently_and_a_repair_keeps_what_is_proven() {
    let (folder, records) = folder();
    let whole = looked(folder.path()).finding;
    assert!(whole.whole && whole.proven, "{whole:?}");
    let all = by_name(&records);
    let files = files(folder.path());
    let mut refused = 0;
    for damage in ALL {
        for trial in 0..TRIALS {
            let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (trial as u64 + 1) << 8 ^ damage as u64);
            // Half of them in the journal, which has nearly everything.
            let journal = files
                .iter()
                .find(|(name, _)| name.extension().is_some_and(|end| end == "jnl"));
            let (name, used) = match dice.roll(2) {
                0 if damage != Damage::Remove => journal.expect("a journal"),
                _ => {
                    &files[if damage == Damage::Remove {
                        trial % files.len()
                    } else {
                        dice.roll(files.len())
                    }]
                }
            };
            let image = tempfile::tempdir().expect("a folder");
            copy(folder.path(), image.path());
            let path = image.path().join(name);
            let bytes = std::fs::read(&path).expect("a file");
            match damage.of(bytes, *used, &mut dice) {
                Some(bytes) => std::fs::write(&path, bytes).expect("a file"),
                None => std::fs::remove_file(&path).expect("a file"),
            }
            let how = format!("{damage:?} {trial} in {}", name.display());
            let finding = looked(image.path()).finding;
            let place = tempfile::tempdir().expect("a folder");
            let to = place.path().join("new");
            let before = content(image.path());
            let repaired = repair(image.path(), &to, &mut |_| {}).expect(&how);
            assert!(
                content(image.path()) == before,
                "{how}: the old folder stays"
            );
            let kept = opened(&to).and_then(|store| store.load()).expect(&how);
            assert_eq!(kept.len() as u64, repaired.kept, "{how}");
            let kept = by_name(&kept);
            let lost = all
                .iter()
                .filter(|(key, version)| kept.get(key) != Some(version))
                .count();
            if finding.proven {
                assert_eq!(kept, all, "{how}: {finding:?}");
            }
            // One bit is in one group or block at most; each group is of one record, and a block of all those in tables.
            let most = match (damage, name.extension().is_some()) {
                (Damage::Flip, true) => 1,
                _ => all.len(),
            };
            assert!(lost <= most, "{how}: {lost} lost: {:#?}", finding.lines());
            assert!(lost == 0 || !finding.whole, "{how}: silent loss");
            // What a server makes of it.
            match opened(image.path()).and_then(|store| store.load()) {
                Ok(found) => assert_eq!(by_name(&found), all, "silent loss: {how}"),
                Err(error) => {
                    refused += 1;
                    assert!(!finding.whole, "{how}: {error}");
                    assert!(
                        error.to_string().contains("rollcall store repair"),
                        "{how}: {error}"
                    );
                    // It is left as it is, but for what belongs to nobody.
                    let after = looked(image.path()).finding;
                    assert_eq!(after.records, finding.records, "{how}: {error}");
                }
            }
        }
    }
    assert!(refused > TRIALS, "{refused} refused");
}
