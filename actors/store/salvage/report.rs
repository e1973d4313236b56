//! What was found, in sentences.

use std::fmt::Write;

use super::{Damage, Finding};

/// Things of a kind that are listed one by one.
const LISTED: usize = 20;

impl Finding {
    /// What stands in the folder, a line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.verdict()];
        let counts = self.records;
        lines.push(format!(
            "  {} records can be read: {} publications, {} subscriptions, {} bindings, {} watchers decided about or waiting, \
             {} notes of who knows the state",
            counts.all(),
            counts.publications,
            counts.subscriptions,
            counts.bindings,
            counts.watchers,
            counts.settled
        ));
        lines.push(match (self.last, self.acknowledged) {
            (Some(last), Some(acknowledged)) => format!(
                "  {} groups of changes in the journals, the last one that can be read is number {last}; the last acknowledged one is \
                 number {acknowledged}",
                self.groups
            ),
            (Some(last), None) => format!(
                "  {} groups of changes in the journals, the last one that can be read is number {last}; which was acknowledged last is \
                 not known",
                self.groups
            ),
            (None, _) => format!(
                "  {} groups of changes in the journals, without numbers",
                self.groups
            ),
        });
        if let Some(torn) = &self.torn {
            lines.push(format!(
                "  unfinished write: {} from byte {} on ({} bytes) was never acknowledged to anybody; a server drops it",
                torn.file, torn.offset, torn.bytes
            ));
        }
        if self.refused > 0 {
            lines.push(format!(
                "  {} groups behind the last acknowledged one were refused to those who asked; a server drops them",
                self.refused
            ));
        }
        list(&mut lines, &self.damages, Damage::line);
        list(&mut lines, &self.missing, |(first, last)| {
            format!("  missing: groups of changes {first} to {last}")
        });
        list(&mut lines, &self.unreadable, |unreadable| {
            format!("  unreadable: {}: {}", unreadable.record, unreadable.why)
        });
        lines.extend(self.loss());
        lines
    }

    fn verdict(&self) -> String {
        let what = match (self.whole, self.format) {
            (true, Some(format)) => format!("is whole (format {format})"),
            (true, None) => "is whole, and nothing was ever stored in it".to_owned(),
            (false, _) => "is damaged".to_owned(),
        };
        format!("file:{} {what}", self.folder.display())
    }

    /// What the damage costs, as far as that is known.
    fn loss(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.whole {
            return lines;
        }
        if let Some(record) = &self.removed {
            lines.push(format!(
                "  {record} was removed in what is missing, as the tally proves: it does not come back"
            ));
        }
        let found = self.records.all() + self.unreadable.len() as u64;
        lines.push(match (self.proven, self.expected) {
            (true, _) if self.unreadable.is_empty() => {
                "  lost: nothing; the records that can be read are all that were stored, by count and digest".to_owned()
            }
            (true, _) => format!("  lost: {} records that can't be understood; all others are as they were stored", self.unreadable.len()),
            (false, Some(expected)) if expected > found => {
                format!("  lost: at least {} records of {expected}", expected - found)
            }
            (false, Some(expected)) => format!(
                "  lost: changes; {expected} records were stored last, {found} are found, and they are not the same"
            ),
            (false, None) => "  lost: how much can't be known, as a folder of format 1 has no tally".to_owned(),
        });
        if self.doubtful > 0 {
            lines.push(format!(
                "  {} of the records that can be read may have been changed or removed by what is missing: they are as they were \
                 before it. Look at decisions about watchers, if there are any (`rollcall watchers list`)",
                self.doubtful
            ));
        }
        lines
    }
}

impl Damage {
    fn line(&self) -> String {
        let mut line = format!("  damage: {}", self.file);
        if let (Some(offset), Some(bytes)) = (self.offset, self.bytes) {
            let _ = write!(line, " at byte {offset} ({bytes} bytes)");
        }
        let _ = write!(line, ": {}", self.what);
        if !self.records.is_empty() {
            let _ = write!(line, "; there stood {}", self.records.join(", "));
        }
        line
    }
}

fn list<T>(lines: &mut Vec<String>, things: &[T], line: impl Fn(&T) -> String) {
    lines.extend(things.iter().take(LISTED).map(line));
    if things.len() > LISTED {
        lines.push(format!("  … and {} more like this", things.len() - LISTED));
    }
}
