//! All entries of all files, one beside the other: of each key the last one counts.

use std::collections::BTreeMap;

use crate::store::journal::TALLY_KEY;
use crate::store::proof::Tally;
use crate::store::value::number;

/// The last entry of a key.
#[derive(Debug)]
pub(super) struct Latest {
    pub seqno: u64,
    /// `None`: removed.
    pub value: Option<Vec<u8>>,
    /// It stands in a table.
    pub table: bool,
}

/// What counts of what was read so far.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub records: BTreeMap<Vec<u8>, Latest>,
    /// The last tally in a table.
    pub tally: Option<Tally>,
    /// With the number of the write.
    format: Option<(u64, Option<u64>)>,
    epoch: Option<(u64, Option<u64>)>,
    /// The last write of a record that has gone to a table.
    pub flushed: u64,
    /// Entries looked at.
    pub entries: u64,
}

impl Merged {
    /// Takes an entry in.
    pub fn take(&mut self, key: &[u8], seqno: u64, value: Option<Vec<u8>>, table: bool) {
        self.entries += 1;
        let later = |known: &Option<(u64, Option<u64>)>| known.is_none_or(|known| known.0 <= seqno);
        match key {
            TALLY_KEY => {
                let tally = value.as_deref().and_then(Tally::decode);
                self.tally = self.tally.max_by_sequence(tally);
            }
            b"format" if later(&self.format) => {
                self.format = Some((seqno, value.as_deref().and_then(number)));
            }
            b"epoch" if later(&self.epoch) => {
                self.epoch = Some((seqno, value.as_deref().and_then(number)));
            }
            b"format" | b"epoch" => {}
            _ => {
                if table {
                    self.flushed = self.flushed.max(seqno);
                }
                let known = self.records.get(key);
                if known.is_none_or(|known| known.seqno <= seqno) {
                    let latest = Latest {
                        seqno,
                        value,
                        table,
                    };
                    self.records.insert(key.to_vec(), latest);
                }
            }
        }
    }

    /// The format; within: what stands there may be no number.
    pub fn format(&self) -> Option<Option<u64>> {
        self.format.map(|(_, format)| format)
    }

    pub fn epoch(&self) -> u64 {
        self.epoch.and_then(|(_, epoch)| epoch).unwrap_or(0)
    }
}

/// Of two tallies the later one.
pub(super) trait Later {
    fn max_by_sequence(self, other: Self) -> Self;
}

impl Later for Option<Tally> {
    fn max_by_sequence(self, other: Self) -> Self {
        [self, other]
            .into_iter()
            .flatten()
            .max_by_key(|tally| tally.sequence)
    }
}
